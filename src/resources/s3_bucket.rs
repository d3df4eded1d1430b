//! A bucket with versioning, encryption, ownership, public access block, lifecycle and tags.

mod facets;

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_s3::types;
use serde::{Deserialize, Serialize};

use super::s3::{Emptied, empty};
use super::{Action, Hint, Kind, Seen, Tags, s3_bucket_policy};
use crate::aws::{Pass, US_EAST_1};
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Owner, Phase, ResourceId};

/// `s3_bucket`; its name is the bucket's.
pub struct Bucket;

/// Managed fields of a bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Whether versions are kept. Off is never written: AWS can only suspend it.
    pub versioning: bool,
    /// Default encryption, `AES256`.
    pub encryption: String,
    /// `BucketOwnerEnforced`: no ACLs.
    pub object_ownership: String,
    /// All four public access blocks.
    pub public_access_blocked: bool,
    /// Our lifecycle rule; others' rules stay.
    pub lifecycle: Lifecycle,
    /// Owner's and user's tags.
    pub tags: Tags,
}

/// Our lifecycle rule.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Lifecycle {
    /// How many noncurrent versions stay; `None`: all.
    pub noncurrent_versions_kept: Option<i32>,
    /// Days after which a noncurrent version beyond those goes.
    pub noncurrent_days: Option<i32>,
    /// Days after which an unfinished multipart upload is dropped; 0: never.
    pub abort_multipart_days: i32,
    /// Days after which a noncurrent heartbeat goes; `None`: there are none.
    pub heartbeat_days: Option<i32>,
}

#[async_trait]
impl Kind for Bucket {
    type Config = Config;

