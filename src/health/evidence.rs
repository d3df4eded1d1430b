//! What CloudWatch says of an app: which figures are asked for, and what they add up to. Pure.
//!
//! It stands beside the probes and heartbeats, minutes old and about everything that users do, and so sees what those
//! cannot: errors on other paths, throttles, late writes under other keys, files that did not replicate. It turns no
//! region's state. Where there is no datapoint nothing is known, and nothing is told.

mod steady;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::lag::Row;
use crate::api::Role;
use crate::app::{App, Site};
use crate::aws::{REPLICATION_RULE, US_EAST_1};
use steady::{Steady, at_least, share};

/// Datapoints count for so long. They come minutes late.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// A lag is one that so many minutes in a row agree on: a single late write is none.
const LATE_MINUTES: usize = 3;
/// A backlog is what was never empty in so many minutes.
const BACKLOG_MINUTES: usize = 3;
/// Fewer errors than these say nothing, whatever share they are of.
const FEWEST_ERRORS: f64 = 5.0;

/// What a metric is to us.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Figure {
    /// Requests to a region's function URL.
    Requests(Role),
    /// Those that were answered 5xx.
    Errors(Role),
    /// Invocations of a region's function that were throttled.
    Throttles(Role),
    /// Share of the viewers' requests that were answered 5xx, in per cent.
    ViewersErrors,
    /// Lag of a replication, in seconds.
    Lag(Row),
    /// Operations of the static bucket that wait for replication.
    Pending,
    /// Those that failed to replicate.
    Failed,
}

/// One metric to be read, by the minute.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// What it is to us.
    pub figure: Figure,
    /// Where it is published.
    pub region: String,
    /// As CloudWatch names it.
    pub namespace: &'static str,
    /// As CloudWatch names it.
    pub metric: &'static str,
    /// Names and values.
    pub dimensions: Vec<(&'static str, String)>,
    /// As CloudWatch names it.
    pub statistic: &'static str,
    /// How much of our unit one of the metric's is.
    pub unit: f64,
}

/// Datapoints, in any order.
pub type Series = Vec<(Timestamp, f64)>;

/// All that is asked for an app with this distribution: nothing in a single region, where nothing would be told.
pub fn queries(app: &App, distribution: &str) -> Vec<Query> {
    let Some(dr) = &app.dr else {
        return Vec::new();
    };
    let mut queries = vec![Query {
        figure: Figure::ViewersErrors,
        region: US_EAST_1.into(),
        namespace: "AWS/CloudFront",
        metric: "5xxErrorRate",
        dimensions: vec![
            ("DistributionId", distribution.into()),
            ("Region", "Global".into()),
        ],
        statistic: "Average",
        unit: 1.0,
    }];
    for site in app.sites() {
        queries.extend(of_function(site));
    }
    for table in &app.tables {
        queries.push(of_table(&table.name, &app.primary, dr));
        queries.push(of_table(&table.name, dr, &app.primary));
    }
    queries.extend(of_static_files(&app.primary, dr));
    queries
}

fn of_function(site: &Site) -> [Query; 3] {
    [
        (Figure::Requests(site.role), "UrlRequestCount"),
        (Figure::Errors(site.role), "Url5xxCount"),
        (Figure::Throttles(site.role), "Throttles"),
    ]
    .map(|(figure, metric)| Query {
        figure,
        region: site.region.clone(),
        namespace: "AWS/Lambda",
        metric,
        dimensions: vec![("FunctionName", site.function.clone())],
        statistic: "Sum",
        unit: 1.0,
    })
}

/// Published in the region that is written to.
fn of_table(name: &str, from: &Site, to: &Site) -> Query {
    Query {
        figure: Figure::Lag((
            format!("dynamodb/{name}"),
            from.region.clone(),
            to.region.clone(),
        )),
        region: from.region.clone(),
        namespace: "AWS/DynamoDB",
        metric: "ReplicationLatency",
        dimensions: vec![
            ("TableName", name.into()),
            ("ReceivingRegion", to.region.clone()),
        ],
        statistic: "Average",
        unit: 0.001,
    }
}

/// Failures are published in the source's region, all else in the destination's.
fn of_static_files(from: &Site, to: &Site) -> [Query; 3] {
    let row = (
        format!("s3/{}", from.static_bucket),
        from.region.clone(),
        to.region.clone(),
    );
    [
        (Figure::Lag(row), to, "ReplicationLatency", "Maximum"),
        (
            Figure::Pending,
            to,
            "OperationsPendingReplication",
            "Maximum",
        ),
        (Figure::Failed, from, "OperationsFailedReplication", "Sum"),
    ]
    .map(|(figure, site, metric, statistic)| Query {
        figure,
        region: site.region.clone(),
        namespace: "AWS/S3",
        metric,
        dimensions: vec![
            ("SourceBucket", from.static_bucket.clone()),
            ("DestinationBucket", to.static_bucket.clone()),
            ("RuleId", REPLICATION_RULE.into()),
        ],
        statistic,
        unit: 1.0,
    })
}

