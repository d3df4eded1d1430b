//! Between full passes: each app's own probes and heartbeats, which nothing holds up.
//!
//! They run beside the full passes and not among them, so that a pass in which a region is a black hole delays no probe.
//! Only the status is written by one at a time.

#[cfg(test)]
mod cost;
mod lags;
mod rollouts;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{join_all, join3};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Context, drill, events};
use crate::api::{
    DrillStatus, LastHandled, ManagementPolicy, MultiRegionApp, MultiRegionAppStatus, Role,
    WriterStatus,
};
use crate::aws::fence::Fence;
use crate::health::evidence::{Evidence, Told};
use crate::health::heartbeat::{self, Beat};
use crate::health::lag::{Direction, Row};
use crate::health::probe::Probed;
use crate::health::{self, Health, Sample, Samples, Target, Thresholds};
use crate::model::Failure;
use crate::status::{self, LagRow, Situation, Structure, Vitals, newest};

/// Between two heartbeats of the static files: each makes a version in both buckets.
const STATIC_INTERVAL: Duration = Duration::from_secs(300);
/// How soon to look again whether there is something to probe, and to send heartbeats to.
const NOTHING_YET: Duration = Duration::from_secs(2);
/// When a heartbeat is looked for after it was sent, in milliseconds.
const FIRST_LOOKS: [u64; 3] = [250, 500, 1000];
/// Then so often, that a lag is told to less than a second; it costs reads only while there is one.
const LOOK_AGAIN: Duration = Duration::from_millis(750);
/// And after [`EAGER`] so often.
const PATIENT_LOOK: Duration = Duration::from_secs(10);
/// For so long a heartbeat is looked for closely.
const EAGER: Duration = Duration::from_secs(90);
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
        let beats = app.spec.regions.dr.is_some() && may_beat(app);
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
            let beats = heartbeats(self.clone(), watch.clone(), what);
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

impl Context {
    /// Takes the heartbeats of an app that is to go away, as far as they can be reached.
    pub(super) async fn end_heartbeats(&self, app: &MultiRegionApp) {
        self.watches.end(&app.uid().unwrap_or_default());
        for beat in beats(self, app).await {
            remove(self, app, &beat).await;
        }
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
        let next = if round(&context, &watch, &app).await {
            begun + interval
        } else {
            begun + NOTHING_YET.min(interval)
        };
        context.settle_writer(&watch, &app).await;
        tell(&context, &watch).await;
        while tokio::time::timeout_at(next, watch.wake.notified())
            .await
            .is_ok()
        {
            let Some(app) = context.living(&watch) else {
                return;
            };
            context.settle_writer(&watch, &app).await;
            tell(&context, &watch).await;
        }
    }
}

async fn tell(context: &Arc<Context>, watch: &Watch) {
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

/// Whose heartbeats: the slow ones do not hold up the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Tables,
    StaticFiles,
}

impl What {
    fn interval(self, app: &MultiRegionApp) -> Duration {
        match self {
            Self::Tables => seconds(app.spec.failover.heartbeat.interval_seconds),
            Self::StaticFiles => STATIC_INTERVAL,
        }
    }

    /// The longest lag that is as asked for, and the time after which what was heard is stale.
    fn limits(self, app: &MultiRegionApp) -> (SignedDuration, SignedDuration) {
        let objectives = &app.spec.objectives;
        let objective = match self {
            Self::Tables => objectives.recovery_point_seconds,
            Self::StaticFiles => objectives.static_recovery_point_seconds,
        };
        let interval = self.interval(app).as_secs().cast_signed();
        (
            SignedDuration::from_secs(objective.into()),
            SignedDuration::from_secs(interval * 3 + 10),
        )
    }

    fn of(beat: &Beat) -> Self {
        Self::of_row(&beat.row())
    }

    fn of_row((source, ..): &Row) -> Self {
        if source.starts_with("s3/") {
            Self::StaticFiles
        } else {
            Self::Tables
        }
    }
}

/// Heartbeats at every interval, until the object is gone.
async fn heartbeats(context: Arc<Context>, watch: Arc<Watch>, what: What) {
    let mut sent: Vec<Beat> = Vec::new();
    while let Some(app) = context.living(&watch) {
        let mut beats = beats(&context, &app).await;
        beats.retain(|beat| What::of(beat) == what);
        // A new app's first heartbeat comes soon after its table.
        let interval = if beats.is_empty() {
            NOTHING_YET.min(what.interval(&app))
        } else {
            what.interval(&app)
        };
        let next = Instant::now() + interval;
        let stopped: Vec<&Beat> = sent.iter().filter(|beat| !beats.contains(beat)).collect();
        for beat in stopped {
            watch.known().stop_beating(&beat.row());
            remove(&context, &app, beat).await;
        }
        let new: Vec<&Beat> = beats.iter().filter(|beat| !sent.contains(beat)).collect();
        // All of them before any is read: what is not known of one is known of none.
        for beat in &new {
            watch.known().lags.entry(beat.row()).or_default().beats = true;
        }
        let recalls = new
            .into_iter()
            .map(|beat| recall(&context, &watch, &app, beat));
        join_all(recalls).await;
        let under_way = beats
            .iter()
            .map(|beat| one_beat(&context, &watch, &app, beat, next));
        join_all(under_way).await;
        sent = beats;
        tokio::time::sleep_until(next).await;
    }
}

