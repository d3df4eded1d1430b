//! What the kinds of CloudFront have in common.

use std::collections::BTreeSet;

use aws_sdk_cloudfront::types;

use super::request_token;
use crate::aws::{Pass, error};
use crate::model::{Deleted, Failure, Owner, ResourceId};

pub mod successor;

/// AWS's managed cache policies `CachingOptimized` and `CachingDisabled`, and its managed origin request policy
/// `AllViewerExceptHostHeader` (a function URL refuses another's Host).
pub const CACHING_OPTIMIZED: &str = "658327ea-f89d-4fab-a63d-7e88639e58f6";
/// See [`CACHING_OPTIMIZED`].
pub const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
/// See [`CACHING_OPTIMIZED`].
pub const ALL_VIEWER_EXCEPT_HOST_HEADER: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";
/// What everybody shares, and nobody can follow by another.
const MANAGED: [&str; 3] = [
    CACHING_OPTIMIZED,
    CACHING_DISABLED,
    ALL_VIEWER_EXCEPT_HOST_HEADER,
];

/// The `CallerReference` for the creation of `id`.
///
/// Should a list not show yet what was made by a call whose reply was lost, this keeps a second one from being made.
pub fn caller_reference(pass: &Pass, id: &ResourceId) -> String {
    format!("multiregion-{}", request_token(pass, id))
}

/// Why the SDK's builders, which check for required members only, cannot fail.
pub const COMPLETE: &str = "every required member is set";

/// Comment of what all apps of an account share, found by a name that is a hash of its content.
pub const SHARED: &str = "Shared by MultiRegionApps.";

/// Whose a shared resource is: only the comment tells one of ours from one that happens to have the name.
pub fn owner_of_shared(comment: &str) -> Owner {
    match comment {
        SHARED => Owner::Ours,
        "" => Owner::Other("somebody whose comment is empty".into()),
        other => Owner::Other(format!("somebody whose comment is '{other}'")),
    }
}

/// The last app to go deletes what is shared; for all before it CloudFront says that it is in use.
pub fn deleted_unless_in_use<T>(answer: Result<T, Failure>) -> Result<Deleted, Failure> {
    match answer {
        Ok(_) => Ok(Deleted::Gone),
        Err(failure) if error::is_in_use(&failure) => {
            Ok(Deleted::Retained("in use by another app".into()))
        }
        Err(failure) => Err(failure),
    }
}

/// The names of a whitelist. Any other selection but `none` becomes one entry in words, which no whitelist equals.
pub fn whitelist(behavior: &str, names: &[String]) -> BTreeSet<String> {
    match behavior {
        "none" => BTreeSet::new(),
        "whitelist" => names.iter().cloned().collect(),
        other => BTreeSet::from([in_words(other, names)]),
    }
}

/// A selection in words, as in `all` or `allExcept: page`.
pub fn in_words(behavior: &str, names: &[String]) -> String {
    if names.is_empty() {
        behavior.to_owned()
    } else {
        format!("{behavior}: {}", names.join(" "))
    }
}

/// `live` with the names spelled as in `wanted` where only the case differs: headers have no case.
pub fn spelled_as(
    wanted: Option<&BTreeSet<String>>,
    live: impl IntoIterator<Item = String>,
) -> BTreeSet<String> {
    live.into_iter()
        .map(|name| {
            wanted
                .into_iter()
                .flatten()
                .find(|wanted| wanted.eq_ignore_ascii_case(&name))
                .cloned()
                .unwrap_or(name)
        })
        .collect()
}

/// CloudFront's word for a selection by these names.
pub fn selection(names: &BTreeSet<String>) -> &'static str {
    if names.is_empty() {
        "none"
    } else {
        "whitelist"
    }
}

/// A list of cookies; absent where it is empty, which CloudFront wants of a selection `none`.
pub fn cookie_names(names: &BTreeSet<String>) -> Option<types::CookieNames> {
    let items: Vec<String> = names.iter().cloned().collect();
    (!items.is_empty()).then(|| {
        types::CookieNames::builder()
            .quantity(quantity(&items))
            .set_items(Some(items))
            .build()
            .expect(COMPLETE)
    })
}

/// A list of headers; absent where it is empty, which CloudFront wants of a selection `none`.
pub fn header_names(names: &BTreeSet<String>) -> Option<types::Headers> {
    let items: Vec<String> = names.iter().cloned().collect();
    (!items.is_empty()).then(|| {
        types::Headers::builder()
            .quantity(quantity(&items))
            .set_items(Some(items))
            .build()
            .expect(COMPLETE)
    })
}

/// `Quantity` of a list, as CloudFront wants it beside the items.
pub fn quantity<T>(items: &[T]) -> i32 {
    i32::try_from(items.len()).expect("CloudFront's lists are short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn only_our_comment_marks_ours() {
        assert_eq!(owner_of_shared(SHARED), Owner::Ours);
        assert!(matches!(owner_of_shared(""), Owner::Other(_)));
        assert!(matches!(owner_of_shared("Shared by us"), Owner::Other(_)));
    }

    #[test]
    fn what_others_use_is_left_and_other_conflicts_stay_failures() {
        let failure = |code: &str| Failure {
            kind: FailureKind::Conflict,
            operation: "cloudfront:DeleteCachePolicy".into(),
            code: code.into(),
            message: String::new(),
        };
        assert_eq!(
            deleted_unless_in_use::<()>(Err(failure("CachePolicyInUse"))),
            Ok(Deleted::Retained("in use by another app".into()))
        );
        assert_eq!(
            deleted_unless_in_use::<()>(Err(failure("PreconditionFailed"))),
            Err(failure("PreconditionFailed"))
        );
        assert_eq!(deleted_unless_in_use(Ok(())), Ok(Deleted::Gone));
    }

    #[test]
    fn a_selection_that_is_no_whitelist_equals_none() {
        let names = ["b".to_owned(), "a".to_owned()];
        assert_eq!(whitelist("whitelist", &names), set(&["a", "b"]));
        assert_eq!(whitelist("none", &[]), set(&[]));
        assert_eq!(whitelist("all", &[]), set(&["all"]));
        assert_eq!(whitelist("allExcept", &names), set(&["allExcept: b a"]));
    }

    #[test]
    fn headers_have_no_case() {
        let wanted = set(&["Accept-Language"]);
        let live = set(&["accept-language", "X-Other"]);
        assert_eq!(
            spelled_as(Some(&wanted), live.clone()),
            set(&["Accept-Language", "X-Other"])
        );
        assert_eq!(spelled_as(None, live.clone()), live);
    }
}
