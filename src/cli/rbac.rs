//! What the controller may do in the cluster, as it ships.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::namespaces::NamespaceArguments;
use crate::api::GROUP;

/// Where the controller is at home.
pub const NAMESPACE: &str = "multiregion-system";
/// Its service account, its cluster role, and the role that the lease takes.
const NAME: &str = "multiregion";
/// Its role in each watched namespace; another name, as its own namespace may be one of them.
const NAME_OF_SCOPE: &str = "multiregion-apps";
/// What it may besides where it serves the web page.
const NAME_OF_WEB: &str = "multiregion-web";

/// Whose rights are printed.
#[derive(Args, Debug, Default)]
pub struct RbacArguments {
    #[command(flatten)]
    namespaces: NamespaceArguments,
    /// Also what the web page needs (`multiregion run --web`).
    #[arg(long)]
    web: bool,
}

/// Namespace, service account, roles and bindings as YAML documents.
pub fn yaml(arguments: &RbacArguments) -> String {
    let namespaces = arguments.namespaces.set();
    let mut all = documents(&namespaces);
    if arguments.web {
        all.extend(web(&namespaces));
    }
    let documents: Vec<String> = all
        .iter()
        .map(|document| serde_saphyr::to_string(document).expect("plain JSON is YAML"))
        .collect();
    documents.join("---\n")
}

fn documents(namespaces: &BTreeSet<String>) -> Vec<Value> {
    let mut documents = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
        }),
    ];
    if namespaces.is_empty() {
        let mut rules = of_apps();
        // Its uid is the cluster's id.
        rules.push(json!({
            "apiGroups": [""],
            "resources": ["namespaces"],
            "resourceNames": ["kube-system"],
            "verbs": ["get"],
        }));
        documents.extend(granted("Cluster", NAME, None, &rules));
    }
    for namespace in namespaces {
        documents.extend(granted("", NAME_OF_SCOPE, Some(namespace), &of_apps()));
    }
    // The lease by which one of several is elected; its name is a setting. With shards there are several, and each process
    // lists who else is there, and removes what dead ones left.
    let lease = rule(
        "coordination.k8s.io",
        &["leases"],
        &["get", "list", "create", "update", "delete"],
    );
    documents.extend(granted("", NAME, Some(NAMESPACE), &[lease]));
    documents.extend(of_people());
    documents
}

/// What is needed wherever there are apps.
fn of_apps() -> Vec<Value> {
    vec![
        // `patch` on the object itself is for the finalizer only.
        rule(
            GROUP,
            &["multiregionapps"],
            &["get", "list", "watch", "patch"],
        ),
        rule(GROUP, &["multiregionapps/status"], &["patch"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// A role and its binding to the service account; `scope` is how their kinds begin.
fn granted(scope: &str, name: &str, namespace: Option<&str>, rules: &[Value]) -> [Value; 2] {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let group = "rbac.authorization.k8s.io";
    [
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": format!("{scope}Role"),
            "metadata": metadata,
            "rules": rules,
        }),
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": format!("{scope}RoleBinding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": format!("{scope}Role"), "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        }),
    ]
}

/// What people get who hold the cluster's own roles `view`, `edit` and `admin`: each of these is part of the next.
fn of_people() -> [Value; 2] {
    let role = |to: &str, verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("{NAME}-{to}"),
                "labels": {format!("rbac.authorization.k8s.io/aggregate-to-{to}"): "true"},
            },
            "rules": [rule(GROUP, &["multiregionapps"], verbs)],
        })
    };
    [
        role("view", &["get", "list", "watch"]),
        role(
            "edit",
            &["create", "update", "patch", "delete", "deletecollection"],
        ),
    ]
}

/// To learn who a viewer is and what that one may see, and to read events for those who may.
fn web(namespaces: &BTreeSet<String>) -> Vec<Value> {
    let create = &["create"];
    let mut rules = vec![
        rule("authentication.k8s.io", &["tokenreviews"], create),
        rule("authorization.k8s.io", &["subjectaccessreviews"], create),
    ];
    let events = rule("events.k8s.io", &["events"], &["list"]);
    if namespaces.is_empty() {
        rules.push(events.clone());
    }
    let mut documents = granted("Cluster", NAME_OF_WEB, None, &rules).to_vec();
    for namespace in namespaces {
        let role = granted(
            "",
            NAME_OF_WEB,
            Some(namespace),
            std::slice::from_ref(&events),
        );
        documents.extend(role);
    }
    documents
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
        let mut found: Vec<&Value> = documents.iter().collect();
        found.retain(|document| document["kind"] == kind);
        found
    }

    #[test]
    fn one_who_watches_all_reads_the_clusters_id_and_one_who_does_not_has_no_right_outside() {
        let all = documents(&BTreeSet::new());
        assert_eq!(of_kind(&all, "ClusterRoleBinding").len(), 1);
        assert!(
            all.iter()
                .any(|one| one.to_string().contains("kube-system"))
        );

        let two = documents(&["shop".to_owned(), "web".to_owned()].into());
        assert!(of_kind(&two, "ClusterRoleBinding").is_empty());
        assert!(
            !two.iter()
                .any(|one| one.to_string().contains("kube-system"))
        );
        let homes: Vec<&Value> = of_kind(&two, "RoleBinding")
            .iter()
            .map(|binding| &binding["metadata"]["namespace"])
            .collect();
        assert_eq!(homes, ["shop", "web", NAMESPACE]);
    }

    #[test]
    fn its_own_namespace_may_be_a_watched_one() {
        let own = documents(&[NAMESPACE.to_owned()].into());
        let names: BTreeSet<String> = of_kind(&own, "Role")
            .iter()
            .map(|role| role["metadata"].to_string())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn the_page_of_some_namespaces_reads_events_in_those_alone() {
        let all = web(&BTreeSet::new());
        assert!(of_kind(&all, "Role").is_empty());
        assert!(
            of_kind(&all, "ClusterRole")[0]
                .to_string()
                .contains("\"events\"")
        );
        let one = web(&["shop".to_owned()].into());
        assert!(
            !of_kind(&one, "ClusterRole")[0]
                .to_string()
                .contains("\"events\"")
        );
        assert_eq!(of_kind(&one, "Role")[0]["metadata"]["namespace"], "shop");
    }
}
