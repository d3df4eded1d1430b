//! Health as it is told while regions fail: what viewers get, what the status says, and that nothing waits for the sick.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::wait::{self, Seen};

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds between two probes, and how many decide.
const INTERVAL: u64 = 5;
const THRESHOLD: u64 = 2;

fn probed() -> Value {
    json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
        "failover": {
            "probe": {"intervalSeconds": INTERVAL, "timeoutSeconds": 2, "failureThreshold": THRESHOLD, "successThreshold": THRESHOLD},
            "heartbeat": {"intervalSeconds": 5},
        },
    })
}

fn says(app: &Value, name: &str, status: &str, reason: &str) -> bool {
    let (is, why, _) = condition(app, name);
    (is, why) == (status, reason)
}

async fn ready(name: &str) -> Result<World> {
    let world = World::with_edge(name, Config::transparent()).await?;
    dr_ready(&world).await?;
    Ok(world)
}

async fn dr_ready(world: &World) -> Result<()> {
    world.apply("shop", &probed()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("DR to be ready", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "True", "DRReady")
                && says(app, "ReplicationHealthy", "True", "WithinObjective")
        })
        .await
        .map(drop)
}

fn break_functions(world: &World, regions: &[&str]) {
    let faults: Vec<Fault> = regions
        .iter()
        .map(|region| {
            Fault::new(FaultKind::Status503)
                .service(Service::FunctionUrl)
                .region(*region)
        })
        .collect();
    world.proxy.configure(|config| config.faults = faults);
}

/// Status and origin of a page, as a viewer gets it.
async fn page(world: &World, path: &str) -> Result<(u16, String)> {
    let app = world.get("shop").await?;
    let domain = app["status"]["distribution"]["domainName"]
        .as_str()
        .context("a distribution")?;
    let edge = world.edge.as_ref().context("an edge")?;
    let answer = reqwest::Client::new()
        .get(format!("{}{path}", edge.url()))
        .header("host", domain)
        .header("x-forwarded-proto", "https")
        .send()
        .await?;
    let origin = answer.headers().get("x-edge-origin");
    let origin = origin
        .and_then(|origin| origin.to_str().ok())
        .unwrap_or_default();
    Ok((answer.status().as_u16(), origin.to_owned()))
}

