//! Drills: the writes go to DR and back, nobody who reads notices, and whatever goes wrong ends where it began.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::wait::{self, Seen};

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(60);
/// SHA-256 of nothing, without which CloudFront signs no POST.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// GETs a second while a drill runs.
const RATE: u64 = 50;
/// How long the edge goes on with what it knew.
const PROPAGATION: Duration = Duration::from_secs(2);
/// Viewers who send them.
const SENDERS: usize = 3;

async fn ready(name: &str, failover: Value) -> Result<World> {
    let world = World::with_edge(name, Config::transparent()).await?;
    let mut spec = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
        "failover": {
            "probe": {"intervalSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2, "successThreshold": 2},
            "heartbeat": {"intervalSeconds": 5},
        },
    });
    for (name, value) in failover.as_object().into_iter().flatten() {
        spec["failover"][name] = value.clone();
    }
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    until_well(&world).await?;
    Ok(world)
}

async fn until_well(world: &World) -> Result<()> {
    world
        .until("lag and health to be known", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
                && condition(app, "ReplicationHealthy").1 == "WithinObjective"
        })
        .await
        .map(drop)
}

async fn ask(world: &World, token: &str) -> Result<()> {
    let annotation = format!("multiregion.dev/drill={token}");
    world.annotate("shop", &annotation).await
}

/// The status once the drill of `token` has ended.
async fn until_ended(world: &World, token: &str) -> Result<Value> {
    let app = world
        .until("the end of the drill", "shop", TIMEOUT * 2, |app| {
            app.pointer("/status/lastDrill/id") == Some(&json!(token))
                && app.pointer("/status/lastDrill/result") != Some(&json!("Running"))
        })
        .await?;
    Ok(app["status"].clone())
}

async fn until_phase(world: &World, phase: &str) -> Result<Value> {
    world
        .until(phase, "shop", TIMEOUT, |app| {
            app.pointer("/status/lastDrill/phase") == Some(&json!(phase))
        })
        .await
}

fn ended(status: &Value, result: &str, reason: &str) -> Result<()> {
    let drill = &status["lastDrill"];
    ensure!(
        drill["result"] == result && drill["reason"] == reason,
        "{drill}"
    );
    Ok(())
}

/// The writes are at the primary again, by this many moves, and nothing moves any more.
async fn at_rest(world: &World, epoch: i64) -> Result<()> {
    let app = world
        .until("the writer at rest", "shop", TIMEOUT, |app| {
            app.pointer("/status/writer/reason") == Some(&json!("AsDeclared"))
        })
        .await?;
    let writer = &app["status"]["writer"];
    ensure!(
        writer["active"] == "Primary" && writer["epoch"] == epoch,
        "{writer}"
    );
    let viewer = Viewer::of(world).await?;
    wait::until("the edge to know", TIMEOUT, || async {
        let said = viewer.get("/api/.multiregion/writer").await?;
        let said: Value = serde_json::from_str(&said.1)?;
        Ok(Seen::when(
            said["writer"] == "Primary" && said["epoch"] == epoch,
            said.to_string(),
        ))
    })
    .await?;
    until_well(world).await?;
    world.assert_quiet("shop").await
}

struct Viewer {
    http: reqwest::Client,
    edge: String,
    domain: String,
}

impl Viewer {
    async fn of(world: &World) -> Result<Self> {
        let app = world.get("shop").await?;
        let domain = app["status"]["distribution"]["domainName"].as_str();
        Ok(Self {
            http: reqwest::Client::new(),
            edge: world.edge.as_ref().context("an edge")?.url(),
            domain: domain.context("a distribution")?.to_owned(),
        })
    }

    async fn get(&self, path: &str) -> Result<(u16, String)> {
        self.send("GET", path).await
    }

