//! What is known of a rollout between passes, and the probes by which what is rolled out proves itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Context, Watch, probe_function};
use crate::api::{CONDITION_CODE_IN_SYNC, MultiRegionApp, Role};
use crate::app::App;
use crate::health::{Sample, Thresholds};
use crate::model::{FailureKind, Observed, ResourceId};
use crate::plan::{Change, State};
use crate::reconcile::Outcome;
use crate::rollout::{Course, Known, Refused, Rollout, Trial, Verdict};
use crate::topology::ids;

/// Between two probes of what is being rolled out, which nobody wants to wait minutes for.
const HASTE: Duration = Duration::from_secs(1);

/// What is known of a rollout; all of it may be lost.
#[derive(Default)]
pub(super) struct Progress {
    /// The probes of the DR function since its last change.
    pub(super) trial: Trial,
    /// Probes that may still be made in haste.
    haste: u32,
    /// The trial that had its share of them.
    hastened: u64,
    /// The release that the primary was last seen to run as it should.
    settled: Option<String>,
    refused: Option<Refused>,
    /// Whether it was refused in the last pass.
    newly_refused: bool,
    /// The release that makes the sides differ, and since when.
    rolling: Option<(String, Timestamp)>,
}

impl Progress {
    /// Takes up a probe that was begun in the trial of that number.
    pub(super) fn observe(&mut self, trial: u64, sample: &Sample, thresholds: &Thresholds) {
        if self.trial.number == trial {
            self.trial.observe(sample, thresholds);
        }
    }
}

impl Watch {
    /// What a pass goes by in a rollout.
    pub(crate) fn known_of_rollout(&self, app: &MultiRegionApp) -> Known {
        let known = self.known();
        let writer = app
            .status
            .as_ref()
            .and_then(|status| status.writer.as_ref())
            .map_or(Role::Primary, |writer| writer.active);
        Known {
            trial: known.rollout.trial.clone(),
            settled: known.rollout.settled.clone(),
            refused: known.rollout.refused.clone(),
            writer,
            primary: known.health.primary.state,
            dr: known.health.dr.state,
            not_probed: if known.health.isolated {
                "nothing at all can be reached from here".into()
            } else {
                known.not_probed.clone()
            },
        }
    }

    /// Takes up what a pass did to the DR function and saw of it.
    pub(crate) fn after_pass(&self, app: &App, outcome: &Outcome, rollout: &Rollout) {
        let Some(dr) = &app.dr else {
            return;
        };
        let function = ids::function(dr);
        let thresholds = Thresholds::of(&app.spec.failover.probe);
        let mut known = self.known();
        let progress = &mut known.rollout;
        let changed = outcome
            .applied
            .iter()
            .any(|applied| applied.id == function && applied.summary != "update tags");
        let live = outcome.snapshot.get(&function).and_then(Observed::live);
        let primary = ids::function(&app.primary);
        let done = outcome.plan.steps.iter().all(|step| step.id != primary);
        let is_wanted = !matches!(rollout.course, Course::Stop(_) | Course::Freeze(_));
        if is_wanted && (rollout.settled || done) {
            progress.settled.clone_from(&rollout.release);
        }
        progress
            .trial
            .of(live.and_then(|live| live.outputs.get("release")), changed);
        let of_dr = |id: &&ResourceId| **id == function || **id == ids::code(app, dr);
        let refused = outcome
            .failed
            .iter()
            .find(|(id, failure)| of_dr(id) && failure.kind == FailureKind::Invalid);
        if let (Some((_, failure)), Some(release), Course::Try(_)) =
            (refused, &rollout.release, &rollout.course)
            && live.is_some()
        {
            let refused = Refused {
                release: release.clone(),
                reason: failure.to_string(),
            };
            progress.newly_refused = progress.refused.as_ref() != Some(&refused);
            progress.refused = Some(refused);
        }
        let open = progress.trial.verdict(&thresholds) == Verdict::Open;
        if !awaited(app, &function, outcome) || !open {
            progress.haste = 0;
        } else if progress.hastened != progress.trial.number {
            progress.hastened = progress.trial.number;
            progress.haste = thresholds.successes + thresholds.failures;
            self.hurry.notify_one();
        }
    }

    /// Whether the last pass was the first to find its release refused.
    pub(crate) fn take_refusal(&self) -> bool {
        std::mem::take(&mut self.known().rollout.newly_refused)
    }

    /// Since when this release is being rolled out.
    pub(crate) fn rolling_since(&self, rollout: &Rollout, app: &MultiRegionApp) -> Timestamp {
        let release = rollout.release.clone().unwrap_or_default();
        let rolling = &mut self.known().rollout.rolling;
        if let Some((_, since)) = rolling.as_ref().filter(|(of, _)| *of == release) {
            return *since;
        }
        // After a restart, as the status has it.
        let conditions = app.status.iter().flat_map(|status| &status.conditions);
        let told = conditions
            .filter(|condition| {
                rolling.is_none()
                    && condition.type_ == CONDITION_CODE_IN_SYNC
                    && condition.reason == "RollingOut"
            })
            .map(|condition| condition.last_transition_time.0)
            .next();
        let since = told.unwrap_or_else(Timestamp::now);
        *rolling = Some((release, since));
        since
    }
}

/// Whether the primary waits for the DR function to prove itself, and nothing else.
fn awaited(app: &App, dr: &ResourceId, outcome: &Outcome) -> bool {
    let primary = ids::function(&app.primary);
    let steps = &outcome.plan.steps;
    let waits = |state: &State| match state {
        State::Waiting(waits) => waits.iter().any(|wait| wait.on == *dr),
        State::Ready | State::Blocked(_) => false,
    };
    steps.iter().any(|step| {
        step.id == primary && matches!(step.change, Change::Update { .. }) && waits(&step.state)
    }) && steps.iter().all(|step| step.id != *dr)
}

/// Probes of the DR function alone, every second while a rollout waits for them. They count for the rollout only: by
/// them no region is taken for unhealthy sooner than by its own interval.
pub(super) async fn trials(context: Arc<Context>, watch: Arc<Watch>) {
    loop {
        watch.hurry.notified().await;
        loop {
            let number = {
                let mut known = watch.known();
                if known.rollout.haste == 0 {
                    break;
                }
                known.rollout.haste -= 1;
                known.rollout.trial.number
            };
            let Some(app) = context.living(&watch) else {
                return;
            };
            let begun = tokio::time::Instant::now();
            let probe = Box::pin(probe_function(&context, &app, Role::Dr));
            if let Some(Ok(sample)) = probe.await {
                let thresholds = Thresholds::of(&app.spec.failover.probe);
                let mut known = watch.known();
                known.rollout.observe(number, &sample, &thresholds);
                if known.rollout.trial.verdict(&thresholds) != Verdict::Open {
                    known.rollout.haste = 0;
                }
            }
            tokio::time::sleep_until(begun + HASTE).await;
        }
    }
}
