//! The key value store with the writers of all apps of an account: its control plane.
//!
//! It is made, found and deleted here. What is in it has a kind of its own, `cloudfrontkeyvaluestore_key`, and is moved
//! by [`crate::aws::writer`].

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudfront::types;
use serde::{Deserialize, Serialize};

use super::cloudfront::{SHARED, deleted_unless_in_use, owner_of_shared};
use super::{Action, Hint, Kind, Seen, found, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, Phase, ResourceId};

/// The store with the writers. It holds 5 MB, which is enough for as many distributions as an account may ever have.
pub const WRITERS: &str = "multiregion-writers";

/// `cloudfront_key_value_store`; its name is the store's.
pub struct KeyValueStore;

/// Managed fields of a store: none. Its name is all that is chosen, and its comment says that it is ours.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {}

#[async_trait]
impl Kind for KeyValueStore {
    type Config = Config;

    const NAME: &'static str = "cloudfront_key_value_store";
    const OUTPUTS: &'static [&'static str] = &["arn", "id"];
    const DELETED_AFTER: &'static [&'static str] =
        &["cloudfront_function", "cloudfrontkeyvaluestore_key"];
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["cloudfront:CreateKeyValueStore"]),
        Action::on(
            "arn:aws:cloudfront::{account}:key-value-store/*",
            &[
                "cloudfront:DescribeKeyValueStore",
                "cloudfront:UpdateKeyValueStore",
                "cloudfront:DeleteKeyValueStore",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let store = found(described(pass, &id.name).await)?;
        Ok(store.map(|store| seen(&store)))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        _desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_key_value_store()
            .name(&id.name)
            .comment(SHARED)
            .send();
        let answer = pass
            .call("cloudfront", "CreateKeyValueStore", GLOBAL, create)
            .await;
        pass.changed(&shared::KEY_VALUE_STORE, &id.name);
        let answer = answer?;
        let store = answer
            .key_value_store()
            .ok_or_else(|| incomplete("cloudfront:CreateKeyValueStore", "KeyValueStore"))?;
        Ok(seen(store))
    }

    /// The comment is all that can be changed of a store.
    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let (_, etag) = describe(pass, &id.name).await?;
        let update = pass
            .clients(GLOBAL)
            .cloudfront
            .update_key_value_store()
            .name(&id.name)
            .if_match(etag)
            .comment(SHARED)
            .send();
        let answer = pass
            .call("cloudfront", "UpdateKeyValueStore", GLOBAL, update)
            .await;
        pass.changed(&shared::KEY_VALUE_STORE, &id.name);
        let answer = answer?;
        let store = answer
            .key_value_store()
            .ok_or_else(|| incomplete("cloudfront:UpdateKeyValueStore", "KeyValueStore"))?;
        Ok(seen(store))
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let (_, etag) = describe(pass, &id.name).await?;
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_key_value_store()
            .name(&id.name)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteKeyValueStore", GLOBAL, delete)
            .await;
        pass.changed(&shared::KEY_VALUE_STORE, &id.name);
        deleted_unless_in_use(answer)
    }
}

/// The store of the writers' ARN, for whoever has to find it without what an app remembers.
pub(super) async fn arn(pass: &Pass) -> Result<Option<String>, Failure> {
    let store = found(described(pass, WRITERS).await)?;
    Ok(store.map(|store| store.arn.clone()))
}

/// The store as all apps of the account see it.
async fn described(pass: &Pass, name: &str) -> Result<Arc<types::KeyValueStore>, Failure> {
    let fetch = async { describe(pass, name).await.map(|(store, _)| store) };
    pass.shared(&shared::KEY_VALUE_STORE, name, fetch).await
}

