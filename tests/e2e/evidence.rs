//! What CloudWatch says beside probes and heartbeats: it is told where there is data, and nothing waits for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::wait::{self, Seen};

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(90);
/// Until a datapoint that is nearly as old as the window has left it.
const PAST_THE_WINDOW: Duration = Duration::from_secs(300);

fn says(app: &Value, name: &str, status: &str, reason: &str) -> bool {
    let (is, why, _) = condition(app, name);
    (is, why) == (status, reason)
}

/// An app at rest, whose metrics are read every 5 s.
async fn watched(name: &str, heartbeats: &str) -> Result<World> {
    let mut world = World::without_operator(name, Config::transparent()).await?;
    world.set("MULTIREGION_CLOUDWATCH_INTERVAL_SECONDS", "5");
    world.start().await?;
    let spec = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
        "failover": {
            "probe": {"intervalSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2, "successThreshold": 2},
            "heartbeat": {"mode": heartbeats, "intervalSeconds": 5},
        },
    });
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("DR to be ready", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "True", "DRReady")
        })
        .await?;
    Ok(world)
}

/// Publishes values as AWS does, so many minutes ago each.
async fn publish(
    world: &World,
    region: &str,
    (namespace, metric): (&str, &str),
    dimensions: &[(&str, &str)],
    values: &[(i64, f64)],
) -> Result<()> {
    let dimensions: Vec<Value> = dimensions
        .iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect();
    let data: Vec<Value> = values
        .iter()
        .map(|(minutes, value)| {
            let at = Timestamp::now() - SignedDuration::from_mins(*minutes);
            json!({"MetricName": metric, "Dimensions": dimensions, "Timestamp": at.to_string(), "Value": value})
        })
        .collect();
    let put = json!({"Namespace": namespace, "MetricData": data});
    world
        .aws_itself()
        .call("cloudwatch", "PutMetricData", region, &put)
        .await
        .map(drop)
}

/// Of the static files' replication.
async fn publish_failures(world: &World, values: &[(i64, f64)]) -> Result<()> {
    let (source, replica) = (
        format!("shop-static-{}", world.account),
        format!("shop-static-{}-dr", world.account),
    );
    let dimensions = [
        ("SourceBucket", source.as_str()),
        ("DestinationBucket", replica.as_str()),
        ("RuleId", "multiregion"),
    ];
    let metric = ("AWS/S3", "OperationsFailedReplication");
    publish(world, "us-east-1", metric, &dimensions, values).await
}

/// From the primary to DR, in milliseconds.
async fn publish_latency(world: &World, values: &[(i64, f64)]) -> Result<()> {
    let dimensions = [
        ("TableName", "shop-visits"),
        ("ReceivingRegion", "us-west-2"),
    ];
    let metric = ("AWS/DynamoDB", "ReplicationLatency");
    publish(world, "us-east-1", metric, &dimensions, values).await
}

fn rows(app: &Value, state: &str) -> usize {
    let rows = app["status"]["replication"].as_array();
    let rows = rows.into_iter().flatten();
    rows.filter(|row| row["state"] == state).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_heartbeats_cannot_see_is_told_and_taken_back_when_it_is_over() -> Result<()> {
    let world = watched("evidence", "Enabled").await?;
    world
        .until("lag to be known", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "True", "WithinObjective")
        })
        .await?;

    publish_failures(&world, &[(13, 3.0), (12, 4.0)]).await?;
    let told = world
        .until("failures", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "False", "ReplicationFailing")
        })
        .await?;
    let (_, _, message) = condition(&told, "ReplicationHealthy");
    ensure!(
        message.starts_with("at least 5 operations on s3/"),
        "{message}"
    );
    ensure!(rows(&told, "ReplicationFailing") == 1);

    publish_latency(&world, &[(4, 90e3), (3, 90e3), (2, 90e3)]).await?;
    let told = world
        .until("late writes", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "False", "LagExceeded")
        })
        .await?;
    ensure!(told["status"]["replicationLagSeconds"] == 120);
    ensure!(rows(&told, "LagExceeded") == 1);

    for (metric, value) in [("UrlRequestCount", 100.0), ("Url5xxCount", 20.0)] {
        let function = [("FunctionName", "shop-dr")];
        publish(
            &world,
            "us-west-2",
            ("AWS/Lambda", metric),
            &function,
            &[(1, value)],
        )
        .await?;
    }
    let share = "of the DR function's answered 5xx";
    let told = world
        .until("errors", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").2.contains(share)
        })
        .await?;
    // Beside probes that are well.
    ensure!(says(&told, "FailoverHealthy", "True", "DRReady"));

    publish_latency(&world, &[(1, 0.0), (0, 0.0)]).await?;
    publish_failures(&world, &[(0, 0.0)]).await?;
    world
        .until("no late writes", "shop", TIMEOUT, |app| {
            condition(app, "ReplicationHealthy").1 != "LagExceeded"
        })
        .await?;
    world
        .until("no failures", "shop", PAST_THE_WINDOW, |app| {
            says(app, "ReplicationHealthy", "True", "WithinObjective")
        })
        .await?;
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_heartbeats_the_lag_is_what_cloudwatch_says() -> Result<()> {
    let world = watched("told", "Disabled").await?;
    world
        .until("no data", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "Unknown", "NoData")
        })
        .await?;
    publish_latency(&world, &[(2, 1500.0), (1, 1500.0)]).await?;
    let told = world
        .until("a lag", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "True", "WithinObjective")
        })
        .await?;
    ensure!(told["status"]["replicationLagSeconds"] == 2);
    ensure!(
        rows(&told, "NoData") == 2,
        "{}",
        told["status"]["replication"]
    );
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudwatch_that_is_denied_or_never_answers_changes_nothing() -> Result<()> {
    let world = watched("no-evidence", "Enabled").await?;
    world
        .until("lag to be known", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "True", "WithinObjective")
        })
        .await?;
    let before = world.get("shop").await?["status"].clone();
    for kind in [FaultKind::AccessDenied, FaultKind::BlackHole] {
        let fault = Fault::new(kind).service(Service::CloudWatch);
        world.proxy.configure(|config| config.faults = vec![fault]);
        world.proxy.clear_calls();
        let asked = |service| {
            let mut calls = world.proxy.calls();
            calls.retain(|call| call.service == service);
            calls.len()
        };
        wait::until("CloudWatch to be asked, and probes", TIMEOUT, || async {
            let (readings, probes) = (asked(Service::CloudWatch), asked(Service::FunctionUrl));
            let seen = readings >= 2 && probes >= 8;
            Ok(Seen::when(
                seen,
                format!("{readings} readings, {probes} probes"),
            ))
        })
        .await?;
        ensure!(world.get("shop").await?["status"] == before);
    }
    let told = world.log().matches("CloudWatch cannot be read").count();
    // Once a region and reason.
    ensure!(
        (2..=4).contains(&told),
        "{told} lines\n{}",
        world.log_tail()
    );
    world.proxy.configure(|config| config.faults.clear());
    world.assert_quiet("shop").await
}
