//! What a pass came to, as the status that people and Argo CD read; a pure function of its arguments.
//!
//! Every condition is set on every pass, by the tables of [`conditions`]. Nothing in a status ticks: a pass that finds
//! nothing new yields the same status, and nothing is written.

mod audit;
mod code;
mod conditions;
mod parts;
mod runtimes;
mod verdict;
mod vitals;

use jiff::Timestamp;

use crate::api::{LastHandled, MultiRegionAppStatus};
use crate::app::{App, Invalid};
use crate::model::{Failure, Wanted};
use crate::reconcile::Outcome;
use crate::rollout::Rollout;

pub use parts::inventory_ids;
pub use verdict::{Pace, Verdict};
pub use vitals::{LagRow, Vitals, newest};

use conditions::Stand;

/// What a pass was about, and what it came to.
pub struct Situation<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// The status before.
    pub previous: &'a MultiRegionAppStatus,
    /// Now.
    pub now: Timestamp,
    /// Tokens of the annotations that were acted on.
    pub handled: LastHandled,
    /// What the probes and heartbeats say, if there were any.
    pub vitals: Option<&'a Vitals>,
    /// What the last full pass said of the structure, if one was made since the start.
    pub structure: Option<&'a Structure>,
    /// What the pass decided of the functions' code and configuration.
    pub rollout: Option<Rolling<'a>>,
    /// What came of it.
    pub result: Result<'a>,
}

/// A decision of [`crate::rollout`], and since when it is about this release.
#[derive(Clone, Copy)]
pub struct Rolling<'a> {
    /// The decision.
    pub rollout: &'a Rollout,
    /// Since when the release is being rolled out.
    pub since: Timestamp,
}

/// What a full pass said that no probe can, for the passes that only probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    ready: Stand,
    failover: Stand,
    replication: Stand,
}

/// What came of a pass.
pub enum Result<'a> {
    /// It ran.
    Ran {
        /// The app as parsed.
        app: &'a App,
        /// What was wanted.
        wanted: &'a Wanted,
        /// What was found and done.
        outcome: &'a Outcome,
        /// Whether it was run to take the app away.
        deleting: bool,
    },
    /// None was made: the probes and heartbeats alone are told.
    Probed,
    /// It did not run: `suspend` is set.
    Suspended {
        /// Whether a deletion waits for it.
        deleting: bool,
        /// Whether the spec declares more than `suspend` that the last converged one did not; none if that is not known.
        changed: Option<bool>,
    },
    /// It did not run to its end: the account could not be told, or the time for a pass was used up.
    Failed(&'a Failure),
    /// It did not run: the spec cannot be laid out.
    Invalid(&'a Invalid),
}

/// A status, and how soon to look again.
#[derive(Clone, PartialEq, Debug)]
pub struct Assessment {
    /// The complete status.
    pub status: MultiRegionAppStatus,
    /// How soon to look again.
    pub pace: Pace,
    /// For the passes that only probe.
    pub structure: Structure,
}

/// Turns a pass into a status.
pub fn assess(situation: &Situation<'_>) -> Assessment {
    let verdict = verdict::of(situation);
    let mut status = match &situation.result {
        Result::Ran {
            app,
            wanted,
            outcome,
            ..
        } => parts::fill(app, wanted, outcome, situation.previous, situation.now),
        Result::Probed | Result::Suspended { .. } | Result::Failed(_) | Result::Invalid(_) => {
            situation.previous.clone()
        }
    };
    vitals::fill(&mut status, situation);
    let (structure, conditions) = conditions::all(situation, &verdict, &status);
    status.conditions = conditions;
    if !matches!(situation.result, Result::Probed) {
        status.observed_generation = Some(situation.generation);
    }
    let mut handled = situation.handled.clone();
    if let Some(vitals) = situation.vitals {
        let newer = vitals.handled.clone();
        handled.force_writer = newer.force_writer.or(handled.force_writer);
        handled.failback = newer.failback.or(handled.failback);
        handled.drill = newer.drill.or(handled.drill);
    }
    status.last_handled = (handled != LastHandled::default()).then_some(handled);
    Assessment {
        status,
        pace: verdict::pace(situation, &verdict),
        structure,
    }
}

#[cfg(test)]
mod tests;
