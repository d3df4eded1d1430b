//! The examples for Argo CD and Flux: what of them matters says what the documentation says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use gitops::argocd;
use serde_json::{Value, json};

fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(argocd::deploy().join(file)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// The specs of all of a kind.
fn specs(file: &str, kind: &str) -> Vec<Value> {
    let documents = documents(file).into_iter();
    let specs: Vec<Value> = documents
        .filter(|document| document["kind"] == kind)
        .map(|document| document["spec"].clone())
        .collect();
    assert!(!specs.is_empty(), "{file} has no {kind}");
    specs
}

#[test]
fn argo_cd_applies_server_side_and_ignores_no_difference() {
    for spec in specs("examples/argocd.yaml", "Application") {
        assert!(spec.get("ignoreDifferences").is_none());
        let options = spec["syncPolicy"]["syncOptions"].as_array().unwrap();
        assert!(options.contains(&json!("ServerSideApply=true")));
    }
}

#[test]
fn flux_waits_by_kstatus_alone_and_prunes_nothing() {
    for spec in specs("examples/flux.yaml", "Kustomization") {
        assert_eq!(
            (&spec["wait"], &spec["prune"]),
            (&json!(true), &json!(false))
        );
        // With `wait`, single health checks are not looked at.
        assert!(spec.get("healthChecks").is_none() && spec["timeout"].is_string());
    }
}

/// Every health, every action and every file that the documentation speaks of is there.
#[test]
fn the_documentation_names_what_there_is() {
    let path = argocd::deploy().join("../docs/gitops.md");
    let text = std::fs::read_to_string(path).unwrap();
    let object = json!({"metadata": {}, "spec": {}});
    for action in argocd::actions(&object).unwrap().keys() {
        assert!(text.contains(&format!("`{action}`")), "{action}");
    }
    for health in ["Healthy", "Progressing", "Degraded", "Suspended"] {
        assert!(text.contains(&format!("| `{health}` |")), "{health}");
    }
    let mut links = 0;
    for link in text.split("](../").skip(1) {
        let target = link.split([')', '#']).next().unwrap();
        assert!(
            argocd::deploy().join("..").join(target).exists(),
            "{target}"
        );
        links += 1;
    }
    assert!(links >= 3);
}
