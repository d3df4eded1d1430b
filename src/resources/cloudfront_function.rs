//! The CloudFront Function that sends writes to the writer, shared by content over the account, which has only 100.
//!
//! A function has two stages. What is made or changed is in DEVELOPMENT; edges run what was published to LIVE, and only
//! that can be associated. One that was made and, its maker having died, never published is seen as unpublished.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudfront::primitives::Blob;
use aws_sdk_cloudfront::types::{self, FunctionStage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cloudfront::successor::Asker;
use super::cloudfront::{COMPLETE, SHARED, deleted_unless_in_use, owner_of_shared, successor};
use super::{Action, Hint, Kind, Seen, found, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, Input, ResourceId};

/// `cloudfront_function`; its name is the function's, `multiregion-writer-<hash>`.
pub struct Function;

/// What the function is called, before the hash.
pub const WRITER: &str = "writer";
/// How a function's ARN goes on after the account, if it is one of ours.
const OURS_IN_ARN: &str = ":function/multiregion-writer-";

const WRITER_JS: &str = include_str!("cloudfront_function/writer.js");
/// The line of the code that differs between functions, but for the codes.
const CODES: &str = "const FAILOVER_STATUS_CODES = ";

/// Managed fields of the function. All of it but the codes is constant, and seen to drift all the same.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// HTTP status codes on which a read goes to the other side.
    pub failover_status_codes: BTreeSet<i32>,
    /// SHA-256 of the code in hex.
    pub code_sha256: String,
    /// As in `cloudfront-js-2.0`.
    pub runtime: String,
    /// ARN of the store that it reads the writer from; empty of a function that reads none.
    pub key_value_store_arn: Input,
    /// Whether edges can run it.
    pub published: bool,
}

impl Config {
    /// The function that fails reads over on these codes, and finds the writer in this store.
    pub fn writer(failover_status_codes: BTreeSet<i32>, key_value_store_arn: Input) -> Self {
        Self {
            code_sha256: sha256(code(&failover_status_codes).as_bytes()),
            failover_status_codes,
            runtime: types::FunctionRuntime::CloudfrontJs20.as_str().into(),
            key_value_store_arn,
            published: true,
        }
    }
}

/// Whether a function of this ARN is ours, of whichever content.
pub(super) fn is_ours(arn: &str) -> bool {
    arn.contains(OURS_IN_ARN)
}

fn code(failover_status_codes: &BTreeSet<i32>) -> String {
    let codes = serde_json::json!(failover_status_codes);
    WRITER_JS.replacen(&format!("{CODES}[]"), &format!("{CODES}{codes}"), 1)
}

/// The codes in a function's code; none where it is not ours.
fn codes_in(code: &[u8]) -> BTreeSet<i32> {
    let code = String::from_utf8_lossy(code);
    let mut lines = code.lines().filter_map(|line| line.strip_prefix(CODES));
    let codes = lines.next().unwrap_or_default().trim_end_matches(';');
    serde_json::from_str(codes).unwrap_or_default()
}

fn sha256(code: &[u8]) -> String {
    hex::encode(Sha256::digest(code))
}

#[async_trait]
impl Kind for Function {
    type Config = Config;

