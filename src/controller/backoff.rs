//! How soon an app is looked at again, and what need not be read again then.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::api::MultiRegionAppSpec;
use crate::model::{ResourceId, Snapshot};
use crate::reconcile::Written;
use crate::status::Pace;

/// Between full passes of a settled app.
const SETTLED: Duration = Duration::from_secs(600);
/// After a change, when AWS's own word is checked once.
const VERIFY: Duration = Duration::from_secs(30);
/// Every so many passes all facets are read.
const EVERY_FACET: u32 = 6;
/// For so long after it was misled an app reads everything itself.
const MISLED: Duration = Duration::from_secs(3600);
/// For so long after a complete read the passes of an app that is not yet settled read only what is not at rest.
const BELIEVED: Duration = Duration::from_secs(30);

/// For so long a read may show what was there before a write of ours: S3 and IAM need a second or two.
const READS_LAG: Duration = Duration::from_secs(5);

/// What a complete read of an app has shown to be at rest.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    /// The spec it was read for.
    pub(super) generation: Option<i64>,
    /// Whether it was read to take the app away.
    pub(super) deleting: bool,
    /// When everything was read.
    pub(super) read: Instant,
    /// What was at rest in the last pass.
    pub(super) at_rest: Snapshot,
}

/// What is remembered of an app between passes; all of it may be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Passes since the start of the process.
    passes: u32,
    /// The pace of the last pass, and how often in a row it was the same.
    last: Option<Pace>,
    /// When a difference was believed that was none.
    misled: Option<Instant>,
    /// A change of the last pass is to be checked.
    verifying: bool,
    repeats: u32,
    deleting: bool,
    /// Differences that the last pass found.
    differing: BTreeSet<String>,
    /// Kept only until the app settles.
    believed: Option<Believed>,
    /// Writes of a moment ago, which reads may not show yet.
    written: BTreeMap<ResourceId, (Instant, Written)>,
    /// Digest of the spec that AWS was as declared by.
    converged: Option<u64>,
}

/// Of all but `suspend`.
fn digest(spec: &MultiRegionAppSpec) -> Option<u64> {
    let spec = MultiRegionAppSpec {
        suspend: false,
        ..spec.clone()
    };
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&spec).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

impl Memory {
    /// Whether the next pass may believe what was read for other apps a moment ago: it checks no change of its own, and
    /// nothing was left to do.
    pub(super) fn may_believe(&self) -> bool {
        let misled = self.misled.is_some_and(|at| at.elapsed() < MISLED);
        !misled && !self.verifying && self.last.is_none_or(|pace| pace == Pace::Settled)
    }

    /// Notes that a difference that was believed was none. Once, a write of ours or AWS's own delay may have overtaken the
    /// reading; but where readings tell something else than single reads do, they only cost.
    pub(super) fn was_misled(&mut self) {
        self.misled = Some(Instant::now());
    }

    /// Counts a pass; says whether it is one that reads every facet.
    ///
    /// The first is, and the second is not: when after that it is an app's turn is left to chance, so that the apps that
    /// a process found when it started do not all read everything at once ever after.
    pub(super) fn begin_pass(&mut self) -> bool {
        let every_facet = self.passes.is_multiple_of(EVERY_FACET);
        let ahead = match self.passes {
            0 => rand::rng().random_range(0..EVERY_FACET - 1),
            _ => 0,
        };
        self.passes = self.passes.wrapping_add(1 + ahead);
        every_facet
    }

    /// Of the differences found by a pass, those that the pass before had not left: one that waits, or fails, is not
    /// another one; one that was `corrected` and is found again is.
    pub(super) fn new_differences(
        &mut self,
        found: BTreeSet<String>,
        corrected: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let new = found.difference(&self.differing).cloned().collect();
        self.differing = found.difference(corrected).cloned().collect();
        new
    }

    /// Whether this is the first pass of a deletion.
    pub(super) fn begin_deletion(&mut self) -> bool {
        !std::mem::replace(&mut self.deleting, true)
    }

    /// What the last pass left to be believed, if it still may be.
    pub(super) fn believed(&mut self, generation: Option<i64>, deleting: bool) -> Option<Believed> {
        self.believed.take().filter(|believed| {
            believed.generation == generation
                && believed.deleting == deleting
                && believed.read.elapsed() < BELIEVED
        })
    }

    /// Remembers what was at rest, for the next pass only.
    pub(super) fn believe(&mut self, believed: Believed) {
        self.believed = Some(believed);
    }

    /// The writes of a moment ago.
    pub(super) fn written(&mut self) -> BTreeMap<ResourceId, Written> {
        self.written.retain(|_, (at, _)| at.elapsed() < READS_LAG);
        let written = self.written.iter();
        written
            .map(|(id, (_, written))| (id.clone(), written.clone()))
            .collect()
    }

    /// Takes up the writes of a pass that has just ended.
    pub(super) fn wrote(&mut self, written: BTreeMap<ResourceId, Written>) {
        for (id, mut written) in written {
            if let Some((at, earlier)) = self.written.get(&id)
                && at.elapsed() < READS_LAG
            {
                written.following(earlier);
            }
            self.written.insert(id, (Instant::now(), written));
        }
    }

    /// AWS is, or was once, as `spec` declares.
    pub(super) fn converged(&mut self, spec: &MultiRegionAppSpec) {
        self.converged = digest(spec);
    }

    /// Whether `spec` declares anything else than what AWS was as, if that is remembered.
    pub(super) fn changed(&self, spec: &MultiRegionAppSpec) -> Option<bool> {
        self.converged.map(|_| self.converged != digest(spec))
    }

