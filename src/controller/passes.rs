//! One pass of an app, and one of its deletion.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::backoff::Believed;
use super::{Context, Error, Memory, NotParsed, events};
use crate::api::{
    ANNOTATION_DRILL, ANNOTATION_FAILBACK, ANNOTATION_FORCE_WRITER, ANNOTATION_RECONCILE,
    CONDITION_READY, CONDITION_SYNCED, DeletionPolicy, LastHandled, ManagementPolicy,
    MultiRegionApp, MultiRegionAppStatus,
};
use crate::app::App;
use crate::cloud::AwsCloud;
use crate::model::{Failure, FailureKind, ResourceId, Snapshot, Wanted};
use crate::plan::{Change, Step};
use crate::reconcile::{self, Cloud, Options, Outcome, Seen};
use crate::rollout::{self, Rollout};
use crate::status::{self, Pace, Rolling, Situation};
use crate::topology;

/// A pass that takes longer is given up; what it did is found by the next.
const PASS_BUDGET: Duration = Duration::from_secs(120);

/// Brings the app to what it declares, as far as that goes now.
pub(super) async fn apply(
    context: &Arc<Context>,
    apps: &Api<MultiRegionApp>,
    seen: &MultiRegionApp,
) -> Result<Action, Error> {
    // The cached object may be older than our own last status.
    let Some(app) = apps.get_opt(&seen.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if app.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let ended = run(context, &app, false).await;
    let pace = finish(context, apps, &app, &ended).await?;
    let changed = ended
        .outcome()
        .is_some_and(|outcome| !outcome.applied.is_empty());
    let refused = context.watch(&app).take_refusal();
    let after = context.remember(&app, |memory| match pace {
        // What AWS refused at DR is taken back at once.
        _ if refused => memory.next(Pace::Again),
        Pace::Settled if changed => memory.verify(),
        // As if all of it had been read when the oldest of it was.
        Pace::Settled => memory.next(pace).saturating_sub(ended.age()),
        pace => memory.next(pace),
    });
    Ok(Action::requeue(after))
}

/// Takes away what the deletion policy says; an error keeps the finalizer.
pub(super) async fn cleanup(
    context: &Arc<Context>,
    apps: &Api<MultiRegionApp>,
    seen: &MultiRegionApp,
) -> Result<Action, Error> {
    let Some(app) = apps.get_opt(&seen.name_any()).await? else {
        return Ok(Action::await_change());
    };
    let untouched = app.spec.management_policy == ManagementPolicy::Observe
        || app.spec.deletion_policy == DeletionPolicy::Retain;
    if untouched && !app.spec.suspend {
        context.forget(&app);
        return Ok(Action::await_change());
    }
    // What was refused from the beginning has nothing in AWS that a deletion could wait for.
    if context.allowed(&app).is_err() && never_made(&app) {
        context.forget(&app);
        return Ok(Action::await_change());
    }
    if !app.spec.suspend && context.remember(&app, Memory::begin_deletion) {
        context.end_heartbeats(&app).await;
    }
    let ended = run(context, &app, true).await;
    if let Some(outcome) = ended.outcome()
        && outcome.plan.is_empty()
    {
        events::retained(&context.recorder, &app, outcome).await;
        context.forget(&app);
        return Ok(Action::await_change());
    }
    let pace = finish(context, apps, &app, &ended).await?;
    Err(Error::StillDeleting(
        context.remember(&app, |memory| memory.next(pace)),
    ))
}

/// Whether no pass has found or made anything.
fn never_made(app: &MultiRegionApp) -> bool {
    app.status.as_ref().is_none_or(|status| {
        status.inventory.is_empty()
            && status.distribution.is_none()
            && status.regions.is_empty()
            && status.retained.is_empty()
    })
}

/// A pass that ended.
struct Ended {
    /// None: it was not made, as the app is suspended.
    ran: Option<Result<Ran, NotParsed>>,
    started: Instant,
    /// Token of the reconcile annotation that it answers.
    token: Option<String>,
    deleting: bool,
    /// Whether more than `suspend` changed since the app was converged, if that is known.
    changed: Option<bool>,
}

impl Ended {
    /// The tokens to record: that of this pass, and of a new object all that came with it.
    fn handled(&self, app: &MultiRegionApp, previous: &MultiRegionAppStatus) -> LastHandled {
        let mut handled = previous.last_handled.clone().unwrap_or_default();
        if self.token.is_some() {
            handled.reconcile.clone_from(&self.token);
        }
        if !previous.is_observed() {
            let token = |annotation| app.annotations().get(annotation).cloned();
            handled.drill = token(ANNOTATION_DRILL);
            handled.force_writer = token(ANNOTATION_FORCE_WRITER);
            handled.failback = token(ANNOTATION_FAILBACK);
        }
        handled
    }

    fn result(&self) -> status::Result<'_> {
        match &self.ran {
            None => status::Result::Suspended {
                deleting: self.deleting,
                changed: self.changed,
            },
            Some(Ok(ran)) => status::Result::Ran {
                app: &ran.app,
                wanted: &ran.wanted,
                outcome: &ran.outcome,
                deleting: self.deleting,
            },
            Some(Err(NotParsed::Failed(failure))) => status::Result::Failed(failure),
            Some(Err(NotParsed::Invalid(invalid))) => status::Result::Invalid(invalid),
        }
    }

    fn rollout(&self) -> Option<&Rollout> {
        self.ran.as_ref()?.as_ref().ok()?.rollout.as_ref()
    }

    fn outcome(&self) -> Option<&Outcome> {
        let ran = self.ran.as_ref()?.as_ref().ok()?;
        Some(&ran.outcome)
    }

    /// How old the oldest of what it believed was when it began.
    fn age(&self) -> Duration {
        match &self.ran {
            Some(Ok(ran)) => self.started.saturating_duration_since(ran.seen_since),
            _ => Duration::ZERO,
        }
    }
}

