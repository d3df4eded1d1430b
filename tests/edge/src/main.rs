//! `edge`: the local CloudFront as a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use edge::{Config, Edge};

/// A local CloudFront: serves requests by the live configs of an emulator's distributions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, env = "EDGE_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The AWS API's URL: the emulator's, or that of a proxy before it.
    #[arg(
        long,
        env = "AWS_ENDPOINT_URL",
        default_value = "http://127.0.0.1:4566"
    )]
    endpoint: String,
    /// Where buckets and functions answer, if not at the endpoint.
    #[arg(long)]
    origins: Option<String>,
    /// The account's 12 digits.
    #[arg(long)]
    account: String,
    /// Serve a change at once, without waiting until it is deployed.
    #[arg(long)]
    at_once: bool,
    /// Seconds that a change of a KeyValueStore takes to be seen.
    #[arg(long, default_value_t = 0.0)]
    store_delay: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let digits = arguments.account.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(
        digits && arguments.account.len() == 12,
        "an account has 12 digits"
    );
    let edge = Edge::start(Config {
        listen: arguments.listen,
        origins: arguments.origins,
        wait_for_deployed: !arguments.at_once,
        store_delay: Duration::try_from_secs_f64(arguments.store_delay).context("--store-delay")?,
        ..Config::new(&arguments.endpoint, &arguments.account)
    })
    .await?;
    println!("{}", edge.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
