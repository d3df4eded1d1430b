//! The write path: when it moves, when it does not, and what viewers get meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge::{Fault as EdgeFault, Target};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::wait::{self, Seen};

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: u64 = 5;
const THRESHOLD: u64 = 2;
/// SHA-256 of nothing, without which CloudFront signs no POST.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn automatic(name: &str, writes: Value) -> Result<World> {
    let world = World::with_edge(name, Config::transparent()).await?;
    let spec = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
        "failover": {
            "probe": {"intervalSeconds": INTERVAL, "timeoutSeconds": 2, "failureThreshold": THRESHOLD, "successThreshold": THRESHOLD},
            "heartbeat": {"intervalSeconds": 5},
            "writes": writes,
        },
    });
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("lag and health to be known", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
                && condition(app, "ReplicationHealthy").1 == "WithinObjective"
        })
        .await?;
    Ok(world)
}

/// What a viewer gets: status and origin.
async fn ask(world: &World, method: &str, path: &str) -> Result<(u16, String)> {
    let app = world.get("shop").await?;
    let domain = app["status"]["distribution"]["domainName"]
        .as_str()
        .context("a distribution")?
        .to_owned();
    let edge = world.edge.as_ref().context("an edge")?;
    let answer = reqwest::Client::new()
        .request(method.parse()?, format!("{}{path}", edge.url()))
        .header("host", domain)
        .header("x-forwarded-proto", "https")
        .header("x-amz-content-sha256", NOTHING)
        .send()
        .await?;
    let origin = answer.headers().get("x-edge-origin");
    let origin = origin
        .and_then(|origin| origin.to_str().ok())
        .unwrap_or_default();
    Ok((answer.status().as_u16(), origin.to_owned()))
}

async fn until_posts_go_to(world: &World, origin: &str) -> Result<()> {
    wait::until("writes", TIMEOUT, || async {
        let (status, served) = ask(world, "POST", "/api/orders").await?;
        Ok(Seen::when(
            status == 200 && served == origin,
            format!("{status} by {served}"),
        ))
    })
    .await
    .with_context(|| world.log_tail())
}

fn writer(app: &Value) -> (&str, &str) {
    let writer = &app["status"]["writer"];
    (
        writer["active"].as_str().unwrap_or_default(),
        writer["reason"].as_str().unwrap_or_default(),
    )
}

async fn at_rest(world: &World, reason: &str) -> Result<()> {
    let rests = |app: &Value| writer(app) == ("Primary", reason);
    world
        .until("the writer at rest", "shop", TIMEOUT, rests)
        .await
        .map(drop)
}

fn break_primary(world: &World) {
    let fault = Fault::new(FaultKind::Status503)
        .service(Service::FunctionUrl)
        .region("us-east-1");
    world.proxy.configure(|config| config.faults = vec![fault]);
}