    const NAME: &'static str = "s3_bucket";
    const READS_LAG: bool = true;
    const OUTPUTS: &'static [&'static str] = &["arn", "regional_domain_name"];
    const DELETED_AFTER: &'static [&'static str] = &[
        "cloudfront_distribution",
        "s3_bucket_policy",
        "s3_bucket_replication",
        "s3_object",
        "lambda_function",
    ];
    const HOLDS_DATA: bool = true;
    const ACTIONS: &'static [Action] = &[
        // Tells a bucket of another account from a missing permission.
        Action::on("*", &["s3:ListAllMyBuckets"]),
        Action::on(
            "arn:aws:s3:::{prefix}",
            &[
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                // CreateBucket with tags wants it beside its own.
                "s3:TagResource",
            ],
        ),
        Action::on(
            "arn:aws:s3:::{prefix}/*",
            &[
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:GetObject",
                "s3:GetObjectVersion",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        if !pass.every_facet()
            && let Some(wanted) = hint.wanted
            && s3_bucket_policy::is_there(pass, id).await?
        {
            return glance(pass, id, wanted).await.map(Some);
        }
        // The tags first: they say at once whether the bucket is there, in this region, and whose it is.
        let tags = match facets::tags(pass, id).await {
            Ok(tags) => tags,
            Err(failure) => return taken_elsewhere(pass, id, failure).await,
        };
        let (versioning, public_access_blocked) = futures::try_join!(
            facets::versioning(pass, id),
            facets::public_access_blocked(pass, id)
        )?;
        let mut seen = seen(
            id,
            Config {
                versioning,
                encryption: String::new(),
                object_ownership: String::new(),
                public_access_blocked,
                lifecycle: Lifecycle::default(),
                tags,
            },
        );
        seen.owner = owner(pass, &seen.config.tags);
        if pass.every_facet() {
            (
                seen.config.encryption,
                seen.config.object_ownership,
                seen.config.lifecycle,
            ) = futures::try_join!(
                facets::encryption(pass, id),
                facets::object_ownership(pass, id),
                facets::lifecycle(pass, id)
            )?;
        } else {
            // It is to go, or there is something odd about it.
            seen.unread = BTreeSet::from(["encryption", "object_ownership", "lifecycle"]);
        }
        Ok(Some(seen))
    }

    /// CreateBucket takes tags and ownership along, so that no bucket of ours is ever nobody's.
    ///
    /// In us-east-1 it succeeds for a bucket that the account has already, and changes nothing of it but its ACL; the
    /// next observation says then whose that is.
    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        // us-east-1 is the one region that must not be named.
        let location = (id.region != US_EAST_1).then(|| id.region.as_str().into());
        let configuration = types::CreateBucketConfiguration::builder()
            .set_location_constraint(location)
            .set_tags(Some(facets::tag_set(&desired.tags)))
            .build();
        let create = pass
            .clients(&id.region)
            .s3
            .create_bucket()
            .bucket(&id.name)
            .object_ownership(desired.object_ownership.as_str().into())
            .create_bucket_configuration(configuration)
            .send();
        pass.call("s3", "CreateBucket", &id.region, create).await?;
        let mut seen = seen(id, new_bucket(desired));
        let lacking = lacking(desired);
        match write(pass, id, &mut seen.config, desired, &lacking, true).await {
            Ok(()) => Ok(seen),
            // Not every part of S3 knows a bucket in its first second. What is missing still is a difference then.
            Err(failure) if failure.kind == FailureKind::NotFound => {
                seen.phase = Phase::Pending("Available (Creating)".into());
                Ok(seen)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let changed = changed.iter().map(String::as_str).collect();
        let mut seen = Seen {
            phase: Phase::Ready,
            ..live
        };
        write(pass, id, &mut seen.config, desired, &changed, false).await?;
        seen.owner = owner(pass, &seen.config.tags);
        Ok(seen)
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        match empty(pass, id, None, data).await? {
            Emptied::Completely => {}
            Emptied::Partly(count) => {
                return Ok(Deleted::Pending(format!(
                    "Emptied ({count} versions deleted, more are left)"
                )));
            }
            Emptied::NotOurs => {
                return Ok(Deleted::Retained(
                    "it holds objects that the operator did not put there".into(),
                ));
            }
        }
        let delete = pass
            .clients(&id.region)
            .s3
            .delete_bucket()
            .bucket(&id.name)
            .send();
        pass.call("s3", "DeleteBucket", &id.region, delete).await?;
        Ok(Deleted::Gone)
    }
}

fn seen(id: &ResourceId, config: Config) -> Seen<Config> {
    let arn = format!("arn:aws:s3:::{}", id.name);
    // With the region in it also in us-east-1: the global name redirects for a bucket's first hours.
    let domain = format!("{}.s3.{}.amazonaws.com", id.name, id.region);
    Seen::ours(config, arn.clone())
        .output("arn", arn)
        .output("regional_domain_name", domain)
}

fn owner(pass: &Pass, tags: &Tags) -> Owner {
    pass.owner_by_tags(
        tags.iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    )
}

/// What [`Bucket::create`]'s first call leaves to be written. AWS blocks public access to new buckets by itself, but the
/// account may have been told otherwise by its organisation: that is written in any case.
fn new_bucket(desired: &Config) -> Config {
    Config {
        versioning: false,
        encryption: "AES256".into(),
        object_ownership: desired.object_ownership.clone(),
        public_access_blocked: false,
        lifecycle: Lifecycle::default(),
        tags: desired.tags.clone(),
    }
}

fn lacking(desired: &Config) -> BTreeSet<&'static str> {
    let new = new_bucket(desired);
    let facets = [
        (
            "public_access_blocked",
            new.public_access_blocked != desired.public_access_blocked,
        ),
        ("versioning", new.versioning != desired.versioning),
        ("encryption", new.encryption != desired.encryption),
        ("lifecycle", new.lifecycle != desired.lifecycle),
    ];
    facets
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
}

