//! One pass over one app: observe, plan, apply what is ready, plan again, until nothing is ready.
//!
//! Nothing here waits for AWS to finish anything: that is a requeue. Steps run concurrently, and each answer is
//! followed by a new plan, so that a slow region holds up only what needs it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::Value;

use crate::model::{
    DataPolicy, Deleted, Failure, FailureKind, Live, Observed, Owner, Phase, ResourceId, Snapshot,
    Wanted,
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
    /// Whether a read of `id` may for a moment show what was there before a write.
    fn reads_lag(&self, _id: &ResourceId) -> bool {
        false
    }
    /// Whether observations are complete and at first hand; with others nothing is changed.
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

/// A write that a read soon after may not show yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Written {
    /// What was there before it, and before others a moment ago.
    pub before: Vec<Observed>,
    /// What it left.
    pub after: Observed,
}

impl Written {
    /// Takes up what is known of earlier writes of a moment ago: a read may show what was there before any of them.
    pub fn following(&mut self, earlier: &Self) {
        self.before.extend(earlier.before.iter().cloned());
    }

    /// Whether a read that brought `seen` is one from before.
    fn hides(&self, seen: &Observed) -> bool {
        self.before
            .iter()
            .any(|before| match (before.live(), seen.live()) {
                (Some(before), Some(seen)) => before.config == seen.config,
                (None, None) => *before == Observed::Absent && *seen == Observed::Absent,
                _ => false,
            })
    }
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
    /// What a call that found something else than was seen had referred to.
    pub doubted: BTreeSet<ResourceId>,
    /// The writes that a read may not show yet.
    pub written: BTreeMap<ResourceId, Written>,
    /// Something is to be done, but not every facet was read at first hand: come again with all of them.
    pub needs_every_facet: bool,
}

impl Outcome {
    /// What a pass soon after need not read again: all that is at rest, and that nothing waits on.
    pub fn at_rest(&self) -> Snapshot {
        let mut restless: BTreeSet<&ResourceId> = self.failed.keys().chain(&self.doubted).collect();
        for step in &self.plan.steps {
            // What is still to be made was seen to be absent, and stays so until it is made.
            if !matches!(step.change, Change::Create { .. })
                || !matches!(step.state, State::Waiting(_))
            {
                restless.insert(&step.id);
            }
            if let State::Waiting(waits) = &step.state {
                restless.extend(waits.iter().map(|wait| &wait.on));
            }
        }
        self.snapshot
            .iter()
            .filter(|(id, observed)| {
                let rests = match observed {
                    Observed::Absent => true,
                    Observed::Present(live) => live.phase == Phase::Ready,
                    Observed::Unknown(_) => false,
                };
                rests && !restless.contains(id)
            })
            .map(|(id, observed)| (id.clone(), observed.clone()))
            .collect()
    }
}

/// What is wanted once more is known: asked with what was seen, before anything is done about it.
pub type SecondThought<'a> = &'a (dyn Fn(&Snapshot) -> Option<Wanted> + Sync);

/// What was seen before a pass, all of which may be lost.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Physical ids, which save list calls.
    pub ids: BTreeMap<ResourceId, String>,
    /// What need not be read again, by [`Outcome::at_rest`] of a pass a moment ago.
    pub at_rest: Snapshot,
    /// By [`Outcome::written`] of the passes of a moment ago: what a read says to be as before is as it was left.
    pub written: BTreeMap<ResourceId, Written>,
}

/// Runs one pass. Only `seen` is believed unread.
///
/// `second_thought` may want more by what was seen (see `topology::with_remains` for what an app has forgotten).
pub async fn pass(
    cloud: &dyn Cloud,
    wanted: &Wanted,
    second_thought: SecondThought<'_>,
    seen: &Seen,
    options: Options,
) -> Outcome {
    let mut snapshot = observe(cloud, wanted, seen).await;
    let more = second_thought(&snapshot);
    if let Some(more) = &more {
        let mut unseen = more.clone();
        unseen
            .desired
            .retain(|desired| !snapshot.contains_key(&desired.id));
        unseen
            .removals
            .retain(|removal| !snapshot.contains_key(&removal.id));
        for (id, observed) in observe(cloud, &unseen, seen).await {
            snapshot.entry(id).or_insert(observed);
        }
    }
    let mut run = Run {
        cloud,
        wanted: more.as_ref().unwrap_or(wanted),
        options,
        snapshot,
        progress: Progress::default(),
        applied: Vec::new(),
        written: BTreeMap::new(),
    };
    let found = run.plan();
    if !options.observe_only {
        run.apply().await;
    }
    let plan = run.plan();
    Outcome {
        doubted: run.doubted(),
        needs_every_facet: !cloud.reads_every_facet() && plan.ready().next().is_some(),
        plan,
        found,
        snapshot: run.snapshot,
        applied: run.applied,
        written: run.written,
        failed: run.progress.failed,
    }
}

