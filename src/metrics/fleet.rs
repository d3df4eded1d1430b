//! What `/metrics` tells of the apps as a whole. Each app is known by its uid here, and what is exposed is folded over all
//! of them when it is asked for: counts, and the oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::health::lag::Row;

/// A difference that was found so often ...
const RECURS: usize = 3;
/// ... within this time, though it was put right in between, comes from somebody who does not agree.
const RECURRENCE: SignedDuration = SignedDuration::from_hours(6);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ConditionLabels {
    r#type: String,
    status: String,
    reason: String,
}

/// A condition of an app.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// Such as `Ready`.
    pub name: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// Why, in one word.
    pub reason: &'a str,
    /// Since when it has this status.
    pub since: Timestamp,
}

/// A kind of resource, and what is to be done to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct Drift {
    pub(super) kind: String,
    pub(super) change: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Lag {
    service: String,
    from: String,
    to: String,
}

/// What is known of one app.
#[derive(Debug)]
struct Known {
    /// End of the last pass that AWS answered; until then, when the app was first seen.
    passed: Timestamp,
    conditions: Vec<(ConditionLabels, Timestamp)>,
    lags: Vec<(Lag, SignedDuration)>,
    /// End of the last drill that went well, or the app's creation; none where there is nothing to drill.
    drilled: Option<Timestamp>,
    /// Differences by what is to be done to which resource, and when each was found.
    found: HashMap<String, (Drift, Vec<Timestamp>)>,
}

/// The apps that this process works on, by uid.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet(Arc<Mutex<HashMap<String, Known>>>);

impl Fleet {
    fn apps(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An app is there.
    pub(super) fn seen(&self, uid: &str, now: Timestamp) {
        let new = || Known {
            passed: now,
            conditions: Vec::new(),
            lags: Vec::new(),
            drilled: None,
            found: HashMap::new(),
        };
        self.apps().entry(uid.into()).or_insert_with(new);
    }

    /// No other apps than these are there.
    pub(super) fn forget(&self, uid: &str) {
        self.apps().remove(uid);
    }

    /// Of an app that is gone, whatever comes late is not kept.
    fn of(&self, uid: &str, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.apps().get_mut(uid) {
            change(known);
        }
    }

    pub(super) fn passed(&self, uid: &str, now: Timestamp) {
        self.of(uid, |known| known.passed = now);
    }

    pub(super) fn drilled(&self, uid: &str, last: Option<Timestamp>) {
        self.of(uid, |known| known.drilled = last);
    }

    pub(super) fn conditions<'a>(
        &self,
        uid: &str,
        conditions: impl Iterator<Item = Condition<'a>>,
    ) {
        let now = conditions.map(|condition| {
            let labels = ConditionLabels {
                r#type: condition.name.into(),
                status: condition.status.into(),
                reason: condition.reason.into(),
            };
            (labels, condition.since)
        });
        self.of(uid, |known| known.conditions = now.collect());
    }

    pub(super) fn lags(&self, uid: &str, lags: impl Iterator<Item = (Row, SignedDuration)>) {
        let now = lags.map(|((source, from, to), lag)| {
            let service = source.split('/').next().unwrap_or_default().to_owned();
            (Lag { service, from, to }, lag)
        });
        self.of(uid, |known| known.lags = now.collect());
    }

    pub(super) fn drift(&self, uid: &str, step: &str, drift: Drift, now: Timestamp) {
        self.of(uid, |known| {
            let found = &mut known.found;
            found.retain(|_, (_, times)| {
                times.retain(|&time| now.duration_since(time) < RECURRENCE);
                !times.is_empty()
            });
            let (_, times) = found
                .entry(step.into())
                .or_insert_with(|| (drift, Vec::new()));
            times.push(now);
        });
    }

