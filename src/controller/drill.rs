//! Runs drills: the writes of an app go to DR and back, and the edge says when each has arrived.
//!
//! Each app has one task for it, beside its probes. Before a drill moves anything, the status says which writer it is
//! about to set; so whoever comes after a process that died can take that writer back, and no other. What goes wrong
//! ends a drill by the same way back.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::watch::{Watch, seconds, tell, write_path};
use super::{Context, events, writer as moves};
use crate::api::{ANNOTATION_DRILL, DrillStatus, MultiRegionApp, MultiRegionAppStatus, Role};
use crate::aws::writer::{self, Set};
use crate::health::Thresholds;
use crate::health::drill::{self, Why};
use crate::model::{Failure, FailureKind, Side, Writer};

/// How often the edge is asked for the writer, until it says what is waited for.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long the edge may take to know a writer.
const PROPAGATION: Duration = Duration::from_secs(30);
/// How long one of those answers may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Between attempts to move the writes back.
const BACK_AGAIN: Duration = Duration::from_secs(1);
/// So long a write whose reply was lost may still have its effect: a little more than a call may take.
const AFTERMATH: Duration = Duration::from_secs(6);
/// When to look again after the API server would not have it.
const NOT_TOLD: Duration = Duration::from_secs(2);

const MOVING_TO_DR: &str = "MovingToDR";
const AT_DR: &str = "AtDR";
const MOVING_BACK: &str = "MovingBack";

/// Drills as they are asked for, until the object is gone.
pub(super) async fn drills(context: Arc<Context>, watch: Arc<Watch>) {
    while !watch.stop.is_cancelled() {
        let Some(app) = context.living(&watch) else {
            return;
        };
        let next = match Box::pin(turn(&context, &watch, &app)).await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(app = %app.name_any(), error = %crate::chain(&error), "no drill could be begun");
                Some(NOT_TOLD)
            }
        };
        tokio::select! {
            () = watch.stop.cancelled() => {}
            () = watch.wake_drill.notified() => {}
            () = tokio::time::sleep(next.unwrap_or_default()), if next.is_some() => {}
        }
    }
}

/// Ends a drill that was left, then answers the annotation.
async fn turn(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
) -> Result<(), kube::Error> {
    let Some(status) = &app.status else {
        return Ok(());
    };
    if let Some(left) = watch
        .drill(status)
        .filter(|left| left.result == drill::RUNNING)
    {
        interrupted(context, watch, app, left).await;
    }
    if asked(watch, app).is_none() {
        return Ok(());
    }
    // What the watch has may be older than what the probes last wrote.
    let Some(app) = context.apps(app).get_opt(&app.name_any()).await? else {
        return Ok(());
    };
    let (Some(token), Some(status)) = (asked(watch, &app), &app.status) else {
        return Ok(());
    };
    let drill = DrillStatus {
        id: token.clone(),
        started: Some(now()),
        last_succeeded: watch
            .drill(status)
            .as_ref()
            .and_then(drill::last_success)
            .map(Time),
        ..DrillStatus::default()
    };
    // A move under way sets the same epoch as the drill would: it ends first, and from then on others are held.
    let moving = watch.moving.lock().await;
    match Drill::ready(context, watch, &app, status, drill.clone()).await {
        Ok(mut ready) => {
            let begun = ready.begin(token).await?;
            drop(moving);
            if begun {
                ready.run().await;
                // Who asked meanwhile asked for nothing: this one's report would be gone before anyone has read it.
                if let Some(late) = context.living(watch).and_then(|app| asked(watch, &app)) {
                    tracing::warn!(app = %app.name_any(), drill = late, "not begun, as another was under way");
                    watch.drill_handled(Some(late));
                    tell(context, watch).await;
                }
            }
        }
        Err(why) => {
            drop(moving);
            watch.drill_handled(Some(token));
            end(context, watch, &app, drill, drill::REFUSED, &why).await;
        }
    }
    Ok(())
}

/// The token that nobody has answered.
fn asked(watch: &Watch, app: &MultiRegionApp) -> Option<String> {
    // A token that is there when the object is new is recorded by its first pass.
    let status = app.status.as_ref().filter(|status| status.is_observed())?;
    let token = app.annotations().get(ANNOTATION_DRILL)?;
    (Some(token) != watch.handled(status).drill.as_ref()).then(|| token.clone())
}

