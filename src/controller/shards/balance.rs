//! Which shards a process should hold or stand for: pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Members;

/// The shards that `own` should hold or stand for, of `of`, by who is there and who holds what.
///
/// What is held stays where it is as long as the shares are even: none has more than one more than another. What is held
/// by nobody who lives is stood for by all who have too few; the leases see to it that one gets it.
pub(super) fn balance(
    of: u32,
    own: &str,
    living: &Members,
    holders: &BTreeMap<u32, String>,
) -> BTreeSet<u32> {
    let members = u32::try_from(living.len().max(1)).unwrap_or(u32::MAX);
    let (least, most) = (of / members, of.div_ceil(members));
    let count = |member: &str| {
        let held = holders.values().filter(|holder| *holder == member);
        u32::try_from(held.count()).unwrap_or(u32::MAX)
    };
    let mut mine: BTreeSet<u32> = holders
        .iter()
        .filter(|(_, holder)| *holder == own)
        .map(|(number, _)| *number)
        .collect();
    let free: Vec<u32> = (0..of)
        .filter(|number| {
            holders
                .get(number)
                .is_none_or(|holder| !living.contains(holder))
        })
        .collect();
    // Who has too few comes first: what is over is for later.
    let needy = living
        .iter()
        .any(|member| member != own && count(member) < least);
    let share = if needy { least } else { most };
    while u32::try_from(mine.len()).unwrap_or(u32::MAX) > share {
        mine.pop_last();
    }
    // Each begins elsewhere, so that not all stand for the same.
    let begin = living.iter().take_while(|member| *member != own).count() * free.len()
        / usize::try_from(members).unwrap_or(1);
    let wanted = share.saturating_sub(u32::try_from(mine.len()).unwrap_or(u32::MAX));
    let from_there = free.iter().cycle().skip(begin).take(free.len());
    mine.extend(from_there.take(usize::try_from(wanted).unwrap_or(usize::MAX)));
    mine
}
