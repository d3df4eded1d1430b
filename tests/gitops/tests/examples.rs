//! The examples for Argo CD and Flux: what of them matters says what the documentation says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use gitops::argocd;
use serde_json::{Value, json};

fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(argocd::deploy().join(file)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found = documents.iter().find(|document| document["kind"] == kind);
    found.unwrap()
}

#[test]
fn argo_cd_applies_server_side_ignores_nothing_and_prunes_nothing() {
    let documents = documents("argocd/application.yaml");
    let spec = &of_kind(&documents, "Application")["spec"];
    assert!(spec.get("ignoreDifferences").is_none());
    let policy = &spec["syncPolicy"];
    let options = policy["syncOptions"].as_array().unwrap();
    assert!(options.contains(&json!("ServerSideApply=true")));
    assert_eq!(
        policy["automated"],
        json!({"prune": false, "selfHeal": true})
    );
}

#[test]
fn flux_waits_for_the_apps_and_prunes_nothing() {
    let documents = documents("flux/apps.yaml");
    let spec = &of_kind(&documents, "Kustomization")["spec"];
    assert_eq!(spec["wait"], true);
    assert_eq!(spec["prune"], false);
    // With `wait`, health checks of single objects and expressions are not looked at.
    assert!(spec.get("healthChecks").is_none() && spec.get("timeout").is_some());
    let source = of_kind(&documents, "GitRepository");
    assert_eq!(spec["sourceRef"]["name"], source["metadata"]["name"]);
}

#[test]
fn flux_installs_the_chart_of_this_repository() {
    let documents = documents("flux/operator.yaml");
    let chart = &of_kind(&documents, "HelmRelease")["spec"]["chart"]["spec"];
    assert_eq!(chart["chart"], "./charts/multiregion-operator");
    let source = of_kind(&documents, "GitRepository");
    assert_eq!(chart["sourceRef"]["name"], source["metadata"]["name"]);
    assert!(
        source["spec"]["ignore"]
            .as_str()
            .unwrap()
            .contains("!/charts/")
    );
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
    assert!(links >= 4);
}
