//! The annotation that asks for a pass: a token is done once.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A pass that was asked for reads everything, one for another reason only what serving depends on.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_done_once_and_one_that_came_with_the_object_not_at_all() -> Result<()> {
    let world = World::new("token", Config::transparent()).await?;
    let object = json!({
        "apiVersion": "multiregion.dev/v1alpha1",
        "kind": "MultiRegionApp",
        "metadata": {
            "name": "shop", "namespace": world.namespace,
            "annotations": {"multiregion.dev/reconcile": "first"},
        },
        "spec": minimal(),
    });
    world
        .kubectl(
            &["apply", "--server-side", "-f", "-"],
            Some(&object.to_string()),
        )
        .await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    ensure!(
        handled(&app) == "first",
        "the token that came with the object is recorded"
    );
    // The check after a change reads everything of its own accord, and is due.
    passes_once(&world, "example.com/note=a").await?;
    ensure!(!passes_once(&world, "example.com/note=b").await?.complete);
    ensure!(handled(&world.get("shop").await?) == "first");

    ensure!(
        passes_once(&world, "multiregion.dev/reconcile=second")
            .await?
            .complete
    );
    ensure!(handled(&world.get("shop").await?) == "second");
    ensure!(!passes_once(&world, "example.com/note=c").await?.complete);
    world.assert_quiet("shop").await
}

/// `suspend` keeps a token waiting, as it does everything else; it is done when the app goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_given_to_a_suspended_app_is_done_when_it_goes_on() -> Result<()> {
    let world = World::new("suspended", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    let before = handled(&world.get("shop").await?);
    world
        .patch("shop", &json!({"spec": {"suspend": true}}))
        .await?;
    world
        .until("Suspended", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "Suspended"
        })
        .await?;
    world.proxy.clear_calls();
    world
        .annotate_and_pass("shop", "multiregion.dev/reconcile=meanwhile")
        .await?;
    ensure!(handled(&world.get("shop").await?) == before);
    // Probes and heartbeats go on.
    let mut calls = world.proxy.calls();
    calls.retain(|call| !call.is_data());
    ensure!(
        calls.is_empty(),
        "AWS was called for a suspended app: {calls:#?}"
    );
    world
        .patch("shop", &json!({"spec": {"suspend": false}}))
        .await?;
    world
        .until("the token to be handled", "shop", TIMEOUT, |app| {
            handled(app) == "meanwhile"
        })
        .await?;
    ensure!(read_everything(&world));
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

struct Passed {
    complete: bool,
}

/// Sets an annotation, which starts a pass, and waits for the end of that.
async fn passes_once(world: &World, annotation: &str) -> Result<Passed> {
    world.proxy.clear_calls();
    world.annotate_and_pass("shop", annotation).await?;
    // The status is written after the pass is counted.
    if let Some(token) = annotation.strip_prefix("multiregion.dev/reconcile=") {
        world
            .until("the token to be recorded", "shop", TIMEOUT, |app| {
                handled(app) == token
            })
            .await?;
    }
    Ok(Passed {
        complete: read_everything(world),
    })
}

/// A bucket's encryption is asked for by complete passes only.
fn read_everything(world: &World) -> bool {
    let calls = world.proxy.calls();
    calls
        .iter()
        .any(|call| call.operation == "GetBucketEncryption")
}

fn handled(app: &Value) -> String {
    let token = app.pointer("/status/lastHandled/reconcile");
    token.and_then(Value::as_str).unwrap_or_default().to_owned()
}
