//! An operator at its work on one app: passes with ticks between them, a status that remembers the inventory, edits of
//! the spec, a deletion; and what must be true whenever it has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use multiregion::api::DeletionPolicy;
use multiregion::app::App;
use multiregion::health::{Sample, Thresholds};
use multiregion::model::{Desired, Observed, Owner, ResourceId, Snapshot, Wanted};
use multiregion::plan::{self, Block, Change, Plan, Progress, State};
use multiregion::reconcile::{self, Options, Outcome, Seen};
use multiregion::rollout::{self, Known, Rollout, Verdict};
use multiregion::{resources, topology};
use serde_json::json;

use super::apps::{DR, Dns, Shape, ZONE};
use super::edge;
use super::rules;
use super::sim::{Faults, Sim, World};

/// More passes than anything takes that ends at all.
const PATIENCE: usize = 160;

pub struct Driver {
    pub sim: Sim,
    pub shape: Shape,
    pub app: App,
    pub deleting: bool,
    /// What the status remembers.
    pub inventory: BTreeMap<ResourceId, String>,
    /// What the last pass saw at rest, if nothing was asked for anew since and it read completely.
    pub believed: Snapshot,
    /// Whether all that is ours was in the inventory at each edit, so that nothing may be left over.
    pub inventory_complete: bool,
    /// What the probes say.
    pub probed: Known,
    pub probes_a_pass: usize,
    /// Whether those after the last pass told anything new.
    heard: bool,
    /// Contents of zips that do not answer.
    pub broken_code: BTreeSet<String>,
    /// What the last pass decided of the functions.
    pub rollout: Option<Rollout>,
    /// What the topology makes of the app, the same until an edit.
    desired: Vec<Desired>,
    runtime: tokio::runtime::Runtime,
}

impl Driver {
    pub fn new(shape: Shape, seed: u64) -> Self {
        let sim = Sim::new(seed);
        let zone = ResourceId::global("route53_hosted_zone", ZONE);
        sim.world().put(&zone, json!({}), Owner::Nobody);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let app = shape.app();
        let mut driver = Self {
            sim,
            shape,
            app,
            deleting: false,
            inventory: BTreeMap::new(),
            believed: Snapshot::new(),
            inventory_complete: true,
            probed: Known::default(),
            probes_a_pass: 3,
            heard: false,
            broken_code: BTreeSet::new(),
            rollout: None,
            desired: Vec::new(),
            runtime,
        };
        driver.permit();
        driver
    }

    /// Tells the world what the spec allows, by the words of the design and not by the engine's.
    fn permit(&mut self) {
        self.desired = topology::topology(&self.app);
        self.believed.clear();
        let (deleting, policy) = (self.deleting, self.app.deletion_policy());
        let has_dr = self.shape.dr;
        let mut world = self.sim.world();
        world.adopt = self.shape.adopt;
        world.dns_is_external = self.shape.dns == Dns::External;
        world.data_may_go = Box::new(move |id| match (deleting, policy) {
            (true, DeletionPolicy::Delete) => true,
            (true, DeletionPolicy::RetainData) => id.kind == "s3_bucket",
            (true, DeletionPolicy::Retain) => false,
            (false, policy) => policy == DeletionPolicy::Delete && !has_dr && id.region == DR,
        });
    }

    pub fn edit(&mut self, shape: Shape) {
        self.take_stock();
        self.app = shape.app();
        self.shape = shape;
        self.permit();
    }

    pub fn delete(&mut self) {
        self.take_stock();
        self.deleting = true;
        self.permit();
    }

    /// The status is lost.
    pub fn forget(&mut self) {
        self.inventory.clear();
    }

    /// Ids of all that is there and the app's.
    pub fn ours(&self) -> BTreeSet<ResourceId> {
        let world = self.sim.world();
        world
            .resources
            .keys()
            .filter(|id| rules::is_ours(&world, id))
            .cloned()
            .collect()
    }

    /// What the status does not know of when the spec changes is out of sight.
    fn take_stock(&mut self) {
        let known = self.inventory.keys().cloned().collect();
        if !self.ours().is_subset(&known) {
            self.inventory_complete = false;
            self.sim.world().forgetful = true;
        }
    }

