//! Histories of probes, drawn at random, and what must hold in all of them.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::writes::{Asked, Decision, FORCED, Facts, decide, other, stays_forced};
use super::*;
use crate::api::{Failback, WhenLagUnknown, Writes, WritesMode};

const INTERVAL: i64 = 30;

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (1..6_u32, 1..6_u32).prop_map(|(failures, successes)| Thresholds {
        failures,
        successes,
        stale: SignedDuration::from_secs(INTERVAL * 3 + 5),
    })
}

fn sample() -> impl Strategy<Value = Option<Sample>> {
    prop_oneof![
        4 => Just(Some(Sample::Healthy)),
        3 => Just(Some(Sample::Unhealthy("status 502".into()))),
        2 => Just(Some(Sample::Unreachable("no connection".into()))),
        1 => Just(None),
    ]
}

fn samples() -> impl Strategy<Value = Samples> {
    (sample(), sample(), sample(), any::<bool>()).prop_map(|(primary, dr, edge, reachable)| {
        Samples {
            primary,
            dr,
            edge,
            others_reachable: Some(reachable),
        }
    })
}

/// A round of probes, and the seconds since the one before.
fn history() -> impl Strategy<Value = Vec<(i64, Samples)>> {
    let gap = prop_oneof![9 => Just(INTERVAL), 1 => Just(INTERVAL * 10)];
    prop::collection::vec((gap, samples()), 1..60)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn run(history: &[(i64, Samples)], thresholds: &Thresholds) -> Vec<(Timestamp, Health)> {
    let mut health = Health::default();
    let mut second = 0;
    history
        .iter()
        .map(|(gap, samples)| {
            second += gap;
            health = observe(&health, samples, thresholds, at(second));
            (at(second), health.clone())
        })
        .collect()
}

fn automatic() -> Writes {
    Writes {
        mode: WritesMode::Automatic,
        active: Role::Primary,
        failback: Failback::Automatic,
        when_lag_unknown: WhenLagUnknown::Allow,
    }
}

fn facts<'a>(
    writes: &'a Writes,
    health: &Health,
    thresholds: &Thresholds,
    writer: Role,
    now: Timestamp,
) -> Facts<'a> {
    Facts {
        writes,
        asked: Asked::default(),
        writer,
        forced: false,
        health: health.clone(),
        thresholds: *thresholds,
        loss: Some(SignedDuration::ZERO),
        objective: SignedDuration::from_secs(60),
        witnessed: true,
        held: None,
        now,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_settled_state_turns_only_after_its_threshold(history in history(), thresholds in thresholds()) {
        let mut before = Health::default();
        for (now, health) in run(&history, &thresholds) {
            let gap = |target: &Target| target.sampled.map_or(i64::MAX, |sampled| now.duration_since(sampled).as_secs());
            for (was, is) in [(&before.primary, &health.primary), (&before.dr, &health.dr), (&before.edge, &health.edge)] {
                use RegionHealth::{Healthy, Unhealthy};
                match (was.state, is.state) {
                    (Healthy, Unhealthy) => prop_assert!(is.failures >= thresholds.failures || gap(was) > INTERVAL * 3),
                    (Unhealthy, Healthy) => prop_assert!(is.successes >= thresholds.successes || !was.firm || gap(was) > INTERVAL * 3),
                    (one, other) if one == other => prop_assert_eq!(was.since, is.since),
                    _ => {}
                }
            }
            before = health;
        }
    }

    #[test]
    fn what_was_just_probed_is_never_unknown(history in history(), thresholds in thresholds()) {
        for ((_, samples), (_, health)) in history.iter().zip(run(&history, &thresholds)) {
            if !samples.isolated() {
                for (sample, target) in [(&samples.primary, &health.primary), (&samples.dr, &health.dr), (&samples.edge, &health.edge)] {
                    prop_assert!(sample.is_none() || target.state != RegionHealth::Unknown);
                }
            }
        }
    }

    #[test]
    fn an_isolated_prober_moves_nothing(history in history(), thresholds in thresholds()) {
        let mut health = Health::default();
        let mut second = 0;
        let alone = Samples {
            primary: Some(Sample::Unreachable("no connection".into())),
            dr: Some(Sample::Unreachable("no connection".into())),
            edge: Some(Sample::Unreachable("no connection".into())),
            others_reachable: Some(false),
        };
        for (gap, samples) in history {
            second += gap;
            health = observe(&health, &samples, &thresholds, at(second));
            let mut cut_off = health.clone();
            for round in 1..20 {
                cut_off = observe(&cut_off, &alone, &thresholds, at(second + round * INTERVAL));
                for (was, is) in [(&health.primary, &cut_off.primary), (&health.dr, &cut_off.dr)] {
                    prop_assert_eq!(was.state, is.state);
                    prop_assert_eq!(was.since, is.since);
                }
                let writer = Role::Primary;
                let writes = automatic();
                let decision = decide(&facts(&writes, &cut_off, &thresholds, writer, at(second + round * INTERVAL)));
                prop_assert_eq!((decision.to, decision.reason), (None, "ProberIsolated"));
            }
        }
    }

    #[test]
    fn the_writes_move_only_by_two_witnesses_to_a_region_that_is_well(history in history(), thresholds in thresholds()) {
        let writes = automatic();
        let mut writer = Role::Primary;
        for (now, health) in run(&history, &thresholds) {
            let decision = decide(&facts(&writes, &health, &thresholds, writer, now));
            if let Some(to) = decision.to {
                prop_assert_eq!(to, other(writer));
                prop_assert_eq!(health.of(to).state, RegionHealth::Healthy);
                if decision.reason == "FailedOver" {
                    prop_assert!(health.of(writer).failures >= thresholds.failures);
                    prop_assert!(health.edge.failures >= thresholds.failures);
                } else {
                    prop_assert_eq!(to, writes.active);
                }
                writer = to;
            }
        }
    }
}

