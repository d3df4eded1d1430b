//! The write path: store, function, key, and the distribution that asks for them.

use std::time::Duration;

use aws_sdk_cloudfront::types::FunctionStage;
use multiregion::aws::writer::{self, Set};
use multiregion::model::{
    DataPolicy, Deleted, FailureKind, Live, Observed, Phase, ResourceId, Side, Writer,
};
use multiregion::resources::{
    cloudfront_function as function, cloudfront_key_value_store as store,
    cloudfrontkeyvaluestore_key as key,
};
use strict_aws::{Fault, FaultKind, Service};

use super::distribution::World;
use crate::support::{Account, PRIMARY, Subject, value};

fn store_id() -> ResourceId {
    ResourceId::global("cloudfront_key_value_store", store::WRITERS)
}

fn function_id() -> ResourceId {
    ResourceId::global("cloudfront_function", "multiregion-writer-0123456789ab")
}

fn key_id() -> ResourceId {
    ResourceId::global("cloudfrontkeyvaluestore_key", "shop")
}

fn function(store: &Live) -> function::Config {
    let store_arn = store.outputs["arn"].as_str().into();
    function::Config::writer([500, 502, 503, 504].into(), store_arn)
}

fn key(store: &Live, distribution_id: &str) -> key::Config {
    key::Config {
        store_arn: store.outputs["arn"].as_str().into(),
        key: distribution_id.into(),
        initial: Writer::first(Side::Primary).to_string(),
    }
}

async fn store(account: &Account) -> Live {
    Subject::new(account, store_id())
        .create(&store::Config {})
        .await
}

fn lost(operation: &str) -> Fault {
    Fault::new(FaultKind::ResetAfter)
        .service(Service::CloudFront)
        .operation(operation)
}

#[tokio::test]
async fn a_store_is_made_once_waited_for_and_goes() {
    let (account, proxy) = Account::strict(|config| {
        config.faults.push(lost("CreateKeyValueStore"));
        config.delays.key_value_store_provisioning = Duration::from_secs(600);
    })
    .await;
    let subject = Subject::new(&account, store_id());
    let wanted = store::Config {};
    let reply = subject.try_create(&wanted).await;
    assert!(reply.is_err(), "{reply:?}");
    let live = subject.live(&wanted).await;
    assert_eq!(live.phase, Phase::Pending("READY (PROVISIONING)".into()));
    assert_eq!(live.outputs.get("arn"), None);
    proxy.configure(|config| {
        config.faults.clear();
        config.delays.key_value_store_provisioning = Duration::ZERO;
    });
    let again = subject.try_create(&wanted).await;
    let kind = again.map_err(|failure| failure.kind).err();
    assert_eq!(kind, Some(FailureKind::Conflict));
    let live = subject.live(&wanted).await;
    assert!(live.outputs["arn"].starts_with("arn:aws:cloudfront::"));
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn a_function_comes_back_to_what_is_wanted_and_goes_before_its_store() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let store = store(&account).await;
    let subject = Subject::new(&account, function_id());
    let wanted = function(&store);
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["arn"], live.physical_id);
    let fewer = function::Config::writer([503].into(), wanted.key_value_store_arn.clone());
    subject.update(&fewer).await;
    subject.update(&wanted).await;
    let in_use = Subject::new(&account, store_id())
        .try_delete(&store::Config {}, DataPolicy::Delete)
        .await;
    assert!(matches!(in_use, Ok(Deleted::Retained(_))), "{in_use:?}");
    subject.delete(&wanted).await;
    Subject::new(&account, store_id())
        .delete(&store::Config {})
        .await;
}

#[tokio::test]
async fn a_function_whose_maker_died_before_it_was_published_is_published() {
    let (account, proxy) = Account::strict(|_| ()).await;
    let wanted = function(&store(&account).await);
    let subject = Subject::new(&account, function_id());
    for fault in [lost("CreateFunction"), lost("PublishFunction")] {
        proxy.configure(|config| config.faults.push(fault.clone()));
        let reply = subject.try_create(&wanted).await;
        assert!(reply.is_err(), "{reply:?}");
        proxy.configure(|config| config.faults.clear());
        let published = subject.live(&wanted).await.config["published"] == true;
        if !published {
            subject.update(&wanted).await;
        }
        subject.delete(&wanted).await;
    }
}