struct Ran {
    app: App,
    wanted: Wanted,
    outcome: Outcome,
    /// None: the app is being deleted.
    rollout: Option<Rollout>,
    /// Since when nothing of what was seen was read again.
    seen_since: Instant,
}

async fn run(context: &Arc<Context>, app: &MultiRegionApp, deleting: bool) -> Ended {
    let started = Instant::now();
    let previous = app.status.clone().unwrap_or_default();
    let (forced, token) = reconcile_token(app, &previous);
    let ran = if app.spec.suspend {
        None
    } else {
        let at_rest = is_at_rest(app, &previous);
        let how = context.remember(app, |memory| How {
            believing: !forced && !deleting && at_rest && memory.may_believe(),
            every_facet: memory.begin_pass() || forced || deleting,
            believed: memory
                .believed(app.metadata.generation, deleting)
                .filter(|_| !forced),
            deleting,
        });
        Some(ran(context, app, &previous, how).await)
    };
    Ended {
        ran,
        started,
        // A suspended app answers no token; the first pass after does.
        token: token.filter(|_| !app.spec.suspend),
        deleting,
        changed: context.remember(app, |memory| memory.changed(&app.spec)),
    }
}

/// Whether the last pass, be it another process's, left nothing to do for this spec. Only then is it likely that there
/// still is nothing, and worth a look at what was read for others.
fn is_at_rest(app: &MultiRegionApp, previous: &MultiRegionAppStatus) -> bool {
    previous.observed_generation == app.metadata.generation
        && previous.conditions.iter().any(|condition| {
            condition.type_ == CONDITION_SYNCED
                && condition.status == "True"
                && condition.observed_generation == app.metadata.generation
        })
}

/// Whether the annotation asks for a pass that was not made yet, and the token to record.
fn reconcile_token(
    app: &MultiRegionApp,
    previous: &MultiRegionAppStatus,
) -> (bool, Option<String>) {
    let token = app.annotations().get(ANNOTATION_RECONCILE).cloned();
    let handled = previous
        .last_handled
        .as_ref()
        .and_then(|handled| handled.reconcile.clone());
    // A token that is there when the object is new is recorded, not acted on.
    let forced = token.is_some() && token != handled && previous.is_observed();
    (forced, token.or(handled))
}

/// How much a pass reads, and what for.
struct How {
    /// What was read for other apps a moment ago is believed.
    believing: bool,
    every_facet: bool,
    believed: Option<Believed>,
    deleting: bool,
}

