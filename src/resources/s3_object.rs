//! The function's zip in a deployment bucket; named `<bucket>/<key>`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::types;
use aws_smithy_types::timeout::TimeoutConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::s3::{Emptied, WRITTEN_BY, bucket_of, empty};
use super::{Action, Hint, Kind, Seen, found};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Input, ResourceId};
use crate::placeholder;

/// `s3_object`; its name is `<bucket>/<key>`.
pub struct Object;

/// Managed fields of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where it comes from.
    pub source: Source,
}

/// Where an object comes from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A placeholder of ours if there is none yet; whatever is there is then the user's, and stays.
    PlaceholderIfAbsent,
    /// A given version, put there by the user.
    Pinned(String),
    /// A copy of a version of another bucket's object.
    CopyOf {
        /// Bucket, in another region.
        bucket: String,
        /// Key.
        key: String,
        /// S3 version id there; empty of an object that is no copy.
        version: Input,
    },
}

/// User metadata of a copy: the version that it is a copy of.
pub const SOURCE_VERSION: &str = "multiregion-source-version";

const ZIP: &str = "application/zip";

/// A zip of 250 MB goes from region to region inside S3, which answers when it has arrived.
const COPY_TIMEOUT: Duration = Duration::from_secs(30);

/// What stays as it is in `x-amz-copy-source`.
const IN_COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

#[async_trait]
impl Kind for Object {
    type Config = Config;

    const NAME: &'static str = "s3_object";
    const OUTPUTS: &'static [&'static str] = &["version_id"];
    const DELETED_AFTER: &'static [&'static str] = &["lambda_function"];
    const HOLDS_DATA: bool = true;
    const ACTIONS: &'static [Action] = &[
        // Without ListBucket, S3 answers 403 for an object that is not there.
        Action::on(
            "arn:aws:s3:::{prefix}",
            &["s3:ListBucket", "s3:ListBucketVersions"],
        ),
        Action::on(
            "arn:aws:s3:::{prefix}/*",
            &[
                "s3:DeleteObjectVersion",
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
            ],
        ),
    ];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        Some(bucket_of(id))
    }

    /// Which version to look at is said by what is wanted: a pinned one, else the current one.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let wanted = hint.wanted.map(|wanted| wanted.source);
        let pinned = match &wanted {
            Some(Source::Pinned(version)) => Some(version.clone()),
            _ => None,
        };
        let Some(object) = head(pass, id, pinned).await? else {
            return Ok(None);
        };
        let source = match wanted {
            Some(Source::CopyOf { bucket, key, .. }) => Source::CopyOf {
                bucket,
                key,
                version: object.source_version.into(),
            },
            Some(pinned @ Source::Pinned(_)) => pinned,
            Some(Source::PlaceholderIfAbsent) | None => Source::PlaceholderIfAbsent,
        };
        Ok(Some(seen(id, source, object.version_id)))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let version_id = match &desired.source {
            Source::PlaceholderIfAbsent => put_placeholder(pass, id).await?,
            Source::CopyOf {
                bucket,
                key,
                version,
            } => copy(pass, id, bucket, key, version.as_str()).await?,
            Source::Pinned(version) => return Err(no_such_version(id, version)),
        };
        Ok(seen(id, desired.source.clone(), version_id))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        Self::create(pass, id, desired).await
    }

    /// The user's versions stay as long as the bucket does, whose deletion decides on them.
    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        Ok(
            match empty(pass, &bucket_of(id), Some(key(id)), data).await? {
                Emptied::Completely => Deleted::Gone,
                Emptied::Partly(count) => {
                    Deleted::Pending(format!("Deleted ({count} versions deleted, more are left)"))
                }
                Emptied::NotOurs => {
                    Deleted::Retained("it has versions that the operator did not put there".into())
                }
            },
        )
    }
}

fn key(id: &ResourceId) -> &str {
    id.name.split_once('/').map_or("", |(_, key)| key)
}

fn seen(id: &ResourceId, source: Source, version_id: String) -> Seen<Config> {
    Seen::ours(Config { source }, format!("arn:aws:s3:::{}", id.name))
        .output("version_id", version_id)
}

/// What HeadObject tells of an object.
struct Head {
    version_id: String,
    source_version: String,
}

