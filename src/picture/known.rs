//! What is known of the parts, and what of it a status says.

use std::collections::BTreeMap;

use super::{Level, State};
use crate::api::{MultiRegionApp, MultiRegionAppStatus, RegionHealth, Role};
use crate::app::{App, Invalid};
use crate::aws::tags::OwnerKey;

/// What is known of the parts; what is not known is not drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The region that takes the writes, and the count of the moves.
    pub writer: Option<(Role, i64)>,
    /// What the probes say.
    pub health: BTreeMap<Role, RegionHealth>,
    /// Each replication in each direction.
    pub lags: Vec<Lag>,
    /// What is to be done yet, by the resource.
    pub pending: BTreeMap<String, String>,
    /// How far the distribution is.
    pub distribution: Option<String>,
    /// Status and reason of the conditions, by type.
    pub conditions: BTreeMap<String, (String, String)>,
}

/// One replication in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lag {
    /// As in the status.
    pub source: String,
    /// Region that it comes from.
    pub from: String,
    /// In seconds, if it is known.
    pub seconds: Option<i64>,
    /// How it stands.
    pub state: String,
}

impl Known {
    /// A condition as the state of a part.
    pub(super) fn condition(&self, condition: &str) -> Option<State> {
        let (status, reason) = self.conditions.get(condition)?;
        Some(State {
            level: match status.as_str() {
                "True" => Level::Good,
                "False" => Level::Bad,
                _ => Level::Unknown,
            },
            text: reason.clone(),
        })
    }
}

/// The app as its status says it is; AWS is not asked.
///
/// # Errors
/// When the spec makes no sense as a whole.
pub fn of_object(
    namespace: &str,
    name: &str,
    object: &MultiRegionApp,
) -> Result<(App, Known), Invalid> {
    let owner = OwnerKey {
        // Only tags tell it, and no picture shows them.
        cluster: String::new(),
        namespace: namespace.into(),
        name: name.into(),
    };
    let status = object.status.as_ref();
    let app = App::new(owner, account(status), &object.spec)?;
    Ok((app, status.map(told).unwrap_or_default()))
}

/// The account, as the distribution's ARN has it; names of buckets have it in them.
fn account(status: Option<&MultiRegionAppStatus>) -> &str {
    status
        .and_then(|status| status.distribution.as_ref())
        .and_then(|distribution| distribution.arn.split(':').nth(4))
        .filter(|account| !account.is_empty())
        .unwrap_or("ACCOUNT")
}

/// What a status says.
fn told(status: &MultiRegionAppStatus) -> Known {
    Known {
        writer: status
            .writer
            .as_ref()
            .map(|writer| (writer.active, writer.epoch)),
        health: status
            .regions
            .iter()
            .filter_map(|region| Some((region.role, region.health?)))
            .collect(),
        lags: status
            .replication
            .iter()
            .map(|row| Lag {
                source: row.source.clone(),
                from: row.from.clone(),
                seconds: row.lag_seconds,
                state: row.state.clone(),
            })
            .collect(),
        pending: status
            .pending
            .iter()
            .map(|pending| {
                let change = match &pending.waiting_on {
                    Some(on) => format!("{}, waits on {on}", pending.change),
                    None => pending.change.clone(),
                };
                (pending.resource.clone(), change)
            })
            .collect(),
        distribution: status
            .distribution
            .as_ref()
            .map(|distribution| distribution.status.clone()),
        conditions: status
            .conditions
            .iter()
            .map(|condition| {
                let told = (condition.status.clone(), condition.reason.clone());
                (condition.type_.clone(), told)
            })
            .collect(),
    }
}
