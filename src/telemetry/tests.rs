use std::io::Write;

use serde_json::Value;
use tracing::Instrument;
use tracing::instrument::WithSubscriber;

use super::*;
use crate::resources::testing::{Answer, Asked, pass_answering};

/// Lines as they are written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics with it").write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<Value> {
        let text = self.0.lock().expect("no test panics with it");
        let text = std::str::from_utf8(&text).expect("lines are text");
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("each line is JSON")
    }
}

/// What a pass that makes three calls logs: one is refused, one finds nothing, one succeeds.
async fn told(filter: &str) -> Vec<Value> {
    let lines = Lines::default();
    let out = lines.clone();
    let layer = logs(LogFormat::Json, move || out.clone());
    let layer = layer.with_filter(EnvFilter::new(filter));
    let subscriber = tracing_subscriber::registry().with(layer);
    let answer = |asked: &Asked| {
        let answer = match asked.target() {
            "DescribeTable" => Answer::json_error("AccessDeniedException", "you may not"),
            "DescribeTimeToLive" => Answer::json_error("ResourceNotFoundException", "nowhere"),
            _ => Answer::new(200, r#"{"TableNames": []}"#),
        };
        answer.header("x-amzn-requestid", format!("id-of-{}", asked.target()))
    };
    let calls = async {
        let pass = pass_answering(answer);
        let tables = pass.clients("eu-west-1").dynamodb.clone();
        let (service, region) = ("dynamodb", "eu-west-1");
        let call = tables.describe_table().table_name("t").send();
        let refused = pass.call(service, "DescribeTable", region, call).await;
        let call = tables.describe_time_to_live().table_name("t").send();
        let absent = pass.call(service, "DescribeTimeToLive", region, call).await;
        let call = tables.list_tables().send();
        let done = pass.call(service, "ListTables", region, call).await;
        assert!(refused.is_err() && absent.is_err() && done.is_ok());
    };
    let pass = async {
        let span = tracing::info_span!("pass", namespace = "web", app = "shop");
        calls.instrument(span).await;
    };
    pass.with_subscriber(subscriber).await;
    lines.read()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    let id = |line: &Value| line["fields"]["request_id"].as_str().map(str::len);
    assert!(lines.iter().all(|line| id(line).is_some()), "{lines:#?}");
    let ids = lines.iter().map(|line| &line["fields"]["request_id"]);
    ids.filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_refusal_is_logged_with_the_app_and_the_id_of_the_request() {
    let lines = told("warn,multiregion=info").await;
    assert_eq!(ids(&lines), ["id-of-DescribeTable"]);
    let line = &lines[0];
    assert_eq!(line["fields"]["operation"], "dynamodb:DescribeTable");
    assert_eq!(line["fields"]["region"], "eu-west-1");
    assert_eq!(line["fields"]["code"], "AccessDeniedException");
    assert_eq!(line["span"]["name"], "pass", "the call's own span is off");
    assert_eq!(line["span"]["namespace"], "web");
    assert_eq!(line["span"]["app"], "shop");
}

#[tokio::test]
async fn who_asks_for_more_is_told_of_every_call() {
    let mut lines = told("off,multiregion::aws=debug,multiregion::telemetry=debug").await;
    lines.retain(|line| line["target"] == "multiregion::aws::pass");
    let expected = [
        "id-of-DescribeTable",
        "id-of-DescribeTimeToLive",
        "id-of-ListTables",
    ];
    assert_eq!(ids(&lines), expected);
    for line in &lines {
        let spans = line["spans"].as_array().expect("it is within spans");
        assert_eq!(spans[0]["app"], "shop");
        assert_eq!(line["span"]["service"], "dynamodb");
    }
}
