//! What an app should have no longer: after a change of its spec, or when it is deleted.

use std::collections::BTreeSet;

use crate::api::DeletionPolicy;
use crate::app::App;
use crate::model::{DataPolicy, Desired, Removal, RemovalMode, ResourceId};
use crate::resources;

/// Kinds that are only read, and kinds whose removal is the business of their bucket or function.
const NEVER_REMOVED: &[&str] = &[
    "cloudfront_invalidation",
    "route53_hosted_zone",
    "s3_object",
];

/// What of `desired` (when `deleting`) and of `known` has to go or to stay behind, with the reason and the order.
pub fn removals(
    app: &App,
    desired: &[Desired],
    known: &[ResourceId],
    deleting: bool,
) -> Vec<Removal> {
    let wanted: BTreeSet<&ResourceId> = desired.iter().map(|desired| &desired.id).collect();
    let read_only: BTreeSet<&ResourceId> = desired
        .iter()
        .filter(|desired| desired.data)
        .map(|desired| &desired.id)
        .collect();
    let mut ids: BTreeSet<&ResourceId> = known.iter().filter(|id| !wanted.contains(id)).collect();
    if deleting {
        ids.extend(&wanted);
    }
    ids.retain(|id| {
        !NEVER_REMOVED.contains(&id.kind.as_str())
            && !read_only.contains(id)
            // Named by its ARN is the user's certificate, also after the spec stopped naming it.
            && !id.name.starts_with("arn:")
            && resources::facts(&id.kind).is_some()
    });
    let all: BTreeSet<&ResourceId> = ids.iter().copied().chain(wanted.iter().copied()).collect();
    ids.iter()
        .map(|&id| Removal {
            id: id.clone(),
            mode: mode(app, id, deleting),
            parent: resources::facts(&id.kind).and_then(|facts| (facts.parent)(id)),
            after: after(id, &all),
        })
        .collect()
}

fn mode(app: &App, id: &ResourceId, deleting: bool) -> RemovalMode {
    let holds_data = resources::facts(&id.kind).is_some_and(|facts| facts.holds_data);
    let is_validation = id.kind == "route53_record" && id.name.ends_with("/validation");
    if !deleting {
        // The DR side of an app that gave it up goes with its data only if all of the app's data is to go one day.
        let of_removed_dr = id.region != app.primary.region && app.dr.is_none();
        let with_data = of_removed_dr && app.deletion_policy() == DeletionPolicy::Delete;
        return if holds_data && !with_data {
            RemovalMode::Retain(
                "no longer declared; data is never deleted because of a change".into(),
            )
        } else if is_validation {
            RemovalMode::Retain("other certificates of the name may need it".into())
        } else {
            RemovalMode::Delete(if with_data {
                DataPolicy::Delete
            } else {
                DataPolicy::Keep
            })
        };
    }
    match app.deletion_policy() {
        DeletionPolicy::Retain => RemovalMode::Retain("deletionPolicy: Retain".into()),
        DeletionPolicy::RetainData if id.kind == "s3_bucket" => {
            RemovalMode::Delete(DataPolicy::Keep)
        }
        DeletionPolicy::RetainData if holds_data || is_validation => {
            RemovalMode::Retain("deletionPolicy: RetainData".into())
        }
        DeletionPolicy::RetainData => RemovalMode::Delete(DataPolicy::Keep),
        DeletionPolicy::Delete => RemovalMode::Delete(DataPolicy::Delete),
    }
}

/// Resources of the kinds that have to go, or settle, before one of this kind does.
fn after(id: &ResourceId, all: &BTreeSet<&ResourceId>) -> Vec<ResourceId> {
    let Some(facts) = resources::facts(&id.kind) else {
        return Vec::new();
    };
    all.iter()
        .filter(|other| facts.deleted_after.contains(&other.kind.as_str()) && related(id, other))
        .map(|&other| other.clone())
        .collect()
}

/// Whether the deletion of `id` concerns `other`: children of another parent do not, nor another record's certificate.
fn related(id: &ResourceId, other: &ResourceId) -> bool {
    match (id.kind.as_str(), other.kind.as_str()) {
        ("s3_bucket", "s3_bucket_policy" | "s3_bucket_replication" | "s3_object") => {
            // A destination bucket outlives the rule on its source, which may be in another region.
            other.kind == "s3_bucket_replication" || other.name.split('/').next() == Some(&id.name)
        }
        ("s3_bucket", "lambda_function") | ("cloudwatch_log_group", "lambda_function") => {
            id.region == other.region
        }
        ("dynamodb_table", "dynamodb_table_replica")
        | ("lambda_function", "lambda_function_url") => id.name == other.name,
        _ => true,
    }
}
