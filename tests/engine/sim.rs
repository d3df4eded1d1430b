//! One fake of AWS for all kinds: a map from ids to resources that behaves, refuses and fails as AWS does.
//!
//! It keeps time in ticks, which only the test moves; asynchronous work takes some of them. Faults come from a seed.
//! Whatever the engine must never do is recorded as a violation at the moment it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use multiregion::model::{
    DataPolicy, Deleted, Failure, FailureKind, Live, Observed, Owner, ResourceId,
};
use multiregion::reconcile::Cloud;
use multiregion::resources;
use multiregion::resources::lambda_function::VERSION_TAG;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::{edge, rules};

/// Kinds that carry no owner of their own: they are seen as ours wherever they have our name.
pub const OWNED_BY_PARENT: &[&str] = &[
    "cloudfrontkeyvaluestore_key",
    "lambda_function_url",
    "lambda_permission",
    "s3_bucket_policy",
    "s3_bucket_replication",
    "s3_object",
];
/// Kinds whose reads may lag behind the writes of the same tick.
const STALE: &[&str] = &["iam_role", "s3_bucket", "s3_bucket_policy"];
/// Fields that a pass may leave unread.
const SELDOM_READ: &[&str] = &[
    "lifecycle",
    "encryption",
    "object_ownership",
    "code_sha256",
    "failover_status_codes",
];

/// A resource as the fake keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    pub config: Value,
    pub owner: Owner,
    /// Counts all that was ever made, so that what is made again has other ids and hosts.
    pub incarnation: u64,
    pub made_at: u64,
    /// Busy before this tick.
    pub busy_until: u64,
    /// On its way out, gone at this tick.
    pub deleting_until: Option<u64>,
    pub failed: Option<String>,
    /// Of a certificate.
    pub issued: bool,
    /// Whether a user put something in.
    pub user_data: bool,
    /// Of a distribution: what edges may still serve while the present configuration is being deployed.
    pub still_served: Vec<Value>,
}

/// What may go wrong, and when.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Of a thousand calls, how many fail without effect.
    pub refused: u32,
    /// Of a thousand writes, how many have their effect and lose their reply.
    pub lost: u32,
    /// Whether reads of some kinds may be of before the last write.
    pub stale: bool,
    /// Of a thousand functions made, how many end in an error of their own.
    pub broken: u32,
    /// Regions that do not answer at all.
    pub unreachable: BTreeSet<String>,
    /// Calls after which the operator dies.
    pub crash_after: Option<u64>,
}

/// A write that reached AWS.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    pub verb: &'static str,
    pub id: ResourceId,
}

/// Says of a resource that holds data whether it may go with it.
pub type MayGo = Box<dyn Fn(&ResourceId) -> bool + Send>;

pub struct World {
    pub resources: BTreeMap<ResourceId, Stored>,
    pub tick: u64,
    pub faults: Faults,
    pub rng: StdRng,
    /// Whether unowned resources may be taken over.
    pub adopt: bool,
    pub data_may_go: MayGo,
    /// Records at another provider, by name.
    pub external_dns: BTreeMap<String, String>,
    /// Whether certificates are validated by a person.
    pub dns_is_external: bool,
    pub every_facet: bool,
    /// The longest that asynchronous work takes, ticks.
    pub slowest: u64,
    pub writes: Vec<Write>,
    pub calls: u64,
    /// Whether the operator died, and calls no more.
    pub dead: bool,
    /// Whether the operator's status was lost, so that what it no longer declares is out of its sight.
    pub forgetful: bool,
    pub violations: Vec<String>,
    incarnations: u64,
    /// What is in the versions of objects.
    pub contents: BTreeMap<String, String>,
    /// What stale reads see, with the tick of the write that they miss.
    before: BTreeMap<ResourceId, (u64, Option<Stored>)>,
}

