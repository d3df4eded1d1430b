//! Chromium without a window, driven over the DevTools protocol.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testbed::process::{self, Process};
use testbed::wait::{self, Seen};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Cold, on a busy machine.
const START: Duration = Duration::from_secs(90);
/// Of the window.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 1000;
/// For one call.
const ANSWER: Duration = Duration::from_secs(30);
/// It says nothing to anybody but this machine, and finds nothing of an earlier run.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    // Small in containers.
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "about:blank",
];

/// One browser with one tab.
pub struct Browser {
    socket: WebSocketStream<TcpStream>,
    tab: String,
    calls: u64,
    /// What went wrong in the tab.
    pub problems: Vec<String>,
    _process: Process,
}

impl Browser {
    pub async fn start() -> Result<Self> {
        let directory = testbed::paths::scratch()?;
        let mut command = process::command(&program()?);
        command
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", directory.display()))
            .env("HOME", &directory);
        let mut process = Process::start("chromium", command, &directory)?;
        let file = directory.join("DevToolsActivePort");
        let found = wait::until("Chromium's port", START, || {
            let ended = process.exited();
            let lines = std::fs::read_to_string(&file).unwrap_or_default();
            async move {
                if let Some(status) = ended? {
                    return Ok(Seen::Failed(format!("it ended with {status}")));
                }
                let (port, path) = lines.split_once('\n').unwrap_or_default();
                Ok(match port.parse::<u16>() {
                    Ok(port) if !path.is_empty() => Seen::Done((port, path.to_owned())),
                    _ => Seen::Waiting("none yet".into()),
                })
            }
        })
        .await;
        let (port, path) = found.map_err(|error| process.explain(&error))?;
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let url = format!("ws://127.0.0.1:{port}{}", path.trim());
        let (socket, _) = client_async(url, stream).await?;
        let mut browser = Self {
            socket,
            tab: String::new(),
            calls: 0,
            problems: Vec::new(),
            _process: process,
        };
        browser.open_tab().await?;
        Ok(browser)
    }

    async fn open_tab(&mut self) -> Result<()> {
        let target = self
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", attach).await?;
        self.tab = attached["sessionId"]
            .as_str()
            .context("a session")?
            .to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({})).await?;
        }
        let size =
            json!({"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let hidden = json!({"hidden": true});
        self.call("Emulation.setScrollbarsHidden", hidden).await?;
        Ok(())
    }

    /// Calls a method and waits for its answer; what is told meanwhile is looked through for problems.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({"id": id, "method": method, "params": parameters});
        if !self.tab.is_empty() {
            call["sessionId"] = json!(self.tab);
        }
        self.socket.send(Message::text(call.to_string())).await?;
        let answer = tokio::time::timeout(ANSWER, self.answer(id)).await;
        let mut answer = answer.with_context(|| format!("{method}: no answer"))??;
        if !answer["error"].is_null() {
            bail!("{method}: {}", answer["error"]);
        }
        Ok(answer["result"].take())
    }

    async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            let message = self.socket.next().await.context("it hung up")??;
            let Message::Text(text) = message else {
                continue;
            };
            let said: Value = serde_json::from_str(&text)?;
            if said["id"] == id {
                return Ok(said);
            }
            let parameters = &said["params"];
            match said["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.problems
                        .push(parameters["exceptionDetails"].to_string());
                }
                // Refusals by the content security policy come this way too.
                Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                    self.problems.push(parameters["entry"].to_string());
                }
                _ => {}
            }
        }
    }

    pub async fn go(&mut self, url: &str) -> Result<()> {
        let gone = self.call("Page.navigate", json!({"url": url})).await?;
        match gone["errorText"].as_str() {
            Some(error) => bail!("{url}: {error}"),
            None => Ok(()),
        }
    }

    /// The value of an expression.
    pub async fn value(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut evaluated = self.call("Runtime.evaluate", parameters).await?;
        if !evaluated["exceptionDetails"].is_null() {
            bail!("{expression}: {}", evaluated["exceptionDetails"]);
        }
        Ok(evaluated["result"]["value"].take())
    }

    /// Waits until an expression is true; the text of the page is what was seen instead.
    pub async fn until(&mut self, expression: &str, timeout: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // Between two pages there may be nothing to ask.
            let holds = self.value(expression).await;
            if matches!(holds, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let text = self.value("document.body.innerText").await?;
                bail!("not within {timeout:?}: {expression}: {holds:?}; the page says: {text}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Clicks the element of this id.
    pub async fn click(&mut self, id: &str) -> Result<()> {
        let click = format!("document.getElementById('{id}').click()");
        self.value(&click).await.map(drop)
    }

    /// Types as a person does, into what has the focus.
    pub async fn type_text(&mut self, text: &str) -> Result<()> {
        let typed = self.call("Input.insertText", json!({"text": text})).await;
        typed.map(drop)
    }

    /// A PNG of what the window shows.
    pub async fn screenshot(&mut self) -> Result<Vec<u8>> {
        let parameters = json!({"format": "png"});
        let shot = self.call("Page.captureScreenshot", parameters).await?;
        let data = shot["data"].as_str().context("an image")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }
}

/// `CHROMIUM`, or the first of the usual names that is in the path.
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("CHROMIUM") {
        return Ok(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    found.context("no Chromium: apt-get install chromium, or set CHROMIUM")
}
