//! What lies between is gone for a while: AWS, one of its regions, the API server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind};
use testbed::ControlPlane;

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Past the breaker, and past the longest backoff of what is expected to recover by itself.
#[tokio::test(flavor = "multi_thread")]
async fn without_aws_an_app_stays_ready_and_the_drift_of_that_time_is_corrected_after() -> Result<()>
{
    let world = World::new("outage", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    let before = world.get("shop").await?;

    let began = Instant::now();
    let outage = Duration::from_secs(25);
    refuse(&world, None);
    world
        .annotate("shop", "multiregion.dev/reconcile=outage")
        .await?;
    let noticed = world
        .until("an unreachable AWS", "shop", TIMEOUT, |app| {
            condition(app, "Synced").0 == "Unknown"
        })
        .await?;
    says_unreachable(&noticed)?;
    world.set_memory("us-east-1", "shop-primary", 256).await?;
    let versions = versions_until(&world, began + outage).await?;
    // What was written when it was noticed holds for as long as it lasts.
    ensure!(
        versions.len() <= 2,
        "the status ticks during the outage: {versions:?}"
    );
    let during = world.get("shop").await?;
    says_unreachable(&during)?;
    let known = |app: &Value, part: &str| {
        let mut known = app["status"][part].clone();
        // What the probes say is not known of AWS.
        for region in known.as_array_mut().into_iter().flatten() {
            if let Some(region) = region.as_object_mut() {
                region.remove("health");
                region.remove("lastTransitionTime");
            }
        }
        known
    };
    for part in ["url", "distribution", "regions", "inventory"] {
        ensure!(
            known(&during, part) == known(&before, part),
            "{part} was forgotten: {}",
            during["status"][part]
        );
    }

    world.proxy.clear_calls();
    world.proxy.configure(|config| config.faults.clear());
    let healed = Instant::now();
    world.until_ready("shop", TIMEOUT).await?;
    println!(
        "Synced {:.1} s after AWS came back",
        healed.elapsed().as_secs_f64()
    );
    ensure!(healed.elapsed() < Duration::from_secs(15));
    ensure!(
        world
            .function_field("us-east-1", "shop-primary", "MemorySize")
            .await?
            == 512,
        "the drift of that time is still there"
    );
    let writes = world.proxy.writes();
    ensure!(
        writes
            .iter()
            .all(|call| call.operation == "UpdateFunctionConfiguration"),
        "more was written than the drift asks for: {writes:#?}"
    );
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await
}

/// us-west-2 takes no connections; what is broken in us-east-1 meanwhile is mended meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_dr_region_refuses_the_primary_is_repaired_and_the_status_names_the_region()
-> Result<()> {
    let world = World::new("refused", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;

    refuse(&world, Some("us-west-2"));
    world
        .annotate("shop", "multiregion.dev/reconcile=refused")
        .await?;
    let app = world
        .until("the region to be missed", "shop", TIMEOUT, |app| {
            condition(app, "Synced").0 == "Unknown"
        })
        .await?;
    says_unreachable(&app)?;
    ensure!(
        condition(&app, "Synced").2.contains("us-west-2"),
        "{}",
        condition(&app, "Synced").2
    );

    world.set_memory("us-east-1", "shop-primary", 256).await?;
    world.set_memory("us-west-2", "shop-dr", 256).await?;
    // Nobody asks for it: an app with a region out of reach is looked at every ten seconds.
    world
        .until_memory("us-east-1", "shop-primary", 512, Duration::from_secs(45))
        .await?;
    let app = world.get("shop").await?;
    says_unreachable(&app)?;
    ensure!(
        world
            .function_field("us-west-2", "shop-dr", "MemorySize")
            .await?
            == 256
    );

    world.proxy.configure(|config| config.faults.clear());
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world
        .until_memory("us-west-2", "shop-dr", 512, Duration::from_secs(5))
        .await?;
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await
}

/// Killed as by a crash in the midst of a creation; what was made without a status is found again.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_outlives_a_restart_of_the_api_server() -> Result<()> {
    let directory = testbed::paths::scratch()?;
    // As long-lived as the shared one; its API server ends with the test.
    let control_plane: &'static ControlPlane =
        Box::leak(Box::new(ControlPlane::start(&directory).await?));
    let mut world = World::in_cluster(control_plane, "restart", Config::transparent()).await?;
    // One that leads by a lease gives up after less; see `leaders`.
    world.set("MULTIREGION_LEADER_ELECT", "false");
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    testbed::wait::until("the first writes", TIMEOUT, || async {
        let writes = world.proxy.writes().len();
        Ok(testbed::wait::Seen::when(writes > 3, writes.to_string()))
    })
    .await?;
    control_plane.stop_api_server().await?;
    let down = Duration::from_secs(12);
    tokio::time::sleep(down).await;
    control_plane.start_api_server().await?;

    let back = Instant::now();
    world.until_ready("shop", TIMEOUT).await?;
    println!(
        "Ready {:.1} s after the API server came back",
        back.elapsed().as_secs_f64()
    );
    ensure!(
        world.ask("/readyz").await?.0 == 200,
        "the operator is not ready again"
    );
    let mut spec = minimal();
    spec["function"] = json!({"memorySizeMiB": 256});
    world.apply("shop", &spec).await?;
    let changed = Instant::now();
    world.until_ready("shop", TIMEOUT).await?;
    println!(
        "a change after it took {:.1} s",
        changed.elapsed().as_secs_f64()
    );
    ensure!(
        world
            .function_field("us-west-2", "shop-dr", "MemorySize")
            .await?
            == 256
    );
    // The watch is taken up again within ten seconds, however long it was broken; what comes then takes a few more.
    ensure!(changed.elapsed() < Duration::from_secs(45));
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await?;
    ensure!(
        world.log().matches("starting").count() == 1,
        "the operator was started more than once"
    );
    control_plane.stop_api_server().await
}

fn refuse(world: &World, region: Option<&str>) {
    let fault = Fault::new(FaultKind::RefuseRegion);
    let fault = match region {
        Some(region) => fault.region(region),
        None => fault,
    };
    world.proxy.configure(|config| config.faults.push(fault));
}

fn says_unreachable(app: &Value) -> Result<()> {
    let (status, reason, message) = condition(app, "Synced");
    ensure!(
        (status, reason) == ("Unknown", "Unreachable"),
        "Synced {status} {reason}: {message}"
    );
    ensure!(
        condition(app, "Ready").0 == "True",
        "Ready went with AWS: {:?}",
        condition(app, "Ready")
    );
    ensure!(condition(app, "Stalled").0.is_empty());
    Ok(())
}

/// The versions that the object has until `end`, with what `Synced` says in each.
async fn versions_until(world: &World, end: Instant) -> Result<BTreeSet<(String, String)>> {
    let mut versions = BTreeSet::new();
    while Instant::now() < end {
        let app = world.get("shop").await?;
        let version = app
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .context("the object has a version")?;
        versions.insert((version.to_owned(), condition(&app, "Synced").2.to_owned()));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(versions)
}
