//! How a resource stands, as far as others go by it: there, in place, settled, out of reach.

use super::existing::keep_surplus;
use super::graph::{matches, resolve};
use super::{Planner, Wait, diff, sources};
use serde_json::Value;

use crate::model::{
    Desired, FailureKind, Hold, Live, Observed, Owner, Phase, Reference, ResourceId, Until,
};

impl Planner<'_> {
    /// Whether it is as it should be in the end.
    pub(super) fn is_as_wanted(&self, desired: &Desired, live: &Live) -> bool {
        matches(&desired.config, live, self.snapshot) || {
            let target = resolve(&desired.config, self.snapshot);
            target.missing.is_empty() && diff::fields(&target.config, live).is_empty()
        }
    }

    /// What a missing output is waited for with.
    pub(super) fn wait_for(&self, reference: &Reference) -> Wait {
        let live = self.snapshot.get(&reference.from).and_then(Observed::live);
        let busy = live.and_then(|live| resting(&reference.from, live));
        busy.unwrap_or_else(|| Wait::on(&reference.from, format!("its {}", reference.output)))
    }

    /// What keeps `id` from having something built on it: it has to be there, ours, free for changes, and changed
    /// already if a change of it can be made.
    pub(super) fn not_there(&self, id: &ResourceId) -> Option<Wait> {
        let live = match self.seen(id) {
            Ok(live) => live,
            Err(wait) => return Some(wait),
        };
        if let Phase::Pending(_) = live.phase {
            return resting(id, live);
        }
        let desired = self.desired.get(id).filter(|desired| !desired.data)?;
        let failed = self.progress.failed.get(id);
        // A change that AWS refuses for good is its own trouble, and must not become that of all that is built on it.
        if failed.is_some_and(|failure| !will_pass(failure.kind)) {
            return None;
        }
        self.is_to_be_changed(desired, live)
            .then(|| Wait::on(id, "to be updated"))
    }

    /// What keeps `id` from being relied on: it has to be there, ours, as wanted, and so has what it is a part of.
    pub(super) fn not_in_place(&self, id: &ResourceId) -> Option<Wait> {
        let live = match self.seen(id) {
            Ok(live) => live,
            Err(wait) => return Some(wait),
        };
        let desired = self.desired.get(id).filter(|desired| !desired.data)?;
        if let Some(parent) = &desired.parent
            && let Err(wait) = self.seen(parent)
        {
            return Some(wait);
        }
        if self.is_as_wanted(desired, live) {
            return None;
        }
        let mut target = resolve(&desired.config, self.snapshot);
        if let Some(reference) = target.missing.first() {
            return Some(self.wait_for(reference));
        }
        if let Some(overlap) = &desired.overlap
            && let Some(field) = target.config.get_mut(&overlap.field)
        {
            keep_surplus(
                field,
                live.config.get(&overlap.field).unwrap_or(&Value::Null),
            );
        }
        (!diff::fields(&target.config, live).is_empty()).then(|| Wait::on(id, "to be updated"))
    }

    /// What keeps the fields that `hold` holds of `live` from changing.
    pub(super) fn held(&self, hold: &Hold, live: &Live) -> Option<Wait> {
        let (output, proven, lacking) = match &hold.until {
            Until::Further(why) => return Some(Wait::on(&hold.on, why)),
            Until::AtRest => {
                return match self.snapshot.get(&hold.on) {
                    Some(Observed::Unknown(_)) => Some(Wait::on(&hold.on, "to be readable again")),
                    Some(Observed::Present(other)) => resting(&hold.on, other),
                    Some(Observed::Absent) | None => None,
                };
            }
            Until::Proven {
                output,
                proven,
                lacking,
            } => (output, proven, lacking),
        };
        let other = match self.seen(&hold.on) {
            Ok(other) => other,
            Err(wait) => return Some(wait),
        };
        if let Some(wait) = resting(&hold.on, other) {
            return Some(wait);
        }
        let desired = self.desired.get(&hold.on)?;
        // It is not as it will be while what it is made from is not: its code, its role.
        let source = sources(&desired.config);
        if let Some(wait) = source.iter().find_map(|source| self.not_in_place(source)) {
            return Some(wait);
        }
        if !self.is_as_wanted(desired, other) {
            return Some(Wait::on(&hold.on, "to be updated"));
        }
        let is = other.outputs.get(output);
        let lets = is.is_some() && (is == proven.as_ref() || is == live.outputs.get(output));
        (!lets).then(|| Wait::on(&hold.on, lacking))
    }

    /// The live resource, if it is there, ours (or only read), and neither failed nor on its way out.
    fn seen(&self, id: &ResourceId) -> Result<&Live, Wait> {
        let live = match self.snapshot.get(id) {
            None | Some(Observed::Absent) => return Err(Wait::on(id, "to be made")),
            Some(Observed::Unknown(_)) => return Err(Wait::on(id, "to be readable again")),
            Some(Observed::Present(live)) => live,
        };
        let is_data = self.desired.get(id).is_some_and(|desired| desired.data);
        if !is_data && !self.is_ours(live) {
            return Err(Wait::on(id, "to belong to this app"));
        }
        match resting(id, live) {
            Some(wait) if matches!(live.phase, Phase::Failed(_) | Phase::Deleting) => Err(wait),
            _ => Ok(live),
        }
    }

    fn is_ours(&self, live: &Live) -> bool {
        match live.owner {
            Owner::Ours => true,
            Owner::Nobody => self.adopt,
            Owner::Other(_) => false,
        }
    }

    /// A part of what is not ours is not ours either, even where it bears our name: statements and URLs have no owner.
    pub(super) fn foreign_parent(&self, desired: &Desired) -> Option<Wait> {
        let parent = desired.parent.as_ref()?;
        let live = self.snapshot.get(parent)?.live()?;
        let is_data = self.desired.get(parent).is_some_and(|parent| parent.data);
        (!is_data && !self.is_ours(live)).then(|| Wait::on(parent, "to belong to this app"))
    }

    /// What of `config` comes from somebody else's: nothing of ours is built on that, though its outputs are known.
    pub(super) fn foreign_sources(&self, config: &Value) -> Vec<Wait> {
        let foreign = |id: &ResourceId| {
            let live = self.snapshot.get(id)?.live()?;
            let desired = self.desired.get(id).filter(|desired| !desired.data)?;
            if self.is_ours(live) {
                return self.foreign_parent(desired);
            }
            Some(Wait::on(id, "to belong to this app"))
        };
        sources(config).iter().filter_map(foreign).collect()
    }

    /// Those of `ids` that are not yet as they should be in the end, and at rest.
    pub(super) fn unsettled<'b>(&self, ids: impl Iterator<Item = &'b ResourceId>) -> Vec<Wait> {
        ids.filter_map(|id| {
            let live = match self.snapshot.get(id) {
                None | Some(Observed::Absent) if !self.desired.contains_key(id) => return None,
                None | Some(Observed::Absent) => return Some(Wait::on(id, "to be made")),
                Some(Observed::Unknown(_)) => return Some(Wait::on(id, "to be readable again")),
                Some(Observed::Present(live)) => live,
            };
            if let Some(wait) = resting(id, live) {
                return Some(wait);
            }
            let desired = self.desired.get(id).filter(|desired| !desired.data)?;
            (!self.is_as_wanted(desired, live)).then(|| Wait::on(id, "to be updated"))
        })
        .collect()
    }

    /// Whether `id` cannot be had in this pass: unreadable, failed, blocked, or waiting on such a one.
    pub(super) fn out_of_reach(&self, id: &ResourceId) -> bool {
        self.cannot_be_had(id, 0)
    }

    fn cannot_be_had(&self, id: &ResourceId, depth: usize) -> bool {
        // A chain longer than any topology has is a cycle, which is not out of reach but simply not there yet.
        if depth > 16 {
            return false;
        }
        if self.progress.failed.contains_key(id) {
            return true;
        }
        match (self.snapshot.get(id), self.desired.get(id)) {
            (Some(Observed::Unknown(_)), _) => true,
            (Some(Observed::Absent), Some(desired)) => desired
                .parent
                .iter()
                .chain(&desired.after)
                .chain(&sources(&desired.config))
                .any(|source| {
                    self.not_in_place(source).is_some() && self.cannot_be_had(source, depth + 1)
                }),
            (Some(Observed::Present(live)), Some(desired)) => {
                !self.is_ours(live)
                    || self.foreign_parent(desired).is_some()
                    || desired.holds_data && matches!(live.phase, Phase::Failed(_))
            }
            _ => false,
        }
    }
}

/// Whether the next pass may well find it gone.
fn will_pass(kind: FailureKind) -> bool {
    kind.is_unreachable() || matches!(kind, FailureKind::Conflict | FailureKind::NotFound)
}

/// What a resource that is not at rest is busy with.
pub(super) fn resting(id: &ResourceId, live: &Live) -> Option<Wait> {
    let (what, person) = match &live.phase {
        Phase::Ready => return None,
        Phase::Pending(what) | Phase::Deploying(what) => (what.clone(), false),
        Phase::WaitingForPerson(what) => (what.clone(), true),
        Phase::Failed(why) => (format!("to be made again: {why}"), false),
        Phase::Deleting => ("to be gone".into(), false),
    };
    Some(Wait {
        person,
        ..Wait::on(id, what)
    })
}
