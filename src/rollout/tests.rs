//! Who may run what, when.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{Course, Facts, Mark, Trial, Verdict, decide};
use crate::api::{RegionHealth, Role};
use crate::health::{Sample, Thresholds};

const WANTED: &str = "r2";

/// A release that is on trial in DR, both regions healthy.
fn facts() -> Facts {
    Facts {
        wanted: Some(WANTED.into()),
        pins_another: false,
        mark: Some(Mark::Trying(WANTED.into())),
        remembered_reason: String::new(),
        dr_runs_wanted: true,
        primary_runs_wanted: false,
        drifted_with_dr_out_of_sight: false,
        alike: false,
        both_recorded: true,
        verdict: Verdict::Open,
        refused: None,
        writer: Role::Primary,
        primary: RegionHealth::Healthy,
        dr: RegionHealth::Healthy,
        not_probed: String::new(),
    }
}

fn failed() -> Verdict {
    Verdict::Failed("status 502".into())
}

#[test]
fn a_release_goes_to_dr_waits_for_probes_and_follows_to_the_primary() {
    let new = Facts {
        mark: None,
        dr_runs_wanted: false,
        ..facts()
    };
    assert!(matches!(decide(&new), Course::Try(_)));
    assert!(matches!(decide(&facts()), Course::Try(_)));
    let proven = Facts {
        verdict: Verdict::Proven,
        ..facts()
    };
    assert_eq!(decide(&proven), Course::Follow);
}

#[test]
fn what_fails_on_trial_stops_and_stays_stopped_after_a_restart() {
    let on_trial = Facts {
        verdict: failed(),
        ..facts()
    };
    assert_eq!(decide(&on_trial), Course::Stop("status 502".into()));
    let restarted = Facts {
        mark: Some(Mark::Failed(WANTED.into())),
        remembered_reason: "status 502".into(),
        dr_runs_wanted: false,
        alike: true,
        ..facts()
    };
    assert_eq!(decide(&restarted), Course::Stop("status 502".into()));
    let newer = Facts {
        wanted: Some("r3".into()),
        ..restarted
    };
    assert!(matches!(decide(&newer), Course::Try(_)));
}

#[test]
fn what_aws_refuses_stops() {
    let refused = Facts {
        dr_runs_wanted: false,
        refused: Some("Could not unzip".into()),
        ..facts()
    };
    assert_eq!(decide(&refused), Course::Stop("Could not unzip".into()));
}

#[test]
fn nothing_changes_while_dr_takes_the_writes_or_serves_alone() {
    let writes = Facts {
        writer: Role::Dr,
        verdict: Verdict::Proven,
        ..facts()
    };
    let alone = Facts {
        primary: RegionHealth::Unhealthy,
        verdict: Verdict::Proven,
        ..facts()
    };
    for facts in [writes, alone] {
        assert!(matches!(decide(&facts), Course::Freeze(_)), "{facts:?}");
        // A person's word.
        let pinned = Facts {
            pins_another: true,
            ..facts
        };
        assert_eq!(decide(&pinned), Course::Follow);
    }
    let both = Facts {
        primary: RegionHealth::Unhealthy,
        dr: RegionHealth::Unhealthy,
        verdict: Verdict::Proven,
        ..facts()
    };
    assert_eq!(decide(&both), Course::Follow, "a fix must be able to ship");
}

#[test]
fn a_dr_that_never_ran_what_the_primary_runs_is_no_refuge_from_a_fix() {
    let drifted = Facts {
        mark: None,
        dr_runs_wanted: false,
        primary: RegionHealth::Unhealthy,
        ..facts()
    };
    assert!(matches!(decide(&drifted), Course::Freeze(_)));
    let adopted = Facts {
        both_recorded: false,
        ..drifted
    };
    assert!(matches!(decide(&adopted), Course::Try(_)));
}

#[test]
fn drift_of_the_primary_is_repaired_at_once_and_never_held_against_the_release() {
    for mark in [None, Some(Mark::Proven(WANTED.into()))] {
        let drifted = Facts { mark, ..facts() };
        assert_eq!(decide(&drifted), Course::Follow);
        let with_a_sick_dr = Facts {
            dr: RegionHealth::Unhealthy,
            verdict: failed(),
            ..drifted
        };
        assert!(matches!(decide(&with_a_sick_dr), Course::Try(_)));
    }
}

#[test]
fn drift_of_the_primary_is_repaired_while_dr_is_out_of_sight() {
    let drifted = Facts {
        drifted_with_dr_out_of_sight: true,
        mark: None,
        dr_runs_wanted: false,
        ..facts()
    };
    assert_eq!(decide(&drifted), Course::Direct);
}

