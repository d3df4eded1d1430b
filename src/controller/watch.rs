//! Between full passes: each app's own probes and heartbeats, which nothing holds up.
//!
//! They run beside the full passes and not among them, so that a pass in which a region is a black hole delays no probe.
//! Only the status is written by one at a time.

#[cfg(test)]
mod cost;
mod heartbeats;
mod lags;
mod rollouts;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join3;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Context, drill, events};
use crate::api::{
    DrillStatus, LastHandled, MultiRegionApp, MultiRegionAppStatus, Role, WriterStatus,
};
use crate::aws::fence::Fence;
use crate::health::evidence::{Evidence, Told};
use crate::health::lag::{Direction, Row};
use crate::health::probe::Probed;
use crate::health::{self, Health, Sample, Samples, Target, Thresholds};
use crate::status::{self, LagRow, Situation, Structure, Vitals, newest};
use heartbeats::What;

/// How soon to look again whether there is something to probe, and to send heartbeats to.
const NOTHING_YET: Duration = Duration::from_secs(2);
/// A probe that waits for nothing more than this is over, whatever becomes of its connection.
const GRACE: Duration = Duration::from_secs(2);

/// The apps that are watched, by uid.
#[derive(Default)]
pub(super) struct Watches {
    all: Mutex<HashMap<String, Arc<Watch>>>,
    /// A watch was begun.
    pub(super) begun: Notify,
}

/// What is known of one app between its passes.
pub(super) struct Watch {
    pub(super) object: ObjectRef<MultiRegionApp>,
    known: Mutex<Known>,
    /// Wakes the probes of what is being rolled out.
    hurry: Notify,
    /// Held while a status is made and written.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// Held while it is decided where the writes go, and while they are moved by that; a drill begins between two of these.
    pub(super) moving: tokio::sync::Mutex<()>,
    pub(super) stop: CancellationToken,
    /// Something was asked for: the next round of probes is too far away.
    wake: Notify,
    /// The same, for drills.
    pub(super) wake_drill: Notify,
}

#[derive(Default)]
struct Known {
    health: Health,
    /// Whether a round of probes was made.
    probed: bool,
    not_probed: String,
    lags: BTreeMap<Row, Lag>,
    evidence: Evidence,
    /// What of it is told; none before the first reading.
    told: Option<Told>,
    structure: Option<Structure>,
    writer: Option<WriterStatus>,
    drill: Option<DrillStatus>,
    /// Tokens of annotations that were acted on since the status was last read.
    handled: LastHandled,
    rollout: rollouts::Progress,
}

#[derive(Default)]
struct Lag {
    direction: Direction,
    shown: Option<i64>,
    /// Whether heartbeats are sent; else it is there for what CloudWatch tells.
    beats: bool,
}

impl Watches {
    /// Drops what nobody is to know of any more.
    pub(super) fn end(&self, uid: &str) {
        if let Some(watch) = self.all().remove(uid) {
            watch.stop.cancel();
        }
    }

    /// Those that are there now.
    pub(super) fn now(&self) -> Vec<Arc<Watch>> {
        self.all().values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Watch>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the passes that only probe.
    pub(super) fn keep(&self, structure: Structure) {
        self.known().structure = Some(structure);
    }

    /// What probes and heartbeats say now; none before the first round.
    pub(super) fn vitals(&self, app: &MultiRegionApp) -> Option<Vitals> {
        let known = self.known();
        let beats = app.spec.regions.dr.is_some() && heartbeats::may_beat(app);
        known.probed.then(|| Vitals {
            health: known.health.clone(),
            has_dr: app.spec.regions.dr.is_some(),
            not_probed: known.not_probed.clone(),
            lags: known
                .lags
                .iter()
                .filter(|(_, lag)| beats || lag.direction.is_told())
                .map(|((source, from, to), lag)| LagRow {
                    source: source.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    seconds: lag.shown,
                })
                .collect(),
            evidence: known.told.clone(),
            objectives: app.spec.objectives.clone(),
            writer: known.writer.clone(),
            drill: known.drill.clone(),
            handled: known.handled.clone(),
        })
    }

    /// Notes that no probe may be made, and why: of what was known before nothing holds any more.
    fn unprobed(&self, why: String) {
        let mut known = self.known();
        known.health = Health::default();
        known.not_probed = why;
        known.probed = true;
    }

    /// Has what was asked for looked at now.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
        self.wake_drill.notify_one();
    }

