//! Traces and log lines: whose they are, and by which id AWS knows a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, minimal};

const TIMEOUT: Duration = Duration::from_secs(120);

/// Takes traces as a collector of OpenTelemetry's does.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// On a port of its own, until the test ends; its address comes with it.
    async fn start() -> Result<(Self, String)> {
        let collector = Self::default();
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok((collector, url))
    }

    fn spans(&self) -> Vec<Span> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.clone()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    let spans = scopes.flat_map(|scope| scope.spans);
    let mut all = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    all.extend(spans);
    StatusCode::OK
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let attributes = span.attributes.iter().filter_map(|attribute| {
        let value = match attribute.value.as_ref()?.value.as_ref()? {
            Attribute::StringValue(text) => text.clone(),
            Attribute::BoolValue(value) => value.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key.as_str(), value))
    });
    attributes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pass_is_a_span_with_its_calls_and_each_line_names_the_app() -> Result<()> {
    let (collector, url) = Collector::start().await?;
    let mut world = World::without_operator("traced", Config::transparent()).await?;
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    world.log_as_json();
    world.start().await?;
    let refusal = Fault::new(FaultKind::AccessDenied)
        .operation("CreateTable")
        .times(1);
    world.proxy.configure(|config| config.faults.push(refusal));
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    // What was not sent yet is sent at the end.
    world
        .terminate_after_writes(0, Duration::from_secs(30))
        .await?;
    check_spans(&collector.spans(), &world.namespace)?;
    check_lines(&world)
}

fn check_spans(spans: &[Span], namespace: &str) -> Result<()> {
    let (passes, calls): (Vec<&Span>, Vec<&Span>) =
        spans.iter().partition(|span| span.name == "pass");
    let mut outcomes = BTreeSet::new();
    for pass in &passes {
        let told = attributes(pass);
        ensure!(told.get("namespace").is_some_and(|told| told == namespace));
        ensure!(told.get("app").is_some_and(|app| app == "shop"));
        outcomes.extend(told.get("outcome").cloned());
    }
    ensure!(
        outcomes.contains("waiting") && outcomes.contains("settled"),
        "{outcomes:?}"
    );
    let ids: BTreeSet<&[u8]> = passes.iter().map(|pass| &*pass.span_id).collect();
    for call in &calls {
        let told = attributes(call);
        let text = |name: &str| told.get(name).map_or("", String::as_str);
        let name = format!("{}:{}", text("service"), text("operation"));
        ensure!(call.name == name, "{}: {told:?}", call.name);
        ensure!(!text("region").is_empty() && !text("outcome").is_empty());
        let answered = !text("request_id").is_empty();
        ensure!(answered || text("outcome") == "unreachable", "{told:?}");
    }
    let of_passes = |name: &str| {
        let mut calls = calls.iter();
        calls.any(|call| call.name == name && ids.contains(&*call.parent_span_id))
    };
    for name in ["lambda:CreateFunction", "cloudfront:GetDistribution"] {
        let seen: BTreeSet<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        ensure!(of_passes(name), "no {name} in a pass, but {seen:?}");
    }
    let refused = calls.iter().find(|call| {
        let told = attributes(call);
        call.name == "dynamodb:CreateTable"
            && told.get("outcome").is_some_and(|told| told == "denied")
    });
    let status = refused.and_then(|call| call.status.as_ref());
    ensure!(status.is_some_and(|status| status.code == 2), "the refusal");
    Ok(())
}

fn check_lines(world: &World) -> Result<()> {
    let log = world.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect::<Result<_>>()?;
    let about = |message: &str| -> Vec<&Value> {
        let mut found: Vec<&Value> = lines.iter().collect();
        found.retain(|line| line["fields"]["message"] == message);
        found
    };
    let (done, refused) = (about("step done"), about("AWS refused"));
    ensure!(done.len() > 10, "{log}");
    for line in done.iter().chain(&refused).chain(&about("step failed")) {
        let span = &line["span"];
        ensure!(
            span["app"] == "shop" && span["namespace"] == world.namespace.as_str(),
            "{line}"
        );
    }
    let refusal = refused.iter().find(|line| {
        let fields = &line["fields"];
        fields["operation"] == "dynamodb:CreateTable" && fields["code"] == "AccessDeniedException"
    });
    let refusal = refusal.with_context(|| format!("no line of the refusal: {refused:#?}"))?;
    let id = refusal["fields"]["request_id"].as_str();
    ensure!(id.is_some_and(|id| !id.is_empty()), "{refusal}");
    Ok(())
}
