//! The table of situations, row by row.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Pace, Result, Situation, assess};
use crate::api::{MultiRegionAppSpec, MultiRegionAppStatus};
use crate::app::App;
use crate::aws::tags::OwnerKey;
use crate::model::{Failure, FailureKind, ResourceId, Wanted};
use crate::plan::{Block, Change, Plan, State, Step, Wait};
use crate::reconcile::Outcome;

const GENERATION: i64 = 3;

fn app(change: impl FnOnce(&mut serde_json::Value)) -> App {
    let mut spec = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
    });
    change(&mut spec);
    let spec: MultiRegionAppSpec = serde_json::from_value(spec).expect("a valid spec");
    let owner = OwnerKey {
        cluster: "c1".into(),
        namespace: "web".into(),
        name: "shop".into(),
    };
    App::new(owner, "123456789012", &spec).expect("a valid app")
}

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().expect("a time")
}

fn step(state: State) -> Step {
    Step {
        id: ResourceId::global("iam_role", "shop-lambda-role"),
        change: Change::Create { config: json!({}) },
        state,
    }
}

fn failed(kind: FailureKind) -> State {
    State::Blocked(Block::Failed(Failure {
        kind,
        operation: "iam:CreateRole".into(),
        code: "Code".into(),
        message: "words of AWS's".into(),
    }))
}

fn left(steps: Vec<Step>) -> Outcome {
    let plan = Plan {
        steps,
        retained: BTreeMap::new(),
    };
    Outcome {
        found: plan.clone(),
        plan,
        ..Outcome::default()
    }
}

fn assessed(
    app: &App,
    outcome: &Outcome,
    previous: &MultiRegionAppStatus,
    now: Timestamp,
) -> super::Assessment {
    assess(&Situation {
        generation: GENERATION,
        previous,
        now,
        handled: Default::default(),
        vitals: None,
        structure: None,
        rollout: None,
        result: Result::Ran {
            app,
            wanted: &Wanted::default(),
            outcome,
            deleting: false,
        },
    })
}

/// `Ready=True Converged`, as `kubectl` users read it.
fn line(status: &MultiRegionAppStatus, name: &str) -> String {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == name);
    found.map_or_else(
        || "absent".into(),
        |condition| format!("{} {}", condition.status, condition.reason),
    )
}

fn converged() -> MultiRegionAppStatus {
    assessed(
        &app(|_| ()),
        &left(Vec::new()),
        &MultiRegionAppStatus::default(),
        now(),
    )
    .status
}

