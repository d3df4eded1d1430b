//! One read and one write for each of a bucket's facets.

use aws_sdk_s3::types;

use super::Lifecycle;
use crate::aws::{HEARTBEAT_OBJECT, Pass};
use crate::model::{Failure, ResourceId};
use crate::resources::Tags;
use crate::resources::s3::COMPLETE;

/// Id of our lifecycle rule.
const RULE: &str = "multiregion";
/// Id of the one for the heartbeats.
const HEARTBEAT_RULE: &str = "multiregion-heartbeat";

/// All tags; a bucket without any is an error to S3, and another account's is none to us (its policy might let us in).
pub async fn tags(pass: &Pass, id: &ResourceId) -> Result<Tags, Failure> {
    let account = pass.aws().account(pass, &id.region).await?;
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_tagging()
        .bucket(&id.name)
        .expected_bucket_owner(account)
        .send();
    match pass.call("s3", "GetBucketTagging", &id.region, get).await {
        Ok(answer) => Ok(answer
            .tag_set
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .collect()),
        Err(failure) if failure.code == "NoSuchTagSet" => Ok(Tags::new()),
        Err(failure) => Err(failure),
    }
}

/// Puts `desired` over `live`, and returns what is there then. S3 replaces the whole set, and refuses one in which
/// AWS's own tags (`aws:…`) are missing: all that were read go back.
pub async fn put_tags(
    pass: &Pass,
    id: &ResourceId,
    live: &Tags,
    desired: &Tags,
) -> Result<Tags, Failure> {
    let mut tags = live.clone();
    tags.extend(
        desired
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    let tagging = types::Tagging::builder()
        .set_tag_set(Some(tag_set(&tags)))
        .build()
        .expect(COMPLETE);
    let put = pass
        .clients(&id.region)
        .s3
        .put_bucket_tagging()
        .bucket(&id.name)
        .tagging(tagging)
        .send();
    pass.call("s3", "PutBucketTagging", &id.region, put).await?;
    Ok(tags)
}

/// Tags as S3 takes them.
pub fn tag_set(tags: &Tags) -> Vec<types::Tag> {
    let tag = |(key, value)| {
        let tag = types::Tag::builder().key(key).value(value);
        tag.build().expect(COMPLETE)
    };
    tags.iter().map(tag).collect()
}

/// Whether versions are kept; a bucket that never kept any has no status.
pub async fn versioning(pass: &Pass, id: &ResourceId) -> Result<bool, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_versioning()
        .bucket(&id.name)
        .send();
    let answer = pass
        .call("s3", "GetBucketVersioning", &id.region, get)
        .await?;
    Ok(answer.status == Some(types::BucketVersioningStatus::Enabled))
}

/// From now on versions are kept.
pub async fn enable_versioning(pass: &Pass, id: &ResourceId) -> Result<(), Failure> {
    let configuration = types::VersioningConfiguration::builder()
        .status(types::BucketVersioningStatus::Enabled)
        .build();
    let put = pass
        .clients(&id.region)
        .s3
        .put_bucket_versioning()
        .bucket(&id.name)
        .versioning_configuration(configuration)
        .send();
    pass.call("s3", "PutBucketVersioning", &id.region, put)
        .await
        .map(drop)
}

/// Whether all four public access blocks are on; a bucket without a configuration has none.
pub async fn public_access_blocked(pass: &Pass, id: &ResourceId) -> Result<bool, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_public_access_block()
        .bucket(&id.name)
        .send();
    let answer = pass
        .call("s3", "GetPublicAccessBlock", &id.region, get)
        .await;
    let block = match answer {
        Err(failure) if failure.code == "NoSuchPublicAccessBlockConfiguration" => return Ok(false),
        answer => answer?.public_access_block_configuration,
    };
    Ok(block.is_some_and(|block| {
        let all = [
            block.block_public_acls,
            block.block_public_policy,
            block.ignore_public_acls,
            block.restrict_public_buckets,
        ];
        all.into_iter().all(Option::unwrap_or_default)
    }))
}

/// Puts all four public access blocks on, or off.
pub async fn put_public_access_block(
    pass: &Pass,
    id: &ResourceId,
    on: bool,
) -> Result<(), Failure> {
    let block = types::PublicAccessBlockConfiguration::builder()
        .block_public_acls(on)
        .block_public_policy(on)
        .ignore_public_acls(on)
        .restrict_public_buckets(on)
        .build();
    let put = pass
        .clients(&id.region)
        .s3
        .put_public_access_block()
        .bucket(&id.name)
        .public_access_block_configuration(block)
        .send();
    pass.call("s3", "PutPublicAccessBlock", &id.region, put)
        .await
        .map(drop)
}

