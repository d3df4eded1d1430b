//! The Kubernetes side: leads or stands by, watches the objects, runs passes, writes the one status patch, tells events.

mod backoff;
mod drill;
pub mod election;
mod events;
pub mod evidence;
mod lease;
mod passes;
mod scope;
pub mod shards;
mod watch;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::ready;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::finalizer::{Event as FinalizerEvent, finalizer};
use kube::runtime::predicates;
use kube::runtime::reflector::Store;
use kube::runtime::utils::Backoff;
use kube::runtime::{Predicate, WatchStreamExt, reflector, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::api::{
    self, CONDITION_RECONCILING, CONDITION_STALLED, CONDITION_SYNCED, FINALIZER, ManagementPolicy,
    MultiRegionApp, MultiRegionAppStatus,
};
use crate::app::{App, Invalid};
use crate::aws::accounts::Accounts;
use crate::aws::tags::OwnerKey;
use crate::aws::{Aws, Pass};
use crate::health::drill::last_success;
use crate::health::probe::Prober;
use crate::metrics::{Condition, Metrics};
use crate::model::Failure;
use crate::settings::{Account, Settings};
use crate::status::Pace;
use crate::telemetry::Health;
use backoff::Memory;
use shards::Shard;
use watch::Watches;

pub use scope::{Events, Scope, objects};

/// Field manager of the status, and reporter of the events.
const MANAGER: &str = "multiregion";
/// How long a drill under way may take to move the writes back once everything is to end.
const DRILLS_END: Duration = Duration::from_secs(10);
/// Apps that are worked on at once. A pass mostly waits for AWS.
const CONCURRENT_APPS: u16 = 16;

/// What every pass needs.
struct Context {
    client: Client,
    accounts: Accounts,
    /// Which of the accounts each namespace acts in, and within what bounds.
    settings: Settings,
    health: Health,
    recorder: Recorder,
    /// Id of the cluster, part of the owner.
    cluster: String,
    /// Sends the probes.
    prober: Prober,
    /// The objects as the API server's watch has them.
    store: Store<MultiRegionApp>,
    /// What goes on between full passes.
    watches: Watches,
    /// Drills, which are given time to take back what they moved.
    drills: TaskTracker,
    /// Ends everything.
    stop: CancellationToken,
    /// What is remembered of each app, by uid; all of it may be lost.
    memories: Mutex<HashMap<String, Memory>>,
}

/// Why a reconcile ended early.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the API server refused")]
    Kubernetes(#[from] kube::Error),
    /// Not an error, but what keeps the finalizer in place.
    #[error("still deleting")]
    StillDeleting(Duration),
}

/// Why an object could not be laid out.
#[derive(Debug)]
enum NotParsed {
    /// Its account could not be told, or it is not allowed to act there.
    Failed(Failure),
    /// As a whole it makes no sense.
    Invalid(Invalid),
}

type FinalizerError = kube::runtime::finalizer::Error<Error>;

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API server did not answer as needed.
    #[error(
        "reading the kube-system namespace's uid, which identifies the cluster (or set --cluster-id)"
    )]
    Cluster(#[source] kube::Error),
    /// It has no uid.
    #[error("the kube-system namespace has no uid: set --cluster-id")]
    NoUid,
}

/// The uid of the `kube-system` namespace, which stays as long as the cluster.
pub async fn cluster_id(client: &Client) -> Result<String, StartError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .get("kube-system")
        .await
        .map_err(StartError::Cluster)?;
    namespace.uid().ok_or(StartError::NoUid)
}

/// Runs until `stop`, then lets the passes under way end.
pub async fn run(
    client: Client,
    accounts: Accounts,
    prober: Prober,
    health: Health,
    scope: Scope,
    stop: CancellationToken,
) {
    scope.look(&client).await;
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: MANAGER.into(),
            instance: None,
        },
    );
    let (reader, writer) = reflector::store();
    let events = objects(&client, &scope.namespaces, health.ready.clone());
    let context = Arc::new(Context {
        client,
        accounts,
        settings: scope.settings,
        health,
        recorder,
        cluster: scope.cluster,
        prober,
        store: reader.clone(),
        watches: Watches::default(),
        drills: TaskTracker::new(),
        stop: stop.clone(),
        memories: Mutex::default(),
    });
    let readings = evidence::readings(context.clone(), scope.cloudwatch_interval);
    let (fence, end) = (context.accounts.fence().clone(), stop.clone());
    tokio::spawn(async move { end.run_until_cancelled(fence.hold(readings)).await });
    // Status patches wake nothing: they change none of these.
    let meaningful = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::finalizers);
    let meaningful = meaningful.combine(deletion);
    let shard = scope.shard;
    let (metrics, store) = (context.health.metrics.clone(), reader.clone());
    let mut told = HashSet::new();
    let stream = events
        // What others work on is not even kept.
        .try_filter(move |event| ready(of_shard(event, shard)))
        .reflect(writer)
        .inspect(move |event| noticed(event, &metrics, &store, &mut told))
        .applied_objects()
        .predicate_filter(meaningful, kube::runtime::PredicateConfig::default());

    Controller::for_stream(stream, reader)
        .with_config(Config::default().concurrency(CONCURRENT_APPS))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, context.clone())
        .for_each(|result| async {
            if let Err(error) = result {
                tracing::debug!(error = %crate::chain(&error), "reconcile ended with an error");
            }
        })
        .await;
    context.drills.close();
    // What is not taken back by then, the next process takes back.
    let _ = tokio::time::timeout(DRILLS_END, context.drills.wait()).await;
    // Whoever works on them next counts them.
    for app in context.store.state() {
        context.forget(&app);
    }
}

