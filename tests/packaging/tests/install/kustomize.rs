//! The kustomizations: the same as the chart, and rights as the program prints them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::objects::{arguments, names, one, pod, rights};
use crate::world::{documents, kustomized, multiregion, rendered};

const CHART: [&str; 2] = ["--set", "image.repository=registry.example.com/multiregion"];

/// One pod, whichever way it is installed; labels aside, as those of a chart name the release.
#[tokio::test]
async fn the_base_is_what_the_chart_makes_of_its_defaults() -> Result<()> {
    let (base, chart) = (kustomized("deploy/base").await?, rendered(&CHART).await?);
    let mut expected = names(&base);
    // Helm makes the namespace itself.
    expected.retain(|name| !name.starts_with("Namespace "));
    ensure!(names(&chart) == expected, "{:#?}", names(&chart));
    for kind in ["Deployment", "Service", "PodDisruptionBudget"] {
        let of = |objects: &[Value]| spec(objects, kind, "multiregion");
        let (base, chart) = (of(&base)?, of(&chart)?);
        ensure!(base == chart, "{kind}\n{base:#}\n{chart:#}");
    }
    ensure!(rights(&base) == rights(&chart));
    Ok(())
}

fn spec(objects: &[Value], kind: &str, name: &str) -> Result<Value> {
    let object = one(objects, kind, name)?;
    let mut spec = object.get("spec").context("a spec")?.clone();
    without_labels(&mut spec);
    Ok(spec)
}

fn without_labels(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !["labels", "matchLabels", "selector"].contains(&name.as_str()));
            map.values_mut().for_each(without_labels);
        }
        Value::Array(list) => list.iter_mut().for_each(without_labels),
        _ => {}
    }
}

#[tokio::test]
async fn the_namespaced_overlay_has_the_rights_of_one_namespace_and_no_others() -> Result<()> {
    let overlay = kustomized("deploy/overlays/namespaced").await?;
    let printed = documents(&multiregion(&["rbac", "--namespace=web"]).await?)?;
    ensure!(
        rights(&overlay) == rights(&printed),
        "{:#?}",
        rights(&overlay)
    );
    let arguments = arguments(one(&overlay, "Deployment", "multiregion")?)?;
    ensure!(
        arguments.contains(&"--namespace=web".to_owned()),
        "{arguments:?}"
    );
    let id = |argument: &String| argument.starts_with("--cluster-id=");
    ensure!(arguments.iter().any(id), "{arguments:?}");
    Ok(())
}

/// Nothing is taken away, and no other object of the base changes than the deployment, by its argument and its port.
#[tokio::test]
async fn the_overlay_for_the_page_adds_to_the_base_what_the_page_needs() -> Result<()> {
    let (base, overlay) = (
        kustomized("deploy/base").await?,
        kustomized("deploy/overlays/web").await?,
    );
    let printed = documents(&multiregion(&["rbac", "--web"]).await?)?;
    ensure!(
        rights(&overlay) == rights(&printed),
        "{:#?}",
        rights(&overlay)
    );
    for object in &base {
        let kept = object["kind"] == "Deployment" || overlay.contains(object);
        ensure!(kept, "{object:#} is not the base's");
    }
    let page = ["--set", "web.enabled=true"];
    let chart = rendered(&[&CHART[..], &page].concat()).await?;
    for (kind, name) in [
        ("Deployment", "multiregion"),
        ("Service", "multiregion-web"),
    ] {
        let (overlay, chart) = (spec(&overlay, kind, name)?, spec(&chart, kind, name)?);
        ensure!(overlay == chart, "{kind}\n{overlay:#}\n{chart:#}");
    }
    Ok(())
}

#[tokio::test]
async fn the_overlay_for_irsa_differs_by_the_role_alone() -> Result<()> {
    let (base, mut overlay) = (
        kustomized("deploy/base").await?,
        kustomized("deploy/overlays/irsa").await?,
    );
    for object in &mut overlay {
        if object["kind"] == "ServiceAccount" {
            let metadata = object["metadata"].as_object_mut().context("metadata")?;
            let annotations = metadata.remove("annotations");
            let role =
                json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/multiregion"});
            ensure!(annotations == Some(role), "{annotations:?}");
        }
    }
    ensure!(base == overlay);
    let pod = pod(one(&base, "Deployment", "multiregion")?)?;
    ensure!(pod["serviceAccountName"] == "multiregion");
    Ok(())
}
