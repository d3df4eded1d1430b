//! One region: its buckets, its function with code, log group, URL and permissions.

use std::collections::{BTreeMap, BTreeSet};

use super::{ids, want};
use crate::api::{Architecture, Role};
use crate::app::{App, Site};
use crate::model::{Desired, Input, Overlap, ResourceId};
use crate::resources::policy::{Effect, Principal, Statement, Statements};
use crate::resources::s3_object::Source;
use crate::resources::{
    cloudfront_invalidation, cloudwatch_log_group, lambda_function, lambda_function_url,
    lambda_permission, s3_bucket, s3_bucket_policy, s3_object,
};

/// Versions of `function.zip` that stay for a rollback.
const CODE_VERSIONS_KEPT: i32 = 20;
/// The two statements that admit CloudFront to a function's URL: AWS asks for both.
pub(super) const PERMISSIONS: [&str; 2] =
    ["MultiRegionInvokeFunctionUrl", "MultiRegionInvokeFunction"];

/// Both buckets with their policies, and the code.
pub(super) fn buckets(app: &App, site: &Site) -> Vec<Desired> {
    let deployment = ids::deployment_bucket(site);
    let assets = ids::static_bucket(site);
    vec![
        bucket(app, &deployment, Some(CODE_VERSIONS_KEPT)),
        bucket(app, &assets, None),
        policy(&deployment, Statements::new()),
        static_policy(app, site, &assets),
        code(app, site),
    ]
}

fn bucket(app: &App, id: &ResourceId, noncurrent_versions_kept: Option<i32>) -> Desired {
    want(
        id.clone(),
        &s3_bucket::Config {
            versioning: true,
            encryption: "AES256".into(),
            object_ownership: "BucketOwnerEnforced".into(),
            public_access_blocked: true,
            lifecycle: s3_bucket::Lifecycle {
                noncurrent_versions_kept,
                noncurrent_days: noncurrent_versions_kept.map(|_| 1),
                abort_multipart_days: 7,
                heartbeat_days: noncurrent_versions_kept.is_none().then_some(1),
            },
            tags: app.tags.clone(),
        },
    )
}

fn policy(bucket: &ResourceId, mut statements: Statements) -> Desired {
    let arn = format!("arn:aws:s3:::{}", bucket.name);
    statements.insert(
        "MultiRegionTlsOnly".into(),
        Statement {
            effect: Effect::Deny,
            principal: Some(Principal::Anyone),
            actions: BTreeSet::from(["s3:*".into()]),
            resources: BTreeSet::from([Input::from(format!("{arn}/*")), Input::from(arn)]),
            conditions: condition("Bool", "aws:SecureTransport", Input::from("false")),
        },
    );
    want(
        ResourceId::new("s3_bucket_policy", &bucket.region, &bucket.name),
        &s3_bucket_policy::Config { statements },
    )
}

/// Admits CloudFront; the way it came by before stays open until the distribution no longer takes it.
fn static_policy(app: &App, site: &Site, bucket: &ResourceId) -> Desired {
    let distribution = ids::distribution(app);
    let read = |principal, conditions| Statement {
        effect: Effect::Allow,
        principal: Some(principal),
        actions: BTreeSet::from(["s3:GetObject".into()]),
        resources: BTreeSet::from([Input::from(format!(
            "arn:aws:s3:::{}/*",
            site.static_bucket
        ))]),
        conditions,
    };
    let (sid, statement) = if app.origin_access_identity {
        // S3 keeps an access identity's principal in this form, whatever form it was put in.
        let template = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {}";
        let principal =
            Principal::Aws(Input::templated(&ids::access_identity(app), "id", template));
        (
            "MultiRegionAccessIdentity",
            read(principal, BTreeMap::new()),
        )
    } else {
        let principal = Principal::Service("cloudfront.amazonaws.com".into());
        let conditions = condition(
            "StringEquals",
            "aws:SourceArn",
            Input::output(&distribution, "arn"),
        );
        ("MultiRegionAccessControl", read(principal, conditions))
    };
    let mut desired = policy(bucket, Statements::from([(sid.into(), statement)]));
    desired.overlap = Some(Overlap {
        field: "statements".into(),
        until: vec![distribution],
    });
    desired
}