async fn ran(
    context: &Arc<Context>,
    object: &MultiRegionApp,
    previous: &MultiRegionAppStatus,
    how: How,
) -> Result<Ran, NotParsed> {
    let deleting = how.deleting;
    // What is believed was read completely; so is the rest.
    let every_facet = how.every_facet || how.believed.is_some();
    let believing = how.believing && how.believed.is_none();
    let read = how
        .believed
        .as_ref()
        .map_or_else(Instant::now, |believed| believed.read);
    let parsed = context.parsed(object).await;
    let mut app = parsed.map_err(|why| if deleting { waits(why) } else { why })?;
    app.writer = previous
        .writer
        .as_ref()
        .map(|writer| (writer.active, writer.epoch));
    let inventory = status::inventory_ids(previous);
    let known: Vec<ResourceId> = inventory.keys().cloned().collect();
    let seen = Seen {
        ids: inventory
            .into_iter()
            .filter_map(|(id, physical)| Some((id, physical?)))
            .collect(),
        at_rest: how
            .believed
            .map(|believed| believed.at_rest)
            .unwrap_or_default(),
        written: context.remember(object, Memory::written),
    };
    let wanted = topology::wanted(&app, &known, deleting);
    let options = Options {
        adopt: app.adopts(),
        observe_only: app.observe_only(),
    };
    let watch = (!deleting).then(|| context.watch(object));
    let rollout = Mutex::new(None);
    let second_thought = |seen: &Snapshot| {
        let remains = topology::with_remains(&app, &known, deleting, seen);
        let Some(watch) = &watch else {
            return remains;
        };
        let wanted = remains.unwrap_or_else(|| wanted.clone());
        let wanted = topology::with_own_rights(&app, wanted, seen);
        let (wanted, decided) = rollout::stage(&app, wanted, seen, &watch.known_of_rollout(object));
        tracing::debug!(course = ?decided.course, "decided what the functions run");
        *rollout.lock().unwrap_or_else(PoisonError::into_inner) = Some(decided);
        Some(wanted)
    };
    let passes = async {
        let pass = context.pass(object, every_facet)?;
        let cloud = AwsCloud::new(if believing { pass.believing() } else { pass });
        let outcome = reconcile::pass(&cloud, &wanted, &second_thought, &seen, options).await;
        if outcome.needs_every_facet {
            // Something has to change: that is decided on a complete read at first hand only.
            let cloud = AwsCloud::new(context.pass(object, true)?);
            let outcome = reconcile::pass(&cloud, &wanted, &second_thought, &seen, options).await;
            if believing && outcome.applied.is_empty() && outcome.plan.is_empty() {
                context.remember(object, Memory::was_misled);
            }
            return Ok((outcome, true, cloud.seen_since()));
        }
        let complete = cloud.reads_every_facet();
        Ok((outcome, complete, cloud.seen_since()))
    };
    let (outcome, complete, seen_since) = tokio::time::timeout(PASS_BUDGET, passes)
        .await
        .map_err(|_| {
            NotParsed::Failed(Failure {
                kind: FailureKind::Unreachable,
                operation: "multiregion:Pass".into(),
                code: "PassBudget".into(),
                message: format!(
                    "the pass took longer than {} s and was given up",
                    PASS_BUDGET.as_secs()
                ),
            })
        })?
        .map_err(NotParsed::Failed)?;
    let written = outcome.written.clone();
    context.remember(object, |memory| memory.wrote(written));
    if complete && !outcome.plan.is_empty() {
        let believed = Believed {
            generation: object.metadata.generation,
            deleting,
            read,
            at_rest: outcome.at_rest(),
        };
        context.remember(object, |memory| memory.believe(believed));
    }
    let rollout = rollout.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let (Some(watch), Some(rollout)) = (&watch, &rollout) {
        watch.after_pass(&app, &outcome, rollout);
    }
    Ok(Ran {
        app,
        wanted,
        outcome,
        rollout,
        seen_since,
    })
}

