//! Several operators in one world, each with its own way to AWS, and all after one lease.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use strict_aws::{Config, Proxy};
use testbed::wait::{self, Seen};
use testbed::{Operator, OperatorOptions, process::Signal};

use super::World;

/// One of them.
pub struct Candidate {
    /// What it says to AWS.
    pub proxy: Proxy,
    operator: Operator,
}

impl World {
    /// Starts one more operator, which stands for the world's one lease.
    pub async fn candidate(&self) -> Result<Candidate> {
        self.candidate_with(&[]).await
    }

    /// The same, with further arguments.
    pub async fn candidate_with(&self, arguments: &[&str]) -> Result<Candidate> {
        let proxy = Proxy::start(&self.emulator_url, Config::transparent()).await?;
        let mut options = OperatorOptions {
            directory: testbed::paths::scratch()?,
            ..self.options.clone()
        };
        let account = options.account.as_mut();
        account.context("the account is emulated")?.endpoint_url = proxy.url();
        options
            .arguments
            .push(format!("--lease-name={}", self.namespace));
        let further = arguments.iter().map(|argument| (*argument).to_owned());
        options.arguments.extend(further);
        let operator = Operator::start(&options)?;
        Ok(Candidate { proxy, operator })
    }

    /// The lease that the candidates are after.
    pub async fn lease(&self) -> Result<Value> {
        let get = ["get", "lease", &self.namespace, "-o", "json"];
        let mut arguments = vec!["--namespace", "multiregion-system"];
        arguments.extend(get);
        let lease = self.control_plane.kubectl_ok(&arguments, None).await?;
        Ok(serde_json::from_str(&lease)?)
    }
}

impl Candidate {
    /// Waits until it says that it leads and is ready.
    pub async fn until_leader(&mut self, timeout: Duration) -> Result<()> {
        self.until_readyz("ok: leader", timeout).await?;
        ensure!(self.leads().await?, "its metrics say that it stands by");
        Ok(())
    }

    /// Waits until it says that it stands by.
    pub async fn until_standby(&mut self, timeout: Duration) -> Result<()> {
        self.until_readyz("ok: standby", timeout).await?;
        ensure!(!self.leads().await?, "its metrics say that it leads");
        Ok(())
    }

    /// Waits until `/readyz` answers with a text that contains this.
    pub async fn until_readyz(&mut self, expected: &str, timeout: Duration) -> Result<()> {
        let says = |_, body: &str| body.contains(expected);
        let waited = self.operator.wait_readyz(timeout, says).await;
        waited.with_context(|| expected.to_owned())
    }

    /// The sum of a metric's values, of the lines that begin so.
    pub async fn metric(&self, line: &str) -> Result<f64> {
        let metrics = self.operator.metrics_text().await?;
        let values = metrics
            .lines()
            .filter(|found| found.starts_with(line))
            .filter_map(|found| found.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// What the metric says.
    async fn leads(&self) -> Result<bool> {
        let metrics = self.operator.metrics_text().await?;
        let mut lines = metrics.lines();
        match lines.find_map(|line| line.strip_prefix("multiregion_leader ")) {
            Some("1") => Ok(true),
            Some("0") => Ok(false),
            other => bail!("multiregion_leader is {other:?}"),
        }
    }

    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.operator.signal(signal)
    }

    /// SIGKILL; what it said to AWS is left.
    pub fn kill9(self) -> Result<Proxy> {
        self.operator.kill9()?;
        Ok(self.proxy)
    }

    /// SIGTERM; it has to end well. What it said to AWS is left.
    pub async fn terminate(self, timeout: Duration) -> Result<Proxy> {
        let status = self.operator.terminate(timeout).await?;
        ensure!(status.success(), "it ended with {status}");
        Ok(self.proxy)
    }

    /// Waits for its end.
    pub async fn until_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let operator = &mut self.operator;
        let waited = wait::until("the operator's end", timeout, || {
            let ended = operator.exited();
            async move { Ok(ended?.map_or_else(|| Seen::Waiting("it runs".into()), Seen::Done)) }
        });
        waited.await.with_context(|| self.log())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.operator.log()).unwrap_or_default()
    }
}
