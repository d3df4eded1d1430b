//! The lease's rules one by one, and several electors at once in bad weather.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const NAME: &str = "system/controller";

fn elector(identity: &str) -> Elector {
    Elector::new(identity.into(), NAME.into(), Terms::default())
}

/// So many seconds into a test; the wall clock is as far off as one likes.
struct Clock {
    start: Instant,
    wall: Timestamp,
}

impl Clock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            wall: Timestamp::now(),
        }
    }

    fn at(&self, seconds: f64) -> Now {
        Now {
            at: self.start + Duration::from_secs_f64(seconds),
            wall: self.wall + SignedDuration::try_from_secs_f64(seconds).unwrap(),
            pause: Terms::default().retry,
        }
    }
}

/// The API server, as far as one lease goes.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn answer(&mut self, ask: Ask) -> Answer {
        match (ask, &self.lease) {
            (Ask::Get, Some(lease)) => Answer::Found(Box::new(lease.clone())),
            (Ask::Get | Ask::Replace(_), None) => Answer::Absent,
            (Ask::Create(_), Some(_)) => Answer::Conflict,
            (Ask::Replace(lease), Some(stored))
                if lease.metadata.resource_version != stored.metadata.resource_version =>
            {
                Answer::Conflict
            }
            (Ask::Create(lease) | Ask::Replace(lease), _) => {
                let mut lease = *lease;
                self.version += 1;
                lease.metadata.resource_version = Some(self.version.to_string());
                self.lease = Some(lease.clone());
                Answer::Written(Box::new(lease))
            }
        }
    }

    fn holder(&self) -> Option<&str> {
        holder(self.lease.as_ref()?.spec.as_ref()?)
    }

    fn transitions(&self) -> Option<i32> {
        self.lease.as_ref()?.spec.as_ref()?.lease_transitions
    }
}

/// One try at `now`, with answers that take no time: what comes of it.
fn try_once(elector: &mut Elector, server: &mut Server, now: Now) -> Result<Instant, Deposed> {
    let mut turn = elector.wake(now)?;
    loop {
        match turn {
            Turn::Ask(ask) => turn = elector.hear(now.at, server.answer(ask), now)?,
            Turn::Wait(until) => return Ok(until),
        }
    }
}

fn fail_once(elector: &mut Elector, now: Now) -> Result<Turn, Deposed> {
    elector.wake(now)?;
    elector.hear(now.at, Answer::Failed("out of reach".into()), now)
}

#[test]
fn the_first_leads_and_the_second_waits_however_far_its_clock_is_ahead() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let (mut first, mut second) = (elector("first"), elector("second"));
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    assert_eq!(first.leads_until(), Some(clock.at(10.0).at));
    let ahead = Clock {
        wall: clock.wall + SignedDuration::from_hours(9),
        ..clock
    };
    for second_number in 1..9 {
        let now = f64::from(second_number);
        let next = try_once(&mut second, &mut server, ahead.at(now)).unwrap();
        assert_eq!(next, ahead.at(now + 2.0).at);
    }
    assert_eq!(
        (second.leads_until(), second.holder()),
        (None, Some("first"))
    );
    assert_eq!(server.holder(), Some("first"));
}

#[test]
fn a_record_that_stays_the_same_for_its_time_is_taken_over_and_no_sooner() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let (mut first, mut second) = (elector("first"), elector("second"));
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    // It counts from when it saw the record, not from when that was written.
    try_once(&mut second, &mut server, clock.at(5.0)).unwrap();
    let next = try_once(&mut second, &mut server, clock.at(19.0)).unwrap();
    assert_eq!((second.leads_until(), next), (None, clock.at(20.0).at));
    try_once(&mut second, &mut server, clock.at(20.0)).unwrap();
    assert_eq!(second.leads_until(), Some(clock.at(30.0).at));
    assert_eq!(
        (server.holder(), server.transitions()),
        (Some("second"), Some(1))
    );
}

#[test]
fn each_renewal_seen_starts_the_count_anew() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let (mut first, mut second) = (elector("first"), elector("second"));
    for now in [0.0, 8.0, 16.0, 24.0] {
        try_once(&mut first, &mut server, clock.at(now)).unwrap();
        try_once(&mut second, &mut server, clock.at(now + 1.0)).unwrap();
    }
    try_once(&mut second, &mut server, clock.at(39.0)).unwrap();
    assert_eq!(second.leads_until(), None);
    try_once(&mut second, &mut server, clock.at(40.0)).unwrap();
    assert!(second.leads_until().is_some());
}

