//! Which of several shared things of the same content serves an app.
//!
//! One policy, access control or function may be used by so many distributions only, 100 by default. The app for which
//! CloudFront refuses `multiregion-…` as full takes `multiregion-…-2`, and so on; one that has its place keeps it. A
//! resource's id has no number: which of them it stands for is known by the id that AWS gave it, or found anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::MANAGED;
use crate::aws::Pass;
use crate::model::{Failure, FailureKind, Input};
use crate::resources::cloudfront_distribution::{self, Access};
use crate::resources::cloudfront_function;

/// More of the same content than an account may have of any kind.
const SUCCESSORS: usize = 100;

/// How long what CloudFront refused as full is taken to be so. Distributions go, and quotas are raised.
const FULL_FOR: Duration = Duration::from_secs(3600);

/// What is known of the app that asks.
#[derive(Clone, Copy)]
pub enum Asker<'a> {
    /// It has been using the one that distributions refer to so, if any.
    Using(Option<&'a str>),
    /// The same, and it needs none any more.
    Leaving(Option<&'a str>),
}

impl<'a> Asker<'a> {
    /// By what a kind is given to find its resource.
    pub fn of<C>(known: Option<&'a str>, wanted: Option<&C>) -> Self {
        match wanted {
            Some(_) => Self::Using(known),
            None => Self::Leaving(known),
        }
    }
}

/// The name of the one that serves this app: that of `base`, `base-2`, … that it has been using, by what is known or by
/// its distribution; else the first that is not full, which may be still to be made.
///
/// `reference` tells how distributions refer to the one of a name, if it exists: by its id, or to a function by its name.
/// Where that takes a call to know, it may tell how they would.
pub async fn name<R: AsRef<str>>(
    pass: &Pass,
    base: &str,
    asker: Asker<'_>,
    reference: impl Fn(&str) -> Option<R>,
) -> Result<String, Failure> {
    let existing: Vec<(String, R)> = names(base)
        .filter_map(|name| reference(&name).map(|reference| (name, reference)))
        .collect();
    let (known, leaving) = match asker {
        Asker::Using(known) => (known.filter(|known| !is_full(pass, known)), false),
        Asker::Leaving(known) => (known, true),
    };
    let kept = existing
        .iter()
        .find(|(_, reference)| known == Some(reference.as_ref()));
    // The list of all distributions is for those who do not know.
    match kept {
        Some((kept, _)) => Ok(kept.clone()),
        None if existing.is_empty() => Ok(base.to_owned()),
        None => {
            let uses = Uses::of(pass).await?;
            // What nobody uses is not full, whatever it was refused for.
            let is_full = |it: &str| !leaving && uses.sharers_of(it) > 0 && is_full(pass, it);
            Ok(place(base, &existing, &uses, is_full))
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
        .or_else(|| first(&|it| !is_full(it)))
        .or_else(free)
        .unwrap_or_else(|| base.to_owned())
}

/// `base`, `base-2`, `base-3` and so on.
fn names(base: &str) -> impl Iterator<Item = String> {
    let more = (2..=SUCCESSORS).map(move |number| format!("{base}-{number}"));
    std::iter::once(base.to_owned()).chain(more)
}

/// `failure`, by which CloudFront refused this configuration of a distribution. If that is because something that it
/// shares with others is full, that is noted, and the next pass takes another; if nothing is that could be followed by
/// another, it is a quota.
pub async fn refused(
    pass: &Pass,
    failure: Failure,
    config: &cloudfront_distribution::Config,
) -> Failure {
    let Some(kind) = Shared::full_by(&failure.code) else {
        return failure;
    };
    let Ok(uses) = Uses::of(pass).await else {
        return failure;
    };
    let mut ours = references(config, kind);
    ours.retain(|reference| !MANAGED.contains(&reference.as_str()));
    // What the app's distribution uses already has room for it.
    if !ours.is_subset(&uses.own) {
        ours.retain(|reference| !uses.own.contains(reference));
    }
    // CloudFront does not say which of them it is.
    let most = ours
        .iter()
        .map(|it| uses.sharers_of(it))
        .max()
        .unwrap_or_default();
    if most == 0 {
        return Failure {
            kind: FailureKind::Quota,
            ..failure
        };
    }
    for reference in ours.iter().filter(|it| uses.sharers_of(it) == most) {
        tracing::info!(
            reference,
            sharers = most,
            code = failure.code,
            "is full; another serves"
        );
        pass.aws().remember(full_key(reference), ());
    }
    failure
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

    /// The kind of which one has as many distributions as it may, by CloudFront's code.
    fn full_by(code: &str) -> Option<Self> {
        Some(match code {
            "TooManyDistributionsAssociatedToCachePolicy" => Self::CachePolicy,
            "TooManyDistributionsAssociatedToOriginRequestPolicy" => Self::OriginRequestPolicy,
            "TooManyDistributionsAssociatedToOriginAccessControl" => Self::AccessControl,
            "TooManyDistributionsWithFunctionAssociations" => Self::Function,
            _ => return None,
        })
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

    /// The one that is used of `base`, `base-2` and so on that exist, of which the app's distribution uses its own.
    fn used(exist: usize, own: Option<&str>, full: &[&str]) -> String {
        let existing: Vec<(String, String)> = names("base")
            .take(exist)
            .map(|name| (name.clone(), format!("id of {name}")))
            .collect();
        let uses = Uses {
            own: own
                .map(|name| format!("id of {name}"))
                .into_iter()
                .collect(),
            ..Uses::default()
        };
        place("base", &existing, &uses, |it| {
            full.iter().any(|name| it == format!("id of {name}"))
        })
    }

    #[test]
    fn the_first_with_room_is_used_and_after_a_full_one_comes_the_next() {
        assert_eq!(used(1, None, &[]), "base");
        assert_eq!(used(1, None, &["base"]), "base-2");
        assert_eq!(used(2, None, &["base"]), "base-2");
        assert_eq!(used(2, None, &["base", "base-2"]), "base-3");
        assert_eq!(used(2, None, &["base-2"]), "base");
    }

    #[test]
    fn who_has_a_place_keeps_it() {
        assert_eq!(used(2, Some("base"), &["base"]), "base");
        assert_eq!(used(2, Some("base-2"), &[]), "base-2");
    }
}