/// Reads all resources concurrently, a child after its parent, and not at all where the parent is absent or the
/// resource was at rest a moment ago.
pub async fn observe(cloud: &dyn Cloud, wanted: &Wanted, seen: &Seen) -> Snapshot {
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
    // Whose a part is, is told by the whole.
    let parents: Vec<ResourceId> = configs.keys().filter_map(|id| cloud.parent(id)).collect();
    for parent in parents {
        configs.entry(parent).or_insert(None);
    }
    let mut snapshot: Snapshot = seen
        .at_rest
        .iter()
        .filter(|(id, _)| configs.contains_key(id))
        .map(|(id, observed)| (id.clone(), observed.clone()))
        .collect();
    let mut order: Vec<(ResourceId, BTreeSet<ResourceId>)> = configs
        .iter()
        .filter(|(id, _)| !snapshot.contains_key(id))
        .map(|(id, config)| {
            let mut first: BTreeSet<ResourceId> = cloud.parent(id).into_iter().collect();
            if let Some(config) = config.filter(|_| cloud.located_by_inputs(id)) {
                first.extend(plan::sources(config));
            }
            first.retain(|first| configs.contains_key(first));
            (id.clone(), first)
        })
        .collect();

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
                    let known_id = seen.ids.get(&id).cloned();
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
                let written = seen.written.get(&id);
                let observed = match written.filter(|written| written.hides(&observed)) {
                    Some(written) => written.after.clone(),
                    None => observed,
                };
                if observed == Observed::Absent {
                    gone(cloud, &mut snapshot, &id);
                }
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
    written: BTreeMap<ResourceId, Written>,
}

/// What a step brought.
enum Answer {
    Live(Result<Live, Failure>),
    Deleted(Result<Deleted, Failure>),
}

impl Run<'_> {
    fn doubted(&self) -> BTreeSet<ResourceId> {
        let is_doubtful = |id| {
            let failure = self.progress.failed.get(id);
            failure.is_some_and(|failure| {
                // CloudFront calls a distribution invalid that names an access control which is gone.
                use FailureKind::{Conflict, Invalid, NotFound};
                matches!(failure.kind, Conflict | NotFound | Invalid)
            })
        };
        let desired = self.wanted.desired.iter();
        desired
            .filter(|desired| is_doubtful(&desired.id))
            .flat_map(|desired| plan::sources(&desired.config))
            .collect()
    }

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
        // What to do is decided on a complete read at first hand.
        if !self.cloud.reads_every_facet() {
            return;
        }
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
            let Some(first) = running.next().await else {
                break;
            };
            // What has answered meanwhile needs no plan of its own.
            let others = std::iter::from_fn(|| running.next().now_or_never().flatten());
            for (step, answer) in std::iter::once(first).chain(others) {
                busy.remove(&step.id);
                self.fold(&step, answer);
            }
        }
    }

    fn fold(&mut self, step: &Step, answer: Answer) {
        let before = self.snapshot.get(&step.id).cloned();
        let failure = match answer {
            Answer::Live(Ok(live)) => {
                self.snapshot
                    .insert(step.id.clone(), Observed::Present(Box::new(live)));
                None
            }
            Answer::Deleted(Ok(Deleted::Gone)) => {
                gone(self.cloud, &mut self.snapshot, &step.id);
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
                self.note(&step.id, before);
                let applied = Applied {
                    id: step.id.clone(),
                    summary: step.summary(),
                    verb: step.change.verb(),
                };
                self.applied.push(applied);
            }
        }
    }

    /// Notes a write that a read may not show yet.
    fn note(&mut self, id: &ResourceId, before: Option<Observed>) {
        let (Some(before), Some(after)) = (before, self.snapshot.get(id)) else {
            return;
        };
        if self.cloud.reads_lag(id) {
            let mut written = Written {
                before: vec![before],
                after: after.clone(),
            };
            if let Some(earlier) = self.written.get(id) {
                written.following(earlier);
            }
            self.written.insert(id.clone(), written);
        }
    }
}

/// What is gone takes its parts with it: a function its URL and whom it admitted.
fn gone(cloud: &dyn Cloud, snapshot: &mut Snapshot, id: &ResourceId) {
    let parts: Vec<ResourceId> = snapshot
        .keys()
        .filter(|part| cloud.parent(part).as_ref() == Some(id))
        .cloned()
        .collect();
    snapshot.insert(id.clone(), Observed::Absent);
    for part in parts {
        gone(cloud, snapshot, &part);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn present(config: Value) -> Observed {
        Observed::Present(Box::new(Live {
            config,
            outputs: BTreeMap::new(),
            owner: Owner::Ours,
            phase: Phase::Ready,
            physical_id: String::new(),
            unread: BTreeSet::new(),
        }))
    }

    #[test]
    fn a_read_from_before_a_write_is_hidden_by_it_and_no_other_is() {
        let (first, second) = (present(json!({"a": 1})), present(json!({"a": 2})));
        let mut written = Written {
            before: vec![second.clone()],
            after: present(json!({"a": 3})),
        };
        assert!(written.hides(&second));
        assert!(!written.hides(&first) && !written.hides(&Observed::Absent));
        let earlier = Written {
            before: vec![Observed::Absent, first.clone()],
            after: second,
        };
        written.following(&earlier);
        assert!(written.hides(&first) && written.hides(&Observed::Absent));
        assert!(
            !written.hides(&present(json!({"a": 3}))),
            "it shows the write"
        );
        assert!(!written.hides(&present(json!({"a": 4}))), "somebody else's");
    }
}
