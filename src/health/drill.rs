//! Whether a drill of the failover may begin, and whether it has to be given up: pure decisions.
//!
//! A drill moves the writes of a live app. So it begins only where a real move would be well, and whatever is missing is
//! the reason to show.

use jiff::Timestamp;

use super::{Health, Thresholds};
use crate::api::{
    CONDITION_FAILOVER_HEALTHY, CONDITION_REPLICATION_HEALTHY, DrillStatus, ManagementPolicy,
    MultiRegionAppSpec, MultiRegionAppStatus, Role,
};
use crate::model::{Side, Writer};

/// `status.lastDrill.result`: under way.
pub const RUNNING: &str = "Running";
/// `status.lastDrill.result`: the writes went to DR and back, and the edge said so both times.
pub const SUCCEEDED: &str = "Succeeded";
/// `status.lastDrill.result`: given up; the writes are back, unless somebody else moved them.
pub const FAILED: &str = "Failed";
/// `status.lastDrill.result`: not begun.
pub const REFUSED: &str = "Refused";

/// Why a drill is not begun, or is given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

impl Why {
    /// A reason, and the same in a sentence.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Why no drill may begin now, by what the status says; none if one may.
///
/// `provable`: the edge can be asked which region takes the writes. `probed`: the status is not only a memory of before
/// a restart.
pub fn refused(
    spec: &MultiRegionAppSpec,
    status: &MultiRegionAppStatus,
    provable: bool,
    probed: bool,
) -> Option<Why> {
    if spec.regions.dr.is_none() {
        return Some(Why::new("NotConfigured", "there is no regions.dr"));
    }
    if spec.suspend {
        return Some(Why::new("Suspended", "the app is suspended"));
    }
    if spec.management_policy == ManagementPolicy::Observe {
        let message = "managementPolicy is Observe, under which nothing is moved";
        return Some(Why::new("Observed", message));
    }
    if !provable {
        let message = "no path in cdn.writePaths ends with *, so the edge cannot be asked for the region that takes the writes";
        return Some(Why::new("NoWritePath", message));
    }
    let Some(writer) = status
        .writer
        .as_ref()
        .filter(|writer| writer.store_arn.is_some() && status.distribution.is_some())
    else {
        let message = "the region that takes the writes is not known yet";
        return Some(Why::new("NoWriter", message));
    };
    if writer.active != Role::Primary || spec.failover.writes.active != Role::Primary {
        let message =
            "the writes are at DR, or are declared to be: a drill begins and ends at the primary";
        return Some(Why::new("WriterNotPrimary", message));
    }
    unhealthy(status).or_else(|| {
        let message = "nothing was probed since the controller started";
        (!probed).then(|| Why::new("NotProbed", message))
    })
}

fn unhealthy(status: &MultiRegionAppStatus) -> Option<Why> {
    let wanted = [
        (
            CONDITION_FAILOVER_HEALTHY,
            Some("DRReady"),
            "FailoverNotHealthy",
        ),
        (CONDITION_REPLICATION_HEALTHY, None, "ReplicationNotHealthy"),
    ];
    wanted.into_iter().find_map(|(name, reason, why)| {
        let found = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == name);
        let Some(found) = found else {
            return Some(Why::new(why, format!("{name} is not known")));
        };
        let good =
            found.status == "True" && reason.is_none_or(|reason| reason == found.reason.as_str());
        (!good).then(|| {
            let (status, reason) = (&found.status, &found.reason);
            Why::new(
                why,
                format!("{name} is {status} {reason}: {}", found.message),
            )
        })
    })
}

/// Why a drill under way has to be given up: a region really fails. What follows is for the usual decision to say.
pub fn hindered(health: &Health, thresholds: &Thresholds, now: Timestamp) -> Option<Why> {
    let failed = |role| {
        let target = health.of(role);
        target
            .has_failed(thresholds, now)
            .then(|| target.why.clone())
    };
    if let Some(why) = failed(Role::Primary) {
        let message = format!("the primary failed meanwhile: {why}");
        return Some(Why::new("PrimaryFailed", message));
    }
    failed(Role::Dr).map(|why| Why::new("DRFailed", format!("DR failed meanwhile: {why}")))
}

/// The writer that the drill sets, or has set, at DR; none where it was not begun. A status that holds this is written
/// before the move, so that whoever finds it knows what to take back.
pub fn writer_at_dr(drill: &DrillStatus) -> Option<Writer> {
    Some(Writer {
        side: Side::Dr,
        epoch: u64::try_from(drill.epoch?).ok()?,
    })
}

/// When the last drill that succeeded ended, by what is known of the last one.
pub fn last_success(drill: &DrillStatus) -> Option<Timestamp> {
    let finished = drill.finished.as_ref();
    finished
        .filter(|_| drill.result == SUCCEEDED)
        .or(drill.last_succeeded.as_ref())
        .map(|time| time.0)
}

/// What a drill that went well came to, in a sentence.
pub fn summary(drill: &DrillStatus) -> String {
    let time = |milliseconds: Option<i64>| {
        milliseconds.map_or("an unknown time".into(), |time| format!("{time} ms"))
    };
    format!(
        "the edge sent the writes to DR after {}, and back after {}; at stake were the writes of {}",
        time(drill.to_dr_milliseconds),
        time(drill.to_primary_milliseconds),
        time(drill.recovery_point_milliseconds),
    )
}

#[cfg(test)]
mod tests;
