//! Health of an app: what probes and heartbeats add up to, and whether the writes should move. Pure.
//!
//! CloudWatch is evidence beside both: see [`evidence`].
//!
//! Three targets are probed: the function of each region, by a signed request to its URL, and the write path through
//! the distribution. A round of probes is one [`Samples`]; [`observe`] folds it into [`Health`], with hysteresis: one
//! answer never turns a state that was settled. What the prober cannot tell because nothing at all can be reached from
//! where it stands, its own isolation, changes nothing.

pub mod cloudwatch;
pub mod drill;
pub mod evidence;
pub mod heartbeat;
pub mod lag;
pub mod probe;
pub mod writes;

use jiff::{SignedDuration, Timestamp};

use crate::api::{Probe, RegionHealth, Role};

/// What the probes, heartbeats and readings need to be allowed, by resource, as the kinds of resources say it of themselves.
pub const ACTIONS: &[(&str, &[&str])] = &[
    (
        "arn:aws:lambda:*:{account}:function:{prefix}",
        &["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"],
    ),
    (
        "arn:aws:dynamodb:*:{account}:table/{prefix}",
        &[
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:DeleteItem",
        ],
    ),
    ("arn:aws:s3:::{prefix}", &["s3:ListBucketVersions"]),
    // It has no narrower resource.
    ("*", &["cloudwatch:GetMetricData"]),
    (
        "arn:aws:s3:::{prefix}/*",
        &["s3:PutObject", "s3:GetObject", "s3:DeleteObjectVersion"],
    ),
];

/// What one probe came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sample {
    /// An answer below 500, and not 429.
    Healthy,
    /// An answer that says otherwise; and why.
    Unhealthy(String),
    /// A connection, but no answer in time; and why. It may be the target that is slow, or the network that is gone.
    Silent(String),
    /// No connection; and why. It may be the target that is gone, or the prober.
    Unreachable(String),
}

impl Sample {
    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Unreachable(_))
    }
}

/// A round of probes; a target that was not probed is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Samples {
    /// The primary region's function.
    pub primary: Option<Sample>,
    /// The DR region's function.
    pub dr: Option<Sample>,
    /// The write path through the distribution, answered by the region that takes the writes.
    pub edge: Option<Sample>,
    /// Whether anything else could be connected to; asked only where no target could.
    pub others_reachable: Option<bool>,
}

impl Samples {
    /// Whether nothing at all could be reached: that says something about the prober only.
    pub fn isolated(&self) -> bool {
        let probed: Vec<&Sample> = [&self.primary, &self.dr, &self.edge]
            .into_iter()
            .flatten()
            .collect();
        !probed.is_empty()
            && probed.iter().all(|sample| sample.is_unreachable())
            && self.others_reachable == Some(false)
    }
}

/// A target, and how its last probes went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Target {
    /// What it is taken for.
    pub state: RegionHealth,
    /// Whether that is so by the threshold, or by a status from before a restart; and not by the first look only.
    pub firm: bool,
    /// When that last changed.
    pub since: Option<Timestamp>,
    /// Probes that succeeded in a row, up to now.
    pub successes: u32,
    /// Probes that failed in a row, up to now.
    pub failures: u32,
    /// When the first of those was.
    pub failing: Option<Timestamp>,
    /// When it was last probed to any avail.
    pub sampled: Option<Timestamp>,
    /// What the last failure was.
    pub why: String,
}

/// What is known of an app's health.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// The primary region's function.
    pub primary: Target,
    /// The DR region's function.
    pub dr: Target,
    /// The write path through the distribution.
    pub edge: Target,
    /// Whether the prober reaches nothing at all.
    pub isolated: bool,
}

/// The settings of [`observe`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Failures in a row until Unhealthy.
    pub failures: u32,
    /// Successes in a row until Healthy again.
    pub successes: u32,
    /// After so long without a sample nothing is known.
    pub stale: SignedDuration,
}

