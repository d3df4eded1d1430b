//! Moves the writes of an app, as [`crate::health::writes`] decides.
//!
//! A move calls the key value store's data plane and nothing else: its ARN and the distribution's id are in the status,
//! so that it needs no region's control plane, also right after a restart.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::watch::{Watch, witness_path};
use super::{Context, events};
use crate::api::{
    ANNOTATION_FAILBACK, ANNOTATION_FORCE_WRITER, LastHandled, ManagementPolicy, MultiRegionApp,
    Role, WriterStatus,
};
use crate::aws::writer::{self, Set};
use crate::health::writes::{Asked, Decision, FORCED, Facts, decide, role, side, stays_forced};
use crate::health::{Thresholds, drill};
use crate::model::Writer;

/// The reason that stands for a move by a drill.
pub(super) const DRILL: &str = "Drill";

/// What the annotations ask for that is not done yet, with the tokens to record once it is.
#[derive(Debug, Default)]
struct Asks {
    asked: Asked,
    force: Option<String>,
    failback: Option<String>,
}

impl Asks {
    fn of(app: &MultiRegionApp, handled: &LastHandled) -> Self {
        let pending = |annotation: &str, handled: &Option<String>| {
            let token = app.annotations().get(annotation)?;
            (Some(token) != handled.as_ref()).then(|| token.clone())
        };
        let force = pending(ANNOTATION_FORCE_WRITER, &handled.force_writer);
        let failback = pending(ANNOTATION_FAILBACK, &handled.failback);
        let to = force
            .as_deref()
            .and_then(|token| match token.split_once('/')?.0 {
                "DR" => Some(Role::Dr),
                "Primary" => Some(Role::Primary),
                _ => None,
            });
        Self {
            asked: Asked {
                force: to,
                failback: failback.is_some(),
            },
            force,
            failback,
        }
    }
}

impl Context {
    /// Moves the writes if they should be elsewhere, and notes why they are where they are.
    pub(super) async fn settle_writer(&self, watch: &Watch, app: &MultiRegionApp) {
        let _moving = watch.moving.lock().await;
        let Some(status) = app
            .status
            .as_ref()
            .filter(|_| app.spec.regions.dr.is_some())
        else {
            return;
        };
        let (Some(distribution), Some(mut known)) = (&status.distribution, watch.writer(status))
        else {
            return;
        };
        let Some(store) = known.store_arn.clone() else {
            return;
        };
        let asks = Asks::of(app, &watch.handled(status));
        // Once more if the store knows better than we did.
        for _ in 0..2 {
            let facts = self.facts(watch, app, &known, asks.asked);
            let decision = decide(&facts);
            let forced = stays_forced(&facts, &decision);
            let Some(to) = decision.to else {
                explain(&mut known, &decision);
                known.forced = forced;
                break;
            };
            match self.moved(app, &store, &distribution.id, &known, to).await {
                Ok(Some(next)) if role(next.side) == to && next.epoch > epoch(&known) => {
                    tracing::info!(app = %app.name_any(), writer = %next, reason = decision.reason, "the writes move");
                    take(&mut known, next);
                    explain(&mut known, &decision);
                    known.forced = forced;
                    events::writer_moved(&self.recorder, app, &known).await;
                    break;
                }
                Ok(Some(other)) => take(&mut known, other),
                Ok(None) => {
                    let message = "the key value store has no writer for the distribution yet";
                    explain(&mut known, &stuck("NoWriter", message.into()));
                    break;
                }
                Err(failure) => {
                    explain(&mut known, &stuck("StoreUnreachable", failure.to_string()));
                    break;
                }
            }
        }
        let active = known.active;
        // Where a drill has the writes, nobody asked for them to be.
        let settled = self.held(watch, app) != Some(DRILL);
        let force = asks
            .force
            .filter(|_| settled && asks.asked.force.is_none_or(|to| to == active));
        let failback = asks
            .failback
            .filter(|_| settled && active == app.spec.failover.writes.active);
        watch.set_writer(known, force, failback);
    }

    fn facts<'a>(
        &self,
        watch: &Watch,
        app: &'a MultiRegionApp,
        known: &WriterStatus,
        asked: Asked,
    ) -> Facts<'a> {
        Facts {
            writes: &app.spec.failover.writes,
            asked,
            writer: known.active,
            // As a status from before there was a field for it says it.
            forced: known.forced || known.reason == FORCED,
            health: watch.health(),
            thresholds: Thresholds::of(&app.spec.failover.probe),
            loss: watch.most_lost(app, known.active),
            objective: SignedDuration::from_secs(app.spec.objectives.recovery_point_seconds.into()),
            witnessed: witness_path(app).is_some(),
            held: self.held(watch, app),
            now: Timestamp::now(),
        }
    }

    /// Why no move is made, whatever else would ask for one.
    fn held(&self, watch: &Watch, app: &MultiRegionApp) -> Option<&'static str> {
        let drill = app.status.as_ref().and_then(|status| watch.drill(status));
        if drill.is_some_and(|drill| drill.result == drill::RUNNING) {
            return Some(DRILL);
        }
        if app.spec.suspend {
            return Some("Suspended");
        }
        if self.allowed(app).is_err() {
            return Some("NotAllowed");
        }
        (app.spec.management_policy == ManagementPolicy::Observe).then_some("Observed")
    }

    /// The writer after the move, or whoever it is instead.
    async fn moved(
        &self,
        app: &MultiRegionApp,
        store: &str,
        distribution: &str,
        known: &WriterStatus,
        to: Role,
    ) -> Result<Option<Writer>, crate::model::Failure> {
        let pass = self.pass(app, false)?;
        let now = writer::read(&pass, store, distribution).await?;
        let Some(current) = now.filter(|now| role(now.side) == known.active) else {
            return Ok(now);
        };
        let next = current.moved_to(side(to));
        match writer::compare_and_set(&pass, store, distribution, Some(current), next).await? {
            Set::Done => Ok(Some(next)),
            Set::Conflict(other) => Ok(other),
        }
    }
}

fn stuck(reason: &'static str, message: String) -> Decision {
    Decision {
        to: None,
        reason,
        message,
    }
}

fn explain(known: &mut WriterStatus, decision: &Decision) {
    known.reason = decision.reason.into();
    known.message.clone_from(&decision.message);
}

pub(super) fn take(known: &mut WriterStatus, writer: Writer) {
    let now = Timestamp::now();
    known.active = role(writer.side);
    known.epoch = writer.epoch.cast_signed();
    // Whoever moved them, it was not to where they had been forced.
    known.forced = false;
    known.since = Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now)));
}

fn epoch(known: &WriterStatus) -> u64 {
    u64::try_from(known.epoch).unwrap_or_default()
}
