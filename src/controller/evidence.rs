//! Reads CloudWatch for all apps together, beside everything else: what it says is told, and nothing waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Context;
use super::watch::{Watch, tell};
use crate::api::MultiRegionApp;
use crate::aws::tags::OwnerKey;
use crate::aws::{Aws, Pass};
use crate::health::cloudwatch::{self, MOST_QUERIES};
use crate::health::evidence::{self, Figure, Query, Series};
use crate::model::{Failure, FailureKind};

/// Between two readings of an app, unless told otherwise: AWS bills each metric.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// While one of its regions is unhealthy an app is read so many times as often.
pub(super) const HURRY: u32 = 5;
/// New apps are waited for so long, to be read together: after a start all are new.
const GATHER: Duration = Duration::from_secs(1);

/// An app that is due, and what is asked for it.
struct Due {
    watch: Arc<Watch>,
    app: Arc<MultiRegionApp>,
    /// The account that it acts in.
    aws: Arc<Aws>,
    queries: Vec<Query>,
}

/// An account, by its number, and a region: what one call can read.
type Place<'a> = (usize, &'a str);
/// What is asked, with the number of the app that it is asked for.
type Asked<'a> = Vec<(usize, &'a Query)>;

/// Readings, `every` so often an app, until the process ends; none at all if that is zero.
pub(super) async fn readings(context: Arc<Context>, every: Duration) {
    if every.is_zero() {
        return none(&context).await;
    }
    let mut readings = Readings::default();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                readings.turn += 1;
                next = Instant::now() + every / HURRY;
            }
            () = context.watches.begun.notified() => tokio::time::sleep(GATHER).await,
        }
        readings.read(&context).await;
    }
}

/// Where nothing is read, nobody waits for the first reading.
async fn none(context: &Context) {
    loop {
        context.watches.begun.notified().await;
        for watch in context.watches.now() {
            watch.without_figures();
        }
    }
}

/// Between readings.
#[derive(Default)]
struct Readings {
    /// Counts the moments at which apps may be due; all apps have the same, so that they are read together.
    turn: u64,
    /// The turn of each app's last reading, by uid.
    read: HashMap<String, u64>,
    /// Why CloudWatch could not be read, by account and region, as it was last logged.
    failing: HashMap<(String, String), FailureKind>,
}

impl Readings {
    async fn read(&mut self, context: &Arc<Context>) {
        let due = self.due(context).await;
        if due.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let of_apps = due.iter().map(|due| {
            let account = due.aws.number();
            (account, due.queries.as_slice())
        });
        let mut places: BTreeMap<Place<'_>, (Pass, Asked<'_>)> = BTreeMap::new();
        for (place, asked) in by_place(of_apps) {
            // All who are asked for at one place act in one account.
            if let Some((app, _)) = asked.first() {
                let pass = process(&due[*app].aws, &context.cluster);
                places.insert(place, (pass, asked));
            }
        }
        let of_places = places
            .iter()
            .map(|((_, region), (pass, asked))| of_region(pass, region, asked, now));
        let read = join_all(of_places).await;
        let mut answers: Vec<Vec<(Figure, Series)>> = due.iter().map(|_| Vec::new()).collect();
        for (((_, region), (pass, _)), (read, failure)) in places.iter().zip(read) {
            let account = pass.aws().account(pass, region).await.unwrap_or_default();
            self.note(account, region, failure);
            for (app, figure, series) in read {
                answers[app].push((figure, series));
            }
        }
        for (due, read) in due.iter().zip(answers) {
            let metrics = &context.health.metrics;
            due.watch
                .take_figures(&due.app, &due.queries, read, now, metrics);
        }
        join_all(due.iter().map(|due| tell(context, &due.watch))).await;
    }

    /// The apps that are due, and have something to be asked about.
    async fn due(&mut self, context: &Arc<Context>) -> Vec<Due> {
        let watches = context.watches.now();
        let living = watches.into_iter().filter_map(|watch| {
            let app = context.living(&watch)?;
            let uid = app.metadata.uid.clone()?;
            Some((uid, watch, app))
        });
        let living: Vec<_> = living.collect();
        self.read
            .retain(|uid, _| living.iter().any(|(living, ..)| living == uid));
        let asking = living
            .into_iter()
            .filter(|(uid, watch, _)| self.is_due(uid, watch.is_unhealthy()))
            .map(async |(uid, watch, app)| {
                let queries = queries(context, &app).await;
                let Some(aws) = context.aws(&app).ok().filter(|_| !queries.is_empty()) else {
                    watch.nothing_to_ask(&app, &context.health.metrics);
                    return None;
                };
                let due = Due {
                    aws,
                    watch,
                    app,
                    queries,
                };
                Some((uid, due))
            });
        let due: Vec<(String, Due)> = join_all(asking).await.into_iter().flatten().collect();
        let turn = self.turn;
        self.read
            .extend(due.iter().map(|(uid, _)| (uid.clone(), turn)));
        due.into_iter().map(|(_, due)| due).collect()
    }

    fn is_due(&self, uid: &str, unhealthy: bool) -> bool {
        let between = if unhealthy { 1 } else { u64::from(HURRY) };
        self.read
            .get(uid)
            .is_none_or(|read| self.turn - read >= between)
    }

    /// Says once that a region's CloudWatch cannot be read, and why.
    fn note(&mut self, account: String, region: &str, failure: Option<Failure>) {
        let place = (account.clone(), region.to_owned());
        let Some(failure) = failure else {
            self.failing.remove(&place);
            return;
        };
        if self.failing.insert(place, failure.kind) != Some(failure.kind) {
            tracing::warn!(account, region, error = %failure, "CloudWatch cannot be read: conditions go by probes and heartbeats alone");
        }
    }
}