/// Both witnesses have failed, DR is well.
fn failed() -> (Health, Thresholds, Timestamp) {
    let thresholds = Thresholds {
        failures: 3,
        successes: 3,
        stale: SignedDuration::from_secs(95),
    };
    let down = Samples {
        primary: Some(Sample::Unhealthy("status 502".into())),
        dr: Some(Sample::Healthy),
        edge: Some(Sample::Unhealthy("status 502".into())),
        others_reachable: None,
    };
    let history: Vec<_> = (0..4).map(|_| (INTERVAL, down.clone())).collect();
    let (now, health) = run(&history, &thresholds).pop().expect("a round");
    (health, thresholds, now)
}

const PRIMARY: Role = Role::Primary;

#[test]
fn a_loss_beyond_the_objective_refuses_the_move_until_it_is_forced() {
    let (health, thresholds, now) = failed();
    let writes = automatic();
    let mut facts = facts(&writes, &health, &thresholds, PRIMARY, now);
    assert_eq!(decide(&facts).to, Some(Role::Dr));
    facts.loss = Some(SignedDuration::from_secs(61));
    let refused = decide(&facts);
    assert_eq!((refused.to, refused.reason), (None, "LagExceeded"));
    facts.asked.force = Some(Role::Dr);
    assert_eq!(decide(&facts).to, Some(Role::Dr));
}

#[test]
fn an_unknown_loss_is_as_configured() {
    let (health, thresholds, now) = failed();
    let mut writes = automatic();
    for (configured, to) in [
        (WhenLagUnknown::Allow, Some(Role::Dr)),
        (WhenLagUnknown::Refuse, None),
    ] {
        writes.when_lag_unknown = configured;
        let mut facts = facts(&writes, &health, &thresholds, PRIMARY, now);
        facts.loss = None;
        assert_eq!(decide(&facts).to, to);
    }
}

#[test]
fn one_witness_is_not_enough() {
    let (health, thresholds, now) = failed();
    let writes = automatic();
    for well in ["primary", "edge"] {
        let mut health = health.clone();
        let target = if well == "primary" {
            &mut health.primary
        } else {
            &mut health.edge
        };
        target.failures = 0;
        let decision = decide(&facts(&writes, &health, &thresholds, PRIMARY, now));
        assert_eq!(
            (decision.to, decision.reason),
            (None, "OneWitness"),
            "{well}"
        );
    }
}

#[test]
fn a_restart_delays_a_move_and_causes_none() {
    let (health, thresholds, now) = failed();
    let restarted = Health {
        primary: Target::remembered(health.primary.state, health.primary.since, now),
        dr: Target::remembered(health.dr.state, health.dr.since, now),
        ..Health::default()
    };
    let writes = automatic();
    let decision = decide(&facts(&writes, &restarted, &thresholds, PRIMARY, now));
    assert_eq!(decision.to, None);
    assert_eq!(restarted.primary.state, RegionHealth::Unhealthy);
}

