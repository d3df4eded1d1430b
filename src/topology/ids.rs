//! Ids of the resources that others refer to.

use crate::api::Role;
use crate::app::{App, Site};
use crate::aws::US_EAST_1;
use crate::model::ResourceId;
use crate::resources::cloudfront_key_value_store::WRITERS;

/// The role both functions assume.
pub fn execution_role(app: &App) -> ResourceId {
    ResourceId::global("iam_role", app.execution_role())
}

/// The role S3 replicates with.
pub fn replication_role(app: &App) -> ResourceId {
    ResourceId::global("iam_role", app.replication_role())
}

/// The bucket with the function's zip.
pub fn deployment_bucket(site: &Site) -> ResourceId {
    ResourceId::new("s3_bucket", &site.region, &site.deployment_bucket)
}

/// The bucket with the static assets.
pub fn static_bucket(site: &Site) -> ResourceId {
    ResourceId::new("s3_bucket", &site.region, &site.static_bucket)
}

/// The static bucket's policy.
pub fn static_policy(site: &Site) -> ResourceId {
    ResourceId::new("s3_bucket_policy", &site.region, &site.static_bucket)
}

/// The function's zip.
pub fn code(app: &App, site: &Site) -> ResourceId {
    let name = format!("{}/{}", site.deployment_bucket, app.spec.function.code.key);
    ResourceId::new("s3_object", &site.region, name)
}

/// The table of this name in AWS, or in the DR region its replica.
pub fn table(site: &Site, name: &str) -> ResourceId {
    let kind = match site.role {
        Role::Primary => "dynamodb_table",
        Role::Dr => "dynamodb_table_replica",
    };
    ResourceId::new(kind, &site.region, name)
}

/// The function's log group.
pub fn log_group(site: &Site) -> ResourceId {
    ResourceId::new(
        "cloudwatch_log_group",
        &site.region,
        format!("/aws/lambda/{}", site.function),
    )
}

/// The function.
pub fn function(site: &Site) -> ResourceId {
    ResourceId::new("lambda_function", &site.region, &site.function)
}

/// The function's URL.
pub fn function_url(site: &Site) -> ResourceId {
    ResourceId::new("lambda_function_url", &site.region, &site.function)
}

/// One statement of the function's policy.
pub fn permission(site: &Site, sid: &str) -> ResourceId {
    ResourceId::new(
        "lambda_permission",
        &site.region,
        format!("{}/{sid}", site.function),
    )
}

/// The distribution.
pub fn distribution(app: &App) -> ResourceId {
    ResourceId::global("cloudfront_distribution", &app.prefix)
}

/// What the caches have been told to forget.
pub fn invalidation(app: &App) -> ResourceId {
    let Site {
        region, function, ..
    } = &app.primary;
    ResourceId::new("cloudfront_invalidation", region, function)
}

/// The origin access identity.
pub fn access_identity(app: &App) -> ResourceId {
    ResourceId::global("cloudfront_origin_access_identity", &app.prefix)
}

/// The origin access control for `lambda` or `s3`, shared by the account.
pub fn access_control(origin_type: &str) -> ResourceId {
    ResourceId::global(
        "cloudfront_origin_access_control",
        format!("multiregion-{origin_type}"),
    )
}

/// The store with the writers, shared by the account.
pub fn key_value_store() -> ResourceId {
    ResourceId::global("cloudfront_key_value_store", WRITERS)
}

/// The app's writer in the store.
pub fn writer_key(app: &App) -> ResourceId {
    ResourceId::global("cloudfrontkeyvaluestore_key", &app.prefix)
}

/// The user's certificate, or ours.
pub fn certificate(app: &App) -> Option<ResourceId> {
    let domain = app.domain.as_ref()?;
    let name = domain.certificate_arn.as_ref().unwrap_or(&domain.name);
    Some(ResourceId::new("acm_certificate", US_EAST_1, name))
}

/// The hosted zone, where DNS is in Route 53.
pub fn hosted_zone(app: &App) -> Option<ResourceId> {
    Some(ResourceId::global(
        "route53_hosted_zone",
        app.domain.as_ref()?.hosted_zone.as_ref()?,
    ))
}
