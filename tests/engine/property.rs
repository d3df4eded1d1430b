//! From anything, through anything, to converged or honestly blocked.

use std::collections::BTreeSet;

use multiregion::model::ResourceId;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::Rng;

use super::apps::{self, DR, Edit, PRIMARY, Shape};
use super::damage::{self, Damage};
use super::drive::{self, Driver};
use super::sim::Faults;

/// One life of an app.
#[derive(Clone, Debug)]
struct Life {
    seed: u64,
    shape: Shape,
    /// Whether everything was once there.
    live: bool,
    damages: Vec<(usize, Damage)>,
    /// How much goes wrong; 0 nothing.
    trouble: u32,
    /// Passes in trouble before each edit and at the end.
    passes: usize,
    edits: Vec<Edit>,
    /// Whether the status is lost on the way.
    amnesia: bool,
    deletion: Option<&'static str>,
}

fn life() -> impl Strategy<Value = Life> {
    (
        any::<u64>(),
        apps::shape(),
        any::<bool>(),
        prop::collection::vec((any::<prop::sample::Index>(), damage::damage()), 0..6),
        0..4_u32,
        1..5_usize,
        prop::collection::vec(apps::edit(), 0..3),
        prop::bool::weighted(0.1),
        prop::option::of(prop::sample::select(vec!["Retain", "RetainData", "Delete"])),
    )
        .prop_map(
            |(seed, shape, live, damages, trouble, passes, edits, amnesia, deletion)| Life {
                seed,
                shape,
                live,
                damages: damages
                    .into_iter()
                    .map(|(pick, damage)| (pick.index(1 << 20), damage))
                    .collect(),
                trouble,
                passes,
                edits,
                amnesia,
                deletion,
            },
        )
}

/// A few passes while things go wrong.
fn troubled(driver: &mut Driver, life: &Life) {
    for _ in 0..life.passes {
        {
            let mut world = driver.sim.world();
            let world = &mut *world;
            let mut unreachable = BTreeSet::new();
            for region in [PRIMARY, DR, "global"] {
                if world.chance(life.trouble * 80) {
                    unreachable.insert(region.to_owned());
                }
            }
            let crash_after = world
                .chance(life.trouble * 150)
                .then(|| world.rng.random_range(0..150));
            world.faults = Faults {
                refused: life.trouble * 25,
                lost: life.trouble * 25,
                stale: life.trouble > 0,
                broken: life.trouble * 30,
                unreachable,
                crash_after,
            };
            world.every_facet = world.rng.random_range(0..3) > 0;
        }
        let complete = driver.sim.world().rng.random_range(0..2) > 0;
        if complete {
            driver.pass();
        } else {
            driver.follow_up();
        }
        if driver.sim.world().rng.random_range(0..3) > 0 {
            driver.advance();
        }
    }
}

/// What it ends in, once people have done their part.
fn ends(driver: &mut Driver) {
    driver.settle();
    drive::person_acts(driver);
    driver.settle();
    drive::others_leave(driver);
    let outcome = driver.settle();
    assert!(outcome.plan.is_empty(), "not converged:\n{}", outcome.plan);
}

fn live(life: &Life) {
    let mut driver = Driver::new(life.shape.clone(), life.seed);
    if life.live {
        driver.settle();
        drive::person_acts(&driver);
        let outcome = driver.settle();
        assert!(outcome.plan.is_empty(), "not converged:\n{}", outcome.plan);
    }
    let desired = driver.desired().to_vec();
    for (pick, damage) in &life.damages {
        damage::inflict(&mut driver.sim.world(), &desired, *pick, *damage);
    }
    troubled(&mut driver, life);
    for edit in &life.edits {
        driver.advance();
        if life.amnesia {
            driver.forget();
        }
        driver.edit(driver.shape.edited(*edit));
        troubled(&mut driver, life);
    }
    let Some(policy) = life.deletion else {
        return ends(&mut driver);
    };
    driver.advance();
    driver.edit(Shape {
        deletion: policy,
        ..driver.shape.clone()
    });
    // What is on its way out already, by the policy that was, goes.
    let mut before = driver.ours();
    before.retain(|id| driver.sim.world().resources[id].deleting_until.is_none());
    driver.delete();
    troubled(&mut driver, life);
    ends(&mut driver);
    check_deleted(&driver, &before, policy);
}

/// What is left after a deletion is what its policy says, by the words of the design.
fn check_deleted(driver: &Driver, before: &BTreeSet<ResourceId>, policy: &str) {
    let left = driver.ours();
    if policy == "Retain" {
        assert!(before.is_subset(&left), "{left:?}");
        return;
    }
    let world = driver.sim.world();
    for id in &left {
        let validation = id.kind == "route53_record" && id.name.ends_with("/validation");
        let object = id.kind == "s3_object";
        let filled = world.resources[id].user_data
            || object
            || world.resources.iter().any(|(child, stored)| {
                super::rules::parent(child).as_ref() == Some(id) && stored.user_data
            });
        let stays = match id.kind.as_str() {
            "dynamodb_table" | "dynamodb_table_replica" | "cloudwatch_log_group" => true,
            "s3_bucket" | "s3_object" => filled,
            _ => validation,
        };
        let known = driver.desired().iter().any(|desired| desired.id == *id);
        // Left behind by an edit, and forgotten or kept as data.
        let of_the_past = !known && (!driver.inventory_complete || drive::holds_data(id));
        assert!(
            policy == "RetainData" && stays || of_the_past,
            "{id} is left under {policy}"
        );
    }
    for id in before.difference(&left) {
        let data = matches!(
            id.kind.as_str(),
            "dynamodb_table" | "dynamodb_table_replica" | "cloudwatch_log_group"
        );
        assert!(policy == "Delete" || !data, "{id} went under {policy}");
    }
}

/// Lives by a seed. `PROPTEST_CASES` and `PROPTEST_SEED` choose more and others.
fn live_all(seed: u8) {
    let chosen = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let config = Config {
        cases: chosen("PROPTEST_CASES").unwrap_or(120),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let mut bytes = [seed; 32];
    bytes[..4].copy_from_slice(&chosen("PROPTEST_SEED").unwrap_or_default().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&life(), |life| {
        std::panic::catch_unwind(|| live(&life)).map_err(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                .unwrap_or_default();
            TestCaseError::fail(text)
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

// Two, so that they run beside each other.

#[test]
fn always_converged_or_honestly_blocked() {
    live_all(1);
}

#[test]
fn always_converged_or_honestly_blocked_again() {
    live_all(2);
}
