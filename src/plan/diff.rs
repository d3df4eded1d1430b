//! One diff over the field tree for all kinds.
//!
//! At the top level only the fields that are wanted are compared: absent means unmanaged. Below it a field is compared
//! whole. Lists of plain values are sets. Tags are compared by the wanted keys only: others' tags stay.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::graph::as_reference;
use crate::model::Live;

/// The field that is compared by its wanted keys only.
pub(super) const TAGS: &str = "tags";
/// The field whose values are never shown.
pub(super) const ENVIRONMENT: &str = "environment";

/// One leaf that differs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FieldChange {
    /// Dotted path, as in `routing.groups.lambda.status_codes`.
    pub path: String,
    /// What was seen; null where nothing was.
    pub from: Value,
    /// What is wanted; null where nothing is.
    pub to: Value,
}

impl FieldChange {
    /// The managed field that the leaf is in.
    pub fn top_level(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or(&self.path)
    }
}

/// `memory_size: 128 → 512`; values of environment variables are left out.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.top_level() == ENVIRONMENT {
            let what = match (&self.from, &self.to) {
                (Value::Null, _) => "added",
                (_, Value::Null) => "removed",
                _ => "changed",
            };
            return write!(f, "{}: {what} (value not shown)", self.path);
        }
        write!(
            f,
            "{}: {} → {}",
            self.path,
            short(&self.from),
            short(&self.to)
        )
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            let items: Vec<String> = items.iter().map(short).collect();
            format!("[{}]", items.join(" "))
        }
        other => match as_reference(other) {
            Some(reference) => {
                let what = format!("<{} of {}>", reference.output, reference.from);
                reference.template.replace("{}", &what)
            }
            None => in_words(other).to_string(),
        },
    }
}

/// References in a tree as the words they are shown with.
fn in_words(value: &Value) -> Value {
    match value {
        Value::Object(_) if as_reference(value).is_some() => Value::String(short(value)),
        Value::Object(fields) => {
            let shown = fields
                .iter()
                .map(|(name, field)| (name.clone(), in_words(field)));
            Value::Object(shown.collect())
        }
        Value::Array(items) => items.iter().map(in_words).collect(),
        scalar => scalar.clone(),
    }
}

/// What differs between the wanted fields and the live ones, those not read left out.
pub fn fields(wanted: &Value, live: &Live) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let Value::Object(wanted) = wanted else {
        return changes;
    };
    for (name, field) in wanted {
        if live.unread.contains(name) {
            continue;
        }
        let seen = live.config.get(name).unwrap_or(&Value::Null);
        if name == TAGS {
            subset(name, field, seen, &mut changes);
        } else {
            compare(name, field, seen, &mut changes);
        }
    }
    changes
}

/// Whether one top-level field is as wanted.
pub(super) fn equal(name: &str, wanted: &Value, seen: &Value) -> bool {
    let mut changes = Vec::new();
    compare(name, wanted, seen, &mut changes);
    changes.is_empty()
}

fn subset(path: &str, wanted: &Value, seen: &Value, changes: &mut Vec<FieldChange>) {
    let Value::Object(wanted) = wanted else {
        return;
    };
    for (key, value) in wanted {
        compare(
            &format!("{path}.{key}"),
            value,
            seen.get(key).unwrap_or(&Value::Null),
            changes,
        );
    }
}

fn compare(path: &str, wanted: &Value, seen: &Value, changes: &mut Vec<FieldChange>) {
    // Nearly always, and much faster than to name every path.
    if wanted == seen {
        return;
    }
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            for (name, field) in wanted {
                compare(
                    &format!("{path}.{name}"),
                    field,
                    seen.get(name).unwrap_or(&Value::Null),
                    changes,
                );
            }
            for (name, field) in seen.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                compare(&format!("{path}.{name}"), &Value::Null, field, changes);
            }
        }
        (Value::Array(wanted_items), Value::Array(seen_items)) => {
            let plain = |items: &[Value]| {
                items
                    .iter()
                    .all(|item| !item.is_object() && !item.is_array())
            };
            if plain(wanted_items) && plain(seen_items) {
                if sorted(wanted_items) != sorted(seen_items) {
                    changes.push(FieldChange {
                        path: path.into(),
                        from: seen.clone(),
                        to: wanted.clone(),
                    });
                }
            } else if wanted_items.len() == seen_items.len() {
                for (index, (wanted, seen)) in wanted_items.iter().zip(seen_items).enumerate() {
                    compare(&format!("{path}[{index}]"), wanted, seen, changes);
                }
            } else {
                changes.push(FieldChange {
                    path: path.into(),
                    from: seen.clone(),
                    to: wanted.clone(),
                });
            }
        }
        _ => changes.push(FieldChange {
            path: path.into(),
            from: seen.clone(),
            to: wanted.clone(),
        }),
    }
}

fn sorted(items: &[Value]) -> Vec<String> {
    let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
    items.sort();
    items
}
