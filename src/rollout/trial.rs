//! What probes say of a function since it was last changed.

use crate::health::{Sample, Thresholds};

/// The probes of a function as it now is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trial {
    /// What the function is, by its output `release`; nothing is known before it was seen at rest.
    pub release: Option<String>,
    /// Counts trials, so that a probe is not held to be one of a later trial's.
    pub number: u64,
    /// In a row, up to now.
    successes: u32,
    /// In a row, up to now.
    failing: u32,
    /// In all, before it was proven.
    failures: u32,
    proven: bool,
    why: String,
}

/// See [`Trial::verdict`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There were not enough probes.
    Open,
    /// It answered as often in a row as it had to, and does not fail now.
    Proven,
    /// It failed too often; and why.
    Failed(String),
}

impl Trial {
    /// The trial of what the function is now, as a pass saw it: the present one, unless it was `changed` since or is
    /// another thing.
    pub fn of(&mut self, release: Option<&String>, changed: bool) {
        if changed || release.is_some_and(|release| self.release.as_ref() != Some(release)) {
            *self = Self {
                release: release.cloned(),
                number: self.number + 1,
                ..Self::default()
            };
        }
    }

    /// Takes up a probe. What could not be connected to says nothing of the code.
    pub fn observe(&mut self, sample: &Sample, thresholds: &Thresholds) {
        match sample {
            Sample::Healthy => {
                self.failing = 0;
                self.successes = self.successes.saturating_add(1);
                self.proven |=
                    self.failures < thresholds.failures && self.successes >= thresholds.successes;
            }
            Sample::Unhealthy(why) | Sample::Silent(why) => {
                self.successes = 0;
                self.failing = self.failing.saturating_add(1);
                if !self.proven {
                    // In all and not in a row: what fails every other time is not to be tried for ever.
                    self.failures = self.failures.saturating_add(1);
                    self.why.clone_from(why);
                }
            }
            Sample::Unreachable(_) => self.successes = 0,
        }
    }

    /// What is known of it.
    pub fn verdict(&self, thresholds: &Thresholds) -> Verdict {
        if self.release.is_none() {
            Verdict::Open
        } else if self.proven {
            if self.failing < thresholds.failures {
                Verdict::Proven
            } else {
                Verdict::Open
            }
        } else if self.failures >= thresholds.failures {
            Verdict::Failed(self.why.clone())
        } else {
            Verdict::Open
        }
    }
}
