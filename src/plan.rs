//! From what is wanted and what was seen to what is to be done: a pure function.
//!
//! The plan is specific enough that carrying it out makes no choices: every step is ready with its resolved
//! configuration, or waits on named resources, or is blocked for a stated reason. That text is the condition's message.

mod creation;
pub mod diff;
mod existing;
mod graph;
mod removal;
pub mod render;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::{
    DataPolicy, Desired, Failure, FailureKind, Observed, Removal, ResourceId, Snapshot, Wanted,
};
use diff::FieldChange;
use graph::resolve;
pub use graph::{references, sources};
use standing::resting;

/// What is left to do, in no particular order; empty when converged and at rest.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Plan {
    /// One entry a resource at most.
    pub steps: Vec<Step>,
    /// What stays behind on purpose, with the reason.
    pub retained: BTreeMap<ResourceId, String>,
}

/// One change of one resource.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Step {
    /// Which resource.
    pub id: ResourceId,
    /// What is to be done.
    pub change: Change,
    /// Whether it can be done now.
    pub state: State,
}

/// What is to be done with a resource.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum Change {
    /// Make it.
    Create {
        /// As it should be made; with references left where the step waits for them.
        config: Value,
    },
    /// Change some fields.
    Update {
        /// All managed fields as they should be after this step.
        config: Value,
        /// What differs.
        fields: Vec<FieldChange>,
    },
    /// Take it away.
    Delete {
        /// What becomes of its data.
        data: DataPolicy,
    },
    /// Nothing but waiting for AWS to finish.
    Await,
    /// Nothing can be said, since it could not be read.
    Unknown,
}

/// Whether a step can be done.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum State {
    /// Now.
    Ready,
    /// After these.
    Waiting(Vec<Wait>),
    /// Not before something outside changes.
    Blocked(Block),
}

/// What a step waits on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Wait {
    /// The resource.
    pub on: ResourceId,
    /// What of it: an output, a phase.
    pub what: String,
    /// Whether a person has to act before it comes.
    pub person: bool,
}

/// Why a step cannot be done.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum Block {
    /// The resource belongs to somebody else; the text says to whom.
    Foreign(String),
    /// The resource is there, nobody's, and `adoptionPolicy` says not to take it.
    Unowned,
    /// The call failed in this pass, or the resource could not be read.
    Failed(Failure),
    /// It failed on its own and holds data, so it is not made again.
    Broken(String),
}

/// What a pass has done so far, by which nothing is tried twice in it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Progress {
    /// Steps already taken, as [`Step::key`] names them.
    pub taken: BTreeSet<String>,
    /// What failed.
    pub failed: BTreeMap<ResourceId, Failure>,
    /// What deletion left behind, with the reason.
    pub retained: BTreeMap<ResourceId, String>,
    /// What AWS is still deleting, with what it waits for.
    pub deleting: BTreeMap<ResourceId, String>,
}

impl Step {
    /// Names the step within a pass: the resource, the kind of change, and the fields.
    pub fn key(&self) -> String {
        match &self.change {
            Change::Create { .. } => format!("create {}", self.id),
            Change::Update { fields, .. } => {
                let fields: BTreeSet<&str> = fields.iter().map(FieldChange::top_level).collect();
                format!("update {} {fields:?}", self.id)
            }
            Change::Delete { .. } => format!("delete {}", self.id),
            Change::Await => format!("await {}", self.id),
            Change::Unknown => format!("unknown {}", self.id),
        }
    }

    /// Whether it is a write, done or yet to be done.
    pub fn is_write(&self) -> bool {
        !matches!(self.change, Change::Await | Change::Unknown)
    }
}

impl Plan {
    /// Whether everything is as wanted, and at rest.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps that can be taken now.
    pub fn ready(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.state == State::Ready)
    }

    /// The number of writes that are left, ready or not.
    pub fn writes(&self) -> usize {
        self.steps.iter().filter(|step| step.is_write()).count()
    }
}

/// `config` with its references replaced as far as `snapshot` has them.
pub fn resolved(config: &Value, snapshot: &Snapshot) -> Value {
    resolve(config, snapshot).config
}

/// Compares what is wanted with what was seen. `adopt` takes over what is there and nobody's.
pub fn plan(wanted: &Wanted, snapshot: &Snapshot, progress: &Progress, adopt: bool) -> Plan {
    let planner = Planner {
        desired: wanted
            .desired
            .iter()
            .map(|desired| (&desired.id, desired))
            .collect(),
        removals: wanted
            .removals
            .iter()
            .map(|removal| (&removal.id, removal))
            .collect(),
        snapshot,
        progress,
        adopt,
    };
    let mut plan = Plan::default();
    plan.steps.extend(
        wanted
            .desired
            .iter()
            .filter_map(|desired| planner.step(desired)),
    );
    for removal in &wanted.removals {
        planner.removal(removal, &mut plan);
    }
    for step in &mut plan.steps {
        planner.not_twice(step);
    }
    plan
}

/// What a plan is made from. Its decisions are in `creation`, `existing` and `removal`, what they go by in `standing`.
struct Planner<'a> {
    desired: BTreeMap<&'a ResourceId, &'a Desired>,
    removals: BTreeMap<&'a ResourceId, &'a Removal>,
    snapshot: &'a Snapshot,
    progress: &'a Progress,
    adopt: bool,
}

impl Planner<'_> {
    fn step(&self, desired: &Desired) -> Option<Step> {
        let step = |change, state| {
            Some(Step {
                id: desired.id.clone(),
                change,
                state,
            })
        };
        let unknown = |failure| step(Change::Unknown, State::Blocked(Block::Failed(failure)));
        match self.snapshot.get(&desired.id) {
            None => unknown(unread(&desired.id)),
            Some(Observed::Unknown(failure)) => unknown(failure.clone()),
            Some(Observed::Absent) if desired.data => unknown(no_such_data(&desired.id)),
            Some(Observed::Absent) => {
                let (config, state) = self.creation(desired);
                step(Change::Create { config }, state)
            }
            Some(Observed::Present(live)) if desired.data => {
                let wait = resting(&desired.id, live)?;
                step(Change::Await, State::Waiting(vec![wait]))
            }
            Some(Observed::Present(live)) => self.existing(desired, live),
        }
    }

    /// What failed or was already done in this pass waits for the next.
    fn not_twice(&self, step: &mut Step) {
        if step.state != State::Ready {
            return;
        }
        if let Some(failure) = self.progress.failed.get(&step.id) {
            step.state = State::Blocked(Block::Failed(failure.clone()));
        } else if self.progress.taken.contains(&step.key()) {
            step.state = State::Waiting(vec![Wait::on(&step.id, "to show the change just made")]);
        }
    }
}

impl Wait {
    /// For `on` to be as `what` says.
    fn on(on: &ResourceId, what: impl Into<String>) -> Self {
        Self {
            on: on.clone(),
            what: what.into(),
            person: false,
        }
    }
}

/// Nobody asked for it: a gap in what was read never passes for something converged.
fn unread(id: &ResourceId) -> Failure {
    Failure {
        kind: FailureKind::Transient,
        operation: "multiregion:Observe".into(),
        code: "NotRead".into(),
        message: format!("{id} was not read"),
    }
}

fn no_such_data(id: &ResourceId) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        operation: "multiregion:Observe".into(),
        code: "NotFound".into(),
        message: format!("{id} does not exist"),
    }
}

#[cfg(test)]
mod tests;
