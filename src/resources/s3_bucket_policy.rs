//! Our statements in a bucket's policy, by their Sid; others' statements stay. Named as the bucket.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::policy::{Document, Statements};
use super::s3::bucket_of;
use super::{Action, Hint, Kind, Seen};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, ResourceId};

/// `s3_bucket_policy`; its name is the bucket's.
pub struct BucketPolicy;

/// Managed fields of a bucket policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Ours, all with Sids that begin with [`SID_PREFIX`].
    pub statements: Statements,
}

/// What the Sids of our statements begin with.
pub const SID_PREFIX: &str = "MultiRegion";

#[async_trait]
impl Kind for BucketPolicy {
    type Config = Config;

    const NAME: &'static str = "s3_bucket_policy";
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:s3:::{prefix}",
        &[
            "s3:DeleteBucketPolicy",
            "s3:GetBucketPolicy",
            "s3:PutBucketPolicy",
        ],
    )];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        Some(bucket_of(id))
    }

    /// A policy in which nothing is ours is none: creation then adds to it.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let statements = read(pass, id).await?.typed(is_ours);
        Ok((!statements.is_empty()).then(|| seen(id, Config { statements })))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        write(pass, id, &desired.statements).await?;
        Ok(seen(id, desired.clone()))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        write(pass, id, &desired.statements).await?;
        Ok(seen(id, desired.clone()))
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        write(pass, id, &Statements::new()).await?;
        Ok(Deleted::Gone)
    }
}

fn is_ours(sid: &str) -> bool {
    sid.starts_with(SID_PREFIX)
}

fn seen(id: &ResourceId, config: Config) -> Seen<Config> {
    Seen::ours(config, id.name.clone())
}

/// The whole policy; an empty one where there is none.
async fn read(pass: &Pass, id: &ResourceId) -> Result<Document, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_policy()
        .bucket(&id.name)
        .send();
    match pass.call("s3", "GetBucketPolicy", &id.region, get).await {
        Ok(answer) => Document::parse(&answer.policy.unwrap_or_default(), "s3:GetBucketPolicy"),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(Document::default()),
        Err(failure) => Err(failure),
    }
}

/// Puts `statements` in the place of ours. S3 knows the policy as a whole only and has no precondition for it, so it is
/// read right before.
async fn write(pass: &Pass, id: &ResourceId, statements: &Statements) -> Result<(), Failure> {
    let s3 = &pass.clients(&id.region).s3;
    let document = read(pass, id).await?.with(is_ours, statements);
    if document.is_empty() {
        let delete = s3.delete_bucket_policy().bucket(&id.name).send();
        return pass
            .call("s3", "DeleteBucketPolicy", &id.region, delete)
            .await
            .map(drop);
    }
    let put = s3
        .put_bucket_policy()
        .bucket(&id.name)
        .policy(document.to_string())
        .send();
    pass.call("s3", "PutBucketPolicy", &id.region, put)
        .await
        .map(drop)
}
