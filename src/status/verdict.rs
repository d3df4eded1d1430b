//! The one situation, of the design's table, that a pass ends in; and how soon to look again.

use crate::app::App;
use crate::model::{Failure, FailureKind};
use crate::plan::{Block, Change, Plan, State, Step, Wait};

use super::{Result, Situation, code};

/// The row of the table that holds, the gravest first.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// `suspend` is set.
    Suspended {
        /// Whether a deletion waits for it.
        deleting: bool,
    },
    /// Nothing was asked but the probes.
    Probed,
    /// Only looked, by `managementPolicy: Observe`; how many writes there would be.
    Observed(usize),
    /// Invalid, foreign, not allowed, protected, quota: a person has to change something. A reason and a message.
    Stalled {
        /// The condition's reason.
        reason: String,
        /// What, to which resource, what AWS answered, what to do.
        message: String,
    },
    /// As declared and at rest, but for a release that failed in DR.
    Stopped {
        /// Which, and why.
        message: String,
        /// Whether the spec itself asks for it.
        declared: bool,
    },
    /// Denied, or no credentials.
    Denied {
        /// The condition's reason.
        reason: String,
        /// Which action on what.
        message: String,
    },
    /// AWS could not be reached, or throttled us.
    Unreachable {
        /// The condition's reason.
        reason: String,
        /// What could not be done.
        message: String,
    },
    /// A DNS record has to be made by hand.
    WaitingForDns(String),
    /// Work is under way.
    Progressing {
        /// What it is at.
        message: String,
        /// Whether a lost race or a lost reply asks for another look at once.
        again: bool,
    },
    /// As declared, and at rest.
    Converged,
}

/// How soon to look again. The controller adds backoff and jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Nothing to wait for.
    Settled,
    /// AWS is at work.
    Waiting,
    /// A call lost a race or its reply: at once, then slower.
    Again,
    /// AWS or the network has to recover: soon, at most 10 s.
    Recover,
    /// Rights have to be given or to spread: 5 s to 5 min.
    Denied,
    /// A person has to act on AWS's side: 30 min.
    Stalled,
    /// A person has to make a DNS record: 30 s.
    Person,
}

impl Pace {
    /// Whether AWS answered, whatever it said of the app.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::Recover | Self::Denied)
    }
}

impl Verdict {
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Suspended { .. }
            | Self::Observed(_)
            | Self::Probed
            | Self::Stopped { .. }
            | Self::Converged => Pace::Settled,
            Self::Stalled { .. } => Pace::Stalled,
            Self::Denied { .. } => Pace::Denied,
            Self::Unreachable { .. } => Pace::Recover,
            Self::WaitingForDns(_) => Pace::Person,
            Self::Progressing { again: true, .. } => Pace::Again,
            Self::Progressing { again: false, .. } => Pace::Waiting,
        }
    }
}

/// How soon to look again: as soon as the most hopeful of all steps asks for, whatever the gravest is.
pub(super) fn pace(situation: &Situation<'_>, verdict: &Verdict) -> Pace {
    let Result::Ran { app, outcome, .. } = &situation.result else {
        return verdict.pace();
    };
    if matches!(verdict, Verdict::Observed(_)) {
        return Pace::Settled;
    }
    let by_hand = validated_by_hand(app);
    let paces = outcome
        .plan
        .steps
        .iter()
        .map(|step| of_step(step, by_hand).pace());
    paces
        .min_by_key(|pace| match pace {
            Pace::Again => 0,
            Pace::Waiting => 1,
            Pace::Recover => 2,
            Pace::Denied => 3,
            Pace::Person => 4,
            Pace::Stalled => 5,
            Pace::Settled => 6,
        })
        .unwrap_or(Pace::Settled)
}

/// Whether the certificate waits for a record that only a person can make.
fn validated_by_hand(app: &App) -> bool {
    app.domain
        .as_ref()
        .is_some_and(|domain| domain.hosted_zone.is_none() && domain.certificate_arn.is_none())
}

pub(super) fn of(situation: &Situation<'_>) -> Verdict {
    match &situation.result {
        Result::Probed => Verdict::Probed,
        Result::Suspended { deleting, .. } => Verdict::Suspended {
            deleting: *deleting,
        },
        Result::Invalid(invalid) => Verdict::Stalled {
            reason: "Invalid".into(),
            message: invalid.to_string(),
        },
        Result::Failed(failure) => of_failure("the pass", failure),
        Result::Ran {
            app,
            outcome,
            deleting,
            ..
        } => {
            if app.observe_only() && !deleting && !outcome.plan.steps.iter().any(is_unknown) {
                return Verdict::Observed(outcome.plan.writes());
            }
            let by_hand = app
                .domain
                .as_ref()
                .is_some_and(|domain| domain.hosted_zone.is_none());
            let rollout = situation.rollout.map(|rolling| rolling.rollout);
            let stopped = rollout.and_then(|rollout| Some((rollout, code::stopped(rollout)?)));
            match (of_plan(&outcome.plan, by_hand), stopped) {
                (Verdict::Converged, Some((rollout, message))) => Verdict::Stopped {
                    message,
                    declared: rollout.declared,
                },
                (verdict, _) => verdict,
            }
        }
    }
}

