//! What a GitOps tool applied stays as it is: the operator writes its status and its finalizer, and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gitops::argocd;
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(90);
/// As Argo CD applies server-side.
const APPLIER: &str = "argocd-controller";
/// As Argo CD's actions patch.
const ACTOR: &str = "argocd-server";

/// A repository with one app in it, and what the live object has to be by it.
struct Repository {
    manifest: Value,
    /// Annotations that actions have set.
    asked: serde_json::Map<String, Value>,
}

impl Repository {
    fn new(world: &World) -> Self {
        let manifest = json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {
                "name": "shop",
                "namespace": world.namespace,
                "labels": {"app.kubernetes.io/instance": "shop"},
                "annotations": {"argocd.argoproj.io/tracking-id": "shop:multiregion.dev/MultiRegionApp:web/shop"},
            },
            "spec": {
                "regions": {"primary": "us-east-1", "dr": "us-west-2"},
                "tables": [{"name": "visits"}],
                "failover": {
                    "probe": {"intervalSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2, "successThreshold": 2},
                    "heartbeat": {"intervalSeconds": 5},
                },
            },
        });
        Self {
            manifest,
            asked: serde_json::Map::new(),
        }
    }

    /// Without force: a field that the operator had taken would be a conflict.
    async fn apply(&self, world: &World, how: &[&str]) -> Result<Value> {
        let mut arguments = vec!["apply", "--server-side", "--field-manager", APPLIER];
        arguments.extend(how);
        arguments.extend(["-o", "json", "-f", "-"]);
        let applied = world
            .kubectl(&arguments, Some(&self.manifest.to_string()))
            .await?;
        serde_json::from_str(&applied).context("the object as applied")
    }

    /// One of Argo CD's actions: what its script makes of the live object, as a merge patch.
    async fn act(&mut self, world: &World, action: &str) -> Result<String> {
        let live = world.get("shop").await?;
        ensure!(
            !argocd::actions(&live)?[action].disabled,
            "{action}: {live}"
        );
        let wanted = argocd::act(action, &live)?;
        let annotation = format!("multiregion.dev/{action}");
        let token = wanted["metadata"]["annotations"][&annotation].clone();
        let patch = json!({"metadata": {"annotations": {&annotation: token}}}).to_string();
        let arguments = [
            "patch",
            "multiregionapp",
            "shop",
            "--type=merge",
            "--field-manager",
            ACTOR,
            "-p",
            &patch,
        ];
        world.kubectl(&arguments, None).await?;
        let text = token.as_str().context("a token")?.to_owned();
        self.asked.insert(annotation, token);
        Ok(text)
    }

    /// The live object is what was applied, to the byte; applying it again would change nothing, and nothing of it is the
    /// operator's.
    async fn is_in_sync(&self, world: &World, spec: &str) -> Result<()> {
        let live = world.get("shop").await?;
        let lives = live["spec"].to_string();
        ensure!(lives == spec, "{lives}");
        let metadata = &live["metadata"];
        ensure!(
            metadata["labels"] == self.manifest["metadata"]["labels"],
            "{metadata}"
        );
        let mut annotations = self.manifest["metadata"]["annotations"].clone();
        for (name, value) in &self.asked {
            annotations[name] = value.clone();
        }
        ensure!(metadata["annotations"] == annotations, "{metadata}");
        let again = self.apply(world, &["--dry-run=server"]).await?;
        for part in ["labels", "annotations", "finalizers", "generation"] {
            ensure!(again["metadata"][part] == metadata[part], "{part}: {again}");
        }
        let applied = again["spec"].to_string();
        ensure!(applied == spec, "{applied}");
        owns_only_its_own(world).await
    }
}

/// Of the operator are the status, and its finalizer.
async fn owns_only_its_own(world: &World) -> Result<()> {
    let arguments = [
        "get",
        "multiregionapp",
        "shop",
        "-o",
        "json",
        "--show-managed-fields",
    ];
    let live: Value = serde_json::from_str(&world.kubectl(&arguments, None).await?)?;
    let entries = live.pointer("/metadata/managedFields");
    let entries = entries
        .and_then(Value::as_array)
        .context("managed fields")?;
    let mut told = false;
    for entry in entries {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let owned = &entry["fieldsV1"];
        if [APPLIER, ACTOR].contains(&manager) {
            ensure!(owned.get("f:status").is_none(), "{entry}");
            continue;
        }
        let names: Vec<&String> = owned
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys())
            .collect();
        if entry["subresource"] == "status" {
            ensure!(manager == "multiregion" && names == ["f:status"], "{entry}");
            told = true;
            continue;
        }
        let metadata = owned["f:metadata"].as_object();
        let inside: Vec<&String> = metadata.into_iter().flat_map(|map| map.keys()).collect();
        ensure!(
            names == ["f:metadata"] && inside == ["f:finalizers"],
            "{entry}"
        );
    }
    ensure!(told, "nobody owns the status: {entries:?}");
    Ok(())
}