/// For a state of the one step that is left: what it is on first touch, and what it is if the app was converged before.
#[test]
fn every_row_of_the_table_reads_as_the_design_says() {
    let waiting = || {
        State::Waiting(vec![Wait {
            on: ResourceId::global("cloudfront_distribution", "shop"),
            what: "Deployed (InProgress)".into(),
            person: false,
        }])
    };
    let foreign = || {
        State::Blocked(Block::Foreign(
            "MultiRegionApp web/other of cluster c1".into(),
        ))
    };
    // (state, Ready at first touch, Ready if converged before, Synced, Reconciling, Stalled, pace)
    let table = [
        (
            waiting(),
            "False Progressing",
            "True Converged",
            "False Progressing",
            true,
            false,
            Pace::Waiting,
        ),
        (
            foreign(),
            "False OwnedByAnother",
            "False OwnedByAnother",
            "False OwnedByAnother",
            false,
            true,
            Pace::Stalled,
        ),
        (
            State::Blocked(Block::Unowned),
            "False NotOwned",
            "False NotOwned",
            "False NotOwned",
            false,
            true,
            Pace::Stalled,
        ),
        (
            failed(FailureKind::Invalid),
            "False Invalid",
            "False Invalid",
            "False Invalid",
            false,
            true,
            Pace::Stalled,
        ),
        (
            failed(FailureKind::Quota),
            "False QuotaExceeded",
            "False QuotaExceeded",
            "False QuotaExceeded",
            false,
            true,
            Pace::Stalled,
        ),
        (
            failed(FailureKind::NotAllowed),
            "False NotAllowed",
            "False NotAllowed",
            "False NotAllowed",
            false,
            true,
            Pace::Stalled,
        ),
        (
            failed(FailureKind::DeletionProtected),
            "False DeletionProtected",
            "False DeletionProtected",
            "False DeletionProtected",
            false,
            true,
            Pace::Stalled,
        ),
        (
            failed(FailureKind::Denied),
            "False Progressing",
            "True Converged",
            "Unknown AccessDenied",
            true,
            false,
            Pace::Denied,
        ),
        (
            failed(FailureKind::NoCredentials),
            "False Progressing",
            "True Converged",
            "Unknown NoCredentials",
            true,
            false,
            Pace::Denied,
        ),
        (
            failed(FailureKind::Unreachable),
            "False Progressing",
            "True Converged",
            "Unknown Unreachable",
            true,
            false,
            Pace::Recover,
        ),
        (
            failed(FailureKind::Transient),
            "False Progressing",
            "True Converged",
            "Unknown Unreachable",
            true,
            false,
            Pace::Recover,
        ),
        (
            failed(FailureKind::Throttled),
            "False Progressing",
            "True Converged",
            "Unknown Throttled",
            true,
            false,
            Pace::Recover,
        ),
        (
            failed(FailureKind::Conflict),
            "False Progressing",
            "True Converged",
            "False Progressing",
            true,
            false,
            Pace::Again,
        ),
    ];
    for (state, first, before, synced, reconciling, stalled, pace) in table {
        let outcome = left(vec![step(state.clone())]);
        let fresh = assessed(
            &app(|_| ()),
            &outcome,
            &MultiRegionAppStatus::default(),
            now(),
        );
        assert_eq!(
            line(&fresh.status, "Ready"),
            first,
            "first touch: {state:?}"
        );
        let again = assessed(&app(|_| ()), &outcome, &converged(), now());
        assert_eq!(
            line(&again.status, "Ready"),
            before,
            "converged before: {state:?}"
        );
        assert_eq!(line(&again.status, "Synced"), synced, "{state:?}");
        assert_eq!(
            line(&again.status, "Reconciling") != "absent",
            reconciling,
            "{state:?}"
        );
        assert_eq!(
            line(&again.status, "Stalled") != "absent",
            stalled,
            "{state:?}"
        );
        assert_eq!(again.pace, pace, "{state:?}");
    }
}

#[test]
fn a_converged_app_stays_the_same_to_the_letter() {
    let first = converged();
    let later = now() + SignedDuration::from_hours(5);
    let again = assessed(&app(|_| ()), &left(Vec::new()), &first, later);
    assert_eq!(again.status, first);
    assert_eq!(again.pace, Pace::Settled);
    assert_eq!(line(&first, "Ready"), "True Converged");
    assert_eq!(line(&first, "Reconciling"), "absent");
}

#[test]
fn a_new_generation_does_not_inherit_readiness() {
    let mut before = converged();
    for condition in &mut before.conditions {
        condition.observed_generation = Some(GENERATION - 1);
    }
    let outcome = left(vec![step(State::Ready)]);
    assert_eq!(
        line(
            &assessed(&app(|_| ()), &outcome, &before, now()).status,
            "Ready"
        ),
        "False Progressing"
    );
}

#[test]
fn a_denial_stalls_after_ten_minutes_and_not_before() {
    let outcome = left(vec![step(failed(FailureKind::Denied))]);
    let first = assessed(&app(|_| ()), &outcome, &converged(), now()).status;
    let nine = assessed(
        &app(|_| ()),
        &outcome,
        &first,
        now() + SignedDuration::from_mins(9),
    )
    .status;
    assert_eq!(line(&nine, "Stalled"), "absent");
    let ten = assessed(
        &app(|_| ()),
        &outcome,
        &nine,
        now() + SignedDuration::from_mins(10),
    )
    .status;
    assert_eq!(line(&ten, "Stalled"), "True AccessDenied");
    assert_eq!(line(&ten, "Reconciling"), "absent");
}

