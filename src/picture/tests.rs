//! What a status says, as states of the parts.

use super::*;
use crate::api::MultiRegionApp;
use crate::validate;

fn object(status: serde_json::Value) -> MultiRegionApp {
    let path = format!(
        "{}/deploy/samples/reference.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).expect("a sample");
    let mut object = validate::manifest(&text).expect("it is valid");
    object.status = Some(serde_json::from_value(status).expect("a status"));
    object
}

fn drawn(status: serde_json::Value) -> Picture {
    let (app, known) = of_object("web", "reference", &object(status)).expect("it fits");
    picture(&app, &known)
}

fn condition(kind: &str, status: &str, reason: &str) -> serde_json::Value {
    serde_json::json!({
        "type": kind, "status": status, "reason": reason, "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn state<'a>(picture: &'a Picture, id: &str) -> Option<(Level, &'a str)> {
    let node = picture.nodes.iter().find(|node| node.id == id);
    let state = node.expect("a node").state.as_ref()?;
    Some((state.level, &state.text))
}

#[test]
fn a_status_gives_the_parts_their_states() {
    let picture = drawn(serde_json::json!({
        "distribution": {
            "id": "E1", "arn": "arn:aws:cloudfront::123456789012:distribution/E1",
            "domainName": "d1.cloudfront.net", "status": "InProgress",
        },
        "conditions": [
            condition("CertificateIssued", "True", "Issued"),
            condition("FailoverHealthy", "False", "PrimaryUnhealthy"),
        ],
        "writer": {"active": "DR", "epoch": 8, "reason": "Moved"},
        "regions": [
            {"role": "Primary", "region": "us-east-1", "health": "Unhealthy"},
            {"role": "DR", "region": "us-west-2", "health": "Healthy"},
        ],
        "replication": [
            {"source": "dynamodb/reference-visits", "from": "us-east-1", "to": "us-west-2", "state": "NoData"},
            {"source": "dynamodb/reference-visits", "from": "us-west-2", "to": "us-east-1", "lagSeconds": 2, "state": "WithinObjective"},
            {"source": "s3/reference-static-123456789012", "from": "us-east-1", "to": "us-west-2", "lagSeconds": 1800, "state": "LagExceeded"},
        ],
    }));
    assert_eq!(
        state(&picture, "distribution"),
        Some((Level::Busy, "InProgress"))
    );
    assert_eq!(
        state(&picture, "certificate"),
        Some((Level::Good, "Issued"))
    );
    assert_eq!(
        state(&picture, "lambdaGroup"),
        Some((Level::Bad, "PrimaryUnhealthy"))
    );
    assert_eq!(
        state(&picture, "lambdaprimary"),
        Some((Level::Bad, "Unhealthy"))
    );
    assert_eq!(state(&picture, "lambdadr"), Some((Level::Good, "Healthy")));
    let takes_writes: Vec<&str> = picture
        .nodes
        .iter()
        .filter(|node| node.takes_writes)
        .map(|node| node.id.as_str())
        .collect();
    assert_eq!(takes_writes, ["lambdadr"]);
    let lags: Vec<(&str, Level, &str)> = picture
        .arrows
        .iter()
        .filter_map(|arrow| {
            let state = arrow.state.as_ref()?;
            Some((arrow.from.as_str(), state.level, state.text.as_str()))
        })
        .collect();
    assert_eq!(
        lags,
        [
            ("staticprimary", Level::Bad, "1800 s, LagExceeded"),
            ("table0primary", Level::Unknown, "NoData"),
            ("table0dr", Level::Good, "2 s, WithinObjective"),
        ]
    );
}

#[test]
fn what_no_status_says_has_no_state() {
    let picture = drawn(serde_json::json!({}));
    assert!(picture.nodes.iter().all(|node| node.state.is_none()));
    assert!(picture.arrows.iter().all(|arrow| arrow.state.is_none()));
}

/// Whoever draws it may look every end up.
#[test]
fn every_arrow_begins_and_ends_at_a_node() {
    let picture = drawn(serde_json::json!({}));
    let nodes: BTreeSet<&str> = picture.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(nodes.len(), picture.nodes.len(), "an id is given twice");
    for arrow in &picture.arrows {
        assert!(nodes.contains(arrow.from.as_str()), "{arrow:?}");
        assert!(nodes.contains(arrow.to.as_str()), "{arrow:?}");
    }
}
