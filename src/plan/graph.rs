//! References in configurations: finding them, resolving them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::{Observed, Reference, ResourceId, Snapshot};

/// A configuration with its references replaced as far as possible.
pub(super) struct Resolved {
    /// With those still in it that are missing.
    pub config: Value,
    /// What could not be resolved.
    pub missing: Vec<Reference>,
}

/// Replaces each reference by the output it names.
pub(super) fn resolve(config: &Value, snapshot: &Snapshot) -> Resolved {
    let mut missing = Vec::new();
    let config = replace(config, snapshot, &mut missing);
    Resolved { config, missing }
}

fn replace(value: &Value, snapshot: &Snapshot, missing: &mut Vec<Reference>) -> Value {
    if let Some(reference) = as_reference(value) {
        let output = snapshot
            .get(&reference.from)
            .and_then(Observed::live)
            .and_then(|live| live.outputs.get(&reference.output));
        return match output {
            Some(output) => Value::String(reference.template.replace("{}", output)),
            None => {
                missing.push(reference);
                value.clone()
            }
        };
    }
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| replace(item, snapshot, missing))
            .collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| (name.clone(), replace(field, snapshot, missing)))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}

/// The resources that a configuration refers to.
pub fn sources(config: &Value) -> BTreeSet<ResourceId> {
    let mut found = BTreeSet::new();
    references(config, &mut |reference| {
        found.insert(reference.from);
    });
    found
}

/// Calls `visit` for each reference in `config`.
pub fn references(config: &Value, visit: &mut impl FnMut(Reference)) {
    if let Some(reference) = as_reference(config) {
        visit(reference);
        return;
    }
    match config {
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| references(field, visit)),
        _ => {}
    }
}

fn as_reference(value: &Value) -> Option<Reference> {
    let fields = value.as_object().filter(|fields| fields.len() == 3)?;
    fields
        .contains_key("$output")
        .then(|| serde_json::from_value(value.clone()).ok())
        .flatten()
}
