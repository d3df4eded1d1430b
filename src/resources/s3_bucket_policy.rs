//! Our statements in a bucket's policy, by their Sid; others' statements stay. Named as the bucket.

use std::collections::BTreeSet;
use std::sync::Arc;

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
    const READS_LAG: bool = true;
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
        let document = documents(pass, id).await?;
        let statements = Option::as_ref(&document)
            .map(|document| document.typed(is_ours))
            .unwrap_or_default();
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

/// Whether the account has this bucket, as far as its policy tells.
///
/// S3 says of a bucket without a policy that it has none, which is an answer of a bucket that is there.
pub(super) async fn is_there(pass: &Pass, bucket: &ResourceId) -> Result<bool, Failure> {
    match documents(pass, bucket).await {
        Ok(_) => Ok(true),
        // A bucket that is not there, in another region or another's: what it is, other reads tell.
        Err(failure)
            if matches!(
                failure.kind,
                FailureKind::Throttled
                    | FailureKind::Transient
                    | FailureKind::Unreachable
                    | FailureKind::NoCredentials
            ) =>
        {
            Err(failure)
        }
        Err(_) => Ok(false),
    }
}

/// The policy, `None` where the bucket has none, read once a pass: for itself, and to see whether the bucket is there.
async fn documents(pass: &Pass, id: &ResourceId) -> Result<Arc<Option<Document>>, Failure> {
    let fetch = async {
        let account = pass.aws().account(pass, &id.region).await?;
        let get = pass
            .clients(&id.region)
            .s3
            .get_bucket_policy()
            .bucket(&id.name)
            // Another account's bucket is none to us, even if its policy lets us in.
            .expected_bucket_owner(account)
            .send();
        match pass.call("s3", "GetBucketPolicy", &id.region, get).await {
            Ok(answer) => {
                let text = answer.policy.unwrap_or_default();
                Document::parse(&text, "s3:GetBucketPolicy").map(Some)
            }
            Err(failure) if failure.code == "NoSuchBucketPolicy" => Ok(None),
            Err(failure) => Err(failure),
        }
    };
    pass.once(&key(id), fetch).await
}

fn key(id: &ResourceId) -> String {
    format!("s3:GetBucketPolicy {} {}", id.region, id.name)
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
    pass.forget(&key(id)).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Input;
    use crate::resources::policy::{Effect, Principal, Statement};
    use crate::resources::testing::{Answer, pass_answering, recording};

    fn id() -> ResourceId {
        ResourceId::new("s3_bucket_policy", "eu-west-1", "shop-static")
    }

    fn identity() -> Config {
        let arn = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1";
        let read = Statement {
            effect: Effect::Allow,
            principal: Some(Principal::Aws(arn.into())),
            actions: BTreeSet::from(["s3:GetObject".into()]),
            resources: BTreeSet::from([Input::from("arn:aws:s3:::shop-static/*")]),
            conditions: Default::default(),
        };
        Config {
            statements: Statements::from([("MultiRegionAccessIdentity".into(), read)]),
        }
    }

    const THEIRS: &str = r#"{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::shop-static"}"#;
    const OURS: &str = r#"{"Sid":"MultiRegionAccessIdentity","Effect":"Allow",
        "Principal":{"AWS":["arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"]},
        "Action":["s3:GetObject"],"Resource":["arn:aws:s3:::shop-static/*"]}"#;

    fn policy(statements: &str) -> String {
        format!(r#"{{"Version":"2008-10-17","Statement":{statements}}}"#)
    }

    async fn observe(body: String) -> Option<Seen<Config>> {
        let pass = pass_answering(move |_| (200, body.clone()));
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = BucketPolicy::observe(&pass, &id(), hint).await;
        seen.expect("it is readable")
    }

    #[tokio::test]
    async fn our_statements_are_found_whatever_the_form_and_the_company() {
        for body in [policy(OURS), policy(&format!("[{THEIRS},{OURS}]"))] {
            let seen = observe(body).await.expect("ours is there");
            assert_eq!(seen.config, identity());
        }
        assert_eq!(observe(policy(THEIRS)).await, None);
    }

    #[tokio::test]
    async fn no_policy_is_none() {
        let pass = pass_answering(|_| Answer::xml_error(404, "NoSuchBucketPolicy", "none"));
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        assert_eq!(BucketPolicy::observe(&pass, &id(), hint).await, Ok(None));
    }

    #[tokio::test]
    async fn the_last_statement_takes_the_policy_along_unless_others_have_one() {
        for (body, method) in [
            (policy(OURS), "DELETE"),
            (policy(&format!("[{THEIRS},{OURS}]")), "PUT"),
        ] {
            let (pass, asks) = recording(true, move |asked| match asked.method.as_str() {
                "GET" => (200, body.clone()),
                _ => (204, String::new()),
            });
            let live = seen(&id(), identity());
            let nothing = Config {
                statements: Statements::new(),
            };
            let changed = BTreeSet::from(["statements".to_owned()]);
            let updated = BucketPolicy::update(&pass, &id(), live, &nothing, &changed).await;
            assert_eq!(updated.expect("it is written").config, nothing);
            let asks = asks.lock().expect("no test panics with it");
            assert_eq!(asks.len(), 2);
            assert_eq!(asks[1].method, method);
            assert_eq!(asks[1].body.contains("s3:ListBucket"), method == "PUT");
        }
    }
}