/// Writes the facets named in `changed`, one after the other (S3 refuses two at once), and notes each in `live`.
async fn write(
    pass: &Pass,
    id: &ResourceId,
    live: &mut Config,
    desired: &Config,
    changed: &BTreeSet<&str>,
    is_new: bool,
) -> Result<(), Failure> {
    if changed.contains("tags") {
        live.tags = facets::put_tags(pass, id, &live.tags, &desired.tags).await?;
    }
    if changed.contains("public_access_blocked") {
        facets::put_public_access_block(pass, id, desired.public_access_blocked).await?;
        live.public_access_blocked = desired.public_access_blocked;
    }
    if changed.contains("object_ownership") {
        facets::put_object_ownership(pass, id, &desired.object_ownership).await?;
        live.object_ownership.clone_from(&desired.object_ownership);
    }
    if changed.contains("versioning") && desired.versioning {
        facets::enable_versioning(pass, id).await?;
        live.versioning = true;
    }
    if changed.contains("encryption") {
        facets::put_encryption(pass, id, &desired.encryption).await?;
        live.encryption.clone_from(&desired.encryption);
    }
    if changed.contains("lifecycle") {
        facets::put_lifecycle(pass, id, &desired.lifecycle, is_new).await?;
        live.lifecycle = desired.lifecycle.clone();
    }
    Ok(())
}

/// All facets but versioning, which replication needs: nothing serving depends on them.
const SLOW: [&str; 5] = [
    "encryption",
    "lifecycle",
    "object_ownership",
    "public_access_blocked",
    "tags",
];

/// A bucket that is there, with what has to be seen in every pass. Only a bucket with heartbeats is replicated.
async fn glance(pass: &Pass, id: &ResourceId, wanted: Config) -> Result<Seen<Config>, Failure> {
    let is_replicated = wanted.lifecycle.heartbeat_days.is_some();
    let mut seen = seen(id, wanted);
    seen.unread = BTreeSet::from(SLOW);
    if is_replicated {
        seen.config.versioning = facets::versioning(pass, id).await?;
    } else {
        seen.unread.insert("versioning");
    }
    Ok(seen)
}

/// Makes of a failed first read what it says of the bucket.
async fn taken_elsewhere(
    pass: &Pass,
    id: &ResourceId,
    failure: Failure,
) -> Result<Option<Seen<Config>>, Failure> {
    let whose = match failure.code.as_str() {
        "PermanentRedirect" => "a bucket in another region",
        "AuthorizationHeaderMalformed" if failure.message.contains("expecting") => {
            "a bucket in another region"
        }
        _ if failure.kind == FailureKind::Denied && !is_of_account(pass, id, &failure).await? => {
            "another AWS account"
        }
        _ => return Err(failure),
    };
    let unknown = Config {
        versioning: false,
        encryption: String::new(),
        object_ownership: String::new(),
        public_access_blocked: false,
        lifecycle: Lifecycle::default(),
        tags: Tags::new(),
    };
    let mut seen = Seen::ours(unknown, format!("arn:aws:s3:::{}", id.name));
    seen.owner = Owner::Other(format!(
        "{whose} (bucket names are one namespace over all accounts and regions; another resourcePrefix gives other names)"
    ));
    Ok(Some(seen))
}

/// Whether a bucket that may not be read is this account's all the same: only its own list tells, since S3 gives one
/// answer for another's bucket and for a missing permission.
async fn is_of_account(pass: &Pass, id: &ResourceId, denied: &Failure) -> Result<bool, Failure> {
    let mut token = None;
    loop {
        let list = pass
            .clients(&id.region)
            .s3
            .list_buckets()
            .prefix(&id.name)
            .set_continuation_token(token)
            .send();
        // Without this permission either, the denial is the better message.
        let page = pass
            .call("s3", "ListBuckets", &id.region, list)
            .await
            .map_err(|_| denied.clone())?;
        if page
            .buckets()
            .iter()
            .any(|bucket| bucket.name() == Some(&id.name))
        {
            return Ok(true);
        }
        token = page.continuation_token;
        if token.is_none() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests;