fn condition(
    operator: &str,
    key: &str,
    value: Input,
) -> BTreeMap<String, BTreeMap<String, BTreeSet<Input>>> {
    BTreeMap::from([(
        operator.into(),
        BTreeMap::from([(key.into(), BTreeSet::from([value]))]),
    )])
}

/// The primary's zip is the user's (a placeholder until there is one); the DR region's is a copy of that version.
fn code(app: &App, site: &Site) -> Desired {
    let code = &app.spec.function.code;
    let source = match (site.role, &code.version) {
        (Role::Primary, Some(version)) => Source::Pinned(version.clone()),
        (Role::Primary, None) => Source::PlaceholderIfAbsent,
        (Role::Dr, _) => Source::CopyOf {
            bucket: app.primary.deployment_bucket.clone(),
            key: code.key.clone(),
            version: Input::output(&ids::code(app, &app.primary), "version_id"),
        },
    };
    want(ids::code(app, site), &s3_object::Config { source })
}

/// The function, and all that belongs to it.
pub(super) fn function(app: &App, site: &Site) -> Vec<Desired> {
    let mut all = vec![log_group(app, site), lambda(app, site), url(site)];
    all.extend(permissions(app, site));
    all
}

fn log_group(app: &App, site: &Site) -> Desired {
    want(
        ids::log_group(site),
        &cloudwatch_log_group::Config {
            retention_days: app.spec.function.log_retention_days,
            tags: app.tags.clone(),
        },
    )
}

fn lambda(app: &App, site: &Site) -> Desired {
    let function = &app.spec.function;
    let config = lambda_function::Config {
        role_arn: Input::output(&ids::execution_role(app), "arn"),
        runtime: function.runtime.clone(),
        handler: function.handler.clone(),
        architecture: match function.architecture {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "arm64",
        }
        .into(),
        memory_size: function.memory_size_mib,
        timeout: function.timeout_seconds,
        environment: app.environment.clone(),
        code: lambda_function::Code {
            bucket: site.deployment_bucket.clone(),
            key: function.code.key.clone(),
            version: Input::output(&ids::code(app, site), "version_id"),
        },
        tags: app.tags.clone(),
    };
    // The group first, or Lambda makes one that keeps logs for ever.
    want(ids::function(site), &config).after(&ids::log_group(site))
}

/// What the caches know of the primary's pages is forgotten with the code that made them.
pub(super) fn invalidation(app: &App) -> Desired {
    let function = ids::function(&app.primary);
    let config = cloudfront_invalidation::Config {
        distribution: Input::output(&ids::distribution(app), "id"),
        function: Input::output(&function, "arn"),
        code_sha256: Input::output(&function, "running_sha256"),
    };
    want(ids::invalidation(app), &config)
}

fn url(site: &Site) -> Desired {
    let config = lambda_function_url::Config {
        auth_type: "AWS_IAM".into(),
        invoke_mode: "BUFFERED".into(),
    };
    want(ids::function_url(site), &config)
}

fn permissions(app: &App, site: &Site) -> impl Iterator<Item = Desired> {
    let source_arn = Input::output(&ids::distribution(app), "arn");
    PERMISSIONS.into_iter().map(move |sid| {
        let by_url = sid == PERMISSIONS[0];
        let config = lambda_permission::Config {
            action: if by_url {
                "lambda:InvokeFunctionUrl"
            } else {
                "lambda:InvokeFunction"
            }
            .into(),
            principal: "cloudfront.amazonaws.com".into(),
            source_arn: source_arn.clone(),
            function_url_auth_type: by_url.then(|| "AWS_IAM".into()),
            invoked_via_function_url: (!by_url).then_some(true),
        };
        want(ids::permission(site, sid), &config)
    })
}
