//! Apps of one account and zone: what all of them need is read once, and drift in it is found all the same.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Service};
use testbed::wait::{self, Seen};

use crate::world::{World, minimal};

const TIMEOUT: Duration = Duration::from_secs(300);
const APPS: [&str; 4] = ["one", "two", "three", "four"];

fn domain(app: &str) -> String {
    format!("{app}.example.com")
}

async fn passes(world: &World) -> Result<u64> {
    let (_, text) = world.ask("/metrics").await?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("multiregion_reconcile_seconds_count "));
    Ok(count.context("passes are counted")?.parse()?)
}

/// A pass as it comes by itself every ten minutes: any annotation but that which asks for a complete one wakes an app.
async fn settled_pass(world: &World, app: &str, number: u32) -> Result<()> {
    let before = passes(world).await?;
    let annotation = format!("example.com/looked-at={number}");
    world.annotate(app, &annotation).await?;
    wait::until("a pass", Duration::from_secs(60), async || {
        let now = passes(world).await?;
        Ok(Seen::when(now > before, format!("{now} passes")))
    })
    .await
}

async fn record(world: &World, zone: &str, app: &str) -> Result<Option<Value>> {
    let parameters =
        json!({"HostedZoneId": zone, "StartRecordName": domain(app), "StartRecordType": "A"});
    let page = world
        .aws_itself()
        .call(
            "route53",
            "ListResourceRecordSets",
            "us-east-1",
            &parameters,
        )
        .await?;
    let records = page
        .pointer("/ResourceRecordSets")
        .and_then(Value::as_array);
    let name = format!("{}.", domain(app));
    Ok(records
        .into_iter()
        .flatten()
        .find(|record| record["Name"] == json!(name) && record["Type"] == json!("A"))
        .cloned())
}

async fn until_nothing_is_checked(world: &World) -> Result<()> {
    wait::until("no pass in 40 s", TIMEOUT, async || {
        // The pass that checks comes half a minute after the one that changed something last.
        let before = passes(world).await?;
        tokio::time::sleep(Duration::from_secs(40)).await;
        let now = passes(world).await?;
        Ok(Seen::when(
            before == now,
            format!("{} passes", now - before),
        ))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_a_zone_share_its_reading_and_drift_in_it_is_found_and_mended() -> Result<()> {
    let mut config = Config::strict();
    config.page_size = 100;
    let world = World::new("sharing", config).await?;
    let zone = world.create_zone("example.com").await?;
    for app in APPS {
        let mut spec = minimal();
        spec["domain"] = json!({"name": domain(app), "hostedZone": "example.com"});
        world.apply(app, &spec).await?;
    }
    for app in APPS {
        world.until_ready(app, TIMEOUT).await?;
    }
    until_nothing_is_checked(&world).await?;

    world.proxy.clear_calls();
    for app in APPS {
        settled_pass(&world, app, 1).await?;
    }
    let calls = world.proxy.calls();
    let of = |service: Service| calls.iter().filter(|call| call.service == service).count();
    let of_passes = calls.iter().filter(|call| !call.is_data()).count();
    println!("{of_passes} calls for {} apps", APPS.len());
    // Without the slow facets an app asks 17 times for its own, and 10 times for what a round of them reads once or twice;
    // with them it would be 50.
    ensure!(of_passes <= APPS.len() * 17 + 4 * 10, "{of_passes} calls");
    // A round of passes may take longer than a reading serves, but not two of them.
    ensure!(
        of(Service::Route53) <= 2,
        "Route 53: {} calls",
        of(Service::Route53)
    );
    ensure!(of(Service::Iam) <= 2, "IAM: {} calls", of(Service::Iam));
    ensure!(
        world.proxy.writes().is_empty(),
        "{:?}",
        world.proxy.writes()
    );

    // By hand, behind everybody's back.
    let lost = record(&world, &zone, "two")
        .await?
        .context("it has a record")?;
    let parameters = json!({"HostedZoneId": zone, "ChangeBatch": {"Changes": [{"Action": "DELETE", "ResourceRecordSet": lost}]}});
    world
        .aws_itself()
        .call(
            "route53",
            "ChangeResourceRecordSets",
            "us-east-1",
            &parameters,
        )
        .await?;
    let number = AtomicU32::new(2);
    wait::until("the record again", Duration::from_secs(300), async || {
        let this = number.fetch_add(1, Ordering::Relaxed);
        settled_pass(&world, "two", this).await?;
        let found = record(&world, &zone, "two").await?;
        Ok(Seen::when(found.is_some(), format!("{this} passes")))
    })
    .await
    .with_context(|| world.log_tail())?;
    for app in APPS {
        world.until_ready(app, TIMEOUT).await?;
        world.assert_quiet(app).await?;
    }
    Ok(())
}

/// What a distribution of this Comment's owner shares with others, by id or ARN.
async fn shared_by(world: &World, app: &str) -> Result<BTreeSet<String>> {
    let list = world
        .aws_itself()
        .call("cloudfront", "ListDistributions", "us-east-1", &json!({}))
        .await?;
    let items = list
        .pointer("/DistributionList/Items")
        .and_then(Value::as_array);
    let of_app = |item: &&Value| {
        let comment = item["Comment"].as_str();
        comment.is_some_and(|comment| comment.ends_with(&format!("/{app}")))
    };
    let distribution = items
        .into_iter()
        .flatten()
        .find(of_app)
        .with_context(|| format!("a distribution of {app} in {list}"))?;
    let items = |at: &Value| at["Items"].as_array().cloned().unwrap_or_default();
    let behavior = &distribution["DefaultCacheBehavior"];
    let mut shared = vec![
        behavior["CachePolicyId"].clone(),
        behavior["OriginRequestPolicyId"].clone(),
    ];
    for origin in items(&distribution["Origins"]) {
        shared.push(origin["OriginAccessControlId"].clone());
    }
    for behavior in items(&distribution["CacheBehaviors"]) {
        for function in items(&behavior["FunctionAssociations"]) {
            shared.push(function["FunctionARN"].clone());
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(shared.iter().filter_map(text).collect())
}

/// What is left of all that apps share.
async fn left(world: &World) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (operation, parameters) in [
        ("ListCachePolicies", json!({"Type": "custom"})),
        ("ListOriginRequestPolicies", json!({"Type": "custom"})),
        ("ListOriginAccessControls", json!({})),
        ("ListFunctions", json!({})),
    ] {
        let aws = world.aws_itself();
        let list = aws
            .call("cloudfront", operation, "us-east-1", &parameters)
            .await?;
        if list.to_string().contains("multiregion-") {
            left.push(format!("{operation}: {list}"));
        }
    }
    Ok(left)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_by_as_many_as_may_has_a_successor_and_goes_with_the_last() -> Result<()> {
    let mut config = Config::strict();
    config.distributions_sharing = 1;
    let world = World::new("successors", config).await?;
    let spec = minimal();
    for app in ["one", "two"] {
        world.apply(app, &spec).await?;
        world.until_ready(app, TIMEOUT).await?;
    }
    let (one, two) = (
        shared_by(&world, "one").await?,
        shared_by(&world, "two").await?,
    );
    ensure!(
        one.len() == 5,
        "two policies, two controls, a function: {one:?}"
    );
    ensure!(two.len() == 5, "{two:?}");
    ensure!(one.is_disjoint(&two), "{one:?} {two:?}");
    for app in ["one", "two"] {
        world.assert_quiet(app).await?;
    }
    for app in ["one", "two"] {
        world.delete(app).await?;
        world.until_gone(app, TIMEOUT).await?;
    }
    let left = left(&world).await?;
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}