    /// The probes' word.
    pub(super) fn health(&self) -> Health {
        self.known().health.clone()
    }

    /// Which region takes the writes, by the newest that is known.
    pub(super) fn writer(&self, status: &MultiRegionAppStatus) -> Option<WriterStatus> {
        newest(self.known().writer.clone(), status.writer.clone())
    }

    /// The tokens that were acted on.
    pub(super) fn handled(&self, status: &MultiRegionAppStatus) -> LastHandled {
        let known = self.known().handled.clone();
        let told = status.last_handled.clone().unwrap_or_default();
        LastHandled {
            force_writer: known.force_writer.or(told.force_writer),
            failback: known.failback.or(told.failback),
            drill: known.drill.or(told.drill),
            ..told
        }
    }

    /// Notes where the writes go, and the tokens that this has answered.
    pub(super) fn set_writer(
        &self,
        writer: WriterStatus,
        force: Option<String>,
        failback: Option<String>,
    ) {
        let mut known = self.known();
        // What was read before another's move says nothing any more.
        if known
            .writer
            .as_ref()
            .is_none_or(|before| before.epoch <= writer.epoch)
        {
            known.writer = Some(writer);
        }
        if force.is_some() {
            known.handled.force_writer = force;
        }
        if failback.is_some() {
            known.handled.failback = failback;
        }
    }

    /// The drill under way, or the last one.
    pub(super) fn drill(&self, status: &MultiRegionAppStatus) -> Option<DrillStatus> {
        let known = self.known().drill.clone();
        known.or_else(|| status.last_drill.clone())
    }

    /// The same, if one was run or ended by this process.
    pub(super) fn known_drill(&self) -> Option<DrillStatus> {
        self.known().drill.clone()
    }

    /// Notes how far a drill is.
    pub(super) fn set_drill(&self, drill: Option<DrillStatus>) {
        self.known().drill = drill;
    }

    /// Notes that the token was answered.
    pub(super) fn drill_handled(&self, token: Option<String>) {
        self.known().handled.drill = token;
    }
}

impl Context {
    /// The watch over `app`, begun if there is none. It ends with the object, or with [`Watches::end`].
    pub(super) fn watch(self: &Arc<Self>, app: &MultiRegionApp) -> Arc<Watch> {
        let mut all = self.watches.all();
        let uid = app.uid().unwrap_or_default();
        if let Some(watch) = all.get(&uid) {
            return watch.clone();
        }
        let watch = Arc::new(Watch {
            object: ObjectRef::from_obj(app),
            known: Mutex::new(Known {
                health: remembered(app.status.as_ref()),
                ..Known::default()
            }),
            hurry: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            moving: tokio::sync::Mutex::default(),
            stop: self.stop.child_token(),
            wake: Notify::new(),
            wake_drill: Notify::new(),
        });
        all.insert(uid, watch.clone());
        self.watches.begun.notify_one();
        let fence = self.accounts.fence();
        // Has each log line say whose it is.
        let span = tracing::info_span!("watch", namespace = app.namespace(), app = app.name_any());
        let probes = probes(self.clone(), watch.clone());
        tokio::spawn(guarded(fence.clone(), watch.clone(), probes).instrument(span.clone()));
        let trials = rollouts::trials(self.clone(), watch.clone());
        tokio::spawn(guarded(fence.clone(), watch.clone(), trials).instrument(span.clone()));
        for what in [What::Tables, What::StaticFiles] {
            let beats = heartbeats::sent(self.clone(), watch.clone(), what);
            tokio::spawn(guarded(fence.clone(), watch.clone(), beats).instrument(span.clone()));
        }
        // Not cut off when the watch ends, but told to give up.
        let drills = drill::drills(self.clone(), watch.clone());
        let fence = fence.clone();
        let drills = async move { fence.hold(drills).await };
        self.drills.spawn(drills.instrument(span));
        watch
    }

