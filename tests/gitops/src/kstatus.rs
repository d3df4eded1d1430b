//! The rules of kstatus for custom resources, which Flux, `kpt` and `cli-utils` tell by whether an object is as applied.
//!
//! In their order: being deleted; a generation that the controller has not looked at; the conditions `Reconciling` and
//! `Stalled`, whichever comes first in the list; the condition `Ready`; and without any of them, done.

use serde_json::Value;

/// What kstatus says of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kstatus {
    /// Not yet as applied.
    InProgress,
    /// It will not become so by itself.
    Failed,
    /// As applied.
    Current,
    /// Being deleted.
    Terminating,
}

/// What kstatus says of `object`, and by which rule.
pub fn compute(object: &Value) -> (Kstatus, String) {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return (Kstatus::Terminating, "it is being deleted".into());
    }
    let generation = object.pointer("/metadata/generation");
    let observed = object.pointer("/status/observedGeneration");
    // Who never wrote the field is taken for one who does not use it.
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        let message = format!("generation {generation} is not observed, but {observed}");
        return (Kstatus::InProgress, message);
    }
    let conditions = object.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array);
    let conditions = || conditions.into_iter().flatten();
    let told = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", text("type"), text("reason"), text("message"))
    };
    for condition in conditions().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return (Kstatus::InProgress, told(condition)),
            Some("Stalled") => return (Kstatus::Failed, told(condition)),
            _ => {}
        }
    }
    match conditions().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => (Kstatus::Current, told(ready)),
        Some(ready) => (Kstatus::InProgress, told(ready)),
        None => (Kstatus::Current, "nothing is known against it".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Types and statuses.
    type Conditions<'a> = &'a [(&'a str, &'a str)];

    fn object(observed: &Value, conditions: Conditions<'_>) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(name, status)| json!({"type": name, "status": status, "reason": "R", "message": "m"}))
            .collect();
        let mut object =
            json!({"metadata": {"generation": 2}, "status": {"conditions": conditions}});
        if !observed.is_null() {
            object["status"]["observedGeneration"] = observed.clone();
        }
        object
    }

    #[test]
    fn the_rules_hold_in_their_order() {
        use Kstatus::{Current, Failed, InProgress};
        let ready = ("Ready", "True");
        let table: [(Value, Conditions, Kstatus); 10] = [
            (json!(1), &[ready], InProgress),
            (json!(-1), &[], InProgress),
            (json!(2), &[ready], Current),
            (json!(2), &[("Ready", "False")], InProgress),
            (json!(2), &[("Ready", "Unknown")], InProgress),
            (json!(2), &[ready, ("Reconciling", "True")], InProgress),
            (json!(2), &[ready, ("Reconciling", "False")], Current),
            (json!(2), &[ready, ("Stalled", "True")], Failed),
            (
                json!(2),
                &[("Stalled", "True"), ("Reconciling", "True")],
                Failed,
            ),
            (Value::Null, &[], Current),
        ];
        for (observed, conditions, wanted) in table {
            let object = object(&observed, conditions);
            assert_eq!(compute(&object).0, wanted, "{object}");
        }
        let mut deleted = object(&json!(1), &[("Stalled", "True")]);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        assert_eq!(compute(&deleted).0, Kstatus::Terminating);
    }
}
