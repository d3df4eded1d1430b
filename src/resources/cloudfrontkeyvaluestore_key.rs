//! The writer of an app in the store of the writers: that there is one, not which.
//!
//! The value is put once, before anything reads it, and from then on moved by [`crate::aws::writer`] alone: to bring it
//! back to what it was made with would take the writes from the side that has them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cloudfront_key_value_store::{self, WRITERS};
use super::{Action, Hint, Kind, Seen, cloudfront_distribution};
use crate::aws::{Pass, writer};
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Input, ResourceId, Writer};

/// `cloudfrontkeyvaluestore_key`; its name only tells it from those of other apps.
pub struct Key;

/// Managed fields of a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// ARN of the store.
    pub store_arn: Input,
    /// The key: the distribution's id.
    pub key: Input,
    /// The value that it is made with, as in `Primary:1`; whatever it is later is as wanted.
    pub initial: String,
}

/// Where a key is.
struct Place {
    store_arn: String,
    key: String,
}

#[async_trait]
impl Kind for Key {
    type Config = Config;

    const NAME: &'static str = "cloudfrontkeyvaluestore_key";
    const OUTPUTS: &'static [&'static str] = &["writer", "epoch"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const LOCATED_BY_INPUTS: bool = true;
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:cloudfront::{account}:key-value-store/*",
        &[
            "cloudfront-keyvaluestore:DescribeKeyValueStore",
            "cloudfront-keyvaluestore:GetKey",
            "cloudfront-keyvaluestore:PutKey",
            "cloudfront-keyvaluestore:DeleteKey",
        ],
    )];

    fn parent(_id: &ResourceId) -> Option<ResourceId> {
        Some(ResourceId::global("cloudfront_key_value_store", WRITERS))
    }

    async fn observe(
        pass: &Pass,
        _id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let initial = hint
            .wanted
            .as_ref()
            .map_or_else(String::new, |wanted| wanted.initial.clone());
        for place in places(pass, hint).await? {
            if let Some(writer) = writer::read(pass, &place.store_arn, &place.key).await? {
                return Ok(Some(seen(&place, initial, writer)));
            }
        }
        Ok(None)
    }

    async fn create(
        pass: &Pass,
        _id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let first = desired.initial.parse().map_err(|no_writer| Failure {
            kind: FailureKind::Invalid,
            operation: "cloudfront-keyvaluestore:PutKey".into(),
            code: "NoWriter".into(),
            message: format!("{no_writer}"),
        })?;
        let place = Place::of(desired);
        let writer = writer::put_if_absent(pass, &place.store_arn, &place.key, first).await?;
        Ok(seen(&place, desired.initial.clone(), writer))
    }

    /// A key elsewhere is another key.
    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        Self::create(pass, id, desired).await
    }

    async fn delete(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let place = Place::of(&live.config);
        writer::remove(pass, &place.store_arn, &place.key).await?;
        Ok(Deleted::Gone)
    }
}

impl Place {
    fn of(config: &Config) -> Self {
        Self {
            store_arn: config.store_arn.as_str().to_owned(),
            key: config.key.as_str().to_owned(),
        }
    }

    /// From the physical id it had before.
    fn remembered(physical_id: &str) -> Option<Self> {
        let (store_arn, key) = physical_id.split_once("/keys/")?;
        Some(Self {
            store_arn: store_arn.to_owned(),
            key: key.to_owned(),
        })
    }
}

/// Where to look: by what is wanted, by the id it had before, or, for a removal of which nothing is known, found anew.
async fn places(pass: &Pass, hint: Hint<Config>) -> Result<Vec<Place>, Failure> {
    let known = |input: &Input| matches!(input, Input::Known(_));
    let remembered = hint.known_id.as_deref().and_then(Place::remembered);
    match (hint.wanted, remembered) {
        (Some(wanted), _) if known(&wanted.store_arn) && known(&wanted.key) => {
            Ok(vec![Place::of(&wanted)])
        }
        (_, Some(place)) => Ok(vec![place]),
        (Some(_), None) => Ok(Vec::new()),
        (None, None) => {
            let Some(store_arn) = cloudfront_key_value_store::arn(pass).await? else {
                return Ok(Vec::new());
            };
            let distributions = cloudfront_distribution::ids(pass).await?;
            let place = |key| Place {
                store_arn: store_arn.clone(),
                key,
            };
            Ok(distributions.into_iter().map(place).collect())
        }
    }
}

fn seen(place: &Place, initial: String, writer: Writer) -> Seen<Config> {
    let Place { store_arn, key } = place;
    let config = Config {
        store_arn: store_arn.as_str().into(),
        key: key.as_str().into(),
        initial,
    };
    Seen::ours(config, format!("{store_arn}/keys/{key}"))
        .output("writer", writer.side.to_string())
        .output("epoch", writer.epoch.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, Asked, recording};

    const STORE: &str = "arn:aws:cloudfront::123456789012:key-value-store/1a2b3c4d";

    fn id() -> ResourceId {
        ResourceId::global(Key::NAME, "shop")
    }

    fn wanted() -> Config {
        Config {
            store_arn: STORE.into(),
            key: "E1".into(),
            initial: "Primary:1".into(),
        }
    }

    /// A store with one key, and the app's distribution.
    fn aws(asked: &Asked) -> Answer {
        if asked.path.ends_with("/keys/E1") {
            let body = "{\"Key\":\"E1\",\"Value\":\"DR:7\",\"ItemCount\":1,\"TotalSizeInBytes\":6}";
            return Answer::new(200, body);
        }
        match asked.path.as_str() {
            "/2020-05-31/key-value-store/multiregion-writers" => Answer::new(
                200,
                format!(
                    "<KeyValueStore><Name>multiregion-writers</Name><Id>1a2b3c4d</Id><Comment/><ARN>{STORE}</ARN>\
                     <Status>READY</Status><LastModifiedTime>2026-01-01T00:00:00Z</LastModifiedTime></KeyValueStore>"
                ),
            )
            .header("etag", "E1ETAG"),
            "/2020-05-31/distribution" => Answer::new(
                200,
                "<DistributionList><Marker/><MaxItems>100</MaxItems><IsTruncated>false</IsTruncated><Quantity>0\
                 </Quantity></DistributionList>",
            ),
            _ => Answer::new(404, "{\"Message\":\"no such key\"}")
                .header("x-amzn-errortype", "ResourceNotFoundException"),
        }
    }

    async fn observe(
        known_id: Option<&str>,
        wanted: Option<Config>,
    ) -> (Option<Seen<Config>>, usize) {
        let (pass, asks) = recording(true, aws);
        let hint = Hint {
            known_id: known_id.map(str::to_owned),
            wanted,
        };
        let seen = Key::observe(&pass, &id(), hint).await;
        let asked = asks.lock().expect("no test panics with it").len();
        (seen.expect("it can be read"), asked)
    }

    #[tokio::test]
    async fn whoever_is_the_writer_is_as_wanted() {
        let (seen, asked) = observe(None, Some(wanted())).await;
        let seen = seen.expect("it is there");
        assert_eq!(seen.config, wanted());
        assert_eq!(seen.outputs["writer"], "DR");
        assert_eq!(seen.outputs["epoch"], "7");
        assert_eq!(asked, 1);
        let physical_id = seen.physical_id.clone();
        let (again, _) = observe(Some(&physical_id), None).await;
        assert_eq!(again.expect("it is there").physical_id, physical_id);
    }

    #[tokio::test]
    async fn a_key_whose_place_is_not_known_yet_is_not_there() {
        let elsewhere = ResourceId::global("cloudfront_distribution", "shop");
        let unresolved = Config {
            key: Input::output(&elsewhere, "id"),
            ..wanted()
        };
        assert_eq!(observe(None, Some(unresolved)).await, (None, 0));
        let (none, asked) = observe(None, None).await;
        assert_eq!((none, asked), (None, 2), "a store, and no distribution");
        let other = Config {
            key: "E2".into(),
            ..wanted()
        };
        assert_eq!(observe(None, Some(other)).await.0, None);
    }
}