/// The ownership setting; empty where there is none, as with buckets from before 2023.
pub async fn object_ownership(pass: &Pass, id: &ResourceId) -> Result<String, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_ownership_controls()
        .bucket(&id.name)
        .send();
    let answer = pass
        .call("s3", "GetBucketOwnershipControls", &id.region, get)
        .await;
    let controls = match answer {
        Err(failure) if failure.code == "OwnershipControlsNotFoundError" => {
            return Ok(String::new());
        }
        answer => answer?.ownership_controls,
    };
    Ok(controls
        .and_then(|controls| controls.rules.into_iter().next())
        .map(|rule| rule.object_ownership.as_str().to_owned())
        .unwrap_or_default())
}

/// Sets the ownership setting.
pub async fn put_object_ownership(
    pass: &Pass,
    id: &ResourceId,
    ownership: &str,
) -> Result<(), Failure> {
    let rule = types::OwnershipControlsRule::builder()
        .object_ownership(ownership.into())
        .build()
        .expect(COMPLETE);
    let controls = types::OwnershipControls::builder()
        .rules(rule)
        .build()
        .expect(COMPLETE);
    let put = pass
        .clients(&id.region)
        .s3
        .put_bucket_ownership_controls()
        .bucket(&id.name)
        .ownership_controls(controls)
        .send();
    pass.call("s3", "PutBucketOwnershipControls", &id.region, put)
        .await
        .map(drop)
}

/// The default encryption's algorithm.
pub async fn encryption(pass: &Pass, id: &ResourceId) -> Result<String, Failure> {
    Ok(encryption_rule(pass, id)
        .await?
        .and_then(|rule| rule.apply_server_side_encryption_by_default)
        .map(|default| default.sse_algorithm.as_str().to_owned())
        .unwrap_or_default())
}

/// Sets the default encryption's algorithm; what the rule says beside (which kinds of encryption are refused) stays.
pub async fn put_encryption(pass: &Pass, id: &ResourceId, algorithm: &str) -> Result<(), Failure> {
    let default = types::ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm.into())
        .build()
        .expect(COMPLETE);
    let blocked = encryption_rule(pass, id)
        .await?
        .and_then(|rule| rule.blocked_encryption_types);
    let rule = types::ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .set_blocked_encryption_types(blocked)
        .build();
    let configuration = types::ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .expect(COMPLETE);
    let put = pass
        .clients(&id.region)
        .s3
        .put_bucket_encryption()
        .bucket(&id.name)
        .server_side_encryption_configuration(configuration)
        .send();
    pass.call("s3", "PutBucketEncryption", &id.region, put)
        .await
        .map(drop)
}

async fn encryption_rule(
    pass: &Pass,
    id: &ResourceId,
) -> Result<Option<types::ServerSideEncryptionRule>, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_encryption()
        .bucket(&id.name)
        .send();
    let answer = pass
        .call("s3", "GetBucketEncryption", &id.region, get)
        .await;
    let configuration = match answer {
        Err(failure) if failure.code == "ServerSideEncryptionConfigurationNotFoundError" => None,
        answer => answer?.server_side_encryption_configuration,
    };
    Ok(configuration.and_then(|configuration| configuration.rules.into_iter().next()))
}

/// What our rule says; all of it absent if there is none, or if somebody made another of it.
pub async fn lifecycle(pass: &Pass, id: &ResourceId) -> Result<Lifecycle, Failure> {
    let (rules, _) = lifecycle_rules(pass, id).await?;
    let mut lifecycle = rules.iter().find_map(parse_rule).unwrap_or_default();
    lifecycle.heartbeat_days = rules.iter().find_map(parse_heartbeat_rule);
    Ok(lifecycle)
}

/// Puts our rule beside the others', or takes it away if it would say nothing. A bucket just made has no others.
pub async fn put_lifecycle(
    pass: &Pass,
    id: &ResourceId,
    lifecycle: &Lifecycle,
    is_new: bool,
) -> Result<(), Failure> {
    let s3 = &pass.clients(&id.region).s3;
    let (mut rules, smallest) = if is_new {
        (Vec::new(), None)
    } else {
        lifecycle_rules(pass, id).await?
    };
    rules.retain(|rule| rule.id() != Some(RULE) && rule.id() != Some(HEARTBEAT_RULE));
    rules.extend(rule(lifecycle));
    rules.extend(lifecycle.heartbeat_days.map(heartbeat_rule));
    if rules.is_empty() {
        let delete = s3.delete_bucket_lifecycle().bucket(&id.name).send();
        return pass
            .call("s3", "DeleteBucketLifecycle", &id.region, delete)
            .await
            .map(drop);
    }
    let configuration = types::BucketLifecycleConfiguration::builder()
        .set_rules(Some(rules))
        .build()
        .expect(COMPLETE);
    let put = s3
        .put_bucket_lifecycle_configuration()
        .bucket(&id.name)
        // It belongs to others' transitions, and would fall back to its default.
        .set_transition_default_minimum_object_size(smallest)
        .lifecycle_configuration(configuration)
        .send();
    pass.call("s3", "PutBucketLifecycleConfiguration", &id.region, put)
        .await
        .map(drop)
}

