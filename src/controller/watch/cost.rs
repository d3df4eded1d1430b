//! What watching an app costs, worked out of the intervals that the code goes by, as `docs/cost.md` says it.

use std::time::Duration;

use serde_json::json;

use super::super::evidence::{HURRY, INTERVAL};
use super::heartbeats::{FIRST_LOOKS, LOOK_AGAIN, STATIC_INTERVAL};
use super::witness_path;
use crate::api::{MultiRegionApp, MultiRegionAppSpec};
use crate::app::App;
use crate::aws::tags::OwnerKey;
use crate::health::evidence::{Query, queries};
use crate::health::heartbeat::{self, Beat};

const HOURS_A_MONTH: f64 = 730.0;
/// How late a heartbeat is assumed to be: of a table, and of the static files.
const TABLE_LAG: Duration = Duration::from_secs(1);
const STATIC_LAG: Duration = Duration::from_secs(15);
/// How long a probe is assumed to keep a function busy, in seconds.
const ANSWER_SECONDS: f64 = 0.05;
/// Latency, bytes and operations pending, operations failed: S3 publishes them where a rule has metrics.
const S3_METRICS: f64 = 4.0;

/// AWS's list prices in us-east-1, in dollars.
mod price {
    pub const METRIC_READ: f64 = 0.01 / 1e3;
    pub const CUSTOM_METRIC_MONTH: f64 = 0.30;
    pub const DYNAMODB_WRITE: f64 = 0.625 / 1e6;
    pub const DYNAMODB_READ: f64 = 0.125 / 1e6;
    pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
    pub const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;
    pub const CLOUDFRONT_REQUEST: f64 = 0.01 / 1e4;
    pub const EDGE_FUNCTION: f64 = 0.10 / 1e6;
    pub const KEY_READ: f64 = 0.03 / 1e6;
    pub const S3_PUT: f64 = 0.005 / 1e3;
    pub const S3_HEAD: f64 = 0.0004 / 1e3;
}

fn spec(tables: &[&str]) -> MultiRegionAppSpec {
    let tables: Vec<_> = tables.iter().map(|name| json!({"name": name})).collect();
    let spec = json!({"regions": {"primary": "us-east-1", "dr": "us-west-2"}, "tables": tables});
    serde_json::from_value(spec).expect("a valid spec")
}

fn app(spec: &MultiRegionAppSpec) -> App {
    let owner = OwnerKey {
        cluster: "c1".into(),
        namespace: "web".into(),
        name: "shop".into(),
    };
    App::new(owner, "123456789012", spec).expect("a valid app")
}

fn an_hour(interval: Duration) -> f64 {
    3600.0 / interval.as_secs_f64()
}

/// How often a heartbeat is looked for until it is there.
fn looks(lag: Duration) -> f64 {
    let mut at = FIRST_LOOKS.map(Duration::from_millis).to_vec();
    while at.last().is_some_and(|last| *last < lag) {
        at.push(*at.last().expect("there is one") + LOOK_AGAIN);
    }
    let in_vain = at.iter().filter(|look| **look < lag).count();
    (in_vain + 1) as f64
}

/// What is done in an hour, and its dollars in a month.
struct Hour {
    probes: f64,
    lambda: f64,
    writes: f64,
    reads: f64,
    puts: f64,
    heads: f64,
    metrics: f64,
    metric_calls: f64,
}

impl Hour {
    fn of(spec: &MultiRegionAppSpec) -> Self {
        let app = app(spec);
        let probe = Duration::from_secs(spec.failover.probe.interval_seconds.unsigned_abs().into());
        let beat = Duration::from_secs(
            spec.failover
                .heartbeat
                .interval_seconds
                .unsigned_abs()
                .into(),
        );
        let beats = heartbeat::of(&app);
        let of_tables = beats.iter().filter(|beat| !beat.is_static()).count() as f64;
        let of_files = beats.iter().filter(|beat| Beat::is_static(beat)).count() as f64;
        let object = MultiRegionApp::new("shop", spec.clone());
        assert!(
            witness_path(&object).is_some(),
            "an edge probe runs the edge function"
        );
        let queries = queries(&app, "E1");
        let mut regions: Vec<&str> = queries.iter().map(|query| query.region.as_str()).collect();
        regions.sort_unstable();
        regions.dedup();
        // One to each function, one through the distribution to either.
        let probes = 3.0 * an_hour(probe);
        Self {
            probes,
            lambda: probes,
            writes: of_tables * an_hour(beat),
            reads: of_tables * an_hour(beat) * looks(TABLE_LAG),
            puts: of_files * an_hour(STATIC_INTERVAL),
            heads: of_files * an_hour(STATIC_INTERVAL) * looks(STATIC_LAG),
            metrics: queries.len() as f64 * an_hour(INTERVAL),
            metric_calls: regions.len() as f64 * an_hour(INTERVAL),
        }
    }

