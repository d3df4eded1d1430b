//! How new code and a new configuration come to the functions: to DR first, probed there, then to the primary. Pure.
//!
//! [`decide`] says by a few facts what may happen now; [`stage`] gathers the facts from what a pass saw, and puts the
//! decision into what the pass wants. What a release is known to be worth is kept in two tags of the DR function, so
//! that a restart neither tries a failed release again nor takes the repair of drift for a rollout. What the primary runs
//! is the last good release: nothing comes there that was not proven.

mod stage;
mod trial;

use crate::api::{RegionHealth, Role};

pub use stage::{Known, Refused, stage};
pub use trial::{Trial, Verdict};

/// What is known of a release, as the DR function's tag has it: a word and the release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// It is being tried.
    Trying(String),
    /// It answered as often as it had to.
    Proven(String),
    /// It did not, or AWS refused it.
    Failed(String),
}

impl Mark {
    /// As it stands in the tag.
    pub fn parse(tag: &str) -> Option<Self> {
        let (word, release) = tag.split_once(' ')?;
        let release = release.to_owned();
        match word {
            "trying" => Some(Self::Trying(release)),
            "proven" => Some(Self::Proven(release)),
            "failed" => Some(Self::Failed(release)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trying(release) => write!(f, "trying {release}"),
            Self::Proven(release) => write!(f, "proven {release}"),
            Self::Failed(release) => write!(f, "failed {release}"),
        }
    }
}

/// All that a decision goes by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Names what is wanted: the version, whether it is pinned, and the configuration. Not known: not seen yet.
    pub wanted: Option<String>,
    /// Whether a person pins a version that not every region runs.
    pub pins_another: bool,
    /// What the DR function's tag remembers.
    pub mark: Option<Mark>,
    /// Why what the tag says has failed did fail.
    pub remembered_reason: String,
    /// Whether the DR function is as wanted, and at rest.
    pub dr_runs_wanted: bool,
    /// Whether the primary's is.
    pub primary_runs_wanted: bool,
    /// Whether nothing is known of DR because it cannot be read, and the primary ran what is wanted before: what differs
    /// there now is drift, which is no business of DR's.
    pub drifted_with_dr_out_of_sight: bool,
    /// Whether both functions are the same but for where they are.
    pub alike: bool,
    /// Whether both were last given their code by this operator, whatever was done to them since.
    pub both_recorded: bool,
    /// What the probes since the DR function's last change say of it.
    pub verdict: Verdict,
    /// Why AWS refused what is wanted for the DR function, if it did.
    pub refused: Option<String>,
    /// Which region takes the writes.
    pub writer: Role,
    /// The primary's health.
    pub primary: RegionHealth,
    /// The DR region's health.
    pub dr: RegionHealth,
    /// Why no probes are made; empty if they are.
    pub not_probed: String,
}

/// What may happen now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Course {
    /// There is one region only, or only one to be seen, and the change goes there.
    Direct,
    /// The primary may have what the DR function runs.
    Follow,
    /// The DR function gets what is wanted; the primary waits for what the text says.
    Try(String),
    /// Neither changes, for the reason given.
    Freeze(String),
    /// What is wanted has failed, for the reason given: DR goes back to what the primary runs.
    Stop(String),
}

/// What may happen now.
///
/// Both regions out of order is no reason to wait: there is nothing to lose, and a fix must be able to ship. One region
/// out of order with the same release that serves in the other does not have that from the release.
pub fn decide(facts: &Facts) -> Course {
    if facts.drifted_with_dr_out_of_sight {
        return Course::Direct;
    }
    let Some(wanted) = &facts.wanted else {
        return Course::Try("to have the code that is wanted".into());
    };
    let is = |mark: fn(String) -> Mark| facts.mark == Some(mark(wanted.clone()));
    let (failed, trying) = (is(Mark::Failed), is(Mark::Trying));
    if failed {
        return Course::Stop(facts.remembered_reason.clone());
    }
    if !is(Mark::Proven)
        && !facts.primary_runs_wanted
        && let Some(refused) = &facts.refused
    {
        return Course::Stop(refused.clone());
    }
    if trying
        && facts.dr_runs_wanted
        && !facts.alike
        && let Verdict::Failed(why) = &facts.verdict
    {
        return Course::Stop(why.clone());
    }
    // What is not on trial is a repair of the primary, for which any healthy DR will do; also of one that is unhealthy,
    // since it may be that for want of the repair.
    let proven = facts.alike || facts.verdict == Verdict::Proven;
    if facts.dr_runs_wanted && !trying && (proven || facts.dr == RegionHealth::Healthy) {
        return Course::Follow;
    }
    if let Some(why) = frozen(facts) {
        return Course::Freeze(why);
    }
    if facts.dr_runs_wanted && proven {
        return Course::Follow;
    }
    Course::Try(lacking(facts))
}

fn frozen(facts: &Facts) -> Option<String> {
    if facts.pins_another {
        return None;
    }
    if facts.writer == Role::Dr {
        return Some("DR takes the writes: the rollout waits until they are back".into());
    }
    // Where the two never ran the same, as after an adoption, there is nothing good to keep in DR: a fix has to ship.
    let was_in_sync = facts.alike || facts.both_recorded || facts.mark.is_some();
    let primary_alone = was_in_sync
        && facts.primary == RegionHealth::Unhealthy
        && facts.dr != RegionHealth::Unhealthy;
    primary_alone.then(|| "the primary is unhealthy: DR is left as it is".into())
}

fn lacking(facts: &Facts) -> String {
    if facts.not_probed.is_empty() {
        "to answer enough probes in a row".into()
    } else {
        format!("NotProbed: {}", facts.not_probed)
    }
}

/// A decision, for whoever tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rollout {
    /// What may happen now.
    pub course: Course,
    /// Names what is wanted.
    pub release: Option<String>,
    /// Whether the primary ran it when the pass began.
    pub settled: bool,
    /// The S3 version that is wanted.
    pub version: Option<String>,
    /// The S3 version that the primary runs, as far as that is recorded.
    pub good: Option<String>,
    /// Whether the spec itself asks for what was stopped, and not only for the newest code.
    pub declared: bool,
}

#[cfg(test)]
mod tests;