/// A drill whose process died: what it moved is taken back, and nothing else.
async fn interrupted(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
    left: DrillStatus,
) {
    let place = app.status.as_ref().and_then(Place::of);
    let why = match (drill::writer_at_dr(&left), place) {
        (Some(ours), Some(place)) => {
            let found = back(context, watch, app, &place, ours).await;
            Why::new(
                "Interrupted",
                format!("the controller was restarted; {found}"),
            )
        }
        _ => Why::new(
            "Interrupted",
            "the controller was restarted; nothing was moved",
        ),
    };
    watch.drill_handled(Some(left.id.clone()));
    end(context, watch, app, left, drill::FAILED, &why).await;
}

/// Where the writer is kept.
struct Place {
    store: String,
    distribution: String,
}

impl Place {
    fn of(status: &MultiRegionAppStatus) -> Option<Self> {
        Some(Self {
            store: status.writer.as_ref()?.store_arn.clone()?,
            distribution: status.distribution.as_ref()?.id.clone(),
        })
    }
}

/// A drill under way.
struct Drill<'a> {
    context: &'a Arc<Context>,
    watch: &'a Watch,
    app: &'a MultiRegionApp,
    place: Place,
    /// The distribution's own name.
    domain: String,
    /// Where the edge says the writer.
    report: String,
    /// The writer that it began with.
    before: Writer,
    status: DrillStatus,
    failed_requests: i64,
}

impl<'a> Drill<'a> {
    /// A drill that may begin, or why none may.
    async fn ready(
        context: &'a Arc<Context>,
        watch: &'a Watch,
        app: &'a MultiRegionApp,
        status: &MultiRegionAppStatus,
        drill: DrillStatus,
    ) -> Result<Self, Why> {
        let path = write_path(app).filter(|_| context.prober.has_edge());
        let probed = watch.vitals(app).is_some();
        if let Some(why) = drill::refused(&app.spec, status, path.is_some(), probed) {
            return Err(why);
        }
        let no_writer = || Why::new("NoWriter", "no region takes the writes yet");
        let (Some(path), Some(place), Some(distribution)) =
            (path, Place::of(status), &status.distribution)
        else {
            return Err(no_writer());
        };
        let not_allowed = |failure: Failure| Why::new("NotAllowed", failure.message);
        let pass = context.pass(app, false).map_err(not_allowed)?;
        let before = writer::read(&pass, &place.store, &place.distribution)
            .await
            .map_err(|failure| Why::new("StoreUnreachable", failure.to_string()))?
            .ok_or_else(no_writer)?;
        if before.side != Side::Primary {
            let message = format!("the writer is {before}, and a drill begins at the primary");
            return Err(Why::new("WriterNotPrimary", message));
        }
        Ok(Self {
            context,
            watch,
            app,
            place,
            domain: distribution.domain_name.clone(),
            report: format!("{path}/.multiregion/writer"),
            before,
            status: drill,
            failed_requests: 0,
        })
    }

    /// Has the status say what is about to be moved; false if it could not be written, and nothing may be moved.
    async fn begin(&mut self, token: String) -> Result<bool, kube::Error> {
        let loss = self.watch.loss(self.app, Role::Primary);
        self.status.recovery_point_milliseconds = loss.map(|loss| milliseconds(loss.as_millis()));
        self.status.result = drill::RUNNING.into();
        self.status.phase = Some(MOVING_TO_DR.into());
        self.status.epoch = Some(self.at_dr().epoch.cast_signed());
        let before = self
            .app
            .status
            .as_ref()
            .and_then(|status| self.watch.drill(status));
        let handled = self
            .app
            .status
            .as_ref()
            .and_then(|status| self.watch.handled(status).drill);
        self.watch.set_drill(Some(self.status.clone()));
        self.watch.drill_handled(Some(token));
        let told = self.context.tell(self.watch).await;
        if told.is_err() || self.context.living(self.watch).is_none() {
            self.watch.set_drill(before);
            self.watch.drill_handled(handled);
            return told.map(|()| false);
        }
        tracing::info!(app = %self.app.name_any(), drill = self.status.id, "a drill begins");
        events::drill(&self.context.recorder, self.app, &self.status).await;
        Ok(true)
    }