    /// What of it costs how much: in words, so many an hour, dollars a month.
    fn bill(&self, memory_gb: f64) -> Vec<(&'static str, String, f64)> {
        let edge = self.probes / 3.0;
        let through_the_edge = price::CLOUDFRONT_REQUEST + price::EDGE_FUNCTION + price::KEY_READ;
        let busy = ANSWER_SECONDS * memory_gb * price::LAMBDA_GB_SECOND;
        let month = |per_hour: f64| per_hour * HOURS_A_MONTH;
        vec![
            (
                "Lambda: probes answered",
                format!("{:.0} requests", self.lambda),
                month(self.lambda * (price::LAMBDA_REQUEST + busy)),
            ),
            (
                "CloudFront: probes, each with one run of the edge function and one read of the writer",
                format!("{edge:.0} requests"),
                month(edge * through_the_edge),
            ),
            (
                "DynamoDB: heartbeats, each written in both regions",
                format!("{:.0} PutItem", self.writes),
                month(self.writes * 2.0 * price::DYNAMODB_WRITE),
            ),
            (
                "DynamoDB: looks for them",
                format!("{:.0} GetItem", self.reads),
                month(self.reads * price::DYNAMODB_READ),
            ),
            (
                "S3: heartbeats, each replicated",
                format!("{:.0} PutObject", self.puts),
                month(self.puts * 2.0 * price::S3_PUT),
            ),
            (
                "S3: looks for them",
                format!("{:.0} HeadObject", self.heads),
                month(self.heads * price::S3_HEAD),
            ),
            (
                "CloudWatch: metrics read",
                format!(
                    "{:.0} metrics in {:.0} GetMetricData",
                    self.metrics, self.metric_calls
                ),
                month(self.metrics * price::METRIC_READ),
            ),
            (
                "S3: its replication metrics, which it publishes as custom ones",
                format!("{S3_METRICS:.0} metrics published"),
                S3_METRICS * price::CUSTOM_METRIC_MONTH,
            ),
        ]
    }
}

fn dollars(bill: &[(&str, String, f64)]) -> f64 {
    bill.iter().map(|(.., dollars)| dollars).sum()
}

#[test]
fn the_documented_cost_of_watching_is_what_the_intervals_come_to() {
    let one = spec(&["visits"]);
    let memory_gb = f64::from(one.function.memory_size_mib) / 1024.0;
    let hour = Hour::of(&one);
    let bill = hour.bill(memory_gb);
    let mut said: Vec<String> = bill
        .iter()
        .map(|(what, an_hour, dollars)| format!("| {what} | {an_hour} | {dollars:.2} |"))
        .collect();
    let calls = hour.writes + hour.reads + hour.puts + hour.heads + hour.metric_calls;
    said.push(format!(
        "| together | {calls:.0} AWS calls, {:.0} probes | **{:.2}** |",
        hour.probes,
        dollars(&bill)
    ));
    let more = Hour::of(&spec(&["visits", "orders"])).bill(memory_gb);
    said.push(format!(
        "Each further table adds {:.2} dollars",
        dollars(&more) - dollars(&bill)
    ));
    let asked: Vec<Query> = queries(&app(&one), "E1");
    let sick = asked.len() as f64 * an_hour(INTERVAL / HURRY);
    said.push(format!(
        "{sick:.0} metrics an hour, {:.2} dollars a day",
        sick * 24.0 * price::METRIC_READ
    ));
    let docs = include_str!("../../../docs/cost.md");
    let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    let missing: Vec<&String> = said
        .iter()
        .filter(|line| !docs.contains(line.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/cost.md should say:\n{missing:#?}");
}
