//! The commands. Exit status: 0, or 1 after an error; `plan` says 2 where there is something to do.

mod drill;
mod graph;
pub mod iam_policy;
mod leader;
pub mod namespaces;
mod plan;
pub mod rbac;
mod reference;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::leader::Leading;
use crate::aws::Aws;
use crate::aws::accounts::Accounts;
use crate::aws::fence::Fence;
use crate::aws::limits::{Limit, Sharers};
use crate::controller::shards::{self, Shard};
use crate::health::probe::Prober;
use crate::settings::{self, Settings};
use crate::telemetry::{self, Health, LogFormat, Standing};
use crate::{api, controller, web};

/// Serverless web applications in two AWS regions, as one Kubernetes resource.
#[derive(Parser, Debug)]
#[command(name = "multiregion", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the controller.
    Run(RunArguments),
    /// Compare a manifest with live AWS state; exit status 0: nothing to do, 2: changes, 1: error.
    Plan(PlanArguments),
    /// Print the picture of an app as Mermaid, with the state of its parts.
    Graph(graph::GraphArguments),
    /// Send the writes of a live app to its DR region and back; exit status 0: the drill succeeded, 1: it did not.
    Drill(drill::DrillArguments),
    /// Print the definition of MultiRegionApp.
    Crd,
    /// Print the RBAC that the controller runs with.
    Rbac(rbac::RbacArguments),
    /// Print the least IAM policy that the controller needs.
    IamPolicy(iam_policy::IamPolicyArguments),
    /// Print the manifest reference, as it is in docs/.
    #[command(hide = true)]
    Reference,
}

/// The operator's configuration.
#[derive(Args, Clone, Debug)]
struct ConfigArguments {
    /// File with the operator's configuration: which namespace acts in which AWS account. Default: all as this process.
    #[arg(long, env = "MULTIREGION_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArguments {
    fn read(&self) -> Result<Settings, settings::Error> {
        // An empty variable names no file.
        let file = self.config.as_deref();
        Settings::read(file.filter(|file| !file.as_os_str().is_empty()))
    }
}

#[derive(Args, Debug)]
struct RunArguments {
    /// Where /metrics, /livez and /readyz are served.
    #[arg(long, env = "MULTIREGION_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Serve a read-only web page here, such as 0.0.0.0:8443; TLS is an ingress's. Needs `multiregion rbac --web`. Default: none.
    #[arg(long, env = "MULTIREGION_WEB")]
    web: Option<SocketAddr>,
    /// Id of this cluster in owner tags; the same id in two clusters makes them one owner. Default: the uid of kube-system.
    #[arg(long, env = "MULTIREGION_CLUSTER_ID")]
    cluster_id: Option<String>,
    #[command(flatten)]
    namespaces: namespaces::NamespaceArguments,
    /// Where distributions are served, in place of their own names; for an emulated AWS only.
    #[arg(long, env = "MULTIREGION_EDGE_ENDPOINT", hide = true)]
    edge_endpoint: Option<String>,
    /// Most calls a second to a service, of which AWS documents a limit by default: `lambda=10`, with what may come at
    /// once `lambda=10/20`, for one operation `lambda:GetFunction=50`. For several: repeat it, or use commas.
    #[arg(long = "limit", env = "MULTIREGION_LIMITS", value_delimiter = ',')]
    limits: Vec<Limit>,
    /// How logs are written.
    #[arg(long, env = "MULTIREGION_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Seconds between two readings of an app's CloudWatch metrics, each of which AWS bills; a fifth of it while one of
    /// its regions is unhealthy. 0: none are read.
    #[arg(
        long,
        env = "MULTIREGION_CLOUDWATCH_INTERVAL_SECONDS",
        default_value_t = controller::evidence::INTERVAL.as_secs(),
        value_parser = clap::value_parser!(u64).range(..=86_400)
    )]
    cloudwatch_interval_seconds: u64,
    #[command(flatten)]
    configuration: ConfigArguments,
    #[command(flatten)]
    leader: leader::LeaderArguments,
}

#[derive(Args, Debug)]
struct PlanArguments {
    /// The manifest; `-` reads standard input.
    #[arg(short, long)]
    file: PathBuf,
    /// How the plan is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: plan::Output,
    /// Id of the cluster whose controller owns the app. Default: the uid of kube-system, where a cluster answers.
    #[arg(long, env = "MULTIREGION_CLUSTER_ID")]
    cluster_id: Option<String>,
    #[command(flatten)]
    configuration: ConfigArguments,
}

