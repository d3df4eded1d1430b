//! Which of several shared things of the same content serves an app.
//!
//! One policy, access control or function may be used by so many distributions only. The app that finds
//! `multiregion-…` full takes `multiregion-…-2`, and so on; one that has its place keeps it. A resource's id has no
//! number: which of them it stands for is known by the id that AWS gave it, or found anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::aws::Pass;
use crate::model::{Failure, Input};
use crate::resources::cloudfront_distribution::{self, Access};
use crate::resources::cloudfront_function;

/// Distributions that may use the same policy, access control or function, by AWS's default quotas. That an account has
/// fewer is told by CloudFront's refusal.
const SHARERS: usize = 100;

/// More of the same content than an account may have of any kind.
const SUCCESSORS: usize = 100;

/// How long what CloudFront refused as full is taken to be so. Distributions go, and quotas are raised.
const FULL_FOR: Duration = Duration::from_secs(3600);

/// The name of the one that serves this app: that of `base`, `base-2`, … that it has been using, by `known` or by its
/// distribution; else the first with room, which may be still to be made.
///
/// `reference` tells how distributions refer to the one of a name, if it exists: by its id, or to a function by its name.
/// Where that takes a call to know, it may tell how they would.
pub async fn name<R: AsRef<str>>(
    pass: &Pass,
    base: &str,
    known: Option<&str>,
    reference: impl Fn(&str) -> Option<R>,
) -> Result<String, Failure> {
    let existing: Vec<(String, R)> = names(base)
        .filter_map(|name| reference(&name).map(|reference| (name, reference)))
        .collect();
    let kept = existing.iter().find(|(_, reference)| {
        known == Some(reference.as_ref()) && !is_full(pass, reference.as_ref())
    });
    // The list of all distributions is for those who do not know.
    match kept {
        Some((kept, _)) => Ok(kept.clone()),
        None if existing.is_empty() => Ok(base.to_owned()),
        None => {
            let uses = Uses::of(pass).await?;
            Ok(place(base, &existing, &uses, |it| is_full(pass, it)))
        }
    }
}

/// Of those that exist, and the next one, the one to use.
fn place<R: AsRef<str>>(
    base: &str,
    existing: &[(String, R)],
    uses: &Uses,
    is_full: impl Fn(&str) -> bool,
) -> String {
    let first = |fits: &dyn Fn(&str) -> bool| {
        let found = existing.iter().find(|(_, it)| fits(it.as_ref()));
        found.map(|(name, _)| name.clone())
    };
    let free = || names(base).find(|name| existing.iter().all(|(taken, _)| taken != name));
    first(&|it| uses.own.contains(it))
        .or_else(|| first(&|it| uses.sharers_of(it) < SHARERS && !is_full(it)))
        .or_else(free)
        .unwrap_or_else(|| base.to_owned())
}

/// `base`, `base-2`, `base-3` and so on.
fn names(base: &str) -> impl Iterator<Item = String> {
    let more = (2..=SUCCESSORS).map(move |number| format!("{base}-{number}"));
    std::iter::once(base.to_owned()).chain(more)
}

/// Notes which of what `config` refers to is full, if that is why CloudFront refused it.
pub fn note_refusal(pass: &Pass, failure: &Failure, config: &cloudfront_distribution::Config) {
    let full = Shared::ALL
        .into_iter()
        .filter(|kind| kind.is_full_by(&failure.code));
    for reference in full.flat_map(|kind| references(config, kind)) {
        tracing::info!(reference, code = failure.code, "is full; another serves");
        pass.aws().remember(full_key(&reference), ());
    }
}

fn is_full(pass: &Pass, reference: &str) -> bool {
    pass.aws()
        .recall::<()>(&full_key(reference), FULL_FOR)
        .is_some()
}

fn full_key(reference: &str) -> String {
    format!("full {reference}")
}

/// What distributions share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shared {
    CachePolicy,
    OriginRequestPolicy,
    AccessControl,
    Function,
}

impl Shared {
    const ALL: [Self; 4] = [
        Self::CachePolicy,
        Self::OriginRequestPolicy,
        Self::AccessControl,
        Self::Function,
    ];