#[tokio::test]
async fn code_changed_by_hand_is_seen_only_once_it_is_published() {
    let account = Account::new().await;
    let wanted = function(&store(&account).await);
    let subject = Subject::new(&account, function_id());
    let live = subject.create(&wanted).await;
    let client = &account.clients(PRIMARY).cloudfront;
    let name = function_id().name;
    let described = client
        .describe_function()
        .name(&name)
        .stage(FunctionStage::Development)
        .send()
        .await;
    let described = described.expect("it is there");
    let config = described
        .function_summary()
        .and_then(|summary| summary.function_config())
        .cloned();
    let code = "function handler(event) { return event.request; }";
    client
        .update_function()
        .name(&name)
        .if_match(described.e_tag().unwrap_or_default())
        .set_function_config(config)
        .function_code(aws_sdk_cloudfront::primitives::Blob::new(code))
        .send()
        .await
        .expect("it can be changed");
    assert_eq!(subject.live(&wanted).await.config, live.config);
    let described = client
        .describe_function()
        .name(&name)
        .stage(FunctionStage::Development)
        .send()
        .await
        .expect("it is there");
    client
        .publish_function()
        .name(&name)
        .if_match(described.e_tag().unwrap_or_default())
        .send()
        .await
        .expect("it can be published");
    assert_ne!(subject.live(&wanted).await.config, live.config);
    subject.update(&wanted).await;
}

#[tokio::test]
async fn a_key_is_made_once_and_whoever_it_names_later_is_as_wanted() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let store = store(&account).await;
    let wanted = key(&store, "E1");
    let subject = Subject::new(&account, key_id());
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["writer"], "Primary");
    assert_eq!(live.outputs["epoch"], "1");
    let arn = &store.outputs["arn"];
    let first = Writer::first(Side::Primary);
    let pass = account.pass();
    let next = first.moved_to(Side::Dr);
    let set = writer::compare_and_set(&pass, arn, "E1", Some(first), next).await;
    assert_eq!(set, Ok(Set::Done));
    let late = writer::compare_and_set(&pass, arn, "E1", Some(first), next.moved_to(Side::Primary));
    assert_eq!(late.await, Ok(Set::Conflict(Some(next))));
    assert_eq!(writer::read(&pass, arn, "E1").await, Ok(Some(next)));
    // Made again, as after a lost reply, it leaves the writer where it is.
    let again = subject.try_create(&wanted).await.expect("it is there");
    assert_eq!(again.outputs["writer"], "DR");
    assert_eq!(subject.live(&wanted).await.outputs["epoch"], "2");
    // Another app's key in the same store.
    let others = Subject::new(&account, ResourceId::global(&key_id().kind, "blog"));
    others.create(&key(&store, "E2")).await;
    subject.delete(&wanted).await;
    assert_eq!(
        others.live(&key(&store, "E2")).await.outputs["writer"],
        "Primary"
    );
}

#[tokio::test]
async fn a_key_is_found_for_its_removal_by_the_id_it_had() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let store = store(&account).await;
    let subject = Subject::new(&account, key_id());
    let live = subject.create(&key(&store, "E1")).await;
    let kind = multiregion::resources::REGISTRY
        .get("cloudfrontkeyvaluestore_key")
        .expect("the kind is registered");
    let observe = async |known_id: Option<String>| {
        let hint = multiregion::resources::Hint {
            known_id,
            wanted: None,
        };
        kind.observe(&account.pass(), &key_id(), hint).await
    };
    let found = observe(Some(live.physical_id.clone())).await;
    let found = found.live().expect("it is there").clone();
    assert_eq!(found.config["key"], value(&"E1"));
    assert_eq!(
        observe(None).await,
        Observed::Absent,
        "no distribution is ours"
    );
    let deleted = kind
        .delete(&account.pass(), &key_id(), &found, DataPolicy::Keep)
        .await;
    assert_eq!(deleted, Ok(Deleted::Gone));
    assert_eq!(observe(Some(live.physical_id)).await, Observed::Absent);
}

#[tokio::test]
async fn a_function_is_associated_once_it_is_published_and_stays_as_long_as_it_is() {
    let world = World::new().await;
    let store = store(&world.account).await;
    let functions = Subject::new(&world.account, function_id());
    let function = function(&store);
    let subject = world.subject();
    let mut wanted = world.wanted();
    let live = subject.create(&wanted).await;
    let arn = live.outputs["arn"].replace("distribution/", "function/");
    let (beginning, _) = arn.rsplit_once('/').expect("an ARN");
    let arn = format!("{beginning}/{}", function_id().name);
    wanted.routing.behaviors[0].behavior.viewer_request = Some(arn.as_str().into());
    let too_soon = subject.try_update(&live, &wanted).await;
    let code = too_soon.map_err(|failure| failure.code).err();
    assert_eq!(code.as_deref(), Some("InvalidFunctionAssociation"));
    assert_eq!(functions.create(&function).await.outputs["arn"], arn);
    subject.update(&wanted).await;
    let in_use = functions.try_delete(&function, DataPolicy::Delete).await;
    assert!(matches!(in_use, Ok(Deleted::Retained(_))), "{in_use:?}");
    subject.update(&world.wanted()).await;
    functions.delete(&function).await;
}
