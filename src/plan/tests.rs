//! The plan's decisions one by one, each with a small golden or an assertion on one step.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use serde_json::{Map, Value, json};

use super::*;
use crate::model::{Guard, Hold, Input, Live, Needed, Overlap, Owner, Phase, RemovalMode, Until};

/// What a plan is made from.
#[derive(Default)]
struct Case {
    wanted: Wanted,
    snapshot: Snapshot,
    progress: Progress,
    adopt: bool,
}

fn id(name: &str) -> ResourceId {
    let (kind, name) = name.split_once('/').unwrap_or(("thing", name));
    ResourceId::global(kind, name)
}

fn desired(name: &str, config: Value) -> Desired {
    Desired::new(id(name), &config)
}

/// `output` of `name`, as a configuration refers to it.
fn from(name: &str, output: &str) -> Value {
    serde_json::to_value(Input::output(&id(name), output)).unwrap_or_default()
}

fn live(config: Value) -> Live {
    Live {
        config,
        outputs: BTreeMap::new(),
        owner: Owner::Ours,
        phase: Phase::Ready,
        physical_id: String::new(),
        unread: BTreeSet::new(),
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure {
        kind,
        operation: "lambda:CreateFunction".into(),
        code: "Refused".into(),
        message: "by AWS".into(),
    }
}

impl Case {
    fn want(mut self, desired: Desired) -> Self {
        self.wanted.desired.push(desired);
        self
    }

    fn remove(mut self, name: &str, mode: RemovalMode, after: &[&str]) -> Self {
        self.wanted.removals.push(Removal {
            id: id(name),
            mode,
            parent: None,
            after: after.iter().map(|name| id(name)).collect(),
        });
        self
    }

    fn absent(mut self, name: &str) -> Self {
        self.snapshot.insert(id(name), Observed::Absent);
        self
    }

    fn unknown(mut self, name: &str) -> Self {
        let observed = Observed::Unknown(failure(FailureKind::Unreachable));
        self.snapshot.insert(id(name), observed);
        self
    }

    fn seen(mut self, name: &str, live: Live) -> Self {
        self.snapshot
            .insert(id(name), Observed::Present(Box::new(live)));
        self
    }

    fn failed(mut self, name: &str, kind: FailureKind) -> Self {
        self.progress.failed.insert(id(name), failure(kind));
        self
    }

    fn plan(&self) -> Plan {
        plan(&self.wanted, &self.snapshot, &self.progress, self.adopt)
    }

    /// The configuration of the step for `name`.
    fn config(&self, name: &str) -> Value {
        let plan = self.plan();
        let step = plan.steps.iter().find(|step| step.id == id(name));
        match step.map(|step| &step.change) {
            Some(Change::Create { config } | Change::Update { config, .. }) => config.clone(),
            _ => Value::Null,
        }
    }
}

fn with_output(mut live: Live, name: &str, value: &str) -> Live {
    live.outputs.insert(name.into(), value.into());
    live
}

fn in_phase(phase: Phase, live: Live) -> Live {
    Live { phase, ..live }
}

fn pending() -> Phase {
    Phase::Pending("Active (Creating)".into())
}

fn of(owner: Owner, live: Live) -> Live {
    Live { owner, ..live }
}

#[test]
fn what_is_as_wanted_has_no_step() {
    let case = Case::default()
        .want(desired("a", json!({"size": 1, "tags": {"k": "v"}})))
        .seen(
            "a",
            live(json!({"size": 1, "tags": {"k": "v", "x": "y"}, "other": 2})),
        );
    assert_eq!(case.plan(), Plan::default());
}

#[test]
fn what_is_absent_is_created_once_its_references_resolve() {
    let case = Case::default()
        .want(desired("function", json!({"role": from("role", "arn")})))
        .want(desired("role", json!({})))
        .absent("function")
        .absent("role");
    assert_snapshot!(case.plan(), @"
    + thing/function  (waits on thing/role: its arn)
    + thing/role
    Plan: 2 to create.
    ");
    let case = case.seen("role", with_output(live(json!({})), "arn", "arn:role"));
    assert_snapshot!(case.plan(), @"
    + thing/function
    Plan: 1 to create.
    ");
    assert_eq!(case.config("function"), json!({"role": "arn:role"}));
}

#[test]
fn a_template_holds_the_output() {
    let input = Input::templated(&id("identity"), "id", "user/{}");
    let case = Case::default()
        .want(desired("policy", json!({"principal": input})))
        .absent("policy")
        .seen("identity", with_output(live(json!({})), "id", "E1"));
    assert_eq!(case.config("policy"), json!({"principal": "user/E1"}));
}

#[test]
fn what_nobody_read_is_not_taken_for_converged() {
    let case = Case::default().want(desired("a", json!({})));
    assert_snapshot!(case.plan(), @"
    ? thing/a  (blocked multiregion:Observe: NotRead: thing/a was not read)
    Plan: 1 unreadable.
    ");
}

#[test]
fn what_cannot_be_read_is_not_changed() {
    let case = Case::default().want(desired("a", json!({}))).unknown("a");
    assert_snapshot!(case.plan(), @"
    ? thing/a  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 1 unreadable.
    ");
}

#[test]
fn data_is_only_read_and_has_to_be_there() {
    let zone = |case: Case| case.want(Desired::data(id("zone"), &json!({"name": "wanted"})));
    let there = zone(Case::default()).seen("zone", of(Owner::Nobody, live(json!({"name": "is"}))));
    assert!(there.plan().is_empty());
    assert_snapshot!(zone(Case::default()).absent("zone").plan(), @"
    ? thing/zone  (blocked multiregion:Observe: NotFound: thing/zone does not exist)
    Plan: 1 unreadable.
    ");
}

#[test]
fn what_comes_after_waits_until_the_other_is_there_and_free() {
    let case = |table: Case| {
        table
            .want(desired("table", json!({"stream": true})))
            .want(desired("replica", json!({})).after(&id("table")))
            .absent("replica")
    };
    assert_snapshot!(case(Case::default()).absent("table").plan(), @"
    + thing/table
    + thing/replica  (waits on thing/table: to be made)
    Plan: 2 to create.
    ");
    let creating = in_phase(pending(), live(json!({"stream": true})));
    assert_snapshot!(case(Case::default()).seen("table", creating).plan(), @"
    . thing/table  (waits on thing/table: Active (Creating))
    + thing/replica  (waits on thing/table: Active (Creating))
    Plan: 1 to create, 1 to wait for.
    ");
    let drifted = case(Case::default()).seen("table", live(json!({"stream": false})));
    assert_snapshot!(drifted.plan(), @"
    ~ thing/table
        stream: false → true
    + thing/replica  (waits on thing/table: to be updated)
    Plan: 1 to create, 1 to update.
    ");
    // A change that AWS refuses for good is no reason to leave the rest undone; one it refuses now is.
    let refused = drifted.failed("table", FailureKind::Invalid);
    assert_eq!(refused.plan().steps[1].state, State::Ready);
    let later = refused.failed("table", FailureKind::Transient);
    assert!(matches!(later.plan().steps[1].state, State::Waiting(_)));
}

#[test]
fn a_field_without_its_reference_waits_and_the_others_do_not() {
    let case = Case::default()
        .want(desired(
            "function",
            json!({"role": from("role", "arn"), "memory": 512}),
        ))
        .want(desired("role", json!({})))
        .seen("function", live(json!({"role": "arn:role", "memory": 128})))
        .unknown("role");
    assert_snapshot!(case.plan(), @"
    ~ thing/function
        memory: 128 → 512
    ? thing/role  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 1 to update, 1 unreadable.
    ");
    assert_eq!(
        case.config("function"),
        json!({"role": "arn:role", "memory": 512})
    );
    let case = case.seen("function", live(json!({"role": "arn:role", "memory": 512})));
    assert_snapshot!(case.plan(), @"
    ~ thing/function  (waits on thing/role: its arn)
        role: arn:role → <arn of thing/role>
    ? thing/role  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 1 to update, 1 unreadable.
    ");
}

#[test]
fn what_aws_is_busy_with_takes_no_change_and_what_it_spreads_does() {
    let case = || Case::default().want(desired("a", json!({"size": 2})));
    let busy = case().seen("a", in_phase(pending(), live(json!({"size": 1}))));
    assert_snapshot!(busy.plan(), @"
    ~ thing/a  (waits on thing/a: Active (Creating))
        size: 1 → 2
    Plan: 1 to update.
    ");
    let spreading = Phase::Deploying("Deployed (InProgress)".into());
    let deploying = case().seen("a", in_phase(spreading.clone(), live(json!({"size": 1}))));
    assert_eq!(deploying.plan().steps[0].state, State::Ready);
    let done = case().seen("a", in_phase(spreading, live(json!({"size": 2}))));
    assert_snapshot!(done.plan(), @"
    . thing/a  (waits on thing/a: Deployed (InProgress))
    Plan: 1 to wait for.
    ");
    let leaving = case().seen("a", in_phase(Phase::Deleting, live(json!({"size": 2}))));
    assert_snapshot!(leaving.plan(), @"
    . thing/a  (waits on thing/a: to be gone)
    Plan: 1 to wait for.
    ");
}

#[test]
fn a_person_who_has_to_act_is_told_apart() {
    let waiting = Phase::WaitingForPerson("its record".into());
    let case = Case::default()
        .want(desired("certificate", json!({})))
        .want(desired(
            "distribution",
            json!({"certificate": from("certificate", "arn")}),
        ))
        .seen("certificate", in_phase(waiting, live(json!({}))))
        .absent("distribution");
    assert_snapshot!(case.plan(), @"
    . thing/certificate  (waits on thing/certificate: its record)
    + thing/distribution  (waits on thing/certificate: its record)
    Plan: 1 to create, 1 to wait for.
    ");
    for step in &case.plan().steps {
        assert!(matches!(&step.state, State::Waiting(waits) if waits[0].person));
    }
}

#[test]
fn what_failed_is_made_again_unless_it_holds_data() {
    let failed = || in_phase(Phase::Failed("InternalError".into()), live(json!({})));
    let case = Case::default()
        .want(desired("function", json!({})))
        .seen("function", failed());
    assert_snapshot!(case.plan(), @"
    - thing/function
    Plan: 1 to delete.
    ");
    let mut table = desired("table", json!({}));
    table.holds_data = true;
    assert_snapshot!(Case::default().want(table).seen("table", failed()).plan(), @"
    . thing/table  (blocked it failed (InternalError) and holds data, so it is not made again)
    Plan: 1 to wait for.
    ");
}

#[test]
fn what_is_somebody_elses_is_left_and_what_is_nobodys_taken_only_if_asked() {
    let mut case = Case::default().want(desired("a", json!({"size": 2}))).seen(
        "a",
        of(Owner::Other("web/other".into()), live(json!({"size": 1}))),
    );
    case.adopt = true;
    assert_snapshot!(case.plan(), @"
    . thing/a  (blocked it belongs to web/other)
    Plan: 1 to wait for.
    ");
    case = case.seen("a", of(Owner::Nobody, live(json!({"size": 1}))));
    assert_eq!(case.plan().steps[0].state, State::Ready);
    case.adopt = false;
    assert_snapshot!(case.plan(), @"
    . thing/a  (blocked it exists and carries no owner (to take it over, set adoptionPolicy: IfUnowned))
    Plan: 1 to wait for.
    ");
}

#[test]
fn a_part_of_what_is_not_ours_is_not_ours() {
    let part = || {
        let mut part = desired("statement", json!({"for": "us"}));
        part.parent = Some(id("function"));
        part
    };
    let theirs = || of(Owner::Other("web/other".into()), live(json!({})));
    let case = Case::default()
        .want(desired("function", json!({})))
        .want(part())
        .seen("function", theirs());
    assert_snapshot!(case.absent("statement").plan(), @"
    . thing/function  (blocked it belongs to web/other)
    + thing/statement  (waits on thing/function: to belong to this app)
    Plan: 1 to create, 1 to wait for.
    ");
    let case = Case::default()
        .want(desired("function", json!({})))
        .want(part())
        .seen("function", theirs())
        .seen("statement", live(json!({"for": "them"})));
    assert_snapshot!(case.plan(), @"
    . thing/function  (blocked it belongs to web/other)
    . thing/statement  (waits on thing/function: to belong to this app)
    Plan: 2 to wait for.
    ");
    let mut removal = Case::default()
        .remove("statement", RemovalMode::Delete(DataPolicy::Delete), &[])
        .remove(
            "role",
            RemovalMode::Delete(DataPolicy::Delete),
            &["statement"],
        )
        .seen("function", theirs())
        .seen("role", live(json!({})))
        .seen("statement", live(json!({"for": "them"})));
    removal.wanted.removals[0].parent = Some(id("function"));
    assert_snapshot!(removal.plan(), @"
    - thing/role
    Plan: 1 to delete.
    ");
}

/// A distribution that needs a permission for each origin it has.
fn distribution() -> Desired {
    let routing = |origins: &[&str]| {
        let origins: Map<String, Value> = origins
            .iter()
            .map(|&origin| (origin.to_owned(), from(&format!("url/{origin}"), "host")))
            .collect();
        json!({"enabled": true, "routing": {"origins": origins}})
    };
    let needed = |origin: &str| Needed {
        id: id(&format!("permission/{origin}")),
        only_with: format!("/routing/origins/{origin}"),
    };
    let mut desired = desired("distribution", routing(&["primary", "dr"]));
    desired.fallback = Some(routing(&["primary"]));
    desired.guard = Some(Guard {
        fields: BTreeSet::from(["routing".into()]),
        initial: Map::from_iter([("enabled".to_owned(), json!(false))]),
        until: vec![needed("primary"), needed("dr")],
    });
    desired
}

fn permission(origin: &str) -> Desired {
    let arn = from("distribution", "arn");
    desired(&format!("permission/{origin}"), json!({"source": arn}))
}

fn both_sides(case: Case) -> Case {
    case.want(distribution())
        .want(permission("primary"))
        .want(permission("dr"))
        .want(desired("url/primary", json!({})))
        .want(desired("url/dr", json!({})))
        .seen("url/primary", with_output(live(json!({})), "host", "p.aws"))
        .seen("url/dr", with_output(live(json!({})), "host", "d.aws"))
}

fn is(enabled: bool, origins: Value) -> Live {
    let config = json!({"enabled": enabled, "routing": {"origins": origins}});
    with_output(live(config), "arn", "arn:d")
}

#[test]
fn a_guarded_resource_is_made_in_its_initial_state_and_leaves_it_when_all_is_in_place() {
    let case = both_sides(Case::default())
        .absent("distribution")
        .absent("permission/primary")
        .absent("permission/dr");
    let made = case.config("distribution");
    assert_eq!(made["enabled"], json!(false));
    let case = case.seen(
        "distribution",
        is(false, made["routing"]["origins"].clone()),
    );
    assert_snapshot!(case.plan(), @"
    ~ thing/distribution  (waits on permission/dr: to be made, permission/primary: to be made)
        enabled: false → true
    + permission/primary
    + permission/dr
    Plan: 2 to create, 1 to update.
    ");
    let admitted = || live(json!({"source": "arn:d"}));
    let case = case.seen("permission/primary", admitted());
    assert!(matches!(case.plan().steps[0].state, State::Waiting(_)));
    let case = case.seen("permission/dr", admitted());
    assert_eq!(case.config("distribution")["enabled"], json!(true));
    assert_eq!(case.plan().steps[0].state, State::Ready);
}

#[test]
fn what_serves_is_not_moved_before_it_is_admitted_and_not_disabled_when_that_cannot_be_told() {
    let admitted = || live(json!({"source": "arn:d"}));
    let moved = both_sides(Case::default())
        .seen(
            "distribution",
            is(true, json!({"primary": "p.aws", "dr": "old.aws"})),
        )
        .seen("permission/primary", admitted())
        .absent("permission/dr");
    assert_snapshot!(moved.plan(), @"
    ~ thing/distribution  (waits on permission/dr: to be made)
        routing.origins.dr: old.aws → d.aws
    + permission/dr
    Plan: 1 to create, 1 to update.
    ");
    let dark = moved.unknown("permission/dr").unknown("url/dr");
    assert_snapshot!(dark.plan(), @"
    ~ thing/distribution  (waits on url/dr: its host)
        routing.origins.dr: old.aws → <host of url/dr>
    ? permission/dr  (blocked lambda:CreateFunction: Refused: by AWS)
    ? url/dr  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 1 to update, 2 unreadable.
    ");
}

#[test]
fn with_a_side_out_of_reach_the_fallback_is_made_and_an_unused_one_turned_into_it() {
    let admitted = || live(json!({"source": "arn:d"}));
    let dark = || {
        both_sides(Case::default())
            .unknown("url/dr")
            .unknown("permission/dr")
            .absent("permission/primary")
    };
    let case = dark().absent("distribution");
    let fallback = json!({"enabled": false, "routing": {"origins": {"primary": "p.aws"}}});
    assert_eq!(case.config("distribution"), fallback);
    // What is only late is waited for.
    let late = case.absent("url/dr");
    assert!(matches!(late.plan().steps[0].state, State::Waiting(_)));

    let both = json!({"primary": "p.aws", "dr": "d.aws"});
    let case = dark().seen("permission/primary", admitted());
    let unused = case.seen("distribution", is(false, both.clone()));
    let enabled = json!({"enabled": true, "routing": {"origins": {"primary": "p.aws"}}});
    assert_eq!(unused.config("distribution"), enabled);
    assert_eq!(unused.plan().steps[0].state, State::Ready);
    // What serves keeps what it has.
    let serving = unused.seen("distribution", is(true, both));
    assert!(matches!(serving.plan().steps[0].state, State::Waiting(_)));
}

#[test]
fn what_is_made_is_enabled_as_wanted_or_as_its_fallback_and_not_as_it_was_once_wanted() {
    let unused = |primary: &str| {
        both_sides(Case::default())
            .absent("url/dr")
            .absent("permission/dr")
            .seen("permission/primary", live(json!({"source": "arn:d"})))
            .seen("distribution", is(false, json!({"primary": primary})))
    };
    assert!(matches!(
        unused("old.aws").plan().steps[0].state,
        State::Waiting(_)
    ));
    let enabled = json!({"enabled": true, "routing": {"origins": {"primary": "p.aws"}}});
    assert_eq!(unused("p.aws").config("distribution"), enabled);
    assert_eq!(unused("p.aws").plan().steps[0].state, State::Ready);
}

#[test]
fn surplus_entries_stay_until_the_other_has_settled() {
    let case = |distribution: Live| {
        let mut policy = desired("policy", json!({"statements": {"new": 1}}));
        policy.overlap = Some(Overlap {
            field: "statements".into(),
            until: vec![id("distribution")],
        });
        Case::default()
            .want(policy)
            .want(desired("distribution", json!({"access": "new"})))
            .seen("policy", live(json!({"statements": {"old": 1}})))
            .seen("distribution", distribution)
    };
    let before = case(live(json!({"access": "old"})));
    assert_eq!(
        before.config("policy"),
        json!({"statements": {"new": 1, "old": 1}})
    );
    let both = live(json!({"statements": {"new": 1, "old": 1}}));
    let spreading = in_phase(
        Phase::Deploying("Deployed".into()),
        live(json!({"access": "new"})),
    );
    assert_snapshot!(case(spreading).seen("policy", both.clone()).plan(), @"
    ~ thing/policy  (waits on thing/distribution: Deployed)
        statements.old: 1 → none
    . thing/distribution  (waits on thing/distribution: Deployed)
    Plan: 1 to update, 1 to wait for.
    ");
    let settled = case(live(json!({"access": "new"}))).seen("policy", both);
    assert_eq!(settled.config("policy"), json!({"statements": {"new": 1}}));
}

#[test]
fn removals_go_in_order_and_after_what_stopped_using_them() {
    let delete = || RemovalMode::Delete(DataPolicy::Keep);
    let case = |distribution: Live| {
        Case::default()
            .want(desired("distribution", json!({"origins": 1})))
            .seen("distribution", distribution)
            .remove("url", delete(), &["distribution"])
            .remove("function", delete(), &["url"])
            .remove("bucket", RemovalMode::Retain("data stays".into()), &[])
            .seen("url", live(json!({})))
            .seen("function", live(json!({})))
            .seen("bucket", live(json!({})))
    };
    assert_snapshot!(case(live(json!({"origins": 2}))).plan(), @"
    ~ thing/distribution
        origins: 2 → 1
    - thing/url  (waits on thing/distribution: to be updated)
    - thing/function  (waits on thing/url: to be gone)
    = thing/bucket  (stays: data stays)
    Plan: 1 to update, 2 to delete.
    ");
    let settled = case(live(json!({"origins": 1})));
    assert_snapshot!(settled.plan(), @"
    - thing/url
    - thing/function  (waits on thing/url: to be gone)
    = thing/bucket  (stays: data stays)
    Plan: 2 to delete.
    ");
    assert_snapshot!(settled.absent("url").plan(), @"
    - thing/function
    = thing/bucket  (stays: data stays)
    Plan: 1 to delete.
    ");
}

#[test]
fn what_stays_or_is_not_ours_holds_up_no_removal() {
    let delete = || RemovalMode::Delete(DataPolicy::Delete);
    let case = || {
        Case::default()
            .remove("role", delete(), &["function"])
            .seen("role", live(json!({})))
    };
    let theirs = of(Owner::Other("web/other".into()), live(json!({})));
    let foreign = case()
        .remove("function", delete(), &[])
        .seen("function", theirs);
    assert_snapshot!(foreign.plan(), @"
    - thing/role
    Plan: 1 to delete.
    ");
    let kept = RemovalMode::Retain("deletionPolicy: Retain".into());
    let retained = case()
        .remove("function", kept, &[])
        .seen("function", live(json!({})));
    assert_eq!(retained.plan().steps[0].state, State::Ready);
    let dark = case().remove("function", delete(), &[]).unknown("function");
    assert_snapshot!(dark.plan(), @"
    - thing/role  (waits on thing/function: to be gone)
    - thing/function  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 2 to delete.
    ");
}

#[test]
fn nothing_is_tried_twice_in_a_pass() {
    let mut case = Case::default()
        .want(desired("a", json!({"size": 2})))
        .want(desired("b", json!({})))
        .seen("a", live(json!({"size": 1})))
        .absent("b")
        .failed("b", FailureKind::Denied);
    let keys: Vec<String> = case.plan().ready().map(Step::key).collect();
    assert_eq!(keys, [r#"update thing/a {"size"}"#]);
    case.progress.taken.extend(keys);
    assert_snapshot!(case.plan(), @"
    ~ thing/a  (waits on thing/a: to show the change just made)
        size: 1 → 2
    + thing/b  (blocked lambda:CreateFunction: Refused: by AWS)
    Plan: 1 to create, 1 to update.
    ");
    let mut leaving = Case::default()
        .remove("c", RemovalMode::Delete(DataPolicy::Keep), &[])
        .remove("d", RemovalMode::Delete(DataPolicy::Keep), &[])
        .seen("c", live(json!({})))
        .seen("d", live(json!({})));
    leaving
        .progress
        .deleting
        .insert(id("c"), "to be disabled".into());
    leaving
        .progress
        .retained
        .insert(id("d"), "it holds objects".into());
    assert_snapshot!(leaving.plan(), @"
    - thing/c  (waits on thing/c: to be disabled)
    = thing/d  (stays: it holds objects)
    Plan: 1 to delete.
    ");
}

mod diffs {
    use super::*;

    fn changes(wanted: Value, seen: Value) -> Vec<String> {
        diff::fields(&wanted, &live(seen))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn only_wanted_fields_and_only_wanted_tags_count() {
        let seen = json!({"size": 1, "waf": "theirs", "tags": {"ours": "1", "theirs": "2"}});
        assert_eq!(
            changes(json!({"size": 1, "tags": {"ours": "1"}}), seen.clone()),
            NOTHING
        );
        assert_eq!(
            changes(json!({"tags": {"ours": "2", "new": "3"}}), seen),
            ["tags.ours: 1 → 2", "tags.new: none → 3"]
        );
    }

    #[test]
    fn below_the_top_a_field_is_compared_whole() {
        assert_eq!(
            changes(
                json!({"rule": {"days": 7}}),
                json!({"rule": {"days": 7, "size": 1}})
            ),
            ["rule.size: 1 → none"]
        );
    }

    #[test]
    fn lists_of_plain_values_are_sets_and_lists_of_objects_are_not() {
        assert_eq!(
            changes(json!({"codes": [500, 502]}), json!({"codes": [502, 500]})),
            NOTHING
        );
        assert_eq!(
            changes(json!({"codes": [500, 502]}), json!({"codes": [500]})),
            ["codes: [500] → [500 502]"]
        );
        let (a, b) = (json!({"path": "/a"}), json!({"path": "/b"}));
        assert_eq!(
            changes(json!({"paths": [a, b]}), json!({"paths": [b, a]})),
            ["paths[0].path: /b → /a", "paths[1].path: /a → /b"]
        );
        assert_eq!(
            changes(json!({"paths": [a, b]}), json!({"paths": [a]})),
            [r#"paths: [{"path":"/a"}] → [{"path":"/a"},{"path":"/b"}]"#]
        );
    }

    #[test]
    fn what_was_not_read_is_not_compared() {
        let mut seen = live(json!({"lifecycle": null}));
        seen.unread.insert("lifecycle".into());
        assert_eq!(diff::fields(&json!({"lifecycle": {"days": 7}}), &seen), []);
    }

    #[test]
    fn the_environment_is_never_shown() {
        let seen = json!({"environment": {"KEY": "secret", "OLD": "secret"}});
        let shown = changes(json!({"environment": {"KEY": "hush", "NEW": "hush"}}), seen);
        assert_eq!(
            shown,
            [
                "environment.KEY: changed (value not shown)",
                "environment.NEW: added (value not shown)",
                "environment.OLD: removed (value not shown)",
            ]
        );
        let whole = changes(json!({"environment": {"KEY": "hush"}}), json!({}));
        assert_eq!(whole, ["environment: added (value not shown)"]);
    }

    #[test]
    fn a_reference_is_shown_in_words() {
        let wanted = json!({"code": {"version": from("zip", "version")}});
        assert_eq!(
            changes(wanted, json!({"code": null})),
            [r#"code: none → {"version":"<version of thing/zip>"}"#]
        );
    }
}

/// Two alike, `first` tried before `second`: both should have the size 2 of what `code` yields.
fn held(until: Until) -> Case {
    let mut second = desired("second", json!({"size": 2, "tags": {"new": "tag"}}));
    second.hold = Some(Hold {
        fields: BTreeSet::from(["size".into()]),
        on: id("first"),
        until,
    });
    Case::default()
        .want(desired("code", json!({"version": 2})))
        .want(desired(
            "first",
            json!({"size": 2, "from": from("code", "version")}),
        ))
        .want(second)
}

fn proven(proven: Option<&str>) -> Until {
    Until::Proven {
        output: "is".into(),
        proven: proven.map(str::to_owned),
        lacking: "to be proven".into(),
    }
}

/// `second` as it was, `first` as it is, the code as it is.
fn sides(case: Case, first: Live, code: i32) -> Case {
    let old = with_output(
        live(json!({"size": 1, "tags": {"new": "tag"}})),
        "is",
        "one",
    );
    let code = with_output(live(json!({"version": code})), "version", "2");
    case.seen("second", old)
        .seen("first", first)
        .seen("code", code)
}

fn tried(is: &str) -> Live {
    with_output(live(json!({"size": 2, "from": "2"})), "is", is)
}

#[test]
fn a_held_field_changes_once_the_other_has_proven_it_and_not_before() {
    let step = |case: Case| {
        case.plan()
            .steps
            .iter()
            .find(|step| step.id == id("second"))
            .cloned()
    };
    let waits = |case: Case| match step(case).map(|step| step.state) {
        Some(State::Waiting(waits)) => waits[0].to_string(),
        other => format!("{other:?}"),
    };
    let ready = |case: Case| step(case).map(|step| step.state) == Some(State::Ready);
    // The other is not changed yet, or changing, or proven as something else.
    let untried = with_output(live(json!({"size": 1, "from": "2"})), "is", "one");
    assert_eq!(
        waits(sides(held(proven(Some("one"))), untried.clone(), 2)),
        "thing/first: to be updated"
    );
    let changing = in_phase(pending(), tried("two"));
    assert_eq!(
        waits(sides(held(proven(Some("two"))), changing, 2)),
        "thing/first: Active (Creating)"
    );
    assert_eq!(
        waits(sides(held(proven(None)), tried("two"), 2)),
        "thing/first: to be proven"
    );
    assert_eq!(
        waits(sides(held(proven(Some("one"))), tried("two"), 2)),
        "thing/first: to be proven"
    );
    // As wanted by what its code was, which is about to be another.
    assert_eq!(
        waits(sides(held(proven(Some("two"))), tried("two"), 1)),
        "thing/code: to be updated"
    );
    assert!(ready(sides(held(proven(Some("two"))), tried("two"), 2)));
    // What it is already needs no proof.
    assert!(ready(sides(held(proven(None)), tried("one"), 2)));
}

#[test]
fn what_is_held_for_good_waits_and_the_rest_of_it_and_what_is_absent_does_not() {
    let held = || held(Until::Further("the primary is unhealthy".into()));
    let case = sides(held(), tried("two"), 2);
    assert_snapshot!(case.plan(), @r"
    ~ thing/second  (waits on thing/first: the primary is unhealthy)
        size: 1 → 2
    Plan: 1 to update.
    ");
    let untagged = live(json!({"size": 1, "tags": {}}));
    let case = sides(held(), tried("two"), 2).seen("second", untagged);
    assert_eq!(case.plan().ready().count(), 1);
    let case = sides(held(), tried("two"), 2).absent("second");
    assert_eq!(case.plan().ready().count(), 1);
}

#[test]
fn what_must_not_change_together_waits_for_the_other_to_rest() {
    let busy = in_phase(pending(), tried("two"));
    assert_eq!(
        sides(held(Until::AtRest), busy, 2).plan().ready().count(),
        0
    );
    assert_eq!(
        sides(held(Until::AtRest), tried("two"), 2)
            .plan()
            .ready()
            .count(),
        1
    );
}