    /// The object as the watch of the API server last had it; none once it is to go.
    pub(super) fn living(&self, watch: &Watch) -> Option<Arc<MultiRegionApp>> {
        let app = self.store.get(&watch.object)?;
        app.metadata.deletion_timestamp.is_none().then_some(app)
    }

    /// Writes what the probes and heartbeats say, if that says anything new.
    pub(super) async fn tell(self: &Arc<Self>, watch: &Watch) -> Result<(), kube::Error> {
        let Some(seen) = self.living(watch) else {
            return Ok(());
        };
        if assessed(&seen, watch).is_none() {
            return Ok(());
        }
        let _writing = watch.writing.lock().await;
        let apps = self.apps(&seen);
        // The cached object may be older than our own last status.
        let Some(app) = apps.get_opt(&seen.name_any()).await? else {
            return Ok(());
        };
        if let Some(status) = assessed(&app, watch) {
            self.patch_status(&apps, &app, &status).await?;
            events::of_status(&self.recorder, &app, &status).await;
        }
        Ok(())
    }
}

/// As the status remembers the regions' health.
fn remembered(status: Option<&MultiRegionAppStatus>) -> Health {
    let now = Timestamp::now();
    let target = |role| {
        let region = status
            .into_iter()
            .flat_map(|status| &status.regions)
            .find(|region| region.role == role);
        region.map_or_else(Target::default, |region| {
            Target::remembered(
                region.health.unwrap_or_default(),
                region.last_transition_time.as_ref().map(|time| time.0),
                now,
            )
        })
    };
    Health {
        primary: target(Role::Primary),
        dr: target(Role::Dr),
        ..Health::default()
    }
}

/// The status by what is known between passes, if it is another than the object has.
fn assessed(app: &MultiRegionApp, watch: &Watch) -> Option<MultiRegionAppStatus> {
    let previous = app.status.as_ref()?;
    // Before the first full pass there is nothing to say this beside.
    let vitals = watch.vitals(app).filter(|_| previous.is_observed())?;
    let structure = watch.known().structure.clone();
    let status = status::assess(&Situation {
        generation: app.metadata.generation.unwrap_or_default(),
        previous,
        now: Timestamp::now(),
        handled: previous.last_handled.clone().unwrap_or_default(),
        vitals: Some(&vitals),
        structure: structure.as_ref(),
        rollout: None,
        result: status::Result::Probed,
    })
    .status;
    (status != *previous).then_some(status)
}

async fn guarded(fence: Fence, watch: Arc<Watch>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = watch.stop.cancelled() => {}
        () = fence.hold(work) => {}
    }
}

/// A round of probes at every interval, until the object is gone.
async fn probes(context: Arc<Context>, watch: Arc<Watch>) {
    while let Some(app) = context.living(&watch) {
        let begun = Instant::now();
        let interval = seconds(app.spec.failover.probe.interval_seconds);
        // What calls AWS is large, and is kept only while it does: an app mostly waits.
        let mut next = if Box::pin(round(&context, &watch, &app)).await {
            begun + interval
        } else {
            begun + NOTHING_YET.min(interval)
        };
        Box::pin(context.settle_writer(&watch, &app)).await;
        Box::pin(tell(&context, &watch)).await;
        while tokio::time::timeout_at(next, watch.wake.notified())
            .await
            .is_ok()
        {
            let Some(app) = context.living(&watch) else {
                return;
            };
            Box::pin(context.settle_writer(&watch, &app)).await;
            Box::pin(tell(&context, &watch)).await;
            // A shorter interval holds from its declaration on.
            next = next.min(begun + seconds(app.spec.failover.probe.interval_seconds));
        }
    }
}

/// The same, or a line in the log.
pub(super) async fn tell(context: &Arc<Context>, watch: &Watch) {
    if let Err(error) = context.tell(watch).await {
        tracing::warn!(app = %watch.object, error = %crate::chain(&error), "the status could not be written");
    }
}

