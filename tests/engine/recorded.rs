//! The object of an app in every case that somebody may meet it in, as the engine and the status code make it of the
//! simulated AWS: what Argo CD's scripts and the rules of kstatus are tested on.
//!
//! They lie where Argo CD's repository expects them, beside the scripts, named for the health that they are to have.
//! `UPDATE=1 cargo test --test engine recorded` writes them anew.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use multiregion::api::{
    DrillStatus, FINALIZER, LastHandled, MultiRegionAppStatus, RegionHealth, Role, WriterStatus,
};
use multiregion::health::{Health, Target};
use multiregion::model::{Failure, FailureKind, Owner, ResourceId};
use multiregion::reconcile::Outcome;
use multiregion::status::{self, LagRow, Result, Rolling, Situation, Structure, Vitals};
use serde_json::{Value, json};

use super::apps::{DR, Dns, PRIMARY, Shape};
use super::drive::Driver;
use super::sim::Faults;

const FOLDER: &str = "deploy/argocd/resource_customizations/multiregion.dev/MultiRegionApp";

/// An app, and what its object says.
struct Told {
    driver: Driver,
    status: Value,
    structure: Option<Structure>,
    generation: i64,
    now: Timestamp,
    suspend: bool,
}

impl Told {
    /// As it was just created: what the API server makes of an absent status.
    fn new(shape: Shape) -> Self {
        let default = multiregion::api::schema()["properties"]["status"]["default"].clone();
        Self {
            driver: Driver::new(shape, 1),
            status: default,
            structure: None,
            generation: 1,
            now: "2026-11-22T03:00:00Z".parse().unwrap(),
            suspend: false,
        }
    }

    /// Converged, and found well by the probes.
    fn ready(shape: Shape) -> Self {
        let mut told = Self::new(shape);
        told.settle();
        told.probe(&well());
        told
    }

    fn settle(&mut self) {
        let outcome = self.driver.settle();
        self.tell_pass(&outcome);
    }

    fn pass(&mut self) {
        self.driver.advance();
        let outcome = self.driver.pass().unwrap();
        self.tell_pass(&outcome);
    }

    fn tell_pass(&mut self, outcome: &Outcome) {
        let wanted = self.driver.wanted();
        let app = self.driver.app.clone();
        let rollout = self.driver.rollout.clone();
        let rolling = rollout.as_ref().map(|rollout| Rolling {
            rollout,
            since: self.now,
        });
        let result = Result::Ran {
            app: &app,
            wanted: &wanted,
            outcome,
            deleting: self.driver.deleting,
        };
        self.tell(result, rolling, None);
    }

    /// What the probes alone say.
    fn probe(&mut self, vitals: &Vitals) {
        self.tell(Result::Probed, None, Some(vitals));
    }

    fn suspend(&mut self, changed: bool) {
        (self.suspend, self.generation) = (true, self.generation + 1);
        let result = Result::Suspended {
            deleting: self.driver.deleting,
            changed: Some(changed),
        };
        self.tell(result, None, None);
    }

    fn delete(&mut self) {
        self.driver.delete();
        self.generation += 1;
    }

    fn edit(&mut self, shape: Shape) {
        self.driver.edit(shape);
        self.generation += 1;
    }

    fn tell(&mut self, result: Result<'_>, rollout: Option<Rolling<'_>>, vitals: Option<&Vitals>) {
        self.now += SignedDuration::from_mins(1);
        let previous = self.previous();
        let vitals = vitals.map(|vitals| {
            let mut vitals = vitals.clone();
            vitals.has_dr = self.driver.shape.dr;
            vitals.lags = lags(&previous, vitals.lags.first().and_then(|lag| lag.seconds));
            vitals
        });
        let assessment = status::assess(&Situation {
            generation: self.generation,
            previous: &previous,
            now: self.now,
            handled: LastHandled::default(),
            vitals: vitals.as_ref(),
            structure: self.structure.as_ref(),
            rollout,
            result,
        });
        self.structure = Some(assessment.structure);
        self.status = json!(assessment.status);
    }

    fn previous(&self) -> MultiRegionAppStatus {
        serde_json::from_value(self.status.clone()).unwrap()
    }

    /// As the API server has it. What no script reads is left out.
    fn object(&self) -> Value {
        let mut spec = json!(self.driver.app.spec);
        spec["suspend"] = json!(self.suspend);
        let mut object = json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {
                "name": "shop",
                "namespace": "web",
                "generation": self.generation,
                "resourceVersion": format!("{}", 1000 + self.generation),
                "finalizers": [FINALIZER],
            },
            "spec": spec,
            "status": self.status,
        });
        if self.driver.deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-22T04:00:00Z");
        }
        object["status"]
            .as_object_mut()
            .unwrap()
            .remove("inventory");
        object
    }

    /// Compares the object with what lies there, or writes it.
    fn is_recorded(&self, name: &str) {
        recorded(&format!("testdata/{name}"), &self.object());
    }
}

