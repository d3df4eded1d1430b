//! Argo CD's scripts over the recorded objects, which the engine's tests write: each named for the health it is to have.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use gitops::argocd::{self, Action, Health};
use gitops::kstatus::{self, Kstatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// As Argo CD's own tests have it.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct HealthTests {
    tests: Vec<HealthTest>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
struct HealthTest {
    health_status: Health,
    input_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActionTests {
    discovery_tests: Vec<DiscoveryTest>,
    action_tests: Vec<ActionTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DiscoveryTest {
    input_path: String,
    result: Vec<Offered>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Offered {
    name: String,
    disabled: bool,
    display_name: String,
    icon_class: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActionTest {
    action: String,
    input_path: String,
    expected_output_path: String,
}

fn yaml<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects in `testdata/`, by name.
fn recorded() -> BTreeMap<String, Value> {
    let folder = argocd::customization().join("testdata");
    let files = fs::read_dir(folder).unwrap();
    let recorded: BTreeMap<String, Value> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, yaml(&path))
        })
        .collect();
    assert!(recorded.len() >= 25, "{:?}", recorded.keys());
    recorded
}

/// Compares a generated file with what lies there; `UPDATE=1` writes it.
fn is_generated(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == text,
        "{} is out of date: run UPDATE=1 cargo test -p gitops\n{text}",
        path.display()
    );
}

fn message<'a>(object: &'a Value, name: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == name);
    found.unwrap()["message"].as_str().unwrap()
}

#[test]
fn every_recorded_object_has_the_health_that_it_is_named_for() {
    let mut seen = BTreeSet::new();
    for (name, object) in recorded() {
        let health = argocd::health(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
        let wanted = name.split('_').next().unwrap();
        assert_eq!(
            health.status.to_lowercase(),
            wanted,
            "{name}: {}",
            health.message
        );
        assert!(!health.message.is_empty(), "{name}");
        seen.insert(health.status);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_health_gives_the_message_of_the_condition_it_goes_by() {
    let recorded = recorded();
    for (name, conditions) in [
        ("healthy_ready", &["Ready", "FailoverHealthy"][..]),
        ("healthy_withoutDR", &["FailoverHealthy"]),
        ("progressing_creating", &["Reconciling"]),
        ("progressing_waitingForDNS", &["Reconciling"]),
        ("progressing_awsUnreachable", &["Reconciling"]),
        ("progressing_deleting", &["Synced"]),
        ("degraded_primaryDown", &["FailoverHealthy"]),
        ("degraded_drDownAndUnreachable", &["FailoverHealthy"]),
        ("degraded_bothDown", &["Ready"]),
        ("degraded_bothDownWhileSuspended", &["Ready"]),
        ("degraded_ownedByAnother", &["Stalled"]),
        ("degraded_releaseStopped", &["Stalled"]),
        ("degraded_deletionProtected", &["Stalled"]),
        ("degraded_lagExceeded", &["ReplicationHealthy"]),
        ("suspended_suspended", &["Synced"]),
        ("suspended_observingDifferences", &["Synced"]),
    ] {
        let object = &recorded[name];
        let health = argocd::health(object).unwrap();
        for condition in conditions {
            let words = message(object, condition);
            assert!(
                !words.is_empty() && health.message.contains(words),
                "{name}: {health:?}"
            );
        }
    }
    for (name, word) in [
        ("progressing_staleGeneration", "generation 2"),
        ("progressing_new", "generation 1"),
        (
            "healthy_drillRunning",
            "Drill argocd-1001 is under way: AtDR",
        ),
        ("healthy_writerAtDR", "DR takes the writes"),
        ("suspended_deletionWaits", "waits until suspend is false"),
    ] {
        let health = argocd::health(&recorded[name]).unwrap();
        assert!(health.message.contains(word), "{name}: {health:?}");
    }
}

/// What neither has a status nor was ever seen by an operator; and what an operator of long ago has written.
#[test]
fn an_object_that_lacks_what_the_script_looks_for_is_on_its_way() {
    for object in [
        json!({"metadata": {"generation": 1}}),
        json!({"metadata": {"generation": 1}, "spec": {}, "status": {}}),
        json!({"metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": 1}}),
        json!({"metadata": {"generation": 1}, "spec": {}, "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Odd"}],
        }}),
    ] {
        assert_eq!(
            argocd::health(&object).unwrap().status,
            "Progressing",
            "{object}"
        );
        assert!(argocd::actions(&json!({"metadata": {}, "spec": {}})).unwrap()["drill"].disabled);
    }
}

/// Whoever waits with Argo CD and whoever waits with Flux wait for the same.
#[test]
fn what_is_healthy_is_current_and_what_is_current_is_not_waited_for() {
    for (name, object) in recorded() {
        let health = argocd::health(&object).unwrap().status;
        let (kstatus, rule) = kstatus::compute(&object);
        let fits = match health.as_str() {
            "Healthy" => kstatus == Kstatus::Current,
            "Progressing" => matches!(kstatus, Kstatus::InProgress | Kstatus::Terminating),
            // It serves, but could not fail over; or stands still, as it was asked to.
            _ => true,
        };
        assert!(fits, "{name}: {health}, {kstatus:?} by {rule}");
        let stalled = name.starts_with("degraded_")
            && ["ownedByAnother", "releaseStopped", "denied"]
                .iter()
                .any(|case| name.ends_with(case));
        assert_eq!(
            kstatus == Kstatus::Failed,
            stalled,
            "{name}: {kstatus:?} by {rule}"
        );
    }
}

