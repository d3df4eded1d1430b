//! The rendered objects on a real API server, and a release from its installation to its removal.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::wait::{self, Seen};

use crate::objects::{arguments, name, one};
use crate::world::{
    FOLDERS, HOME, VALUES, apply, chart, cluster, ensure_namespace, helm, kustomized, rendered_as,
    values,
};

/// Defaulted, validated, admitted and stored as in any cluster; nothing runs, as no controller does.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_every_object() -> Result<()> {
    let control_plane = cluster().await?;
    let mut all = Vec::new();
    for name in VALUES {
        // Releases of their own, as what a deployment selects cannot change.
        let release = format!("with-{name}-values");
        all.push(rendered_as(&release, &["--values", &values(name)]).await?);
    }
    for folder in FOLDERS {
        all.push(kustomized(&format!("deploy/{folder}")).await?);
    }
    for objects in all {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let told = apply(control_plane, &["-f", "-"], Some(&list)).await?;
        ensure!(told.lines().count() == objects.len(), "{told}");
        // What the server makes of it is not told as a difference for ever.
        let diff = ["diff", "--server-side", "--force-conflicts", "-f", "-"];
        let diff = control_plane.kubectl(&diff, Some(&list)).await?;
        ensure!(diff.success(), "{}{}", diff.stdout, diff.stderr);
    }
    Ok(())
}

/// What Helm does with the definition is what the policy of the chart rests on.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_upgrades_the_definition_and_leaves_it_with_the_apps_when_it_goes() -> Result<()>
{
    // Other tests have the definition in the shared cluster, and a release would not take it over.
    let control_plane = ControlPlane::start(&testbed::paths::scratch()?).await?;
    ensure_namespace(&control_plane, "web").await?;
    let kubeconfig = Some(control_plane.kubeconfig());
    let chart = chart();
    let cluster = values("cluster");
    let release = ["--namespace", HOME, "--values", &cluster];
    let install = ["install", "multiregion", &chart, "--create-namespace"];
    let told = helm(&[&install[..], &release].concat(), kubeconfig).await?;
    for expected in [
        "multiregion iam-policy",
        "create-pod-identity-association",
        "kubectl get multiregionapps",
        "the definition and the apps stay",
    ] {
        ensure!(told.contains(expected), "the notes lack {expected}: {told}");
    }
    let crd = "crd/multiregionapps.multiregion.dev";
    let established = ["wait", "--for=condition=Established", crd, "--timeout=60s"];
    control_plane.kubectl_ok(&established, None).await?;
    let sample = crate::world::text("deploy/samples/minimal.yaml")?;
    wait::until("an app to be taken", Duration::from_secs(30), || async {
        apply(&control_plane, &["-f", "-"], Some(&sample)).await?;
        Ok(Seen::Done(()))
    })
    .await?;

    // As if an older version had installed it.
    let older = json!([{"op": "remove", "path": "/spec/names/shortNames"}]).to_string();
    let patch = ["patch", crd, "--type=json", "-p", &older];
    control_plane.kubectl_ok(&patch, None).await?;
    let upgrade = [
        "upgrade",
        "multiregion",
        &chart,
        "--set",
        // Other numbers of shards come with another way of rolling out.
        "replicas=3,log.format=text,web.enabled=true,sharding.shards=4",
        "--force-conflicts",
    ];
    let told = helm(&[&upgrade[..], &release].concat(), kubeconfig).await?;
    ensure!(told.contains("service/multiregion-web"), "{told}");
    let names = ["get", crd, "-o", "jsonpath={.spec.names.shortNames}"];
    let names = control_plane.kubectl_ok(&names, None).await?;
    ensure!(names.contains("mra"), "the definition is not upgraded");
    let get = ["get", "deployment", "multiregion", "-n", HOME, "-o", "json"];
    let deployment: Value = serde_json::from_str(&control_plane.kubectl_ok(&get, None).await?)?;
    ensure!(deployment["spec"]["replicas"] == 3, "{deployment:#}");
    let strategy = &deployment["spec"]["strategy"];
    ensure!(*strategy == json!({"type": "Recreate"}), "{strategy:#}");

    let uninstall = ["uninstall", "multiregion", "--namespace", HOME];
    let told = helm(&uninstall, kubeconfig).await?;
    let left = ["get", "mra", "shop", "-n", "web", "-o", "name"];
    let left = control_plane.kubectl_ok(&left, None).await;
    left.with_context(|| format!("the app went with the release: {told}"))?;
    let rest = ["get", "clusterrole,clusterrolebinding", "-o", "name"];
    let rest = control_plane.kubectl_ok(&rest, None).await?;
    ensure!(!rest.contains("/multiregion"), "{rest}");

    // And the next one takes up what it left.
    helm(&[&install[..], &release].concat(), kubeconfig).await?;

    // A second one for all namespaces would work on the same apps under another lease.
    let second = ["install", "second", &chart, "--create-namespace"];
    let elsewhere = ["--namespace", "elsewhere", "--values", &cluster];
    let told = helm(&[&second[..], &elsewhere].concat(), kubeconfig).await;
    let told = told.map_or_else(|error| format!("{error:#}"), |_| "it is taken".to_owned());
    ensure!(told.contains("invalid ownership metadata"), "{told}");
    control_plane.stop().await
}

/// Everything of a release that can be told apart is, so that two of them stand beside each other.
#[tokio::test]
async fn two_releases_for_namespaces_share_no_object() -> Result<()> {
    let values = values("namespaced");
    let mut seen = std::collections::BTreeSet::new();
    for release in ["first", "second"] {
        let objects = rendered_as(release, &["--values", &values]).await?;
        let deployment = one(&objects, "Deployment", release)?;
        // Nor a lease: the second would stand by for ever.
        let lease = format!("--lease-name={release}");
        ensure!(arguments(deployment)?.contains(&lease));
        for object in objects {
            ensure!(seen.insert(name(&object)), "both have {}", name(&object));
        }
    }
    Ok(())
}
