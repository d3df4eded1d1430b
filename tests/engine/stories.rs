//! Bad days, one by one.

use std::collections::BTreeSet;

use multiregion::api::RegionHealth;
use multiregion::model::{Owner, ResourceId};
use multiregion::rollout::{Course, Known};
use serde_json::json;

use super::apps::{DR, Dns, PRIMARY, Shape};
use super::drive::{self, Driver};
use super::edge;
use super::sim::Faults;

pub fn converged(shape: Shape) -> Driver {
    let mut driver = Driver::new(shape, 1);
    let outcome = driver.settle();
    assert_eq!(
        outcome.plan.to_string(),
        "Nothing to do: AWS is as declared."
    );
    driver
}

fn function(region: &str, side: &str) -> ResourceId {
    ResourceId::new("lambda_function", region, format!("shop-{side}"))
}

fn distribution() -> ResourceId {
    ResourceId::global("cloudfront_distribution", "shop")
}

/// The origins of the distribution, if it serves.
fn served(driver: &Driver) -> BTreeSet<String> {
    let world = driver.sim.world();
    let config = &world.resources[&distribution()].config;
    if config["enabled"] != json!(true) {
        return BTreeSet::new();
    }
    config["routing"]["origins"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// The writes that `deed` leads to, in order, until nothing happens any more.
pub fn writes(driver: &mut Driver, deed: impl FnOnce(&mut Driver)) -> Vec<String> {
    let before = driver.sim.world().writes.len();
    deed(driver);
    driver.settle();
    driver.sim.world().writes[before..]
        .iter()
        .map(|write| format!("{} {}", write.verb, write.id))
        .collect()
}

/// Where `text` is among `writes`.
pub fn at(writes: &[String], text: &str) -> usize {
    writes
        .iter()
        .position(|write| write == text)
        .unwrap_or_else(|| panic!("no {text} among {writes:#?}"))
}

fn without(region: &str) -> Faults {
    Faults {
        unreachable: BTreeSet::from([region.to_owned()]),
        ..Faults::default()
    }
}

#[test]
fn every_shape_converges_from_nothing() {
    for dr in [true, false] {
        for identity in [true, false] {
            for dns in [Dns::None, Dns::Route53] {
                converged(Shape {
                    dr,
                    identity,
                    dns,
                    ..Shape::default()
                });
            }
        }
    }
}

#[test]
fn external_dns_waits_for_a_person() {
    let mut driver = Driver::new(
        Shape {
            dns: Dns::External,
            ..Shape::default()
        },
        1,
    );
    let outcome = driver.settle();
    assert!(!outcome.plan.is_empty());
    drive::person_acts(&driver);
    assert!(driver.settle().plan.is_empty());
}

#[test]
fn with_dr_out_of_reach_from_the_start_the_primary_serves_and_dr_follows() {
    let mut driver = Driver::new(Shape::default(), 1);
    for _ in 0..8 {
        driver.sim.world().faults = without(DR);
        driver.advance();
        driver.pass();
    }
    let primary = BTreeSet::from(["lambda-primary".into(), "static-primary".into()]);
    assert_eq!(served(&driver), primary);
    assert!(driver.settle().plan.is_empty());
    assert_eq!(served(&driver).len(), 4);
}

#[test]
fn with_dr_lost_halfway_the_distribution_made_for_both_is_enabled_for_one() {
    let mut driver = converged(Shape::default());
    {
        // As it is when DR goes away between the distribution and the permissions for it.
        let mut world = driver.sim.world();
        for sid in super::rules::SIDS {
            world.remove(&ResourceId::new(
                "lambda_permission",
                DR,
                format!("shop-dr/{sid}"),
            ));
        }
        world.resources.get_mut(&distribution()).unwrap().config["enabled"] = json!(false);
    }
    for _ in 0..3 {
        driver.sim.world().faults = without(DR);
        driver.advance();
        driver.pass();
    }
    assert_eq!(served(&driver).len(), 2);
    assert!(driver.settle().plan.is_empty());
    assert_eq!(served(&driver).len(), 4);
}

#[test]
fn dr_out_of_reach_disables_nothing_and_moves_nothing() {
    let mut driver = converged(Shape::default());
    driver.sim.world().faults = without(DR);
    let before = driver.sim.world().writes.len();
    driver.advance();
    let outcome = driver.pass().unwrap();
    assert_eq!(driver.sim.world().writes.len(), before);
    assert!(!outcome.plan.is_empty());
    assert_eq!(served(&driver).len(), 4);
}

#[test]
fn a_function_deleted_by_hand_comes_back_and_the_distribution_follows_its_new_host() {
    for (region, side) in [(PRIMARY, "primary"), (DR, "dr")] {
        let mut driver = converged(Shape::default());
        let writes = writes(&mut driver, |driver| {
            driver.sim.world().remove(&function(region, side));
        });
        let made = format!("create lambda_function_url/{region}/shop-{side}");
        let admitted =
            format!("create lambda_permission/{region}/shop-{side}/MultiRegionInvokeFunctionUrl");
        let moved = at(&writes, "update cloudfront_distribution/shop");
        assert!(at(&writes, &made) < moved);
        assert!(at(&writes, &admitted) < moved);
        assert_eq!(edge::refused(&driver.sim.world()).len(), 0);
    }
}

#[test]
fn one_drifted_field_is_one_write() {
    let mut driver = converged(Shape::default());
    let writes = writes(&mut driver, |driver| {
        let mut world = driver.sim.world();
        let function = world.resources.get_mut(&function(PRIMARY, "primary"));
        function.unwrap().config["memory_size"] = json!(128);
    });
    assert_eq!(writes, ["update lambda_function/us-east-1/shop-primary"]);
}

#[test]
fn from_one_access_to_the_other_both_are_admitted_until_deployed() {
    for identity in [true, false] {
        let shape = Shape {
            identity,
            ..Shape::default()
        };
        let mut driver = converged(shape.clone());
        let writes = writes(&mut driver, |driver| {
            driver.edit(Shape {
                identity: !identity,
                ..shape
            });
        });
        let policy = "update s3_bucket_policy/us-east-1/shop-static-123456789012";
        let moved = at(&writes, "update cloudfront_distribution/shop");
        assert!(at(&writes, policy) < moved);
        assert_eq!(writes.iter().filter(|write| *write == policy).count(), 2);
        let gone = if identity {
            "delete cloudfront_origin_access_identity/shop"
        } else {
            "delete cloudfront_origin_access_control/multiregion-s3"
        };
        assert!(at(&writes, gone) > moved);
    }
}

#[test]
fn dr_leaves_the_distribution_before_anything_of_it_goes() {
    let mut driver = converged(Shape::default());
    let writes = writes(&mut driver, |driver| {
        driver.edit(Shape {
            dr: false,
            ..Shape::default()
        });
    });
    let moved = at(&writes, "update cloudfront_distribution/shop");
    for gone in [
        "delete lambda_function/us-west-2/shop-dr",
        "delete s3_bucket_policy/us-west-2/shop-static-123456789012-dr",
        "delete s3_bucket_replication/us-east-1/shop-static-123456789012",
    ] {
        at(&writes, gone);
    }
    let first_gone = writes.iter().position(|write| {
        write.starts_with("delete") && (write.contains("lambda") || write.contains("policy"))
    });
    assert!(first_gone.unwrap() > moved);
    let left: Vec<ResourceId> = driver
        .ours()
        .into_iter()
        .filter(|id| id.region == DR)
        .collect();
    assert!(left.iter().all(drive::holds_data), "{left:?}");
}

#[test]
fn what_an_edit_took_away_is_found_again_after_the_status_was_lost() {
    let shape = Shape {
        identity: true,
        dns: Dns::Route53,
        ..Shape::default()
    };
    let mut driver = converged(shape.clone());
    driver.forget();
    driver.edit(Shape {
        dr: false,
        identity: false,
        dns: Dns::None,
        ..shape
    });
    assert!(driver.settle().plan.is_empty());
    let declared: BTreeSet<ResourceId> = driver
        .desired()
        .iter()
        .map(|desired| desired.id.clone())
        .collect();
    let left: Vec<ResourceId> = driver.ours().difference(&declared).cloned().collect();
    let may_stay = |id: &ResourceId| drive::holds_data(id) || id.name.ends_with("/validation");
    assert!(left.iter().all(may_stay), "{left:#?}");
}

#[test]
fn a_function_of_somebody_elses_is_left_alone_with_its_url_and_policy_and_the_rest_serves() {
    let mut driver = converged(Shape::default());
    let id = function(DR, "dr");
    {
        // Another operator made one of the same name, with statements of the same names.
        let mut world = driver.sim.world();
        world.resources.get_mut(&id).unwrap().owner = Owner::Other("another app".into());
        let sid = format!("shop-dr/{}", super::rules::SIDS[0]);
        let permission = ResourceId::new("lambda_permission", DR, sid);
        world.resources.get_mut(&permission).unwrap().config["source_arn"] = json!("theirs");
    }
    let before = driver.sim.world().resources.clone();
    let outcome = driver.settle();
    assert_eq!(driver.sim.world().resources, before);
    insta::assert_snapshot!(outcome.plan, @r"
    . lambda_function/us-west-2/shop-dr  (blocked it belongs to another app)
    . lambda_function_url/us-west-2/shop-dr  (waits on lambda_function/us-west-2/shop-dr: to belong to this app)
    . lambda_permission/us-west-2/shop-dr/MultiRegionInvokeFunctionUrl  (waits on lambda_function/us-west-2/shop-dr: to belong to this app)
    . lambda_permission/us-west-2/shop-dr/MultiRegionInvokeFunction  (waits on lambda_function/us-west-2/shop-dr: to belong to this app)
    Plan: 4 to wait for.
    ");
}

#[test]
fn a_name_taken_in_dr_does_not_keep_the_primary_from_serving() {
    for owner in [Owner::Other("another app".into()), Owner::Nobody] {
        let mut driver = Driver::new(Shape::default(), 1);
        let id = function(DR, "dr");
        driver.sim.world().put(&id, json!({}), owner);
        driver.settle();
        assert_eq!(served(&driver).len(), 2);
        drive::others_leave(&driver);
        assert!(driver.settle().plan.is_empty());
        assert_eq!(served(&driver).len(), 4);
    }
}

#[test]
fn every_reply_lost_is_every_resource_made_once() {
    let mut driver = Driver::new(Shape::default(), 1);
    driver.sim.world().faults = Faults {
        lost: 1000,
        ..Faults::default()
    };
    for _ in 0..12 {
        driver.advance();
        driver.pass();
    }
    assert!(driver.settle().plan.is_empty());
    let world = driver.sim.world();
    let mut made = BTreeSet::new();
    for write in world.writes.iter().filter(|write| write.verb == "create") {
        assert!(made.insert(write.id.clone()), "{} made twice", write.id);
    }
}

#[test]
fn a_pass_that_did_not_read_everything_changes_nothing_and_asks_for_one_that_does() {
    let mut driver = converged(Shape::default());
    let id = function(PRIMARY, "primary");
    driver.sim.world().resources.get_mut(&id).unwrap().config["memory_size"] = json!(128);
    driver.sim.world().every_facet = false;
    let before = driver.sim.world().writes.len();
    let outcome = driver.pass().unwrap();
    assert!(outcome.needs_every_facet);
    assert_eq!(driver.sim.world().writes.len(), before);
    assert!(driver.settle().plan.is_empty());
    driver.sim.world().every_facet = false;
    let outcome = driver.pass().unwrap();
    assert!(!outcome.needs_every_facet && outcome.plan.is_empty());
}

#[test]
fn a_deletion_leaves_what_its_policy_says() {
    let left = |policy: &'static str| {
        let mut driver = converged(Shape {
            deletion: policy,
            protected: false,
            dns: Dns::Route53,
            ..Shape::default()
        });
        let bucket = ResourceId::new("s3_bucket", PRIMARY, "shop-static-123456789012");
        driver
            .sim
            .world()
            .resources
            .get_mut(&bucket)
            .unwrap()
            .user_data = true;
        driver.delete();
        assert!(driver.settle().plan.steps.is_empty());
        let left: Vec<String> = driver.ours().iter().map(ToString::to_string).collect();
        left
    };
    let all = converged(Shape {
        dns: Dns::Route53,
        ..Shape::default()
    });
    assert_eq!(left("Retain").len(), all.ours().len());
    assert_eq!(left("Delete"), Vec::<String>::new());
    insta::assert_snapshot!(left("RetainData").join("\n"), @r"
    cloudwatch_log_group/us-east-1//aws/lambda/shop-primary
    cloudwatch_log_group/us-west-2//aws/lambda/shop-dr
    dynamodb_table/us-east-1/shop-visits
    dynamodb_table_replica/us-west-2/shop-visits
    route53_record/shop.example.com/validation
    s3_bucket/us-east-1/shop-static-123456789012
    ");
}

fn code() -> ResourceId {
    let name = "shop-lambda-deployments-123456789012-us-east-1/lambda/function.zip";
    ResourceId::new("s3_object", PRIMARY, name)
}

/// The writes to functions and caches among `writes`.
fn rolled_out(writes: Vec<String>) -> Vec<String> {
    let of_note =
        |write: &String| write.contains("lambda_function/") || write.contains("invalidation");
    writes.into_iter().filter(of_note).collect()
}

#[test]
fn a_new_version_goes_to_dr_and_comes_to_the_primary_when_it_answered_there() {
    let mut driver = converged(Shape::default());
    let writes = writes(&mut driver, |driver| {
        let code = code();
        driver.sim.world().upload(&code);
    });
    assert_eq!(
        rolled_out(writes),
        [
            // The mark, the code, and the mark again.
            "update lambda_function/us-west-2/shop-dr",
            "update lambda_function/us-west-2/shop-dr",
            "update lambda_function/us-west-2/shop-dr",
            "update lambda_function/us-east-1/shop-primary",
            "update cloudfront_invalidation/us-east-1/shop-primary",
        ]
    );
}

#[test]
fn until_dr_was_probed_the_primary_waits_and_says_for_what() {
    let mut driver = converged(Shape::default());
    driver.probes_a_pass = 0;
    driver.edit(Shape {
        memory: 1024,
        ..Shape::default()
    });
    for _ in 0..6 {
        driver.advance();
        driver.pass();
    }
    let outcome = driver.pass().unwrap();
    insta::assert_snapshot!(outcome.plan, @r"
    ~ lambda_function/us-east-1/shop-primary  (waits on lambda_function/us-west-2/shop-dr: to answer enough probes in a row)
        memory_size: 512 → 1024
    Plan: 1 to update.
    ");
    driver.probes_a_pass = 1;
    assert!(driver.settle().plan.is_empty());
}

#[test]
fn a_version_that_does_not_answer_stops_at_dr_and_dr_goes_back() {
    let mut driver = converged(Shape::default());
    let before = driver.sim.world().resources[&function(PRIMARY, "primary")].clone();
    let writes = writes(&mut driver, |driver| {
        let code = code();
        let version = driver.sim.world().upload(&code);
        driver.broken_code.insert(version);
    });
    let touched = |write: &String| write.contains("shop-primary");
    assert!(!rolled_out(writes).iter().any(touched));
    let course = driver.rollout.clone().map(|rollout| rollout.course);
    assert_eq!(course, Some(Course::Stop("status 502".into())));
    let world = driver.sim.world();
    assert_eq!(world.resources[&function(PRIMARY, "primary")], before);
    let release = |id: &ResourceId| {
        super::rules::outputs(&world, id, &world.resources[id])["release"].clone()
    };
    assert_eq!(
        release(&function(PRIMARY, "primary")),
        release(&function(DR, "dr"))
    );
    drop(world);
    // Nor is it tried again by an operator that knows only what AWS tells.
    driver.probed = Known::default();
    let writes = self::writes(&mut driver, |_| ());
    assert_eq!(writes, Vec::<String>::new());
}

#[test]
fn without_dr_a_new_version_goes_to_the_primary_directly() {
    let mut driver = converged(Shape {
        dr: false,
        ..Shape::default()
    });
    driver.probes_a_pass = 0;
    let writes = writes(&mut driver, |driver| {
        let code = code();
        driver.sim.world().upload(&code);
    });
    assert_eq!(
        rolled_out(writes),
        [
            "update lambda_function/us-east-1/shop-primary",
            "update cloudfront_invalidation/us-east-1/shop-primary",
        ]
    );
}

#[test]
fn while_the_primary_is_unhealthy_nothing_is_rolled_out_and_what_was_broken_by_hand_is_mended() {
    let mut driver = converged(Shape::default());
    driver.probed.primary = RegionHealth::Unhealthy;
    driver.probed.dr = RegionHealth::Healthy;
    let primary = function(PRIMARY, "primary");
    {
        let mut world = driver.sim.world();
        world.upload(&code());
        world.resources.get_mut(&primary).unwrap().config["memory_size"] = json!(128);
    }
    for _ in 0..4 {
        driver.advance();
        driver.pass();
    }
    let outcome = driver.pass().unwrap();
    let plan = outcome.plan.to_string();
    assert!(plan.contains("Plan: 1 to update."), "{plan}");
    let first = plan.lines().next().unwrap_or_default();
    insta::assert_snapshot!(first, @"~ lambda_function/us-west-2/shop-dr  (waits on lambda_function/us-east-1/shop-primary: the primary is unhealthy: DR is left as it is)");
    let memory = driver.sim.world().resources[&primary].config["memory_size"].clone();
    assert_eq!(memory, json!(512));
    driver.probed.primary = RegionHealth::Healthy;
    assert!(driver.settle().plan.is_empty());
}
