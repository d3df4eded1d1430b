//! What a test acts in: one namespace, one account, one operator, one proxy.

mod beside;
mod candidate;
mod tenants;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use edge::Edge;
use serde_json::{Value, json};
use strict_aws::{Config, Proxy};
use testbed::wait::{self, Seen};
use testbed::{Aws, ControlPlane, Emulator, Operator, OperatorOptions};
use tokio::sync::OnceCell;

pub use candidate::Candidate;

pub const BINARY: &str = env!("CARGO_BIN_EXE_multiregion");

pub struct World {
    pub control_plane: &'static ControlPlane,
    pub proxy: Proxy,
    /// Viewers' side of CloudFront, where a test asks for it.
    pub edge: Option<Edge>,
    pub operator: Option<Operator>,
    pub namespace: String,
    pub account: String,
    /// The emulator behind the proxy.
    emulator_url: String,
    options: OperatorOptions,
}

/// The definition and the RBAC, installed once as the binary prints them.
async fn cluster() -> Result<&'static ControlPlane> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await?;
    INSTALLED.get_or_try_init(|| install(control_plane)).await?;
    Ok(control_plane)
}

async fn install(control_plane: &ControlPlane) -> Result<()> {
    for command in ["crd", "rbac"] {
        let printed = tokio::process::Command::new(BINARY)
            .arg(command)
            .output()
            .await?;
        let printed = String::from_utf8(printed.stdout)?;
        control_plane
            .kubectl_ok(&["apply", "--server-side", "-f", "-"], Some(&printed))
            .await?;
    }
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/multiregionapps.multiregion.dev",
    ];
    control_plane.kubectl_ok(&established, None).await.map(drop)
}

impl World {
    /// A world with the operator running in it; `account` is the test's own, 12 digits.
    pub async fn new(name: &str, config: Config) -> Result<Self> {
        let mut world = Self::without_operator(name, config).await?;
        world.start().await?;
        Ok(world)
    }

    /// A world in which the distributions serve, also the operator's probes.
    pub async fn with_edge(name: &str, config: Config) -> Result<Self> {
        let mut world = Self::without_operator(name, config).await?;
        let edge = Edge::start(edge::Config::new(&world.proxy.url(), &world.account)).await?;
        let endpoint = ("MULTIREGION_EDGE_ENDPOINT".to_owned(), edge.url());
        world.options.environment.push(endpoint);
        world.edge = Some(edge);
        world.start().await?;
        Ok(world)
    }

    pub async fn without_operator(name: &str, config: Config) -> Result<Self> {
        Self::at(Emulator::shared().await?, name, config).await
    }

    /// A world on an AWS of its own.
    pub async fn at(emulator: &Emulator, name: &str, config: Config) -> Result<Self> {
        Self::within(cluster().await?, emulator, name, config).await
    }

    /// A world in a cluster of its own, which nothing is installed in yet, without an operator.
    pub async fn in_cluster(
        control_plane: &'static ControlPlane,
        name: &str,
        config: Config,
    ) -> Result<Self> {
        install(control_plane).await?;
        Self::within(control_plane, Emulator::shared().await?, name, config).await
    }

    async fn within(
        control_plane: &'static ControlPlane,
        emulator: &Emulator,
        name: &str,
        config: Config,
    ) -> Result<Self> {
        static ACCOUNTS: AtomicU32 = AtomicU32::new(1);
        let proxy = Proxy::start(&emulator.url(), config).await?;
        let account = format!(
            "{:012}",
            210_000_000_000_u64 + u64::from(ACCOUNTS.fetch_add(1, Ordering::Relaxed))
        );
        // Two tests may have chosen one name.
        let namespace = format!("{name}-{}-{}", std::process::id(), &account[8..]);
        control_plane
            .kubectl_ok(&["create", "namespace", &namespace], None)
            .await?;
        let kubeconfig = control_plane
            .service_account_kubeconfig("multiregion-system", "multiregion")
            .await?;
        let mut options = OperatorOptions::emulated(BINARY, &kubeconfig, &proxy.url(), &account)?;
        options.arguments = vec![
            "--namespace".into(),
            namespace.clone(),
            "--log-format".into(),
            "text".into(),
        ];
        Ok(Self {
            control_plane,
            proxy,
            edge: None,
            operator: None,
            namespace,
            account,
            emulator_url: emulator.url(),
            options,
        })
    }