    fn fold(&self, now: Timestamp) -> Folded {
        let mut folded = Folded::default();
        for known in self.apps().values() {
            folded.passed = earlier(folded.passed, Some(known.passed));
            folded.drilled = earlier(folded.drilled, known.drilled);
            for (labels, since) in &known.conditions {
                *folded.conditions.entry(labels.clone()).or_default() += 1;
                let oldest = folded.since.entry(labels.clone()).or_insert(*since);
                *oldest = (*oldest).min(*since);
            }
            for (labels, lag) in &known.lags {
                let longest = folded.lags.entry(labels.clone()).or_insert(*lag);
                *longest = (*longest).max(*lag);
            }
            for (drift, times) in known.found.values() {
                let recent = times
                    .iter()
                    .filter(|&&time| now.duration_since(time) < RECURRENCE);
                if recent.count() >= RECURS {
                    *folded.recurring.entry(drift.clone()).or_default() += 1;
                }
            }
        }
        folded
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What is told of all apps together.
#[derive(Default)]
struct Folded {
    conditions: BTreeMap<ConditionLabels, i64>,
    since: BTreeMap<ConditionLabels, Timestamp>,
    lags: BTreeMap<Lag, SignedDuration>,
    recurring: BTreeMap<Drift, i64>,
    passed: Option<Timestamp>,
    drilled: Option<Timestamp>,
}

impl Collector for Fleet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let folded = self.fold(Timestamp::now());
        gauges(
            &mut encoder,
            "conditions",
            "Apps by condition, its status and its reason",
            None,
            &folded.conditions,
            |&count| count,
        )?;
        gauges(
            &mut encoder,
            "oldest_condition_timestamp",
            "Of the apps with that condition, status and reason the longest ago: when it got that status",
            Some(&Unit::Seconds),
            &folded.since,
            |since| since.as_second(),
        )?;
        gauges(
            &mut encoder,
            "replication_lag",
            "The longest replication lag of any app, by what is replicated and where to",
            Some(&Unit::Seconds),
            &folded.lags,
            SignedDuration::as_secs_f64,
        )?;
        gauges(
            &mut encoder,
            "drift_recurring",
            "Differences that were put right and came back, three times or more in six hours",
            None,
            &folded.recurring,
            |&count| count,
        )?;
        time(
            &mut encoder,
            "oldest_pass_timestamp",
            "Of all apps the longest ago: end of the last pass that AWS answered",
            folded.passed,
        )?;
        time(
            &mut encoder,
            "oldest_drill_timestamp",
            "Of all apps with a DR region the longest ago: end of the last drill that succeeded, or the app's creation",
            folded.drilled,
        )
    }
}

fn gauges<L: EncodeLabelSet, V, N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: &BTreeMap<L, V>,
    number: impl Fn(&V) -> N,
) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(labels)?.encode_gauge(&number(value))?;
    }
    Ok(())
}