fn recorded(name: &str, object: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{FOLDER}/{name}.yaml"));
    let text = serde_saphyr::to_string(object).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{} is not what the code makes: run UPDATE=1 cargo test --test engine recorded\n{text}",
        path.display()
    );
}

/// What the probes say of a healthy app.
fn well() -> Vitals {
    vitals(RegionHealth::Healthy, RegionHealth::Healthy)
}

fn vitals(primary: RegionHealth, dr: RegionHealth) -> Vitals {
    let target = |state| Target {
        state,
        firm: true,
        why: "status 502".into(),
        ..Target::default()
    };
    Vitals {
        health: Health {
            primary: target(primary),
            dr: target(dr),
            ..Health::default()
        },
        has_dr: true,
        not_probed: String::new(),
        lags: vec![LagRow {
            source: String::new(),
            from: String::new(),
            to: String::new(),
            seconds: Some(1),
        }],
        objectives: Default::default(),
        writer: None,
        drill: None,
        evidence: None,
        handled: LastHandled::default(),
    }
}

/// A lag of so many seconds of everything that the status has.
fn lags(status: &MultiRegionAppStatus, seconds: Option<i64>) -> Vec<LagRow> {
    let rows = status.replication.iter().map(|row| LagRow {
        source: row.source.clone(),
        from: row.from.clone(),
        to: row.to.clone(),
        seconds,
    });
    rows.collect()
}

fn writer(active: Role, epoch: i64, reason: &str) -> Option<WriterStatus> {
    Some(WriterStatus {
        active,
        epoch,
        reason: reason.into(),
        ..WriterStatus::default()
    })
}

fn function(region: &str, side: &str) -> ResourceId {
    ResourceId::new("lambda_function", region, format!("shop-{side}"))
}

fn unreachable(region: &str) -> Faults {
    Faults {
        unreachable: BTreeSet::from([region.to_owned()]),
        ..Faults::default()
    }
}

#[test]
fn recorded_is_the_way_to_ready() {
    let mut told = Told::new(Shape::default());
    told.is_recorded("progressing_new");
    told.pass();
    told.is_recorded("progressing_creating");
    told.settle();
    told.is_recorded("healthy_notProbedYet");
    let mut told = Told::ready(Shape::default());
    told.is_recorded("healthy_ready");
    // Edited, and not looked at yet.
    told.edit(Shape {
        ttl: 61,
        ..Shape::default()
    });
    told.is_recorded("progressing_staleGeneration");
    told.pass();
    told.is_recorded("progressing_newGeneration");

    Told::ready(Shape {
        dr: false,
        ..Shape::default()
    })
    .is_recorded("healthy_withoutDR");
}

#[test]
fn recorded_is_every_failure_of_a_region() {
    use RegionHealth::{Healthy, Unhealthy};
    let mut told = Told::ready(Shape::default());
    told.probe(&vitals(Unhealthy, Healthy));
    told.is_recorded("degraded_primaryDown");
    told.probe(&Vitals {
        writer: writer(Role::Dr, 2, "PrimaryFailed"),
        ..vitals(Unhealthy, Healthy)
    });
    told.is_recorded("degraded_primaryDownWriterAtDR");
    told.probe(&vitals(Healthy, Unhealthy));
    told.is_recorded("degraded_drDown");
    told.probe(&vitals(Unhealthy, Unhealthy));
    told.is_recorded("degraded_bothDown");

    let mut told = Told::ready(Shape::default());
    let mut late = well();
    late.lags[0].seconds = Some(300);
    told.probe(&late);
    told.is_recorded("degraded_lagExceeded");

    let mut told = Told::ready(Shape::default());
    told.driver.sim.world().faults = unreachable(DR);
    told.pass();
    told.is_recorded("progressing_awsUnreachable");
    told.probe(&vitals(Healthy, Unhealthy));
    told.is_recorded("degraded_drDownAndUnreachable");
}