/// What was read of an app, and what of it is shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evidence {
    series: BTreeMap<Figure, Series>,
    viewers_errors: Steady,
    primary: [Steady; 2],
    dr: [Steady; 2],
    failed: Steady,
    pending: Steady,
}

/// What the evidence comes to, each *at least*, in steps that do not tick. What is not worth a word, or not known, is
/// absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Per cent of the viewers' requests that were answered 5xx.
    pub viewers_errors: Option<u64>,
    /// Per cent of the primary function's requests that were answered 5xx.
    pub primary_errors: Option<u64>,
    /// Per cent of the primary function's requests that were throttled.
    pub primary_throttles: Option<u64>,
    /// Per cent of the DR function's requests that were answered 5xx.
    pub dr_errors: Option<u64>,
    /// Per cent of the DR function's requests that were throttled.
    pub dr_throttles: Option<u64>,
    /// Operations of the static bucket that failed to replicate.
    pub failed: Option<u64>,
    /// Operations of the static bucket that wait, and did for minutes.
    pub pending: Option<u64>,
}

impl Evidence {
    /// Drops what is not asked for any more.
    pub fn keep(&mut self, asked: &[Query]) {
        self.series
            .retain(|figure, _| asked.iter().any(|query| query.figure == *figure));
    }

    /// Takes up what was read. What could not be read keeps what it had, until that is too old.
    pub fn take(&mut self, figure: Figure, series: Series) {
        self.series.insert(figure, series);
    }

    /// The lag of a replication: what its newest minutes agree on.
    pub fn lag(&self, row: &Row, now: Timestamp) -> Option<SignedDuration> {
        let newest = self.newest(&Figure::Lag(row.clone()), now);
        let seconds = newest.into_iter().take(LATE_MINUTES).reduce(f64::min)?;
        SignedDuration::try_from_secs_f64(seconds.max(0.0)).ok()
    }

    /// What there is to tell after a reading, or an attempt at one.
    pub fn show(&mut self, now: Timestamp) -> Told {
        let viewers = mean(&self.newest(&Figure::ViewersErrors, now));
        let of_role = |role| {
            [Figure::Errors(role), Figure::Throttles(role)].map(|part| self.share(&part, role, now))
        };
        let (primary, dr) = (of_role(Role::Primary), of_role(Role::Dr));
        let failed = sum(&self.newest(&Figure::Failed, now));
        let pending = backlog(&self.newest(&Figure::Pending, now));
        let shares = |steady: &mut Steady, per_cent: Option<f64>| {
            let seen = per_cent.and_then(|per_cent| share(per_cent, steady.shown().is_some()));
            steady.look(seen)
        };
        let [primary_errors, primary_throttles] =
            [0, 1].map(|part| shares(&mut self.primary[part], primary[part]));
        let [dr_errors, dr_throttles] = [0, 1].map(|part| shares(&mut self.dr[part], dr[part]));
        Told {
            viewers_errors: shares(&mut self.viewers_errors, viewers),
            primary_errors,
            primary_throttles,
            dr_errors,
            dr_throttles,
            failed: self.failed.look(failed.and_then(at_least)),
            pending: self.pending.look(pending.and_then(at_least)),
        }
    }

    /// Per cent of a function's requests; nothing where nobody knows how many there were.
    fn share(&self, part: &Figure, role: Role, now: Timestamp) -> Option<f64> {
        let whole = sum(&self.newest(&Figure::Requests(role), now))?;
        let part = sum(&self.newest(part, now))?;
        (part >= FEWEST_ERRORS).then(|| 100.0 * part / whole.max(part))
    }

    /// The values that still count, the newest first.
    fn newest(&self, figure: &Figure, now: Timestamp) -> Vec<f64> {
        let mut series: Series = self.series.get(figure).cloned().unwrap_or_default();
        series.retain(|(at, value)| value.is_finite() && now.duration_since(*at) < WINDOW);
        series.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        series.into_iter().map(|(_, value)| value).collect()
    }
}

fn sum(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|one, other| one + other)
}

fn mean(values: &[f64]) -> Option<f64> {
    sum(values).map(|sum| sum / values.len() as f64)
}

/// What never was less in the window: a replication at work is empty again within a minute or two.
fn backlog(values: &[f64]) -> Option<f64> {
    let smallest = values.iter().copied().reduce(f64::min)?;
    (values.len() >= BACKLOG_MINUTES).then_some(smallest)
}

#[cfg(test)]
mod tests;
