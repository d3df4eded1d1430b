//! The local environment from the command line: `make demo`, `make up` and `make down` call this.

mod bench;
mod break_by_hand;
mod demo;
mod failover;
mod show;
mod stack;
mod up;
mod viewer;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Runs the operator on this machine: a real Kubernetes API server, and a local AWS behind a proxy that is as strict as
/// AWS.
#[derive(Parser)]
#[command(name = "testbed", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and install what is needed into the cache, once
    Setup,
    /// Start the control plane, the local AWS and the operator, until Ctrl-C
    Up {
        /// Return when everything is ready, and leave it running until `testbed down`
        #[arg(long)]
        detach: bool,
    },
    /// Stop what `up` or `demo` left running
    Down,
    /// Show an app converge, drift and heal, then leave it running
    ///
    /// KUBECONFIG: use this cluster; KUBEBUILDER_ASSETS: use these binaries for one. AWS_ENDPOINT_URL: use this
    /// emulator. MULTIREGION_REAL_AWS=1: use the AWS account of the environment's credentials, for real money.
    Demo {
        /// Delete the app and stop everything at the end; so also without a terminal
        #[arg(long, env = "ONCE", num_args = 0..=1, default_missing_value = "1", default_value = "0",
              value_parser = clap::builder::FalseyValueParser::new())]
        once: bool,
    },
    /// Measure what an app costs in time, AWS calls, processor and memory
    Bench {
        /// How many apps at once, for the memory they take
        #[arg(long, default_value_t = 49)]
        apps: usize,
        /// Only them: no figures of a single app
        #[arg(long)]
        fleet: bool,
        /// For how long what watching them costs is counted; 720 has a full pass of each
        #[arg(long, default_value_t = 120, value_name = "SECONDS")]
        watch: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let log =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .init();
    let result = match Arguments::parse().command {
        Command::Setup => up::setup_everything().await,
        Command::Up { detach: false } => up::attached().await,
        Command::Up { detach: true } => up::detached().await,
        Command::Down => up::down().await,
        Command::Bench { apps, fleet, watch } => {
            bench::run(apps, fleet, Duration::from_secs(watch)).await
        }
        Command::Demo { once } => demo::run(once).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{}", show::failure(&error));
            ExitCode::FAILURE
        }
    }
}
