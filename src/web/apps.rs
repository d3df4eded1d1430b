//! The objects, as a watch of the page's own has them: also a replica that stands by serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::MultiRegionApp;
use crate::controller;

/// What is there, and a bell that rings when it changes.
pub(super) struct Apps {
    store: Store<MultiRegionApp>,
    listed: Arc<AtomicBool>,
    changes: watch::Receiver<u64>,
}

impl Apps {
    /// Watches those of `namespaces`, or all, until `stop`.
    pub(super) fn watch(
        client: &Client,
        namespaces: &BTreeSet<String>,
        stop: CancellationToken,
    ) -> Self {
        let (store, writer) = reflector::store();
        let (bell, changes) = watch::channel(0_u64);
        let listed = Arc::new(AtomicBool::new(false));
        let events = controller::objects(client, namespaces, listed.clone());
        let events = events.modify(slim).reflect(writer);
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            while let Some(event) = events.next().await {
                match event {
                    // What is being listed is not in the store before the list is complete.
                    Ok(Event::Init | Event::InitApply(_)) => {}
                    Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                        bell.send_modify(|count| *count += 1);
                    }
                    Err(error) => {
                        let error = crate::chain(&error);
                        tracing::warn!(
                            error,
                            "the web page's watch of MultiRegionApps failed; trying on"
                        );
                    }
                }
            }
        });
        Self {
            store,
            listed,
            changes,
        }
    }

    /// Whether they were listed once.
    pub(super) fn listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    /// Rings when anything changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// All, by namespace and name.
    pub(super) fn all(&self) -> Vec<Arc<MultiRegionApp>> {
        let mut all = self.store.state();
        all.sort_by_cached_key(|app| (app.namespace(), app.name_any()));
        all
    }

    /// One of them.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<MultiRegionApp>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }
}

/// Drops what the page never shows; of the environment of functions, that is the values, and no page is to have them.
fn slim(app: &mut MultiRegionApp) {
    app.metadata.managed_fields = None;
    app.metadata.annotations = None;
    app.metadata.labels = None;
    app.spec.function.environment = BTreeMap::new();
    if let Some(status) = &mut app.status {
        status.inventory = Vec::new();
    }
}
