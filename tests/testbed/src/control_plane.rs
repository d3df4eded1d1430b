//! A real Kubernetes API server with its etcd, or somebody's own cluster.
//!
//! There is no controller manager: namespaces that are deleted stay Terminating, no `default` service account is
//! made, and nothing collects garbage by owner references.

mod files;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use self::files::{
    remove_directory, write_admin_kubeconfig, write_admin_token, write_private,
    write_service_account_keys,
};
use crate::kubectl::{Kubectl, Output};
use crate::ports::free_port;
use crate::process::{self, Process};
use crate::setup::{self, Tools};
use crate::wait::{self, Seen};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A control plane; what was started for it ends when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    directory: PathBuf,
    kubectl: Kubectl,
    server: Option<Server>,
}

/// What runs here, as opposed to a cluster of somebody's.
#[derive(Debug)]
struct Server {
    tools: Tools,
    port: u16,
    etcd_port: u16,
    etcd: Mutex<Process>,
    /// `None` between a stop and a start.
    api_server: Mutex<Option<Process>>,
}

impl ControlPlane {
    /// Starts etcd and an API server of its own on free ports, with everything they write in `directory`: RBAC is
    /// on, and the admin's kubeconfig is [`ControlPlane::kubeconfig`]. Returns when `/readyz` says ok.
    ///
    /// # Errors
    /// When a tool is missing or a server does not get ready, with the end of its log.
    pub async fn start(directory: &Path) -> Result<Self> {
        let tools = setup::tools().await?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        // Of a cluster that was here before: certificates expire, and what it served was something else.
        for name in ["etcd", "certificates", "kubectl-cache"] {
            remove_directory(&directory.join(name))?;
        }
        write_service_account_keys(&directory)?;
        write_admin_token(&directory)?;

        let server =
            process::with_free_ports(async || start_servers(&directory, &tools).await).await?;
        let kubectl = Kubectl::new(
            &tools.kubectl,
            directory.join("admin.kubeconfig"),
            &directory,
        );
        Ok(Self {
            directory,
            kubectl,
            server: Some(server),
        })
    }

    /// The cluster that `KUBECONFIG` names, if it is set, else [`ControlPlane::start`].
    ///
    /// # Errors
    /// As [`ControlPlane::start`], and when that cluster does not answer.
    pub async fn start_or_use(directory: &Path) -> Result<Self> {
        let Some(kubeconfig) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())
        else {
            return Self::start(directory).await;
        };
        let tools = setup::tools().await?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let kubectl = Kubectl::new(&tools.kubectl, PathBuf::from(kubeconfig), directory);
        kubectl
            .ok(&["version", "--output=json"], None)
            .await
            .context("the cluster of KUBECONFIG does not answer")?;
        Ok(Self {
            directory: directory.canonicalize()?,
            kubectl,
            server: None,
        })
    }

    /// One control plane for all tests of a process: started with the first call, ended with the process. Keep
    /// tests apart by namespaces. `KUBECONFIG` is honoured.
    ///
    /// # Errors
    /// As [`ControlPlane::start_or_use`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async { Self::start_or_use(&crate::paths::scratch()?).await })
            .await
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// Where its kubeconfigs and logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the servers run here, rather than being a cluster of somebody's.
    pub fn is_ours(&self) -> bool {
        self.server.is_some()
    }

    /// kubectl, as the admin. Its exit status is in the output: this fails only if it cannot be run.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        self.kubectl.run(arguments, input).await
    }

    /// kubectl, as the admin, of which the standard output is returned.
    ///
    /// # Errors
    /// When it exits with anything but 0, with what it said.
    pub async fn kubectl_ok(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        self.kubectl.ok(arguments, input).await
    }

    /// kubectl as whoever this kubeconfig says.
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Kubectl {
        self.kubectl.with_kubeconfig(kubeconfig)
    }

    /// A kubeconfig for a service account that exists, with a token of 24 hours from the TokenRequest API: what the
    /// operator runs with, so that it can do what its RBAC allows and nothing else.
    ///
    /// # Errors
    /// When there is no such service account, or the file cannot be written.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let arguments = [
            "create",
            "token",
            name,
            "--namespace",
            namespace,
            "--duration=24h",
        ];
        let token = self.kubectl_ok(&arguments, None).await?;
        let admin = self.kubectl_ok(
            &[
                "config",
                "view",
                "--raw",
                "--minify",
                "--flatten",
                "--output=json",
            ],
            None,
        );
        let mut config: Value =
            serde_json::from_str(&admin.await?).context("reading the admin's kubeconfig")?;
        if let Some(user) = config.pointer_mut("/users/0") {
            user["user"] = json!({"token": token.trim()});
        }
        let path = self
            .directory
            .join(format!("{namespace}-{name}.kubeconfig"));
        write_private(&path, &serde_json::to_string_pretty(&config)?)?;
        Ok(path)
    }

    /// Kills the API server, as a crash would, and starts it again on the same port and etcd.
    ///
    /// # Errors
    /// When the cluster is not ours, or the server does not get ready again.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Kills the API server, as a crash would, and leaves it down.
    ///
    /// # Errors
    /// When the cluster is not ours.
    pub async fn stop_api_server(&self) -> Result<()> {
        if let Some(mut process) = self.server()?.api_server.lock().await.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Starts the API server after [`ControlPlane::stop_api_server`].
    ///
    /// # Errors
    /// When the cluster is not ours, or the server does not get ready.
    pub async fn start_api_server(&self) -> Result<()> {
        let server = self.server()?;
        let mut slot = server.api_server.lock().await;
        if slot.is_none() {
            *slot = Some(
                start_api_server(
                    &self.directory,
                    &server.tools,
                    server.port,
                    server.etcd_port,
                )
                .await?,
            );
        }
        Ok(())
    }

    /// Ends the servers. Nothing happens to a cluster of somebody's.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(self) -> Result<()> {
        if let Some(server) = &self.server {
            if let Some(mut process) = server.api_server.lock().await.take() {
                process.kill()?;
            }
            server.etcd.lock().await.kill()?;
        }
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server
            .as_ref()
            .context("the cluster is not one that was started here")
    }
}

