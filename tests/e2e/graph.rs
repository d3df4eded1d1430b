//! `multiregion graph`: of a live app as its status says it is, and of a manifest as AWS is seen to be.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use strict_aws::Config;

use crate::world::{World, minimal};

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_shows_what_is_there_and_what_is_to_be_done() -> Result<()> {
    let world = World::new("graph", Config::transparent()).await?;
    let manifest = world.manifest("shop.json", "shop", &minimal())?;
    let drawn = graph(&world, &["-f", &manifest]).await?;
    ensure!(
        drawn.starts_with("flowchart LR\n") && drawn.contains("to do: create"),
        "{drawn}"
    );
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(60)).await?;
    // The probes go their own way, and may be later than the passes.
    world
        .until(
            "a healthy primary",
            "shop",
            Duration::from_secs(60),
            |app| app.pointer("/status/regions/0/health") == Some(&json!("Healthy")),
        )
        .await?;
    world.assert_quiet("shop").await?;
    world.proxy.clear_calls();
    let told = graph(&world, &["shop", "-n", &world.namespace]).await?;
    let seen = graph(&world, &["-f", &manifest]).await?;
    for drawn in [&told, &seen] {
        ensure!(
            drawn.contains("writer: Primary, epoch 1")
                && drawn.contains(&format!("shop-static-{}-dr", world.account))
                && !drawn.contains("to do"),
            "{drawn}"
        );
    }
    ensure!(told.contains("Primary us-east-1: Healthy"), "{told}");
    ensure!(world.proxy.writes().is_empty());
    let none = world
        .multiregion(&["graph", "nobody", "-n", &world.namespace], &[])
        .await?;
    ensure!(none.status.code() == Some(1));
    Ok(())
}

async fn graph(world: &World, arguments: &[&str]) -> Result<String> {
    let all = [&["graph"], arguments].concat();
    let out = world.multiregion(&all, &[]).await?;
    ensure!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8(out.stdout)?)
}
