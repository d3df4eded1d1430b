//! What is there: left alone, changed, or made again.

use std::collections::BTreeSet;

use serde_json::Value;

use super::graph::resolve;
use super::standing::resting;
use super::{Block, Change, Planner, State, Step, Wait, diff};
use crate::model::{DataPolicy, Desired, Guard, Hold, Live, Owner, Phase};

/// The configuration that an existing resource should have *now*, and what keeps it from the final one.
struct Effective {
    config: Value,
    waits: Vec<Wait>,
}

impl Planner<'_> {
    pub(super) fn existing(&self, desired: &Desired, live: &Live) -> Option<Step> {
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
        if let Some(wait) = self.foreign_parent(desired) {
            return step(Change::Await, State::Waiting(vec![wait]));
        }
        if let Phase::Failed(why) = &live.phase {
            if desired.holds_data {
                return step(Change::Await, State::Blocked(Block::Broken(why.clone())));
            }
            let data = DataPolicy::Keep;
            return step(Change::Delete { data }, State::Ready);
        }
        let rest = resting(&desired.id, live);
        if self.is_as_wanted(desired, live) {
            return rest.and_then(|wait| step(Change::Await, State::Waiting(vec![wait])));
        }
        let Effective { config, waits } = self.effective(desired, live);
        let fields = diff::fields(&config, live);
        if !fields.is_empty() {
            // What AWS is busy with takes no change, but what it merely spreads does.
            let state = match (&live.phase, rest) {
                (Phase::Pending(_) | Phase::Deleting, Some(wait)) => State::Waiting(vec![wait]),
                _ => State::Ready,
            };
            return step(Change::Update { config, fields }, state);
        }
        if !waits.is_empty() {
            let config = resolve(&desired.config, self.snapshot).config;
            let fields = diff::fields(&config, live);
            return step(Change::Update { config, fields }, State::Waiting(waits));
        }
        rest.and_then(|wait| step(Change::Await, State::Waiting(vec![wait])))
    }

    /// Whether there is a change of it that could be made now.
    pub(super) fn is_to_be_changed(&self, desired: &Desired, live: &Live) -> bool {
        !self.is_as_wanted(desired, live)
            && !diff::fields(&self.effective(desired, live).config, live).is_empty()
    }

    /// What should be now of the wanted configuration; of the fallback, if only that lets the resource leave its
    /// initial state.
    fn effective(&self, desired: &Desired, live: &Live) -> Effective {
        let mut effective = self.towards(&desired.config, desired, live);
        effective.waits.sort();
        effective.waits.dedup();
        if let (Some(fallback), Some(guard)) = (&desired.fallback, &desired.guard)
            && is_initial(guard, &effective.config)
            && effective
                .waits
                .iter()
                .all(|wait| self.out_of_reach(&wait.on))
        {
            let instead = self.towards(fallback, desired, live);
            if !is_initial(guard, &instead.config) {
                effective.config = instead.config;
            }
        }
        effective
    }

    /// Fields of `wanted` whose references are missing, and guarded ones, keep their live value; surplus entries of an
    /// overlap stay.
    fn towards(&self, wanted: &Value, desired: &Desired, live: &Live) -> Effective {
        let mut waits = Vec::new();
        let Value::Object(fields) = wanted else {
            let config = wanted.clone();
            return Effective { config, waits };
        };
        let mut config = serde_json::Map::new();
        for (name, field) in fields {
            let live_field = live.config.get(name).unwrap_or(&Value::Null);
            let resolved = resolve(field, self.snapshot);
            let mut value = resolved.config;
            if !resolved.missing.is_empty() {
                let missing = resolved.missing.iter();
                waits.extend(missing.map(|reference| self.wait_for(reference)));
                value = live_field.clone();
            } else if let Some(overlap) = &desired.overlap
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
            self.guard(desired, guard, &mut config, live, &mut waits);
        }
        if let Some(hold) = &desired.hold {
            self.hold(hold, &mut config, live, &mut waits);
        }
        Effective { config, waits }
    }

    /// Keeps held fields at their live value.
    fn hold(&self, hold: &Hold, config: &mut Value, live: &Live, waits: &mut Vec<Wait>) {
        let Some(wait) = self.held(hold, live) else {
            return;
        };
        for name in &hold.fields {
            let live_field = live.config.get(name).unwrap_or(&Value::Null);
            if let Some(field) = config.get_mut(name)
                && !diff::equal(name, field, live_field)
            {
                *field = live_field.clone();
                waits.push(wait.clone());
            }
        }
    }

    /// Keeps guarded fields at their live value: first those that must not move to what is not in place, then those
    /// that must not move while what they would have is not, or is of another time.
    fn guard(
        &self,
        desired: &Desired,
        guard: &Guard,
        config: &mut Value,
        live: &Live,
        waits: &mut Vec<Wait>,
    ) {
        let initial: BTreeSet<String> = guard.initial.keys().cloned().collect();
        for fields in [&guard.fields, &initial] {
            let mut lacking = self.lacking(guard, config);
            if fields == &initial
                && !waits.is_empty()
                && self.is_of_another_time(desired, guard, config)
            {
                lacking.extend(waits.iter().cloned());
            }
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

    /// Whether guarded fields of `config` had to stay as they are and are neither what is wanted nor the fallback: what
    /// is needed is then in place for those two, and need not be for what they are.
    fn is_of_another_time(&self, desired: &Desired, guard: &Guard, config: &Value) -> bool {
        let mut wanted = std::iter::once(&desired.config).chain(&desired.fallback);
        wanted.all(|wanted| {
            guard.fields.iter().any(|name| {
                let field = wanted.get(name).unwrap_or(&Value::Null);
                let resolved = resolve(field, self.snapshot);
                let now = config.get(name).unwrap_or(&Value::Null);
                !resolved.missing.is_empty() || !diff::equal(name, &resolved.config, now)
            })
        })
    }

    /// What `config` needs and is not in place.
    pub(super) fn lacking(&self, guard: &Guard, config: &Value) -> Vec<Wait> {
        guard
            .until
            .iter()
            .filter(|needed| config.pointer(&needed.only_with).is_some())
            .filter_map(|needed| self.not_in_place(&needed.id))
            .collect()
    }
}

/// Whether `config` has the guard's initial values.
fn is_initial(guard: &Guard, config: &Value) -> bool {
    !guard.initial.is_empty()
        && guard
            .initial
            .iter()
            .all(|(name, value)| config.get(name) == Some(value))
}

/// Adds to the object `value` the entries that only `live` has; says whether there were any.
pub(super) fn keep_surplus(value: &mut Value, live: &Value) -> bool {
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