#[test]
fn of_two_that_take_over_at_once_the_later_one_meets_a_conflict_and_waits() {
    let (clock, mut server) = (Clock::new(), Server::default());
    try_once(&mut elector("dead"), &mut server, clock.at(0.0)).unwrap();
    let (mut first, mut second) = (elector("first"), elector("second"));
    try_once(&mut first, &mut server, clock.at(1.0)).unwrap();
    try_once(&mut second, &mut server, clock.at(1.0)).unwrap();
    let now = clock.at(16.0);
    let mut asks = Vec::new();
    for elector in [&mut first, &mut second] {
        let found = server.answer(Ask::Get);
        let Turn::Ask(ask) = elector.hear(now.at, found, now).unwrap() else {
            panic!("it does not take over");
        };
        asks.push(ask);
    }
    for (elector, ask) in [&mut first, &mut second].into_iter().zip(asks) {
        elector.hear(now.at, server.answer(ask), now).unwrap();
    }
    assert!(first.leads_until().is_some() && second.leads_until().is_none());
}

#[test]
fn a_released_lease_is_taken_at_the_next_look_and_only_its_holder_releases_it() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let (mut first, mut second) = (elector("first"), elector("second"));
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    try_once(&mut second, &mut server, clock.at(1.0)).unwrap();
    assert_eq!(second.release(server.lease.as_ref(), clock.at(1.5)), None);
    let ask = first.release(None, clock.at(2.0)).unwrap();
    assert!(matches!(server.answer(ask), Answer::Written(_)));
    assert_eq!(server.holder(), None);
    try_once(&mut second, &mut server, clock.at(3.0)).unwrap();
    assert!(second.leads_until().is_some());
    assert_eq!(first.release(server.lease.as_ref(), clock.at(4.0)), None);
}

/// The process was asked to stop while a renewal was under way.
#[test]
fn a_release_that_meets_a_conflict_is_made_again_of_what_is_there() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    let Turn::Ask(unheard) = first.wake(clock.at(2.0)).unwrap() else {
        panic!("it does not renew");
    };
    server.answer(unheard);
    let ask = first.release(None, clock.at(2.0)).unwrap();
    assert!(matches!(server.answer(ask), Answer::Conflict));
    let again = first.release(server.lease.as_ref(), clock.at(2.0)).unwrap();
    assert!(matches!(server.answer(again), Answer::Written(_)));
    assert_eq!(server.holder(), None);
}

#[test]
fn a_leader_that_cannot_renew_is_deposed_at_its_deadline_and_says_what_it_was_told_last() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    for now in [2.0, 4.0, 6.0, 8.0] {
        assert_eq!(
            fail_once(&mut first, clock.at(now)),
            Ok(Turn::Wait(clock.at(now + 2.0).at))
        );
    }
    // No longer than to the deadline.
    assert_eq!(
        fail_once(&mut first, clock.at(9.0)),
        Ok(Turn::Wait(clock.at(10.0).at))
    );
    let deposed = first.wake(clock.at(10.0)).unwrap_err();
    assert_eq!(
        deposed.to_string(),
        "the lease system/controller could not be renewed within 10 s: out of reach"
    );
}

#[test]
fn a_leader_that_fails_for_less_than_its_deadline_goes_on() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    fail_once(&mut first, clock.at(2.0)).unwrap();
    fail_once(&mut first, clock.at(7.0)).unwrap();
    try_once(&mut first, &mut server, clock.at(9.9)).unwrap();
    assert_eq!(first.leads_until(), Some(clock.at(19.9).at));
}

/// It may have been standing still: what it asked in time was answered too late to count on.
#[test]
fn a_renewal_that_is_heard_of_after_the_deadline_is_none() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    let Turn::Ask(ask) = first.wake(clock.at(9.0)).unwrap() else {
        panic!("it does not renew");
    };
    let answer = server.answer(ask);
    let late = first.hear(clock.at(9.0).at, answer, clock.at(10.5));
    assert!(matches!(late, Err(Deposed::NotRenewed { .. })));
}

#[test]
fn a_leader_that_finds_another_in_its_place_is_deposed_at_once() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    for (by_hand, named) in [("second", "second"), ("", "nobody")] {
        let mut edited = server.lease.clone().unwrap();
        edited.spec.as_mut().unwrap().holder_identity = Some(by_hand.into());
        server.answer(Ask::Replace(Box::new(edited)));
        let deposed = try_once(&mut first, &mut server, clock.at(2.0)).unwrap_err();
        assert_eq!(
            deposed.to_string(),
            format!("the lease system/controller was taken over by {named}")
        );
    }
}