/// Runs the command of the process's arguments.
pub async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Plan(arguments) => plan::run(arguments).await,
        Command::Graph(arguments) => graph::run(arguments).await,
        Command::Drill(arguments) => drill::run(arguments).await,
        Command::Crd => print(&api::crd_yaml()),
        Command::Rbac(arguments) => print(&rbac::yaml(&arguments)),
        Command::IamPolicy(arguments) => print(&iam_policy::json(&arguments)),
        Command::Reference => print(&reference::markdown()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let traces = telemetry::start(arguments.log_format);
    let done = lead(arguments).await;
    if let Some(traces) = traces {
        tokio::task::spawn_blocking(move || traces.end()).await?;
    }
    done
}

/// Leads or stands by until it is asked to stop, or may not lead any more.
async fn lead(arguments: RunArguments) -> anyhow::Result<()> {
    let settings = arguments.configuration.read()?;
    let health = Health::default();
    health.metrics.spread_over(arguments.leader.shards());
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let client = kube::Client::try_default().await?;
    let listener = telemetry::listen(arguments.listen).await?;
    // It serves for as long as passes run, also those that the signal finds under way.
    let stopped = CancellationToken::new();
    let server = tokio::spawn(telemetry::serve(listener, health.clone(), stopped.clone()));
    let page = web_page(&arguments, &client, &stopped).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let leading = arguments.leader.leading(&client, &health);
    let sharers = Sharers::default();
    let process = Arc::new(Process {
        client: client.clone(),
        health: health.clone(),
        arguments,
        settings,
        accounts: OnceCell::new(),
        sharers: sharers.clone(),
    });
    let work = move |shard, fence, stop| process.clone().work(shard, fence, stop);
    let led = async {
        match leading {
            // Stopped while it stood by, there was nothing to be done.
            Leading::One(election) => {
                let work = |fence| work(Shard::WHOLE, fence, stop.clone());
                election.lead(&stop, work).await?.unwrap_or(Ok(()))
            }
            Leading::Shards(leases) => {
                let (health, stop) = (health.clone(), stop.clone());
                shards::lead(client, leases, health, sharers, stop, work).await
            }
            Leading::Alone => {
                health.stand(Standing::Alone);
                work(Shard::WHOLE, Fence::default(), stop.clone()).await
            }
        }
    };
    tokio::select! {
        done = led => done?,
        served = server => served??,
        served = page => served?,
    }
    stopped.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// Serves the web page until `stop`, where one is asked for; also while another replica leads.
async fn web_page(
    arguments: &RunArguments,
    client: &kube::Client,
    stop: &CancellationToken,
) -> anyhow::Result<impl Future<Output = std::io::Result<()>> + use<>> {
    let listener = match arguments.web {
        Some(address) => Some(web::listen(address).await?),
        None => None,
    };
    let (client, namespaces) = (client.clone(), arguments.namespaces.set());
    let stop = stop.clone();
    Ok(async move {
        match listener {
            Some(listener) => web::serve(listener, client, namespaces, stop).await,
            None => std::future::pending().await,
        }
    })
}

/// What all that a process leads has in common.
struct Process {
    client: kube::Client,
    health: Health,
    arguments: RunArguments,
    settings: Settings,
    /// Known once the process leads: who stands by asks AWS nothing.
    accounts: OnceCell<Accounts>,
    /// The processes among which the shards are spread.
    sharers: Sharers,
}

impl Process {
    /// What the leader of a shard does, until `stop`.
    async fn work(
        self: Arc<Self>,
        shard: Shard,
        fence: Fence,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let (client, arguments) = (self.client.clone(), &self.arguments);
        let cluster = match &arguments.cluster_id {
            Some(id) => id.clone(),
            None => controller::cluster_id(&client).await?,
        };
        tracing::info!(cluster, shard = shard.number, of = shard.of, "works");
        let scope = controller::Scope {
            cluster,
            namespaces: arguments.namespaces.set(),
            shard,
            cloudwatch_interval: Duration::from_secs(arguments.cloudwatch_interval_seconds),
            settings: self.settings.clone(),
        };
        let accounts = self.accounts.get_or_init(|| self.accounts()).await;
        let accounts = accounts.clone().within(fence);
        let prober = Prober::new(accounts.own(), arguments.edge_endpoint.clone())?;
        controller::run(client, accounts, prober, self.health.clone(), scope, stop).await;
        Ok(())
    }

    async fn accounts(&self) -> Accounts {
        let metrics = self.health.metrics.clone();
        let own = Aws::from_environment(Arc::new(move |record| metrics.aws(record))).await;
        Accounts::new(own.limited(&self.arguments.limits, self.sharers.clone()))
    }
}

/// Lets go of everything on SIGTERM or Ctrl-C.
async fn stop_on_signal(stop: CancellationToken) {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be listened for");
                return;
            }
        };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping: passes under way are ended");
    stop.cancel();
}

#[cfg(test)]
mod tests;