    const NAME: &'static str = "cloudfront_function";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:cloudfront::{account}:function/multiregion-*",
        &[
            "cloudfront:CreateFunction",
            "cloudfront:DescribeFunction",
            "cloudfront:GetFunction",
            "cloudfront:UpdateFunction",
            "cloudfront:PublishFunction",
            "cloudfront:DeleteFunction",
        ],
    )];

    /// The published function; where there is none, the one that was not published yet.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let known = hint.known_id.as_deref().and_then(name_in);
        let name = place(pass, id, Asker::of(known, hint.wanted.as_ref())).await?;
        let mut stage = FunctionStage::Live;
        let mut function = found(described(pass, &name, &stage).await)?;
        if function.is_none() {
            stage = FunctionStage::Development;
            function = found(described(pass, &name, &stage).await)?;
        }
        let Some(function) = function else {
            return Ok(None);
        };
        let mut seen = seen(&function, stage == FunctionStage::Live)?;
        // Its name is a hash of the code, so that nobody but a vandal has changed it.
        if pass.every_facet() {
            let code = code_of(pass, &name, stage).await?;
            let code = Blob::as_ref(&code);
            seen.config.failover_status_codes = codes_in(code);
            seen.config.code_sha256 = sha256(code);
        } else {
            seen.unread = BTreeSet::from(["failover_status_codes", "code_sha256"]);
        }
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let name = place(pass, id, Asker::Using(None)).await?;
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_function()
            .name(&name)
            .function_config(write(desired))
            .function_code(Blob::new(code(&desired.failover_status_codes)))
            .send();
        let answer = pass
            .call("cloudfront", "CreateFunction", GLOBAL, create)
            .await;
        forget(pass, &name);
        let answer = answer?;
        let etag = answer
            .e_tag
            .ok_or_else(|| incomplete("cloudfront:CreateFunction", "ETag"))?;
        publish(pass, &name, etag, desired).await
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let name = name_in(&live.physical_id).unwrap_or(&id.name);
        let (_, mut etag) = describe(pass, name, &FunctionStage::Development).await?;
        if changed.iter().any(|field| field != "published") {
            let update = pass
                .clients(GLOBAL)
                .cloudfront
                .update_function()
                .name(name)
                .if_match(etag)
                .function_config(write(desired))
                .function_code(Blob::new(code(&desired.failover_status_codes)))
                .send();
            let answer = pass
                .call("cloudfront", "UpdateFunction", GLOBAL, update)
                .await;
            forget(pass, name);
            answer?;
            // By its model the answer has the new version in a header `ETtag`, which is not to be relied on.
            (_, etag) = describe(pass, name, &FunctionStage::Development).await?;
        }
        publish(pass, name, etag, desired).await
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let name = name_in(&live.physical_id).unwrap_or(&id.name);
        let (_, etag) = describe(pass, name, &FunctionStage::Development).await?;
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_function()
            .name(name)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteFunction", GLOBAL, delete)
            .await;
        forget(pass, name);
        deleted_unless_in_use(answer)
    }
}

/// The name of the one that serves this app.
async fn place(pass: &Pass, id: &ResourceId, asker: Asker<'_>) -> Result<String, Failure> {
    // Whether there is one of a name takes a call for each, which is made for the one in question alone.
    successor::name(pass, &id.name, asker, |name| Some(name.to_owned())).await
}

/// The name in a function's ARN.
pub(super) fn name_in(arn: &str) -> Option<&str> {
    arn.split_once(":function/").map(|(_, name)| name)
}

/// All but what only the code tells.
fn seen(function: &types::FunctionSummary, published: bool) -> Result<Seen<Config>, Failure> {
    const OPERATION: &str = "cloudfront:DescribeFunction";
    let config = function
        .function_config()
        .ok_or_else(|| incomplete(OPERATION, "FunctionConfig"))?;
    let arn = function
        .function_metadata()
        .ok_or_else(|| incomplete(OPERATION, "FunctionMetadata"))?
        .function_arn();
    let stores = config
        .key_value_store_associations()
        .map_or(&[][..], types::KeyValueStoreAssociations::items);
    let stores: Vec<&str> = stores
        .iter()
        .map(|store| store.key_value_store_arn())
        .collect();
    let seen = Config {
        failover_status_codes: BTreeSet::new(),
        code_sha256: String::new(),
        runtime: config.runtime().as_str().into(),
        key_value_store_arn: stores.join(" ").into(),
        published,
    };
    let mut seen = Seen::ours(seen, arn);
    seen.owner = owner_of_shared(config.comment());
    // Of the same ARN is the unpublished one, which no distribution can use.
    Ok(if published {
        seen.output("arn", arn)
    } else {
        seen
    })
}

