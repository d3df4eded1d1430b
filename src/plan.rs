//! From what is wanted and what was seen to what is to be done: a pure function.
//!
//! The plan is specific enough that carrying it out makes no choices: every step is ready with its resolved
//! configuration, or waits on named resources, or is blocked for a stated reason. That text is the condition's message.

pub mod diff;
mod graph;
pub mod render;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::{
    DataPolicy, Desired, Failure, FailureKind, Guard, Live, Observed, Owner, Phase, Removal,
    RemovalMode, ResourceId, Snapshot, Wanted,
};
use diff::FieldChange;
use graph::resolve;
pub use graph::{references, sources};

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
        planner.removal(removal, wanted, &mut plan);
    }
    for step in &mut plan.steps {
        planner.not_twice(step);
    }
    plan
}

struct Planner<'a> {
    desired: BTreeMap<&'a ResourceId, &'a Desired>,
    snapshot: &'a Snapshot,
    progress: &'a Progress,
    adopt: bool,
}

/// The configuration that an existing resource should have *now*, and what keeps it from the final one.
struct Effective {
    config: Value,
    waits: Vec<Wait>,
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
        match self.snapshot.get(&desired.id) {
            None => None,
            Some(Observed::Unknown(failure)) => step(
                Change::Unknown,
                State::Blocked(Block::Failed(failure.clone())),
            ),
            Some(Observed::Absent) if desired.data => {
                let failure = Failure {
                    kind: FailureKind::Invalid,
                    operation: "multiregion:Observe".into(),
                    code: "NotFound".into(),
                    message: format!("{} does not exist", desired.id),
                };
                step(Change::Unknown, State::Blocked(Block::Failed(failure)))
            }
            Some(Observed::Absent) => {
                let (config, state) = self.creation(desired);
                step(Change::Create { config }, state)
            }
            Some(Observed::Present(live)) if desired.data => match resting(&desired.id, live) {
                Some(wait) => step(Change::Await, State::Waiting(vec![wait])),
                None => None,
            },
            Some(Observed::Present(live)) => self.change(desired, live),
        }
    }

    fn creation(&self, desired: &Desired) -> (Value, State) {
        let mut waits = self.missing(desired.after.iter());
        let resolved = resolve(&desired.config, self.snapshot);
        waits.extend(
            resolved
                .missing
                .iter()
                .map(|reference| self.wait_for(reference)),
        );
        if waits.is_empty() {
            return (self.with_initial(desired, resolved.config), State::Ready);
        }
        if let Some(fallback) = &desired.fallback
            && waits.iter().all(|wait| self.out_of_reach(&wait.on, 0))
        {
            let resolved = resolve(fallback, self.snapshot);
            let fallback_sources = sources(fallback);
            let needed = desired
                .after
                .iter()
                .filter(|id| fallback_sources.contains(*id));
            if resolved.missing.is_empty() && self.missing(needed).is_empty() {
                return (self.with_initial(desired, resolved.config), State::Ready);
            }
        }
        waits.sort();
        waits.dedup();
        (desired.config.clone(), State::Waiting(waits))
    }

    /// A guarded resource is made with its guard's initial values; the next plan brings the final ones.
    fn with_initial(&self, desired: &Desired, mut config: Value) -> Value {
        if let Some(guard) = &desired.guard
            && !self.lacking(guard, &config).is_empty()
            && let Value::Object(fields) = &mut config
        {
            fields.extend(guard.initial.clone());
        }
        config
    }

    /// What `config` needs and is not in place.
    fn lacking(&self, guard: &Guard, config: &Value) -> Vec<Wait> {
        let needed = guard
            .until
            .iter()
            .filter(|needed| config.pointer(&needed.only_with).is_some());
        self.missing(needed.map(|needed| &needed.id))
    }

    /// Keeps guarded fields at their live value: first those that must not move to what is not in place, then those
    /// that must not move while what they would have is not.
    fn guard(&self, guard: &Guard, config: &mut Value, live: &Live, waits: &mut Vec<Wait>) {
        let initial: BTreeSet<String> = guard.initial.keys().cloned().collect();
        for fields in [&guard.fields, &initial] {
            let lacking = self.lacking(guard, config);
            if lacking.is_empty() {
                continue;
            }
            for name in fields {
                let live_field = live.config.get(name).unwrap_or(&Value::Null);
                if let Some(field) = config.get_mut(name)
                    && !diff::equal(name, field, live_field)
                {
                    *field = live_field.clone();
                    waits.extend(lacking.iter().cloned());
                }
            }
        }
    }

    fn change(&self, desired: &Desired, live: &Live) -> Option<Step> {
        let step = |change, state| {
            Some(Step {
                id: desired.id.clone(),
                change,
                state,
            })
        };
        match &live.owner {
            Owner::Other(owner) => {
                return step(Change::Await, State::Blocked(Block::Foreign(owner.clone())));
            }
            Owner::Nobody if !self.adopt => {
                return step(Change::Await, State::Blocked(Block::Unowned));
            }
            Owner::Nobody | Owner::Ours => {}
        }
        if let Phase::Failed(why) = &live.phase {
            return if desired.holds_data {
                step(Change::Await, State::Blocked(Block::Broken(why.clone())))
            } else {
                step(
                    Change::Delete {
                        data: DataPolicy::Keep,
                    },
                    State::Ready,
                )
            };
        }
        let Effective { config, waits } = self.effective(desired, live);
        let fields = diff::fields(&config, live);
        let rest = resting(&desired.id, live);
        if !fields.is_empty() {
            // What AWS is busy with takes no change, but what it merely spreads does.
            let state = match (&live.phase, rest) {
                (Phase::Pending(_) | Phase::Deleting, Some(wait)) => State::Waiting(vec![wait]),
                _ => State::Ready,
            };
            return step(Change::Update { config, fields }, state);
        }
        if !waits.is_empty() {
            let target = resolve(&desired.config, self.snapshot).config;
            let fields = diff::fields(&target, live);
            return step(
                Change::Update {
                    config: target,
                    fields,
                },
                State::Waiting(waits),
            );
        }
        rest.and_then(|wait| step(Change::Await, State::Waiting(vec![wait])))
    }

    /// Fields whose references are missing, and guarded ones, keep their live value; surplus entries of an overlap stay.
    fn effective(&self, desired: &Desired, live: &Live) -> Effective {
        let Value::Object(fields) = &desired.config else {
            return Effective {
                config: desired.config.clone(),
                waits: Vec::new(),
            };
        };
        let mut config = serde_json::Map::new();
        let mut waits = Vec::new();
        for (name, field) in fields {
            let live_field = live.config.get(name).unwrap_or(&Value::Null);
            let resolved = resolve(field, self.snapshot);
            if !resolved.missing.is_empty() {
                waits.extend(
                    resolved
                        .missing
                        .iter()
                        .map(|reference| self.wait_for(reference)),
                );
                config.insert(name.clone(), live_field.clone());
                continue;
            }
            let mut value = resolved.config;
            if let Some(overlap) = &desired.overlap
                && overlap.field == *name
            {
                let unsettled = self.unsettled(overlap.until.iter());
                if !unsettled.is_empty() && keep_surplus(&mut value, live_field) {
                    waits.extend(unsettled);
                }
            }
            config.insert(name.clone(), value);
        }
        let mut config = Value::Object(config);
        if let Some(guard) = &desired.guard {
            self.guard(guard, &mut config, live, &mut waits);
        }
        waits.sort();
        waits.dedup();
        Effective { config, waits }
    }

    fn wait_for(&self, reference: &crate::model::Reference) -> Wait {
        let live = self.snapshot.get(&reference.from).and_then(Observed::live);
        let what = match live.map(|live| &live.phase) {
            Some(Phase::Pending(what) | Phase::Deploying(what) | Phase::WaitingForPerson(what)) => {
                what.clone()
            }
            _ => format!("its {}", reference.output),
        };
        let person = matches!(
            live.map(|live| &live.phase),
            Some(Phase::WaitingForPerson(_))
        );
        Wait {
            on: reference.from.clone(),
            what,
            person,
        }
    }

    /// Those of `ids` that are not in place: there, ours, and with nothing lacking.
    fn missing<'b>(&self, ids: impl Iterator<Item = &'b ResourceId>) -> Vec<Wait> {
        ids.filter(|id| !self.in_place(id))
            .map(|id| Wait {
                on: id.clone(),
                what: "to be in place".into(),
                person: false,
            })
            .collect()
    }

    fn in_place(&self, id: &ResourceId) -> bool {
        let Some(Observed::Present(live)) = self.snapshot.get(id) else {
            return false;
        };
        if live.owner != Owner::Ours && !(self.adopt && live.owner == Owner::Nobody) {
            return self.desired.get(id).is_some_and(|desired| desired.data);
        }
        if matches!(live.phase, Phase::Failed(_) | Phase::Deleting) {
            return false;
        }
        self.desired.get(id).is_none_or(|desired| {
            let mut target = resolve(&desired.config, self.snapshot);
            if let (Some(overlap), Value::Object(fields)) = (&desired.overlap, &mut target.config)
                && let Some(field) = fields.get_mut(&overlap.field)
            {
                keep_surplus(
                    field,
                    live.config.get(&overlap.field).unwrap_or(&Value::Null),
                );
            }
            desired.data
                || target.missing.is_empty() && diff::fields(&target.config, live).is_empty()
        })
    }

    /// Those of `ids` that are not yet as they should be in the end, and at rest.
    fn unsettled<'b>(&self, ids: impl Iterator<Item = &'b ResourceId>) -> Vec<Wait> {
        ids.filter_map(|id| {
            let wait = |what: &str| {
                Some(Wait {
                    on: id.clone(),
                    what: what.into(),
                    person: false,
                })
            };
            match self.snapshot.get(id) {
                None | Some(Observed::Absent) if !self.desired.contains_key(id) => None,
                None | Some(Observed::Absent) => wait("to be made"),
                Some(Observed::Unknown(_)) => wait("to be readable again"),
                Some(Observed::Present(live)) => match (self.desired.get(id), resting(id, live)) {
                    (_, Some(wait)) => Some(wait),
                    (Some(desired), None) => {
                        let target = resolve(&desired.config, self.snapshot);
                        let done = target.missing.is_empty()
                            && diff::fields(&target.config, live).is_empty();
                        if done { None } else { wait("to be updated") }
                    }
                    (None, None) => None,
                },
            }
        })
        .collect()
    }

    /// Whether `id` cannot be had in this pass: unreadable, failed, blocked, or waiting on such a one.
    fn out_of_reach(&self, id: &ResourceId, depth: usize) -> bool {
        // A chain longer than any topology has is a cycle, which is not out of reach but simply not there yet.
        if depth > 16 {
            return false;
        }
        if self.progress.failed.contains_key(id)
            || matches!(self.snapshot.get(id), Some(Observed::Unknown(_)))
        {
            return true;
        }
        match (self.snapshot.get(id), self.desired.get(id)) {
            (Some(Observed::Absent), Some(desired)) => desired
                .after
                .iter()
                .chain(&sources(&desired.config))
                .any(|source| !self.in_place(source) && self.out_of_reach(source, depth + 1)),
            (Some(Observed::Present(live)), Some(_)) => matches!(live.owner, Owner::Other(_)),
            _ => false,
        }
    }

    fn removal(&self, removal: &Removal, wanted: &Wanted, plan: &mut Plan) {
        let id = &removal.id;
        let live = match self.snapshot.get(id) {
            None | Some(Observed::Absent) => return,
            Some(Observed::Unknown(failure)) => {
                if let RemovalMode::Delete(data) = removal.mode {
                    let state = State::Blocked(Block::Failed(failure.clone()));
                    plan.steps.push(Step {
                        id: id.clone(),
                        change: Change::Delete { data },
                        state,
                    });
                }
                return;
            }
            Some(Observed::Present(live)) => live,
        };
        match &live.owner {
            // What is not ours is none of our business, and nothing we left behind.
            Owner::Other(_) | Owner::Nobody => return,
            Owner::Ours => {}
        }
        let data = match &removal.mode {
            RemovalMode::Retain(reason) => {
                plan.retained.insert(id.clone(), reason.clone());
                return;
            }
            RemovalMode::Delete(data) => *data,
        };
        if let Some(reason) = self.progress.retained.get(id) {
            plan.retained.insert(id.clone(), reason.clone());
            return;
        }
        let mut waits = self.not_yet_gone(removal, wanted);
        if live.phase == Phase::Deleting {
            waits.extend(resting(id, live));
        } else if let Some(what) = self.progress.deleting.get(id) {
            waits.push(Wait {
                on: id.clone(),
                what: what.clone(),
                person: false,
            });
        }
        let state = if waits.is_empty() {
            State::Ready
        } else {
            State::Waiting(waits)
        };
        plan.steps.push(Step {
            id: id.clone(),
            change: Change::Delete { data },
            state,
        });
    }

    fn not_yet_gone(&self, removal: &Removal, wanted: &Wanted) -> Vec<Wait> {
        let mut waits = Vec::new();
        for id in &removal.after {
            if self.desired.contains_key(id) {
                waits.extend(self.unsettled(std::iter::once(id)));
                continue;
            }
            let stays = self.progress.retained.contains_key(id)
                || wanted
                    .removals
                    .iter()
                    .any(|other| other.id == *id && matches!(other.mode, RemovalMode::Retain(_)));
            match self.snapshot.get(id) {
                None | Some(Observed::Absent) => {}
                Some(Observed::Present(live)) if stays || live.owner != Owner::Ours => {}
                Some(Observed::Unknown(_)) if stays => {}
                Some(_) => waits.push(Wait {
                    on: id.clone(),
                    what: "to be gone".into(),
                    person: false,
                }),
            }
        }
        waits
    }

    /// What failed or was already done in this pass waits for the next.
    fn not_twice(&self, step: &mut Step) {
        if step.state != State::Ready {
            return;
        }
        if let Some(failure) = self.progress.failed.get(&step.id) {
            step.state = State::Blocked(Block::Failed(failure.clone()));
        } else if self.progress.taken.contains(&step.key()) {
            let wait = Wait {
                on: step.id.clone(),
                what: "to show the change just made".into(),
                person: false,
            };
            step.state = State::Waiting(vec![wait]);
        }
    }
}

/// What a resource that is not at rest is busy with.
fn resting(id: &ResourceId, live: &Live) -> Option<Wait> {
    let (what, person) = match &live.phase {
        Phase::Ready => return None,
        Phase::Pending(what) | Phase::Deploying(what) => (what.clone(), false),
        Phase::WaitingForPerson(what) => (what.clone(), true),
        Phase::Failed(why) => (format!("to be made again: {why}"), false),
        Phase::Deleting => ("to be gone".into(), false),
    };
    Some(Wait {
        on: id.clone(),
        what,
        person,
    })
}

/// Adds to the object `value` the entries that only `live` has; says whether there were any.
fn keep_surplus(value: &mut Value, live: &Value) -> bool {
    let (Value::Object(wanted), Value::Object(live)) = (value, live) else {
        return false;
    };
    let mut any = false;
    for (key, entry) in live {
        if !wanted.contains_key(key) {
            wanted.insert(key.clone(), entry.clone());
            any = true;
        }
    }
    any
}

#[cfg(test)]
mod tests;