#[test]
fn an_edit_of_something_else_in_the_lease_is_kept_and_deposes_nobody() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    let mut edited = server.lease.clone().unwrap();
    let labels = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
    edited.metadata.labels = Some(labels.clone());
    server.answer(Ask::Replace(Box::new(edited)));
    try_once(&mut first, &mut server, clock.at(2.0)).unwrap();
    assert_eq!(first.leads_until(), Some(clock.at(12.0).at));
    assert_eq!(server.lease.unwrap().metadata.labels, Some(labels));
}

#[test]
fn a_deleted_lease_is_made_again_by_its_leader_and_by_others_only_after_its_time() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let (mut first, mut second) = (elector("first"), elector("second"));
    try_once(&mut first, &mut server, clock.at(0.0)).unwrap();
    try_once(&mut second, &mut server, clock.at(1.0)).unwrap();
    server.lease = None;
    try_once(&mut second, &mut server, clock.at(1.5)).unwrap();
    assert_eq!((second.leads_until(), server.holder()), (None, None));
    try_once(&mut first, &mut server, clock.at(2.0)).unwrap();
    assert_eq!(first.leads_until(), Some(clock.at(12.0).at));
    server.lease = None;
    try_once(&mut second, &mut server, clock.at(15.9)).unwrap();
    assert_eq!(second.leads_until(), None);
    try_once(&mut second, &mut server, clock.at(16.0)).unwrap();
    assert!(second.leads_until().is_some());
}

#[test]
fn one_whose_creation_was_answered_to_nobody_finds_the_lease_its_own() {
    let (clock, mut server) = (Clock::new(), Server::default());
    let mut first = elector("first");
    let now = clock.at(0.0);
    first.wake(now).unwrap();
    let Turn::Ask(create) = first.hear(now.at, Answer::Absent, now).unwrap() else {
        panic!("it does not create");
    };
    server.answer(create);
    first
        .hear(now.at, Answer::Failed("no answer".into()), clock.at(3.0))
        .unwrap();
    assert_eq!(first.leads_until(), None);
    try_once(&mut first, &mut server, clock.at(5.0)).unwrap();
    assert_eq!(first.leads_until(), Some(clock.at(15.0).at));
}

/// Several electors, each with its own wall clock; answers late, lost and out of order; processes that stand still, or
/// are killed and started again.
struct Weather {
    start: Instant,
    /// Milliseconds.
    now: u64,
    server: Server,
    nodes: Vec<Node>,
    /// What happens when, in order.
    queue: BTreeMap<(u64, u64), Event>,
    count: u64,
    chance: StdRng,
    spell: Spell,
}

/// Chances in a hundred, of being killed in a thousand; and how long a message takes at most, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Spell {
    lost: u32,
    still: u32,
    killed: u32,
    late: u64,
}

const FAIR: Spell = Spell {
    lost: 0,
    still: 0,
    killed: 0,
    late: 50,
};

struct Node {
    elector: Elector,
    wall: Timestamp,
    still_until: u64,
    over: bool,
}

enum Event {
    /// The ask of a node reaches the server.
    Arrives(usize, u64, Ask),
    /// What became of an ask that was made then.
    Answered(usize, u64, Answer),
    Wakes(usize),
}

impl Weather {
    fn new(seed: u64) -> Self {
        let mut weather = Self {
            start: Instant::now(),
            now: 0,
            server: Server::default(),
            nodes: Vec::new(),
            queue: BTreeMap::new(),
            count: 0,
            chance: StdRng::seed_from_u64(seed),
            spell: FAIR,
        };
        for _ in 0..3 {
            weather.begin();
        }
        weather
    }

    fn begin(&mut self) {
        let node = self.nodes.len();
        let offset = SignedDuration::from_secs(self.chance.random_range(-90_000..90_000));
        self.nodes.push(Node {
            elector: elector(&format!("node-{node}")),
            wall: Timestamp::from_second(1_800_000_000).unwrap() + offset,
            still_until: 0,
            over: false,
        });
        self.after(0, Event::Wakes(node));
    }

    fn after(&mut self, milliseconds: u64, event: Event) {
        self.count += 1;
        self.queue
            .insert((self.now + milliseconds, self.count), event);
    }