    pub fn wanted(&self) -> Wanted {
        let known: Vec<ResourceId> = self.inventory.keys().cloned().collect();
        let removals = topology::removals(&self.app, &self.desired, &known, self.deleting);
        let desired = if self.deleting {
            Vec::new()
        } else {
            self.desired.clone()
        };
        Wanted { desired, removals }
    }

    pub fn desired(&self) -> &[Desired] {
        &self.desired
    }

    /// One pass that reads everything; `None` if the operator died in it.
    pub fn pass(&mut self) -> Option<Outcome> {
        self.believed.clear();
        self.follow_up()
    }

    /// One pass that reads only what was not at rest in the one before; `None` if the operator died in it.
    pub fn follow_up(&mut self) -> Option<Outcome> {
        let wanted = self.wanted();
        let known: Vec<ResourceId> = self.inventory.keys().cloned().collect();
        let (app, deleting) = (&self.app, self.deleting);
        let rollout = Mutex::new(None);
        let second_thought = |seen: &Snapshot| {
            let remains = topology::with_remains(app, &known, deleting, seen);
            if deleting {
                return remains;
            }
            let wanted = remains.unwrap_or_else(|| wanted.clone());
            let wanted = topology::with_own_rights(app, wanted, seen);
            let (wanted, decided) = rollout::stage(app, wanted, seen, &self.probed);
            *rollout.lock().unwrap() = Some(decided);
            Some(wanted)
        };
        let options = Options {
            adopt: self.shape.adopt,
            observe_only: false,
        };
        let sim = &self.sim;
        let seen = Seen {
            ids: self.inventory.clone(),
            at_rest: std::mem::take(&mut self.believed),
            ..Seen::default()
        };
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = sim.crashed() => None,
                outcome = reconcile::pass(sim, &wanted, &second_thought, &seen, options) => Some(outcome),
            }
        });
        self.rollout = rollout.into_inner().unwrap();
        match &outcome {
            Some(outcome) => {
                self.probe(outcome);
                self.check_pass(outcome);
                self.remember(outcome);
                if self.sim.world().every_facet {
                    self.believed = outcome.at_rest();
                }
            }
            None => {
                let mut world = self.sim.world();
                world.dead = false;
                world.faults.crash_after = None;
            }
        }
        outcome
    }

    /// A pass that only looks.
    pub fn look(&self) -> Outcome {
        let options = Options {
            observe_only: true,
            ..Options::default()
        };
        let (wanted, seen) = (self.wanted(), Seen::default());
        let pass = reconcile::pass(&self.sim, &wanted, &|_| None, &seen, options);
        self.runtime.block_on(pass)
    }

    /// Probes of the DR function, as many as a rollout needs, answered as `dr_answers` says.
    fn probe(&mut self, outcome: &Outcome) {
        self.heard = false;
        let Some(dr) = &self.app.dr else { return };
        let function = topology::ids::function(dr);
        let changed = outcome
            .applied
            .iter()
            .any(|applied| applied.id == function && applied.summary != "update tags");
        let live = outcome.snapshot.get(&function).and_then(Observed::live);
        let release = live.and_then(|live| live.outputs.get("release"));
        self.probed.trial.of(release, changed);
        let Some(live) = live.filter(|_| release.is_some()) else {
            return;
        };
        let content = live.outputs["code_sha256"].as_str();
        let sample = if self.broken_code.contains(content) {
            Sample::Unhealthy("status 502".into())
        } else {
            Sample::Healthy
        };
        let thresholds = Thresholds::of(&self.app.spec.failover.probe);
        let before = self.probed.trial.verdict(&thresholds);
        for _ in 0..self.probes_a_pass {
            self.probed.trial.observe(&sample, &thresholds);
        }
        self.heard = before == Verdict::Open && self.probes_a_pass > 0;
    }

    /// The inventory as the status keeps it.
    fn remember(&mut self, outcome: &Outcome) {
        let before = std::mem::take(&mut self.inventory);
        for (id, observed) in &outcome.snapshot {
            match observed {
                Observed::Present(live) if live.owner == Owner::Ours => {
                    self.inventory.insert(id.clone(), live.physical_id.clone());
                }
                Observed::Unknown(_) => {
                    if let Some(known) = before.get(id) {
                        self.inventory.insert(id.clone(), known.clone());
                    }
                }
                Observed::Present(_) | Observed::Absent => {}
            }
        }
    }

    fn check_pass(&self, outcome: &Outcome) {
        let ids: Vec<&ResourceId> = outcome.plan.steps.iter().map(|step| &step.id).collect();
        let unique: BTreeSet<&ResourceId> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "two steps for one resource");
        let ready: Vec<_> = outcome.plan.ready().map(|step| step.key()).collect();
        assert!(
            ready.is_empty() || outcome.needs_every_facet,
            "left undone: {ready:?}"
        );
        let world = self.sim.world();
        assert!(world.violations.is_empty(), "{:#?}", world.violations);
    }

    pub fn advance(&self) {
        self.sim.world().advance();
    }

    /// Passes with ticks between them until nothing happens any more; returns what is left.
    pub fn settle(&mut self) -> Outcome {
        self.sim.world().faults = Faults::default();
        self.sim.world().every_facet = true;
        for round in 0..PATIENCE {
            self.advance();
            let writes = self.sim.world().writes.len();
            let complete = round % 3 == 0;
            let outcome = if complete {
                self.pass().unwrap()
            } else {
                self.follow_up().unwrap()
            };
            let quiet = self.sim.world().writes.len() == writes
                && !self.sim.world().is_busy()
                && !self.heard;
            if quiet && complete {
                self.advance();
                return self.check_rest(&outcome);
            }
        }
        let outcome = self.pass().unwrap();
        let writes = self.sim.world().writes.len();
        let last: Vec<String> = self.sim.world().writes[writes.saturating_sub(20)..]
            .iter()
            .map(|write| format!("{} {}", write.verb, write.id))
            .collect();
        panic!("never at rest: {last:#?}\n{}", outcome.plan);
    }

    /// A second pass over what came to rest writes nothing and finds the same.
    fn check_rest(&mut self, before: &Outcome) -> Outcome {
        let writes = self.sim.world().writes.len();
        let again = self.pass().unwrap();
        assert_eq!(
            self.sim.world().writes.len(),
            writes,
            "wrote again: {}",
            again.plan
        );
        assert_eq!(again.plan.to_string(), before.plan.to_string());
        assert!(
            again.applied.iter().all(|applied| applied.verb == "delete"),
            "{:?}",
            again.applied
        );
        self.check_order(&again);
        if let Err(why) = honest(&again.plan, &self.sim.world()) {
            panic!("{why}\n{}", again.plan);
        }
        if again.plan.steps.is_empty() {
            self.check_converged(&again);
        }
        again
    }

    /// The plan is the same in whatever order things are wanted.
    fn check_order(&self, outcome: &Outcome) {
        let mut wanted = self.wanted();
        let sorted = |wanted: &Wanted| {
            let progress = Progress::default();
            let mut plan = plan::plan(wanted, &outcome.snapshot, &progress, self.shape.adopt);
            plan.steps.sort_by(|one, other| one.id.cmp(&other.id));
            plan
        };
        let forwards = sorted(&wanted);
        wanted.desired.reverse();
        wanted.removals.reverse();
        assert_eq!(forwards, sorted(&wanted));
    }

    fn check_converged(&self, outcome: &Outcome) {
        let world = self.sim.world();
        let desired: BTreeSet<ResourceId> = self
            .wanted()
            .desired
            .into_iter()
            .map(|desired| desired.id)
            .collect();
        for id in &desired {
            assert!(world.resources.contains_key(id), "{id} is missing");
        }
        if !self.deleting {
            assert_eq!(edge::refused(&world), BTreeMap::new());
            assert!(
                edge::configurations(&world).all(|(_, config)| config["enabled"] == json!(true))
            );
        }
        drop(world);
        if self.inventory_complete {
            let left: Vec<ResourceId> = self
                .ours()
                .into_iter()
                .filter(|id| {
                    !desired.contains(id)
                        && !outcome.plan.retained.contains_key(id)
                        && !goes_with_its_parent(id)
                })
                .collect();
            assert!(left.is_empty(), "left over: {left:?}\n{}", outcome.plan);
        }
    }
}