async fn head(
    pass: &Pass,
    id: &ResourceId,
    version: Option<String>,
) -> Result<Option<Head>, Failure> {
    let pinned = version.is_some();
    let head = pass
        .clients(&id.region)
        .s3
        .head_object()
        .bucket(bucket_of(id).name)
        .key(key(id))
        .set_version_id(version)
        .send();
    let answer = pass.call("s3", "HeadObject", &id.region, head).await;
    let answer = match answer {
        // A version id that S3 could not have given (400), or that of a delete marker (405), is no version to run; an
        // answer to HEAD has no body to say so.
        Err(failure) if pinned && failure.kind == FailureKind::Invalid => return Ok(None),
        answer => found(answer)?,
    };
    Ok(answer.map(|mut object| Head {
        version_id: version_or_null(object.version_id.take()),
        source_version: object
            .metadata
            .and_then(|mut metadata| metadata.remove(SOURCE_VERSION))
            .unwrap_or_default(),
    }))
}

/// An object put before its bucket kept versions is addressed by the version id `null`.
fn version_or_null(version_id: Option<String>) -> String {
    version_id.unwrap_or_else(|| "null".into())
}

async fn put_placeholder(pass: &Pass, id: &ResourceId) -> Result<String, Failure> {
    let put = pass
        .clients(&id.region)
        .s3
        .put_object()
        .bucket(bucket_of(id).name)
        .key(key(id))
        .if_none_match("*")
        .content_type(ZIP)
        .metadata(WRITTEN_BY, "placeholder")
        .body(placeholder::zip().into())
        .send();
    match pass.call("s3", "PutObject", &id.region, put).await {
        Ok(answer) => Ok(version_or_null(answer.version_id)),
        // The user was first: theirs it is.
        Err(failure) if failure.kind == FailureKind::Conflict => head(pass, id, None)
            .await?
            .map(|object| object.version_id)
            .ok_or(failure),
        Err(failure) => Err(failure),
    }
}

async fn copy(
    pass: &Pass,
    id: &ResourceId,
    source_bucket: &str,
    source_key: &str,
    source_version: &str,
) -> Result<String, Failure> {
    let source = format!(
        "{}?versionId={}",
        utf8_percent_encode(&format!("{source_bucket}/{source_key}"), IN_COPY_SOURCE),
        utf8_percent_encode(source_version, IN_COPY_SOURCE)
    );
    let metadata = HashMap::from([
        (WRITTEN_BY.to_owned(), "copy".to_owned()),
        (SOURCE_VERSION.to_owned(), source_version.to_owned()),
    ]);
    let timeout = TimeoutConfig::builder()
        .operation_timeout(COPY_TIMEOUT)
        .build();
    let copy = pass
        .clients(&id.region)
        .s3
        .copy_object()
        .bucket(bucket_of(id).name)
        .key(key(id))
        .copy_source(source)
        .metadata_directive(types::MetadataDirective::Replace)
        .set_metadata(Some(metadata))
        .content_type(ZIP)
        // To take the source's tags along would want two more permissions.
        .tagging_directive(types::TaggingDirective::Replace)
        .customize()
        .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeout))
        .send();
    let answer = pass.call("s3", "CopyObject", &id.region, copy).await?;
    Ok(version_or_null(answer.version_id))
}