/// Of a deletion it is to be said that it waits, and what else would end it.
fn waits(why: NotParsed) -> NotParsed {
    match why {
        NotParsed::Failed(mut failure) if failure.kind == FailureKind::NotAllowed => {
            failure.message.push_str(
                "; the deletion waits until it is allowed again, or ends at once with deletionPolicy: Retain",
            );
            NotParsed::Failed(failure)
        }
        other => other,
    }
}

/// Metrics, events, and the one status patch.
async fn finish(
    context: &Arc<Context>,
    apps: &Api<MultiRegionApp>,
    app: &MultiRegionApp,
    ended: &Ended,
) -> Result<Pace, Error> {
    let watch = context.watch(app);
    let _writing = watch.writing.lock().await;
    // The spec and the annotations may have changed meanwhile, which is the next pass's to tell.
    let looked_at = app;
    let generation = looked_at.metadata.generation.unwrap_or_default();
    // The probes may have written meanwhile.
    let Some(app) = &apps.get_opt(&app.name_any()).await? else {
        return Ok(Pace::Settled);
    };
    let previous = app.status.clone().unwrap_or_default();
    let vitals = watch.vitals(app);
    let assessment = status::assess(&Situation {
        generation,
        previous: &previous,
        now: Timestamp::now(),
        handled: ended.handled(looked_at, &previous),
        vitals: vitals.as_ref(),
        structure: None,
        rollout: ended.rollout().map(|rollout| Rolling {
            rollout,
            since: watch.rolling_since(rollout, app),
        }),
        result: ended.result(),
    });
    watch.keep(assessment.structure.clone());
    let outcome = format!("{:?}", assessment.pace).to_lowercase();
    tracing::Span::current().record("outcome", outcome.as_str());
    let metrics = &context.health.metrics;
    metrics.reconcile(&outcome, ended.started.elapsed());
    let was_converged = !ended.deleting
        && previous.conditions.iter().any(|condition| {
            condition.type_ == CONDITION_READY
                && condition.status == "True"
                && condition.observed_generation == Some(generation)
        });
    if let Some(outcome) = ended.outcome() {
        count(context, app, outcome, was_converged);
        if is_ready(&assessment.status) {
            context.remember(app, |memory| memory.converged(&looked_at.spec));
        }
    }
    context.patch_status(apps, app, &assessment.status).await?;
    if assessment.pace.is_answered() {
        metrics.passed(&app.uid().unwrap_or_default(), Timestamp::now());
    }
    if let Some(outcome) = ended.outcome() {
        events::of_pass(&context.recorder, app, outcome, was_converged).await;
    }
    events::of_status(&context.recorder, app, &assessment.status).await;
    // An edit or an annotation may ask for the writes to move.
    watch.wake();
    Ok(assessment.pace)
}

fn is_ready(status: &MultiRegionAppStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == CONDITION_READY && condition.status == "True")
}

fn count(context: &Context, app: &MultiRegionApp, outcome: &Outcome, was_converged: bool) {
    let metrics = &context.health.metrics;
    for applied in &outcome.applied {
        metrics.applied(&applied.id.kind, applied.verb);
    }
    // What waits is counted when it no longer does.
    let differing = || outcome.found.ready();
    let keys = differing().map(Step::key).collect();
    let corrected = |step: &&Step| {
        let mut applied = outcome.applied.iter();
        applied.any(|applied| applied.id == step.id && applied.verb == step.change.verb())
    };
    let corrected = differing().filter(corrected).map(Step::key).collect();
    let new = context.remember(app, |memory| memory.new_differences(keys, &corrected));
    if was_converged {
        let (uid, now) = (app.uid().unwrap_or_default(), Timestamp::now());
        for step in differing().filter(|step| new.contains(&step.key())) {
            let difference = difference(step);
            metrics.drift(&uid, &difference, &step.id.kind, step.change.verb(), now);
        }
    }
}

/// Tells a difference from others, also by what is wanted: new code is wanted once, what somebody undoes again and again.
fn difference(step: &Step) -> String {
    let mut hasher = DefaultHasher::new();
    if let Change::Create { config } | Change::Update { config, .. } = &step.change {
        config.to_string().hash(&mut hasher);
    }
    format!("{} {:x}", step.key(), hasher.finish())
}
