//! Which objects are watched: all of the cluster, or those of some namespaces, each by a watch of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use kube::api::{Api, ListParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, ResourceExt};

use super::WatchBackoff;
use super::shards::Shard;
use crate::api::MultiRegionApp;
use crate::settings::Settings;

/// Which objects the controller works on, who it is to AWS, and what that may cost.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Id of the cluster in owner tags.
    pub cluster: String,
    /// Only these namespaces; all if there are none.
    pub namespaces: BTreeSet<String>,
    /// Only the apps of this shard.
    pub shard: Shard,
    /// Between two readings of an app's metrics; zero: none are read.
    pub cloudwatch_interval: Duration,
    /// Which account each namespace acts in.
    pub settings: Settings,
}

/// As a watch of all of them tells it.
pub type Events = BoxStream<'static, watcher::Result<Event<MultiRegionApp>>>;

impl Scope {
    /// Says what to do where the objects cannot be listed; the watch goes on trying.
    pub(super) async fn look(&self, client: &Client) {
        for (namespace, apps) in apis(client, &self.namespaces) {
            if let Err(error) = apps.list(&ListParams::default().limit(1)).await {
                let advice = "is the definition installed (multiregion crd | kubectl apply -f -), and may this account list it?";
                tracing::error!(namespace, error = %crate::chain(&error), advice, "MultiRegionApps cannot be listed; trying on");
            }
        }
    }
}

/// Everything that happens to the objects of `namespaces`; all if there are none. `ready` is set once all are listed.
///
/// A namespace that cannot be listed keeps it from being set, and no other namespace from being worked on.
pub fn objects(client: &Client, namespaces: &BTreeSet<String>, ready: Arc<AtomicBool>) -> Events {
    let mut apis = apis(client, namespaces);
    if apis.len() == 1
        && let Some((_, apps)) = apis.pop_first()
    {
        let done = move |event: &watcher::Result<Event<_>>| {
            if let Ok(Event::InitDone) = event {
                ready.store(true, Ordering::Relaxed);
            }
        };
        return watch(apps).inspect(done).boxed();
    }
    let mut merged = Merged::new(apis.keys());
    let watches = apis.into_iter().map(|(namespace, apps)| {
        watch(apps)
            .map(move |event| (namespace.clone(), event))
            .boxed()
    });
    let changes = stream::select_all(watches).flat_map(move |(namespace, event)| {
        let told = match event {
            Ok(event) => merged.hear(&namespace, event).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        if merged.is_complete() {
            ready.store(true, Ordering::Relaxed);
        }
        stream::iter(told)
    });
    // The store is as empty as it begins, and from then on it is told changes.
    stream::iter([Ok(Event::Init), Ok(Event::InitDone)])
        .chain(changes)
        .boxed()
}

/// By namespace; an empty name stands for all.
fn apis(client: &Client, namespaces: &BTreeSet<String>) -> BTreeMap<String, Api<MultiRegionApp>> {
    if namespaces.is_empty() {
        return [(String::new(), Api::all(client.clone()))].into();
    }
    let api = |namespace: &String| {
        let apps = Api::namespaced(client.clone(), namespace);
        (namespace.clone(), apps)
    };
    namespaces.iter().map(api).collect()
}

fn watch(
    apps: Api<MultiRegionApp>,
) -> impl StreamExt<Item = watcher::Result<Event<MultiRegionApp>>> + Send + 'static {
    watch_objects(apps, watcher::Config::default().any_semantic())
        .backoff(WatchBackoff::default())
        // Of all that an object is the largest part, in memory, and nobody's business here.
        .modify(|app| app.metadata.managed_fields = None)
}

/// The watches of several namespaces as one: a store takes a list for the whole truth, and the list of one namespace is
/// not. So a list is told as the changes that it comes to.
struct Merged(HashMap<String, Listed>);

/// What is known of one namespace, by name.
#[derive(Default)]
struct Listed {
    apps: HashMap<String, MultiRegionApp>,
    /// The list under way.
    coming: HashMap<String, MultiRegionApp>,
    complete: bool,
}

