//! What is not there: made once what it needs is.

use serde_json::Value;

use super::graph::resolve;
use super::{Planner, State, Wait, sources};
use crate::model::Desired;

impl Planner<'_> {
    /// The configuration to create with, and whether that can be done now.
    pub(super) fn creation(&self, desired: &Desired) -> (Value, State) {
        let before = desired.parent.iter().chain(&desired.after);
        let mut waits: Vec<Wait> = before.filter_map(|id| self.not_there(id)).collect();
        let resolved = resolve(&desired.config, self.snapshot);
        waits.extend(
            resolved
                .missing
                .iter()
                .map(|reference| self.wait_for(reference)),
        );
        waits.extend(self.foreign_sources(&desired.config));
        if waits.is_empty() {
            return (self.with_initial(desired, resolved.config), State::Ready);
        }
        if let Some(config) = self.fallback(desired, &waits) {
            return (config, State::Ready);
        }
        waits.sort();
        waits.dedup();
        (desired.config.clone(), State::Waiting(waits))
    }

    /// What to make instead, if all that is waited for is out of reach and the fallback needs none of it.
    fn fallback(&self, desired: &Desired, waits: &[Wait]) -> Option<Value> {
        let fallback = desired.fallback.as_ref()?;
        if !waits.iter().all(|wait| self.out_of_reach(&wait.on)) {
            return None;
        }
        let resolved = resolve(fallback, self.snapshot);
        let needed = sources(fallback);
        let before = desired
            .after
            .iter()
            .filter(|id| needed.contains(*id))
            .chain(&desired.parent);
        let complete = resolved.missing.is_empty() && self.foreign_sources(fallback).is_empty();
        (complete && before.filter_map(|id| self.not_there(id)).count() == 0)
            .then(|| self.with_initial(desired, resolved.config))
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
}