fn no_such_version(id: &ResourceId, version: &str) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        operation: "s3:HeadObject".into(),
        code: "NoSuchVersion".into(),
        message: format!(
            "{} has no version {version}: put it there, or set function.code.version to one that is there",
            id.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, pass_answering, recording};

    fn id() -> ResourceId {
        ResourceId::new("s3_object", "us-west-2", "shop-code/lambda/a b+c.zip")
    }

    fn copy_of(version: &str) -> Source {
        Source::CopyOf {
            bucket: "shop-code-1".into(),
            key: "lambda/a b+c.zip".into(),
            version: version.into(),
        }
    }

    async fn observe(
        answer: Answer,
        source: Option<Source>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let pass = pass_answering(move |_| answer.clone());
        let hint = Hint {
            known_id: None,
            wanted: source.map(|source| Config { source }),
        };
        Object::observe(&pass, &id(), hint).await
    }

    #[tokio::test]
    async fn what_is_seen_is_what_was_asked_for() {
        let object = || {
            Answer::new(200, "")
                .header("x-amz-version-id", "v2")
                .header("x-amz-meta-multiregion-source-version", "v1")
                .header("x-amz-replication-status", "REPLICA")
        };
        for (wanted, expected) in [
            (Some(copy_of("v9")), copy_of("v1")),
            (
                Some(Source::Pinned("v2".into())),
                Source::Pinned("v2".into()),
            ),
            (
                Some(Source::PlaceholderIfAbsent),
                Source::PlaceholderIfAbsent,
            ),
            (None, Source::PlaceholderIfAbsent),
        ] {
            let seen = observe(object(), wanted).await;
            let seen = seen.expect("it answers").expect("an object");
            assert_eq!(seen.config.source, expected);
            assert_eq!(seen.outputs["version_id"], "v2");
        }
        // By hand, before the bucket kept versions.
        let seen = observe(Answer::new(200, ""), Some(copy_of("v9"))).await;
        let seen = seen.expect("it answers").expect("an object");
        assert_eq!(seen.config.source, copy_of(""));
        assert_eq!(seen.outputs["version_id"], "null");
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_code() {
        let pinned = || Some(Source::Pinned("v1".into()));
        for (status, source) in [
            (404, None),
            (404, pinned()),
            (400, pinned()),
            (405, pinned()),
        ] {
            let seen = observe(Answer::new(status, ""), source).await;
            assert_eq!(seen, Ok(None), "{status}");
        }
        for (status, source, kind) in [
            (403, pinned(), FailureKind::Denied),
            (403, None, FailureKind::Denied),
            (503, pinned(), FailureKind::Transient),
        ] {
            let seen = observe(Answer::new(status, ""), source).await;
            assert_eq!(seen.expect_err("it is one").kind, kind, "{status}");
        }
    }

    #[tokio::test]
    async fn a_placeholder_never_overwrites() {
        for status in [412, 409] {
            let (pass, asks) = recording(true, move |asked| match asked.method.as_str() {
                "PUT" => Answer::xml_error(status, "PreconditionFailed", "there is one"),
                _ => Answer::new(200, "").header("x-amz-version-id", "theirs"),
            });
            let wanted = Config {
                source: Source::PlaceholderIfAbsent,
            };
            let seen = Object::create(&pass, &id(), &wanted).await;
            assert_eq!(seen.expect("it is fine").outputs["version_id"], "theirs");
            let asks = asks.lock().expect("no test panics with it");
            assert_eq!(asks[0].header("if-none-match"), "*");
            assert_eq!(
                asks[0].header("x-amz-meta-multiregion-written-by"),
                "placeholder"
            );
        }
    }

    #[tokio::test]
    async fn a_copy_names_its_source_as_s3_wants_it() {
        let (pass, asks) = recording(true, |_| {
            Answer::new(
                200,
                "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>",
            )
            .header("x-amz-version-id", "copied")
        });
        let wanted = Config {
            source: copy_of("v/1"),
        };
        let seen = Object::create(&pass, &id(), &wanted).await.expect("a copy");
        assert_eq!(seen.config, wanted);
        assert_eq!(seen.outputs["version_id"], "copied");
        let asks = asks.lock().expect("no test panics with it");
        let copy = &asks[0];
        assert_eq!(copy.host, "shop-code.s3.us-west-2.amazonaws.com");
        assert_eq!(
            copy.header("x-amz-copy-source"),
            "shop-code-1/lambda/a%20b%2Bc.zip?versionId=v/1"
        );
        assert_eq!(copy.header("x-amz-metadata-directive"), "REPLACE");
        assert_eq!(copy.header("x-amz-meta-multiregion-source-version"), "v/1");
        assert_eq!(copy.header("x-amz-meta-multiregion-written-by"), "copy");
    }

    #[tokio::test]
    async fn a_copy_may_fail_in_a_success() {
        let pass = pass_answering(|_| {
            // S3 sends 200 before it begins, and an error in the body if it does not end well.
            Answer::xml_error(200, "InternalError", "We encountered an internal error.")
        });
        let wanted = Config {
            source: copy_of("v1"),
        };
        let failure = Object::create(&pass, &id(), &wanted).await;
        assert_eq!(failure.expect_err("it failed").kind, FailureKind::Transient);
    }

    #[tokio::test]
    async fn a_pinned_version_that_is_missing_is_said() {
        let pass = pass_answering(|_| (500, ""));
        let wanted = Config {
            source: Source::Pinned("v1".into()),
        };
        let failure = Object::create(&pass, &id(), &wanted).await;
        let failure = failure.expect_err("only the user can put it");
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(
            failure
                .message
                .starts_with("shop-code/lambda/a b+c.zip has no version v1")
        );
    }
}