#[test]
fn where_no_probe_is_made_that_is_the_reason() {
    let denied = Facts {
        not_probed: "lambda:InvokeFunctionUrl is denied".into(),
        ..facts()
    };
    let why = "NotProbed: lambda:InvokeFunctionUrl is denied".to_owned();
    assert_eq!(decide(&denied), Course::Try(why));
}

#[test]
fn a_mark_is_read_as_it_was_written() {
    for mark in [Mark::Trying, Mark::Proven, Mark::Failed] {
        let mark = mark("abc".into());
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
    }
    assert_eq!(Mark::parse("something else"), None);
    assert_eq!(Mark::parse(""), None);
}

fn thresholds() -> Thresholds {
    Thresholds {
        failures: 3,
        successes: 3,
        stale: SignedDuration::from_secs(60),
    }
}

fn after(samples: &[Sample]) -> Verdict {
    let mut trial = Trial::default();
    trial.of(Some(&"r".to_owned()), true);
    for sample in samples {
        trial.observe(sample, &thresholds());
    }
    trial.verdict(&thresholds())
}

#[test]
fn a_trial_ends_with_so_many_successes_in_a_row_or_so_many_failures_in_all() {
    let good = Sample::Healthy;
    let bad = Sample::Unhealthy("status 502".into());
    let slow = Sample::Silent("no answer within 5 s".into());
    let gone = Sample::Unreachable("no connection".into());
    let all = |samples: &[&Sample]| -> Vec<Sample> { samples.iter().copied().cloned().collect() };
    assert_eq!(after(&[]), Verdict::Open);
    assert_eq!(after(&all(&[&good, &good])), Verdict::Open);
    assert_eq!(after(&all(&[&good, &good, &good])), Verdict::Proven);
    assert_eq!(after(&all(&[&good, &good, &bad, &good])), Verdict::Open);
    let flapping = all(&[&bad, &good, &bad, &good, &bad]);
    assert_eq!(after(&flapping), failed());
    assert_eq!(
        after(&all(&[&slow, &slow, &slow])),
        Verdict::Failed("no answer within 5 s".into())
    );
    // A region that is out of reach says nothing of the code.
    assert_eq!(after(&vec![gone; 20]), Verdict::Open);
    // What was proven once is not the release's fault later, but is no proof either.
    let mut late = all(&[&good, &good, &good]);
    late.extend(vec![bad; 3]);
    assert_eq!(after(&late), Verdict::Open);
    late.push(good);
    assert_eq!(after(&late), Verdict::Proven);
}

#[test]
fn a_trial_begins_anew_with_each_change_and_with_nothing_else() {
    let mut trial = Trial::default();
    let (one, two) = ("one".to_owned(), "two".to_owned());
    trial.of(Some(&one), false);
    let first = trial.number;
    trial.of(Some(&one), false);
    trial.of(None, false);
    assert_eq!(trial.number, first);
    trial.of(Some(&one), true);
    assert_eq!(trial.number, first + 1);
    trial.of(Some(&two), false);
    assert_eq!(trial.number, first + 2);
}