async fn describe(pass: &Pass, name: &str) -> Result<(types::KeyValueStore, String), Failure> {
    const OPERATION: &str = "cloudfront:DescribeKeyValueStore";
    let clients = pass.clients(GLOBAL);
    let describe = clients
        .cloudfront
        .describe_key_value_store()
        .name(name)
        .send();
    let answer = pass
        .call("cloudfront", "DescribeKeyValueStore", GLOBAL, describe)
        .await?;
    let store = answer
        .key_value_store
        .ok_or_else(|| incomplete(OPERATION, "KeyValueStore"))?;
    let etag = answer.e_tag.ok_or_else(|| incomplete(OPERATION, "ETag"))?;
    Ok((store, etag))
}

fn seen(store: &types::KeyValueStore) -> Seen<Config> {
    let mut seen = Seen::ours(Config {}, store.arn()).output("id", store.id());
    seen.owner = owner_of_shared(store.comment());
    match store.status() {
        Some("READY") => seen = seen.output("arn", store.arn()),
        // Functions cannot be associated with it yet, nor does its data plane know it.
        status => seen.phase = Phase::Pending(format!("READY ({})", status.unwrap_or("no status"))),
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Owner;
    use crate::resources::testing::{Answer, Asked, recording};

    const ARN: &str =
        "arn:aws:cloudfront::123456789012:key-value-store/1a2b3c4d-0000-0000-0000-000000000000";

    fn store(status: &str, comment: &str) -> Answer {
        Answer::new(
            200,
            format!(
                "<KeyValueStore xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Name>{WRITERS}</Name>\
                 <Id>1a2b3c4d-0000-0000-0000-000000000000</Id><Comment>{comment}</Comment><ARN>{ARN}</ARN>\
                 <Status>{status}</Status><LastModifiedTime>2026-01-01T00:00:00Z</LastModifiedTime></KeyValueStore>"
            ),
        )
        .header("etag", "ETVPDKIKX0DER")
    }

    fn id() -> ResourceId {
        ResourceId::global(KeyValueStore::NAME, WRITERS)
    }

    async fn observe(answer: Answer) -> Option<Seen<Config>> {
        let (pass, asks) = recording(true, move |_: &Asked| answer.clone());
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = KeyValueStore::observe(&pass, &id(), hint).await;
        assert_eq!(asks.lock().expect("no test panics with it").len(), 1);
        seen.expect("it can be read")
    }

    #[tokio::test]
    async fn nothing_is_built_on_a_store_before_it_is_ready() {
        let seen = observe(store("PROVISIONING", SHARED)).await.expect("there");
        assert_eq!(seen.phase, Phase::Pending("READY (PROVISIONING)".into()));
        assert_eq!(seen.outputs.get("arn"), None);
        let seen = observe(store("READY", SHARED)).await.expect("there");
        assert_eq!(seen.phase, Phase::Ready);
        assert_eq!(seen.outputs["arn"], ARN);
        assert_eq!(seen.owner, Owner::Ours);
    }

    #[tokio::test]
    async fn anothers_store_and_none_are_told_apart() {
        let seen = observe(store("READY", "the web team's")).await;
        assert!(matches!(seen.expect("there").owner, Owner::Other(_)));
        let none = Answer::enveloped_error(404, "EntityNotFound", "There is none.");
        assert_eq!(observe(none).await, None);
    }

    #[tokio::test]
    async fn a_store_that_other_apps_functions_read_stays() {
        let (pass, asks) = recording(true, |asked: &Asked| match asked.method.as_str() {
            "DELETE" => Answer::enveloped_error(
                409,
                "CannotDeleteEntityWhileInUse",
                "The key value store is associated with a function.",
            ),
            _ => store("READY", SHARED),
        });
        let live = Seen::ours(Config {}, ARN);
        let deleted = KeyValueStore::delete(&pass, &id(), live, DataPolicy::Delete).await;
        assert!(matches!(deleted, Ok(Deleted::Retained(_))), "{deleted:?}");
        let asks = asks.lock().expect("no test panics with it");
        assert_eq!(asks[1].header("if-match"), "ETVPDKIKX0DER");
    }
}
