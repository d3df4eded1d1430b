//! kubectl as a function.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// kubectl with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl Kubectl {
    /// The program, for the user of a kubeconfig (or a list of them, as `KUBECONFIG` may hold), with its discovery
    /// cache in `directory`: the one in the home directory goes by host and port, and those come back with another
    /// server behind them.
    pub fn new(program: &Path, kubeconfig: PathBuf, directory: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig,
            cache: directory.join("kubectl-cache"),
        }
    }

    /// The same for another user.
    #[must_use]
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            ..self.clone()
        }
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs it to its end, `input` being its standard input.
    ///
    /// # Errors
    /// When it cannot be run. How it ends is in the output.
    pub async fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        run(command, input)
            .await
            .with_context(|| format!("running kubectl {}", arguments.join(" ")))
    }

    /// Runs it and returns its standard output.
    ///
    /// # Errors
    /// When it exits with anything but 0, with what it said.
    pub async fn ok(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = self.run(arguments, input).await?;
        if !output.success() {
            bail!(
                "kubectl {} ({}): {}",
                arguments.join(" "),
                output.status,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }
}

/// Runs a command to its end with `input` on its standard input.
pub(crate) async fn run(mut command: Command, input: Option<&str>) -> Result<Output> {
    let mut child = command.spawn()?;
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
        // It may end without reading all of it, and then says itself why.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