async fn start_servers(directory: &Path, tools: &Tools) -> Result<Server> {
    let (port, etcd_port, peer_port) = (free_port()?, free_port()?, free_port()?);
    let etcd = start_etcd(directory, tools, etcd_port, peer_port)?;
    let api_server = start_api_server(directory, tools, port, etcd_port).await?;
    Ok(Server {
        tools: tools.clone(),
        port,
        etcd_port,
        etcd: Mutex::new(etcd),
        api_server: Mutex::new(Some(api_server)),
    })
}

fn start_etcd(directory: &Path, tools: &Tools, port: u16, peer_port: u16) -> Result<Process> {
    let (client, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    let mut command = process::command(&tools.etcd);
    command.arg("--data-dir").arg(directory.join("etcd")).args([
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Nothing here has to survive the machine.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    Process::start("etcd", command, directory)
}

async fn start_api_server(
    directory: &Path,
    tools: &Tools,
    port: u16,
    etcd_port: u16,
) -> Result<Process> {
    let certificates = directory.join("certificates");
    let mut command = process::command(&tools.kube_apiserver);
    command
        .args([
            format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // Service accounts are made by hand here; the plugin would wait for a token controller.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ])
        .arg("--cert-dir")
        .arg(&certificates)
        .arg("--token-auth-file")
        .arg(directory.join("tokens.csv"))
        .arg("--service-account-key-file")
        .arg(directory.join("service-account.pub"))
        .arg("--service-account-signing-key-file")
        .arg(directory.join("service-account.key"));
    let mut server = Process::start("kube-apiserver", command, directory)?;

    // The certificate is made at the first start, and the kubeconfig needs it.
    let certificate = certificates.join("apiserver.crt");
    let ready = wait::until("the API server's certificate", READY_WITHIN, || {
        let ended = server.exited();
        let there = certificate.is_file();
        async move {
            match ended? {
                Some(status) => Ok(Seen::Failed(format!("it ended with {status}"))),
                None => Ok(Seen::when(there, "none yet")),
            }
        }
    });
    ready.await.map_err(|error| server.explain(&error))?;
    let kubeconfig = write_admin_kubeconfig(directory, port, &certificate)?;

    let kubectl = Kubectl::new(&tools.kubectl, kubeconfig, directory);
    let ready = wait::until("the API server's /readyz", READY_WITHIN, || {
        let ended = server.exited();
        let kubectl = &kubectl;
        async move {
            if let Some(status) = ended? {
                return Ok(Seen::Failed(format!("it ended with {status}")));
            }
            // A connection costs nothing next to a kubectl, and most looks end here.
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .context("connecting")?;
            let answer = kubectl.run(&["get", "--raw=/readyz"], None).await?;
            Ok(Seen::when(answer.success(), answer.stderr))
        }
    });
    ready.await.map_err(|error| server.explain(&error))?;
    Ok(server)
}