#[test]
fn recorded_is_what_goes_on_while_the_app_serves() {
    let mut told = Told::ready(Shape::default());
    let distribution = ResourceId::global("cloudfront_distribution", "shop");
    let mut world = told.driver.sim.world();
    let drifted = world.resources.get_mut(&distribution).unwrap();
    drifted.config["price_class"] = json!("PriceClass_100");
    drop(world);
    told.pass();
    told.is_recorded("progressing_driftBeingCorrected");

    let mut told = Told::ready(Shape::default());
    let started = Some(Time(told.now));
    told.probe(&Vitals {
        writer: writer(Role::Dr, 2, "Drill"),
        drill: Some(DrillStatus {
            id: "argocd-1001".into(),
            result: "Running".into(),
            phase: Some("AtDR".into()),
            epoch: Some(2),
            started,
            ..DrillStatus::default()
        }),
        ..well()
    });
    told.is_recorded("healthy_drillRunning");

    let mut told = Told::ready(Shape::default());
    told.probe(&Vitals {
        writer: writer(Role::Dr, 2, "AsDeclared"),
        ..well()
    });
    told.is_recorded("healthy_writerAtDR");

    // A version that does not answer in DR.
    let mut told = Told::ready(Shape::default());
    let name = "shop-lambda-deployments-123456789012-us-east-1/lambda/function.zip";
    let code = ResourceId::new("s3_object", PRIMARY, name);
    let version = told.driver.sim.world().upload(&code);
    told.driver.broken_code.insert(version);
    told.settle();
    told.probe(&well());
    told.is_recorded("degraded_releaseStopped");
}

#[test]
fn recorded_is_what_a_person_has_to_do() {
    let mut told = Told::new(Shape {
        dns: Dns::External,
        ..Shape::default()
    });
    told.settle();
    told.is_recorded("progressing_waitingForDNS");

    let mut told = Told::new(Shape::default());
    let owner = Owner::Other("MultiRegionApp web/other of cluster c1".into());
    let id = function(PRIMARY, "primary");
    told.driver.sim.world().put(&id, json!({}), owner);
    told.settle();
    told.is_recorded("degraded_ownedByAnother");

    let mut told = Told::ready(Shape::default());
    let failure = Failure {
        kind: FailureKind::Denied,
        operation: "sts:GetCallerIdentity".into(),
        code: "AccessDenied".into(),
        message: "not authorized".into(),
    };
    told.tell(Result::Failed(&failure), None, None);
    told.is_recorded("progressing_deniedJustNow");
    told.now += SignedDuration::from_mins(10);
    told.tell(Result::Failed(&failure), None, None);
    told.is_recorded("degraded_denied");
}

#[test]
fn recorded_is_what_was_asked_to_stand_still() {
    let mut told = Told::ready(Shape::default());
    told.suspend(false);
    told.is_recorded("suspended_suspended");
    told.suspend(true);
    told.is_recorded("suspended_changedMeanwhile");
    told.probe(&vitals(RegionHealth::Unhealthy, RegionHealth::Unhealthy));
    told.is_recorded("degraded_bothDownWhileSuspended");

    let observing = Shape {
        observe: true,
        ..Shape::default()
    };
    let mut told = Told::new(observing.clone());
    let outcome = told.driver.look();
    told.tell_pass(&outcome);
    told.is_recorded("suspended_observingDifferences");
    let mut told = Told::ready(Shape::default());
    told.edit(observing);
    let outcome = told.driver.look();
    told.tell_pass(&outcome);
    told.probe(&well());
    told.is_recorded("healthy_observing");
}

#[test]
fn recorded_is_a_deletion() {
    let mut told = Told::ready(Shape::default());
    told.delete();
    told.is_recorded("progressing_deletionNotSeen");
    told.pass();
    told.is_recorded("progressing_deleting");
    told.suspend(false);
    told.is_recorded("suspended_deletionWaits");

    let mut told = Told::ready(Shape {
        deletion: "Delete",
        ..Shape::default()
    });
    told.delete();
    told.settle();
    told.is_recorded("degraded_deletionProtected");
}

/// What Argo CD's actions are to make of it.
#[test]
fn recorded_is_what_an_action_changes() {
    let ready = Told::ready(Shape::default()).object();
    let mut suspended = ready.clone();
    suspended["spec"]["suspend"] = json!(true);
    recorded("actions/testdata/ready_suspend", &suspended);
    for action in ["reconcile", "drill"] {
        let mut annotated = ready.clone();
        annotated["metadata"]["annotations"] =
            json!({format!("multiregion.dev/{action}"): "argocd-1001"});
        recorded(&format!("actions/testdata/ready_{action}"), &annotated);
    }
    let mut told = Told::ready(Shape::default());
    told.suspend(false);
    let mut resumed = told.object();
    resumed["spec"]["suspend"] = json!(false);
    recorded("actions/testdata/suspended_resume", &resumed);
}
