//! The process: how it ends when it is asked to.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, minimal};

const TIMEOUT: Duration = Duration::from_secs(120);
/// What Kubernetes leaves a pod, unless told otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// The pass under way is ended, and told in the status; the next process goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_in_the_midst_of_a_creation_it_leaves_a_status_and_the_next_one_finishes()
-> Result<()> {
    let mut world = World::new("sigterm", Config::strict()).await?;
    world.apply("shop", &minimal()).await?;
    for writes in [4, 12, 20] {
        let took = world.terminate_after_writes(writes, GRACE).await?;
        println!(
            "it ended {:.1} s after SIGTERM, {writes} writes in",
            took.as_secs_f64()
        );
        ensure!(took < Duration::from_secs(10), "{took:?}");
        let app = world.get("shop").await?;
        ensure!(
            app["status"]["inventory"]
                .as_array()
                .is_some_and(|inventory| !inventory.is_empty())
                && app.pointer("/status/conditions/0/type") == Some(&Value::from("Ready")),
            "it left no status: {}",
            app["status"]
        );
        world.start().await?;
    }
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await?;

    let idle = world.terminate_after_writes(0, GRACE).await?;
    println!("idle, it ended {:.2} s after SIGTERM", idle.as_secs_f64());
    ensure!(idle < Duration::from_secs(2), "{idle:?}");
    world.start().await?;
    world.assert_quiet("shop").await
}

/// Whatever is waited for then has its limit in the time of a call.
#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_while_aws_does_not_answer_it_still_ends_in_time() -> Result<()> {
    let mut world = World::new("sigtermdark", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    let dark = Fault::new(FaultKind::BlackHole);
    world.proxy.configure(|config| config.faults.push(dark));
    world
        .annotate("shop", "multiregion.dev/reconcile=dark")
        .await?;
    testbed::wait::until("calls that are not answered", TIMEOUT, || async {
        let calls = world.proxy.calls();
        let hit = calls.iter().filter(|call| call.fault.is_some()).count();
        Ok(testbed::wait::Seen::when(hit > 3, hit.to_string()))
    })
    .await?;
    let took = world.terminate_after_writes(0, GRACE).await?;
    println!(
        "in the dark, it ended {:.1} s after SIGTERM",
        took.as_secs_f64()
    );
    ensure!(took < GRACE, "{took:?}");
    world.proxy.configure(|config| config.faults.clear());
    world.start().await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}
