//! What the engine itself costs, without AWS and Kubernetes; `make bench` shows it of a release build.

use std::time::{Duration, Instant};

use multiregion::topology;

use super::apps::Shape;
use super::drive::Driver;

/// In a debug build this is a test that many settle; a thousand are for figures.
const APPS: u32 = if cfg!(debug_assertions) { 20 } else { 1000 };

/// Resident memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.unwrap().trim().parse::<u64>().unwrap() / 1024
}

#[test]
fn many_apps_settle_and_a_full_pass_of_each_writes_nothing() {
    let before = resident();
    let mut drivers: Vec<Driver> = (0..APPS)
        .map(|number| Driver::new(Shape::default(), u64::from(number)))
        .collect();
    let started = Instant::now();
    for driver in &mut drivers {
        let outcome = driver.settle();
        assert!(outcome.plan.is_empty(), "{}", outcome.plan);
    }
    let took = started.elapsed();
    let calls = |drivers: &[Driver]| {
        let of_each = drivers.iter().map(|driver| driver.sim.world().calls);
        of_each.sum::<u64>()
    };
    let made = calls(&drivers);
    println!(
        "{APPS} apps from nothing to settled: {took:.2?}, {:.1} steps and observations an app; {} MiB with their simulated \
         AWS ({before} before)",
        made as f64 / f64::from(APPS),
        resident()
    );
    let mut longest = Duration::ZERO;
    let started = Instant::now();
    for driver in &mut drivers {
        let one = Instant::now();
        let writes = driver.sim.world().writes.len();
        assert_eq!(topology::topology(&driver.app), driver.desired());
        assert!(driver.pass().unwrap().plan.is_empty());
        assert_eq!(driver.sim.world().writes.len(), writes);
        longest = longest.max(one.elapsed());
    }
    let whole = started.elapsed();
    // Nothing is waited for in these, so that it is the processor's time, too.
    println!(
        "one full pass each: {whole:.2?}, {:.2?} an app, {longest:.2?} at most, {:.1} observations an app; at a pass every \
         10 min {:.0} s an hour; {} MiB",
        whole / APPS,
        (calls(&drivers) - made) as f64 / f64::from(APPS),
        whole.as_secs_f64() * 6.0,
        resident()
    );
}
