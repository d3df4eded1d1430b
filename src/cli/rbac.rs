//! What the controller may do in the cluster, as it ships.

use serde_json::{Value, json};

/// Namespace, service account, role and binding as YAML documents.
pub fn yaml() -> String {
    let documents: Vec<String> = documents()
        .iter()
        .map(|document| serde_saphyr::to_string(document).expect("plain JSON is YAML"))
        .collect();
    documents.join("---\n")
}

fn documents() -> Vec<Value> {
    let name = "multiregion";
    let namespace = "multiregion-system";
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [
                // `patch` on the object itself is for the finalizer only.
                rule(crate::api::GROUP, &["multiregionapps"], &["get", "list", "watch", "patch"]),
                rule(crate::api::GROUP, &["multiregionapps/status"], &["patch"]),
                rule("events.k8s.io", &["events"], &["create", "patch"]),
                {
                    "apiGroups": [""],
                    "resources": ["namespaces"],
                    "resourceNames": ["kube-system"],
                    "verbs": ["get"],
                },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}
