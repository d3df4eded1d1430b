//! Logs, traces, and the small HTTP server for metrics and health.

mod traces;

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
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::metrics::Metrics;
pub use traces::Traces;

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Sends logs to standard error, and traces to where the environment says, if it does. `RUST_LOG` says how much is logged; the
/// default is this program's `info` and others' `warn`.
pub fn start(format: LogFormat) -> Option<Traces> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,multiregion=info"));
    let (traces, failed) = match Traces::from_environment() {
        Ok(traces) => (traces, None),
        Err(error) => (None, Some(error)),
    };
    tracing_subscriber::registry()
        .with(logs(format, std::io::stderr).with_filter(filter))
        .with(traces.as_ref().map(Traces::layer))
        .init();
    if let Some(error) = failed {
        tracing::warn!(error = %crate::chain(&error), "no traces: what OTEL_EXPORTER_OTLP_… says makes no sense");
    }
    traces
}

/// Writes log lines to what `out` makes.
fn logs<S, W>(format: LogFormat, out: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(out);
    match format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
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

#[cfg(test)]
mod tests;