    /// Each start has a lease of its own, as a killed one's would have to be waited for; see [`World::candidate`].
    pub async fn start(&mut self) -> Result<()> {
        static LEASES: AtomicU32 = AtomicU32::new(1);
        let mut options = self.options.clone();
        let lease = LEASES.fetch_add(1, Ordering::Relaxed);
        options
            .arguments
            .push(format!("--lease-name={}-{lease}", self.namespace));
        let mut operator = Operator::start(&options)?;
        operator.wait_ready(Duration::from_secs(20)).await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// The account, as its root user in the console.
    pub fn aws(&self) -> Aws {
        Aws::emulated(&self.proxy.url(), &self.account)
    }

    /// Somebody else's account on the same AWS.
    pub fn other_account(&self) -> Aws {
        Aws::emulated(&self.proxy.url(), "999900001111")
    }

    /// The operator starts without any credentials.
    pub fn without_credentials(&mut self) {
        let endpoint = self.proxy.url();
        self.options.account = None;
        self.options.environment = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    }

    /// The operator starts with this access key.
    pub fn use_keys(&mut self, (id, secret): &(String, String)) {
        let keys = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
        self.options.environment = keys
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .to_vec();
    }

    /// Kills the operator with SIGKILL once it has made so many writes, or has none left to make.
    pub async fn kill_after_writes(&mut self, writes: usize) -> Result<()> {
        self.proxy.clear_calls();
        let enough = wait::until("writes to kill in", Duration::from_secs(3), || async {
            Ok(Seen::when(self.proxy.writes().len() >= writes, "fewer"))
        });
        // Where nothing is left to write, any moment is as good.
        let _ = enough.await;
        match self.operator.take() {
            Some(operator) => operator.kill9(),
            None => Ok(()),
        }
    }

    pub async fn annotate(&self, name: &str, annotation: &str) -> Result<()> {
        self.kubectl(
            &[
                "annotate",
                "--overwrite",
                "multiregionapp",
                name,
                annotation,
            ],
            None,
        )
        .await
        .map(drop)
    }

    pub async fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        self.control_plane.kubectl_ok(&all, input).await
    }

    /// Applies an app as a user does.
    pub async fn apply(&self, name: &str, spec: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        self.kubectl(
            &["apply", "--server-side", "-f", "-"],
            Some(&object.to_string()),
        )
        .await
        .map(drop)
    }

    /// Applies one of the samples, in this world's namespace.
    pub async fn apply_sample(&self, file: &str) -> Result<()> {
        let path = format!("{}/deploy/samples/{file}", env!("CARGO_MANIFEST_DIR"));
        let sample = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let sample = sample.replace("namespace: web", &format!("namespace: {}", self.namespace));
        self.kubectl(&["apply", "--server-side", "-f", "-"], Some(&sample))
            .await
            .map(drop)
    }

    pub async fn patch(&self, name: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        self.kubectl(
            &[
                "patch",
                "multiregionapp",
                name,
                "--type=merge",
                "-p",
                &patch,
            ],
            None,
        )
        .await
        .map(drop)
    }

    /// Creates a public hosted zone, by hand; returns its id.
    pub async fn create_zone(&self, name: &str) -> Result<String> {
        let parameters =
            json!({"Name": name, "CallerReference": format!("{name}-{}", self.namespace)});
        let created = self
            .aws()
            .call("route53", "CreateHostedZone", "us-east-1", &parameters)
            .await?;
        let id = created
            .pointer("/HostedZone/Id")
            .and_then(Value::as_str)
            .context("the zone has an id")?;
        Ok(id.trim_start_matches("/hostedzone/").to_owned())
    }

