//! Everything that runs together: control plane, AWS, operator. Each part may be somebody's own instead.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use edge::Edge;
use serde_json::{Value, json};
use strict_aws::{Config, Proxy};
use testbed::{
    Account, Aws, ControlPlane, Emulator, EmulatorOptions, Operator, OperatorOptions, paths, ports,
    process,
};

use crate::show::Show;

/// The account of the local AWS that the demo uses.
const ACCOUNT: &str = "111122223333";
const ZONE_REGION: &str = "us-east-1";
const PID_FILE: &str = "testbed.pid";

/// The AWS that the operator talks to.
pub enum AwsChoice {
    /// ministack behind the strict proxy.
    Local {
        emulator: Box<Emulator>,
        proxy: Proxy,
        edge: Box<Edge>,
    },
    /// An emulator that the user runs.
    Endpoint,
    /// AWS itself, with the environment's credentials.
    Real,
}

/// What runs. It ends when this is dropped, the operator first.
pub struct Stack {
    operator: Option<Mutex<Operator>>,
    pub control_plane: ControlPlane,
    pub choice: AwsChoice,
    pub aws: Aws,
    pub directory: PathBuf,
    operator_kubeconfig: Option<PathBuf>,
}

impl Stack {
    /// Starts control plane and AWS, a local one as strict as `config` says; a line for each when it is ready.
    pub async fn start(show: &mut Show, config: Config) -> Result<Self> {
        let directory = paths::run_directory();
        claim(&directory)?;

        show.heading("Start the control plane");
        let control_plane = ControlPlane::start_or_use(&directory).await?;
        if control_plane.is_ours() {
            show.event("kube-apiserver and etcd are ready, on ports of their own");
        } else {
            let context = control_plane
                .kubectl_ok(&["config", "current-context"], None)
                .await
                .unwrap_or_default();
            show.event(&format!(
                "using the cluster of KUBECONFIG, context {}",
                context.trim()
            ));
        }

        show.heading("Start AWS");
        let (choice, aws) = start_aws(show, &directory, config).await?;
        Ok(Self {
            operator: None,
            control_plane,
            choice,
            aws,
            directory,
            operator_kubeconfig: None,
        })
    }

    /// Installs the CRD and the RBAC that ship, and starts the operator under its own service account.
    pub async fn start_operator(&mut self, show: &mut Show) -> Result<()> {
        let root = paths::repository();
        show.heading("Install the CRD, and run the operator as its own service account");
        let kube = &self.control_plane;
        let crds = kube
            .kubectl_ok(
                &["apply", "--server-side", "-f", &text(&root.join("crds"))],
                None,
            )
            .await?;
        show.block(&crds);
        let names = ["get", "-f", &text(&root.join("crds")), "-o", "name"];
        for name in kube.kubectl_ok(&names, None).await?.lines() {
            kube.kubectl_ok(
                &["wait", "--for=condition=Established", "--timeout=30s", name],
                None,
            )
            .await?;
        }
        let (namespace, name) =
            install_rbac(kube, &root.join("deploy/base/rbac.yaml"), show).await?;
        let kubeconfig = kube.service_account_kubeconfig(&namespace, &name).await?;

        let mut operator = Operator::start(&OperatorOptions {
            binary: operator_binary()?,
            kubeconfig: kubeconfig.clone(),
            account: self.aws.emulated.clone(),
            region: ZONE_REGION.to_owned(),
            arguments: Vec::new(),
            environment: match &self.choice {
                AwsChoice::Local { edge, .. } => {
                    vec![("MULTIREGION_EDGE_ENDPOINT".to_owned(), edge.url())]
                }
                _ => Vec::new(),
            },
            directory: self.directory.clone(),
            log_file: None,
            port: None,
        })?;
        operator.wait_ready(Duration::from_secs(30)).await?;
        show.event(&format!(
            "multiregion run is ready; metrics at {}/metrics",
            operator.url()
        ));
        self.operator = Some(Mutex::new(operator));
        self.operator_kubeconfig = Some(kubeconfig);
        Ok(())
    }

    /// How the operator ended, if it has: nothing will come of waiting then.
    pub fn operator_ended(&self) -> Result<Option<String>> {
        let Some(operator) = &self.operator else {
            return Ok(None);
        };
        let mut operator = operator.lock().unwrap_or_else(PoisonError::into_inner);
        let status = operator.exited()?;
        Ok(status.map(|status| {
            format!(
                "the operator ended with {status}; its log ends with:\n{}",
                process::tail(operator.log(), 20)
            )
        }))
    }

