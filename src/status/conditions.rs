//! The conditions, each set on every pass, by the design's table of situations.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Result, Situation, Structure, Verdict, audit, code, runtimes, vitals};
use crate::api::{
    CONDITION_CERTIFICATE_ISSUED, CONDITION_CODE_IN_SYNC, CONDITION_FAILOVER_HEALTHY,
    CONDITION_READY, CONDITION_RECONCILING, CONDITION_REPLICATION_HEALTHY,
    CONDITION_RUNTIME_SUPPORTED, CONDITION_STALLED, CONDITION_SYNCED, MultiRegionAppStatus,
};

/// A denial is normal in a role's first minute; this long, it is not.
const DENIED_IS_STALLED: SignedDuration = SignedDuration::from_mins(10);
/// Reason of what waits until `suspend` is false.
const SUSPENDED: &str = "Suspended";
/// The API server takes 32,768 characters, a reader fewer.
const LONGEST_MESSAGE: usize = 1024;

/// `True`, `False` or `Unknown`, with a reason and a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stand {
    pub status: &'static str,
    pub reason: String,
    pub message: String,
}

impl Stand {
    pub(super) fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// As a condition has it.
    pub(super) fn of(condition: &Condition) -> Self {
        Self {
            status: known(&condition.status),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }
}

/// The complete list, and what of it a pass that only probes goes by. `status` has everything else.
pub(super) fn all(
    situation: &Situation<'_>,
    verdict: &Verdict,
    status: &MultiRegionAppStatus,
) -> (Structure, Vec<Condition>) {
    let structure = structure(situation, verdict);
    let mut stands = vec![
        (
            CONDITION_READY,
            vitals::ready(&structure.ready, situation.vitals),
        ),
        (CONDITION_SYNCED, synced(situation, verdict)),
        (
            CONDITION_FAILOVER_HEALTHY,
            vitals::failover(&structure.failover, situation.vitals),
        ),
        (
            CONDITION_REPLICATION_HEALTHY,
            vitals::replication(&structure.replication, situation.vitals, status),
        ),
    ];
    match &situation.result {
        Result::Ran { app, outcome, .. } => {
            let known = previous(situation, CONDITION_CODE_IN_SYNC)
                .is_some_and(|before| before.status != "Unknown");
            let rollout = situation.rollout.map(|rolling| rolling.rollout);
            let in_sync = code::in_sync(app, outcome, rollout, known);
            stands.push((CONDITION_CODE_IN_SYNC, in_sync));
            let runtime = runtimes::supported(&app.spec.function.runtime, situation.now);
            stands.push((CONDITION_RUNTIME_SUPPORTED, runtime));
            stands.extend(
                audit::certificate(app, outcome).map(|stand| (CONDITION_CERTIFICATE_ISSUED, stand)),
            );
        }
        _ => {
            stands.push((
                CONDITION_CODE_IN_SYNC,
                unread(situation, CONDITION_CODE_IN_SYNC),
            ));
            stands.push((
                CONDITION_RUNTIME_SUPPORTED,
                unread(situation, CONDITION_RUNTIME_SUPPORTED),
            ));
            stands.extend(
                previous(situation, CONDITION_CERTIFICATE_ISSUED)
                    .map(|condition| (CONDITION_CERTIFICATE_ISSUED, Stand::of(condition))),
            );
        }
    }
    if let Result::Probed = situation.result {
        let kept = [CONDITION_RECONCILING, CONDITION_STALLED].into_iter();
        stands.extend(kept.filter_map(|name| Some((name, Stand::of(previous(situation, name)?)))));
    } else {
        stands.extend(work(situation, verdict));
    }
    let conditions = stands
        .into_iter()
        .map(|(name, stand)| condition(situation, name, stand))
        .collect();
    (structure, conditions)
}

fn unread(situation: &Situation<'_>, name: &str) -> Stand {
    kept(situation, name, "NotObserved", "nothing was read yet")
}

/// What this pass says of the structure, or else what the last one said, or else the status.
fn structure(situation: &Situation<'_>, verdict: &Verdict) -> Structure {
    if let Result::Ran { app, outcome, .. } = &situation.result {
        return Structure {
            ready: ready(situation, verdict),
            failover: audit::failover(situation, app, outcome),
            replication: audit::replication(app, outcome),
        };
    }
    let of_status = || Structure {
        ready: vitals::ready_without(situation.previous),
        failover: vitals::structural(unread(situation, CONDITION_FAILOVER_HEALTHY)),
        replication: vitals::structural(unread(situation, CONDITION_REPLICATION_HEALTHY)),
    };
    let known = situation.structure.cloned().unwrap_or_else(of_status);
    match situation.result {
        Result::Probed => known,
        _ => Structure {
            ready: ready(situation, verdict),
            ..known
        },
    }
}

fn ready(situation: &Situation<'_>, verdict: &Verdict) -> Stand {
    match verdict {
        Verdict::Converged => Stand::new("True", "Converged", "AWS is as declared"),
        Verdict::Observed(0) => Stand::new("True", "Converged", "AWS is as declared"),
        Verdict::Stopped {
            declared: false, ..
        } => Stand::new(
            "True",
            "Converged",
            "AWS is as declared, but for the newest code; see CodeInSync",
        ),
        Verdict::Stopped { message, .. } if !converged_before(situation) => {
            Stand::new("False", code::STOPPED, message)
        }
        Verdict::Stopped { .. } => kept(situation, CONDITION_READY, code::STOPPED, ""),
        Verdict::Stalled { reason, message } => Stand::new("False", reason, message),
        Verdict::WaitingForDns(message) => Stand::new("False", "WaitingForDNS", message),
        Verdict::Progressing { message, .. } if !converged_before(situation) => {
            Stand::new("False", "Progressing", message)
        }
        Verdict::Progressing { .. } => kept(situation, CONDITION_READY, "Progressing", ""),
        Verdict::Denied { message, .. } | Verdict::Unreachable { message, .. } => {
            kept(situation, CONDITION_READY, "Progressing", message)
        }
        Verdict::Observed(_) => kept(situation, CONDITION_READY, "NotConverged", "only observing"),
        // Not asked for.
        Verdict::Probed => vitals::ready_without(situation.previous),
        Verdict::Suspended { .. } if is_outdated(situation) => Stand::new(
            "False",
            SUSPENDED,
            "the spec declares something else since; it is done when suspend is false",
        ),
        Verdict::Suspended { .. } => kept(
            situation,
            CONDITION_READY,
            SUSPENDED,
            "nothing was done yet",
        ),
    }
}

fn synced(situation: &Situation<'_>, verdict: &Verdict) -> Stand {
    match verdict {
        Verdict::Converged => Stand::new("True", "Converged", "AWS is as declared"),
        Verdict::Observed(0) => Stand::new("True", "Observed", "AWS is as declared"),
        Verdict::Observed(writes) => Stand::new(
            "False",
            "Observed",
            format!(
                "{writes} changes would be made under managementPolicy: Full; see status.pending"
            ),
        ),
        Verdict::Probed => unread(situation, CONDITION_SYNCED),
        Verdict::Suspended { deleting } => {
            let before = previous(situation, CONDITION_SYNCED)
                .map_or("Unknown", |before| known(&before.status));
            let message = if *deleting {
                "the deletion waits until suspend is false"
            } else {
                "suspend is true"
            };
            Stand::new(before, SUSPENDED, message)
        }
        Verdict::Stopped { message, .. } => Stand::new("False", code::STOPPED, message),
        Verdict::Stalled { reason, message } => Stand::new("False", reason, message),
        Verdict::Denied { reason, message } | Verdict::Unreachable { reason, message } => {
            Stand::new("Unknown", reason, message)
        }
        Verdict::WaitingForDns(message) => Stand::new("False", "WaitingForDNS", message),
        Verdict::Progressing { message, .. } => Stand::new("False", "Progressing", message),
    }
}

/// `Reconciling` and `Stalled`, which are there only while they hold.
fn work(situation: &Situation<'_>, verdict: &Verdict) -> Option<(&'static str, Stand)> {
    match verdict {
        Verdict::Converged | Verdict::Observed(_) | Verdict::Probed | Verdict::Suspended { .. } => {
            None
        }
        Verdict::Stopped { message, .. } => Some((
            CONDITION_STALLED,
            Stand::new("True", code::STOPPED, message),
        )),
        Verdict::Stalled { reason, message } => {
            Some((CONDITION_STALLED, Stand::new("True", reason, message)))
        }
        Verdict::Denied { reason, message } => {
            let since = previous(situation, CONDITION_SYNCED)
                .filter(|before| before.status == "Unknown" && before.reason == *reason)
                .map_or(situation.now, |before| before.last_transition_time.0);
            let long = situation.now.duration_since(since) >= DENIED_IS_STALLED;
            let name = if long {
                CONDITION_STALLED
            } else {
                CONDITION_RECONCILING
            };
            Some((name, Stand::new("True", reason, message)))
        }
        Verdict::Unreachable { reason, message } => {
            Some((CONDITION_RECONCILING, Stand::new("True", reason, message)))
        }
        Verdict::WaitingForDns(message) => Some((
            CONDITION_RECONCILING,
            Stand::new("True", "WaitingForDNS", message),
        )),
        Verdict::Progressing { message, .. } => Some((
            CONDITION_RECONCILING,
            Stand::new("True", "Progressing", message),
        )),
    }
}

/// Whether a suspended app's readiness is of a spec that is no longer declared. Suspending alone declares nothing else; where
/// it is not known what a generation changed, the first one is taken to have done that and no more.
fn is_outdated(situation: &Situation<'_>) -> bool {
    let Result::Suspended { changed, .. } = situation.result else {
        return false;
    };
    let observed = previous(situation, CONDITION_READY).and_then(|ready| ready.observed_generation);
    let suspended =
        previous(situation, CONDITION_SYNCED).is_some_and(|synced| synced.reason == SUSPENDED);
    observed.is_some_and(|observed| {
        observed != situation.generation
            && changed.unwrap_or(suspended || observed + 1 != situation.generation)
    })
}

/// Whether this very generation was converged once.
fn converged_before(situation: &Situation<'_>) -> bool {
    let deleting = matches!(situation.result, Result::Ran { deleting: true, .. });
    !deleting
        && previous(situation, CONDITION_READY).is_some_and(|ready| {
            ready.status == "True" && ready.observed_generation == Some(situation.generation)
        })
}

/// The value it had at this generation; `False` with `reason` if it had none.
fn kept(situation: &Situation<'_>, name: &str, reason: &str, message: &str) -> Stand {
    let initial = if name == CONDITION_READY {
        "False"
    } else {
        "Unknown"
    };
    match previous(situation, name) {
        // That nothing answers is the probes' to say, and to take back.
        Some(before) if name == CONDITION_READY && before.reason == "NotServing" => {
            vitals::ready_without(situation.previous)
        }
        // A new generation that was never converged does not inherit the old one's readiness.
        Some(before)
            if name != CONDITION_READY
                || before.status != "True"
                || before.observed_generation == Some(situation.generation)
                || reason == SUSPENDED =>
        {
            Stand::of(before)
        }
        _ => Stand::new(initial, reason, message),
    }
}

fn known(status: &str) -> &'static str {
    match status {
        "True" => "True",
        "False" => "False",
        _ => "Unknown",
    }
}

fn previous<'a>(situation: &Situation<'a>, name: &str) -> Option<&'a Condition> {
    situation
        .previous
        .conditions
        .iter()
        .find(|condition| condition.type_ == name)
}

fn condition(situation: &Situation<'_>, name: &str, stand: Stand) -> Condition {
    let since = previous(situation, name)
        .filter(|before| before.status == stand.status)
        .map_or(seconds(situation.now), |before| {
            before.last_transition_time.0
        });
    Condition {
        type_: name.into(),
        status: stand.status.into(),
        reason: stand.reason,
        message: shortened(stand.message),
        last_transition_time: Time(since),
        observed_generation: match situation.result {
            // The spec was not looked at.
            Result::Probed => {
                previous(situation, name).and_then(|before| before.observed_generation)
            }
            _ => Some(situation.generation),
        },
    }
}

/// Whole seconds, as the API server keeps them: or every comparison with what was stored would differ.
fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}
