//! References in configurations: finding them, resolving them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::diff::TAGS;
use crate::model::{Live, Observed, Reference, ResourceId, Snapshot};

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

/// Whether `live` has all that `config` wants, to the letter: what every resource at rest passes, without a copy made.
/// A list in another order may still equal; that is for the diff to say.
pub(super) fn matches(config: &Value, live: &Live, snapshot: &Snapshot) -> bool {
    let Some(fields) = config.as_object() else {
        return true;
    };
    fields.iter().all(|(name, field)| {
        if live.unread.contains(name) {
            return true;
        }
        match (field, live.config.get(name)) {
            (Value::Object(wanted), Some(Value::Object(seen))) if name == TAGS => wanted
                .iter()
                .all(|(key, value)| seen.get(key) == Some(value)),
            (field, Some(seen)) => is_same(field, seen, snapshot),
            (field, None) => field.is_null(),
        }
    })
}

fn is_same(wanted: &Value, seen: &Value, snapshot: &Snapshot) -> bool {
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            wanted.len() == seen.len()
                && wanted.iter().all(|(name, field)| {
                    seen.get(name)
                        .is_some_and(|seen| is_same(field, seen, snapshot))
                })
        }
        (Value::Array(wanted), Value::Array(seen)) => {
            wanted.len() == seen.len()
                && wanted
                    .iter()
                    .zip(seen)
                    .all(|(wanted, seen)| is_same(wanted, seen, snapshot))
        }
        (Value::Object(_), Value::String(seen)) => {
            let mut missing = Vec::new();
            replace(wanted, snapshot, &mut missing).as_str() == Some(seen)
        }
        (wanted, seen) => wanted == seen,
    }
}

/// A reference as [`Reference`] serialises, read by hand: this is asked of every object of every configuration.
pub(super) fn as_reference(value: &Value) -> Option<Reference> {
    let fields = value.as_object().filter(|fields| fields.len() == 3)?;
    let text = |name: &str| fields.get(name)?.as_str();
    let (output, template) = (text("$output")?, text("$template")?);
    let from = fields.get("$from")?;
    let part = |name: &str| from.get(name)?.as_str();
    Some(Reference {
        from: ResourceId::new(part("kind")?, part("region")?, part("name")?),
        output: output.into(),
        template: template.into(),
    })
}