    /// Asks something of the operator.
    pub fn with_operator<T>(&self, ask: impl FnOnce(&Operator) -> Result<T>) -> Result<T> {
        let operator = self
            .operator
            .as_ref()
            .context("the operator was not started")?;
        ask(&operator.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a public hosted zone, unless the account is a real one or has it already.
    pub async fn create_zone(&self, show: &Show, name: &str) -> Result<()> {
        if matches!(self.choice, AwsChoice::Real) {
            show.event(&format!("the zone {name} has to be in the account already"));
            return Ok(());
        }
        let zones = self
            .aws
            .call("route53", "ListHostedZones", ZONE_REGION, &json!({}))
            .await?;
        let wanted = format!("{name}.");
        let there = zones["HostedZones"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|zone| zone["Name"] == wanted.as_str());
        if !there {
            let zone = json!({"Name": name, "CallerReference": name});
            self.aws
                .call("route53", "CreateHostedZone", ZONE_REGION, &zone)
                .await?;
        }
        show.event(&format!("hosted zone {name} in Route 53"));
        Ok(())
    }

    /// Runs a command of the `multiregion` program in this environment, to its end: exit code and output.
    pub async fn multiregion(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::new(operator_binary()?);
        command
            .args(arguments)
            .envs(self.environment())
            .kill_on_drop(true);
        let output = command.output().await.context("running multiregion")?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((output.status.code(), text))
    }

    /// What a shell needs to use all this.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![(
            "KUBECONFIG".to_owned(),
            text(self.control_plane.kubeconfig()),
        )];
        if let Some(account) = &self.aws.emulated {
            variables.push(("AWS_ENDPOINT_URL".to_owned(), account.endpoint_url.clone()));
            variables.push(("AWS_ACCESS_KEY_ID".to_owned(), account.id.clone()));
            variables.push((
                "AWS_SECRET_ACCESS_KEY".to_owned(),
                testbed::SECRET_ACCESS_KEY.to_owned(),
            ));
            variables.push(("AWS_REGION".to_owned(), ZONE_REGION.to_owned()));
        }
        variables
    }

    /// Writes those variables, and a PATH with kubectl and multiregion, to a file for a shell to read. Its presence
    /// also says that everything is ready.
    pub async fn write_environment_file(&self) -> Result<PathBuf> {
        let tools = testbed::setup::tools().await?;
        let mut script = String::from("# Read by a shell: . .cache/run/env\n");
        for (name, value) in self.environment() {
            writeln!(script, "export {name}='{value}'")?;
        }
        let directories =
            [tools.kubectl.parent(), operator_binary()?.parent()].map(|path| path.map(text));
        let path = directories
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(":");
        writeln!(script, "export PATH='{path}':\"$PATH\"")?;
        writeln!(
            script,
            "alias aws-call='{} {}'",
            text(&tools.python),
            text(&paths::repository().join("tools/aws.py"))
        )?;
        let file = self.directory.join("env");
        std::fs::write(&file, script).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Ends everything in order: the operator first, so that it can finish what it is doing.
    pub async fn stop(self, show: &Show) -> Result<()> {
        if let Some(operator) = self.operator {
            let operator = operator
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            let status = operator.terminate(Duration::from_secs(30)).await?;
            if !status.success() {
                bail!(
                    "the operator ended with {status}; see {}",
                    self.directory.join("operator.log").display()
                );
            }
            show.event("the operator has ended in order");
        }
        if let AwsChoice::Local {
            emulator,
            proxy,
            edge,
        } = self.choice
        {
            drop(edge);
            drop(proxy);
            emulator.stop().await?;
        }
        let ours = self.control_plane.is_ours();
        self.control_plane.stop().await?;
        release(&self.directory);
        show.event("what was started here is stopped");
        if !ours {
            show.event("the CRD and the operator's RBAC are still in your cluster");
        }
        Ok(())
    }
}

