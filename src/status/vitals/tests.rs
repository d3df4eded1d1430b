//! What CloudWatch adds to the conditions, and what it leaves alone.

use jiff::Timestamp;

use super::super::{Result, assess};
use super::*;
use crate::api::{
    CONDITION_FAILOVER_HEALTHY, Condition, DistributionStatus, RegionStatus, ReplicationStatus,
};
use crate::health::Target;

const BUCKET: &str = "s3/shop-static";

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().expect("a time")
}

fn row(source: &str) -> ReplicationStatus {
    ReplicationStatus {
        source: source.into(),
        from: "us-east-1".into(),
        to: "us-west-2".into(),
        lag_seconds: None,
        state: NO_DATA.into(),
    }
}

fn previous() -> MultiRegionAppStatus {
    let region = |role| RegionStatus {
        role,
        ..RegionStatus::default()
    };
    MultiRegionAppStatus {
        observed_generation: Some(1),
        distribution: Some(DistributionStatus::default()),
        regions: vec![region(Role::Primary), region(Role::Dr)],
        replication: vec![row("dynamodb/shop-visits"), row(BUCKET)],
        ..MultiRegionAppStatus::default()
    }
}

fn healthy() -> Target {
    Target {
        state: RegionHealth::Healthy,
        ..Target::default()
    }
}

/// Both regions are well, and every lag is a second.
fn vitals(evidence: Option<Told>) -> Vitals {
    let lag = |source: &str| LagRow {
        source: source.into(),
        from: "us-east-1".into(),
        to: "us-west-2".into(),
        seconds: Some(1),
    };
    Vitals {
        health: Health {
            primary: healthy(),
            dr: healthy(),
            ..Health::default()
        },
        has_dr: true,
        not_probed: String::new(),
        lags: vec![lag("dynamodb/shop-visits"), lag(BUCKET)],
        evidence,
        objectives: Objectives::default(),
        writer: None,
        drill: None,
        handled: LastHandled::default(),
    }
}

fn probed(previous: &MultiRegionAppStatus, vitals: &Vitals) -> MultiRegionAppStatus {
    assess(&Situation {
        generation: 1,
        previous,
        now: now(),
        handled: LastHandled::default(),
        vitals: Some(vitals),
        structure: None,
        rollout: None,
        result: Result::Probed,
    })
    .status
}

fn condition<'a>(status: &'a MultiRegionAppStatus, name: &str) -> &'a Condition {
    let mut all = status.conditions.iter();
    all.find(|condition| condition.type_ == name)
        .expect("it is always there")
}

fn state(status: &MultiRegionAppStatus, source: &str) -> String {
    let mut rows = status.replication.iter();
    let row = rows.find(|row| row.source == source);
    row.expect("a row").state.clone()
}

#[test]
fn files_that_do_not_replicate_are_told_and_taken_back() {
    let failed = Told {
        failed: Some(5),
        pending: Some(100),
        ..Told::default()
    };
    let status = probed(&previous(), &vitals(Some(failed)));
    let told = condition(&status, CONDITION_REPLICATION_HEALTHY);
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", REPLICATION_FAILING)
    );
    assert!(
        told.message
            .contains("at least 5 operations on s3/shop-static"),
        "{}",
        told.message
    );
    assert!(
        told.message.contains("at least 100 operations"),
        "{}",
        told.message
    );
    assert_eq!(state(&status, BUCKET), REPLICATION_FAILING);
    assert_eq!(state(&status, "dynamodb/shop-visits"), WITHIN_OBJECTIVE);
    let status = probed(&status, &vitals(Some(Told::default())));
    let told = condition(&status, CONDITION_REPLICATION_HEALTHY);
    assert_eq!(told.reason, WITHIN_OBJECTIVE);
    assert_eq!(state(&status, BUCKET), WITHIN_OBJECTIVE);
}

#[test]
fn a_restart_takes_back_no_failure_before_cloudwatch_was_read() {
    let failed = Told {
        failed: Some(5),
        ..Told::default()
    };
    let before = probed(&previous(), &vitals(Some(failed)));
    let restarted = probed(&before, &vitals(None));
    assert_eq!(restarted, before);
    // And where there was none it makes none.
    let well = probed(&previous(), &vitals(None));
    assert_eq!(probed(&well, &vitals(Some(Told::default()))), well);
}

#[test]
fn a_lag_beyond_the_objective_comes_first_and_an_unknown_one_last() {
    let mut vitals = vitals(Some(Told {
        failed: Some(5),
        ..Told::default()
    }));
    vitals.lags[0].seconds = Some(120);
    let status = probed(&previous(), &vitals);
    let told = condition(&status, CONDITION_REPLICATION_HEALTHY);
    assert_eq!(told.reason, LAG_EXCEEDED);
    vitals.lags[0].seconds = None;
    let status = probed(&previous(), &vitals);
    let told = condition(&status, CONDITION_REPLICATION_HEALTHY);
    assert_eq!(told.reason, REPLICATION_FAILING);
}

#[test]
fn errors_are_told_and_turn_nothing() {
    let errors = Told {
        viewers_errors: Some(20),
        primary_errors: Some(50),
        dr_throttles: Some(5),
        ..Told::default()
    };
    let quiet = probed(&previous(), &vitals(Some(Told::default())));
    let loud = probed(&quiet, &vitals(Some(errors)));
    let told = condition(&loud, CONDITION_FAILOVER_HEALTHY);
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("True", "DRReady")
    );
    let said = "CloudWatch, last 15 min, at least: 20% of viewers' requests answered 5xx, \
                50% of the primary function's answered 5xx, 5% of the DR function's throttled";
    assert!(told.message.ends_with(said), "{}", told.message);
    assert_eq!(loud.regions, quiet.regions);
    assert_eq!(
        condition(&loud, CONDITION_READY),
        condition(&quiet, CONDITION_READY)
    );
    assert_eq!(probed(&loud, &vitals(Some(Told::default()))), quiet);
}

#[test]
fn what_the_structure_says_is_repeated_as_it_is() {
    let audit = Stand::new("False", "NotDeployed", "the distribution is being deployed");
    let errors = Told {
        viewers_errors: Some(20),
        ..Told::default()
    };
    assert_eq!(failover(&audit, Some(&vitals(Some(errors)))), audit);
}
