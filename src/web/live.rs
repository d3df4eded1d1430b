//! Updates as they come: server-sent events, each the whole document, sent when it differs from the last one.
//!
//! Whoever reads is asked after again each time. So a change in a namespace that is not theirs is not to be noticed either.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Web;
use super::gate::Refusal;
use super::sessions::Credential;

/// Changes that come together are sent together.
const TOGETHER: Duration = Duration::from_millis(300);
/// Even if no object changes: rights do, and one app's events are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is looked at.
pub(super) enum View {
    /// The list.
    All,
    /// One app.
    One {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

struct Reader {
    web: Arc<Web>,
    view: View,
    credential: Credential,
    changes: watch::Receiver<u64>,
    /// What was sent last.
    sent: Option<String>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// Answers with a stream; a refusal at the beginning is an answer as any other.
pub(super) async fn stream(web: Arc<Web>, view: View, credential: Credential) -> Response {
    let Ok(place) = web.streams.clone().try_acquire_owned() else {
        return Refusal::TooMany.into_response();
    };
    // Marked as seen before the first look, that nothing is missed between the two.
    let mut changes = web.apps.changes();
    changes.borrow_and_update();
    let first = match web.document(&view, &credential).await {
        Ok(first) => first,
        Err(refusal) => return refusal.into_response(),
    };
    let reader = Reader {
        web,
        view,
        credential,
        changes,
        sent: None,
        over: false,
        _place: place,
    };
    let updates = stream::unfold((reader, Some(first)), |(mut reader, first)| async move {
        let event = reader.next(first).await?;
        Some((Ok::<_, Infallible>(event), (reader, None)))
    });
    Sse::new(updates)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

impl Reader {
    /// The next event; none when it is over.
    async fn next(&mut self, first: Option<String>) -> Option<Event> {
        if self.over {
            return None;
        }
        if let Some(first) = first {
            return Some(self.send(first));
        }
        loop {
            self.wait().await?;
            match self.web.document(&self.view, &self.credential).await {
                Ok(document) if self.sent.as_ref() == Some(&document) => {}
                Ok(document) => return Some(self.send(document)),
                // What is shown stays as it is until the API server answers again; the page marks it as old.
                Err(Refusal::NotAsked | Refusal::NotListed | Refusal::TooMany) => {}
                Err(refusal) => {
                    self.over = true;
                    return Some(Event::default().event("refused").data(refusal.to_string()));
                }
            }
        }
    }

    /// Until something changed, or a while; none when the server stops.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.changes.changed() => {
                changed.ok()?;
                tokio::time::sleep(TOGETHER).await;
                self.changes.borrow_and_update();
            }
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = self.web.stop.cancelled() => return None,
        }
        Some(())
    }

    fn send(&mut self, document: String) -> Event {
        let event = Event::default().data(&document);
        self.sent = Some(document);
        event
    }
}