fn of_shard(event: &watcher::Event<MultiRegionApp>, shard: Shard) -> bool {
    match event {
        watcher::Event::Apply(app)
        | watcher::Event::Delete(app)
        | watcher::Event::InitApply(app) => {
            shard.has(&app.namespace().unwrap_or_default(), &app.name_any())
        }
        watcher::Event::Init | watcher::Event::InitDone => true,
    }
}

/// kube's own, but for its longest wait: an edit is to be seen as soon as AWS's recovery is.
#[derive(Default)]
struct WatchBackoff(watcher::DefaultBackoff);

/// Instead of 30 s.
const LONGEST_WATCH_BACKOFF: Duration = Duration::from_secs(10);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.next()?.min(LONGEST_WATCH_BACKOFF))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Tells which apps there are; `told` are those that this watch told of.
fn noticed(
    event: &Result<watcher::Event<MultiRegionApp>, watcher::Error>,
    metrics: &Metrics,
    store: &Store<MultiRegionApp>,
    told: &mut HashSet<String>,
) {
    let uid = |app: &MultiRegionApp| app.uid().unwrap_or_default();
    match event {
        Ok(watcher::Event::InitApply(app) | watcher::Event::Apply(app)) => {
            metrics.seen(&uid(app), Timestamp::now());
            told.insert(uid(app));
        }
        Ok(watcher::Event::Delete(app)) => {
            metrics.forget(&uid(app));
            told.remove(&uid(app));
        }
        Ok(watcher::Event::InitDone) => {
            // What went while the watch was interrupted goes untold. Others' watches have their own.
            let there: HashSet<String> = store.state().iter().map(|app| uid(app)).collect();
            for gone in told.difference(&there) {
                metrics.forget(gone);
            }
            *told = there;
        }
        Ok(watcher::Event::Init) | Err(_) => {}
    }
}

/// Whether a condition is about what the operator does, and not about how the app fares.
fn is_of_the_work(condition: &api::Condition) -> bool {
    let of_the_work = [CONDITION_SYNCED, CONDITION_RECONCILING, CONDITION_STALLED];
    of_the_work.contains(&condition.type_.as_str())
}

/// Since when `app` owes a drill: the last one that went well, or its creation. None where there is nothing to drill.
fn last_drilled(app: &MultiRegionApp, status: &MultiRegionAppStatus) -> Option<Timestamp> {
    let spec = &app.spec;
    let drills = spec.regions.dr.is_some()
        && !spec.suspend
        && spec.management_policy != ManagementPolicy::Observe
        && app.meta().deletion_timestamp.is_none();
    let last = status.last_drill.as_ref().and_then(last_success);
    let since = last.or_else(|| Some(app.creation_timestamp()?.0));
    since.filter(|_| drills)
}

/// Hash of the deletion timestamp, for the predicate.
fn deletion(app: &MultiRegionApp) -> Option<u64> {
    Some(u64::from(app.meta().deletion_timestamp.is_some()))
}

async fn reconcile(
    app: Arc<MultiRegionApp>,
    context: Arc<Context>,
) -> Result<Action, FinalizerError> {
    let apps = context.apps(&app);
    let objects = apps.clone();
    let span = tracing::info_span!(
        "pass",
        namespace = app.namespace(),
        app = app.name_any(),
        deleting = app.meta().deletion_timestamp.is_some(),
        outcome = tracing::field::Empty,
    );
    let pass = finalizer(&objects, FINALIZER, app, |event| async {
        match event {
            FinalizerEvent::Apply(app) => passes::apply(&context, &apps, &app).await,
            FinalizerEvent::Cleanup(app) => passes::cleanup(&context, &apps, &app).await,
        }
    });
    // Its writes to Kubernetes too are a leader's alone.
    context.accounts.fence().hold(pass.instrument(span)).await
}