#[test]
fn in_mode_manual_the_writes_are_where_the_spec_says() {
    let (health, thresholds, now) = failed();
    let writes = Writes {
        active: Role::Dr,
        ..Writes::default()
    };
    let decision = decide(&facts(&writes, &health, &thresholds, PRIMARY, now));
    assert_eq!(decision.to, Some(Role::Dr));
    let there = Role::Dr;
    let decision = decide(&facts(&writes, &health, &thresholds, there, now));
    assert_eq!((decision.to, decision.reason), (None, "AsDeclared"));
}

#[test]
fn nothing_moves_while_moves_are_held() {
    let (health, thresholds, now) = failed();
    let writes = automatic();
    let mut facts = facts(&writes, &health, &thresholds, PRIMARY, now);
    facts.asked.force = Some(Role::Dr);
    facts.held = Some("Suspended");
    assert_eq!(decide(&facts).to, None);
}

#[test]
fn in_mode_manual_what_was_forced_stays_until_it_is_sent_back() {
    let (mut health, thresholds, now) = failed();
    let writes = Writes::default();
    let mut facts = facts(&writes, &health, &thresholds, Role::Dr, now);
    facts.forced = true;
    assert_eq!(decide(&facts).to, None);
    facts.asked.failback = true;
    // The primary is down: not there.
    assert_eq!(decide(&facts).reason, "OtherNotHealthy");
    health.primary = health.dr.clone();
    let mut facts = super::tests::facts(&writes, &health, &thresholds, Role::Dr, now);
    (facts.forced, facts.asked.failback) = (true, true);
    assert_eq!(decide(&facts).to, Some(Role::Primary));
}

/// What comes of a writer that was forced to DR: the decision, and whether it counts as forced after it.
fn forced_to_dr(change: impl FnOnce(&mut Writes, &mut Facts<'_>)) -> (Decision, bool) {
    let (mut health, thresholds, now) = failed();
    health.primary = health.dr.clone();
    health.edge = Target::default();
    let mut writes = Writes::default();
    let asked = writes.clone();
    let mut facts = facts(&asked, &health, &thresholds, Role::Dr, now);
    facts.forced = true;
    change(&mut writes, &mut facts);
    let facts = Facts {
        writes: &writes,
        ..facts
    };
    let decision = decide(&facts);
    let forced = stays_forced(&facts, &decision);
    (decision, forced)
}

#[test]
fn what_was_forced_is_not_forgotten_while_moves_are_held() {
    for held in ["Suspended", "Observed", "Drill"] {
        let (decision, forced) = forced_to_dr(|_, facts| facts.held = Some(held));
        assert_eq!((decision.to, decision.reason, forced), (None, held, true));
    }
}

#[test]
fn in_mode_automatic_what_was_forced_stays_and_is_sent_back_by_hand() {
    for failback in [Failback::Manual, Failback::Automatic] {
        let automatic = |writes: &mut Writes| {
            (writes.mode, writes.failback) = (WritesMode::Automatic, failback);
        };
        let (decision, forced) = forced_to_dr(|writes, _| automatic(writes));
        assert_eq!((decision.to, decision.reason, forced), (None, FORCED, true));
        let (decision, forced) = forced_to_dr(|writes, facts| {
            automatic(writes);
            facts.asked.failback = true;
        });
        assert_eq!((decision.to, forced), (Some(Role::Primary), false));
    }
}

#[test]
fn a_forced_region_that_fails_is_left_as_any_other() {
    let (decision, forced) = forced_to_dr(|writes, facts| {
        writes.mode = WritesMode::Automatic;
        let (broken, ..) = failed();
        (facts.health.dr, facts.health.edge) = (broken.primary, broken.edge);
    });
    assert_eq!(
        (decision.to, decision.reason, forced),
        (Some(Role::Primary), "FailedOver", false)
    );
}

#[test]
fn an_edit_that_wants_the_writes_where_they_were_forced_ends_the_force() {
    for mode in [WritesMode::Manual, WritesMode::Automatic] {
        let (decision, forced) = forced_to_dr(|writes, _| {
            (writes.mode, writes.active) = (mode, Role::Dr);
        });
        assert_eq!((decision.to, forced), (None, false));
    }
}

#[test]
fn what_is_asked_to_be_forced_where_it_is_counts_as_forced() {
    for held in [None, Some("Suspended")] {
        let (_, forced) = forced_to_dr(|_, facts| {
            facts.forced = false;
            facts.asked.force = Some(Role::Dr);
            facts.held = held;
        });
        assert!(forced);
    }
}