impl Thresholds {
    /// Those of a spec. A state outlives three missed probes.
    pub fn of(probe: &Probe) -> Self {
        let seconds = i64::from(probe.interval_seconds) * 3 + i64::from(probe.timeout_seconds);
        Self {
            failures: u32::try_from(probe.failure_threshold).unwrap_or(1),
            successes: u32::try_from(probe.success_threshold).unwrap_or(1),
            stale: SignedDuration::from_secs(seconds),
        }
    }
}

impl Health {
    /// The target of `role`'s region.
    pub fn of(&self, role: Role) -> &Target {
        match role {
            Role::Primary => &self.primary,
            Role::Dr => &self.dr,
        }
    }
}

impl Target {
    /// As a status remembers it, after a restart: the state, but no count. A restart delays a move, and causes none.
    pub fn remembered(state: RegionHealth, since: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            state,
            since,
            firm: state != RegionHealth::Unknown,
            // Until it is stale, and no longer, what the status said holds.
            sampled: Some(now),
            ..Self::default()
        }
    }

    /// Whether so many probes in a row have failed, the last of them not long ago.
    pub fn has_failed(&self, thresholds: &Thresholds, now: Timestamp) -> bool {
        self.failures >= thresholds.failures && self.is_fresh(thresholds, now)
    }

    fn is_fresh(&self, thresholds: &Thresholds, now: Timestamp) -> bool {
        self.sampled
            .is_some_and(|sampled| now.duration_since(sampled) <= thresholds.stale)
    }

    fn turn(&mut self, state: RegionHealth, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.since = Some(now);
        }
    }

    fn count_anew(&mut self) {
        (self.successes, self.failures, self.firm) = (0, 0, false);
        self.failing = None;
    }

    fn fold(&mut self, sample: Option<&Sample>, thresholds: &Thresholds, now: Timestamp) {
        let Some(sample) = sample else {
            if !self.is_fresh(thresholds, now) {
                self.count_anew();
                self.turn(RegionHealth::Unknown, now);
            }
            return;
        };
        // What was counted before a gap is not in a row with what comes after.
        let unknown = self.state == RegionHealth::Unknown || !self.is_fresh(thresholds, now);
        if unknown {
            self.count_anew();
        }
        self.sampled = Some(now);
        match sample {
            Sample::Healthy => {
                (self.failures, self.failing) = (0, None);
                self.successes = self.successes.saturating_add(1);
                // What one look said, one look takes back.
                if unknown || !self.firm || self.successes >= thresholds.successes {
                    self.turn(RegionHealth::Healthy, now);
                    self.firm = true;
                }
            }
            Sample::Unhealthy(why) | Sample::Silent(why) | Sample::Unreachable(why) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.failing.get_or_insert(now);
                // Of a region that is down the first reason is kept: what is shown does not tick.
                if unknown || self.state != RegionHealth::Unhealthy {
                    self.why.clone_from(why);
                }
                let firm = self.failures >= thresholds.failures;
                if unknown || firm {
                    self.turn(RegionHealth::Unhealthy, now);
                    self.firm |= firm;
                }
            }
        }
    }
}

/// What `previous` becomes by a round of probes.
pub fn observe(
    previous: &Health,
    samples: &Samples,
    thresholds: &Thresholds,
    now: Timestamp,
) -> Health {
    let mut next = previous.clone();
    next.isolated = samples.isolated();
    let none = Samples::default();
    let samples = if next.isolated { &none } else { samples };
    if next.isolated {
        // It knows nothing new, and what it knew it goes on holding.
        for target in [&mut next.primary, &mut next.dr, &mut next.edge] {
            if target.sampled.is_some() {
                target.sampled = Some(now);
            }
            (target.successes, target.failures) = (0, 0);
            target.failing = None;
        }
    }
    next.primary.fold(samples.primary.as_ref(), thresholds, now);
    next.dr.fold(samples.dr.as_ref(), thresholds, now);
    next.edge.fold(samples.edge.as_ref(), thresholds, now);
    next
}

#[cfg(test)]
mod tests;