type Rules = (
    Vec<types::LifecycleRule>,
    Option<types::TransitionDefaultMinimumObjectSize>,
);

async fn lifecycle_rules(pass: &Pass, id: &ResourceId) -> Result<Rules, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_lifecycle_configuration()
        .bucket(&id.name)
        .send();
    match pass
        .call("s3", "GetBucketLifecycleConfiguration", &id.region, get)
        .await
    {
        Ok(answer) => Ok((
            answer.rules.unwrap_or_default(),
            answer.transition_default_minimum_object_size,
        )),
        Err(failure) if failure.code == "NoSuchLifecycleConfiguration" => Ok((Vec::new(), None)),
        Err(failure) => Err(failure),
    }
}

/// Our rule; none if it would say nothing, which S3 refuses.
/// Every heartbeat makes a version.
fn heartbeat_rule(days: i32) -> types::LifecycleRule {
    let expire = types::NoncurrentVersionExpiration::builder().noncurrent_days(days);
    let only = types::LifecycleRuleFilter::builder().prefix(HEARTBEAT_OBJECT);
    types::LifecycleRule::builder()
        .id(HEARTBEAT_RULE)
        .status(types::ExpirationStatus::Enabled)
        .filter(only.build())
        .noncurrent_version_expiration(expire.build())
        .build()
        .expect(COMPLETE)
}

/// The days of [`heartbeat_rule`], of no rule that says anything else.
fn parse_heartbeat_rule(found: &types::LifecycleRule) -> Option<i32> {
    let days = found.noncurrent_version_expiration()?.noncurrent_days()?;
    (*found == heartbeat_rule(days)).then_some(days)
}

fn rule(lifecycle: &Lifecycle) -> Option<types::LifecycleRule> {
    let abort = (lifecycle.abort_multipart_days > 0).then(|| {
        types::AbortIncompleteMultipartUpload::builder()
            .days_after_initiation(lifecycle.abort_multipart_days)
            .build()
    });
    let expire = lifecycle.noncurrent_days.map(|days| {
        types::NoncurrentVersionExpiration::builder()
            .noncurrent_days(days)
            .set_newer_noncurrent_versions(lifecycle.noncurrent_versions_kept)
            .build()
    });
    if abort.is_none() && expire.is_none() {
        return None;
    }
    // An empty prefix is the form of "all objects" that every version of the API takes.
    let all = types::LifecycleRuleFilter::builder().prefix("").build();
    let rule = types::LifecycleRule::builder()
        .id(RULE)
        .status(types::ExpirationStatus::Enabled)
        .filter(all)
        .set_abort_incomplete_multipart_upload(abort)
        .set_noncurrent_version_expiration(expire)
        .build()
        .expect(COMPLETE);
    Some(rule)
}

/// What a rule says if it is ours, and says nothing that we would not: a disabled or narrowed one is none.
fn parse_rule(found: &types::LifecycleRule) -> Option<Lifecycle> {
    let expire = found.noncurrent_version_expiration.as_ref();
    let lifecycle = Lifecycle {
        noncurrent_versions_kept: expire.and_then(|expire| expire.newer_noncurrent_versions),
        noncurrent_days: expire.and_then(|expire| expire.noncurrent_days),
        abort_multipart_days: found
            .abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|abort| abort.days_after_initiation)
            .unwrap_or_default(),
        heartbeat_days: None,
    };
    let mut normal = found.clone();
    // "All objects" comes back with an empty prefix, or with an empty filter.
    let narrow = normal.filter.take().is_some_and(|filter| {
        let narrowed = filter.prefix.as_deref().unwrap_or_default();
        !narrowed.is_empty()
            || filter.tag.is_some()
            || filter.object_size_greater_than.is_some()
            || filter.object_size_less_than.is_some()
            || filter.and.is_some()
    });
    normal.filter = rule(&lifecycle)?.filter;
    normal.transitions.take_if(|list| list.is_empty());
    normal
        .noncurrent_version_transitions
        .take_if(|list| list.is_empty());
    (!narrow && Some(normal) == rule(&lifecycle)).then_some(lifecycle)
}
