//! Traces, for whoever sets an endpoint for them: one span a pass, one a call to AWS, as OTLP over HTTP.
//!
//! The environment's standard variables say where to and how (`OTEL_EXPORTER_OTLP_…`, `OTEL_TRACES_SAMPLER`,
//! `OTEL_BSP_…`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`). Without an endpoint nothing of this is made.

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Where to, for all that OpenTelemetry knows; and for traces alone, which has precedence.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// The spans that are told. Others tell log lines whose they are, and may last as long as the process.
const SPANS: [&str; 2] = ["pass", "aws"];
const SERVICE: &str = "multiregion";

/// Sends spans away, in batches, from a thread of its own.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Those that the environment asks for, if it does.
    pub(super) fn from_environment() -> Result<Option<Self>, ExporterBuildError> {
        if !wanted(|name| std::env::var(name).ok()) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .build()?;
        Ok(Some(Self::through(exporter)))
    }

    fn through(exporter: SpanExporter) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource());
        Self(provider.build())
    }

    /// What turns the spans of `tracing` into those that are sent.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(tracing_subscriber::filter::filter_fn(is_told))
    }

    /// Sends what is left; blocks for 5 s at most.
    pub fn end(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(error = %crate::chain(&error), "the last traces could not be sent");
        }
    }
}

fn is_told(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.target().starts_with(env!("CARGO_PKG_NAME"))
        && SPANS.contains(&metadata.name())
}

/// Whether the environment, given as a look-up by name, asks for traces.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name, value: &str| variable(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let endpoint = ENDPOINTS
        .iter()
        .any(|name| variable(name).is_some_and(|set| !set.is_empty()));
    endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Who sends them, as far as the environment does not say so.
fn resource() -> Resource {
    let given = Resource::builder().build();
    let name = given.get(&Key::from_static_str("service.name"));
    let named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    if named {
        builder.build()
    } else {
        builder.with_service_name(SERVICE).build()
    }
}

#[cfg(test)]
mod tests;
