//! What is asked, and what answers add up to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::MultiRegionAppSpec;
use crate::aws::tags::OwnerKey;

fn app(change: impl FnOnce(&mut serde_json::Value)) -> App {
    let mut spec = json!({
        "regions": {"primary": "eu-west-1", "dr": "us-west-2"},
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

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).expect("a time")
}

/// One value a minute, the last of them in the minute before 0.
fn minutes(values: &[f64]) -> Series {
    let first = -i64::try_from(values.len()).expect("few");
    (first..)
        .zip(values)
        .map(|(minute, value)| (at(minute), *value))
        .collect()
}

fn row() -> Row {
    (
        "dynamodb/shop-visits".into(),
        "eu-west-1".into(),
        "us-west-2".into(),
    )
}

fn told(figures: &[(Figure, Series)]) -> Told {
    let mut evidence = Evidence::default();
    for (figure, series) in figures {
        evidence.take(figure.clone(), series.clone());
    }
    evidence.show(at(0))
}

#[test]
fn each_metric_is_asked_where_aws_publishes_it() {
    let queries = queries(&app(|_| ()), "E1");
    let mut asked: Vec<String> = queries
        .iter()
        .map(|query| {
            let dimensions: Vec<&str> = query
                .dimensions
                .iter()
                .map(|(_, value)| value.as_str())
                .collect();
            let (region, metric) = (&query.region, query.metric);
            format!(
                "{region} {metric} {} {}",
                query.statistic,
                dimensions.join(" ")
            )
        })
        .collect();
    asked.sort();
    let buckets = "shop-static-123456789012 shop-static-123456789012-dr multiregion";
    assert_eq!(
        asked,
        [
            format!("eu-west-1 OperationsFailedReplication Sum {buckets}"),
            "eu-west-1 ReplicationLatency Average shop-visits us-west-2".into(),
            "eu-west-1 Throttles Sum shop-primary".into(),
            "eu-west-1 Url5xxCount Sum shop-primary".into(),
            "eu-west-1 UrlRequestCount Sum shop-primary".into(),
            "us-east-1 5xxErrorRate Average E1 Global".into(),
            format!("us-west-2 OperationsPendingReplication Maximum {buckets}"),
            "us-west-2 ReplicationLatency Average shop-visits eu-west-1".into(),
            format!("us-west-2 ReplicationLatency Maximum {buckets}"),
            "us-west-2 Throttles Sum shop-dr".into(),
            "us-west-2 Url5xxCount Sum shop-dr".into(),
            "us-west-2 UrlRequestCount Sum shop-dr".into(),
        ]
    );
    let figures: BTreeSet<&Figure> = queries.iter().map(|query| &query.figure).collect();
    assert_eq!(figures.len(), queries.len(), "each is told from the others");
}

#[test]
fn a_single_region_is_asked_nothing_about() {
    let single = app(|spec| spec["regions"] = json!({"primary": "eu-west-1"}));
    assert_eq!(queries(&single, "E1"), []);
}

#[test]
fn no_datapoint_is_unknown_and_not_zero() {
    let mut evidence = Evidence::default();
    assert_eq!(evidence.lag(&row(), at(0)), None);
    assert_eq!(evidence.show(at(0)), Told::default());
    evidence.take(Figure::Lag(row()), Series::new());
    assert_eq!(evidence.lag(&row(), at(0)), None);
    // Of errors without a count of requests no share is known.
    assert_eq!(
        told(&[(Figure::Errors(Role::Primary), minutes(&[50.0]))]),
        Told::default()
    );
}

#[test]
fn errors_are_a_share_of_the_requests_and_few_say_nothing() {
    let primary = |requests, errors: &[f64]| {
        told(&[
            (Figure::Requests(Role::Primary), minutes(&[requests])),
            (Figure::Errors(Role::Primary), minutes(errors)),
        ])
        .primary_errors
    };
    assert_eq!(primary(100.0, &[10.0, 15.0]), Some(20));
    assert_eq!(primary(10.0, &[4.0]), None);
    assert_eq!(primary(1_000.0, &[20.0]), None);
    // Throttled invocations may not be among the requests.
    let throttled = told(&[
        (Figure::Requests(Role::Dr), minutes(&[0.0])),
        (Figure::Throttles(Role::Dr), minutes(&[5.0])),
    ]);
    assert_eq!(throttled.dr_throttles, Some(100));
    let viewers = told(&[(Figure::ViewersErrors, minutes(&[0.0, 0.0, 60.0]))]);
    assert_eq!(viewers.viewers_errors, Some(20));
}

#[test]
fn a_lag_is_what_the_newest_minutes_agree_on() {
    let lag = |values: &[f64]| {
        let mut evidence = Evidence::default();
        evidence.take(Figure::Lag(row()), minutes(values));
        evidence.lag(&row(), at(0)).map(|lag| lag.as_secs())
    };
    assert_eq!(lag(&[1.0, 1.0, 90.0]), Some(1), "one late write");
    assert_eq!(lag(&[1.0, 90.0, 80.0, 100.0]), Some(80));
    assert_eq!(lag(&[90.0, 90.0, 90.0, 1.0]), Some(1), "it caught up");
    assert_eq!(lag(&[7.0]), Some(7));
    assert_eq!(lag(&[f64::NAN]), None);
}

#[test]
fn failures_count_for_the_window_and_zeros_end_them() {
    let mut evidence = Evidence::default();
    evidence.take(Figure::Failed, vec![(at(-1), 3.0), (at(-2), 4.0)]);
    assert_eq!(evidence.show(at(0)).failed, Some(5));
    evidence.take(
        Figure::Failed,
        vec![(at(-1), 3.0), (at(-2), 4.0), (at(3), 0.0)],
    );
    assert_eq!(evidence.show(at(4)).failed, Some(5), "they are missing yet");
    assert_eq!(evidence.show(at(15)).failed, None);
}

#[test]
fn a_backlog_is_what_was_never_empty() {
    let pending = |values: &[f64]| told(&[(Figure::Pending, minutes(values))]).pending;
    assert_eq!(pending(&[120.0, 300.0, 250.0]), Some(100));
    assert_eq!(
        pending(&[120.0, 0.0, 250.0]),
        None,
        "a release came and went"
    );
    assert_eq!(pending(&[120.0, 300.0]), None, "too early to tell");
}

#[test]
fn what_could_not_be_read_goes_when_it_is_too_old() {
    let mut evidence = Evidence::default();
    evidence.take(Figure::Failed, minutes(&[1.0]));
    evidence.take(Figure::Lag(row()), minutes(&[9.0]));
    assert_eq!(evidence.show(at(5)).failed, Some(1));
    assert!(evidence.lag(&row(), at(5)).is_some());
    assert_eq!(evidence.show(at(15)).failed, None);
    assert_eq!(evidence.lag(&row(), at(15)), None);
}

#[test]
fn what_is_not_asked_any_more_is_dropped() {
    let mut evidence = Evidence::default();
    evidence.take(Figure::Lag(row()), minutes(&[9.0]));
    let other = app(|spec| spec["tables"] = json!([{"name": "orders"}]));
    evidence.keep(&queries(&other, "E1"));
    assert_eq!(evidence.lag(&row(), at(0)), None);
}

/// Random values of every figure, by the minute, some missing.
fn history() -> impl Strategy<Value = Vec<BTreeMap<usize, f64>>> {
    let value = prop_oneof![2 => Just(0.0), 1 => 0.0..10.0, 1 => 0.0..1e6, 1 => Just(f64::NAN)];
    prop::collection::vec(
        prop::collection::btree_map(0..12_usize, value, 0..12),
        1..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_is_told_of_the_same_and_never_more_than_there_was(history in history()) {
        let queries = queries(&app(|_| ()), "E1");
        let (mut evidence, mut again) = (Evidence::default(), Evidence::default());
        let mut all: Vec<Series> = vec![Series::new(); queries.len()];
        for (minute, values) in (0..).zip(&history) {
            for (number, value) in values {
                all[*number].push((at(minute), *value));
            }
            // Whatever order the answers come in.
            for (query, series) in queries.iter().zip(&all) {
                evidence.take(query.figure.clone(), series.clone());
            }
            for (query, series) in queries.iter().zip(&all).rev() {
                again.take(query.figure.clone(), series.iter().rev().copied().collect());
            }
            let now = at(minute + 1);
            let told = evidence.show(now);
            prop_assert_eq!(&told, &again.show(now));
            for share in [told.viewers_errors, told.primary_errors, told.primary_throttles, told.dr_errors, told.dr_throttles] {
                prop_assert!(share != Some(0));
            }
            for (query, series) in queries.iter().zip(&all) {
                let fresh: Vec<f64> = series
                    .iter()
                    .filter(|(at, value)| now.duration_since(*at) < WINDOW && !value.is_nan())
                    .map(|(_, value)| *value)
                    .collect();
                if let Figure::Lag(row) = &query.figure {
                    let largest = fresh.iter().copied().reduce(f64::max);
                    let lag = evidence.lag(row, now);
                    prop_assert_eq!(lag.is_some(), largest.is_some());
                    prop_assert!(lag.is_none_or(|lag| lag.as_secs_f64() <= largest.unwrap_or_default() + 1e-6));
                }
                if query.figure == Figure::Failed {
                    prop_assert_eq!(told.failed.is_some(), fresh.iter().sum::<f64>() >= 1.0);
                }
            }
        }
    }

    #[test]
    fn nothing_ticks_where_nothing_changes(value in 0.0..1e6_f64, minutes in 20..60_i64) {
        let queries = queries(&app(|_| ()), "E1");
        let mut evidence = Evidence::default();
        let mut shown = BTreeSet::new();
        for minute in 15..minutes {
            for query in &queries {
                let series = (minute - 15..minute).map(|minute| (at(minute), value)).collect();
                evidence.take(query.figure.clone(), series);
            }
            let told = evidence.show(at(minute));
            shown.insert(format!("{told:?}"));
        }
        prop_assert_eq!(shown.len(), 1);
    }

    #[test]
    fn a_lag_past_the_objective_needs_minutes_that_agree(values in prop::collection::vec(0.0..120.0_f64, 3..30)) {
        let mut evidence = Evidence::default();
        let objective = SignedDuration::from_secs(60);
        for end in 3..=values.len() {
            let newest = (0..).zip(&values[..end]).map(|(minute, value)| (at(minute), *value)).collect();
            evidence.take(Figure::Lag(row()), newest);
            let now = at(i64::try_from(end).expect("few"));
            let exceeded = evidence.lag(&row(), now).is_some_and(|lag| lag > objective);
            prop_assert_eq!(exceeded, values[end - 3..end].iter().all(|value| *value > 60.0));
        }
    }
}