    pub async fn get(&self, name: &str) -> Result<Value> {
        let text = self
            .kubectl(&["get", "multiregionapp", name, "-o", "json"], None)
            .await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until `holds` says so of the app, which it is given whole.
    pub async fn until(
        &self,
        what: &str,
        name: &str,
        timeout: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let waited = wait::until(what, timeout, || async {
            let app = self.get(name).await?;
            if holds(&app) {
                Ok(Seen::Done(app))
            } else {
                Ok(Seen::Waiting(summary(&app)))
            }
        })
        .await;
        waited.with_context(|| self.log_tail())
    }

    pub async fn until_ready(&self, name: &str, timeout: Duration) -> Result<Value> {
        let generation_seen = |app: &Value| {
            app.pointer("/status/observedGeneration") == app.pointer("/metadata/generation")
        };
        self.until("Ready and Synced", name, timeout, |app| {
            generation_seen(app)
                && condition(app, "Ready").0 == "True"
                && condition(app, "Synced").0 == "True"
        })
        .await
    }

    /// Asks for a pass that reads everything, and waits until it was made.
    pub async fn pass(&self, name: &str) -> Result<Value> {
        static TOKENS: AtomicU32 = AtomicU32::new(1);
        let token = format!("t{}", TOKENS.fetch_add(1, Ordering::Relaxed));
        let annotation = format!("multiregion.dev/reconcile={token}");
        self.kubectl(
            &[
                "annotate",
                "--overwrite",
                "multiregionapp",
                name,
                &annotation,
            ],
            None,
        )
        .await?;
        self.until("the pass asked for", name, Duration::from_secs(60), |app| {
            app.pointer("/status/lastHandled/reconcile") == Some(&json!(token))
        })
        .await
    }

    /// The end of every test: one more full pass writes nothing to AWS, and the next one nothing to Kubernetes.
    ///
    /// Probes and heartbeats may first have to tell what they found; then there is nothing new from them either.
    pub async fn assert_quiet(&self, name: &str) -> Result<()> {
        let status = |app: &Value| {
            let mut status = app["status"].clone();
            // The token is what asked for the pass.
            status["lastHandled"] = Value::Null;
            status.to_string()
        };
        let started = std::time::Instant::now();
        let mut before = status(&self.pass(name).await?);
        loop {
            self.proxy.clear_calls();
            let after = status(&self.pass(name).await?);
            let writes = self.proxy.writes();
            if !writes.is_empty() {
                bail!(
                    "a pass over a converged app wrote to AWS: {writes:#?}\n{}",
                    self.log_tail()
                );
            }
            if before == after {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(60) {
                bail!("passes over a converged app go on changing the status:\n{before}\n{after}");
            }
            before = after;
        }
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        self.kubectl(&["delete", "multiregionapp", name, "--wait=false"], None)
            .await
            .map(drop)
    }

    /// Waits until the object is gone.
    pub async fn until_gone(&self, name: &str, timeout: Duration) -> Result<()> {
        let waited = wait::until("the app to be gone", timeout, || async {
            let list = self
                .kubectl(&["get", "multiregionapp", "-o", "json"], None)
                .await?;
            let list: Value = serde_json::from_str(&list)?;
            let left = list["items"].as_array().into_iter().flatten();
            let found = left
                .into_iter()
                .find(|app| app.pointer("/metadata/name") == Some(&json!(name)));
            Ok(found.map_or(Seen::Done(()), |app| Seen::Waiting(summary(app))))
        })
        .await;
        waited.with_context(|| self.log_tail())
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        format!("the operator's log ends:\n{}", tail.join("\n"))
    }
}

/// Status and reason of a condition.
pub fn condition<'a>(app: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    let conditions = app.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == name);
    let text = |field: &str| {
        found
            .and_then(|condition| condition[field].as_str())
            .unwrap_or("")
    };
    (text("status"), text("reason"), text("message"))
}

fn summary(app: &Value) -> String {
    let conditions = app.pointer("/status/conditions").and_then(Value::as_array);
    let conditions: Vec<String> = conditions
        .into_iter()
        .flatten()
        .map(|condition| {
            format!(
                "{}={} {}: {}",
                condition["type"], condition["status"], condition["reason"], condition["message"]
            )
        })
        .collect();
    format!(
        "{}\n  pending: {}",
        conditions.join("\n  "),
        app["status"]["pending"]
    )
}

/// The smallest spec.
pub fn minimal() -> Value {
    json!({"regions": {"primary": "us-east-1", "dr": "us-west-2"}, "tables": [{"name": "visits"}]})
}