pub struct Sim {
    world: Mutex<World>,
    crashed: Notify,
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let world = World {
            resources: BTreeMap::new(),
            tick: 0,
            faults: Faults::default(),
            rng: StdRng::seed_from_u64(seed),
            adopt: false,
            data_may_go: Box::new(|_| false),
            external_dns: BTreeMap::new(),
            dns_is_external: false,
            every_facet: true,
            slowest: 3,
            writes: Vec::new(),
            calls: 0,
            dead: false,
            forgetful: false,
            violations: Vec::new(),
            incarnations: 0,
            contents: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        Self {
            world: Mutex::new(world),
            crashed: Notify::new(),
        }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Resolves when the operator dies.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// One call: slow at random, failing at random, fatal when it is time.
    async fn call<T>(
        &self,
        id: &ResourceId,
        verb: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let yields = self.world().rng.random_range(0..3);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let write = verb != "observe";
        if self.world().dead {
            return std::future::pending().await;
        }
        let answer = {
            let mut world = self.world();
            let world = &mut *world;
            world.calls += 1;
            let dies = match &mut world.faults.crash_after {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            };
            if dies {
                // It died before its call arrived, or before it heard the answer.
                if world.rng.random() {
                    let _ = world.arrive(id, verb, effect);
                }
                None
            } else if world.faults.unreachable.contains(&id.region) {
                Some(Err(failure(
                    FailureKind::Unreachable,
                    verb,
                    id,
                    "ConnectTimeout",
                )))
            } else if world.chance(world.faults.refused) {
                let (kind, code) = match world.rng.random_range(0..4) {
                    0 => (FailureKind::Throttled, "ThrottlingException"),
                    1 => (FailureKind::Denied, "AccessDenied"),
                    _ => (FailureKind::Transient, "InternalError"),
                };
                Some(Err(failure(kind, verb, id, code)))
            } else {
                let answer = world.arrive(id, verb, effect);
                let lost = write && world.chance(world.faults.lost);
                Some(if lost {
                    Err(failure(FailureKind::Transient, verb, id, "ReplyLost"))
                } else {
                    answer
                })
            }
        };
        match answer {
            Some(answer) => answer,
            None => {
                self.world().dead = true;
                self.crashed.notify_one();
                std::future::pending().await
            }
        }
    }
}

impl World {
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.random_range(0..1000) < per_mille
    }

    /// How long something asynchronous takes.
    pub fn delay(&mut self) -> u64 {
        let slowest = self.slowest;
        self.rng.random_range(0..=slowest)
    }

    /// Until when a change of a resource of `kind` goes on. CloudFront is never done at once.
    fn busy_until(&mut self, kind: &str) -> u64 {
        match kind {
            "cloudfront_distribution" => self.tick + self.delay().max(1),
            kind if rules::is_asynchronous(kind) => self.tick + self.delay(),
            _ => self.tick,
        }
    }

    /// Makes `config` a resource of `owner`'s, at rest.
    pub fn put(&mut self, id: &ResourceId, config: Value, owner: Owner) {
        self.incarnations += 1;
        let stored = Stored {
            config,
            owner,
            incarnation: self.incarnations,
            made_at: self.tick,
            busy_until: self.tick,
            deleting_until: None,
            failed: None,
            issued: false,
            user_data: false,
            still_served: Vec::new(),
        };
        self.resources.insert(id.clone(), stored);
        self.note_content(id);
        self.note_version(id);
    }

    /// Notes on a function which version it was given.
    fn note_version(&mut self, id: &ResourceId) {
        if let Some(stored) = self.resources.get_mut(id)
            && id.kind == "lambda_function"
            && stored.config["code"]["version"].is_string()
        {
            let version = stored.config["code"]["version"].clone();
            stored.config["tags"][VERSION_TAG] = version;
        }
    }

    /// Notes what the present version of an object has in it.
    fn note_content(&mut self, id: &ResourceId) {
        if id.kind != "s3_object" {
            return;
        }
        let stored = &self.resources[id];
        let version = format!("version-{}", stored.incarnation);
        let source = stored.config.pointer("/source/CopyOf/version");
        let content = source
            .and_then(Value::as_str)
            .and_then(|source| self.contents.get(source))
            .unwrap_or(&version);
        self.contents.insert(version.clone(), content.clone());
    }

    /// A new version of an object, as its user puts it.
    pub fn upload(&mut self, id: &ResourceId) -> String {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        if let Some(stored) = self.resources.get_mut(id) {
            stored.incarnation = incarnation;
        }
        self.note_content(id);
        format!("version-{incarnation}")
    }

    /// Takes a resource away with its children.
    pub fn remove(&mut self, id: &ResourceId) {
        self.resources.remove(id);
        let children: Vec<ResourceId> = self
            .resources
            .keys()
            .filter(|child| rules::parent(child).as_ref() == Some(id))
            .cloned()
            .collect();
        for child in children {
            self.remove(&child);
        }
    }

    /// Time passes.
    pub fn advance(&mut self) {
        self.tick += 1;
        let gone: Vec<ResourceId> = self
            .resources
            .iter()
            .filter(|(_, stored)| {
                stored
                    .deleting_until
                    .is_some_and(|until| until <= self.tick)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id);
        }
        for stored in self.resources.values_mut() {
            if stored.busy_until <= self.tick {
                stored.still_served.clear();
            }
        }
        rules::issue_certificates(self);
    }

