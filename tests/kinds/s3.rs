//! Buckets and what is in them.

use multiregion::model::{DataPolicy, Deleted, FailureKind, Observed, Owner, ResourceId};
use multiregion::resources::s3::WRITTEN_BY;
use multiregion::resources::s3_bucket;

use crate::support::{Account, DR, PRIMARY, Subject, tags, value};

fn bucket_id(account: &Account, region: &str) -> ResourceId {
    ResourceId::new("s3_bucket", region, format!("shop-static-{}", account.id))
}

fn bucket() -> s3_bucket::Config {
    s3_bucket::Config {
        versioning: true,
        encryption: "AES256".into(),
        object_ownership: "BucketOwnerEnforced".into(),
        public_access_blocked: true,
        lifecycle: s3_bucket::Lifecycle {
            noncurrent_versions_kept: Some(20),
            noncurrent_days: Some(1),
            abort_multipart_days: 7,
        },
        tags: tags(),
    }
}

async fn put(account: &Account, id: &ResourceId, key: &str, ours: bool) {
    let put = account
        .clients(&id.region)
        .s3
        .put_object()
        .bucket(&id.name)
        .key(key)
        .body(b"x".to_vec().into());
    let put = if ours {
        put.metadata(WRITTEN_BY, "test")
    } else {
        put
    };
    put.send().await.expect("an object can be put");
}

#[tokio::test]
async fn a_bucket_comes_and_goes() {
    let account = Account::new().await;
    for region in [PRIMARY, DR] {
        let subject = Subject::new(&account, bucket_id(&account, region));
        let wanted = bucket();
        let live = subject.create(&wanted).await;
        let name = &subject.id.name;
        assert_eq!(live.outputs["arn"], format!("arn:aws:s3:::{name}"));
        assert_eq!(
            live.outputs["regional_domain_name"],
            format!("{name}.s3.{region}.amazonaws.com")
        );
        subject.delete(&wanted).await;
    }
}

#[tokio::test]
async fn each_facet_of_a_bucket_comes_back_to_what_is_wanted() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let created = s3_bucket::Config {
        versioning: false,
        public_access_blocked: false,
        lifecycle: s3_bucket::Lifecycle::default(),
        object_ownership: "ObjectWriter".into(),
        encryption: "aws:kms".into(),
        tags: super::support::owner("shop").tags(),
    };
    subject.create(&created).await;
    let changes: [fn(&mut s3_bucket::Config); 8] = [
        |config| config.versioning = true,
        |config| config.public_access_blocked = true,
        |config| config.lifecycle = bucket().lifecycle,
        |config| config.lifecycle.noncurrent_days = Some(3),
        |config| config.lifecycle = s3_bucket::Lifecycle::default(),
        |config| config.object_ownership = "BucketOwnerEnforced".into(),
        |config| config.encryption = "AES256".into(),
        |config| config.tags = tags(),
    ];
    for change in changes {
        let mut wanted: s3_bucket::Config =
            serde_json::from_value(subject.live(&created).await.config).expect("its own config");
        change(&mut wanted);
        subject.update(&wanted).await;
    }
    // Others' tags stay.
    let mut fewer = bucket();
    fewer.tags = super::support::owner("shop").tags();
    fewer.tags.insert("stage".into(), "test".into());
    let live = subject.update(&fewer).await;
    assert_eq!(live.config["tags"]["team"], "web");
}

#[tokio::test]
async fn others_lifecycle_rules_stay() {
    use aws_sdk_s3::types;
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let wanted = bucket();
    subject.create(&wanted).await;
    let s3 = &account.clients(DR).s3;
    let theirs = types::LifecycleRule::builder()
        .id("theirs")
        .status(types::ExpirationStatus::Enabled)
        .filter(types::LifecycleRuleFilter::builder().prefix("tmp/").build())
        .expiration(types::LifecycleExpiration::builder().days(3).build())
        .build()
        .expect("complete");
    let configuration = types::BucketLifecycleConfiguration::builder()
        .rules(theirs.clone())
        .build()
        .expect("complete");
    s3.put_bucket_lifecycle_configuration()
        .bucket(&subject.id.name)
        .lifecycle_configuration(configuration)
        .send()
        .await
        .expect("a rule can be put");
    subject.update(&wanted).await;
    let rules = s3
        .get_bucket_lifecycle_configuration()
        .bucket(&subject.id.name)
        .send()
        .await
        .expect("there are rules");
    assert!(rules.rules().contains(&theirs));
    assert_eq!(rules.rules().len(), 2);
}

