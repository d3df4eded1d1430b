//! New code and new configuration: DR first, the primary when DR has answered with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Call, Config};

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(90);
const PRIMARY: (&str, &str) = ("us-east-1", "shop-primary");
const DR: (&str, &str) = ("us-west-2", "shop-dr");

/// A handler that answers with a text.
fn answering(text: &str) -> String {
    format!("exports.handler = async () => ({{statusCode: 200, body: '{text}'}});")
}

const THROWING: &str = "exports.handler = async () => { throw new Error('no good'); };";
const SLOW: &str = "exports.handler = () => new Promise((done) => \
    setTimeout(() => done({statusCode: 200, body: 'late'}), 8000));";

/// An app that is ready, with probes as short as they get.
async fn ready(name: &str) -> Result<World> {
    let world = World::new(name, Config::transparent()).await?;
    world.apply("shop", &spec()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("both regions healthy", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    quiet(&world).await?;
    world.proxy.clear_calls();
    Ok(world)
}

/// One more full pass finds nothing to do. What probes and heartbeats say may go on moving.
async fn quiet(world: &World) -> Result<()> {
    world.pass("shop").await?;
    world.proxy.clear_calls();
    world.pass("shop").await?;
    let writes = world.proxy.writes();
    ensure!(writes.is_empty(), "{writes:#?}\n{}", world.log_tail());
    Ok(())
}

fn spec() -> Value {
    let mut spec = minimal();
    spec["failover"] = json!({"probe": {"intervalSeconds": 5}});
    spec
}

/// The writes to functions and caches, in order: operation and region.
fn changes(world: &World) -> Vec<(String, String)> {
    let of_note = |call: &&Call| {
        [
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "CreateInvalidation",
        ]
        .contains(&call.operation.as_str())
    };
    let calls = world.proxy.writes();
    let calls = calls.iter().filter(of_note);
    calls
        .map(|call| (call.operation.clone(), call.region.clone()))
        .collect()
}

fn change(operation: &str, region: &str) -> (String, String) {
    (operation.to_owned(), region.to_owned())
}

/// Kills the operator, and starts another.
async fn restart(world: &mut World) -> Result<()> {
    world.operator.take().context("it runs")?.kill9()?;
    world.start().await
}

async fn until_in_sync_with(world: &World, version: &str) -> Result<Value> {
    world
        .until("the version in sync", "shop", TIMEOUT, |app| {
            let (status, _, message) = condition(app, "CodeInSync");
            status == "True" && message.contains(version) && condition(app, "Synced").0 == "True"
        })
        .await
}

async fn until_stopped(world: &World, version: &str) -> Result<Value> {
    world
        .until("the version stopped", "shop", TIMEOUT, |app| {
            let (_, reason, message) = condition(app, "CodeInSync");
            reason == "Stopped"
                && message.contains(version)
                && condition(app, "Synced").1 == "Stopped"
        })
        .await
}

async fn codes(world: &World) -> Result<(Value, Value)> {
    Ok((
        world.code_of(PRIMARY.0, PRIMARY.1).await?,
        world.code_of(DR.0, DR.1).await?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_goes_to_dr_then_to_the_primary_and_the_caches_forget_once() -> Result<()> {
    let mut world = ready("good").await?;
    let before = codes(&world).await?;
    let version = world.put_code(&answering("two")).await?;
    world.look("shop").await?;
    let app = until_in_sync_with(&world, &version).await?;
    ensure!(condition(&app, "Ready").0 == "True");
    let after = codes(&world).await?;
    ensure!(after.0 == after.1 && after.0 != before.0, "{after:?}");
    let expected = vec![
        change("UpdateFunctionCode", "us-west-2"),
        change("UpdateFunctionCode", "us-east-1"),
        change("CreateInvalidation", "us-east-1"),
    ];
    ensure!(changes(&world) == expected, "{:?}", changes(&world));
    ensure!(world.events().await?.contains("CodeRolledOut"));
    quiet(&world).await?;
    // Nor after a restart.
    restart(&mut world).await?;
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_throws_stops_at_dr_and_a_newer_one_or_a_pin_goes_on() -> Result<()> {
    let mut world = ready("throws").await?;
    let before = codes(&world).await?;
    let version = world.put_code(THROWING).await?;
    world.look("shop").await?;
    let app = until_stopped(&world, &version).await?;
    ensure!(
        condition(&app, "Ready").0 == "True",
        "both serve what they did"
    );
    ensure!(condition(&app, "CodeInSync").2.contains("status 502"));
    ensure!(condition(&app, "Stalled").1 == "Stopped");
    ensure!(codes(&world).await? == before, "DR goes back");
    ensure!(
        changes(&world)
            .iter()
            .all(|(_, region)| region == "us-west-2"),
        "the primary was touched: {:?}",
        changes(&world)
    );
    ensure!(world.events().await?.contains("CodeStopped"));
    quiet(&world).await?;

    // What failed is not tried again because the operator has forgotten it.
    restart(&mut world).await?;
    quiet(&world).await?;
    until_stopped(&world, &version).await?;

    let newer = world.put_code(&answering("three")).await?;
    world.look("shop").await?;
    until_in_sync_with(&world, &newer).await?;
    ensure!(codes(&world).await?.0 != before.0);
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_slow_stops_at_dr() -> Result<()> {
    let world = ready("slow").await?;
    let before = codes(&world).await?;
    let version = world.put_code(SLOW).await?;
    world.look("shop").await?;
    let app = until_stopped(&world, &version).await?;
    let message = condition(&app, "CodeInSync").2;
    ensure!(message.contains("no answer within 5 s"), "{message}");
    ensure!(codes(&world).await? == before);
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_that_lambda_refuses_stops_with_lambdas_words() -> Result<()> {
    let world = ready("badzip").await?;
    let before = codes(&world).await?;
    world
        .proxy
        .configure(|config| config.faults.push(refuse_code("us-west-2")));
    let version = world.put_zip(b"this is no zip".to_vec()).await?;
    world.look("shop").await?;
    world
        .until("the refusal", "shop", TIMEOUT, |app| {
            let (_, reason, message) = condition(app, "CodeInSync");
            reason == "Stopped" && message.contains("InvalidParameterValueException")
        })
        .await?;
    world.proxy.configure(|config| config.faults.clear());
    until_stopped(&world, &version).await?;
    ensure!(codes(&world).await? == before);
    quiet(&world).await
}

/// What the emulator would take: a zip that is none.
fn refuse_code(region: &str) -> strict_aws::Fault {
    let mut fault = strict_aws::Fault::new(strict_aws::FaultKind::InvalidParameter);
    fault.matches.region = Some(region.into());
    fault.matches.operation = Some("UpdateFunctionCode".into());
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_brings_an_older_version_back_and_a_failed_pin_is_not_ready() -> Result<()> {
    let world = ready("pin").await?;
    let first = world.put_code(&answering("one")).await?;
    world.look("shop").await?;
    until_in_sync_with(&world, &first).await?;
    let good = codes(&world).await?;
    let second = world.put_code(&answering("two")).await?;
    world.look("shop").await?;
    until_in_sync_with(&world, &second).await?;

    let mut spec = spec();
    spec["function"] = json!({"code": {"version": first}});
    world.proxy.clear_calls();
    world.apply("shop", &spec).await?;
    until_in_sync_with(&world, &first).await?;
    ensure!(codes(&world).await? == good);
    let regions: Vec<String> = changes(&world)
        .into_iter()
        .filter(|(operation, _)| operation == "UpdateFunctionCode")
        .map(|(_, region)| region)
        .collect();
    ensure!(regions == ["us-west-2", "us-east-1"], "{regions:?}");
    quiet(&world).await?;

    let bad = world.put_code(THROWING).await?;
    world.look("shop").await?;
    quiet(&world).await?;
    spec["function"] = json!({"code": {"version": bad}});
    world.apply("shop", &spec).await?;
    let app = until_stopped(&world, &bad).await?;
    ensure!(condition(&app, "Ready").1 == "Stopped");
    ensure!(codes(&world).await? == good);
    spec["function"] = json!({"code": {"version": first}});
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    until_in_sync_with(&world, &first).await?;
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rolled_out_while_the_primary_is_unhealthy_and_a_pin_is() -> Result<()> {
    let world = ready("sick").await?;
    let before = codes(&world).await?;
    let mut gone = strict_aws::Fault::new(strict_aws::FaultKind::Status500);
    gone.matches.operation = Some("InvokeFunctionUrl".into());
    gone.matches.region = Some(PRIMARY.0.into());
    world.proxy.configure(|config| config.faults.push(gone));
    world
        .until("an unhealthy primary", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "PrimaryUnhealthy"
        })
        .await?;
    let version = world.put_code(&answering("two")).await?;
    world.look("shop").await?;
    world
        .until("the reason to wait", "shop", TIMEOUT, |app| {
            let (_, reason, message) = condition(app, "CodeInSync");
            reason == "RollingOut" && message.contains("the primary is unhealthy")
        })
        .await?;
    ensure!(codes(&world).await? == before);
    ensure!(changes(&world).is_empty(), "{:?}", changes(&world));
    let pin = json!({"spec": {"function": {"code": {"version": version}}}});
    world.patch("shop", &pin).await?;
    until_in_sync_with(&world, &version).await?;
    ensure!(codes(&world).await?.0 != before.0);
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_configuration_goes_the_same_way_and_drift_is_repaired_at_once()
-> Result<()> {
    let world = ready("memory").await?;
    let mut spec = spec();
    spec["function"] = json!({"memorySizeMiB": 256, "environment": {"MODE": "new"}});
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    let expected = vec![
        change("UpdateFunctionConfiguration", "us-west-2"),
        change("UpdateFunctionConfiguration", "us-east-1"),
    ];
    ensure!(changes(&world) == expected, "{:?}", changes(&world));
    quiet(&world).await?;

    world.set_memory(PRIMARY.0, PRIMARY.1, 128).await?;
    // AWS is busy with the change by hand for a moment.
    world.look("shop").await?;
    world
        .until_memory(PRIMARY.0, PRIMARY.1, 256, Duration::from_secs(10))
        .await?;
    quiet(&world).await?;

    // A handler that is not there answers nothing: it stops, and the spec is not what is.
    spec["function"]["handler"] = json!("nothing.handler");
    world.apply("shop", &spec).await?;
    let app = world
        .until("the configuration stopped", "shop", TIMEOUT, |app| {
            condition(app, "CodeInSync").1 == "Stopped" && condition(app, "Ready").1 == "Stopped"
        })
        .await?;
    ensure!(condition(&app, "CodeInSync").2.contains("configuration"));
    for (region, name) in [PRIMARY, DR] {
        let handler = world.function_field(region, name, "Handler").await?;
        ensure!(handler == json!("index.handler"), "{name}: {handler}");
    }
    quiet(&world).await
}

/// Also when that is what makes it unhealthy.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_broken_by_hand_is_mended() -> Result<()> {
    let world = ready("broken").await?;
    let broken = json!({"FunctionName": PRIMARY.1, "Handler": "nothing.handler"});
    world
        .aws_itself()
        .call("lambda", "UpdateFunctionConfiguration", PRIMARY.0, &broken)
        .await?;
    world
        .until("an unhealthy primary", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "PrimaryUnhealthy"
        })
        .await?;
    world.look("shop").await?;
    world
        .until("both regions healthy", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    quiet(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_at_any_moment_of_a_rollout_ends_it_all_the_same() -> Result<()> {
    let mut world = ready("killed").await?;
    for (round, writes) in [1, 2, 3, 4, 5].into_iter().enumerate() {
        let version = world
            .put_code(&answering(&format!("round {round}")))
            .await?;
        world.look("shop").await?;
        world.kill_after_writes(writes).await?;
        world.start().await?;
        world.look("shop").await?;
        until_in_sync_with(&world, &version).await?;
        let (primary, dr) = codes(&world).await?;
        ensure!(primary == dr);
        quiet(&world).await?;
    }
    let bad = world.put_code(THROWING).await?;
    let before = codes(&world).await?;
    for writes in [1, 2, 3] {
        world.look("shop").await?;
        world.kill_after_writes(writes).await?;
        world.start().await?;
    }
    until_stopped(&world, &bad).await?;
    ensure!(codes(&world).await? == before);
    quiet(&world).await
}