#[test]
fn a_record_at_another_provider_is_a_persons_and_progress_elsewhere_sets_the_pace() {
    let app = app(|spec| spec["domain"] = json!({"name": "shop.example.com"}));
    let certificate = Wait {
        on: ResourceId::new("acm_certificate", "us-east-1", "shop.example.com"),
        what: "DNS validation".into(),
        person: false,
    };
    let waits = step(State::Waiting(vec![certificate]));
    let alone = assessed(
        &app,
        &left(vec![waits.clone()]),
        &MultiRegionAppStatus::default(),
        now(),
    );
    assert_eq!(line(&alone.status, "Ready"), "False WaitingForDNS");
    assert_eq!(alone.pace, Pace::Person);
    let with_progress = left(vec![waits, step(failed(FailureKind::Conflict))]);
    let both = assessed(
        &app,
        &with_progress,
        &MultiRegionAppStatus::default(),
        now(),
    );
    assert_eq!(line(&both.status, "Ready"), "False WaitingForDNS");
    assert_eq!(both.pace, Pace::Again);
}

#[test]
fn suspending_keeps_every_value_and_says_so() {
    let before = converged();
    let situation = Situation {
        generation: GENERATION,
        previous: &before,
        now: now(),
        handled: Default::default(),
        vitals: None,
        structure: None,
        rollout: None,
        result: Result::Suspended {
            deleting: true,
            changed: None,
        },
    };
    let status = assess(&situation).status;
    assert_eq!(line(&status, "Ready"), "True Converged");
    assert_eq!(line(&status, "Synced"), "True Suspended");
    let synced = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Synced")
        .expect("it is always there");
    assert!(synced.message.contains("deletion waits"));
}

/// Else whoever waits for a change would take it for done: see kstatus.
#[test]
fn what_is_declared_while_suspended_is_not_said_to_be_so() {
    let assessed = |generation, previous: &MultiRegionAppStatus, changed| {
        let result = Result::Suspended {
            deleting: false,
            changed,
        };
        let situation = Situation {
            generation,
            previous,
            now: now(),
            handled: Default::default(),
            vitals: None,
            structure: None,
            rollout: None,
            result,
        };
        assess(&situation).status
    };
    let suspended = assessed(GENERATION + 1, &converged(), None);
    assert_eq!(line(&suspended, "Ready"), "True Converged");
    // The controller was started anew.
    let again = assessed(GENERATION + 1, &suspended, None);
    assert_eq!(again, suspended);
    for (generation, changed, ready) in [
        (GENERATION + 2, Some(true), "False Suspended"),
        (GENERATION + 2, None, "False Suspended"),
        (GENERATION + 2, Some(false), "True Converged"),
    ] {
        let status = assessed(generation, &suspended, changed);
        assert_eq!(line(&status, "Ready"), ready, "{generation} {changed:?}");
        assert_eq!(assessed(generation, &status, changed), status);
    }
    let both = assessed(GENERATION + 1, &converged(), Some(true));
    assert_eq!(line(&both, "Ready"), "False Suspended");
}

#[test]
fn observing_tells_the_size_of_the_diff() {
    let app = app(|spec| spec["managementPolicy"] = json!("Observe"));
    let status = assessed(
        &app,
        &left(vec![step(State::Ready)]),
        &MultiRegionAppStatus::default(),
        now(),
    )
    .status;
    assert_eq!(line(&status, "Synced"), "False Observed");
    let synced = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Synced")
        .expect("it is always there");
    assert!(
        synced.message.starts_with("1 changes"),
        "{}",
        synced.message
    );
}

#[test]
fn a_runtime_past_its_support_is_a_warning_only() {
    let app = app(|spec| spec["function"] = json!({"runtime": "nodejs20.x"}));
    let status = assessed(
        &app,
        &left(Vec::new()),
        &MultiRegionAppStatus::default(),
        now(),
    )
    .status;
    assert_eq!(line(&status, "RuntimeSupported"), "False EndOfSupport");
    assert_eq!(line(&status, "Ready"), "True Converged");
}

mod rollouts {
    use super::*;
    use crate::model::{Live, Observed, Owner, Phase};
    use crate::plan::diff::FieldChange;
    use crate::rollout::{Course, Rollout};
    use crate::status::Rolling;
    use crate::topology::ids;

    fn function(code: &str) -> Observed {
        Observed::Present(Box::new(Live {
            config: json!({}),
            outputs: BTreeMap::from([("code_sha256".into(), code.into())]),
            owner: Owner::Ours,
            phase: Phase::Ready,
            physical_id: String::new(),
            unread: std::collections::BTreeSet::new(),
        }))
    }

