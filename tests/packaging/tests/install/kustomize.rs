//! The kustomizations: the same as the chart, and rights as the program prints them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::objects::{arguments, name, names, one, pod, rights};
use crate::world::{documents, kustomized, multiregion, parsed, path, rendered};

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

/// Each alone, as people put them into overlays of their own.
#[tokio::test]
async fn each_component_adds_to_the_base_what_the_chart_adds_for_its_value() -> Result<()> {
    let accounts = accounts();
    let cases: [(&[&str], &[&str]); 5] = [
        (&["sharding"], &["--set", "sharding.shards=8"]),
        (&["accounts"], &["--values", &accounts]),
        (&["web"], &["--set", "web.enabled=true"]),
        (&["monitoring"], &["--set", MONITORING]),
        // The policy has the page's port, whether there is a page or not.
        (
            &["network-policy", "web"],
            &["--set", "networkPolicy.enabled=true,web.enabled=true"],
        ),
    ];
    for (components, settings) in cases {
        let chart = rendered(&[&CHART[..], settings].concat()).await?;
        let kustomized = on_base(components).await?;
        same(&kustomized, &chart).with_context(|| format!("{components:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_full_overlay_is_all_components_together() -> Result<()> {
    let overlay: Value = parsed("deploy/overlays/full/kustomization.yaml")?;
    let listed = overlay["components"].as_array().context("components")?;
    for folder in std::fs::read_dir(path("deploy/components"))? {
        let folder = folder?.file_name();
        let folder = format!("../../components/{}", folder.to_string_lossy());
        ensure!(listed.contains(&json!(folder)), "{folder} is not in it");
    }
    let accounts = accounts();
    let all = "sharding.shards=8,web.enabled=true,networkPolicy.enabled=true";
    let settings = ["--values", &accounts, "--set", all, "--set", MONITORING];
    let chart = rendered(&[&CHART[..], &settings].concat()).await?;
    same(&kustomized("deploy/overlays/full").await?, &chart)
}

/// It ends at a configuration that it does not understand.
#[tokio::test]
async fn the_program_understands_the_configuration_of_the_component() -> Result<()> {
    let (accounts, app) = (accounts(), path("deploy/samples/reference.yaml"));
    let app = app.display().to_string();
    let graph = ["graph", "-f", &app, "--cluster-id=a", "--config", &accounts];
    // Of another prefix than the configuration allows, so AWS is not asked.
    let told = multiregion(&graph).await;
    let told = told.unwrap_or_else(|error| format!("{error:#}"));
    ensure!(told.contains("(allowed: shop, shop-*)"), "{told}");
    Ok(())
}

const MONITORING: &str =
    "serviceMonitor.enabled=true,prometheusRule.enabled=true,grafanaDashboard.enabled=true";

/// The operator's configuration in the component, which is a file of values, too.
fn accounts() -> String {
    let file = path("deploy/components/accounts/config.yaml");
    file.display().to_string()
}

/// The base with these components, in an overlay that is somewhere else.
async fn on_base(components: &[&str]) -> Result<Vec<Value>> {
    let folder = testbed::paths::scratch()?.canonicalize()?;
    // kustomize follows relative paths alone.
    let up: PathBuf = folder.iter().skip(1).map(|_| "..").collect();
    let deploy = up.join(path("deploy").canonicalize()?.strip_prefix("/")?);
    let inside = |name: String| deploy.join(name).display().to_string();
    let components = components.iter().map(|name| format!("components/{name}"));
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [inside("base".to_owned())],
        "components": components.map(inside).collect::<Vec<_>>(),
    });
    std::fs::write(folder.join("kustomization.yaml"), overlay.to_string())?;
    kustomized(&folder.display().to_string()).await
}

/// The same in effect: names, rights, and what each object says.
fn same(kustomized: &[Value], chart: &[Value]) -> Result<()> {
    ensure!(rights(kustomized) == rights(chart));
    let (kustomized, chart) = (contents(kustomized)?, contents(chart)?);
    let names = |contents: &BTreeMap<String, Value>| contents.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(&kustomized) == names(&chart),
        "{:#?}\n{:#?}",
        names(&kustomized),
        names(&chart)
    );
    for (name, content) in &kustomized {
        let expected = &chart[name];
        ensure!(content == expected, "{name}\n{content:#}\n{expected:#}");
    }
    Ok(())
}

/// What objects say, by their names, without metadata. Pods are replaced when the operator's configuration changes by another
/// name of its ConfigMap, or by an annotation of theirs; neither is told.
fn contents(objects: &[Value]) -> Result<BTreeMap<String, Value>> {
    const CONFIGURATION: &str = "the configuration";
    let file = |object: &Value| object["data"]["config.yaml"].as_str().map(str::to_owned);
    let configuration = objects.iter().find(|object| file(object).is_some());
    let mut contents = BTreeMap::new();
    // Helm makes the namespace itself.
    for object in objects
        .iter()
        .filter(|object| object["kind"] != "Namespace")
    {
        let (mut name, mut content) = (name(object), object.clone());
        if let Some(text) = file(object) {
            content["data"] = serde_saphyr::from_str(&text)?;
            name = CONFIGURATION.to_owned();
        }
        if let Some(map) = content.pointer_mut("/spec/template/spec/volumes/0/configMap/name") {
            let known = configuration.map(|object| &object["metadata"]["name"]);
            ensure!(known == Some(&*map), "{known:?}, and {map} is mounted");
            *map = json!(CONFIGURATION);
        }
        if let Some(annotations) = content.pointer_mut("/spec/template/metadata/annotations") {
            let annotations = annotations.as_object_mut().context("annotations")?;
            annotations.remove("multiregion.dev/config-sha256");
        }
        content
            .as_object_mut()
            .context("an object")?
            .remove("metadata");
        without_labels(&mut content);
        contents.insert(name, content);
    }
    Ok(contents)
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
