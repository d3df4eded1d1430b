//! What the controller may do in the cluster, as it ships.

use serde_json::{Value, json};

/// Where the controller is at home.
pub const NAMESPACE: &str = "multiregion-system";

/// Namespace, service account, roles and bindings as YAML documents.
pub fn yaml() -> String {
    let documents: Vec<String> = documents()
        .iter()
        .map(|document| serde_saphyr::to_string(document).expect("plain JSON is YAML"))
        .collect();
    documents.join("---\n")
}

fn documents() -> Vec<Value> {
    let name = "multiregion";
    let namespace = NAMESPACE;
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
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
            "subjects": subjects,
        }),
        // The lease by which one of several is elected; its name is a setting. With shards there are several, and each
        // process lists who else is there, and removes what dead ones left.
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": namespace},
            "rules": [rule("coordination.k8s.io", &["leases"], &["get", "list", "create", "update", "delete"])],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": subjects,
        }),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}