/// Whether heartbeats are asked for, and may be written.
fn may_beat(app: &MultiRegionApp) -> bool {
    app.spec.failover.heartbeat.mode.is_enabled()
        && app.spec.management_policy != ManagementPolicy::Observe
}

/// What there is to send: nothing in a single region, or where nothing may be written.
async fn beats(context: &Context, app: &MultiRegionApp) -> Vec<Beat> {
    let ready = app
        .status
        .as_ref()
        .is_some_and(|status| status.distribution.is_some());
    if !may_beat(app) || !ready || app.spec.regions.dr.is_none() {
        return Vec::new();
    }
    match context.parsed(app).await {
        Ok(parsed) => heartbeat::of(&parsed),
        Err(why) => {
            tracing::debug!(app = %app.name_any(), ?why, "no heartbeat");
            Vec::new()
        }
    }
}

/// Takes up what an earlier process has left of a table's heartbeat, as far as it can be read.
async fn recall(context: &Arc<Context>, watch: &Watch, app: &MultiRegionApp, beat: &Beat) {
    if beat.is_static() {
        return;
    }
    let Ok(pass) = context.pass(app, false) else {
        return;
    };
    let acknowledged = beat.look_at_source(&pass).await.ok().flatten();
    let visible = beat.look(&pass).await.ok().flatten();
    if acknowledged.is_some() || visible.is_some() {
        fold(context, watch, app, beat, |direction| {
            direction.recalled(acknowledged, visible, Timestamp::now());
        })
        .await;
    }
}

/// Sends a heartbeat and looks for it on the other side until it is there, or the next is due.
async fn one_beat(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
    beat: &Beat,
    next: Instant,
) {
    // In milliseconds, as a heartbeat carries it.
    let now = Timestamp::now();
    let sent = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    // An app that may not act any more sends none: `beats` has none for it.
    let Ok(pass) = context.pass(app, false) else {
        return;
    };
    if let Err(failure) = beat.send(&pass, sent).await {
        tracing::debug!(beat = %beat.row().0, error = %failure, "a heartbeat was not taken");
        fold(context, watch, app, beat, |_| ()).await;
        return;
    }
    let begun = Instant::now();
    fold(context, watch, app, beat, |direction| {
        direction.acknowledged(sent, Timestamp::now());
    })
    .await;
    let mut looks = FIRST_LOOKS.into_iter();
    loop {
        let age = begun.elapsed();
        let wait = match looks.next() {
            Some(look) => Duration::from_millis(look).saturating_sub(age),
            None if age < EAGER => LOOK_AGAIN,
            None => PATIENT_LOOK,
        };
        let look = Instant::now() + wait;
        let last = look >= next;
        tokio::time::sleep_until(look.min(next)).await;
        let Ok(pass) = context.pass(app, false) else {
            return;
        };
        let seen: Result<Option<Timestamp>, Failure> = beat.look(&pass).await;
        if let Ok(seen) = seen {
            fold(context, watch, app, beat, |direction| {
                direction.seen(seen, Timestamp::now());
            })
            .await;
            if seen.is_some_and(|seen| seen >= sent) {
                return;
            }
        }
        // The next heartbeat goes on looking.
        if last {
            return;
        }
    }
}

/// Takes what was heard of a heartbeat up, and tells it where that shows.
async fn fold(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
    beat: &Beat,
    heard: impl FnOnce(&mut Direction),
) {
    let (objective, stale) = What::of(beat).limits(app);
    let shows = {
        let mut known = watch.known();
        let lag = known.lags.entry(beat.row()).or_default();
        lag.beats = true;
        heard(&mut lag.direction);
        let now = Timestamp::now();
        if let Some(measured) = lag.direction.lag(now) {
            let (source, from, to) = beat.row();
            let seconds = measured.as_secs_f64();
            context.health.metrics.lag(&source, &from, &to, seconds);
        }
        let shown = lag.direction.show(now, objective, stale);
        std::mem::replace(&mut lag.shown, shown) != shown
    };
    if shows {
        tell(context, watch).await;
    }
}

/// Takes a heartbeat away that is not sent any more.
pub(super) async fn remove(context: &Context, app: &MultiRegionApp, beat: &Beat) {
    let removed = async { beat.remove(&context.pass(app, false)?).await };
    if let Err(failure) = removed.await {
        tracing::warn!(beat = %beat.row().0, error = %failure, "a heartbeat could not be removed");
    }
}

pub(super) fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(1))
}
