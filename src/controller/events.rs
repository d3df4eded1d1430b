//! Events: transitions of `Ready`, drift found, changes made.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::api::{
    CONDITION_CODE_IN_SYNC, CONDITION_READY, DrillStatus, MultiRegionApp, MultiRegionAppStatus,
    WriterStatus,
};
use crate::reconcile::Outcome;

/// The API server takes 1,024 characters.
const LONGEST_NOTE: usize = 1000;

/// Tells what a pass found and did. `was_converged`: the app was, so what was found is drift.
pub(super) async fn of_pass(
    recorder: &Recorder,
    app: &MultiRegionApp,
    outcome: &Outcome,
    was_converged: bool,
) {
    // What waits is told when it no longer does, and once.
    if was_converged && outcome.found.ready().next().is_some() {
        let found = outcome.found.ready();
        let found: Vec<String> = found
            .map(|step| format!("{} {}", step.summary(), step.id))
            .collect();
        publish(
            recorder,
            app,
            EventType::Warning,
            "DriftFound",
            "Observe",
            found.join("; "),
        )
        .await;
    }
    if !outcome.applied.is_empty() {
        let applied: Vec<String> = outcome
            .applied
            .iter()
            .map(|applied| format!("{} {}", applied.summary, applied.id))
            .collect();
        let reason = if was_converged {
            "DriftCorrected"
        } else {
            "Applied"
        };
        publish(
            recorder,
            app,
            EventType::Normal,
            reason,
            "Apply",
            applied.join("; "),
        )
        .await;
    }
}

/// Tells a transition of `Ready`, and of a rollout.
pub(super) async fn of_status(
    recorder: &Recorder,
    app: &MultiRegionApp,
    status: &MultiRegionAppStatus,
) {
    of_rollout(recorder, app, status).await;
    let ready = |status: &MultiRegionAppStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == CONDITION_READY)
            .cloned()
    };
    let Some(now) = ready(status) else { return };
    let before = app.status.as_ref().and_then(ready);
    let same =
        before.is_some_and(|before| before.status == now.status && before.reason == now.reason);
    if !same {
        let kind = if now.status == "True" || now.reason == "Progressing" {
            EventType::Normal
        } else {
            EventType::Warning
        };
        publish(
            recorder,
            app,
            kind,
            &now.reason,
            "Assess",
            format!("Ready is {}: {}", now.status, now.message),
        )
        .await;
    }
}

/// Tells a move of the writes.
pub(super) async fn writer_moved(recorder: &Recorder, app: &MultiRegionApp, writer: &WriterStatus) {
    let to = serde_json::json!(writer.active);
    let note = format!(
        "the writes go to {}, epoch {}: {}",
        to.as_str().unwrap_or_default(),
        writer.epoch,
        writer.message
    );
    publish(
        recorder,
        app,
        EventType::Warning,
        "WriterMoved",
        "Move",
        note,
    )
    .await;
}

/// Tells what became of a rollout.
async fn of_rollout(recorder: &Recorder, app: &MultiRegionApp, status: &MultiRegionAppStatus) {
    let find = |status: &MultiRegionAppStatus| {
        let mut conditions = status.conditions.iter();
        conditions
            .find(|condition| condition.type_ == CONDITION_CODE_IN_SYNC)
            .cloned()
    };
    let before = app.status.as_ref().and_then(find);
    let (Some(before), Some(now)) = (before, find(status)) else {
        return;
    };
    let (kind, reason) = match (before.reason.as_str(), now.reason.as_str()) {
        ("RollingOut" | "Stopped", "InSync") => (EventType::Normal, "CodeRolledOut"),
        (_, "Stopped") if before.message != now.message => (EventType::Warning, "CodeStopped"),
        // Nobody saw it under way: it was over in one pass.
        ("InSync", "InSync") if before.message != now.message => {
            (EventType::Normal, "CodeRolledOut")
        }
        _ => return,
    };
    publish(recorder, app, kind, reason, "RollOut", now.message).await;
}

/// Tells that a drill began, and what it came to.
pub(super) async fn drill(recorder: &Recorder, app: &MultiRegionApp, drill: &DrillStatus) {
    let (kind, reason, note) = match drill.result.as_str() {
        "Running" => {
            let note = "the writes go to DR and back".to_owned();
            (EventType::Normal, "DrillStarted", note)
        }
        "Succeeded" => (EventType::Normal, "DrillSucceeded", drill.message.clone()),
        result => {
            let reason = if result == "Refused" {
                "DrillRefused"
            } else {
                "DrillFailed"
            };
            let note = format!("{}: {}", drill.reason, drill.message);
            (EventType::Warning, reason, note)
        }
    };
    let note = format!("drill {}: {note}", drill.id);
    publish(recorder, app, kind, reason, "Drill", note).await;
}

/// Tells what a deletion left behind; the status is gone with the object.
pub(super) async fn retained(recorder: &Recorder, app: &MultiRegionApp, outcome: &Outcome) {
    if !outcome.plan.retained.is_empty() {
        let left: Vec<String> = outcome
            .plan
            .retained
            .iter()
            .map(|(id, why)| format!("{id} ({why})"))
            .collect();
        publish(
            recorder,
            app,
            EventType::Normal,
            "Retained",
            "Delete",
            left.join("; "),
        )
        .await;
    }
}

async fn publish(
    recorder: &Recorder,
    app: &MultiRegionApp,
    type_: EventType,
    reason: &str,
    action: &str,
    mut note: String,
) {
    if let Some((end, _)) = note.char_indices().nth(LONGEST_NOTE) {
        note.truncate(end);
        note.push('…');
    }
    let event = Event {
        type_,
        reason: reason.into(),
        note: Some(note),
        action: action.into(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &app.object_ref(&())).await {
        tracing::warn!(error = %crate::chain(&error), reason, "an event could not be written");
    }
}