/// What is asked at each place.
fn by_place<'a>(
    apps: impl Iterator<Item = (usize, &'a [Query])>,
) -> BTreeMap<Place<'a>, Asked<'a>> {
    let mut places: BTreeMap<Place<'a>, Asked<'a>> = BTreeMap::new();
    for (app, (account, queries)) in apps.enumerate() {
        for query in queries {
            let place = (account, query.region.as_str());
            places.entry(place).or_default().push((app, query));
        }
    }
    places
}

/// What is asked for an app that has a distribution.
async fn queries(context: &Context, app: &MultiRegionApp) -> Vec<Query> {
    let distribution = app
        .status
        .as_ref()
        .and_then(|status| status.distribution.as_ref());
    let Some(distribution) = distribution.filter(|_| app.spec.regions.dr.is_some()) else {
        return Vec::new();
    };
    match context.parsed(app).await {
        Ok(parsed) => evidence::queries(&parsed, &distribution.id),
        Err(_) => Vec::new(),
    }
}

/// What one region says, and why not all of it.
async fn of_region(
    pass: &Pass,
    region: &str,
    asked: &[(usize, &Query)],
    now: Timestamp,
) -> (Vec<(usize, Figure, Series)>, Option<Failure>) {
    let mut all = Vec::new();
    for some in asked.chunks(MOST_QUERIES) {
        let queries: Vec<&Query> = some.iter().map(|(_, query)| *query).collect();
        let read = match cloudwatch::read(pass, region, &queries, now).await {
            Ok(read) => read,
            Err(failure) => return (all, Some(failure)),
        };
        let named = some.iter().zip(read);
        all.extend(named.map(|((app, query), series)| (*app, query.figure.clone(), series)));
    }
    (all, None)
}

/// A pass on behalf of no one app.
fn process(aws: &Arc<Aws>, cluster: &str) -> Pass {
    let owner = OwnerKey {
        cluster: cluster.to_owned(),
        namespace: String::new(),
        name: String::new(),
    };
    Pass::new(aws.clone(), owner, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_due_every_fifth_turn_a_sick_one_at_each_and_a_new_one_at_once() {
        let mut readings = Readings {
            turn: 7,
            ..Readings::default()
        };
        assert!(readings.is_due("new", false));
        readings.read.insert("read".into(), 7);
        let due = |readings: &Readings, unhealthy| readings.is_due("read", unhealthy);
        assert!(!due(&readings, true), "twice in one turn");
        let turns: Vec<(u64, bool, bool)> = (8..=12)
            .map(|turn| {
                readings.turn = turn;
                (turn, due(&readings, false), due(&readings, true))
            })
            .collect();
        let expected = (8..=12).map(|turn| (turn, turn == 12, true));
        assert!(turns.iter().copied().eq(expected), "{turns:?}");
    }

    #[test]
    fn all_apps_of_an_account_share_the_calls_of_a_region() {
        let query = |region: &str| Query {
            figure: Figure::Pending,
            region: region.into(),
            namespace: "AWS/S3",
            metric: "OperationsPendingReplication",
            dimensions: Vec::new(),
            statistic: "Maximum",
            unit: 1.0,
        };
        let apps: Vec<Vec<Query>> = (0..240)
            .map(|_| {
                let regions = ["us-east-1", "us-west-2"].into_iter();
                regions.flat_map(|region| vec![query(region); 6]).collect()
            })
            .collect();
        // Every other one acts in another account.
        let of_accounts = (0..)
            .zip(&apps)
            .map(|(app, queries)| (app % 2, queries.as_slice()));
        let places = by_place(of_accounts);
        assert_eq!(places.len(), 4);
        for ((account, _), asked) in &places {
            assert_eq!(asked.len(), 720);
            assert_eq!(asked.chunks(MOST_QUERIES).count(), 2, "not 120");
            assert!(asked.iter().all(|(app, _)| app % 2 == *account));
        }
    }
}