/// A round of probes; false if there is nothing to probe yet.
async fn round(context: &Context, watch: &Watch, app: &MultiRegionApp) -> bool {
    let urls = |status: &&MultiRegionAppStatus| {
        let mut regions = status.regions.iter();
        regions.any(|region| region.function_url.is_some())
    };
    let Some(status) = app.status.as_ref().filter(urls) else {
        return false;
    };
    let pass = match context.pass(app, false) {
        Ok(pass) => pass,
        Err(failure) => {
            watch.unprobed(failure.message);
            return true;
        }
    };
    let trial = watch.known().rollout.trial.number;
    let (probe, prober) = (&app.spec.failover.probe, &context.prober);
    let timeout = seconds(probe.timeout_seconds);
    let function = |role| probe_function(context, app, role);
    let edge = async || -> Option<Sample> {
        let domain = &status.distribution.as_ref()?.domain_name;
        if !prober.has_edge() {
            return None;
        }
        let path = witness_path(app).unwrap_or_else(|| probe.path.clone());
        let asked = async { Ok(prober.through_the_edge(domain, &path, timeout).await) };
        within(timeout, asked).await.ok()
    };
    let (primary, dr, edge) = join3(function(Role::Primary), function(Role::Dr), edge()).await;
    let denied: Vec<String> = [&primary, &dr]
        .into_iter()
        .filter_map(|probed| probed.as_ref()?.as_ref().err().cloned())
        .collect();
    let mut samples = Samples {
        primary: primary.and_then(Result::ok),
        dr: dr.and_then(Result::ok),
        edge,
        others_reachable: Some(false),
    };
    if samples.isolated() {
        let regions: Vec<&str> = status
            .regions
            .iter()
            .map(|region| region.region.as_str())
            .collect();
        samples.others_reachable = Some(prober.others_reachable(&pass, &regions).await);
    }
    for (target, sample) in [
        ("primary", &samples.primary),
        ("dr", &samples.dr),
        ("edge", &samples.edge),
    ] {
        if let Some(sample) = sample {
            context.health.metrics.probe(target, sample);
        }
    }
    let mut known = watch.known();
    if let Some(sample) = samples.dr.as_ref().filter(|_| !samples.isolated()) {
        known.rollout.observe(trial, sample, &Thresholds::of(probe));
    }
    known.health = health::observe(
        &known.health,
        &samples,
        &Thresholds::of(probe),
        Timestamp::now(),
    );
    known.not_probed = denied.join("; ");
    known.probed = true;
    true
}

/// Asks the function of `role`'s region, if there is one to be asked.
async fn probe_function(context: &Context, app: &MultiRegionApp, role: Role) -> Option<Probed> {
    let (probe, regions) = (&app.spec.failover.probe, &app.status.as_ref()?.regions);
    let region = regions.iter().find(|region| region.role == role)?;
    let url = region.function_url.as_ref()?;
    let timeout = seconds(probe.timeout_seconds);
    let aws = match context.aws(app) {
        Ok(aws) => aws,
        Err(failure) => return Some(Err(failure.message)),
    };
    let asked = context
        .prober
        .function(&aws, &region.region, url, &probe.path, timeout);
    Some(within(timeout, asked).await)
}

/// A path under which the distribution asks the region that takes the writes, and no other.
pub(super) fn witness_path(app: &MultiRegionApp) -> Option<String> {
    Some(format!("{}/.multiregion/probe", write_path(app)?))
}

/// A path all under which is a write path; without the last slash.
pub(super) fn write_path(app: &MultiRegionApp) -> Option<&str> {
    let paths = app.spec.cdn.write_paths.iter();
    let open = paths
        .filter_map(|path| path.strip_suffix('*'))
        .find(|path| !path.contains(['*', '?']))?;
    Some(open.trim_end_matches('/'))
}

async fn within(timeout: Duration, probe: impl Future<Output = Probed>) -> Probed {
    tokio::time::timeout(timeout + GRACE, probe)
        .await
        .unwrap_or_else(|_| {
            Ok(Sample::Unreachable(format!(
                "no answer within {} s",
                timeout.as_secs()
            )))
        })
}

pub(super) fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(1))
}