#[tokio::test]
async fn whose_a_bucket_is_is_seen() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let wanted = bucket();
    subject.create(&wanted).await;
    let owner_seen = async |account: &Account, region: &str, app: &str| {
        let mut id = subject.id.clone();
        id.region = region.into();
        let other = Subject::new(account, id);
        let pass = account.pass_of(app);
        match other.observe_in(&pass, Some(value(&wanted))).await {
            Observed::Present(live) => live.owner,
            other => panic!("it is there: {other:?}"),
        }
    };
    assert_eq!(owner_seen(&account, DR, "shop").await, Owner::Ours);
    let other = |owner: Owner, part: &str| match owner {
        Owner::Other(text) => assert!(text.contains(part), "{text}"),
        owner => panic!("{owner:?}"),
    };
    other(owner_seen(&account, DR, "blog").await, "web/shop");
    other(
        owner_seen(&account, PRIMARY, "shop").await,
        "another region",
    );
    let stranger = Account::new().await;
    other(
        owner_seen(&stranger, DR, "shop").await,
        "another AWS account",
    );
    let failure = Subject::new(&stranger, subject.id.clone())
        .try_create(&wanted)
        .await
        .expect_err("the name is taken");
    assert_eq!(failure.kind, FailureKind::Foreign);
    let failure = subject.try_create(&wanted).await.expect_err("it is there");
    assert_eq!(failure.kind, FailureKind::Conflict);
}

#[tokio::test]
async fn a_bucket_of_nobodys_is_nobodys() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, PRIMARY));
    account
        .clients(PRIMARY)
        .s3
        .create_bucket()
        .bucket(&subject.id.name)
        .send()
        .await
        .expect("a bucket can be made");
    assert_eq!(subject.live(&bucket()).await.owner, Owner::Nobody);
    subject.update(&bucket()).await;
}

#[tokio::test]
async fn a_bucket_goes_with_what_the_operator_put_and_stays_with_what_others_did() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let wanted = bucket();
    subject.create(&wanted).await;
    for _ in 0..3 {
        put(&account, &subject.id, "lambda/function.zip", true).await;
    }
    put(&account, &subject.id, "index.html", false).await;
    let s3 = &account.clients(DR).s3;
    let deletion = s3.delete_object().bucket(&subject.id.name);
    deletion
        .key("index.html")
        .send()
        .await
        .expect("a marker can be set");
    let kept = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    let versions = s3.list_object_versions().bucket(&subject.id.name);
    let versions = versions.send().await.expect("a list");
    assert_eq!(versions.versions().len(), 4, "nothing was deleted");
    assert_eq!(versions.delete_markers().len(), 1);

    let theirs = versions
        .versions()
        .iter()
        .find(|version| version.key() == Some("index.html"))
        .and_then(|version| version.version_id())
        .expect("it is there");
    let deletion = s3.delete_object().bucket(&subject.id.name);
    deletion
        .key("index.html")
        .version_id(theirs)
        .send()
        .await
        .expect("a version can be deleted");
    let gone = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert_eq!(gone, Ok(Deleted::Gone));
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
}

#[tokio::test]
async fn under_delete_a_bucket_goes_with_all_that_is_in_it() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let wanted = bucket();
    subject.create(&wanted).await;
    for number in 0..30 {
        put(
            &account,
            &subject.id,
            &format!("photo {number} & more.jpg"),
            false,
        )
        .await;
    }
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn a_quick_pass_leaves_facets_out() {
    let account = Account::new().await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    let wanted = bucket();
    subject.create(&wanted).await;
    let pass = account.quick_pass();
    let Observed::Present(live) = subject.observe_in(&pass, Some(value(&wanted))).await else {
        panic!("it is there");
    };
    assert_eq!(super::support::differences(&wanted, &live), []);
    assert_eq!(live.owner, Owner::Ours);
    let unread: Vec<&str> = live.unread.iter().map(String::as_str).collect();
    assert_eq!(unread, ["encryption", "lifecycle", "object_ownership"]);
}
