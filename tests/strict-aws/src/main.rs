//! `strict-aws`: the proxy as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use strict_aws::{Config, Proxy};

/// A proxy before a local AWS emulator that answers as strictly and as slowly as AWS does, and injects faults.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The emulator's URL.
    #[arg(
        long,
        env = "STRICT_AWS_UPSTREAM",
        default_value = "http://127.0.0.1:4566"
    )]
    upstream: String,
    /// The address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, env = "STRICT_AWS_LISTEN", default_value = "127.0.0.1:4567")]
    listen: SocketAddr,
    /// A JSON file with the config; what is absent takes its default (`GET /_strict/config` shows all of it).
    #[arg(long)]
    config: Option<PathBuf>,
    /// No rules: calls are passed on, recorded, and only origin access identities are added.
    #[arg(long)]
    transparent: bool,
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
    let mut config = match &arguments.config {
        Some(path) => {
            let text =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("{} is no config", path.display()))?
        }
        None => Config::strict(),
    };
    if arguments.transparent {
        config.strict = strict_aws::Strict::none();
    }
    let proxy = Proxy::listen(arguments.listen, &arguments.upstream, config).await?;
    println!("{}", proxy.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
