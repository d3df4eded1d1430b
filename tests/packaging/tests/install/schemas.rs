//! kubeconform, strict, over everything that is rendered, with the schemas that the API server itself publishes: those of its
//! own kinds and, as it has the definitions, of MultiRegionApp and of the Prometheus operator's. So no schema is kept here, and
//! none is of another version than the server that the other tests apply to.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::setup::chart_tools;
use testbed::wait::{self, Seen};

use crate::world::{FOLDERS, VALUES, cluster, kustomized, parsed, rendered, run, values};

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_rendered_is_as_the_api_server_describes_it() -> Result<()> {
    let control_plane = cluster().await?;
    let directory = testbed::paths::scratch()?;
    let mut all = Vec::new();
    for name in VALUES {
        all.extend(rendered(&["--values", &values(name)]).await?);
    }
    for folder in FOLDERS {
        all.extend(kustomized(&format!("deploy/{folder}")).await?);
    }
    for sample in ["minimal", "full", "reference"] {
        all.push(parsed(&format!("deploy/samples/{sample}.yaml"))?);
    }
    write_schemas(control_plane, &all, &directory).await?;
    let told = conform(&all, &directory).await?;
    println!("{}", told.trim());
    ensure!(
        told.contains(&format!(
            "Valid: {}, Invalid: 0, Errors: 0, Skipped: 0",
            all.len()
        )),
        "{told}"
    );

    // It does find something, in a nested object of each source of schemas.
    for (pointer, kind) in [
        ("/spec/template/spec", "Deployment"),
        ("/spec/regions", "MultiRegionApp"),
        ("/spec/endpoints/0", "ServiceMonitor"),
    ] {
        let mut object = all.iter().find(|object| object["kind"] == kind).cloned();
        let inner = object
            .as_mut()
            .and_then(|object| object.pointer_mut(pointer));
        inner.with_context(|| format!("{kind}{pointer}"))?["misspelt"] = json!(true);
        let object = object.with_context(|| kind.to_owned())?;
        match conform(&[object], &directory).await {
            Ok(told) => bail!("{kind}{pointer}/misspelt passes: {told}"),
            Err(error) => ensure!(format!("{error:#}").contains("misspelt"), "{error:#}"),
        }
    }
    Ok(())
}

async fn conform(objects: &[Value], directory: &Path) -> Result<String> {
    let file = directory.join("objects.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(&file, list.to_string())?;
    let schemas = format!(
        "{}/{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}-{{{{.ResourceKind}}}}.json",
        directory.display()
    );
    let arguments = [
        "-strict",
        "-summary",
        "-schema-location",
        &schemas,
        &file.display().to_string(),
    ];
    run(&chart_tools().await?.kubeconform, &arguments, None).await
}

/// A file for each kind of these objects.
async fn write_schemas(
    control_plane: &ControlPlane,
    objects: &[Value],
    directory: &Path,
) -> Result<()> {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let kinds: BTreeSet<(String, String)> = objects
        .iter()
        .map(|object| (text(object, "apiVersion"), text(object, "kind")))
        .collect();
    for (api_version, kind) in kinds {
        let schema = schema(control_plane, &api_version, &kind).await?;
        // Of a kind without a group kubeconform calls the version its group.
        let (group, version) = api_version
            .rsplit_once('/')
            .unwrap_or((&api_version, &api_version));
        let name = format!("{group}-{version}-{}.json", kind.to_lowercase());
        std::fs::write(directory.join(name), schema.to_string())?;
    }
    Ok(())
}

/// The JSON schema of a kind, with all that it refers to. A definition's is published a moment after it was established.
async fn schema(control_plane: &ControlPlane, api_version: &str, kind: &str) -> Result<Value> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let prefix = if group.is_empty() { "api" } else { "apis" };
    let raw = format!("--raw=/openapi/v3/{prefix}/{api_version}");
    let own = json!({"group": group, "version": version, "kind": kind});
    let limit = std::time::Duration::from_secs(60);
    wait::until(&format!("the schema of {kind}"), limit, || async {
        let told = control_plane.kubectl_ok(&["get", &raw], None).await?;
        let told: Value = serde_json::from_str(&told)?;
        let schemas = told
            .pointer("/components/schemas")
            .and_then(Value::as_object);
        let mut schemas = schemas.context("an OpenAPI document has schemas")?.clone();
        let is_it = |schema: &Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&own))
        };
        let name = schemas.iter().find(|(_, schema)| is_it(schema));
        let Some(name) = name.map(|(name, _)| name.clone()) else {
            return Ok(Seen::Waiting("it is not there".into()));
        };
        schemas.values_mut().for_each(close);
        Ok(Seen::Done(json!({
            "$ref": format!("#/components/schemas/{name}"),
            "components": {"schemas": schemas},
        })))
    })
    .await
}

/// Refuses fields that are not listed, wherever fields are listed: what strict means.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(close);
            let open = map.contains_key("additionalProperties")
                || map.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
            if map.get("properties").is_some_and(Value::is_object)
                && map.get("type") == Some(&json!("object"))
                && !open
            {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}
