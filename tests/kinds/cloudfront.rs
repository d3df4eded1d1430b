//! CloudFront: what apps share, the access identity, the distribution.

mod distribution;
mod writer;

use std::collections::BTreeSet;

use multiregion::model::{DataPolicy, Deleted, Observed, Owner, ResourceId};
use multiregion::resources::cloudfront::SHARED;
use multiregion::resources::{
    cloudfront_cache_policy as cache_policy, cloudfront_origin_access_control as access_control,
    cloudfront_origin_access_identity as access_identity,
    cloudfront_origin_request_policy as origin_request_policy,
};
use strict_aws::{Fault, FaultKind, Service};

use crate::support::{Account, PRIMARY, Subject};

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn cache_policy_id() -> ResourceId {
    ResourceId::global("cloudfront_cache_policy", "multiregion-cache-0123456789ab")
}

fn cache_policy() -> cache_policy::Config {
    cache_policy::Config {
        default_ttl: 60,
        max_ttl: 86400,
        min_ttl: 0,
        cookies: BTreeSet::new(),
        headers: BTreeSet::new(),
        query_strings: "all".into(),
        encodings: names(&["br", "gzip"]),
    }
}

fn origin_request_policy_id() -> ResourceId {
    ResourceId::global(
        "cloudfront_origin_request_policy",
        "multiregion-origin-request-0123456789ab",
    )
}

fn origin_request_policy() -> origin_request_policy::Config {
    origin_request_policy::Config {
        cookies: BTreeSet::new(),
        headers: BTreeSet::new(),
        query_strings: "all".into(),
    }
}

fn access_control_id(origin_type: &str) -> ResourceId {
    ResourceId::global(
        "cloudfront_origin_access_control",
        format!("multiregion-{origin_type}"),
    )
}

fn access_control(origin_type: &str) -> access_control::Config {
    access_control::Config {
        origin_type: origin_type.into(),
        signing: "always".into(),
    }
}

fn access_identity_id() -> ResourceId {
    ResourceId::global("cloudfront_origin_access_identity", "shop")
}

#[tokio::test]
async fn a_cache_policy_comes_back_to_what_is_wanted_and_goes() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let subject = Subject::new(&account, cache_policy_id());
    let mut wanted = cache_policy();
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["id"], live.physical_id);
    let changes: [fn(&mut cache_policy::Config); 8] = [
        |config| config.default_ttl = 30,
        |config| config.max_ttl = 3600,
        |config| config.min_ttl = 1,
        |config| config.cookies = names(&["session", "theme"]),
        |config| config.headers = names(&["Accept-Language", "X-Country"]),
        |config| config.query_strings = "none".into(),
        |config| config.encodings = names(&["gzip"]),
        |config| *config = cache_policy(),
    ];
    for change in changes {
        change(&mut wanted);
        subject.update(&wanted).await;
    }
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn an_origin_request_policy_comes_back_to_what_is_wanted_and_goes() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let subject = Subject::new(&account, origin_request_policy_id());
    let mut wanted = origin_request_policy();
    subject.create(&wanted).await;
    let changes: [fn(&mut origin_request_policy::Config); 4] = [
        |config| config.cookies = names(&["session", "theme"]),
        |config| config.headers = names(&["Accept-Language", "X-Country"]),
        |config| config.query_strings = "none".into(),
        |config| *config = origin_request_policy(),
    ];
    for change in changes {
        change(&mut wanted);
        subject.update(&wanted).await;
    }
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn access_controls_come_back_to_what_is_wanted_and_go() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    for origin_type in ["lambda", "s3"] {
        let subject = Subject::new(&account, access_control_id(origin_type));
        let wanted = access_control(origin_type);
        let never = access_control::Config {
            signing: "never".into(),
            ..wanted.clone()
        };
        subject.create(&never).await;
        subject.update(&wanted).await;
        subject.delete(&wanted).await;
    }
}

#[tokio::test]
async fn what_is_shared_is_found_on_whichever_page_it_is() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    for number in 0..5 {
        let id = ResourceId::global(
            "cloudfront_cache_policy",
            format!("multiregion-cache-{number}"),
        );
        Subject::new(&account, id).create(&cache_policy()).await;
    }
}

#[tokio::test]
async fn a_policy_of_the_name_with_another_comment_is_anothers() {
    let account = Account::new().await;
    let subject = Subject::new(&account, cache_policy_id());
    let live = subject.create(&cache_policy()).await;
    let client = &account.clients(PRIMARY).cloudfront;
    let read = client.get_cache_policy().id(&live.physical_id).send().await;
    let read = read.expect("it is there");
    let mut config = read
        .cache_policy()
        .and_then(|policy| policy.cache_policy_config())
        .cloned()
        .expect("it has a config");
    assert_eq!(config.comment.as_deref(), Some(SHARED));
    config.comment = Some("the web team's".into());
    client
        .update_cache_policy()
        .id(&live.physical_id)
        .if_match(read.e_tag().unwrap_or_default())
        .cache_policy_config(config)
        .send()
        .await
        .expect("it can be changed");
    let Owner::Other(who) = subject.live(&cache_policy()).await.owner else {
        panic!("it is another's");
    };
    assert!(who.contains("the web team's"), "{who}");
    let again = subject.try_create(&cache_policy()).await;
    let code = again.map_err(|failure| failure.code).err();
    assert_eq!(code.as_deref(), Some("CachePolicyAlreadyExists"));
}

#[tokio::test]
async fn an_access_identity_is_found_by_its_comment() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let wanted = access_identity::Config {};
    let subject = Subject::new(&account, access_identity_id());
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["id"], live.physical_id);
    assert!(!live.outputs["canonical_user_id"].is_empty());
    let other = account.pass_of("blog");
    assert_eq!(subject.observe_in(&other, None).await, Observed::Absent);
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_access_identity() {
    let (account, proxy) = Account::strict(|config| {
        let lost = Fault::new(FaultKind::ResetAfter)
            .service(Service::CloudFront)
            .operation("CreateCloudFrontOriginAccessIdentity");
        config.faults.push(lost);
    })
    .await;
    let wanted = access_identity::Config {};
    let subject = Subject::new(&account, access_identity_id());
    let lost = subject.try_create(&wanted).await;
    assert!(lost.is_err(), "{lost:?}");
    let found = subject.live(&wanted).await;
    proxy.configure(|config| config.faults.clear());
    let again = subject
        .try_create(&wanted)
        .await
        .expect("the same is given back");
    assert_eq!(again.physical_id, found.physical_id);
    assert_eq!(
        subject.try_delete(&wanted, DataPolicy::Keep).await,
        Ok(Deleted::Gone)
    );
}
