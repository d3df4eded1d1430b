//! Manifests to start from, and patches to them.

use serde_json::{Value, json};

/// The app that each test changes one thing of.
pub fn base() -> Value {
    json!({
        "apiVersion": "multiregion.dev/v1alpha1",
        "kind": "MultiRegionApp",
        "metadata": {"name": "shop"},
        "spec": {
            "regions": {"primary": "us-east-1", "dr": "us-west-2"},
            "tables": [{"name": "visits"}],
        },
    })
}

/// A manifest with its namespace taken out, so that each test has its own.
pub fn without_namespace(yaml: &str) -> Value {
    let mut object: Value = serde_saphyr::from_str(yaml).expect("YAML");
    object["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("namespace");
    object
}

/// `object` with a JSON merge patch (RFC 7386) in YAML applied: null takes a field away, lists are replaced whole.
/// An empty patch changes nothing.
pub fn patched(object: &Value, patch: &str) -> Value {
    let patch: Value =
        serde_saphyr::from_str(patch).unwrap_or_else(|error| unreachable!("{patch}: {error}"));
    let mut object = object.clone();
    if !patch.is_null() {
        merge(&mut object, &patch);
    }
    object
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
