//! The operator as a process of its own, as it runs in a cluster.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::aws::Account;
use crate::ports::free_port;
use crate::process::{self, Process, Signal};
use crate::wait::{self, Seen};

/// How the operator is started.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The `multiregion` program; in its own tests `env!("CARGO_BIN_EXE_multiregion")`.
    pub binary: PathBuf,
    /// Who it is to the API server; see [`crate::ControlPlane::service_account_kubeconfig`].
    pub kubeconfig: PathBuf,
    /// The emulated account it works in; absent, the environment's own credentials and AWS itself.
    pub account: Option<Account>,
    /// Its `AWS_REGION`.
    pub region: String,
    /// Arguments after `run --listen …`.
    pub arguments: Vec<String>,
    /// Environment variables added to its own; they win over those set here.
    pub environment: Vec<(String, String)>,
    /// Where its pid file goes, and its log unless told otherwise.
    pub directory: PathBuf,
    /// Its log; `operator.log` in the directory if absent. Appended to.
    pub log_file: Option<PathBuf>,
    /// The port on 127.0.0.1 for `--listen`; any free one if absent.
    pub port: Option<u16>,
}

impl OperatorOptions {
    /// The operator in an account of an emulator, its files in a new scratch directory.
    ///
    /// # Errors
    /// When that directory cannot be made.
    pub fn emulated(
        binary: &str,
        kubeconfig: &Path,
        endpoint_url: &str,
        account: &str,
    ) -> Result<Self> {
        Ok(Self {
            binary: PathBuf::from(binary),
            kubeconfig: kubeconfig.to_owned(),
            account: Some(Account {
                endpoint_url: endpoint_url.to_owned(),
                id: account.to_owned(),
            }),
            region: "us-east-1".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: crate::paths::scratch()?,
            log_file: None,
            port: None,
        })
    }
}

/// A running operator, killed when this is dropped.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    port: u16,
}

impl Operator {
    /// Starts it; it need not be ready yet, see [`Operator::wait_ready`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(options: &OperatorOptions) -> Result<Self> {
        if !options.binary.is_file() {
            bail!("there is no operator at {}", options.binary.display());
        }
        std::fs::create_dir_all(&options.directory)
            .with_context(|| format!("making {}", options.directory.display()))?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let mut command = process::command(&options.binary);
        if let Some(account) = &options.account {
            crate::aws::forget_credentials(&mut command);
            command.envs(crate::aws::account_environment(account));
        }
        command
            .args(["run", "--listen", &format!("127.0.0.1:{port}")])
            .args(&options.arguments)
            .env("KUBECONFIG", &options.kubeconfig)
            .env("AWS_REGION", &options.region)
            .envs(
                options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        let log = options
            .log_file
            .clone()
            .unwrap_or_else(|| options.directory.join("operator.log"));
        // The pid file's name is a word of the command line, by which a stale one is told.
        let name = options
            .binary
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("multiregion");
        let process = Process::start_with_log(name, command, &options.directory, &log)?;
        Ok(Self { process, port })
    }

    /// Its `--listen` address as a URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Errors
    /// When it ends or `timeout` passes first, with the end of its log.
    pub async fn wait_ready(&mut self, timeout: Duration) -> Result<()> {
        self.wait_readyz(timeout, |status, _| status == 200).await
    }

    /// Waits until `/readyz` answers with a status and a body of which `holds` says so.
    ///
    /// # Errors
    /// As [`Operator::wait_ready`].
    pub async fn wait_readyz(
        &mut self,
        timeout: Duration,
        holds: impl Fn(u16, &str) -> bool,
    ) -> Result<()> {
        let url = format!("{}/readyz", self.url());
        let process = &mut self.process;
        let waiting = wait::until("the operator's /readyz", timeout, || {
            let ended = process.exited();
            let (url, holds) = (&url, &holds);
            async move {
                if let Some(status) = ended? {
                    return Ok(Seen::Failed(format!("it ended with {status}")));
                }
                let (status, body) = crate::http::get(url).await?;
                Ok(Seen::when(holds(status, &body), format!("{status} {body}")))
            }
        });
        let result = waiting.await;
        result.map_err(|error| self.process.explain(&error))
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub async fn metrics_text(&self) -> Result<String> {
        metrics_text(&self.url()).await
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// SIGKILL: no chance to finish anything.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill9(mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it takes longer than `timeout` and had to be killed.
    pub async fn terminate(mut self, timeout: Duration) -> Result<ExitStatus> {
        self.process.terminate(timeout).await
    }

    /// Sends it a signal: `STOP` and `CONT` make it lose its lease, for one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Resident memory, in bytes. Linux only.
    ///
    /// # Errors
    /// When `/proc` does not say.
    pub fn rss_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kibibytes = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        Ok(kibibytes
            .with_context(|| format!("{path} has no VmRSS"))?
            .parse::<u64>()?
            * 1024)
    }

    /// Processor time used so far, user and system, in seconds. Linux only.
    ///
    /// # Errors
    /// When `/proc` does not say.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // proc_pid_stat(5): after the name, which may hold spaces, fields 14 and 15 are utime and stime in ticks.
        let (_, rest) = text
            .rsplit_once(')')
            .with_context(|| format!("{path} is cut short"))?;
        let ticks: Vec<u32> = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        let per_second = rustix::param::clock_ticks_per_second();
        #[expect(clippy::cast_precision_loss, reason = "a hundred or a thousand")]
        Ok(f64::from(ticks.iter().sum::<u32>()) / per_second as f64)
    }
}

/// The text of `/metrics` of the operator whose `--listen` address, as a URL, is this.
///
/// # Errors
/// When it does not answer with 200.
pub async fn metrics_text(url: &str) -> Result<String> {
    let (status, body) = crate::http::get(&format!("{url}/metrics")).await?;
    if status != 200 {
        bail!("/metrics answered {status}: {body}");
    }
    Ok(body)
}
