//! Several operators at once: one works, the others wait, and no two ever write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind};
use testbed::ControlPlane;
use testbed::process::Signal;
use testbed::wait::{self, Seen};

use crate::world::{Candidate, World, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);
/// To start, and to see who leads.
const SOON: Duration = Duration::from_secs(20);
/// A leader that died is followed within this.
const HANDOVER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_works_and_the_other_follows_when_it_is_killed_or_stopped()
-> Result<()> {
    let world = World::without_operator("leaders", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    let (first, second) = tokio::try_join!(world.candidate(), world.candidate())?;
    let (mut leader, mut standby) = elected(first, second).await?;
    world.until_ready("shop", TIMEOUT).await?;
    ensure!(!leader.proxy.writes().is_empty());
    said_nothing(&standby)?;
    world.assert_nothing_twice().await?;

    let killed = Instant::now();
    leader.kill9()?;
    change_memory(&world, 256).await?;
    standby.until_leader(HANDOVER).await?;
    println!(
        "it led {:.1} s after SIGKILL",
        killed.elapsed().as_secs_f64()
    );
    ensure!(killed.elapsed() < HANDOVER);
    world.until_ready("shop", TIMEOUT).await?;
    ensure!(memory(&world).await? == json!(256));
    only_updates(&standby)?;

    leader = standby;
    standby = world.candidate().await?;
    standby.until_standby(SOON).await?;
    let stopped = Instant::now();
    leader.terminate(SOON).await?;
    standby.until_leader(SOON).await?;
    println!(
        "it led {:.1} s after SIGTERM",
        stopped.elapsed().as_secs_f64()
    );
    ensure!(stopped.elapsed() < Duration::from_secs(5));
    ensure!(world.lease().await?["spec"]["leaseTransitions"] == 2);
    change_memory(&world, 512).await?;
    world.until_ready("shop", TIMEOUT).await?;
    ensure!(memory(&world).await? == json!(512));
    only_updates(&standby)?;
    world.assert_nothing_twice().await?;

    standby.terminate(SOON).await?;
    ensure!(
        world.lease().await?["spec"]["holderIdentity"]
            .as_str()
            .is_none_or(str::is_empty)
    );
    Ok(())
}

/// Stopped for longer than its lease, as with a machine that hangs, while it waits for answers: it must not go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_in_the_midst_of_a_creation_writes_nothing_after_another_leads()
-> Result<()> {
    let world = World::without_operator("deposed", Config::transparent()).await?;
    for (spell, name) in ["shop", "store"].into_iter().enumerate() {
        let (first, second) = tokio::try_join!(world.candidate(), world.candidate())?;
        let (mut leader, mut standby) = elected(first, second).await?;
        world.apply(name, &minimal()).await?;
        until_writes(&leader, 5 + 9 * spell).await?;
        let dark = Fault::new(FaultKind::BlackHole);
        leader.proxy.configure(|config| config.faults.push(dark));
        until_all_is_under_way(&leader).await?;
        leader.signal(Signal::STOP)?;
        // Its calls are lost now, and the SDK would make them again.
        leader.proxy.configure(|config| config.faults.clear());
        standby.until_leader(HANDOVER + TIMEOUT).await?;
        world.until_ready(name, TIMEOUT).await?;
        ensure!(!standby.proxy.writes().is_empty(), "nothing was left to do");

        leader.proxy.clear_calls();
        leader.signal(Signal::CONT)?;
        let status = leader.until_exit(Duration::from_secs(5)).await?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        let late = leader.proxy.calls();
        ensure!(
            late.is_empty(),
            "it called AWS after it was deposed: {late:#?}"
        );
        ensure!(
            leader.log().contains("could not be renewed within 10 s"),
            "it does not say why it ended: {}",
            leader.log()
        );
        standby.until_leader(SOON).await?;
        world.until_ready(name, TIMEOUT).await?;
        standby.terminate(SOON).await?;
    }
    nothing_twice_of_two_apps(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_the_api_server_stops_and_the_next_process_waits_for_it() -> Result<()> {
    let directory = testbed::paths::scratch()?;
    // As long-lived as the shared one; its API server ends with the test.
    let control_plane: &'static ControlPlane =
        Box::leak(Box::new(ControlPlane::start(&directory).await?));
    let world = World::in_cluster(control_plane, "alone", Config::transparent()).await?;
    let mut leader = world.candidate().await?;
    leader.until_leader(SOON).await?;
    world.apply("shop", &minimal()).await?;
    until_writes(&leader, 5).await?;
    control_plane.stop_api_server().await?;
    let gone = Instant::now();
    let status = leader.until_exit(SOON).await?;
    println!(
        "it ended {:.1} s after the API server",
        gone.elapsed().as_secs_f64()
    );
    ensure!(status.code() == Some(1), "it ended with {status}");
    ensure!(gone.elapsed() < Duration::from_secs(12));
    ensure!(leader.log().contains("could not be renewed within 10 s"));

    // As Kubernetes starts it again.
    let mut next = world.candidate().await?;
    next.until_readyz("the lease cannot be taken", SOON).await?;
    said_nothing(&next)?;
    control_plane.start_api_server().await?;
    next.until_leader(TIMEOUT).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_nothing_twice().await?;
    next.terminate(SOON).await?;
    control_plane.stop_api_server().await
}

/// Somebody gives the lease to another by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_was_given_away_ends_and_names_the_other() -> Result<()> {
    let world = World::without_operator("givenaway", Config::transparent()).await?;
    let mut leader = world.candidate().await?;
    leader.until_leader(SOON).await?;
    let lease = &world.namespace;
    let patch = json!({"spec": {"holderIdentity": "somebody"}}).to_string();
    let arguments = [
        "--namespace",
        "multiregion-system",
        "patch",
        "lease",
        lease,
        "--type=merge",
        "-p",
        &patch,
    ];
    world.control_plane.kubectl_ok(&arguments, None).await?;
    let status = leader.until_exit(Duration::from_secs(5)).await?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    ensure!(
        leader.log().contains("was taken over by somebody"),
        "{}",
        leader.log()
    );
    Ok(())
}

/// The leader first.
async fn elected(mut first: Candidate, mut second: Candidate) -> Result<(Candidate, Candidate)> {
    let won = tokio::select! {
        led = first.until_leader(SOON) => led.map(|()| true),
        led = second.until_leader(SOON) => led.map(|()| false),
    };
    let (leader, mut standby) = if won? {
        (first, second)
    } else {
        (second, first)
    };
    standby.until_standby(SOON).await?;
    Ok((leader, standby))
}

/// Who stands by asks AWS nothing either: no read, no probe, no heartbeat.
fn said_nothing(standby: &Candidate) -> Result<()> {
    let calls = standby.proxy.calls();
    ensure!(calls.is_empty(), "it does not stand by: {calls:#?}");
    Ok(())
}

/// All that it wrote is the change of the functions that it found to do.
fn only_updates(leader: &Candidate) -> Result<()> {
    let writes = leader.proxy.writes().into_iter();
    let mut operations: BTreeSet<String> = writes.map(|call| call.operation).collect();
    // What a rollout remembers is in the functions' tags.
    operations.remove("TagResource");
    ensure!(
        operations == BTreeSet::from(["UpdateFunctionConfiguration".to_owned()]),
        "{operations:?}"
    );
    Ok(())
}

async fn until_writes(leader: &Candidate, count: usize) -> Result<()> {
    wait::until("writes to stop in", TIMEOUT, || async {
        let writes = leader.proxy.writes().len();
        Ok(Seen::when(writes >= count, writes.to_string()))
    })
    .await
    .with_context(|| leader.log())
}

/// Waits until all calls that it has to make are made, and not answered.
async fn until_all_is_under_way(leader: &Candidate) -> Result<()> {
    let before = AtomicUsize::new(0);
    wait::until("calls without an answer", TIMEOUT, || async {
        let calls = leader.proxy.calls();
        let lost = calls.iter().filter(|call| call.fault.is_some()).count();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let steady = before.swap(lost, Ordering::Relaxed) == lost;
        Ok(Seen::when(lost > 0 && steady, lost.to_string()))
    })
    .await
}

async fn change_memory(world: &World, mebibytes: u32) -> Result<()> {
    let mut spec = minimal();
    spec["function"] = json!({"memorySizeMiB": mebibytes});
    world.apply("shop", &spec).await
}

async fn memory(world: &World) -> Result<Value> {
    world
        .function_field("us-west-2", "shop-dr", "MemorySize")
        .await
}

/// As [`World::assert_nothing_twice`], of two apps that share their access controls.
async fn nothing_twice_of_two_apps(world: &World) -> Result<()> {
    for (service, operation, list) in [
        ("cloudfront", "ListDistributions", "/DistributionList/Items"),
        (
            "cloudfront",
            "ListOriginAccessControls",
            "/OriginAccessControlList/Items",
        ),
        ("lambda", "ListFunctions", "/Functions"),
    ] {
        let aws = world.aws_itself();
        let listed = aws
            .call(service, operation, "us-east-1", &json!({}))
            .await?;
        let count = listed
            .pointer(list)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        ensure!(count == 2, "{operation}: {count} of them");
    }
    Ok(())
}