/// Seconds since 1970; nothing where there is no app.
fn time(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    time: Option<Timestamp>,
) -> Result<(), std::fmt::Error> {
    let unit = Unit::Seconds;
    let mut metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
    match time {
        Some(time) => metric.encode_gauge(&time.as_second()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time that there is")
    }

    fn drift() -> Drift {
        Drift {
            kind: "lambda_function".into(),
            change: "update".into(),
        }
    }

    #[test]
    fn the_app_whose_last_pass_is_longest_ago_is_told_until_it_is_gone() {
        let fleet = Fleet::default();
        assert_eq!(
            fleet.fold(at(0)).passed,
            None,
            "no app, no pass to wait for"
        );
        fleet.seen("a", at(0));
        fleet.seen("b", at(10));
        fleet.passed("a", at(600));
        assert_eq!(fleet.fold(at(600)).passed, Some(at(10)), "b has had none");
        fleet.seen("b", at(700));
        assert_eq!(fleet.fold(at(700)).passed, Some(at(10)), "b is not new");
        fleet.passed("b", at(720));
        assert_eq!(fleet.fold(at(720)).passed, Some(at(600)));
        fleet.forget("a");
        assert_eq!(fleet.fold(at(720)).passed, Some(at(720)));
        fleet.forget("b");
        fleet.passed("b", at(730));
        assert_eq!(fleet.fold(at(730)).passed, None, "what is gone stays gone");
    }

    #[test]
    fn an_app_without_a_dr_region_owes_no_drill() {
        let fleet = Fleet::default();
        for (uid, drilled) in [("a", Some(at(50))), ("b", Some(at(20))), ("c", None)] {
            fleet.seen(uid, at(0));
            fleet.drilled(uid, drilled);
        }
        assert_eq!(fleet.fold(at(100)).drilled, Some(at(20)));
        fleet.drilled("b", None);
        assert_eq!(fleet.fold(at(100)).drilled, Some(at(50)));
    }

    #[test]
    fn of_all_apps_the_longest_lag_is_told_until_the_app_is_gone() {
        let fleet = Fleet::default();
        let lags = |uid: &str, seconds: &[i64]| {
            fleet.seen(uid, at(0));
            let row = |table| {
                let source = format!("dynamodb/{uid}-{table}");
                (source, "us-east-1".to_owned(), "us-west-2".to_owned())
            };
            let seconds = seconds
                .iter()
                .map(|&second| SignedDuration::from_secs(second));
            fleet.lags(
                uid,
                seconds.enumerate().map(|(table, lag)| (row(table), lag)),
            );
        };
        let longest = || {
            let folded = fleet.fold(at(0)).lags;
            folded
                .into_values()
                .map(|lag| lag.as_secs())
                .collect::<Vec<_>>()
        };
        lags("a", &[1, 300]);
        lags("b", &[2]);
        assert_eq!(longest(), [300], "one from here to there, of all tables");
        lags("a", &[1]);
        assert_eq!(longest(), [2]);
        fleet.forget("b");
        assert_eq!(longest(), [1]);
        lags("a", &[]);
        assert_eq!(longest(), [0_i64; 0]);
    }

    #[test]
    fn a_difference_recurs_when_the_same_is_found_three_times_in_six_hours() {
        let fleet = Fleet::default();
        fleet.seen("a", at(0));
        fleet.seen("b", at(0));
        let recurring = |now| fleet.fold(at(now)).recurring;
        for second in [0, 600] {
            fleet.drift("a", "update lambda_function/x", drift(), at(second));
            fleet.drift("b", "update lambda_function/x", drift(), at(second));
            fleet.drift("a", "update lambda_function/y", drift(), at(second));
        }
        assert_eq!(recurring(600), BTreeMap::new(), "each was found twice");
        fleet.drift("a", "update lambda_function/x", drift(), at(1200));
        assert_eq!(recurring(1200), BTreeMap::from([(drift(), 1)]));
        assert_eq!(
            recurring(6 * 3600),
            BTreeMap::new(),
            "the first is long ago"
        );
    }

    #[test]
    fn apps_are_counted_under_their_newest_conditions_with_the_oldest_of_each() {
        let fleet = Fleet::default();
        let ready = |status, reason, since| Condition {
            name: "Ready",
            status,
            reason,
            since: at(since),
        };
        for (uid, since) in [("a", 30), ("b", 10), ("c", 20)] {
            fleet.seen(uid, at(0));
            fleet.conditions(uid, [ready("True", "Converged", since)].into_iter());
        }
        fleet.conditions("b", [ready("False", "NotServing", 40)].into_iter());
        let folded = fleet.fold(at(50));
        let told: Vec<(String, i64, Timestamp)> = folded
            .conditions
            .into_iter()
            .zip(folded.since.into_values())
            .map(|((labels, count), since)| (labels.reason, count, since))
            .collect();
        let expected = [
            ("NotServing".into(), 1, at(40)),
            ("Converged".into(), 2, at(20)),
        ];
        assert_eq!(told, expected);
    }
}
