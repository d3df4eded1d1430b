//! The picture: Route 53 → CloudFront → two origin groups → in each region function, buckets, table.
//!
//! [`topology`] lists every resource an app should have, [`removals`] what it should have no longer. Both are pure; who
//! waits for whom is found in the configurations, `after` only says what no output does.

mod data;
mod edge;
mod identity;
pub mod ids;
mod remains;
mod removals;
mod site;
mod writer;

use identity::Rights;
pub use removals::removals;

use serde::Serialize;

use crate::app::App;
use crate::model::{Desired, ResourceId, Snapshot, Wanted};
use crate::resources;

/// Every resource that `app` should have.
pub fn topology(app: &App) -> Vec<Desired> {
    let mut all = identity::roles(app, &Rights::to_all(app));
    for site in app.sites() {
        all.extend(site::buckets(app, site));
        all.extend(site::function(app, site));
    }
    all.extend(data::tables(app));
    all.extend(data::static_replication(app));
    all.extend(edge::certificate(app));
    all.extend(edge::shared(app));
    all.extend(writer::writer(app));
    all.push(edge::distribution(app));
    all.push(site::invalidation(app));
    all.extend(edge::records(app));
    all
}

/// What `app` should have and what, of `known` (the inventory), it should not; nothing at all if it is `deleting`.
pub fn wanted(app: &App, known: &[ResourceId], deleting: bool) -> Wanted {
    let desired = topology(app);
    let removals = removals(app, &desired, known, deleting);
    Wanted {
        desired: if deleting { Vec::new() } else { desired },
        removals,
    }
}

/// What `app` should have and should not, if by `snapshot` there is more of it left than `known` tells.
pub fn with_remains(
    app: &App,
    known: &[ResourceId],
    deleting: bool,
    snapshot: &Snapshot,
) -> Option<Wanted> {
    let mut all = remains::remains(app, snapshot);
    all.retain(|id| !known.contains(id));
    if all.is_empty() {
        return None;
    }
    all.extend_from_slice(known);
    Some(wanted(app, &all, deleting))
}

/// `wanted`, its roles without rights to what has one of the app's names and is by `snapshot` somebody else's.
#[must_use]
pub fn with_own_rights(app: &App, mut wanted: Wanted, snapshot: &Snapshot) -> Wanted {
    for role in identity::roles(app, &Rights::by(app, snapshot)) {
        let mut desired = wanted.desired.iter_mut();
        if let Some(desired) = desired.find(|desired| desired.id == role.id) {
            desired.config = role.config;
        }
    }
    wanted
}

/// A resource with what is known of its kind.
fn want(id: ResourceId, config: &impl Serialize) -> Desired {
    let mut desired = Desired::new(id, config);
    if let Some(facts) = resources::facts(&desired.id.kind) {
        desired.holds_data = facts.holds_data;
        desired.parent = (facts.parent)(&desired.id);
    }
    desired
}

#[cfg(test)]
mod tests;