    /// To DR and back, whatever happens there.
    async fn run(mut self) {
        let (context, watch, app) = (self.context, self.watch, self.app);
        let there = self.there().await;
        self.phase(MOVING_BACK).await;
        let began = Instant::now();
        let found = back(context, watch, app, &self.place, self.at_dr()).await;
        let done = match (there, found) {
            (Err(why), found) => Err(Why::new(why.reason, format!("{}; {found}", why.message))),
            (Ok(()), Found::Back(home)) => self.home(home, began).await,
            (Ok(()), found) => Err(Why::new("WriterMoved", found.to_string())),
        };
        self.status.failed_requests = Some(self.failed_requests);
        let (result, why) = match done {
            Ok(()) => (
                drill::SUCCEEDED,
                Why::new("Completed", drill::summary(&self.status)),
            ),
            Err(why) => (drill::FAILED, why),
        };
        end(context, watch, app, self.status, result, &why).await;
    }

    /// The way to DR, and what is to be seen there.
    async fn there(&mut self) -> Result<(), Why> {
        let began = Instant::now();
        let next = self.at_dr();
        let (store, distribution) = (&self.place.store, &self.place.distribution);
        let not_allowed = |failure: Failure| Why::new("NotAllowed", failure.message);
        let pass = self.context.pass(self.app, false).map_err(not_allowed)?;
        match writer::compare_and_set(&pass, store, distribution, Some(self.before), next).await {
            Ok(Set::Done) => {}
            Ok(Set::Conflict(_)) => {
                let message = "somebody else moved the writes as the drill began";
                return Err(Why::new("WriterMoved", message));
            }
            Err(failure) => {
                if is_uncertain(&failure) {
                    tokio::time::sleep(AFTERMATH).await;
                }
                return Err(Why::new("MoveFailed", failure.to_string()));
            }
        }
        note(self.watch, self.app, next);
        self.status.phase = Some(AT_DR.into());
        self.watch.set_drill(Some(self.status.clone()));
        let (_, arrived) = join(
            tell(self.context, self.watch),
            arrival(
                self.context,
                self.watch,
                self.app,
                &self.domain,
                &self.report,
                next,
                began,
            ),
        )
        .await;
        self.failed_requests += arrived.failed;
        self.status.to_dr_milliseconds = Some(arrived.took?);
        self.write().await
    }

    /// Sends the declared write, if there is one.
    async fn write(&mut self) -> Result<(), Why> {
        let Some(probe) = &self.app.spec.failover.write_probe else {
            self.status.write_probe = Some("NotDeclared".into());
            return Ok(());
        };
        let timeout = seconds(self.app.spec.function.timeout_seconds).max(ANSWER) + ANSWER;
        let sent = self
            .context
            .prober
            .write(&self.domain, probe, timeout)
            .await;
        let word = if sent.is_ok() { "Passed" } else { "Failed" };
        self.status.write_probe = Some(word.into());
        sent.map_err(|what| {
            self.failed_requests += 1;
            let message = format!("the write that failover.writeProbe declares came to {what}");
            Why::new("WriteProbeFailed", message)
        })
    }

    /// The writes are back; the edge has to say so.
    async fn home(&mut self, home: Writer, began: Instant) -> Result<(), Why> {
        let arrived = arrival(
            self.context,
            self.watch,
            self.app,
            &self.domain,
            &self.report,
            home,
            began,
        )
        .await;
        self.failed_requests += arrived.failed;
        self.status.to_primary_milliseconds = Some(arrived.took?);
        Ok(())
    }

    async fn phase(&mut self, phase: &str) {
        self.status.phase = Some(phase.into());
        self.watch.set_drill(Some(self.status.clone()));
        tell(self.context, self.watch).await;
    }

    fn at_dr(&self) -> Writer {
        self.before.moved_to(Side::Dr)
    }
}

/// When the edge knew a writer.
struct Arrival {
    /// In milliseconds; or why it never did.
    took: Result<i64, Why>,
    /// Requests that got no answer, or a bad one.
    failed: i64,
}