fn is_unknown(step: &Step) -> bool {
    step.change == Change::Unknown
}

/// The gravest of all steps; of several alike the first.
fn of_plan(plan: &Plan, validated_by_hand: bool) -> Verdict {
    let mut verdicts: Vec<Verdict> = plan
        .steps
        .iter()
        .map(|step| of_step(step, validated_by_hand))
        .collect();
    verdicts.sort_by_key(rank);
    let first = verdicts.first().cloned();
    match first {
        None => Verdict::Converged,
        Some(Verdict::Progressing { again, .. }) => Verdict::Progressing {
            message: progress(plan),
            again,
        },
        Some(verdict) => verdict,
    }
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Stalled { .. } => 0,
        Verdict::Denied { .. } => 1,
        Verdict::Unreachable { .. } => 2,
        Verdict::WaitingForDns(_) => 3,
        Verdict::Progressing { again: true, .. } => 4,
        Verdict::Progressing { again: false, .. } => 5,
        Verdict::Suspended { .. }
        | Verdict::Probed
        | Verdict::Observed(_)
        | Verdict::Stopped { .. }
        | Verdict::Converged => 6,
    }
}

fn of_step(step: &Step, validated_by_hand: bool) -> Verdict {
    match &step.state {
        State::Blocked(Block::Failed(failure)) => of_failure(&step.id.to_string(), failure),
        State::Blocked(block) => {
            let reason = match block {
                Block::Foreign(_) => "OwnedByAnother",
                Block::Unowned => "NotOwned",
                Block::Broken(_) | Block::Failed(_) => "Failed",
            };
            Verdict::Stalled {
                reason: reason.into(),
                message: format!("{}: {block}", step.id),
            }
        }
        State::Waiting(waits) => {
            let by_hand = |wait: &&Wait| {
                wait.on.kind == "acm_certificate" && (wait.person || validated_by_hand)
            };
            if let Some(wait) = waits.iter().find(by_hand) {
                return Verdict::WaitingForDns(format!(
                    "{wait}: create the records in status.dns.records at your DNS provider"
                ));
            }
            match waits.iter().find(|wait| wait.person) {
                Some(wait) => Verdict::Stalled {
                    reason: "ActionNeeded".into(),
                    message: wait.to_string(),
                },
                None => Verdict::Progressing {
                    message: String::new(),
                    again: false,
                },
            }
        }
        State::Ready => Verdict::Progressing {
            message: String::new(),
            again: true,
        },
    }
}

fn of_failure(what: &str, failure: &Failure) -> Verdict {
    let message = format!("{what}: {failure}");
    match failure.kind {
        FailureKind::Foreign => Verdict::Stalled {
            reason: "OwnedByAnother".into(),
            message,
        },
        FailureKind::NotAllowed => Verdict::Stalled {
            reason: "NotAllowed".into(),
            message: failure.message.clone(),
        },
        FailureKind::Invalid => Verdict::Stalled {
            reason: "Invalid".into(),
            message,
        },
        FailureKind::Quota => Verdict::Stalled {
            reason: "QuotaExceeded".into(),
            message,
        },
        FailureKind::DeletionProtected => Verdict::Stalled {
            reason: "DeletionProtected".into(),
            message: format!(
                "{message} (turn deletion protection off in AWS, or set deletionPolicy: RetainData)"
            ),
        },
        FailureKind::Denied => Verdict::Denied {
            reason: "AccessDenied".into(),
            message,
        },
        FailureKind::NoCredentials => Verdict::Denied {
            reason: "NoCredentials".into(),
            message,
        },
        FailureKind::Throttled => Verdict::Unreachable {
            reason: "Throttled".into(),
            message,
        },
        FailureKind::Transient | FailureKind::Unreachable => Verdict::Unreachable {
            reason: "Unreachable".into(),
            message,
        },
        FailureKind::Conflict | FailureKind::NotFound => Verdict::Progressing {
            message,
            again: true,
        },
        FailureKind::NotYet => Verdict::Progressing {
            message,
            again: false,
        },
    }
}

/// The first few steps in words.
fn progress(plan: &Plan) -> String {
    let mut lines: Vec<String> = plan
        .steps
        .iter()
        .take(3)
        .map(|step| {
            let reason = step.state.to_string();
            let line = format!("{} {}", step.summary(), step.id);
            if reason.is_empty() {
                line
            } else {
                format!("{line} ({reason})")
            }
        })
        .collect();
    if plan.steps.len() > 3 {
        lines.push(format!("{} more", plan.steps.len() - 3));
    }
    lines.join("; ")
}
