//! Which version of the zip a function runs.
//!
//! AWS reports the hash of the code and nothing of where it came from. So the function carries two tags: the S3 version
//! it was given, and the hash AWS reported of that. As long as the hash is still the reported one, so is the version.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_sdk_lambda::types;

use super::report::report;
use super::{Code, Config, tag};
use crate::aws::Pass;
use crate::model::{Failure, Phase, ResourceId};
use crate::resources::{Seen, Tags};

/// Tag with the S3 version id of the code.
pub const VERSION: &str = "multiregion.dev/code-version";
/// Tag with the hash that AWS reported of that version.
const SHA256: &str = "multiregion.dev/code-sha256";
/// Stands for a version that the tags do not tell. No version id of S3's is spelled so.
const UNRECORDED: &str = "unrecorded";

/// Hashes that AWS reported of zips it was given, by bucket, key and version: facts, since a version never changes.
///
/// AWS is busy after it was given code, and may refuse the tags until it is at rest. By then the hash tells that the
/// code is there already, and only the tags are to be written. Without this (after a restart) the code is given again,
/// which changes nothing.
static HASHES: LazyLock<Mutex<HashMap<[String; 3], String>>> = LazyLock::new(Mutex::default);
/// Far more than an operator meets between two restarts.
const MOST_HASHES: usize = 10_000;

/// The version that the tags tell of code with this hash.
pub(super) fn recorded<'a>(tags: &'a Tags, code_sha256: &str) -> &'a str {
    match tags.get(SHA256) {
        Some(recorded) if recorded == code_sha256 => {
            tags.get(VERSION).map_or(UNRECORDED, String::as_str)
        }
        _ => UNRECORDED,
    }
}

/// Where CreateFunction finds the code.
pub(super) fn location(code: &Code) -> types::FunctionCode {
    types::FunctionCode::builder()
        .s3_bucket(&code.bucket)
        .s3_key(&code.key)
        .s3_object_version(code.version.as_str())
        .build()
}

/// Gives the function its code, unless it is known to run it already and only the tags do not tell.
pub(super) async fn update(
    pass: &Pass,
    id: &ResourceId,
    live: Seen<Config>,
    desired: &Config,
    other_architecture: bool,
) -> Result<Seen<Config>, Failure> {
    let known = known_hash(&desired.code);
    if !other_architecture && known.is_some() && known.as_ref() == live.outputs.get("code_sha256") {
        let mut seen = live;
        seen.config.code = desired.code.clone();
        return record(pass, id, seen).await;
    }
    let update = pass
        .clients(&id.region)
        .lambda
        .update_function_code()
        .function_name(&id.name)
        .architectures(desired.architecture.as_str().into())
        .s3_bucket(&desired.code.bucket)
        .s3_key(&desired.code.key)
        .s3_object_version(desired.code.version.as_str())
        .send();
    let answer = pass
        .call("lambda", "UpdateFunctionCode", &id.region, update)
        .await?;
    let seen = report!(answer)?.seen(desired.code.clone(), live.config.tags);
    record(pass, id, seen).await
}

/// Notes that the code of `seen` has the hash AWS reports of it: in the function's tags too, if AWS is at rest. Until
/// then it is unrecorded, so that nothing is asked of the function that AWS would refuse meanwhile.
pub(super) async fn record(
    pass: &Pass,
    id: &ResourceId,
    mut seen: Seen<Config>,
) -> Result<Seen<Config>, Failure> {
    let Some(hash) = seen.outputs.get("code_sha256").cloned() else {
        return Ok(seen);
    };
    remember(&seen.config.code, &hash);
    if seen.phase != Phase::Ready {
        seen.config.code.version = UNRECORDED.into();
    } else {
        let version = seen.config.code.version.as_str().to_owned();
        let tags = Tags::from([(VERSION.to_owned(), version), (SHA256.to_owned(), hash)]);
        tag(pass, id, &seen.physical_id, &tags).await?;
        seen.config.tags.extend(tags);
    }
    Ok(seen)
}

fn key(code: &Code) -> [String; 3] {
    [
        code.bucket.clone(),
        code.key.clone(),
        code.version.as_str().to_owned(),
    ]
}

fn known_hash(code: &Code) -> Option<String> {
    let hashes = HASHES.lock().unwrap_or_else(PoisonError::into_inner);
    hashes.get(&key(code)).cloned()
}

fn remember(code: &Code, hash: &str) {
    let mut hashes = HASHES.lock().unwrap_or_else(PoisonError::into_inner);
    if hashes.len() >= MOST_HASHES {
        hashes.clear();
    }
    hashes.insert(key(code), hash.to_owned());
}
