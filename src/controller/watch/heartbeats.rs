//! Heartbeats of one app: sent at every interval, and looked for on the other side.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;

use super::{Context, NOTHING_YET, Watch, seconds, tell};
use crate::api::{ManagementPolicy, MultiRegionApp};
use crate::health::heartbeat::{self, Beat};
use crate::health::lag::{Direction, Row};
use crate::model::Failure;

/// Between two heartbeats of the static files: each makes a version in both buckets.
pub(super) const STATIC_INTERVAL: Duration = Duration::from_secs(300);
/// When a heartbeat is looked for after it was sent, in milliseconds.
pub(super) const FIRST_LOOKS: [u64; 3] = [250, 500, 1000];
/// Then so often, that a lag is told to less than a second; it costs reads only while there is one.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(750);
/// And after [`EAGER`] so often.
const PATIENT_LOOK: Duration = Duration::from_secs(10);
/// How soon another interval is noticed.
const LOOK_AT_INTERVAL: Duration = Duration::from_secs(5);
/// For so long a heartbeat is looked for closely.
const EAGER: Duration = Duration::from_secs(90);

impl Context {
    /// Takes the heartbeats of an app that is to go away, as far as they can be reached.
    pub(in crate::controller) async fn end_heartbeats(&self, app: &MultiRegionApp) {
        let uid = app.uid().unwrap_or_default();
        self.watches.end(&uid);
        self.health.metrics.lags(&uid, std::iter::empty());
        for beat in beats(self, app).await {
            remove(self, app, &beat).await;
        }
    }
}

/// Whose heartbeats: the slow ones do not hold up the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
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
    pub(super) fn limits(self, app: &MultiRegionApp) -> (SignedDuration, SignedDuration) {
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

    pub(super) fn of_row((source, ..): &Row) -> Self {
        if source.starts_with("s3/") {
            Self::StaticFiles
        } else {
            Self::Tables
        }
    }
}

/// Heartbeats at every interval, until the object is gone.
pub(super) async fn sent(context: Arc<Context>, watch: Arc<Watch>, what: What) {
    let mut sent: Vec<Beat> = Vec::new();
    while let Some(app) = context.living(&watch) {
        // Boxed, as all that calls AWS: it is large, and an app mostly waits.
        let mut beats = Box::pin(beats(&context, &app)).await;
        beats.retain(|beat| What::of(beat) == what);
        // A new app's first heartbeat comes soon after its table.
        let interval = if beats.is_empty() {
            NOTHING_YET.min(what.interval(&app))
        } else {
            what.interval(&app)
        };
        let begun = Instant::now();
        let next = begun + interval;
        let stopped: Vec<&Beat> = sent.iter().filter(|beat| !beats.contains(beat)).collect();
        for beat in stopped {
            {
                let mut known = watch.known();
                known.stop_beating(&beat.row());
                known.count_lags(&context.health.metrics, &app, Timestamp::now());
            }
            Box::pin(remove(&context, &app, beat)).await;
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
        due(&context, &watch, what, begun, next).await;
    }
}

/// Waits for the next heartbeat; not as long where a shorter interval is declared meanwhile.
async fn due(context: &Context, watch: &Watch, what: What, begun: Instant, next: Instant) {
    while Instant::now() < next {
        tokio::time::sleep_until(next.min(Instant::now() + LOOK_AT_INTERVAL)).await;
        let shorter = |app: Arc<MultiRegionApp>| begun + what.interval(&app) <= Instant::now();
        if context.living(watch).is_none_or(shorter) {
            return;
        }
    }
}

/// Whether heartbeats are asked for, and may be written.
pub(super) fn may_beat(app: &MultiRegionApp) -> bool {
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
        let shown = lag.direction.show(now, objective, stale);
        let shows = std::mem::replace(&mut lag.shown, shown) != shown;
        known.count_lags(&context.health.metrics, app, now);
        shows
    };
    if shows {
        tell(context, watch).await;
    }
}

/// Takes a heartbeat away that is not sent any more.
async fn remove(context: &Context, app: &MultiRegionApp, beat: &Beat) {
    let removed = async { beat.remove(&context.pass(app, false)?).await };
    if let Err(failure) = removed.await {
        tracing::warn!(beat = %beat.row().0, error = %failure, "a heartbeat could not be removed");
    }
}
