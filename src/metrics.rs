//! What `/metrics` tells. Labels are bounded: kinds, regions, operations, outcomes; never names.

mod fleet;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::aws::{CallRecord, Record};
use crate::health::Sample;
use crate::health::lag::Row;
use crate::model::FailureKind;
pub use fleet::Condition;
use fleet::{Drift, Fleet};

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconcile, Counter>,
    reconcile_seconds: Histogram,
    aws_calls: Family<AwsCall, Counter>,
    aws_seconds: Family<AwsService, Histogram, fn() -> Histogram>,
    aws_wait: Family<AwsRegion, Counter<f64, AtomicU64>>,
    aws_throttles: Family<AwsRegion, Counter>,
    shared_reads: Family<SharedRead, Counter>,
    drift: Family<Drift, Counter>,
    writes: Family<Drift, Counter>,
    probes: Family<Probed, Counter>,
    leader: Gauge,
    shards: Gauge,
    shards_configured: Gauge,
    fleet: Fleet,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsCall {
    service: String,
    operation: String,
    region: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsService {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsRegion {
    service: String,
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SharedRead {
    read: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Probed {
    target: String,
    outcome: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram =
            || Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);
        let mut registry = Registry::with_prefix("multiregion");
        let reconciles = Family::default();
        registry.register(
            "reconciles",
            "Passes over an app, by how they ended",
            reconciles.clone(),
        );
        let reconcile_seconds = Histogram::new([0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        registry.register_with_unit(
            "reconcile",
            "Time of a pass",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        let aws_calls = Family::default();
        registry.register(
            "aws_calls",
            "Calls to AWS, retries of the SDK not counted",
            aws_calls.clone(),
        );
        let aws_seconds = Family::new_with_constructor(histogram);
        registry.register_with_unit(
            "aws_call",
            "Time of a call to AWS",
            Unit::Seconds,
            aws_seconds.clone(),
        );
        let aws_wait = Family::default();
        registry.register_with_unit(
            "aws_wait",
            "Time that calls to AWS waited for their turn under the account's rate limits",
            Unit::Seconds,
            aws_wait.clone(),
        );
        let aws_throttles = Family::default();
        registry.register(
            "aws_throttles",
            "Calls that AWS refused because there were too many",
            aws_throttles.clone(),
        );
        let shared_reads = Family::default();
        registry.register(
            "shared_reads",
            "Readings that all apps of an account share, by whether one was there (hit) or had to be made (miss)",
            shared_reads.clone(),
        );
        let drift = Family::default();
        registry.register(
            "drift",
            "Differences found in an app that was converged",
            drift.clone(),
        );
        let writes = Family::default();
        registry.register("applied", "Changes made in AWS", writes.clone());
        let probes = Family::default();
        registry.register(
            "probes",
            "Probes, by target (primary, dr, edge) and what they came to",
            probes.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader",
            "Whether this process does the work (1) or stands by (0)",
            leader.clone(),
        );
        let shards = Gauge::default();
        registry.register(
            "shards",
            "Shards that this process does the work of; without sharding there is one",
            shards.clone(),
        );
        let shards_configured = Gauge::default();
        registry.register(
            "shards_configured",
            "Shards that the apps are spread over, as this process was told; without sharding there is one",
            shards_configured.clone(),
        );
        let fleet = Fleet::default();
        registry.register_collector(Box::new(fleet.clone()));
        Self {
            registry,
            reconciles,
            reconcile_seconds,
            aws_calls,
            aws_seconds,
            aws_wait,
            aws_throttles,
            shared_reads,
            drift,
            writes,
            probes,
            leader,
            shards,
            shards_configured,
            fleet,
        }
    }
}

impl Metrics {
    /// Tells the lags of the app `uid`, in place of those it had, by source, from and to: a source begins with the service,
    /// as in `dynamodb/shop-visits`.
    pub fn lags(&self, uid: &str, lags: impl Iterator<Item = (Row, SignedDuration)>) {
        self.fleet.lags(uid, lags);
    }

    /// Counts a probe of `target`.
    pub fn probe(&self, target: &str, sample: &Sample) {
        let outcome = match sample {
            Sample::Healthy => "healthy",
            Sample::Unhealthy(_) => "unhealthy",
            Sample::Silent(_) => "silent",
            Sample::Unreachable(_) => "unreachable",
        };
        let labels = Probed {
            target: target.into(),
            outcome: outcome.into(),
        };
        self.probes.get_or_create(&labels).inc();
    }

    /// Counts what was done at AWS.
    pub fn aws(&self, record: &Record) {
        match record {
            Record::Call(call) => self.aws_call(call),
            Record::Shared { read, hit } => {
                let outcome = if *hit { "hit" } else { "miss" };
                let labels = SharedRead { read, outcome };
                self.shared_reads.get_or_create(&labels).inc();
            }
        }
    }

    fn aws_call(&self, call: &CallRecord) {
        let outcome = call.failure.map_or("ok", FailureKind::word);
        self.aws_calls
            .get_or_create(&AwsCall {
                service: call.service.into(),
                operation: call.operation.into(),
                region: call.region.clone(),
                outcome: outcome.into(),
            })
            .inc();
        let service = AwsService {
            service: call.service.into(),
        };
        let region = AwsRegion {
            service: call.service.into(),
            region: call.region.clone(),
        };
        self.aws_wait
            .get_or_create(&region)
            .inc_by(call.waited.as_secs_f64());
        self.aws_seconds
            .get_or_create(&service)
            .observe(call.elapsed.as_secs_f64());
        if call.throttles > 0 {
            self.aws_throttles
                .get_or_create(&region)
                .inc_by(call.throttles.into());
        }
    }

    /// Counts a pass. `outcome` is one of a few words.
    pub fn reconcile(&self, outcome: &str, elapsed: Duration) {
        self.reconciles
            .get_or_create(&Reconcile {
                outcome: outcome.into(),
            })
            .inc();
        self.reconcile_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts a difference found in the app `uid`, which was converged. `step` tells it from others of the app.
    pub fn drift(&self, uid: &str, step: &str, kind: &str, change: &str, now: Timestamp) {
        let labels = Drift {
            kind: kind.into(),
            change: change.into(),
        };
        self.drift.get_or_create(&labels).inc();
        self.fleet.drift(uid, step, labels, now);
    }

    /// Counts a write.
    pub fn applied(&self, kind: &str, change: &str) {
        self.writes
            .get_or_create(&Drift {
                kind: kind.into(),
                change: change.into(),
            })
            .inc();
    }

    /// The app `uid` is there: from now on it owes a pass.
    pub fn seen(&self, uid: &str, now: Timestamp) {
        self.fleet.seen(uid, now);
    }

    /// The app `uid` is gone.
    pub fn forget(&self, uid: &str) {
        self.fleet.forget(uid);
    }

    /// A pass of the app `uid` has ended, and AWS had answered it.
    pub fn passed(&self, uid: &str, now: Timestamp) {
        self.fleet.passed(uid, now);
    }

    /// When the app `uid` was last drilled with success, or created; none where there is nothing to drill.
    pub fn drilled(&self, uid: &str, last: Option<Timestamp>) {
        self.fleet.drilled(uid, last);
    }

    /// Counts the app `uid` under its conditions.
    pub fn conditions<'a>(&self, uid: &str, conditions: impl Iterator<Item = Condition<'a>>) {
        self.fleet.conditions(uid, conditions);
    }

    /// Tells of how many shards this process does the work.
    pub fn works(&self, shards: usize) {
        self.leader.set((shards > 0).into());
        self.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
    }

    /// Tells over how many shards the apps are spread, whoever works on them.
    pub fn spread_over(&self, shards: u32) {
        self.shards_configured.set(shards.into());
    }

    /// All of it as OpenMetrics text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }
}
