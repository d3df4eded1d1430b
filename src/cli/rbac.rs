//! What the controller may do in the cluster, as it ships.

use clap::Args;
use serde_json::{Value, json};

/// Where the controller is at home.
pub const NAMESPACE: &str = "multiregion-system";

/// Of whom.
#[derive(Args, Debug, Default)]
pub struct RbacArguments {
    /// Also what the web page needs (`multiregion run --web`).
    #[arg(long)]
    web: bool,
}

/// Namespace, service account, roles and bindings as YAML documents.
pub fn yaml(arguments: &RbacArguments) -> String {
    let mut all = documents();
    if arguments.web {
        all.extend(web());
    }
    let documents: Vec<String> = all
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
        // The lease by which one of several is elected; its name is a setting.
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": namespace},
            "rules": [rule("coordination.k8s.io", &["leases"], &["get", "create", "update"])],
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

/// To learn who a viewer is and what that one may see, and to read events for those who may.
fn web() -> [Value; 2] {
    let name = "multiregion-web";
    let rules = [
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ),
        rule("events.k8s.io", &["events"], &["list"]),
    ];
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "multiregion", "namespace": NAMESPACE}],
        }),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}
