//! One pass over one app: observe, plan, apply what is ready, plan again, until nothing is ready.
//!
//! Nothing here waits for AWS to finish anything: that is a requeue. Steps run concurrently, and each answer is
//! followed by a new plan, so that a slow region holds up only what needs it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;

use crate::model::{
    DataPolicy, Deleted, Failure, FailureKind, Live, Observed, Owner, ResourceId, Snapshot, Wanted,
};
use crate::plan::{self, Change, Plan, Progress, State, Step};

/// How many calls of one pass are under way at once.
const CONCURRENCY: usize = 24;

/// What the engine needs of a cloud: AWS, or a simulation of it.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// The resource without which `id` cannot exist.
    fn parent(&self, id: &ResourceId) -> Option<ResourceId>;
    /// Whether `id` is found only by its resolved configuration.
    fn located_by_inputs(&self, id: &ResourceId) -> bool;
    /// Whether observations are complete; with incomplete ones nothing that exists is changed.
    fn reads_every_facet(&self) -> bool;
    /// Reads one resource.
    async fn observe(
        &self,
        id: &ResourceId,
        known_id: Option<String>,
        wanted: Option<Value>,
    ) -> Observed;
    /// Makes it.
    async fn create(&self, id: &ResourceId, config: &Value) -> Result<Live, Failure>;
    /// Brings the named top-level fields to what `config` says.
    async fn update(
        &self,
        id: &ResourceId,
        live: &Live,
        config: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure>;
    /// Takes it away.
    async fn delete(
        &self,
        id: &ResourceId,
        live: &Live,
        data: DataPolicy,
    ) -> Result<Deleted, Failure>;
}

/// How a pass goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Take over what is there and carries no owner.
    pub adopt: bool,
    /// Only look: make no write of any kind.
    pub observe_only: bool,
}

/// A write that was made.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// Of which resource.
    pub id: ResourceId,
    /// In a few words, as in `update memory_size`.
    pub summary: String,
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
}

/// What a pass came to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// What is left to do.
    pub plan: Plan,
    /// What there was to do when the pass began.
    pub found: Plan,
    /// Everything as it is now, as far as known.
    pub snapshot: Snapshot,
    /// The writes made.
    pub applied: Vec<Applied>,
    /// The calls that failed.
    pub failed: BTreeMap<ResourceId, Failure>,
    /// Nothing was changed, since not every facet was read: come again with all of them.
    pub needs_every_facet: bool,
}

/// Runs one pass. `known_ids` are the physical ids seen before, which save list calls.
pub async fn pass(
    cloud: &dyn Cloud,
    wanted: &Wanted,
    known_ids: &BTreeMap<ResourceId, String>,
    options: Options,
) -> Outcome {
    let snapshot = observe(cloud, wanted, known_ids).await;
    let mut run = Run {
        cloud,
        wanted,
        options,
        snapshot,
        progress: Progress::default(),
        applied: Vec::new(),
    };
    let found = run.plan();
    let needs_every_facet = !cloud.reads_every_facet() && found.writes() > 0;
    if !options.observe_only && !needs_every_facet {
        run.apply().await;
    }
    let plan = run.plan();
    Outcome {
        plan,
        found,
        snapshot: run.snapshot,
        applied: run.applied,
        failed: run.progress.failed,
        needs_every_facet,
    }
}

/// Reads all resources concurrently, a child after its parent, and not at all where the parent is absent.
pub async fn observe(
    cloud: &dyn Cloud,
    wanted: &Wanted,
    known_ids: &BTreeMap<ResourceId, String>,
) -> Snapshot {
    let mut configs: BTreeMap<ResourceId, Option<&Value>> = wanted
        .removals
        .iter()
        .map(|removal| (removal.id.clone(), None))
        .collect();
    configs.extend(
        wanted
            .desired
            .iter()
            .map(|desired| (desired.id.clone(), Some(&desired.config))),
    );
    let mut order: Vec<(ResourceId, BTreeSet<ResourceId>)> = configs
        .iter()
        .map(|(id, config)| {
            let mut first: BTreeSet<ResourceId> = cloud.parent(id).into_iter().collect();
            if let Some(config) = config.filter(|_| cloud.located_by_inputs(id)) {
                first.extend(plan::sources(config));
            }
            first.retain(|first| configs.contains_key(first));
            (id.clone(), first)
        })
        .collect();

    let mut snapshot = Snapshot::new();
    let mut running = FuturesUnordered::new();
    loop {
        let mut waiting = Vec::new();
        for (id, first) in order {
            if running.len() >= CONCURRENCY
                || !first.iter().all(|first| snapshot.contains_key(first))
            {
                waiting.push((id, first));
                continue;
            }
            match cloud.parent(&id).and_then(|parent| snapshot.get(&parent)) {
                Some(Observed::Absent) => {
                    snapshot.insert(id, Observed::Absent);
                }
                Some(Observed::Unknown(failure)) => {
                    snapshot.insert(id, Observed::Unknown(failure.clone()));
                }
                _ => {
                    let config = configs
                        .get(&id)
                        .copied()
                        .flatten()
                        .map(|config| plan::resolved(config, &snapshot));
                    let known_id = known_ids.get(&id).cloned();
                    running.push(async move {
                        let observed = cloud.observe(&id, known_id, config).await;
                        (id, observed)
                    });
                }
            }
        }
        order = waiting;
        match running.next().await {
            Some((id, observed)) => {
                snapshot.insert(id, observed);
            }
            // Parents put into the snapshot in the last round may have freed their children.
            None if order
                .iter()
                .any(|(_, first)| first.iter().all(|first| snapshot.contains_key(first))) => {}
            None => break,
        }
    }
    snapshot
}

