//! Fair shares, and who is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

#[test]
fn every_app_is_in_one_shard_and_stays_there() {
    for of in [1, 2, 7, 16] {
        for number in 0..200 {
            let name = format!("app-{number}");
            let shards = (0..of).filter(|&number| Shard { number, of }.has("web", &name));
            assert_eq!(shards.count(), 1, "{name} of {of}");
        }
    }
    // What another version reckons too.
    let shard = (0..16).find(|&number| Shard { number, of: 16 }.has("web", "shop"));
    assert_eq!(shard, Some(WEB_SHOP));
}

const WEB_SHOP: u32 = 6;

/// The leases as a table, and the processes that go by it.
#[derive(Debug)]
struct World {
    of: u32,
    living: Members,
    holders: BTreeMap<u32, String>,
}

impl World {
    /// A process looks, gives up what it has too much of, and gets what is free of what it stands for.
    fn turn(&mut self, member: &str) {
        let plan = balance(self.of, member, &self.living, &self.holders);
        self.holders
            .retain(|number, holder| holder != member || plan.contains(number));
        for number in plan {
            let free = self
                .holders
                .get(&number)
                .is_none_or(|holder| !self.living.contains(holder));
            if free {
                self.holders.insert(number, member.to_owned());
            }
        }
    }

    fn counts(&self) -> Vec<usize> {
        let count = |member: &String| {
            let held = self.holders.values().filter(|holder| *holder == member);
            held.count()
        };
        self.living.iter().map(count).collect()
    }
}

proptest! {
    /// Whoever comes, goes or looks first: in the end all shards are held, evenly, and nothing moves any more.
    #[test]
    fn shares_become_even_and_stay(
        of in 2_u32..24,
        events in prop::collection::vec((0_usize..6, any::<bool>()), 1..20),
        order in prop::collection::vec(0_usize..6, 400),
    ) {
        let mut world = World { of, living: Members::new(), holders: BTreeMap::new() };
        let mut order = order.into_iter().cycle();
        for (member, comes) in events {
            let member = format!("m{member}");
            if comes {
                world.living.insert(member);
            } else if world.living.len() > 1 {
                world.living.remove(&member);
            }
            if world.living.is_empty() {
                continue;
            }
            for _ in 0..3 {
                let member = format!("m{}", order.next().unwrap());
                if world.living.contains(&member) {
                    world.turn(&member);
                }
            }
        }
        prop_assume!(!world.living.is_empty());
        let all: Vec<String> = world.living.iter().cloned().collect();
        for _ in 0..4 {
            for member in &all {
                world.turn(member);
            }
        }
        let counts = world.counts();
        let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        prop_assert_eq!(counts.iter().sum::<usize>(), of as usize, "{:?}", world);
        prop_assert!(most - least <= 1, "{:?}", counts);
        let before = world.holders.clone();
        for member in &all {
            world.turn(member);
        }
        prop_assert_eq!(before, world.holders);
    }
}

/// Leases as the API server has them.
#[derive(Default)]
struct Server {
    leases: BTreeMap<String, Lease>,
    version: u64,
}

impl Server {
    fn write(&mut self, mut lease: Lease) -> Lease {
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.leases.insert(lease.name_any(), lease.clone());
        lease
    }

    fn list(&self) -> Vec<Lease> {
        self.leases.values().cloned().collect()
    }
}

#[test]
fn who_renews_is_there_and_who_does_not_is_gone_and_forgotten() {
    let mut server = Server::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut first = Roll::new("first", "c-member-");
    let mut second = Roll::new("second", "c-member-");
    for seconds in [0, 5, 10] {
        for roll in [&mut first, &mut second] {
            let lease = roll.due(at(seconds), Timestamp::now()).unwrap();
            roll.announced(server.write(lease), at(seconds));
            assert!(roll.due(at(seconds + 1), Timestamp::now()).is_none());
        }
        first.see(&server.list(), at(seconds));
        assert_eq!(first.living().len(), 2);
    }
    let mut gone_at = None;
    for seconds in (12..160).step_by(2) {
        if let Some(lease) = first.due(at(seconds), Timestamp::now()) {
            first.announced(server.write(lease), at(seconds));
        }
        first.see(&server.list(), at(seconds));
        if first.living().len() == 1 {
            gone_at.get_or_insert(seconds);
        }
        for dead in first.forgotten(at(seconds)) {
            server.leases.remove(&dead);
        }
    }
    let gone_at = gone_at.unwrap();
    assert!((24..=30).contains(&gone_at), "{gone_at}");
    assert_eq!(server.leases.len(), 1, "what it left is removed");
}

#[test]
fn a_lease_that_was_removed_or_changed_by_hand_is_taken_up_again() {
    let mut server = Server::default();
    let now = Instant::now();
    let mut roll = Roll::new("first", "c-member-");
    let lease = roll.due(now, Timestamp::now()).unwrap();
    roll.announced(server.write(lease), now);
    server.leases.clear();
    roll.see(&server.list(), now);
    let anew = roll.due(now, Timestamp::now()).unwrap();
    assert_eq!(anew.metadata.resource_version, None, "it is made anew");
    server.write(anew);
    // The answer was lost.
    roll.lost();
    roll.see(&server.list(), now);
    let again = roll.due(now, Timestamp::now()).unwrap();
    assert_eq!(again.metadata.resource_version.as_deref(), Some("2"));
}