    /// Whether anything is still going to happen by itself.
    pub fn is_busy(&self) -> bool {
        self.resources.iter().any(|(id, stored)| {
            stored.busy_until > self.tick
                || stored.deleting_until.is_some()
                || self.tick <= stored.made_at + rules::settling(&id.kind)
        })
    }

    /// A resource as it is read.
    pub fn read(&self, id: &ResourceId, stored: &Stored) -> Live {
        let owner = if OWNED_BY_PARENT.contains(&id.kind.as_str()) {
            Owner::Ours
        } else {
            stored.owner.clone()
        };
        Live {
            config: stored.config.clone(),
            outputs: rules::outputs(self, id, stored),
            owner,
            phase: rules::phase(self, id, stored),
            physical_id: format!("{}-{}", id.name, stored.incarnation),
            unread: BTreeSet::new(),
        }
    }

    fn violation(&mut self, text: String) {
        self.violations.push(format!("tick {}: {text}", self.tick));
    }

    /// A call that reached AWS, with what must hold across it.
    fn arrive<T>(
        &mut self,
        id: &ResourceId,
        verb: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if verb == "observe" {
            return effect(self);
        }
        self.check_ownership(id, verb);
        let refused_before = edge::refused(self);
        let stored_before = self.resources.get(id).cloned();
        let answer = effect(self);
        // What only asks again how far AWS is changes nothing.
        if self.resources.get(id) != stored_before.as_ref() {
            self.writes.push(Write {
                verb,
                id: id.clone(),
            });
            if STALE.contains(&id.kind.as_str()) {
                self.before.insert(id.clone(), (self.tick, stored_before));
            }
        }
        let worse: Vec<String> = edge::refused(self)
            .into_iter()
            .filter(|(origin, _)| !refused_before.contains_key(origin))
            .map(|(origin, why)| format!("{origin}: {why}"))
            .collect();
        if !worse.is_empty() {
            self.violation(format!(
                "{verb} {id} left a serving distribution with {}",
                worse.join("; ")
            ));
        }
        answer
    }

    fn check_ownership(&mut self, id: &ResourceId, verb: &str) {
        let mut at = Some(id.clone());
        while let Some(id_at) = at {
            // A hosted zone is nobody's and everybody's.
            let owner = self
                .resources
                .get(&id_at)
                .filter(|_| id_at.kind != "route53_hosted_zone")
                .map(|stored| stored.owner.clone());
            match owner {
                Some(Owner::Other(owner)) => {
                    self.violation(format!("{verb} {id}, but {id_at} belongs to {owner}"));
                }
                Some(Owner::Nobody) if !self.adopt => {
                    self.violation(format!("{verb} {id}, but {id_at} was not to be taken over"));
                }
                _ => {}
            }
            at = rules::parent(&id_at);
        }
    }

    fn create(&mut self, id: &ResourceId, config: &Value) -> Result<Live, Failure> {
        check_resolved(self, "create", id, config.clone());
        if self.resources.contains_key(id) {
            return Err(failure(
                FailureKind::Conflict,
                "create",
                id,
                "AlreadyExists",
            ));
        }
        rules::check_creation(self, id, config)?;
        self.put(id, config.clone(), Owner::Ours);
        let broken = id.kind == "lambda_function" && self.chance(self.faults.broken);
        let busy = self.busy_until(&id.kind);
        if let Some(stored) = self.resources.get_mut(id) {
            stored.busy_until = busy;
            stored.failed = broken.then(|| "InternalError".to_owned());
        }
        rules::after_creation(self, id);
        self.live(id, "create")
    }

