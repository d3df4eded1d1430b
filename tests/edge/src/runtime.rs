//! CloudFront Functions, run by Node: one process for all of them, asked over its standard input and output.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::debug;

use crate::registry::EdgeFunction;
use crate::store::Stores;

const PROGRAM: &str = include_str!("runtime.js");
/// A function that is not done by then never will be; its process is replaced.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a function made of a request.
#[derive(Debug)]
pub(crate) struct Ran {
    /// A request or a response.
    pub(crate) result: Value,
    /// The origin or group that it chose.
    pub(crate) origin: Value,
}

/// Runs functions, in a process that is started when it is first needed.
pub(crate) struct Runtime {
    stores: Arc<Stores>,
    process: Mutex<Option<Arc<Process>>>,
    count: AtomicU64,
}

type Waiting = Arc<StdMutex<HashMap<u64, oneshot::Sender<Value>>>>;

struct Process {
    /// Ends with this value.
    _child: Child,
    lines: mpsc::UnboundedSender<Value>,
    waiting: Waiting,
}

impl Runtime {
    pub(crate) fn new(stores: Arc<Stores>) -> Self {
        Self {
            stores,
            process: Mutex::default(),
            count: AtomicU64::default(),
        }
    }

    /// Runs a function on an event.
    ///
    /// # Errors
    /// With the function's own words, if it throws; or if there is no Node, or the function does not end.
    pub(crate) async fn run(&self, function: &EdgeFunction, event: &Value) -> anyhow::Result<Ran> {
        let process = self.process().await?;
        let run = self.count.fetch_add(1, Ordering::Relaxed);
        let (sender, done) = oneshot::channel();
        lock(&process.waiting).insert(run, sender);
        let message =
            json!({"run": run, "code": &*function.code, "store": function.store, "event": event});
        let sent = process.lines.send(message).is_ok();
        let answer = match tokio::time::timeout(TIMEOUT, done).await {
            Ok(Ok(answer)) if sent => answer,
            _ => {
                lock(&process.waiting).remove(&run);
                *self.process.lock().await = None;
                bail!("the function did not end, or Node did");
            }
        };
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(Ran {
                result: answer["result"].clone(),
                origin: answer["origin"].clone(),
            }),
        }
    }

    async fn process(&self) -> anyhow::Result<Arc<Process>> {
        let mut slot = self.process.lock().await;
        if let Some(process) = slot.as_ref().filter(|process| !process.lines.is_closed()) {
            return Ok(process.clone());
        }
        let process = Arc::new(start(self.stores.clone())?);
        *slot = Some(process.clone());
        Ok(process)
    }
}

fn start(stores: Arc<Stores>) -> anyhow::Result<Process> {
    let mut child = Command::new("node")
        .args(["-e", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("starting node, which runs CloudFront Functions")?;
    let mut input = child.stdin.take().context("node has no standard input")?;
    let output = child.stdout.take().context("node has no standard output")?;
    let (lines, mut to_write) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(message) = to_write.recv().await {
            if input
                .write_all(format!("{message}\n").as_bytes())
                .await
                .is_err()
            {
                break;
            }
        }
    });
    let waiting = Waiting::default();
    // A weak sender: the writer ends with the process's own.
    tokio::spawn(listen(output, stores, lines.downgrade(), waiting.clone()));
    Ok(Process {
        _child: child,
        lines,
        waiting,
    })
}

/// Passes on what Node says: a function is done, or reads its store.
async fn listen(
    output: ChildStdout,
    stores: Arc<Stores>,
    lines: mpsc::WeakUnboundedSender<Value>,
    waiting: Waiting,
) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            debug!(line, "Node said something else");
            continue;
        };
        if let Some(done) = message["done"].as_u64() {
            let sender = lock(&waiting).remove(&done);
            if let Some(sender) = sender {
                let _ = sender.send(message);
            }
        } else if let (Some(ask), Some(lines)) = (message["ask"].as_u64(), lines.upgrade()) {
            let stores = stores.clone();
            tokio::spawn(async move {
                let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
                let answered = stores
                    .answer(&text("store"), &text("verb"), &text("key"))
                    .await;
                let _ = lines.send(match answered {
                    Ok(value) => json!({"answer": ask, "value": value}),
                    Err(error) => json!({"answer": ask, "error": format!("{error:#}")}),
                });
            });
        }
    }
    // Nobody will answer what is still waiting.
    lock(&waiting).clear();
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Value>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