    /// Whether CloudFront's code says that one of this kind has as many distributions as it may.
    fn is_full_by(self, code: &str) -> bool {
        code == match self {
            Self::CachePolicy => "TooManyDistributionsAssociatedToCachePolicy",
            Self::OriginRequestPolicy => "TooManyDistributionsAssociatedToOriginRequestPolicy",
            Self::AccessControl => "TooManyDistributionsAssociatedToOriginAccessControl",
            Self::Function => "TooManyDistributionsWithFunctionAssociations",
        }
    }
}

/// The ids, or names of functions, by which a distribution refers to all that it shares of this kind.
fn references(config: &cloudfront_distribution::Config, kind: Shared) -> BTreeSet<String> {
    let routing = &config.routing;
    let behaviors = routing.behaviors.iter().map(|path| &path.behavior);
    let behaviors = std::iter::once(&routing.default_behavior).chain(behaviors);
    let inputs: Vec<&Input> = match kind {
        Shared::CachePolicy => behaviors.map(|behavior| &behavior.cache_policy).collect(),
        Shared::OriginRequestPolicy => behaviors
            .filter_map(|behavior| behavior.origin_request_policy.as_ref())
            .collect(),
        Shared::Function => behaviors
            .filter_map(|behavior| behavior.viewer_request.as_ref())
            .collect(),
        Shared::AccessControl => routing
            .origins
            .values()
            .filter_map(|origin| match &origin.access {
                Access::FunctionUrl(id) | Access::BucketByControl(id) => Some(id),
                Access::BucketByIdentity(_) | Access::Other(_) => None,
            })
            .collect(),
    };
    let reference = |input: &Input| {
        let text = input.as_str();
        cloudfront_function::name_in(text)
            .unwrap_or(text)
            .to_owned()
    };
    inputs.into_iter().map(reference).collect()
}

/// Who uses what, by the list of all distributions.
#[derive(Default)]
struct Uses {
    /// What this app's distribution refers to.
    own: BTreeSet<String>,
    /// How many distributions refer to what.
    sharers: BTreeMap<String, usize>,
}

impl Uses {
    async fn of(pass: &Pass) -> Result<Self, Failure> {
        let mut uses = Self::default();
        for (ours, config) in cloudfront_distribution::all(pass).await? {
            let all = Shared::ALL
                .into_iter()
                .flat_map(|kind| references(&config, kind));
            for reference in all {
                *uses.sharers.entry(reference.clone()).or_default() += 1;
                if ours {
                    uses.own.insert(reference);
                }
            }
        }
        Ok(uses)
    }

    fn sharers_of(&self, reference: &str) -> usize {
        self.sharers.get(reference).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = SHARERS;

    /// The one that is used, where so many use `base`, `base-2` and so on, of which this app its own.
    fn used(sharers: &[usize], own: Option<&str>) -> String {
        used_if(sharers, own, |_| false)
    }

    fn used_if(sharers: &[usize], own: Option<&str>, is_full: impl Fn(&str) -> bool) -> String {
        let existing: Vec<(String, String)> = names("base")
            .take(sharers.len())
            .map(|name| (name.clone(), format!("id of {name}")))
            .collect();
        let uses = Uses {
            own: own
                .map(|name| format!("id of {name}"))
                .into_iter()
                .collect(),
            sharers: existing
                .iter()
                .zip(sharers)
                .map(|((_, id), sharers)| (id.clone(), *sharers))
                .collect(),
        };
        place("base", &existing, &uses, is_full)
    }

    #[test]
    fn the_first_with_room_is_used_and_after_a_full_one_comes_the_next() {
        assert_eq!(used(&[0], None), "base");
        assert_eq!(used(&[FULL - 1], None), "base");
        assert_eq!(used(&[FULL], None), "base-2");
        assert_eq!(used(&[FULL, 3], None), "base-2");
        assert_eq!(used(&[FULL, FULL], None), "base-3");
        assert_eq!(used(&[FULL - 1, 3], None), "base");
    }

    #[test]
    fn who_has_a_place_keeps_it() {
        assert_eq!(used(&[FULL, 3], Some("base")), "base");
        assert_eq!(used(&[FULL - 1, 3], Some("base-2")), "base-2");
        let full = |it: &str| it == "id of base";
        assert_eq!(used_if(&[2], Some("base"), full), "base");
    }

    #[test]
    fn what_cloudfront_refuses_is_full_however_few_use_it() {
        assert_eq!(used_if(&[2], None, |it| it == "id of base"), "base-2");
        assert_eq!(used_if(&[2, 2], None, |_| true), "base-3");
    }
}