#[test]
fn what_a_suspended_app_was_not_given_is_not_current() {
    let recorded = recorded();
    let kstatus = |name: &str| kstatus::compute(&recorded[name]).0;
    assert_eq!(kstatus("suspended_suspended"), Kstatus::Current);
    assert_eq!(kstatus("suspended_changedMeanwhile"), Kstatus::InProgress);
}

#[test]
fn the_table_of_argo_cds_own_test_is_what_the_script_says() {
    let tests = recorded()
        .into_iter()
        .map(|(name, object)| HealthTest {
            health_status: argocd::health(&object).unwrap(),
            input_path: format!("testdata/{name}.yaml"),
        })
        .collect();
    let text = serde_saphyr::to_string(&HealthTests { tests }).unwrap();
    let path = argocd::customization().join("health_test.yaml");
    is_generated(&path, &text);
    let read: HealthTests = yaml(&path);
    assert_eq!(read.tests.len(), recorded().len());
}

fn action_tests() -> ActionTests {
    yaml(&argocd::customization().join("actions/action_test.yaml"))
}

fn beside_actions(path: &str) -> Value {
    yaml(&argocd::customization().join("actions").join(path))
}

#[test]
fn actions_are_offered_where_they_would_do_something() {
    let tests = action_tests().discovery_tests;
    assert!(tests.len() >= 8);
    for test in tests {
        let offered = argocd::actions(&beside_actions(&test.input_path)).unwrap();
        let wanted: BTreeMap<String, Action> = test
            .result
            .into_iter()
            .map(|offered| {
                let action = Action {
                    disabled: offered.disabled,
                    display_name: offered.display_name,
                    icon_class: offered.icon_class,
                };
                (offered.name, action)
            })
            .collect();
        assert_eq!(offered, wanted, "{}", test.input_path);
    }
}

#[test]
fn every_action_changes_what_it_says_and_nothing_else() {
    let tests = action_tests().action_tests;
    let mut done = BTreeSet::new();
    for test in tests {
        let before = beside_actions(&test.input_path);
        let after = argocd::act(&test.action, &before).unwrap();
        assert_eq!(
            after,
            beside_actions(&test.expected_output_path),
            "{}",
            test.action
        );
        assert_ne!(after, before, "{}", test.action);
        done.insert(test.action);
    }
    let offered = argocd::actions(&recorded()["healthy_ready"]).unwrap();
    assert_eq!(done, offered.into_keys().collect());
}

#[test]
fn an_action_keeps_the_annotations_that_are_there() {
    let mut object = recorded()["healthy_ready"].clone();
    object["metadata"]["annotations"] = json!({"example.com/note": "a"});
    let after = argocd::act("reconcile", &object).unwrap();
    assert_eq!(
        after["metadata"]["annotations"],
        json!({"example.com/note": "a", "multiregion.dev/reconcile": "argocd-1001"})
    );
}

fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("{indent}{line}\n"),
        })
        .collect()
}

/// The ConfigMap with the scripts in it, for an Argo CD that they are not built into.
fn config_map() -> String {
    let health = argocd::script("health.lua").unwrap();
    let discovery = argocd::script("actions/discovery.lua").unwrap();
    let mut actions = format!(
        "discovery.lua: |\n{}definitions:\n",
        indented(&discovery, 2)
    );
    for name in ["suspend", "resume", "reconcile", "drill"] {
        let script = argocd::script(&format!("actions/{name}/action.lua")).unwrap();
        actions += &format!("- name: {name}\n  action.lua: |\n{}", indented(&script, 4));
    }
    format!(
        "# Generated from resource_customizations/ by `UPDATE=1 cargo test -p gitops`.\n\
         #\n\
         #   kubectl apply --server-side --field-manager multiregion-customization -f argocd-cm.yaml\n\
         #\n\
         # adds these two keys to the ConfigMap that is there, and leaves the others alone.\n\
         apiVersion: v1\n\
         kind: ConfigMap\n\
         metadata:\n\
         \x20 name: argocd-cm\n\
         \x20 namespace: argocd\n\
         \x20 labels:\n\
         \x20   app.kubernetes.io/name: argocd-cm\n\
         \x20   app.kubernetes.io/part-of: argocd\n\
         data:\n\
         \x20 resource.customizations.health.multiregion.dev_MultiRegionApp: |\n{}\
         \x20 resource.customizations.actions.multiregion.dev_MultiRegionApp: |\n{}",
        indented(&health, 4),
        indented(&actions, 4),
    )
}

#[test]
fn the_config_map_has_the_same_scripts() {
    let path = argocd::argocd().join("argocd-cm.yaml");
    is_generated(&path, &config_map());
    let read: Value = yaml(&path);
    let data = read["data"].as_object().unwrap();
    assert_eq!(data.len(), 2);
    let health = &data["resource.customizations.health.multiregion.dev_MultiRegionApp"];
    assert_eq!(*health, json!(argocd::script("health.lua").unwrap()));
    let actions = &data["resource.customizations.actions.multiregion.dev_MultiRegionApp"];
    let actions: Value = serde_saphyr::from_str(actions.as_str().unwrap()).unwrap();
    assert_eq!(
        actions["discovery.lua"],
        json!(argocd::script("actions/discovery.lua").unwrap())
    );
    let defined = actions["definitions"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for definition in defined {
        let name = definition["name"].as_str().unwrap();
        let script = argocd::script(&format!("actions/{name}/action.lua")).unwrap();
        assert_eq!(definition["action.lua"], json!(script), "{name}");
        names.insert(name.to_owned());
    }
    let offered = argocd::actions(&recorded()["healthy_ready"]).unwrap();
    assert_eq!(names, offered.into_keys().collect());
}