fn heal(world: &World) {
    world.proxy.configure(|config| config.faults.clear());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_witnesses_move_the_writes_and_the_annotation_moves_them_back() -> Result<()> {
    let world = automatic("moves", json!({"mode": "Automatic"})).await?;
    ensure!(ask(&world, "POST", "/api/orders").await? == (200, "lambda-primary".into()));
    break_primary(&world);
    let broken = Instant::now();
    ensure!(ask(&world, "POST", "/api/orders").await?.0 == 503);
    ensure!(ask(&world, "GET", "/api/orders").await? == (200, "lambda-dr".into()));
    until_posts_go_to(&world, "lambda-dr").await?;
    let seconds = broken.elapsed().as_secs_f64();
    println!("POSTs served by DR after {seconds:.1} s ({INTERVAL} s × {THRESHOLD})");
    ensure!(seconds < (INTERVAL * THRESHOLD + 3) as f64, "{seconds} s");
    let app = world
        .until("the writer", "shop", TIMEOUT, |app| {
            writer(app) == ("DR", "FailedOver")
        })
        .await?;
    ensure!(
        app["status"]["writer"]["epoch"] == 2,
        "{}",
        app["status"]["writer"]
    );

    heal(&world);
    world
        .until("the primary to be well", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    // Back only when asked.
    ensure!(ask(&world, "POST", "/api/orders").await? == (200, "lambda-dr".into()));
    world
        .annotate("shop", "multiregion.dev/failback=one")
        .await?;
    until_posts_go_to(&world, "lambda-primary").await?;
    let app = world
        .until("the token", "shop", TIMEOUT, |app| {
            app.pointer("/status/lastHandled/failback") == Some(&json!("one"))
        })
        .await?;
    ensure!(app["status"]["writer"]["epoch"] == 3);
    at_rest(&world, "AsPreferred").await?;
    world.assert_quiet("shop").await?;
    ensure!(world.get("shop").await?["status"]["writer"]["epoch"] == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_beyond_the_objective_refuses_the_move_until_it_is_forced() -> Result<()> {
    let world = automatic("loss", json!({"mode": "Automatic"})).await?;
    world
        .patch(
            "shop",
            &json!({"spec": {"objectives": {"recoveryPointSeconds": 5}}}),
        )
        .await?;
    world
        .proxy
        .configure(|config| config.delays.replication = Duration::from_secs(600));
    world
        .until("the lag", "shop", TIMEOUT, |app| {
            condition(app, "ReplicationHealthy").1 == "LagExceeded"
                && app["status"]["replicationLagSeconds"].as_i64() > Some(10)
        })
        .await?;
    break_primary(&world);
    world
        .until("a refusal", "shop", TIMEOUT, |app| {
            writer(app) == ("Primary", "LagExceeded")
        })
        .await?;
    ensure!(ask(&world, "POST", "/api/orders").await?.0 == 503);
    world
        .annotate("shop", "multiregion.dev/force-writer=DR/now")
        .await?;
    until_posts_go_to(&world, "lambda-dr").await?;
    let app = world
        .until("the token", "shop", TIMEOUT, |app| {
            app.pointer("/status/lastHandled/forceWriter") == Some(&json!("DR/now"))
        })
        .await?;
    ensure!(writer(&app).0 == "DR");
    heal(&world);
    world
        .proxy
        .configure(|config| config.delays.replication = Duration::ZERO);
    world
        .until("health", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_witness_moves_nothing_and_without_the_store_reads_go_on() -> Result<()> {
    let world = automatic("witness", json!({"mode": "Automatic"})).await?;
    let edge = world.edge.as_ref().context("an edge")?;
    let primary = Target::Origin("lambda-primary".into());
    edge.fail(primary.clone(), EdgeFault::Status(502));
    let app = world
        .until("one witness", "shop", TIMEOUT, |app| {
            writer(app).1 == "OneWitness"
        })
        .await?;
    ensure!(writer(&app).0 == "Primary");
    edge.heal(&primary);

    edge.reach_stores(false);
    ensure!(ask(&world, "POST", "/api/orders").await?.0 == 503);
    ensure!(ask(&world, "GET", "/api/orders").await?.0 == 200);
    edge.reach_stores(true);
    until_posts_go_to(&world, "lambda-primary").await?;
    world
        .until("two well witnesses", "shop", TIMEOUT, |app| {
            writer(app) == ("Primary", "AsPreferred")
        })
        .await?;
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mode_manual_the_spec_and_the_annotations_move_the_writes() -> Result<()> {
    let world = automatic("manual", json!({"mode": "Manual"})).await?;
    let active = |role: &str| json!({"spec": {"failover": {"writes": {"active": role}}}});
    world.patch("shop", &active("DR")).await?;
    until_posts_go_to(&world, "lambda-dr").await?;
    // The region that takes the writes cannot be taken away.
    let gone =
        json!({"spec": {"regions": {"dr": null}, "failover": {"writes": {"active": "Primary"}}}});
    ensure!(world.patch("shop", &gone).await.is_err());
    world.patch("shop", &active("Primary")).await?;
    until_posts_go_to(&world, "lambda-primary").await?;
    world
        .annotate("shop", "multiregion.dev/force-writer=DR/x")
        .await?;
    until_posts_go_to(&world, "lambda-dr").await?;
    world.pass("shop").await?;
    ensure!(writer(&world.get("shop").await?) == ("DR", "Forced"));
    // It is not forgotten, whatever else is asked for meanwhile.
    let suspend = |suspend: bool| json!({"spec": {"suspend": suspend}});
    world.patch("shop", &suspend(true)).await?;
    world
        .until("moves to be held", "shop", TIMEOUT, |app| {
            writer(app) == ("DR", "Suspended")
        })
        .await?;
    for mode in ["Manual", "Automatic", "Manual"] {
        let mode = json!({"spec": {"suspend": false, "failover": {"writes": {"mode": mode, "failback": "Automatic"}}}});
        world.patch("shop", &mode).await?;
        world.until_ready("shop", TIMEOUT).await?;
        let decided = |app: &Value| writer(app) == ("DR", "Forced");
        let app = world
            .until("what was forced", "shop", TIMEOUT, decided)
            .await?;
        ensure!(
            app["status"]["writer"]["epoch"] == 4,
            "{}",
            app["status"]["writer"]
        );
        ensure!(app["status"]["writer"]["forced"] == true);
    }
    world.annotate("shop", "multiregion.dev/failback=y").await?;
    until_posts_go_to(&world, "lambda-primary").await?;
    at_rest(&world, "AsDeclared").await?;
    world.assert_quiet("shop").await
}

/// Every endpoint of us-east-1 is gone, global STS with it, and the operator was restarted meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_writes_move_with_us_east_1_gone_and_the_operator_restarted() -> Result<()> {
    // What would be lost has to be known, though nobody saw a heartbeat since the start.
    let mut world = automatic("dark", json!({"mode": "Automatic"})).await?;
    let objective = json!({"spec": {"objectives": {"recoveryPointSeconds": 300}}});
    world.patch("shop", &objective).await?;
    world.until_ready("shop", TIMEOUT).await?;
    // An edge serves by what it last read, so it has to have read something.
    until_posts_go_to(&world, "lambda-primary").await?;
    if let Some(operator) = world.operator.take() {
        operator.kill9()?;
    }
    let dark = Fault::new(FaultKind::RefuseRegion).region("us-east-1");
    world.proxy.configure(|config| config.faults = vec![dark]);
    world.start().await?;
    let started = Instant::now();
    until_posts_go_to(&world, "lambda-dr").await?;
    println!(
        "POSTs served by DR {:.1} s after the start in the dark",
        started.elapsed().as_secs_f64()
    );
    world
        .until("the writer", "shop", TIMEOUT, |app| {
            writer(app) == ("DR", "FailedOver")
        })
        .await?;
    heal(&world);
    world
        .until("health", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    ensure!(world.get("shop").await?["status"]["writer"]["epoch"] == 2);
    Ok(())
}
