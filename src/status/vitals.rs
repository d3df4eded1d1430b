//! What probes, heartbeats and CloudWatch say, put beside what the structure tells.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Situation;
use super::code::ROLLING_OUT;
use super::conditions::Stand;
use crate::api::{
    CONDITION_READY, CONDITION_REPLICATION_HEALTHY, CONDITION_SYNCED, DrillStatus, LastHandled,
    MultiRegionAppStatus, Objectives, RegionHealth, ReplicationStatus, Role, WriterStatus,
};
use crate::health::Health;
use crate::health::evidence::{Told, WINDOW};

/// State of a replication whose replica is not there; only a full pass tells.
const REPLICA_NOT_ACTIVE: &str = "ReplicaNotActive";
/// Its lag is known, and as asked for.
const WITHIN_OBJECTIVE: &str = "WithinObjective";
/// Its lag is known, and longer than asked for.
const LAG_EXCEEDED: &str = "LagExceeded";
/// Some of its objects failed to replicate.
const REPLICATION_FAILING: &str = "ReplicationFailing";
/// Its lag is not known.
const NO_DATA: &str = "NoData";
/// Reasons of `FailoverHealthy` and `ReplicationHealthy` that only a full pass gives and takes.
const STRUCTURAL: [&str; 7] = [
    "NotConfigured",
    ROLLING_OUT,
    "NotDeployed",
    "CodeMismatch",
    "ConfigMismatch",
    "ControlPlaneUnreachable",
    REPLICA_NOT_ACTIVE,
];

/// What is known between full passes.
#[derive(Clone, PartialEq, Debug)]
pub struct Vitals {
    /// By the probes.
    pub health: Health,
    /// Whether there is a DR region.
    pub has_dr: bool,
    /// Why there are no probes although there should be; empty if there are.
    pub not_probed: String,
    /// Every replication whose lag can be measured.
    pub lags: Vec<LagRow>,
    /// What CloudWatch says; none before the first reading.
    pub evidence: Option<Told>,
    /// By how much is too late.
    pub objectives: Objectives,
    /// Which region takes the writes, if it is known.
    pub writer: Option<WriterStatus>,
    /// The drill under way, or the last one, if there was one since the start.
    pub drill: Option<DrillStatus>,
    /// Tokens of annotations that were acted on between the passes.
    pub handled: LastHandled,
}

/// The lag of one replication in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LagRow {
    /// As in the status: `dynamodb/<table>`, `s3/<bucket>`.
    pub source: String,
    /// The region it comes from.
    pub from: String,
    /// The region it goes to.
    pub to: String,
    /// In seconds, as it is shown.
    pub seconds: Option<i64>,
}

/// The parts of the status that are not conditions.
pub(super) fn fill(status: &mut MultiRegionAppStatus, situation: &Situation<'_>) {
    let Some(vitals) = situation.vitals else {
        carry(status, situation.previous);
        return;
    };
    for region in &mut status.regions {
        let target = vitals.health.of(region.role);
        if region.health != Some(target.state) {
            region.health = Some(target.state);
            region.last_transition_time = Some(whole(target.since.unwrap_or(situation.now)));
        }
    }
    let failing = failing(situation.previous, vitals);
    for row in &mut status.replication {
        let lag = vitals
            .lags
            .iter()
            .find(|lag| (&lag.source, &lag.from, &lag.to) == (&row.source, &row.from, &row.to));
        row.lag_seconds = lag.and_then(|lag| lag.seconds);
        if row.state != REPLICA_NOT_ACTIVE {
            let objective = objective(&row.source, &vitals.objectives);
            row.state = match row.lag_seconds {
                Some(seconds) if seconds > objective => LAG_EXCEEDED,
                _ if failing && is_static(&row.source) => REPLICATION_FAILING,
                Some(_) => WITHIN_OBJECTIVE,
                None => NO_DATA,
            }
            .into();
        }
    }
    status.replication_lag_seconds = status
        .replication
        .iter()
        .filter_map(|row| row.lag_seconds)
        .max();
    status.writer = newest(vitals.writer.clone(), status.writer.take()).filter(|_| vitals.has_dr);
    if vitals.drill.is_some() {
        status.last_drill.clone_from(&vitals.drill);
    }
}

/// Of what is known and what was read, that of the later move.
pub fn newest(known: Option<WriterStatus>, read: Option<WriterStatus>) -> Option<WriterStatus> {
    match (known, read) {
        (Some(known), Some(read)) if read.epoch > known.epoch => Some(read),
        (Some(known), Some(read)) => Some(WriterStatus {
            store_arn: read.store_arn.or(known.store_arn),
            ..known
        }),
        (known, read) => known.or(read),
    }
}

