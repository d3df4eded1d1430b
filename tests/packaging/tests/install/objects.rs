//! Looking into rendered objects.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The only object of this kind and name.
pub fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let mut found = of_kind(objects, kind);
    found.retain(|object| object["metadata"]["name"] == name);
    ensure!(found.len() == 1, "{} of {kind} {name}", found.len());
    Ok(found[0])
}

/// All objects of this kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = objects.iter().collect();
    found.retain(|object| object["kind"] == kind);
    found
}

/// Kind, namespace and name of each, sorted.
pub fn names(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = objects.iter().map(name).collect();
    names.sort();
    names
}

/// Kind, namespace and name.
pub fn name(object: &Value) -> String {
    let text = |pointer: &str| {
        let value = object.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

/// What an RBAC object says, without its labels.
pub fn rights(objects: &[Value]) -> Vec<Value> {
    let mut rights: Vec<Value> = objects
        .iter()
        .filter(|object| {
            let version = object["apiVersion"].as_str().unwrap_or_default();
            version.starts_with("rbac.authorization.k8s.io/")
        })
        .cloned()
        .collect();
    for right in &mut rights {
        if let Some(labels) = right.pointer_mut("/metadata/labels") {
            labels
                .as_object_mut()
                .into_iter()
                .for_each(|labels| labels.retain(|name, _| name.contains("aggregate-to")));
            if labels.as_object().is_some_and(serde_json::Map::is_empty) {
                right["metadata"]
                    .as_object_mut()
                    .into_iter()
                    .for_each(|metadata| drop(metadata.remove("labels")));
            }
        }
    }
    rights.sort_by_key(name);
    rights
}

/// The pod of a deployment.
pub fn pod(deployment: &Value) -> Result<&Value> {
    deployment
        .pointer("/spec/template/spec")
        .context("a deployment has a pod")
}

/// The only container's arguments.
pub fn arguments(deployment: &Value) -> Result<Vec<String>> {
    let arguments = pod(deployment)?.pointer("/containers/0/args");
    let arguments = arguments.and_then(Value::as_array).context("arguments")?;
    let arguments = arguments.iter().map(|argument| argument.as_str());
    arguments
        .map(|argument| argument.map(str::to_owned).context("text"))
        .collect()
}