    fn instant(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn leaders(&self) -> Vec<usize> {
        let now = self.instant(self.now);
        let leads =
            |node: &Node| !node.over && node.elector.leads_until().is_some_and(|until| now < until);
        (0..self.nodes.len())
            .filter(|&node| leads(&self.nodes[node]))
            .collect()
    }

    /// For so many milliseconds; who stood still before that goes on at its beginning.
    fn run(&mut self, lasts: u64, spell: Spell) {
        let end = self.now + lasts;
        self.spell = spell;
        for node in &mut self.nodes {
            node.still_until = 0;
        }
        // No wait of an elector's is longer.
        let latest = self.now + 4000;
        let queue = std::mem::take(&mut self.queue).into_iter();
        self.queue = queue
            .map(|((time, count), event)| ((time.min(latest), count), event))
            .collect();
        while let Some(((time, _), event)) = self.queue.pop_first() {
            if time > end {
                self.count += 1;
                self.queue.insert((time, self.count), event);
                break;
            }
            self.now = time;
            match event {
                Event::Arrives(node, asked, ask) => {
                    let answer = self.server.answer(ask);
                    if self.by_chance(self.spell.lost, 100) {
                        let failed = Answer::Failed("lost".into());
                        self.after(3000, Event::Answered(node, asked, failed));
                    } else {
                        let late = self.late();
                        self.after(late, Event::Answered(node, asked, answer));
                    }
                }
                event => self.happens(event),
            }
            let leaders = self.leaders();
            assert!(
                leaders.len() < 2,
                "at {} ms several lead: {leaders:?}",
                self.now
            );
        }
        self.now = end;
    }

    fn by_chance(&mut self, chances: u32, of: u32) -> bool {
        self.chance.random_range(0..of) < chances
    }

    fn late(&mut self) -> u64 {
        self.chance.random_range(1..self.spell.late)
    }

    fn happens(&mut self, event: Event) {
        let (Event::Wakes(node) | Event::Answered(node, ..) | Event::Arrives(node, ..)) = event;
        if self.nodes[node].over {
            return;
        }
        if self.nodes[node].still_until > self.now {
            let rest = self.nodes[node].still_until - self.now;
            return self.after(rest, event);
        }
        if self.by_chance(self.spell.killed, 1000) {
            self.nodes[node].over = true;
            return self.begin();
        }
        if self.by_chance(self.spell.still, 100) {
            self.nodes[node].still_until = self.now + self.chance.random_range(100..30_000);
        }
        let now = Now {
            at: self.instant(self.now),
            wall: self.nodes[node].wall + Duration::from_millis(self.now),
            pause: Duration::from_millis(self.chance.random_range(2000..2400)),
        };
        let elector = &mut self.nodes[node].elector;
        let turn = match event {
            Event::Answered(_, asked, answer) => {
                elector.hear(self.start + Duration::from_millis(asked), answer, now)
            }
            _ => elector.wake(now),
        };
        match turn {
            Ok(Turn::Ask(ask)) if self.by_chance(self.spell.lost, 100) => {
                drop(ask);
                let failed = Answer::Failed("never arrived".into());
                self.after(3000, Event::Answered(node, self.now, failed));
            }
            Ok(Turn::Ask(ask)) => {
                let asked = self.now;
                let late = self.late();
                self.after(late, Event::Arrives(node, asked, ask));
            }
            Ok(Turn::Wait(until)) => {
                let wait = until.saturating_duration_since(now.at).as_millis();
                self.after(u64::try_from(wait).unwrap().max(1), Event::Wakes(node));
            }
            Err(_) => {
                self.nodes[node].over = true;
                self.begin();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_lead_at_once_and_in_fair_weather_another_does_within_twenty_seconds(
        seed in any::<u64>(), lost in 0..60_u32, still in 0..8_u32, killed in 0..15_u32,
    ) {
        let mut weather = Weather::new(seed);
        let foul = Spell { lost, still, killed, late: 900 };
        for _ in 0..4 {
            weather.run(120_000, foul);
            // A leader may have died in it unseen.
            weather.run(30_000, FAIR);
            prop_assert_eq!(weather.leaders().len(), 1);
            let leader = weather.leaders()[0];
            weather.nodes[leader].over = true;
            weather.run(20_000, FAIR);
            prop_assert_eq!(weather.leaders().len(), 1);
            weather.begin();
        }
    }
}
