//! The local AWS: ministack, one process, any number of accounts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{Mutex, OnceCell};

use crate::ports::free_port;
use crate::process::{self, Process, Signal};
use crate::setup::{self, Tools};
use crate::wait::{self, Seen};

/// The secret access key of every account's root user, whose access key id is the account's 12 digits.
pub const SECRET_ACCESS_KEY: &str = "test";

/// Everything stateful takes this long at most to start or to stop.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How the emulator is started.
#[derive(Clone, Debug, Default)]
pub struct EmulatorOptions {
    /// Verify signatures and enforce identity policies. Root users (12 digits, [`SECRET_ACCESS_KEY`]) may do all.
    pub auth: bool,
    /// Where its log and its state go; a new scratch directory if absent.
    pub directory: Option<PathBuf>,
    /// The port on 127.0.0.1; any free one if absent.
    pub port: Option<u16>,
    /// Environment variables added to its own.
    pub environment: Vec<(String, String)>,
}

/// A running ministack, which ends when this is dropped.
#[derive(Debug)]
pub struct Emulator {
    options: EmulatorOptions,
    tools: Tools,
    directory: PathBuf,
    port: u16,
    /// `None` between a stop and a start.
    process: Mutex<Option<Process>>,
}

impl Emulator {
    /// Starts it and returns when it is ready.
    ///
    /// # Errors
    /// When a tool is missing, or it does not get ready, with the end of its log.
    pub async fn start(options: EmulatorOptions) -> Result<Self> {
        let tools = setup::tools().await?;
        let directory = match &options.directory {
            Some(directory) => directory.clone(),
            None => crate::paths::scratch()?,
        };
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        let state = directory.join("ministack");
        if state.exists() {
            std::fs::remove_dir_all(&state)
                .with_context(|| format!("removing {}", state.display()))?;
        }

        process::with_free_ports(async || {
            let port = options.port.map_or_else(free_port, Ok)?;
            let emulator = Self {
                options: options.clone(),
                tools: tools.clone(),
                directory: directory.clone(),
                port,
                process: Mutex::new(None),
            };
            emulator.start_again().await?;
            Ok(emulator)
        })
        .await
    }

    /// One emulator for all tests of a process, ended with the process: keep tests apart by accounts (S3 bucket
    /// names are global all the same), and do not reset or stop it.
    ///
    /// # Errors
    /// As [`Emulator::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Emulator> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| Self::start(EmulatorOptions::default()))
            .await
    }

    /// Its endpoint, as for `AWS_ENDPOINT_URL`. The same over stop and start.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its log and state are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Empties it, all accounts.
    ///
    /// # Errors
    /// When it refuses or does not answer.
    pub async fn reset(&self) -> Result<()> {
        let answer = crate::http::client()?
            .post(format!("{}/_ministack/reset", self.url()))
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("the emulator refused to reset: {}", answer.status());
        }
        Ok(())
    }

    /// Makes it hang: connections open and nothing answers, until [`Emulator::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP).await
    }

    /// Ends [`Emulator::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub async fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT).await
    }

    /// Takes it down: connections are refused. Its state is kept for [`Emulator::start_again`].
    ///
    /// # Errors
    /// When it does not end in time, and state may be lost.
    pub async fn stop(&self) -> Result<()> {
        if let Some(mut process) = self.process.lock().await.take() {
            process.signal(Signal::CONT)?;
            process.terminate(READY_WITHIN).await?;
        }
        Ok(())
    }

    /// Starts it after [`Emulator::stop`], on the same port and with the state that it had.
    ///
    /// # Errors
    /// When it does not get ready, with the end of its log.
    pub async fn start_again(&self) -> Result<()> {
        let mut slot = self.process.lock().await;
        if slot.is_some() {
            return Ok(());
        }
        let mut process = Process::start("ministack", self.command()?, &self.directory)?;
        let ready = format!("{}/_ministack/ready", self.url());
        let client = crate::http::client()?;
        let waiting = wait::until("the emulator", READY_WITHIN, || {
            let ended = process.exited();
            let request = client.get(&ready);
            async move {
                if let Some(status) = ended? {
                    return Ok(Seen::Failed(format!("it ended with {status}")));
                }
                let status = request.send().await?.status();
                Ok(Seen::when(status.is_success(), status.to_string()))
            }
        });
        waiting.await.map_err(|error| process.explain(&error))?;
        *slot = Some(process);
        Ok(())
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let mut slot = self.process.lock().await;
        slot.as_mut()
            .context("the emulator is down")?
            .signal(signal)
    }

    fn command(&self) -> Result<Command> {
        let state = self.directory.join("ministack");
        // Its temporary files with the rest, instead of staying in /tmp.
        let temporary = state.join("tmp");
        std::fs::create_dir_all(&temporary)
            .with_context(|| format!("making {}", temporary.display()))?;
        let mut command = process::command(&self.tools.python);
        crate::aws::forget_credentials(&mut command);
        command
            .args(["-m", "ministack"])
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", self.port.to_string())
            // Or it binds ports for these on all interfaces.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("AUTH", if self.options.auth { "true" } else { "false" })
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", state.join("state"))
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", state.join("s3"))
            .env("TMPDIR", temporary)
            .env("PYTHONUNBUFFERED", "1")
            .envs(
                self.options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        Ok(command)
    }
}