struct Run<'a> {
    cloud: &'a dyn Cloud,
    wanted: &'a Wanted,
    options: Options,
    snapshot: Snapshot,
    progress: Progress,
    applied: Vec<Applied>,
}

/// What a step brought.
enum Answer {
    Live(Result<Live, Failure>),
    Deleted(Result<Deleted, Failure>),
}

impl Run<'_> {
    fn plan(&self) -> Plan {
        plan::plan(
            self.wanted,
            &self.snapshot,
            &self.progress,
            self.options.adopt,
        )
    }

    async fn apply(&mut self) {
        let mut running = FuturesUnordered::new();
        let mut busy: BTreeSet<ResourceId> = BTreeSet::new();
        loop {
            for step in self.plan().steps {
                if step.state == State::Ready
                    && running.len() < CONCURRENCY
                    && !busy.contains(&step.id)
                {
                    busy.insert(step.id.clone());
                    self.progress.taken.insert(step.key());
                    let live = self
                        .snapshot
                        .get(&step.id)
                        .and_then(Observed::live)
                        .cloned();
                    running.push(take(self.cloud, step, live));
                }
            }
            let Some((step, answer)) = running.next().await else {
                break;
            };
            busy.remove(&step.id);
            self.fold(&step, answer);
        }
    }

    fn fold(&mut self, step: &Step, answer: Answer) {
        let failure = match answer {
            Answer::Live(Ok(live)) => {
                self.snapshot
                    .insert(step.id.clone(), Observed::Present(Box::new(live)));
                None
            }
            Answer::Deleted(Ok(Deleted::Gone)) => {
                self.snapshot.insert(step.id.clone(), Observed::Absent);
                None
            }
            Answer::Deleted(Ok(Deleted::Pending(what))) => {
                self.progress.deleting.insert(step.id.clone(), what);
                None
            }
            Answer::Deleted(Ok(Deleted::Retained(why))) => {
                self.progress.retained.insert(step.id.clone(), why);
                return;
            }
            Answer::Live(Err(failure)) | Answer::Deleted(Err(failure)) => Some(failure),
        };
        match failure {
            Some(failure) => {
                tracing::info!(resource = %step.id, change = step.change.verb(), error = %failure, "step failed");
                self.progress.failed.insert(step.id.clone(), failure);
            }
            None => {
                tracing::info!(resource = %step.id, change = step.summary(), "step done");
                let applied = Applied {
                    id: step.id.clone(),
                    summary: step.summary(),
                    verb: step.change.verb(),
                };
                self.applied.push(applied);
            }
        }
    }
}

async fn take(cloud: &dyn Cloud, step: Step, live: Option<Live>) -> (Step, Answer) {
    let gone = || Failure {
        kind: FailureKind::Conflict,
        operation: "multiregion:Apply".into(),
        code: "NotSeen".into(),
        message: "the resource was not seen in this pass".into(),
    };
    let answer = match (&step.change, live) {
        (Change::Create { config }, _) => Answer::Live(cloud.create(&step.id, config).await),
        (Change::Update { config, fields }, Some(live)) => {
            let changed = fields
                .iter()
                .map(|field| field.top_level().to_owned())
                .collect();
            Answer::Live(
                cloud
                    .update(&step.id, &live, config, &changed)
                    .await
                    .map(|updated| Live {
                        // An adopted resource is ours once our tags are on it.
                        owner: Owner::Ours,
                        ..updated
                    }),
            )
        }
        (Change::Delete { data }, Some(live)) => {
            Answer::Deleted(cloud.delete(&step.id, &live, *data).await)
        }
        _ => Answer::Live(Err(gone())),
    };
    (step, answer)
}
