//! Logs, and the small HTTP server for metrics and health.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::metrics::Metrics;

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Sends logs to standard error. `RUST_LOG` says how much; the default is this program's `info` and others' `warn`.
pub fn logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,multiregion=info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

/// What the server tells.
#[derive(Clone, Default)]
pub struct Health {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Set once the objects are listed and the controller works.
    pub ready: Arc<AtomicBool>,
    standing: Arc<Mutex<Standing>>,
}

/// What this process is among those that run the same controller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// Not known yet.
    #[default]
    Unknown,
    /// It could not be told who leads.
    Failed(String),
    /// Another leads: this one.
    Standby(String),
    /// It does the work.
    Leader,
    /// It does the work, and nobody asked whether another does.
    Alone,
    /// It does the work of so many shards.
    Shards(usize),
}

impl Health {
    /// Tells what this process is from now on; true if it was something else before.
    pub fn stand(&self, standing: Standing) -> bool {
        let shards = match standing {
            Standing::Leader | Standing::Alone => Some(1),
            Standing::Shards(held) => Some(held),
            Standing::Standby(_) => Some(0),
            // What is held, is held until it is lost.
            Standing::Unknown | Standing::Failed(_) => None,
        };
        if let Some(shards) = shards {
            self.metrics.works(shards);
        }
        let mut current = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, standing.clone()) != standing
    }

    /// What `/readyz` answers; an error is why it is not ready.
    fn readiness(&self) -> Result<String, String> {
        let standing = self
            .standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let listed = self.ready.load(Ordering::Relaxed);
        match standing {
            Standing::Unknown => Err("the lease was not read yet".into()),
            Standing::Failed(why) => Err(format!("the lease cannot be taken: {why}")),
            Standing::Standby(leader) => Ok(format!("ok: standby, {leader} leads")),
            Standing::Shards(0) => Ok("ok: standby, others have all shards".into()),
            _ if !listed => Err("the MultiRegionApps are not listed yet".into()),
            Standing::Leader => Ok("ok: leader".into()),
            Standing::Alone => Ok("ok".into()),
            Standing::Shards(held) => Ok(format!("ok: {held} shards")),
        }
    }
}

/// Takes the address for [`serve`].
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(listen = %address, "serving /metrics, /livez, /readyz");
    Ok(listener)
}

/// Serves `/metrics`, `/livez` and `/readyz` until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn ready(State(health): State<Health>) -> Response {
    match health.readiness() {
        Ok(ready) => ready.into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.metrics.text() {
        Ok(body) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
