//! What should no longer be there: taken away in order, or left behind knowingly.

use super::standing::resting;
use super::{Block, Change, Plan, Planner, State, Step, Wait};
use crate::model::{Observed, Owner, Phase, Removal, RemovalMode, ResourceId};

impl Planner<'_> {
    pub(super) fn removal(&self, removal: &Removal, plan: &mut Plan) {
        let id = &removal.id;
        let step = |data, state| Step {
            id: id.clone(),
            change: Change::Delete { data },
            state,
        };
        let live = match self.snapshot.get(id) {
            None | Some(Observed::Absent) => return,
            Some(Observed::Unknown(failure)) => {
                if let RemovalMode::Delete(data) = removal.mode {
                    let state = State::Blocked(Block::Failed(failure.clone()));
                    plan.steps.push(step(data, state));
                }
                return;
            }
            Some(Observed::Present(live)) => live,
        };
        // What is not ours is none of our business, and nothing we left behind.
        if live.owner != Owner::Ours || self.is_part_of_anothers(removal) {
            return;
        }
        let data = match &removal.mode {
            RemovalMode::Retain(reason) => {
                plan.retained.insert(id.clone(), reason.clone());
                return;
            }
            RemovalMode::Delete(data) => *data,
        };
        if let Some(reason) = self.progress.retained.get(id) {
            plan.retained.insert(id.clone(), reason.clone());
            return;
        }
        let mut waits = self.not_yet_gone(removal);
        if live.phase == Phase::Deleting {
            waits.extend(resting(id, live));
        } else if let Some(what) = self.progress.deleting.get(id) {
            waits.push(Wait::on(id, what));
        }
        let state = if waits.is_empty() {
            State::Ready
        } else {
            State::Waiting(waits)
        };
        plan.steps.push(step(data, state));
    }

    fn is_part_of_anothers(&self, removal: &Removal) -> bool {
        let parent = removal.parent.as_ref();
        parent
            .and_then(|parent| self.snapshot.get(parent)?.live())
            .is_some_and(|live| live.owner != Owner::Ours)
    }

    fn not_yet_gone(&self, removal: &Removal) -> Vec<Wait> {
        let mut waits = Vec::new();
        for id in &removal.after {
            if self.desired.contains_key(id) {
                waits.extend(self.unsettled(std::iter::once(id)));
                continue;
            }
            match self.snapshot.get(id) {
                None | Some(Observed::Absent) => {}
                Some(Observed::Present(live)) if live.owner != Owner::Ours => {}
                Some(_) if self.stays(id) => {}
                Some(_) => waits.push(Wait::on(id, "to be gone")),
            }
        }
        waits
    }

    /// Whether it is left behind, or not ours to take away.
    fn stays(&self, id: &ResourceId) -> bool {
        self.progress.retained.contains_key(id)
            || self.removals.get(id).is_some_and(|removal| {
                matches!(removal.mode, RemovalMode::Retain(_)) || self.is_part_of_anothers(removal)
            })
    }
}