    fn distribution() -> Observed {
        let Observed::Present(mut live) = function("") else {
            unreachable!("it is made so")
        };
        live.config = json!({"enabled": true, "routing": {"groups": {"a": 1, "b": 2}}});
        Observed::Present(live)
    }

    /// The status of an app in this course, `minutes` after the release was first seen.
    fn status(
        course: Course,
        declared: bool,
        codes: [&str; 2],
        minutes: i64,
    ) -> MultiRegionAppStatus {
        let app = app(|_| ());
        let mut outcome = left(Vec::new());
        let sites: Vec<_> = app.sites().collect();
        if codes[0] != codes[1] {
            outcome.plan.steps.push(Step {
                id: ids::function(&app.primary),
                change: Change::Update {
                    config: json!({}),
                    fields: vec![FieldChange {
                        path: "code.version".into(),
                        from: json!("v1"),
                        to: json!("v2"),
                    }],
                },
                state: State::Waiting(vec![Wait {
                    on: ids::function(sites[1]),
                    what: "to answer enough probes in a row".into(),
                    person: false,
                }]),
            });
        }
        for (site, code) in sites.iter().zip(codes) {
            outcome.snapshot.insert(ids::function(site), function(code));
        }
        outcome
            .snapshot
            .insert(ids::distribution(&app), distribution());
        let rollout = Rollout {
            course,
            release: Some("r".into()),
            settled: false,
            version: Some("v2".into()),
            good: Some("v1".into()),
            declared,
        };
        let previous = MultiRegionAppStatus {
            conditions: vec![crate::api::Condition {
                type_: "CodeInSync".into(),
                status: "True".into(),
                reason: "InSync".into(),
                message: String::new(),
                last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()),
                observed_generation: Some(GENERATION),
            }],
            ..MultiRegionAppStatus::default()
        };
        assess(&Situation {
            generation: GENERATION,
            previous: &previous,
            now: now() + SignedDuration::from_mins(minutes),
            handled: Default::default(),
            vitals: None,
            structure: None,
            rollout: Some(Rolling {
                rollout: &rollout,
                since: now(),
            }),
            result: Result::Ran {
                app: &app,
                wanted: &Wanted::default(),
                outcome: &outcome,
                deleting: false,
            },
        })
        .status
    }

    fn stand(status: &MultiRegionAppStatus, name: &str) -> String {
        let mut all = status.conditions.iter();
        let found = all.find(|condition| condition.type_ == name);
        found.map_or_else(String::new, |found| {
            format!("{} {}", found.status, found.reason)
        })
    }

    #[test]
    fn a_rollout_is_no_fault_for_ten_minutes() {
        let rolling = |minutes| status(Course::Try(String::new()), true, ["one", "two"], minutes);
        let young = rolling(9);
        assert_eq!(stand(&young, "CodeInSync"), "False RollingOut");
        assert_eq!(stand(&young, "FailoverHealthy"), "True RollingOut");
        assert_eq!(stand(&rolling(10), "FailoverHealthy"), "False CodeMismatch");
        let over = status(Course::Follow, true, ["two", "two"], 0);
        assert_eq!(stand(&over, "CodeInSync"), "True InSync");
        assert_eq!(stand(&over, "Ready"), "True Converged");
    }

    #[test]
    fn what_was_stopped_is_told_and_touches_ready_only_if_the_spec_asks_for_it() {
        for (declared, ready) in [(false, "True Converged"), (true, "False Stopped")] {
            let stopped = Course::Stop("status 502".into());
            let status = status(stopped, declared, ["one", "one"], 0);
            assert_eq!(stand(&status, "CodeInSync"), "False Stopped");
            assert_eq!(stand(&status, "Synced"), "False Stopped");
            assert_eq!(stand(&status, "Stalled"), "True Stopped");
            assert_eq!(stand(&status, "Reconciling"), "");
            assert_eq!(stand(&status, "Ready"), ready);
            let message = &status
                .conditions
                .iter()
                .find(|one| one.type_ == "CodeInSync");
            let message = message.map_or("", |one| one.message.as_str());
            for word in ["v2", "v1", "status 502"] {
                assert!(message.contains(word), "{message}");
            }
        }
    }
}
