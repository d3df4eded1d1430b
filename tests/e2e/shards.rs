//! Several operators that share the apps: evenly, and again when one comes or goes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strict_aws::Config;
use testbed::wait::{self, Seen};

use crate::world::{Candidate, World, minimal};

const APPS: usize = 200;
const SHARDS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Whoever died is followed within this, also on a busy machine: its lease has to run out.
const HANDOVER: Duration = Duration::from_secs(45);

/// Suspended, an app is looked at and told of, and costs AWS nothing: what counts here is by whom.
#[tokio::test(flavor = "multi_thread")]
async fn apps_are_spread_over_operators_and_over_those_that_are_left_when_one_dies() -> Result<()> {
    let world = World::without_operator("shards", Config::transparent()).await?;
    apply_suspended(&world).await?;
    let arguments = [format!("--shards={SHARDS}")];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut operators = vec![world.candidate_with(&arguments).await?];
    until_spread(&mut operators).await?;
    operators.push(world.candidate_with(&arguments).await?);
    until_spread(&mut operators).await?;
    operators.push(world.candidate_with(&arguments).await?);
    until_spread(&mut operators).await?;

    let killed = Instant::now();
    operators.remove(1).kill9()?;
    until_spread(&mut operators).await?;
    println!(
        "all apps are worked on {:.1} s after SIGKILL",
        killed.elapsed().as_secs_f64()
    );
    ensure!(killed.elapsed() < HANDOVER);

    // One that is asked to go gives its apps away at once.
    let stopped = Instant::now();
    operators.remove(0).terminate(TIMEOUT).await?;
    until_spread(&mut operators).await?;
    println!(
        "all apps are worked on {:.1} s after SIGTERM",
        stopped.elapsed().as_secs_f64()
    );

    // And what it holds, it works on.
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await?;
    let last = operators.pop().context("the last one")?;
    last.terminate(TIMEOUT).await.map(drop)
}

async fn apply_suspended(world: &World) -> Result<()> {
    let mut spec = minimal();
    spec["suspend"] = json!(true);
    let apps: Vec<String> = (0..APPS)
        .map(|number| {
            json!({
                "apiVersion": "multiregion.dev/v1alpha1",
                "kind": "MultiRegionApp",
                "metadata": {"name": format!("app-{number}"), "namespace": world.namespace},
                "spec": spec,
            })
            .to_string()
        })
        .collect();
    let apply = ["apply", "--server-side", "-f", "-"];
    world
        .kubectl(&apply, Some(&apps.join("\n---\n")))
        .await
        .map(drop)
}

/// Waits until all shards are held, evenly, and every app is told of by exactly one operator.
async fn until_spread(operators: &mut [Candidate]) -> Result<()> {
    let spread = wait::until("an even spread", TIMEOUT, || async {
        let (mut shards, mut apps) = (Vec::new(), Vec::new());
        for operator in operators.iter() {
            shards.push(operator.metric("multiregion_shards ").await? as usize);
            let configured = operator.metric("multiregion_shards_configured").await?;
            ensure!(configured as usize == SHARDS, "of {configured} shards");
            let told = "multiregion_conditions{type=\"Synced\"";
            apps.push(operator.metric(told).await? as usize);
        }
        let most = shards.iter().max().copied().unwrap_or_default();
        let least = shards.iter().min().copied().unwrap_or_default();
        let even = shards.iter().sum::<usize>() == SHARDS && most - least <= 1;
        let all = apps.iter().sum::<usize>() == APPS;
        let seen = format!("shards {shards:?}, apps {apps:?}");
        Ok(if even && all {
            Seen::Done(seen)
        } else {
            Seen::Waiting(seen)
        })
    })
    .await
    .with_context(|| operators.first().map(Candidate::log).unwrap_or_default())?;
    println!("{} operators: {spread}", operators.len());
    Ok(())
}