/// The function as all apps of the account see it.
async fn described(
    pass: &Pass,
    name: &str,
    stage: &FunctionStage,
) -> Result<Arc<types::FunctionSummary>, Failure> {
    let fetch = async {
        let described = describe(pass, name, stage).await;
        described.map(|(function, _)| function)
    };
    let of = in_stage(name, stage);
    pass.shared(&shared::EDGE_FUNCTION, &of, fetch).await
}

/// Its code, likewise.
async fn code_of(pass: &Pass, name: &str, stage: FunctionStage) -> Result<Arc<Blob>, Failure> {
    let of = in_stage(name, &stage);
    let fetch = get(pass, name, stage);
    pass.shared(&shared::EDGE_FUNCTION_CODE, &of, fetch).await
}

fn in_stage(name: &str, stage: &FunctionStage) -> String {
    format!("{name} {}", stage.as_str())
}

/// After a write, of whatever came of it.
fn forget(pass: &Pass, name: &str) {
    for stage in [FunctionStage::Live, FunctionStage::Development] {
        let of = in_stage(name, &stage);
        pass.changed(&shared::EDGE_FUNCTION, &of);
        pass.changed(&shared::EDGE_FUNCTION_CODE, &of);
    }
}

async fn describe(
    pass: &Pass,
    name: &str,
    stage: &FunctionStage,
) -> Result<(types::FunctionSummary, String), Failure> {
    const OPERATION: &str = "cloudfront:DescribeFunction";
    let clients = pass.clients(GLOBAL);
    let describe = clients
        .cloudfront
        .describe_function()
        .name(name)
        .stage(stage.clone())
        .send();
    let answer = pass
        .call("cloudfront", "DescribeFunction", GLOBAL, describe)
        .await?;
    let function = answer
        .function_summary
        .ok_or_else(|| incomplete(OPERATION, "FunctionSummary"))?;
    let etag = answer.e_tag.ok_or_else(|| incomplete(OPERATION, "ETag"))?;
    Ok((function, etag))
}

async fn get(pass: &Pass, name: &str, stage: FunctionStage) -> Result<Blob, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients
        .cloudfront
        .get_function()
        .name(name)
        .stage(stage)
        .send();
    let answer = pass.call("cloudfront", "GetFunction", GLOBAL, get).await?;
    answer
        .function_code
        .ok_or_else(|| incomplete("cloudfront:GetFunction", "FunctionCode"))
}

/// Copies what DEVELOPMENT has at this version to LIVE.
async fn publish(
    pass: &Pass,
    name: &str,
    etag: String,
    desired: &Config,
) -> Result<Seen<Config>, Failure> {
    let publish = pass
        .clients(GLOBAL)
        .cloudfront
        .publish_function()
        .name(name)
        .if_match(etag)
        .send();
    let answer = pass
        .call("cloudfront", "PublishFunction", GLOBAL, publish)
        .await;
    forget(pass, name);
    let answer = answer?;
    let function = answer
        .function_summary()
        .ok_or_else(|| incomplete("cloudfront:PublishFunction", "FunctionSummary"))?;
    let mut seen = seen(function, true)?;
    seen.config = desired.clone();
    Ok(seen)
}

fn write(desired: &Config) -> types::FunctionConfig {
    let store = types::KeyValueStoreAssociation::builder()
        .key_value_store_arn(desired.key_value_store_arn.as_str())
        .build()
        .expect(COMPLETE);
    let stores = types::KeyValueStoreAssociations::builder()
        .quantity(1)
        .items(store)
        .build()
        .expect(COMPLETE);
    types::FunctionConfig::builder()
        .comment(SHARED)
        .runtime(desired.runtime.as_str().into())
        .key_value_store_associations(stores)
        .build()
        .expect(COMPLETE)
}

#[cfg(test)]
mod tests;