fn on_error(app: Arc<MultiRegionApp>, error: &FinalizerError, context: Arc<Context>) -> Action {
    if let kube::runtime::finalizer::Error::CleanupFailed(Error::StillDeleting(after)) = error {
        return Action::requeue(*after);
    }
    tracing::warn!(
        namespace = app.namespace(),
        app = app.name_any(),
        error = %crate::chain(error),
        "the API server refused; trying again"
    );
    Action::requeue(context.remember(&app, |memory| memory.next(Pace::Recover)))
}

impl Context {
    /// The objects of `app`'s namespace.
    fn apps(&self, app: &MultiRegionApp) -> Api<MultiRegionApp> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }

    /// The account of `app`'s namespace, if the app keeps within its bounds.
    fn allowed(&self, app: &MultiRegionApp) -> Result<&Account, Failure> {
        let account = self
            .settings
            .account(&app.namespace().unwrap_or_default())?;
        account.admits(&app.name_any(), &app.spec)?;
        Ok(account)
    }

    /// AWS as `app` may use it.
    fn aws(&self, app: &MultiRegionApp) -> Result<Arc<Aws>, Failure> {
        let role = self.allowed(app)?.role();
        let regions = &app.spec.regions;
        let regions = std::iter::once(&regions.primary).chain(&regions.dr);
        Ok(self.accounts.of(role.as_ref(), regions.map(String::as_str)))
    }

    /// A pass on behalf of `app`, which believes nothing but what it reads itself.
    fn pass(&self, app: &MultiRegionApp, every_facet: bool) -> Result<Pass, Failure> {
        let owner = OwnerKey {
            cluster: self.cluster.clone(),
            namespace: app.namespace().unwrap_or_default(),
            name: app.name_any(),
        };
        Ok(Pass::new(self.aws(app)?, owner, every_facet))
    }

    /// The app with every name given, which takes its account.
    async fn parsed(&self, object: &MultiRegionApp) -> Result<App, NotParsed> {
        let allowed = self.allowed(object).map_err(NotParsed::Failed)?;
        let pass = self.pass(object, false).map_err(NotParsed::Failed)?;
        let (aws, regions) = (pass.aws(), &object.spec.regions);
        let mut asked = aws.account(&pass, &regions.primary).await;
        if let (Err(_), Some(dr)) = (&asked, &regions.dr) {
            // Whoever the account is, the other region knows, too.
            asked = aws.account(&pass, dr).await.or(asked);
        }
        let account = asked.map_err(NotParsed::Failed)?;
        let app = App::new(pass.owner().clone(), &account, &object.spec);
        let mut app = app.map_err(NotParsed::Invalid)?;
        app.permissions_boundary
            .clone_from(&allowed.permissions_boundary_arn);
        Ok(app)
    }

    /// Reads or changes what is remembered of `app`.
    fn remember<T>(&self, app: &MultiRegionApp, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = self
            .memories
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(memories.entry(app.uid().unwrap_or_default()).or_default())
    }

    fn forget(&self, app: &MultiRegionApp) {
        let uid = app.uid().unwrap_or_default();
        self.watches.end(&uid);
        self.memories
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&uid);
        self.health.metrics.forget(&uid);
    }

    /// What the metrics say of `app`.
    fn measure(&self, app: &MultiRegionApp, status: &MultiRegionAppStatus) {
        let (uid, metrics) = (app.uid().unwrap_or_default(), &self.health.metrics);
        let deleting = app.meta().deletion_timestamp.is_some();
        // That it does not serve any more is what a deletion is for.
        let counts = |condition: &&_| !deleting || is_of_the_work(condition);
        let conditions = status.conditions.iter().filter(counts);
        let conditions = conditions.map(|condition| Condition {
            name: &condition.type_,
            status: &condition.status,
            reason: &condition.reason,
            since: condition.last_transition_time.0,
        });
        metrics.conditions(&uid, conditions);
        metrics.drilled(&uid, last_drilled(app, status));
    }

    /// Writes `status` if it differs from the one that `app` has.
    async fn patch_status(
        &self,
        apps: &Api<MultiRegionApp>,
        app: &MultiRegionApp,
        status: &MultiRegionAppStatus,
    ) -> Result<(), kube::Error> {
        self.measure(app, status);
        if app.status.as_ref() == Some(status) {
            return Ok(());
        }
        let patch = serde_json::json!({
            "apiVersion": MultiRegionApp::api_version(&()),
            "kind": MultiRegionApp::kind(&()),
            "metadata": { "name": app.name_any(), "uid": app.uid() },
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        apps.patch_status(&app.name_any(), &parameters, &Patch::Apply(patch))
            .await
            .map(drop)
    }
}
