//! The events of an app, read when somebody looks at it.
//!
//! They are not watched: a watch of events is costly for the API server, and most of the time nobody looks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::Serialize;

use super::expiring::Expiring;
use crate::api::MultiRegionApp;

/// For so long one reading serves everybody.
const FRESH: Duration = Duration::from_secs(4);
/// Apps whose events are kept for that.
const APPS: usize = 200;
/// So many are shown, the newest.
const SHOWN: usize = 30;
/// So many are read at most.
const READ: u32 = 500;

/// Events as they are shown, the newest first; or why they could not be read.
pub(super) type Told = Result<Vec<Line>, String>;

/// An event, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// When it was told last.
    pub time: Option<Time>,
    /// How often.
    pub count: i32,
}

/// Of one app; whoever reads holds it, and others wait for what comes.
type Slot = Arc<tokio::sync::Mutex<Option<Told>>>;

/// Reads events.
pub(super) struct Events {
    client: Client,
    slots: Mutex<Expiring<(String, String), Slot>>,
}

impl Events {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            slots: Mutex::new(Expiring::new(APPS, FRESH)),
        }
    }

    /// Those of one app.
    pub(super) async fn of(&self, namespace: &str, name: &str) -> Told {
        let slot = self.slot(namespace, name);
        let mut told = slot.lock().await;
        if let Some(told) = &*told {
            return told.clone();
        }
        let read = self.read(namespace, name).await.map_err(|error| {
            let error = crate::chain(&error);
            tracing::warn!(error, "the web page could not read events");
            "the operator could not read the events: may it list them (multiregion rbac --web)?"
                .into()
        });
        told.insert(read).clone()
    }

    fn slot(&self, namespace: &str, name: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, now) = ((namespace.to_owned(), name.to_owned()), Instant::now());
        slots.get(&key, now).unwrap_or_else(|| {
            let slot = Slot::default();
            slots.put(key, slot.clone(), now);
            slot
        })
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Vec<Line>, kube::Error> {
        let kind = MultiRegionApp::kind(&());
        let about = format!("regarding.kind={kind},regarding.name={name}");
        let parameters = ListParams::default().fields(&about).limit(READ);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let events = events.list(&parameters).await?.items;
        Ok(newest(events))
    }
}

fn newest(events: Vec<Event>) -> Vec<Line> {
    let mut lines: Vec<Line> = events.into_iter().map(line).collect();
    lines.sort_by(|one, other| other.time.cmp(&one.time));
    lines.truncate(SHOWN);
    lines
}

fn line(event: Event) -> Line {
    let series = event.series;
    let last = series.as_ref().map(|series| series.last_observed_time.0);
    let last = last.or(event.event_time.map(|time| time.0));
    let last = last.or(event.deprecated_last_timestamp.map(|time| time.0));
    Line {
        kind: event.type_.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.note.unwrap_or_default(),
        time: last.map(Time),
        count: series
            .map(|series| series.count)
            .or(event.deprecated_count)
            .unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(fields: serde_json::Value) -> Event {
        let mut whole = json!({"metadata": {}, "reason": "Drift", "type": "Normal"});
        let given = fields.as_object().expect("an object");
        whole.as_object_mut().expect("one").extend(given.clone());
        serde_json::from_value(whole).expect("an event")
    }

    #[test]
    fn the_newest_comes_first_by_when_it_was_seen_last() {
        let lines = newest(vec![
            event(json!({"note": "old", "eventTime": "2026-01-01T00:00:00.000000Z"})),
            event(json!({
                "note": "again", "eventTime": "2025-01-01T00:00:00.000000Z",
                "series": {"count": 7, "lastObservedTime": "2026-01-01T00:02:00.000000Z"},
            })),
            event(
                json!({"note": "older kind", "deprecatedLastTimestamp": "2026-01-01T00:01:00Z", "deprecatedCount": 2}),
            ),
        ]);
        let told: Vec<(&str, i32)> = lines
            .iter()
            .map(|line| (line.message.as_str(), line.count))
            .collect();
        assert_eq!(told, [("again", 7), ("older kind", 2), ("old", 1)]);
    }
}
