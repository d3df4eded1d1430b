//! When a drill may begin, and when it is given up.

use serde_json::{Value, json};

use super::*;

fn spec(changes: Value) -> MultiRegionAppSpec {
    let mut spec = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
    });
    merge(&mut spec, changes);
    serde_json::from_value(spec).expect("a spec")
}

fn status(changes: Value) -> MultiRegionAppStatus {
    let mut status = json!({
        "conditions": [
            condition("FailoverHealthy", "True", "DRReady"),
            condition("ReplicationHealthy", "True", "WithinObjective"),
        ],
        "writer": {"active": "Primary", "epoch": 7, "reason": "AsDeclared", "storeARN": "arn:store"},
        "distribution": {"id": "E1", "arn": "arn", "domainName": "d1.cloudfront.net", "status": "Deployed"},
    });
    merge(&mut status, changes);
    serde_json::from_value(status).expect("a status")
}

fn condition(name: &str, status: &str, reason: &str) -> Value {
    let time = "2026-01-01T00:00:00Z";
    json!({"type": name, "status": status, "reason": reason, "message": "so it is", "lastTransitionTime": time})
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change,
    }
}

fn reason(spec: &MultiRegionAppSpec, status: &MultiRegionAppStatus) -> Option<&'static str> {
    refused(spec, status, true, true).map(|why| why.reason)
}

#[test]
fn a_drill_begins_where_everything_is_well() {
    assert_eq!(reason(&spec(json!({})), &status(json!({}))), None);
}

#[test]
fn what_is_missing_is_the_reason_to_refuse() {
    let unwell = |name: &str, status: &str, reason: &str| {
        let mut conditions = vec![
            condition("FailoverHealthy", "True", "DRReady"),
            condition("ReplicationHealthy", "True", "WithinObjective"),
        ];
        conditions.retain(|condition| condition["type"] != name);
        conditions.push(condition(name, status, reason));
        json!({ "conditions": conditions })
    };
    let same = || json!({});
    let table = [
        (json!({"regions": {"dr": null}}), same(), "NotConfigured"),
        (json!({"suspend": true}), same(), "Suspended"),
        (json!({"managementPolicy": "Observe"}), same(), "Observed"),
        (same(), json!({"writer": null}), "NoWriter"),
        (same(), json!({"writer": {"storeARN": null}}), "NoWriter"),
        (same(), json!({"distribution": null}), "NoWriter"),
        (
            same(),
            json!({"writer": {"active": "DR"}}),
            "WriterNotPrimary",
        ),
        (
            json!({"failover": {"writes": {"active": "DR"}}}),
            same(),
            "WriterNotPrimary",
        ),
        (
            same(),
            unwell("FailoverHealthy", "False", "DRUnhealthy"),
            "FailoverNotHealthy",
        ),
        (
            same(),
            unwell("FailoverHealthy", "True", "RollingOut"),
            "FailoverNotHealthy",
        ),
        (
            same(),
            unwell("ReplicationHealthy", "Unknown", "NoData"),
            "ReplicationNotHealthy",
        ),
        (same(), json!({"conditions": []}), "FailoverNotHealthy"),
    ];
    for (in_spec, in_status, expected) in table {
        let told = format!("{in_spec} {in_status}");
        assert_eq!(
            reason(&spec(in_spec), &status(in_status)),
            Some(expected),
            "{told}"
        );
    }
    let (spec, status) = (spec(same()), status(same()));
    let why = |provable, probed| refused(&spec, &status, provable, probed).map(|why| why.reason);
    assert_eq!(why(false, true), Some("NoWritePath"));
    assert_eq!(why(true, false), Some("NotProbed"));
}

#[test]
fn a_refusal_for_health_says_what_the_condition_says() {
    let late = condition("ReplicationHealthy", "False", "LagExceeded");
    let status =
        status(json!({"conditions": [condition("FailoverHealthy", "True", "DRReady"), late]}));
    let why = refused(&spec(json!({})), &status, true, true).expect("a refusal");
    assert_eq!(
        why.message,
        "ReplicationHealthy is False LagExceeded: so it is"
    );
}

#[test]
fn it_is_given_up_once_a_region_has_failed_past_the_threshold_and_not_before() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let thresholds = Thresholds::of(&spec(json!({})).failover.probe);
    let health = |role, failures| {
        let mut health = Health::default();
        let target = match role {
            Role::Primary => &mut health.primary,
            Role::Dr => &mut health.dr,
        };
        target.failures = failures;
        target.sampled = Some(now);
        health
    };
    let why =
        |role, failures| hindered(&health(role, failures), &thresholds, now).map(|why| why.reason);
    assert_eq!(why(Role::Primary, 2), None);
    assert_eq!(why(Role::Primary, 3), Some("PrimaryFailed"));
    assert_eq!(why(Role::Dr, 3), Some("DRFailed"));
}

#[test]
fn only_a_writer_that_the_status_names_is_taken_back() {
    assert_eq!(writer_at_dr(&DrillStatus::default()), None);
    let begun = DrillStatus {
        epoch: Some(8),
        ..DrillStatus::default()
    };
    assert_eq!(writer_at_dr(&begun), "DR:8".parse().ok());
}

#[test]
fn a_drill_that_failed_does_not_make_one_that_succeeded_forgotten() {
    let time = |second| serde_json::json!(format!("2026-05-01T00:00:{second:02}Z"));
    let success = |drill: serde_json::Value| {
        let drill: DrillStatus = serde_json::from_value(drill).expect("a drill as it is stored");
        last_success(&drill).map(|time| time.to_string())
    };
    let drill =
        |result: &str| serde_json::json!({"id": "1", "result": result, "finished": time(9)});
    assert_eq!(
        success(drill(SUCCEEDED)).as_deref(),
        Some("2026-05-01T00:00:09Z")
    );
    assert_eq!(success(drill(FAILED)), None);
    let mut later = drill(REFUSED);
    later["lastSucceeded"] = time(5);
    assert_eq!(success(later).as_deref(), Some("2026-05-01T00:00:05Z"));
}