async fn until_well(world: &World) -> Result<Value> {
    world.until_ready("shop", TIMEOUT).await?;
    world
        .until("health and lag to be known", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
                && condition(app, "ReplicationHealthy").1 == "WithinObjective"
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_operator_does_what_was_applied_stays_as_it_is() -> Result<()> {
    let world = World::with_edge("gitops", Config::transparent()).await?;
    let mut repository = Repository::new(&world);
    let applied = repository.apply(&world, &[]).await?;
    ensure!(argocd::health(&applied)?.status == "Progressing");
    let spec = applied["spec"].to_string();
    let app = until_well(&world).await?;
    ensure!(argocd::health(&app)?.status == "Healthy");
    repository.is_in_sync(&world, &spec).await?;

    // Drift is repaired in AWS, where it is.
    world.set_memory("us-east-1", "shop-primary", 256).await?;
    let token = repository.act(&world, "reconcile").await?;
    world
        .until("the pass asked for", "shop", TIMEOUT, |app| {
            app.pointer("/status/lastHandled/reconcile") == Some(&json!(token))
        })
        .await?;
    world
        .until_memory("us-east-1", "shop-primary", 512, TIMEOUT)
        .await?;
    until_well(&world).await?;
    repository.is_in_sync(&world, &spec).await?;

    let token = repository.act(&world, "drill").await?;
    let app = world
        .until("the end of the drill", "shop", TIMEOUT * 2, |app| {
            app.pointer("/status/lastDrill/id") == Some(&json!(token))
                && app.pointer("/status/lastDrill/result") != Some(&json!("Running"))
        })
        .await?;
    ensure!(
        app["status"]["lastDrill"]["result"] == "Succeeded",
        "{}",
        app["status"]["lastDrill"]
    );
    repository.is_in_sync(&world, &spec).await?;

    // The writes move because the repository says so.
    repository.manifest["spec"]["failover"]["writes"] = json!({"active": "DR"});
    let applied = repository.apply(&world, &[]).await?;
    let spec = applied["spec"].to_string();
    world
        .until("the writes to be at DR", "shop", TIMEOUT, |app| {
            app.pointer("/status/writer/active") == Some(&json!("DR"))
        })
        .await?;
    let app = until_well(&world).await?;
    let health = argocd::health(&app)?;
    ensure!(
        health.status == "Healthy" && health.message.contains("DR takes the writes"),
        "{health:?}"
    );
    repository.is_in_sync(&world, &spec).await?;

    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await
}

/// The example for an Argo CD that the scripts are not built into, on a ConfigMap that has something already.
#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_are_added_to_argo_cds_config_map_beside_what_is_there() -> Result<()> {
    let world = World::without_operator("argocd-cm", Config::transparent()).await?;
    let before = [
        "create",
        "configmap",
        "argocd-cm",
        "--from-literal=admin.enabled=false",
    ];
    world.kubectl(&before, None).await?;
    let example = std::fs::read_to_string(argocd::argocd().join("argocd-cm.yaml"))?;
    let namespace = format!("namespace: {}", world.namespace);
    let example = example.replace("namespace: argocd", &namespace);
    let apply = [
        "apply",
        "--server-side",
        "--field-manager",
        "multiregion-customization",
        "-f",
        "-",
    ];
    world.kubectl(&apply, Some(&example)).await?;
    let after = world
        .kubectl(&["get", "configmap", "argocd-cm", "-o", "json"], None)
        .await?;
    let after: Value = serde_json::from_str(&after)?;
    let keys: Vec<&String> = after["data"]
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys())
        .collect();
    ensure!(
        after["data"]["admin.enabled"] == "false" && keys.len() == 3,
        "{keys:?}"
    );
    Ok(())
}