    async fn send(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let answer = self
            .http
            .request(method.parse()?, format!("{}{path}", self.edge))
            .header("host", &self.domain)
            .header("x-forwarded-proto", "https")
            .header("x-amz-content-sha256", NOTHING)
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

/// Sent, and lost.
#[derive(Default)]
struct Counts {
    sent: AtomicU32,
    lost: AtomicU32,
}

/// Sends requests, so many a second, until it is told to stop. No more than [`SENDERS`] are under way, for the local AWS
/// answers on a core or two, and whoever only waits in its queue tests nothing.
async fn traffic(viewer: &Viewer, method: &str, rate: u64, stop: &AtomicBool) -> Counts {
    let counts = Counts::default();
    let sender = async || {
        let mut ticks = tokio::time::interval(Duration::from_millis(1000 * SENDERS as u64 / rate));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let number = counts.sent.fetch_add(1, Ordering::Relaxed);
            let answer = viewer
                .send(method, &format!("/api/orders?n={number}"))
                .await;
            if !answer.is_ok_and(|(status, _)| status == 200) {
                counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    futures::future::join_all((0..SENDERS).map(|_| sender())).await;
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_sends_the_writes_to_dr_and_back_and_loses_no_read() -> Result<()> {
    let probe = json!({"method": "POST", "path": "/api/ping", "body": "{\"drill\": true}", "expectStatus": 200});
    let world = ready("drill", json!({"writeProbe": probe})).await?;
    let viewer = Viewer::of(&world).await?;
    // As slow as an edge that is far away.
    let edge = world.edge.as_ref().context("an edge")?;
    edge.delay_stores(PROPAGATION);
    let stop = AtomicBool::default();
    let drill = async {
        let arguments = ["drill", "shop", "--wait", "-n", &world.namespace];
        let out = world.multiregion(&arguments, &[]).await;
        stop.store(true, Ordering::Relaxed);
        out
    };
    let (gets, posts, out) = futures::future::join3(
        traffic(&viewer, "GET", RATE, &stop),
        traffic(&viewer, "POST", RATE / 10, &stop),
        drill,
    )
    .await;
    let out = out.with_context(|| world.log_tail())?;
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    println!(
        "{printed}GETs lost: {} of {}; POSTs lost: {} of {}",
        count(&gets.lost),
        count(&gets.sent),
        count(&posts.lost),
        count(&posts.sent)
    );
    ensure!(
        out.status.code() == Some(0),
        "{printed}{}{}",
        String::from_utf8_lossy(&out.stderr),
        world.log_tail()
    );
    ensure!(printed.starts_with("Succeeded: Completed: "), "{printed}");
    ensure!(count(&gets.lost) == 0 && count(&gets.sent) > 40);

    let app = world.get("shop").await?;
    let drill = &app["status"]["lastDrill"];
    for move_ in ["toDRMilliseconds", "toPrimaryMilliseconds"] {
        let took = drill[move_].as_u64().map(Duration::from_millis);
        // Not when the store took it, but when the edge knew it.
        ensure!(took.is_some_and(|took| took > PROPAGATION / 2), "{drill}");
    }
    ensure!(
        drill["recoveryPointMilliseconds"].as_i64().is_some(),
        "{drill}"
    );
    ensure!(drill["failedRequests"] == 0 && drill["writeProbe"] == "Passed");
    ensure!(drill["finished"].is_string() && drill["phase"].is_null());
    ensure!(app["status"]["lastHandled"]["drill"] == drill["id"]);
    ensure!(drill["lastSucceeded"] == drill["finished"]);
    failing_it_is_not_forgotten(&world, &drill["finished"]).await?;
    at_rest(&world, 3).await
}

/// A drill that fails does not make the one before it that succeeded forgotten, nor overdue.
async fn failing_it_is_not_forgotten(world: &World, succeeded: &Value) -> Result<()> {
    let fault = Fault::new(FaultKind::AccessDenied)
        .service(Service::KeyValueStore)
        .operation("PutKey");
    world.proxy.configure(|config| config.faults = vec![fault]);
    ask(world, "again").await?;
    let status = until_ended(world, "again").await?;
    world.proxy.configure(|config| config.faults.clear());
    ended(&status, "Failed", "MoveFailed")?;
    ensure!(status["lastDrill"]["lastSucceeded"] == *succeeded);
    let succeeded: jiff::Timestamp = serde_json::from_value(succeeded.clone())?;
    let told = format!(
        "multiregion_oldest_drill_timestamp_seconds {}",
        succeeded.as_second()
    );
    let (_, metrics) = world.ask("/metrics").await?;
    ensure!(metrics.lines().any(|line| line == told), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_is_refused_while_dr_is_not_healthy() -> Result<()> {
    let world = ready("refused", json!({})).await?;
    let fault = Fault::new(FaultKind::Status503)
        .service(Service::FunctionUrl)
        .region("us-west-2");
    world.proxy.configure(|config| config.faults = vec![fault]);
    world
        .until("DR to be unhealthy", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRUnhealthy"
        })
        .await?;
    let out = world
        .multiregion(&["drill", "shop", "-n", &world.namespace], &[])
        .await?;
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.code() == Some(1), "{printed}");
    ensure!(
        printed.starts_with("Refused: FailoverNotHealthy: FailoverHealthy is False DRUnhealthy"),
        "{printed}"
    );
    world.proxy.configure(|config| config.faults.clear());
    at_rest(&world, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_probe_that_is_not_answered_as_declared_fails_the_drill() -> Result<()> {
    let probe = json!({"method": "PUT", "path": "/api/ping", "expectStatus": 418});
    let world = ready("probe", json!({"writeProbe": probe})).await?;
    ask(&world, "one").await?;
    let status = until_ended(&world, "one").await?;
    ended(&status, "Failed", "WriteProbeFailed")?;
    ensure!(status["lastDrill"]["writeProbe"] == "Failed");
    at_rest(&world, 3).await
}

/// The edge cannot read the store, so the drill stays at DR until it gives up; there it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_operator_was_killed_halfway_is_taken_back_by_the_next() -> Result<()> {
    let mut world = ready("killed", json!({})).await?;
    world.edge.as_ref().context("an edge")?.reach_stores(false);
    ask(&world, "one").await?;
    let app = until_phase(&world, "AtDR").await?;
    ensure!(app["status"]["lastDrill"]["epoch"] == 2);
    let killed = world.operator.take().context("an operator")?;
    killed.kill9()?;
    world.edge.as_ref().context("an edge")?.reach_stores(true);
    world.start().await?;
    let status = until_ended(&world, "one").await?;
    ended(&status, "Failed", "Interrupted")?;
    at_rest(&world, 3).await
}

/// Asked to stop, it takes back what it moved before it ends; nobody has to come after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_operator_is_stopped_is_taken_back_before_that_ends() -> Result<()> {
    let mut world = ready("stopped", json!({})).await?;
    world.edge.as_ref().context("an edge")?.reach_stores(false);
    ask(&world, "one").await?;
    until_phase(&world, "AtDR").await?;
    let took = world
        .terminate_after_writes(0, Duration::from_secs(30))
        .await?;
    println!("it ended {:.1} s after SIGTERM", took.as_secs_f64());
    let app = world.get("shop").await?;
    ended(&app["status"], "Failed", "Interrupted")?;
    ensure!(
        app["status"]["writer"]["active"] == "Primary" && app["status"]["writer"]["epoch"] == 3,
        "{}",
        app["status"]["writer"]
    );
    world.edge.as_ref().context("an edge")?.reach_stores(true);
    world.start().await?;
    at_rest(&world, 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_no_write_fails_the_drill_and_moves_nothing() -> Result<()> {
    let world = ready("nowrite", json!({})).await?;
    let fault = Fault::new(FaultKind::AccessDenied)
        .service(Service::KeyValueStore)
        .operation("PutKey");
    world.proxy.configure(|config| config.faults = vec![fault]);
    ask(&world, "one").await?;
    let status = until_ended(&world, "one").await?;
    ended(&status, "Failed", "MoveFailed")?;
    world.proxy.configure(|config| config.faults.clear());
    at_rest(&world, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_lost_while_the_writes_are_at_dr_holds_the_drill_until_they_are_back() -> Result<()>
{
    let world = ready("lost", json!({})).await?;
    let edge = world.edge.as_ref().context("an edge")?;
    edge.reach_stores(false);
    ask(&world, "one").await?;
    until_phase(&world, "AtDR").await?;
    // Nobody but the drill moves anything, whatever is asked for.
    world
        .annotate("shop", "multiregion.dev/force-writer=Primary/x")
        .await?;
    let dark = Fault::new(FaultKind::Status503).service(Service::KeyValueStore);
    world.proxy.configure(|config| config.faults = vec![dark]);
    let app = world
        .until("the drill to be held", "shop", TIMEOUT * 2, |app| {
            app.pointer("/status/lastDrill/reason") == Some(&json!("StoreUnreachable"))
        })
        .await?;
    ensure!(app["status"]["lastDrill"]["result"] == "Running");
    ensure!(app["status"]["writer"]["reason"] == "Drill");
    world.proxy.configure(|config| config.faults.clear());
    edge.reach_stores(true);
    let status = until_ended(&world, "one").await?;
    ended(&status, "Failed", "NotPropagated")?;
    let app = world
        .until("the token", "shop", TIMEOUT, |app| {
            app.pointer("/status/lastHandled/forceWriter") == Some(&json!("Primary/x"))
        })
        .await?;
    ensure!(app["status"]["writer"]["epoch"] == 3);
    world.assert_quiet("shop").await
}