fn region_health(app: &Value, role: &str) -> Value {
    let regions = app["status"]["regions"].as_array();
    let region = regions
        .into_iter()
        .flatten()
        .find(|region| region["role"] == role);
    region.map_or(Value::Null, |region| region["health"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_primary_is_served_by_dr_at_once_and_told_past_the_threshold() -> Result<()> {
    let world = ready("primary-down").await?;
    ensure!(page(&world, "/").await? == (200, "lambda-primary".to_owned()));
    let lag = world.get("shop").await?["status"]["replicationLagSeconds"].clone();
    ensure!(lag == 1, "the lag is {lag}");

    break_functions(&world, &["us-east-1"]);
    let broken = Instant::now();
    ensure!(page(&world, "/now").await? == (200, "lambda-dr".to_owned()));
    let told = world
        .until("the condition", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "False", "PrimaryUnhealthy")
        })
        .await?;
    let seconds = broken.elapsed().as_secs_f64();
    println!("PrimaryUnhealthy after {seconds:.1} s ({INTERVAL} s × {THRESHOLD})");
    ensure!(seconds < (INTERVAL * THRESHOLD + 4) as f64);
    ensure!(region_health(&told, "Primary") == "Unhealthy");
    ensure!(region_health(&told, "DR") == "Healthy");
    // A fix must be able to ship.
    ensure!(condition(&told, "Ready").0 == "True");

    break_functions(&world, &["us-east-1", "us-west-2"]);
    let told = world
        .until("both to be down", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "BothUnhealthy"
        })
        .await?;
    ensure!(says(&told, "Ready", "False", "NotServing"));
    ensure!(condition(&told, "Synced").0 == "True");

    break_functions(&world, &[]);
    let told = world
        .until("both to be up", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    ensure!(says(&told, "Ready", "True", "Converged"));
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_a_black_hole_delays_no_probe_and_no_repair_of_the_other() -> Result<()> {
    let world = ready("hole").await?;
    let hole = Fault::new(FaultKind::BlackHole).region("us-west-2");
    world.proxy.configure(|config| config.faults = vec![hole]);
    world.set_memory("us-east-1", "shop-primary", 256).await?;
    let began = Instant::now();
    world
        .annotate("shop", "multiregion.dev/reconcile=hole")
        .await?;
    // The counts of probes of the primary, each time they rise.
    let mut last = (probes(&world, "primary").await?, Instant::now());
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(INTERVAL * 5) {
        let count = wait::until("another probe", Duration::from_secs(30), || async {
            let now = probes(&world, "primary").await?;
            Ok(if now > last.0 {
                Seen::Done(now)
            } else {
                Seen::Waiting(now.to_string())
            })
        })
        .await?;
        longest = longest.max(last.1.elapsed());
        last = (count, Instant::now());
    }
    println!("longest time between two probes of the primary: {longest:.1?}");
    ensure!(longest < Duration::from_secs(INTERVAL + 5));
    let memory = world
        .function_field("us-east-1", "shop-primary", "MemorySize")
        .await?;
    ensure!(memory == 512, "the primary was not repaired: {memory}");
    let told = world
        .until("DR to be told down", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "False", "DRUnhealthy")
        })
        .await?;
    ensure!(region_health(&told, "Primary") == "Healthy");
    world.proxy.configure(|config| config.faults.clear());
    world
        .until("DR to be back", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

async fn probes(world: &World, target: &str) -> Result<u64> {
    let operator = world.operator.as_ref().context("an operator")?;
    let text = testbed::metrics_text(&operator.url()).await?;
    let wanted = format!("target=\"{target}\"");
    Ok(text
        .lines()
        .filter(|line| line.starts_with("multiregion_probes_total{") && line.contains(&wanted))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prober_that_reaches_nothing_says_so_and_calls_nobody_down() -> Result<()> {
    // Without an edge, which would answer from where it stands.
    let world = World::new("isolated", Config::transparent()).await?;
    dr_ready(&world).await?;
    let before = world.get("shop").await?;
    let cut = Fault::new(FaultKind::RefuseRegion);
    world.proxy.configure(|config| config.faults = vec![cut]);
    let told = world
        .until("isolation", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "Unknown", "ProberIsolated")
        })
        .await?;
    for role in ["Primary", "DR"] {
        ensure!(
            region_health(&told, role) == "Healthy",
            "{role} was called down"
        );
    }
    ensure!(told["status"]["writer"] == before["status"]["writer"]);
    world.proxy.configure(|config| config.faults.clear());
    world
        .until("DR to be ready again", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

/// In an outage nobody waits for the interval of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_interval_holds_as_soon_as_it_is_declared() -> Result<()> {
    let world = World::with_edge("interval", Config::transparent()).await?;
    let mut spec = probed();
    spec["failover"]["probe"]["intervalSeconds"] = json!(300);
    spec["failover"]["heartbeat"]["intervalSeconds"] = json!(3600);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("DR to be ready", "shop", TIMEOUT, |app| {
            says(app, "FailoverHealthy", "True", "DRReady")
        })
        .await?;
    let before = probes(&world, "primary").await?;
    world.proxy.clear_calls();
    world.apply("shop", &probed()).await?;
    wait::until("two rounds of probes, two heartbeats", TIMEOUT, || async {
        let made = probes(&world, "primary").await? - before;
        let calls = world.proxy.calls();
        let beats = calls.iter().filter(|call| call.operation == "PutItem");
        let beats = beats.count();
        // One table, both ways.
        Ok(Seen::when(
            made >= 2 && beats >= 4,
            format!("{made} probes, {beats} items"),
        ))
    })
    .await?;
    world.assert_quiet("shop").await
}

/// The lag that is injected is the lag that is told; and heartbeats leave nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_told_is_the_lag_there_is() -> Result<()> {
    let world = ready("lag").await?;
    let lag = |app: &Value| {
        let rows = app["status"]["replication"].as_array();
        let row = rows
            .into_iter()
            .flatten()
            .find(|row| row["source"] == "dynamodb/shop-visits" && row["from"] == "us-east-1");
        row.map_or(Value::Null, |row| row["lagSeconds"].clone())
    };
    for (injected, shown) in [
        (Duration::from_millis(4_000), 5),
        (Duration::from_secs(8), 10),
    ] {
        world
            .proxy
            .configure(|config| config.delays.replication = injected);
        world
            .until("the lag", "shop", TIMEOUT, |app| lag(app) == shown)
            .await?;
        // Until the first heartbeat of this lag is there, the lag is at least its age.
        let measured = wait::until("the measured lag", TIMEOUT, || async {
            let measured = measured_lag(&world).await?;
            let error = measured - injected.as_secs_f64();
            Ok(if (0.0..1.0).contains(&error) {
                Seen::Done(measured)
            } else {
                Seen::Waiting(format!("{measured} s"))
            })
        })
        .await?;
        println!("injected {injected:?}, measured {measured:.2} s");
    }
    world
        .patch(
            "shop",
            &json!({"spec": {"objectives": {"recoveryPointSeconds": 3}}}),
        )
        .await?;
    world
        .until("a lag past the objective", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "False", "LagExceeded")
        })
        .await?;
    world
        .proxy
        .configure(|config| config.delays.replication = Duration::ZERO);
    world
        .until("no lag", "shop", TIMEOUT, |app| {
            condition(app, "ReplicationHealthy").1 == "WithinObjective"
        })
        .await?;
    world
        .patch(
            "shop",
            &json!({"spec": {"failover": {"heartbeat": {"mode": "Disabled"}}}}),
        )
        .await?;
    world
        .until("no data", "shop", TIMEOUT, |app| {
            says(app, "ReplicationHealthy", "Unknown", "NoData")
        })
        .await?;
    for region in ["us-east-1", "us-west-2"] {
        wait::until("no heartbeats", TIMEOUT, || async {
            let table = json!({"TableName": "shop-visits"});
            let items = world.aws().call("dynamodb", "Scan", region, &table).await?;
            let left = items["Items"].to_string().contains("multiregion/heartbeat");
            Ok(Seen::when(!left, items["Items"].to_string()))
        })
        .await?;
    }
    world.assert_quiet("shop").await
}

/// Of the primary's tables, as `/metrics` has it.
async fn measured_lag(world: &World) -> Result<f64> {
    let operator = world.operator.as_ref().context("an operator")?;
    let text = testbed::metrics_text(&operator.url()).await?;
    let line = text.lines().find(|line| {
        line.starts_with("multiregion_replication_lag_seconds{")
            && line.contains("service=\"dynamodb\"")
            && line.contains("from=\"us-east-1\"")
    });
    let value = line.context("no lag in /metrics")?.rsplit_once(' ');
    Ok(value.context("a value")?.1.parse()?)
}