async fn start_aws(show: &Show, directory: &Path, config: Config) -> Result<(AwsChoice, Aws)> {
    if std::env::var("MULTIREGION_REAL_AWS").is_ok_and(|value| value == "1") {
        let aws = Aws { emulated: None };
        let identity = aws
            .call("sts", "GetCallerIdentity", ZONE_REGION, &json!({}))
            .await?;
        show.event(&format!(
            "MULTIREGION_REAL_AWS=1: account {} of AWS itself, which costs money",
            plain(&identity["Account"])
        ));
        return Ok((AwsChoice::Real, aws));
    }
    if let Some(url) = std::env::var("AWS_ENDPOINT_URL")
        .ok()
        .filter(|url| !url.is_empty())
    {
        show.event(&format!("using AWS_ENDPOINT_URL={url}"));
        let id = std::env::var("AWS_ACCESS_KEY_ID")
            .ok()
            .filter(|id| id.len() == 12);
        let aws = Aws::emulated(&url, id.as_deref().unwrap_or(ACCOUNT));
        return Ok((AwsChoice::Endpoint, aws));
    }
    let options = EmulatorOptions {
        directory: Some(directory.to_owned()),
        ..EmulatorOptions::default()
    };
    let emulator = Emulator::start(options).await?;
    let address = (Ipv4Addr::LOCALHOST, ports::free_port()?).into();
    let what = if config == Config::strict() {
        "that is as strict as AWS"
    } else {
        "that counts the calls"
    };
    let proxy = Proxy::listen(address, &emulator.url(), config).await?;
    show.event(&format!(
        "the local AWS is at {}, behind a proxy {what}",
        proxy.url()
    ));
    // What viewers ask for is no call of the operator's.
    let edge = Edge::start(edge::Config {
        origins: Some(emulator.url()),
        ..edge::Config::new(&proxy.url(), ACCOUNT)
    })
    .await?;
    show.event(&format!("distributions are served at {}", edge.url()));
    let aws = Aws {
        emulated: Some(Account {
            endpoint_url: proxy.url(),
            id: ACCOUNT.to_owned(),
        }),
    };
    Ok((
        AwsChoice::Local {
            emulator: Box::new(emulator),
            proxy,
            edge: Box::new(edge),
        },
        aws,
    ))
}

/// Applies the RBAC with its namespace; returns the service account in it, by namespace and name.
async fn install_rbac(kube: &ControlPlane, file: &Path, show: &Show) -> Result<(String, String)> {
    let file = text(file);
    let read = kube
        .kubectl_ok(
            &["create", "--dry-run=client", "-f", &file, "-o", "json"],
            None,
        )
        .await?;
    // kubectl prints several objects one after the other, not as a list.
    let objects: Vec<Value> = serde_json::Deserializer::from_str(&read)
        .into_iter()
        .collect::<Result<_, _>>()?;
    let account = objects
        .iter()
        .find(|object| object["kind"] == "ServiceAccount");
    let account = account.with_context(|| format!("{file} has no service account"))?;
    let (namespace, name) = (
        plain(&account["metadata"]["namespace"]),
        plain(&account["metadata"]["name"]),
    );
    ensure_namespace(kube, &namespace).await?;
    show.block(
        &kube
            .kubectl_ok(&["apply", "--server-side", "-f", &file], None)
            .await?,
    );
    Ok((namespace, name))
}

/// Makes a namespace unless it is there.
pub async fn ensure_namespace(kube: &ControlPlane, name: &str) -> Result<()> {
    let manifest =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
    kube.kubectl_ok(&["apply", "--server-side", "-f", "-"], Some(&manifest))
        .await
        .map(drop)
}

/// The operator that was built together with this program.
fn operator_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MULTIREGION_BINARY") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe().context("finding this program")?;
    Ok(here.with_file_name("multiregion"))
}

/// Takes the run directory for this process, after ending what a run that was killed has left in it.
fn claim(directory: &Path) -> Result<()> {
    if let Some(pid) = running(directory) {
        bail!("already running (process {pid}); stop it with: make down");
    }
    std::fs::create_dir_all(directory)
        .with_context(|| format!("making {}", directory.display()))?;
    process::end_stale(directory);
    for name in [
        "env",
        "operator.log",
        "ministack.log",
        "kube-apiserver.log",
        "etcd.log",
    ] {
        let _ = std::fs::remove_file(directory.join(name));
    }
    process::write_pid_file(&directory.join(PID_FILE), std::process::id(), "testbed")
}

/// Lets go of the run directory.
fn release(directory: &Path) {
    let _ = std::fs::remove_file(directory.join("env"));
    let _ = std::fs::remove_file(directory.join(PID_FILE));
}

/// The process that holds the run directory, if there is one.
pub fn running(directory: &Path) -> Option<u32> {
    let (pid, name) = process::read_pid_file(&directory.join(PID_FILE))?;
    (pid != std::process::id() && process::runs_as(pid, &name)).then_some(pid)
}

/// A JSON string without its quotes.
pub fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A path as text; all of ours are.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
