use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tracing::Instrument;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::resources::testing::{Answer, pass_answering};

#[test]
fn traces_are_made_only_where_an_endpoint_is_set() {
    let wanted = |set: &[(&str, &str)]| {
        let set: BTreeMap<&str, &str> = set.iter().copied().collect();
        wanted(|name| set.get(name).map(|value| (*value).to_owned()))
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    assert!(wanted(&[endpoint]));
    assert!(wanted(&[(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://127.0.0.1/v1/traces"
    )]));
    assert!(!wanted(&[]));
    assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
    assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
}

/// A collector on a port of its own, and what it was sent.
async fn collector() -> (String, Arc<Mutex<Vec<ExportTraceServiceRequest>>>) {
    let received: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::default();
    let log = received.clone();
    let take = move |body: Bytes| async move {
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP as protobuf");
        log.lock().expect("no test panics with it").push(request);
    };
    let routes = Router::new().route("/v1/traces", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (format!("http://{address}/v1/traces"), received)
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_and_each_of_its_calls_to_aws_are_spans_and_nothing_else_is() {
    let (endpoint, received) = collector().await;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
        .expect("a client");
    let traces = Traces::through(exporter);
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    let work = async {
        let aws = pass_answering(|asked| {
            match asked.target() {
                "DescribeTable" => Answer::json_error("ThrottlingException", "slow down"),
                _ => Answer::new(200, r#"{"TableNames": []}"#),
            }
            .header("x-amzn-requestid", format!("id-of-{}", asked.target()))
        });
        let span =
            tracing::info_span!("pass", namespace = "web", app = "shop", outcome = "settled");
        async {
            let unrelated = tracing::info_span!("watch");
            let client = aws.clients("eu-west-1").dynamodb.clone();
            let describe = client.describe_table().table_name("t").send();
            let call = aws.call("dynamodb", "DescribeTable", "eu-west-1", describe);
            call.instrument(unrelated)
                .await
                .expect_err("it was answered so");
            let list = client.list_tables().send();
            let call = aws.call("dynamodb", "ListTables", "eu-west-1", list);
            call.await.expect("it was answered so");
        }
        .instrument(span)
        .await;
    };
    work.with_subscriber(subscriber).await;
    let ended = tokio::task::spawn_blocking(move || traces.end());
    ended.await.expect("it does not panic");

    let received = received.lock().expect("no test panics with it");
    let resources: Vec<_> = received
        .iter()
        .flat_map(|request| &request.resource_spans)
        .collect();
    let resource = resources[0].resource.as_ref().expect("who sends it");
    assert_eq!(
        text(&resource.attributes, "service.name").as_deref(),
        Some("multiregion")
    );
    let spans: BTreeMap<&str, &Span> = resources
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .map(|span| (span.name.as_str(), span))
        .collect();
    let names: Vec<&str> = spans.keys().copied().collect();
    assert_eq!(
        names,
        ["dynamodb:DescribeTable", "dynamodb:ListTables", "pass"]
    );
    let attribute = |span: &str, name: &str| text(&spans[span].attributes, name);
    assert_eq!(attribute("pass", "namespace").as_deref(), Some("web"));
    assert_eq!(attribute("pass", "app").as_deref(), Some("shop"));
    assert_eq!(attribute("pass", "outcome").as_deref(), Some("settled"));
    for (operation, outcome) in [("DescribeTable", "throttled"), ("ListTables", "ok")] {
        let call = format!("dynamodb:{operation}");
        let told = |name: &str| attribute(&call, name);
        assert_eq!(told("service").as_deref(), Some("dynamodb"));
        assert_eq!(told("operation").as_deref(), Some(operation));
        assert_eq!(told("region").as_deref(), Some("eu-west-1"));
        assert_eq!(told("outcome").as_deref(), Some(outcome));
        assert_eq!(told("request_id"), Some(format!("id-of-{operation}")));
        assert_eq!(spans[&*call].parent_span_id, spans["pass"].span_id);
        assert_eq!(spans[&*call].trace_id, spans["pass"].trace_id);
    }
    let failed = |span: &str| {
        spans[span]
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2)
    };
    assert!(failed("dynamodb:DescribeTable") && !failed("dynamodb:ListTables"));
}