impl Merged {
    fn new<'a>(namespaces: impl Iterator<Item = &'a String>) -> Self {
        Self(
            namespaces
                .map(|namespace| (namespace.clone(), Listed::default()))
                .collect(),
        )
    }

    /// Whether every namespace was listed once.
    fn is_complete(&self) -> bool {
        self.0.values().all(|listed| listed.complete)
    }

    /// What an event of the watch of `namespace` comes to.
    fn hear(
        &mut self,
        namespace: &str,
        event: Event<MultiRegionApp>,
    ) -> Vec<Event<MultiRegionApp>> {
        let listed = self.0.entry(namespace.to_owned()).or_default();
        match event {
            Event::Init => {
                listed.coming.clear();
                Vec::new()
            }
            Event::InitApply(app) => {
                listed.coming.insert(app.name_any(), trace(&app));
                vec![Event::Apply(app)]
            }
            Event::InitDone => {
                listed.complete = true;
                let coming = std::mem::take(&mut listed.coming);
                let before = std::mem::replace(&mut listed.apps, coming);
                let gone = before
                    .into_iter()
                    .filter(|(name, _)| !listed.apps.contains_key(name));
                gone.map(|(_, app)| Event::Delete(app)).collect()
            }
            Event::Apply(app) => {
                listed.apps.insert(app.name_any(), trace(&app));
                vec![Event::Apply(app)]
            }
            Event::Delete(app) => {
                listed.apps.remove(&app.name_any());
                vec![Event::Delete(app)]
            }
        }
    }
}

/// As much of an app as tells that it is gone.
fn trace(app: &MultiRegionApp) -> MultiRegionApp {
    let mut trace = app.clone();
    trace.status = None;
    trace.metadata.managed_fields = None;
    trace
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;

    use super::*;

    fn app(namespace: &str, name: &str) -> MultiRegionApp {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"regions": {"primary": "us-east-1"}, "tables": [{"name": "visits"}]},
        }))
        .expect("it is an app")
    }

    /// Two namespaces, and the names that a store holds after these events.
    fn store_after(
        events: impl IntoIterator<Item = (&'static str, Event<MultiRegionApp>)>,
    ) -> (Vec<String>, bool) {
        let namespaces = ["shop".to_owned(), "web".to_owned()];
        let mut merged = Merged::new(namespaces.iter());
        let (reader, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        for (namespace, event) in events {
            for change in merged.hear(namespace, event) {
                writer.apply_watcher_event(&change);
            }
        }
        let full = |app: &Arc<MultiRegionApp>| {
            format!("{}/{}", app.namespace().unwrap_or_default(), app.name_any())
        };
        let mut names: Vec<String> = reader.state().iter().map(full).collect();
        names.sort();
        (names, merged.is_complete())
    }

    #[test]
    fn a_list_of_one_namespace_takes_nothing_of_the_other() {
        let (names, complete) = store_after([
            ("web", Event::Init),
            ("web", Event::InitApply(app("web", "a"))),
            ("shop", Event::Init),
            ("web", Event::InitDone),
            ("shop", Event::InitApply(app("shop", "a"))),
            ("shop", Event::InitDone),
        ]);
        assert_eq!(names, ["shop/a", "web/a"]);
        assert!(complete);
    }

    #[test]
    fn what_a_later_list_lacks_is_gone_and_what_came_between_stays() {
        let (names, _) = store_after([
            ("web", Event::Init),
            ("web", Event::InitApply(app("web", "a"))),
            ("web", Event::InitApply(app("web", "b"))),
            ("web", Event::InitDone),
            ("web", Event::Apply(app("web", "c"))),
            ("shop", Event::Apply(app("shop", "d"))),
            ("web", Event::Init),
            // Cut off, and begun again.
            ("web", Event::InitApply(app("web", "a"))),
            ("web", Event::Init),
            ("web", Event::InitApply(app("web", "b"))),
            ("web", Event::InitApply(app("web", "c"))),
            ("web", Event::InitDone),
            ("shop", Event::Delete(app("shop", "d"))),
        ]);
        assert_eq!(names, ["web/b", "web/c"]);
    }

    #[test]
    fn a_namespace_that_cannot_be_listed_holds_up_readiness_alone() {
        let (names, complete) = store_after([
            ("web", Event::Init),
            ("web", Event::InitApply(app("web", "a"))),
            ("web", Event::InitDone),
        ]);
        assert_eq!(names, ["web/a"]);
        assert!(!complete);
    }
}