/// Before the first probe what the status says holds.
fn carry(status: &mut MultiRegionAppStatus, previous: &MultiRegionAppStatus) {
    for row in &mut status.replication {
        let before = previous.replication.iter().find(|before| {
            (&before.source, &before.from, &before.to) == (&row.source, &row.from, &row.to)
        });
        if let Some(before) = before {
            row.lag_seconds = before.lag_seconds;
            if row.state == NO_DATA && before.state != REPLICA_NOT_ACTIVE {
                row.state.clone_from(&before.state);
            }
        }
    }
}

/// Whether objects fail to replicate; before the first reading, as the status says.
fn failing(previous: &MultiRegionAppStatus, vitals: &Vitals) -> bool {
    match &vitals.evidence {
        Some(told) => told.failed.is_some(),
        None => previous
            .replication
            .iter()
            .any(|row| row.state == REPLICATION_FAILING),
    }
}

fn is_static(source: &str) -> bool {
    source.starts_with("s3/")
}

fn objective(source: &str, objectives: &Objectives) -> i64 {
    if is_static(source) {
        objectives.static_recovery_point_seconds.into()
    } else {
        objectives.recovery_point_seconds.into()
    }
}

/// Whole seconds, as the API server keeps them.
fn whole(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// `Ready`, unless no region answers.
pub(super) fn ready(structural: &Stand, vitals: Option<&Vitals>) -> Stand {
    let gone =
        |role| vitals.is_some_and(|vitals| vitals.health.of(role).state == RegionHealth::Unhealthy);
    let has_dr = vitals.is_some_and(|vitals| vitals.has_dr);
    if gone(Role::Primary) && (!has_dr || gone(Role::Dr)) {
        let why = |role| vitals.map_or("", |vitals| vitals.health.of(role).why.as_str());
        let message = if has_dr {
            format!(
                "neither region answers: primary: {}; DR: {}",
                why(Role::Primary),
                why(Role::Dr)
            )
        } else {
            format!("the function does not answer: {}", why(Role::Primary))
        };
        return Stand::new("False", "NotServing", message);
    }
    structural.clone()
}

/// `Ready` as it was but for the probes.
pub(super) fn ready_without(previous: &MultiRegionAppStatus) -> Stand {
    let find = |name: &str| {
        previous
            .conditions
            .iter()
            .find(|condition| condition.type_ == name)
    };
    match find(CONDITION_READY) {
        Some(ready) if ready.reason != "NotServing" => Stand::of(ready),
        Some(_) if find(CONDITION_SYNCED).is_some_and(|synced| synced.status == "True") => {
            Stand::new("True", "Converged", "AWS is as declared")
        }
        _ => Stand::new("False", "Progressing", "the first pass is not over"),
    }
}

/// What of a stand in a status only a full pass can have given; else that nothing is known against it.
pub(super) fn structural(stand: Stand) -> Stand {
    if STRUCTURAL.contains(&stand.reason.as_str()) {
        return stand;
    }
    Stand::new("Unknown", "NotProbed", "nothing was probed yet")
}

/// `FailoverHealthy`: what the probes and the structure say, and beside it what CloudWatch says of the requests.
pub(super) fn failover(audit: &Stand, vitals: Option<&Vitals>) -> Stand {
    let Some(vitals) = vitals.filter(|_| audit.reason != "NotConfigured") else {
        return audit.clone();
    };
    let mut stand = probed(audit, vitals);
    let requests = vitals.evidence.as_ref().and_then(requests);
    // What the structure says is kept as it is.
    if let Some(requests) = requests.filter(|_| stand != *audit) {
        stand.message = format!("{}; {requests}", stand.message);
    }
    stand
}

/// By the order of the design's reasons.
fn probed(audit: &Stand, vitals: &Vitals) -> Stand {
    use RegionHealth::{Healthy, Unhealthy};
    let (primary, dr) = (&vitals.health.primary, &vitals.health.dr);
    match (primary.state, dr.state) {
        (Unhealthy, Unhealthy) => Stand::new(
            "False",
            "BothUnhealthy",
            format!("primary: {}; DR: {}", primary.why, dr.why),
        ),
        (Unhealthy, _) => Stand::new(
            "False",
            "PrimaryUnhealthy",
            format!("pages are served from DR; primary: {}", primary.why),
        ),
        (_, Unhealthy) => Stand::new(
            "False",
            "DRUnhealthy",
            format!("DR could not take over: {}", dr.why),
        ),
        _ if audit.status == "False" => audit.clone(),
        _ if vitals.health.isolated => Stand::new(
            "Unknown",
            "ProberIsolated",
            "nothing at all can be reached from here, so nothing is known of the app",
        ),
        _ if audit.reason == "ControlPlaneUnreachable" => audit.clone(),
        // What DR runs is what the rollout tries there, which the state of its health is too slow to tell.
        (Healthy, _) if audit.reason == ROLLING_OUT => audit.clone(),
        (Healthy, Healthy) => Stand::new(
            "True",
            "DRReady",
            "both regions answer, and the distribution fails over between them",
        ),
        _ if !vitals.not_probed.is_empty() => {
            Stand::new("Unknown", "NotProbed", vitals.not_probed.clone())
        }
        _ => Stand::new(
            "Unknown",
            "NotProbed",
            "not both regions were probed of late",
        ),
    }
}

/// `ReplicationHealthy`; `status` has the rows.
pub(super) fn replication(
    audit: &Stand,
    vitals: Option<&Vitals>,
    status: &MultiRegionAppStatus,
) -> Stand {
    let Some(vitals) =
        vitals.filter(|_| audit.status != "False" && audit.reason != "NotConfigured")
    else {
        return audit.clone();
    };
    let late: Vec<String> = status
        .replication
        .iter()
        .filter(|row| row.state == LAG_EXCEEDED)
        .map(|row| {
            format!(
                "{} from {} to {} is {} s late",
                row.source,
                row.from,
                row.to,
                row.lag_seconds.unwrap_or_default()
            )
        })
        .collect();
    let evidence = vitals.evidence.as_ref();
    let pending = evidence
        .and_then(|told| told.pending)
        .map(|count| format!("; at least {count} operations on static files wait for replication"))
        .unwrap_or_default();
    if !late.is_empty() {
        return Stand::new("False", LAG_EXCEEDED, late.join("; ") + &pending);
    }
    let failing = |row: &&ReplicationStatus| row.state == REPLICATION_FAILING;
    if let Some(row) = status.replication.iter().find(failing) {
        return match evidence {
            Some(told) => failed(row, told, &pending),
            // Before the first reading what the status says holds.
            None => kept(status),
        };
    }
    let unknown: BTreeSet<&str> = vitals
        .lags
        .iter()
        .filter(|lag| lag.seconds.is_none())
        .map(|lag| lag.source.as_str())
        .collect();
    if vitals.lags.is_empty() {
        return Stand::new("Unknown", NO_DATA, "no replication lag is measured");
    }
    if !unknown.is_empty() {
        let unknown: Vec<&str> = unknown.into_iter().collect();
        let message = format!("no lag is known of {}", unknown.join(", "));
        return Stand::new("Unknown", NO_DATA, message);
    }
    Stand::new(
        "True",
        WITHIN_OBJECTIVE,
        format!(
            "within {} s for tables, {} s for static files{pending}",
            vitals.objectives.recovery_point_seconds,
            vitals.objectives.static_recovery_point_seconds
        ),
    )
}

fn failed(row: &ReplicationStatus, told: &Told, pending: &str) -> Stand {
    let message = format!(
        "at least {} operations on {} failed to replicate to {} within {} min: put those objects again{pending}",
        told.failed.unwrap_or_default(),
        row.source,
        row.to,
        WINDOW.as_mins(),
    );
    Stand::new("False", REPLICATION_FAILING, message)
}

/// As the status has it.
fn kept(status: &MultiRegionAppStatus) -> Stand {
    let mut conditions = status.conditions.iter();
    conditions
        .find(|condition| {
            condition.type_ == CONDITION_REPLICATION_HEALTHY
                && condition.reason == REPLICATION_FAILING
        })
        .map_or_else(
            || Stand::new("False", REPLICATION_FAILING, "objects fail to replicate"),
            Stand::of,
        )
}

/// What CloudWatch says of the requests, if that is worth a word.
fn requests(told: &Told) -> Option<String> {
    let said = [
        ("viewers' requests", "answered 5xx", told.viewers_errors),
        (
            "the primary function's",
            "answered 5xx",
            told.primary_errors,
        ),
        (
            "the primary function's",
            "throttled",
            told.primary_throttles,
        ),
        ("the DR function's", "answered 5xx", told.dr_errors),
        ("the DR function's", "throttled", told.dr_throttles),
    ];
    let said: Vec<String> = said
        .into_iter()
        .filter_map(|(whose, what, share)| Some(format!("{}% of {whose} {what}", share?)))
        .collect();
    let minutes = WINDOW.as_mins();
    (!said.is_empty()).then(|| {
        format!(
            "CloudWatch, last {minutes} min, at least: {}",
            said.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