    fn update(
        &mut self,
        id: &ResourceId,
        config: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure> {
        let fields: Map<String, Value> = changed
            .iter()
            .filter_map(|name| Some((name.clone(), config.get(name)?.clone())))
            .collect();
        if changed.is_empty() || fields.len() != changed.len() {
            self.violation(format!(
                "update {id} of {changed:?}, which it does not have"
            ));
        }
        check_resolved(self, "update", id, Value::Object(fields.clone()));
        rules::check_update(self, id, config, changed)?;
        let taken = rules::in_one_call(&id.kind, changed);
        let busy = self.busy_until(&id.kind);
        let Some(stored) = self.resources.get_mut(id) else {
            return Err(failure(FailureKind::NotFound, "update", id, "NotFound"));
        };
        if id.kind == "cloudfront_distribution" {
            stored.still_served.push(stored.config.clone());
        }
        stored.busy_until = stored.busy_until.max(busy);
        for (name, value) in fields {
            if !taken.contains(&name) {
                continue;
            }
            match (&mut stored.config[&name], value) {
                (Value::Object(tags), Value::Object(wanted)) if name == "tags" => {
                    tags.extend(wanted);
                    stored.owner = Owner::Ours;
                }
                (field, value) => *field = value,
            }
        }
        if id.kind == "s3_object" {
            self.upload(id);
        }
        self.note_version(id);
        self.live(id, "update")
    }

    fn delete(&mut self, id: &ResourceId, data: DataPolicy) -> Result<Deleted, Failure> {
        if !self.resources.contains_key(id) {
            return Ok(Deleted::Gone);
        }
        if let Some(answer) = rules::check_deletion(self, id, data)? {
            return Ok(answer);
        }
        let holds_data = resources::facts(&id.kind).is_some_and(|facts| facts.holds_data);
        if holds_data && !(self.data_may_go)(id) {
            self.violation(format!("delete {id}, which holds data"));
        }
        if rules::is_deleted_slowly(&id.kind) {
            let until = self.tick + 1 + self.delay();
            if let Some(stored) = self.resources.get_mut(id) {
                stored.deleting_until = Some(until);
            }
            return Ok(Deleted::Pending("to be gone".into()));
        }
        self.remove(id);
        Ok(Deleted::Gone)
    }

    fn live(&self, id: &ResourceId, verb: &str) -> Result<Live, Failure> {
        match self.resources.get(id) {
            Some(stored) => Ok(self.read(id, stored)),
            None => Err(failure(FailureKind::NotFound, verb, id, "NotFound")),
        }
    }

    fn observe(&mut self, id: &ResourceId) -> Observed {
        let stale = self.faults.stale && self.chance(500);
        let stored = match self.before.get(id) {
            Some((tick, before)) if stale && *tick == self.tick => before.as_ref(),
            _ => self.resources.get(id),
        };
        let Some(stored) = stored else {
            return Observed::Absent;
        };
        let mut live = self.read(id, stored);
        if !self.every_facet {
            for &name in SELDOM_READ {
                if let Some(field) = live.config.get_mut(name) {
                    *field = Value::Null;
                    live.unread.insert(name.into());
                }
            }
        }
        Observed::Present(Box::new(live))
    }
}

/// What a kind is given has no references left.
fn check_resolved(world: &mut World, verb: &str, id: &ResourceId, config: Value) {
    let mut unresolved = 0;
    multiregion::plan::references(&config, &mut |_| unresolved += 1);
    if unresolved > 0 {
        world.violation(format!(
            "{verb} {id} with {unresolved} unresolved references"
        ));
    }
}

/// A refusal.
pub fn failure(kind: FailureKind, verb: &str, id: &ResourceId, code: &str) -> Failure {
    Failure {
        kind,
        operation: format!("sim:{verb}"),
        code: code.into(),
        message: id.to_string(),
    }
}

#[async_trait]
impl Cloud for Sim {
    fn parent(&self, id: &ResourceId) -> Option<ResourceId> {
        rules::parent(id)
    }

    fn located_by_inputs(&self, id: &ResourceId) -> bool {
        resources::facts(&id.kind).is_some_and(|facts| facts.located_by_inputs)
    }

    fn reads_every_facet(&self) -> bool {
        self.world().every_facet
    }

    async fn observe(
        &self,
        id: &ResourceId,
        _known_id: Option<String>,
        wanted: Option<Value>,
    ) -> Observed {
        let read = |world: &mut World| Ok(world.observe(id));
        let mut observed = self
            .call(id, "observe", read)
            .await
            .unwrap_or_else(Observed::Unknown);
        if let Observed::Present(live) = &mut observed {
            rules::as_wanted(id, live, wanted.as_ref());
        }
        observed
    }

    async fn create(&self, id: &ResourceId, config: &Value) -> Result<Live, Failure> {
        self.call(id, "create", |world| world.create(id, config))
            .await
    }

    async fn update(
        &self,
        id: &ResourceId,
        _live: &Live,
        config: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure> {
        self.call(id, "update", |world| world.update(id, config, changed))
            .await
    }

    async fn delete(
        &self,
        id: &ResourceId,
        _live: &Live,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        self.call(id, "delete", |world| world.delete(id, data))
            .await
    }
}
