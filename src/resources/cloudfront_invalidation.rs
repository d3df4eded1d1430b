//! What the caches have been told to forget: everything, once after each change of the primary function's code.
//!
//! An invalidation is not a thing that stays. What stays is a tag of the function, with the hash of the code that the
//! last one was made for and how many there were; that number makes the reference of the next one. So a reply that was
//! lost, or a restart before the tag was written, repeats the same request, which CloudFront knows; and code that comes
//! back to what it was before is another request.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cloudfront::COMPLETE;
use super::{Action, Hint, Kind, Seen, lambda_function};
use crate::aws::{Pass, US_EAST_1};
use crate::model::{DataPolicy, Deleted, Failure, Input, ResourceId};

/// `cloudfront_invalidation`; its region and name are those of the function whose pages are cached.
pub struct Invalidation;

/// What the caches have to have forgotten.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Whose caches; observed as wanted.
    pub distribution: Input,
    /// ARN of the function, observed as wanted.
    pub function: Input,
    /// Hash of the code by which the pages in the caches were made, or newer.
    pub code_sha256: Input,
}

/// Tag of the function: the hash, and how many invalidations there were.
const TAG: &str = "multiregion.dev/invalidated";
const COUNT: &str = "count";

#[async_trait]
impl Kind for Invalidation {
    type Config = Config;

    const NAME: &'static str = "cloudfront_invalidation";
    const OUTPUTS: &'static [&'static str] = &[COUNT];
    const LOCATED_BY_INPUTS: bool = true;
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "arn:aws:cloudfront::{account}:distribution/*",
            &["cloudfront:CreateInvalidation"],
        ),
        Action::on(
            "arn:aws:lambda:*:{account}:function:{prefix}",
            &[
                "lambda:GetFunction",
                "lambda:ListTags",
                "lambda:TagResource",
            ],
        ),
    ];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        Some(ResourceId::new("lambda_function", &id.region, &id.name))
    }

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        // Nothing is left of one that nobody wants.
        let Some(wanted) = hint.wanted else {
            return Ok(None);
        };
        let Input::Known(_) = &wanted.function else {
            return Ok(None);
        };
        let mut tags = lambda_function::tags(pass, &id.region, &id.name).await?;
        let Some(tag) = tags.remove(TAG) else {
            return Ok(None);
        };
        let (code_sha256, count) = tag.split_once(' ').unwrap_or((&tag, "0"));
        Ok(Some(seen(
            Config {
                code_sha256: code_sha256.into(),
                ..wanted
            },
            id,
            count.parse().unwrap_or_default(),
        )))
    }

    /// Of a new function nothing is in any cache.
    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        note(pass, id, desired, 0).await
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let count = live.outputs.get(COUNT).and_then(|count| count.parse().ok());
        let count = count.unwrap_or(0_u32) + 1;
        if changed.contains("code_sha256") {
            invalidate(pass, desired, count).await?;
        }
        note(pass, id, desired, count).await
    }

    async fn delete(
        _pass: &Pass,
        _id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        Ok(Deleted::Gone)
    }
}

async fn invalidate(pass: &Pass, desired: &Config, count: u32) -> Result<(), Failure> {
    let what = [
        desired.function.as_str(),
        desired.code_sha256.as_str(),
        &count.to_string(),
    ];
    let reference = hex::encode(&Sha256::digest(what.join(" "))[..16]);
    let paths = Paths::builder().quantity(1).items("/*").build();
    let batch = InvalidationBatch::builder()
        .paths(paths.expect(COMPLETE))
        .caller_reference(format!("multiregion-{reference}"))
        .build()
        .expect(COMPLETE);
    let create = pass
        .clients(US_EAST_1)
        .cloudfront
        .create_invalidation()
        .distribution_id(desired.distribution.as_str())
        .invalidation_batch(batch)
        .send();
    pass.call("cloudfront", "CreateInvalidation", US_EAST_1, create)
        .await
        .map(drop)
}

async fn note(
    pass: &Pass,
    id: &ResourceId,
    desired: &Config,
    count: u32,
) -> Result<Seen<Config>, Failure> {
    let tag = pass
        .clients(&id.region)
        .lambda
        .tag_resource()
        .resource(desired.function.as_str())
        .tags(TAG, format!("{} {count}", desired.code_sha256.as_str()))
        .send();
    pass.call("lambda", "TagResource", &id.region, tag).await?;
    Ok(seen(desired.clone(), id, count))
}

fn seen(config: Config, id: &ResourceId, count: u32) -> Seen<Config> {
    Seen::ours(config, id.name.clone()).output(COUNT, count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, recording};

    fn id() -> ResourceId {
        ResourceId::new("cloudfront_invalidation", "us-east-1", "shop-primary")
    }

    fn of(code: &str) -> Config {
        Config {
            distribution: "E1".into(),
            function: "arn:aws:lambda:us-east-1:123456789012:function:shop-primary".into(),
            code_sha256: code.into(),
        }
    }

    const INVALIDATION: &str = "<Invalidation><Id>I1</Id><Status>InProgress</Status>\
        <CreateTime>2026-11-22T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity>\
        <Items><Path>/*</Path></Items></Paths><CallerReference>r</CallerReference></InvalidationBatch></Invalidation>";

    #[tokio::test]
    async fn the_reference_is_the_same_until_it_is_noted_and_another_when_the_code_comes_back() {
        let mut references = Vec::new();
        for (from, count) in [("b=", "3"), ("b=", "3"), ("b=", "5")] {
            let (pass, asks) = recording(true, |asked| match asked.method.as_str() {
                "POST" if asked.path.contains("invalidation") => Answer::new(201, INVALIDATION),
                _ => Answer::new(204, ""),
            });
            let live = seen(of(from), &id(), count.parse().expect("a number"));
            let changed = BTreeSet::from(["code_sha256".to_owned()]);
            let after = Invalidation::update(&pass, &id(), live, &of("a="), &changed).await;
            assert_eq!(after.expect("it is made").config, of("a="));
            let asks = asks.lock().expect("no test panics with it");
            let text = asks[0].body.clone();
            assert!(text.contains("<Path>/*</Path>"), "{text}");
            references.push(text);
        }
        assert_eq!(references[0], references[1]);
        assert_ne!(references[0], references[2]);
    }

    #[tokio::test]
    async fn a_new_function_is_noted_and_nothing_is_invalidated() {
        let (pass, asks) = recording(true, |_| Answer::new(204, ""));
        let made = Invalidation::create(&pass, &id(), &of("a=")).await;
        assert_eq!(made.expect("it is noted").outputs[COUNT], "0");
        assert_eq!(asks.lock().expect("no test panics with it").len(), 1);
    }
}