/// What is never removed by itself: it stays as long as its bucket does.
fn goes_with_its_parent(id: &ResourceId) -> bool {
    id.kind == "s3_object" || id.kind == "cloudfront_invalidation"
}

/// Whether everything that is left is blocked for a reason that is true, or waits for such a thing.
pub fn honest(plan: &Plan, world: &World) -> Result<(), String> {
    let steps: BTreeMap<&ResourceId, &State> = plan
        .steps
        .iter()
        .map(|step| (&step.id, &step.state))
        .collect();
    for step in &plan.steps {
        let owner = world.resources.get(&step.id).map(|stored| &stored.owner);
        match &step.state {
            State::Ready => return Err(format!("{} is ready and was not done", step.id)),
            State::Blocked(Block::Foreign(_)) if matches!(owner, Some(Owner::Other(_))) => {}
            State::Blocked(Block::Unowned) if owner == Some(&Owner::Nobody) => {}
            State::Blocked(Block::Failed(failure)) => match failure.code.as_str() {
                "DeletionProtected" | "HasReplicas" => {}
                _ => return Err(format!("{} goes on failing: {failure}", step.id)),
            },
            State::Blocked(block) => return Err(format!("{}: not true: {block}", step.id)),
            State::Waiting(waits) => {
                if waits.is_empty() {
                    return Err(format!("{} waits on nothing", step.id));
                }
                let mut seen = BTreeSet::new();
                if !has_root(&step.id, &steps, world, &mut seen) {
                    return Err(format!("{} waits for ever", step.id));
                }
            }
        }
        if matches!(step.change, Change::Unknown) {
            return Err(format!("{} could not be read", step.id));
        }
    }
    Ok(())
}