    /// How long to wait, with ± 10 % against apps that move in step.
    pub(super) fn next(&mut self, pace: Pace) -> Duration {
        self.repeats = if self.last == Some(pace) {
            self.repeats + 1
        } else {
            0
        };
        self.last = Some(pace);
        self.verifying = false;
        delay(pace, self.repeats).mul_f64(rand::rng().random_range(0.9..1.1))
    }

    /// As [`Memory::next`], for a pass that has just changed something and found nothing left to do.
    pub(super) fn verify(&mut self) -> Duration {
        self.last = None;
        self.verifying = true;
        // The check is of everything.
        self.passes = 0;
        VERIFY
    }
}

fn delay(pace: Pace, repeats: u32) -> Duration {
    let doubled = |first: Duration, longest: Duration| {
        first.saturating_mul(1 << repeats.min(16)).min(longest)
    };
    let seconds = Duration::from_secs;
    match pace {
        Pace::Settled => SETTLED,
        // Some thirty quick looks at what takes seconds, then slower ones at what takes minutes.
        Pace::Waiting if repeats < 10 => seconds(1),
        Pace::Waiting if repeats < 30 => seconds(3),
        Pace::Waiting => seconds(15),
        Pace::Again => doubled(Duration::from_millis(300), seconds(10)),
        Pace::Recover => doubled(seconds(1), seconds(10)),
        Pace::Denied => doubled(seconds(5), seconds(300)),
        // What was refused may have been a race once; after that the world outside has to change.
        Pace::Stalled if repeats == 0 => seconds(10),
        Pace::Stalled if repeats == 1 => seconds(60),
        Pace::Stalled => seconds(1800),
        Pace::Person => doubled(seconds(15), seconds(300)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, FailureKind, Observed};

    #[test]
    fn what_recovers_is_looked_at_within_ten_seconds_and_what_needs_a_person_within_the_hour() {
        for repeats in 0..100 {
            assert!(delay(Pace::Recover, repeats) <= Duration::from_secs(10));
            assert!(delay(Pace::Again, repeats) <= Duration::from_secs(10));
            assert!(delay(Pace::Denied, repeats) <= Duration::from_secs(300));
            assert!(delay(Pace::Stalled, repeats) <= Duration::from_secs(3600));
        }
    }

    #[test]
    fn every_sixth_pass_reads_every_facet_and_the_first_does() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let mut memory = Memory::default();
            let complete = (0..20)
                .filter(|_| memory.begin_pass())
                .collect::<Vec<usize>>();
            seen.insert(complete);
        }
        let expected = (2..=6).map(|second| {
            let others = (second..20).step_by(6);
            std::iter::once(0).chain(others).collect::<Vec<usize>>()
        });
        assert_eq!(seen, expected.collect(), "not all at once");
    }

    #[test]
    fn others_readings_are_believed_only_while_nothing_is_to_be_done_or_checked() {
        let mut memory = Memory::default();
        assert!(memory.may_believe(), "a restart is no reason not to");
        memory.next(Pace::Waiting);
        assert!(!memory.may_believe());
        memory.next(Pace::Settled);
        assert!(memory.may_believe());
        memory.verify();
        assert!(!memory.may_believe(), "a change is checked at first hand");
        memory.next(Pace::Settled);
        assert!(memory.may_believe());
        memory.was_misled();
        assert!(!memory.may_believe());
    }

    #[test]
    fn a_write_is_followed_by_the_next_as_long_as_reads_may_lag() {
        let id = ResourceId::global("iam_role", "shop");
        let written = |before: Observed| {
            let written = Written {
                before: vec![before],
                after: Observed::Absent,
            };
            BTreeMap::from([(id.clone(), written)])
        };
        let unknown = |code: &str| {
            Observed::Unknown(Failure {
                kind: FailureKind::Transient,
                operation: "iam:GetRole".into(),
                code: code.into(),
                message: String::new(),
            })
        };
        let mut memory = Memory::default();
        memory.wrote(written(unknown("first")));
        memory.wrote(written(unknown("second")));
        let both = vec![unknown("second"), unknown("first")];
        assert_eq!(memory.written()[&id].before, both);
        if let Some((at, _)) = memory.written.get_mut(&id) {
            *at = at.checked_sub(READS_LAG).expect("the clock runs");
        }
        assert!(memory.written().is_empty(), "by now it is to be seen");
    }

    #[test]
    fn suspending_is_no_change_of_what_is_declared() {
        let mut memory = Memory::default();
        let mut spec = MultiRegionAppSpec::default();
        assert_eq!(memory.changed(&spec), None);
        memory.converged(&spec);
        spec.suspend = true;
        assert_eq!(memory.changed(&spec), Some(false));
        spec.function.memory_size_mib += 128;
        assert_eq!(memory.changed(&spec), Some(true));
    }

    #[test]
    fn a_difference_is_new_again_once_it_was_corrected_and_not_while_it_waits() {
        let mut memory = Memory::default();
        let set = |keys: &[&str]| -> BTreeSet<String> {
            keys.iter().map(|&key| key.to_owned()).collect()
        };
        let mut new = |found, corrected| memory.new_differences(set(found), &set(corrected));
        assert_eq!(new(&["a", "b"], &["a"]), set(&["a", "b"]));
        assert_eq!(new(&["a", "b"], &["a"]), set(&["a"]), "somebody undid it");
        assert_eq!(new(&["b"], &["b"]), set(&[]));
        assert_eq!(new(&["b"], &[]), set(&["b"]));
    }

    #[test]
    fn a_change_of_pace_starts_its_backoff_anew() {
        let mut memory = Memory::default();
        for _ in 0..6 {
            memory.next(Pace::Denied);
        }
        memory.next(Pace::Waiting);
        assert!(memory.next(Pace::Denied) <= Duration::from_millis(5500));
    }
}
