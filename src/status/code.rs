//! `CodeInSync`: whether every region runs the code and the configuration that is wanted.

use jiff::SignedDuration;

use super::Situation;
use super::audit::live;
use super::conditions::Stand;
use crate::app::App;
use crate::model::{Observed, ResourceId};
use crate::plan::{Change, Step};
use crate::reconcile::Outcome;
use crate::rollout::{Course, Rollout};
use crate::topology::ids;

/// For so long what differs between the regions because of a rollout is no fault.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Reason of what is on its way.
pub(super) const ROLLING_OUT: &str = "RollingOut";
/// Reason of what failed.
pub(super) const STOPPED: &str = "Stopped";

/// `CodeInSync`. `known`: whether it was True or False before.
pub(super) fn in_sync(
    app: &App,
    outcome: &Outcome,
    rollout: Option<&Rollout>,
    known: bool,
) -> Stand {
    for site in app.sites() {
        let id = ids::function(site);
        match outcome.snapshot.get(&id) {
            Some(Observed::Present(_)) => {}
            Some(Observed::Unknown(failure)) => {
                return Stand::new("Unknown", "NotObserved", format!("{id}: {failure}"));
            }
            Some(Observed::Absent) | None => {
                let message = format!("{id} does not exist yet");
                return Stand::new("Unknown", "NotDeployed", message);
            }
        }
    }
    if let Some(message) = rollout.and_then(stopped) {
        return Stand::new("False", STOPPED, message);
    }
    let version = rollout.and_then(|rollout| rollout.version.as_deref());
    let version = version.unwrap_or("unknown");
    match rolling(app, outcome) {
        Some(what) if known => {
            let message = format!("version {version}: {what}");
            Stand::new("False", ROLLING_OUT, message)
        }
        Some(what) => Stand::new("Unknown", "NotDeployed", what),
        None => Stand::new(
            "True",
            "InSync",
            format!("every region runs version {version}"),
        ),
    }
}

/// That a release was stopped, in words.
pub(super) fn stopped(rollout: &Rollout) -> Option<String> {
    let Course::Stop(reason) = &rollout.course else {
        return None;
    };
    let name = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".into());
    let (version, good) = (name(&rollout.version), name(&rollout.good));
    let what = if version == good {
        format!("the configuration asked for with version {version}")
    } else {
        format!("version {version}")
    };
    Some(format!(
        "{what} failed in DR and did not come to the primary: {reason}; every region goes on with version {good} (put a \
         newer version, change the spec, or pin a version)"
    ))
}

/// What of the functions is not as wanted, or not alike.
fn rolling(app: &App, outcome: &Outcome) -> Option<String> {
    let ids: Vec<ResourceId> = app
        .sites()
        .flat_map(|site| [ids::code(app, site), ids::function(site)])
        .collect();
    let step = outcome
        .plan
        .steps
        .iter()
        .find(|step| ids.contains(&step.id) && is_rollout(step));
    if let Some(step) = step {
        let state = step.state.to_string();
        let waits = if state.is_empty() { "now" } else { &state };
        return Some(format!("{} {}: {waits}", step.summary(), step.id));
    }
    let hash = |id: &ResourceId| live(outcome, id)?.outputs.get("code_sha256");
    let dr = app.dr.as_ref()?;
    let (primary, dr) = (ids::function(&app.primary), ids::function(dr));
    (hash(&primary) != hash(&dr)).then(|| format!("{primary} and {dr} run different code"))
}

/// Whether a step is about what a function is, and not only about what is written on it.
pub(super) fn is_rollout(step: &Step) -> bool {
    match &step.change {
        Change::Update { fields, .. } => fields.iter().any(|field| field.top_level() != "tags"),
        Change::Create { .. } | Change::Await => true,
        Change::Delete { .. } | Change::Unknown => false,
    }
}

/// What `FailoverHealthy` says of sides that differ because of a rollout, while that is young.
pub(super) fn young(situation: &Situation<'_>, app: &App, outcome: &Outcome) -> Option<Stand> {
    let rolling_out = situation.rollout?;
    let what = rolling(app, outcome)?;
    let age = situation.now.duration_since(rolling_out.since);
    (age < PATIENCE).then(|| Stand::new("True", ROLLING_OUT, what))
}