/// Whether what `id` waits on ends in something blocked, or in a person.
fn has_root<'a>(
    id: &'a ResourceId,
    steps: &BTreeMap<&'a ResourceId, &'a State>,
    world: &World,
    seen: &mut BTreeSet<&'a ResourceId>,
) -> bool {
    if !seen.insert(id) {
        return false;
    }
    match steps.get(id) {
        None => false,
        Some(State::Ready) => false,
        Some(State::Blocked(_)) => true,
        Some(State::Waiting(waits)) => waits.iter().any(|wait| {
            let by_hand = world.dns_is_external
                && wait.on.kind == "acm_certificate"
                && world
                    .resources
                    .get(&wait.on)
                    .is_some_and(|stored| !stored.issued);
            // Nothing but the record's own step tells that a certificate goes on waiting for it.
            let record = steps.keys().find(|step| {
                wait.on.kind == "acm_certificate"
                    && step.name == format!("{}/validation", wait.on.name)
            });
            by_hand
                || record.is_some_and(|record| has_root(record, steps, world, seen))
                || has_root(&wait.on, steps, world, seen)
        }),
    }
}

/// A person does what the operator waits for: makes the records of the certificates, lifts what protects.
pub fn person_acts(driver: &Driver) {
    let mut world = driver.sim.world();
    let records: Vec<(String, String)> = world
        .resources
        .iter()
        .filter(|(id, _)| id.kind == "acm_certificate")
        .filter_map(|(id, stored)| {
            let outputs = rules::outputs(&world, id, stored);
            Some((
                outputs.get("validation_name")?.clone(),
                outputs.get("validation_value")?.clone(),
            ))
        })
        .collect();
    world.external_dns.extend(records);
    for (id, stored) in &mut world.resources {
        let wanted = driver.desired.iter().any(|desired| desired.id == *id);
        if let Some(protection) = stored.config.get_mut("deletion_protection")
            && (driver.deleting || !wanted)
        {
            *protection = json!(false);
        }
    }
}

/// Whoever holds a name of ours gives it up.
pub fn others_leave(driver: &Driver) {
    let mut world = driver.sim.world();
    let theirs: Vec<ResourceId> = world
        .resources
        .iter()
        .filter(|(id, stored)| stored.owner != Owner::Ours && id.kind != "route53_hosted_zone")
        .map(|(id, _)| id.clone())
        .collect();
    for id in theirs {
        world.remove(&id);
    }
}

/// What of a resource is data, by its kind.
pub fn holds_data(id: &ResourceId) -> bool {
    resources::facts(&id.kind).is_some_and(|facts| facts.holds_data)
}
