//! `multiregion plan` against a live app: its exit status, its words, its JSON.

use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, minimal};

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_by_its_exit_status_whether_there_is_something_to_do() -> Result<()> {
    let mut world = World::new("plan", Config::transparent()).await?;
    let manifest = world.manifest("shop.json", "shop", &minimal())?;
    // Nothing is there yet.
    let all = world.multiregion(&["plan", "-f", &manifest], &[]).await?;
    expect(&all, 2)?;
    ensure!(text(&all).contains("+ dynamodb_table/us-east-1/shop-visits"));

    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world.assert_quiet("shop").await?;
    // The drift is to be seen by the command, not corrected by the operator.
    world.operator = None;
    world.proxy.clear_calls();
    let none = world.multiregion(&["plan", "-f", &manifest], &[]).await?;
    expect(&none, 0)?;
    ensure!(
        text(&none).contains("Nothing to do: AWS is as declared."),
        "{}",
        text(&none)
    );
    let none = json_of(&world, &manifest, 0).await?;
    ensure!(none["steps"] == json!([]), "{none}");

    world.set_memory("us-east-1", "shop-primary", 256).await?;
    let drifted = world.multiregion(&["plan", "-f", &manifest], &[]).await?;
    expect(&drifted, 2)?;
    ensure!(
        text(&drifted).contains("~ lambda_function/us-east-1/shop-primary")
            && text(&drifted).contains("memory_size: 256 → 512")
            && text(&drifted).contains("Plan: 1 to update."),
        "{}",
        text(&drifted)
    );
    let drifted = json_of(&world, &manifest, 2).await?;
    ensure!(
        drifted.pointer("/steps/0/change/Update/fields")
            == Some(&json!([{"path": "memory_size", "from": 256, "to": 512}])),
        "{drifted}"
    );
    ensure!(drifted["steps"].as_array().map(Vec::len) == Some(1));
    errors(&world, &manifest).await?;
    ensure!(
        world.proxy.writes().is_empty(),
        "plan wrote: {:#?}",
        world.proxy.writes()
    );
    world.start().await?;
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world
        .until_memory("us-east-1", "shop-primary", 512, Duration::from_secs(60))
        .await?;
    world.assert_quiet("shop").await
}

/// A manifest that is refused, a file that is not there, AWS out of reach, no credentials: each is said, with status 1.
async fn errors(world: &World, manifest: &str) -> Result<()> {
    let mut spec = minimal();
    spec["regions"]["dr"] = json!("us-east-1");
    spec["function"] = json!({"memorySizeMib": 256});
    let bad = world.manifest("bad.json", "shop", &spec)?;
    let refused = world.multiregion(&["plan", "-f", &bad], &[]).await?;
    expect(&refused, 1)?;
    ensure!(
        complaint(&refused).contains("is refused") && complaint(&refused).contains("memorySizeMib"),
        "{}",
        complaint(&refused)
    );
    let missing = world
        .multiregion(&["plan", "-f", "/nowhere/shop.yaml"], &[])
        .await?;
    expect(&missing, 1)?;
    ensure!(complaint(&missing).contains("/nowhere/shop.yaml"));

    let closed = testbed::ports::free_port()?;
    let nobody = format!("http://127.0.0.1:{closed}");
    let away = world
        .multiregion(
            &["plan", "-f", manifest],
            &[("AWS_ENDPOINT_URL", nobody.as_str())],
        )
        .await?;
    expect(&away, 1)?;
    ensure!(
        complaint(&away).contains("sts:GetCallerIdentity"),
        "{}",
        complaint(&away)
    );
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let without = world
        .multiregion(&["plan", "-f", manifest], &nobody)
        .await?;
    expect(&without, 1)?;
    ensure!(
        complaint(&without).contains("NoCredentials"),
        "{}",
        complaint(&without)
    );
    // What cannot be read is no reason to say that there is nothing to do.
    let fault = Fault::new(FaultKind::RefuseRegion).region("us-west-2");
    world.proxy.configure(|config| config.faults.push(fault));
    let partly = world.multiregion(&["plan", "-f", manifest], &[]).await?;
    world.proxy.configure(|config| config.faults.clear());
    expect(&partly, 1)?;
    ensure!(
        complaint(&partly).contains("could not be read"),
        "{}",
        complaint(&partly)
    );
    Ok(())
}

async fn json_of(world: &World, manifest: &str, status: i32) -> Result<Value> {
    let output = world
        .multiregion(&["plan", "-f", manifest, "-o", "json"], &[])
        .await?;
    expect(&output, status)?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn expect(output: &Output, status: i32) -> Result<()> {
    ensure!(
        output.status.code() == Some(status),
        "{} instead of {status}:\n{}\n{}",
        output.status,
        text(output),
        complaint(output)
    );
    Ok(())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