/// Asks the edge until it names `wanted`.
async fn arrival(
    context: &Context,
    watch: &Watch,
    app: &MultiRegionApp,
    domain: &str,
    report: &str,
    wanted: Writer,
    began: Instant,
) -> Arrival {
    let thresholds = Thresholds::of(&app.spec.failover.probe);
    let until = Instant::now() + PROPAGATION;
    let mut failed = 0;
    let took = loop {
        let next = Instant::now() + ASK_AGAIN;
        let said = context
            .prober
            .writer_at_the_edge(domain, report, ANSWER)
            .await;
        let said = match said {
            Ok(writer) if writer == wanted => break Ok(milliseconds(began.elapsed().as_millis())),
            Ok(writer) => writer.to_string(),
            Err(why) => {
                failed += 1;
                why
            }
        };
        if watch.stop.is_cancelled() {
            break Err(Why::new("Interrupted", "the controller was asked to stop"));
        }
        if let Some(why) = drill::hindered(&watch.health(), &thresholds, Timestamp::now()) {
            break Err(why);
        }
        if next > until {
            let message = format!(
                "after {} s the edge did not know the writer {wanted}, but said: {said}",
                PROPAGATION.as_secs()
            );
            break Err(Why::new("NotPropagated", message));
        }
        tokio::time::sleep_until(next).await;
    };
    Arrival { took, failed }
}

/// Where the writes were found when they were to be moved back.
enum Found {
    /// They are back by this.
    Back(Writer),
    /// They had not been moved, or are elsewhere by somebody else's doing.
    Other(Writer),
    /// There is no store any more, or no writer in it.
    Nowhere,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Back(writer) => write!(f, "the writes are back, as {writer}"),
            Self::Other(writer) => write!(f, "the writer is {writer}, and was left"),
            Self::Nowhere => f.write_str("there is no writer any more"),
        }
    }
}

/// Moves the writes from `ours` back to the primary, if `ours` has them; tries until that is known.
async fn back(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
    place: &Place,
    ours: Writer,
) -> Found {
    let home = ours.moved_to(Side::Primary);
    loop {
        let set = async {
            let pass = context.pass(app, false)?;
            let (store, distribution) = (&place.store, &place.distribution);
            writer::compare_and_set(&pass, store, distribution, Some(ours), home).await
        };
        match set.await {
            Ok(Set::Done) => {
                note(watch, app, home);
                return Found::Back(home);
            }
            Ok(Set::Conflict(Some(other))) => {
                note(watch, app, other);
                return Found::Other(other);
            }
            Ok(Set::Conflict(None)) => return Found::Nowhere,
            Err(failure) if failure.kind == FailureKind::NotFound => return Found::Nowhere,
            Err(failure) => {
                tracing::warn!(app = %app.name_any(), error = %failure, "a drill's writes could not be moved back yet");
                hold(context, watch, &failure).await;
                tokio::time::sleep(BACK_AGAIN).await;
            }
        }
    }
}

/// Says why a drill does not end.
async fn hold(context: &Arc<Context>, watch: &Watch, failure: &Failure) {
    let Some(mut status) = watch.known_drill() else {
        return;
    };
    status.phase = Some(MOVING_BACK.into());
    status.reason = "StoreUnreachable".into();
    status.message = format!("the writes are moved back as soon as that can be done: {failure}");
    watch.set_drill(Some(status));
    tell(context, watch).await;
}

/// Notes where the writes are now.
fn note(watch: &Watch, app: &MultiRegionApp, writer: Writer) {
    let known = app.status.as_ref().and_then(|status| watch.writer(status));
    let Some(mut known) = known.filter(|known| known.epoch < writer.epoch.cast_signed()) else {
        return;
    };
    moves::take(&mut known, writer);
    known.reason = moves::DRILL.into();
    known.message = "by a drill".into();
    watch.set_writer(known, None, None);
}

/// Tells what a drill came to, and lets other moves be made again.
async fn end(
    context: &Arc<Context>,
    watch: &Watch,
    app: &MultiRegionApp,
    mut drill: DrillStatus,
    result: &str,
    why: &Why,
) {
    drill.result = result.into();
    drill.reason = why.reason.into();
    drill.message.clone_from(&why.message);
    drill.phase = None;
    drill.finished = Some(now());
    drill.last_succeeded = drill::last_success(&drill).map(Time);
    tracing::info!(app = %app.name_any(), drill = drill.id, result, reason = why.reason, message = why.message, "a drill ended");
    watch.set_drill(Some(drill.clone()));
    tell(context, watch).await;
    events::drill(&context.recorder, app, &drill).await;
    watch.wake();
}

/// Whether a write may have had its effect all the same, or may still have it.
fn is_uncertain(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Unreachable | FailureKind::Transient
    )
}

/// Whole seconds, as the API server keeps them.
fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn milliseconds<T: TryInto<i64>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