/// Two functions, a bucket, and whoever acts on them: the rollout as a game, played by [`decide`].
#[derive(Clone, Debug)]
struct World {
    newest: u32,
    pin: Option<u32>,
    primary: u32,
    dr: u32,
    mark: Option<Mark>,
    trial: Trial,
    writer: Role,
    primary_health: RegionHealth,
    /// Releases that do not answer.
    bad: Vec<u32>,
    /// Every release the primary ever ran, and every one that was proven in DR since it came there.
    ran: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Event {
    Upload { bad: bool },
    Pin(Option<usize>),
    Probe,
    Pass,
    Restart,
    Writer(Role),
    Primary(RegionHealth),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => any::<bool>().prop_map(|bad| Event::Upload { bad }),
        1 => prop::option::of(0..4_usize).prop_map(Event::Pin),
        6 => Just(Event::Probe),
        6 => Just(Event::Pass),
        1 => Just(Event::Restart),
        1 => prop::sample::select(vec![Role::Primary, Role::Dr]).prop_map(Event::Writer),
        1 => prop::sample::select(vec![
            RegionHealth::Healthy, RegionHealth::Unhealthy, RegionHealth::Unknown,
        ]).prop_map(Event::Primary),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            newest: 1,
            pin: None,
            primary: 1,
            dr: 1,
            mark: None,
            trial: Trial::default(),
            writer: Role::Primary,
            primary_health: RegionHealth::Healthy,
            bad: Vec::new(),
            ran: vec![1],
        }
    }

    fn wanted(&self) -> u32 {
        self.pin.unwrap_or(self.newest)
    }

    fn release(&self) -> String {
        format!("{} {}", self.wanted(), self.pin.is_some())
    }

    fn facts(&self) -> Facts {
        let wanted = self.wanted();
        Facts {
            wanted: Some(self.release()),
            pins_another: self
                .pin
                .is_some_and(|pin| pin != self.primary || pin != self.dr),
            mark: self.mark.clone(),
            remembered_reason: String::new(),
            dr_runs_wanted: self.dr == wanted,
            primary_runs_wanted: self.primary == wanted,
            drifted_with_dr_out_of_sight: false,
            alike: self.dr == self.primary,
            both_recorded: true,
            verdict: self.trial.verdict(&thresholds()),
            refused: None,
            writer: self.writer,
            primary: self.primary_health,
            dr: RegionHealth::Unknown,
            not_probed: String::new(),
        }
    }

    fn put_in_dr(&mut self, release: u32) {
        let changed = self.dr != release;
        self.dr = release;
        self.trial.of(Some(&release.to_string()), changed);
    }

    /// As `stage` and the engine do it, one side a pass.
    fn pass(&mut self) -> Course {
        let (before, facts, release) = (self.clone(), self.facts(), self.release());
        let course = decide(&facts);
        match &course {
            Course::Follow => {
                if facts.mark == Some(Mark::Trying(release.clone())) && !facts.primary_runs_wanted {
                    self.mark = Some(Mark::Proven(release));
                }
                self.primary = self.dr;
                self.ran.push(self.primary);
            }
            Course::Try(_) if !facts.dr_runs_wanted => {
                if !facts.primary_runs_wanted {
                    self.mark = Some(Mark::Trying(release));
                }
                self.put_in_dr(self.wanted());
            }
            Course::Stop(_) => {
                self.mark = Some(Mark::Failed(release));
                self.put_in_dr(self.primary);
            }
            Course::Try(_) | Course::Freeze(_) | Course::Direct => {}
        }
        assert!(
            before.dr == self.dr || before.primary == self.primary,
            "both at once"
        );
        course
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Upload { bad } => {
                self.newest += 1;
                if *bad {
                    self.bad.push(self.newest);
                }
            }
            // A person pins what has run.
            Event::Pin(pin) => {
                let pick = |pin: &usize| self.ran[pin % self.ran.len()];
                self.pin = pin.as_ref().map(pick);
            }
            Event::Probe => {
                let sample = if self.bad.contains(&self.dr) {
                    Sample::Unhealthy("status 502".into())
                } else {
                    Sample::Healthy
                };
                self.trial.observe(&sample, &thresholds());
            }
            Event::Pass => {
                let before = self.primary;
                let course = self.pass();
                if matches!(course, Course::Freeze(_)) {
                    assert_eq!(before, self.primary);
                }
            }
            Event::Restart => {
                self.trial = Trial::default();
                self.trial.of(Some(&self.dr.to_string()), true);
            }
            Event::Writer(role) => self.writer = *role,
            Event::Primary(health) => self.primary_health = *health,
        }
        let never = self.bad.contains(&self.primary);
        assert!(!never, "a release that fails came to the primary");
    }

    /// Passes and probes until nothing happens.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.happen(&Event::Pass);
            for _ in 0..3 {
                self.happen(&Event::Probe);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_bad_release_reaches_the_primary_and_a_rollback_gets_through(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new();
        world.trial.of(Some(&"1".to_owned()), true);
        for event in &events {
            world.happen(event);
            prop_assert_eq!(decide(&world.facts()), decide(&world.facts()));
        }
        // A rollback to anything that ever ran, whatever state all this has left.
        let target = world.ran[0];
        world.pin = Some(target);
        world.settle();
        prop_assert_eq!((world.primary, world.dr), (target, target));
    }

    #[test]
    fn left_alone_both_regions_end_alike(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new();
        world.trial.of(Some(&"1".to_owned()), true);
        for event in &events {
            world.happen(event);
        }
        world.writer = Role::Primary;
        world.primary_health = RegionHealth::Healthy;
        world.settle();
        prop_assert_eq!(world.primary, world.dr);
        let wanted = world.wanted();
        prop_assert_eq!(world.primary == wanted, !world.bad.contains(&wanted));
    }
}
