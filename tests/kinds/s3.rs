//! Buckets and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use multiregion::model::{DataPolicy, Deleted, FailureKind, Input, Observed, Owner, ResourceId};
use multiregion::resources::policy::{Effect, Principal, Statement, Statements};
use multiregion::resources::s3::WRITTEN_BY;
use multiregion::resources::s3_object::Source;
use multiregion::resources::{s3_bucket, s3_bucket_policy, s3_bucket_replication, s3_object};
use serde_json::json;

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
            heartbeat_days: Some(1),
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
    // Beside it two of ours: for all objects, and for the heartbeats.
    assert_eq!(rules.rules().len(), 3);
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
    let slow = [
        "encryption",
        "lifecycle",
        "object_ownership",
        "public_access_blocked",
        "tags",
    ];
    assert!(
        slow.iter().all(|facet| unread.contains(facet)),
        "{unread:?}"
    );
}

/// The buckets in both regions, made; the DR one's id is the second.
async fn both_buckets(account: &Account) -> (ResourceId, ResourceId) {
    let primary = bucket_id(account, PRIMARY);
    let mut dr = bucket_id(account, DR);
    dr.name.push_str("-dr");
    for id in [&primary, &dr] {
        Subject::new(account, id.clone()).create(&bucket()).await;
    }
    (primary, dr)
}

fn statements(bucket: &str) -> Statements {
    let resources = BTreeSet::from([
        Input::from(format!("arn:aws:s3:::{bucket}")),
        Input::from(format!("arn:aws:s3:::{bucket}/*")),
    ]);
    let condition = |operator: &str, key: &str, value: &str| {
        let keys = BTreeMap::from([(key.to_owned(), BTreeSet::from([Input::from(value)]))]);
        BTreeMap::from([(operator.to_owned(), keys)])
    };
    let tls_only = Statement {
        effect: Effect::Deny,
        principal: Some(Principal::Anyone),
        actions: BTreeSet::from(["s3:*".into()]),
        resources: resources.clone(),
        conditions: condition("Bool", "aws:SecureTransport", "false"),
    };
    let arn = "arn:aws:cloudfront::123456789012:distribution/E1";
    let read = Statement {
        effect: Effect::Allow,
        principal: Some(Principal::Service("cloudfront.amazonaws.com".into())),
        actions: BTreeSet::from(["s3:GetObject".into()]),
        resources,
        conditions: condition("StringEquals", "aws:SourceArn", arn),
    };
    Statements::from([
        ("MultiRegionTlsOnly".into(), tls_only),
        ("MultiRegionAccessControl".into(), read),
    ])
}

#[tokio::test]
async fn a_bucket_policy_comes_changes_and_goes() {
    let account = Account::new().await;
    let (bucket, _) = both_buckets(&account).await;
    let id = ResourceId::new("s3_bucket_policy", PRIMARY, &bucket.name);
    let subject = Subject::new(&account, id);
    let mut wanted = s3_bucket_policy::Config {
        statements: statements(&bucket.name),
    };
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    subject.create(&wanted).await;
    let control = wanted
        .statements
        .remove("MultiRegionAccessControl")
        .expect("it is there");
    let arn = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1";
    let identity = Statement {
        principal: Some(Principal::Aws(arn.into())),
        conditions: BTreeMap::new(),
        ..control
    };
    wanted
        .statements
        .insert("MultiRegionAccessIdentity".into(), identity);
    subject.update(&wanted).await;
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn others_statements_stay() {
    let account = Account::new().await;
    let (bucket, _) = both_buckets(&account).await;
    let s3 = &account.clients(PRIMARY).s3;
    let theirs = json!({"Version": "2008-10-17", "Id": "Theirs", "Statement": [{
        "Effect": "Deny", "NotPrincipal": {"AWS": ["b", "a"]}, "Action": "s3:*", "Resource": "*",
    }]})
    .to_string();
    let put = s3.put_bucket_policy().bucket(&bucket.name).policy(&theirs);
    put.send().await.expect("a policy can be put");
    let id = ResourceId::new("s3_bucket_policy", PRIMARY, &bucket.name);
    let subject = Subject::new(&account, id);
    let wanted = s3_bucket_policy::Config {
        statements: statements(&bucket.name),
    };
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    subject.create(&wanted).await;
    subject.delete(&wanted).await;
    let get = s3.get_bucket_policy().bucket(&bucket.name).send().await;
    assert_eq!(get.expect("there is one").policy(), Some(theirs.as_str()));
}

fn role(account: &Account) -> Input {
    format!("arn:aws:iam::{}:role/shop-s3-replication-role", account.id).into()
}

#[tokio::test]
async fn a_replication_comes_changes_and_goes() {
    let account = Account::new().await;
    let (primary, dr) = both_buckets(&account).await;
    let id = ResourceId::new("s3_bucket_replication", PRIMARY, &primary.name);
    let subject = Subject::new(&account, id);
    let mut wanted = s3_bucket_replication::Config {
        role_arn: role(&account),
        destination_arn: format!("arn:aws:s3:::{}", dr.name).into(),
        replication_time_control: false,
    };
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    subject.create(&wanted).await;
    wanted.replication_time_control = true;
    subject.update(&wanted).await;
    wanted.role_arn = format!("arn:aws:iam::{}:role/another", account.id).into();
    subject.update(&wanted).await;
    wanted.replication_time_control = false;
    subject.update(&wanted).await;
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn others_replication_rules_stay_and_an_edited_one_of_ours_is_mended() {
    use aws_sdk_s3::types;
    let account = Account::new().await;
    let (primary, dr) = both_buckets(&account).await;
    let arn = format!("arn:aws:s3:::{}", dr.name);
    let rule = |id: &str, priority: i32, prefix: &str| {
        types::ReplicationRule::builder()
            .id(id)
            .priority(priority)
            .filter(
                types::ReplicationRuleFilter::builder()
                    .prefix(prefix)
                    .build(),
            )
            .status(types::ReplicationRuleStatus::Enabled)
            .delete_marker_replication(
                types::DeleteMarkerReplication::builder()
                    .status(types::DeleteMarkerReplicationStatus::Disabled)
                    .build(),
            )
            .destination(
                types::Destination::builder()
                    .bucket(&arn)
                    .build()
                    .expect("complete"),
            )
            .build()
            .expect("complete")
    };
    let s3 = &account.clients(PRIMARY).s3;
    let put = async |rules: Vec<types::ReplicationRule>| {
        let configuration = types::ReplicationConfiguration::builder()
            .role(role(&account).as_str())
            .set_rules(Some(rules))
            .build()
            .expect("complete");
        let put = s3.put_bucket_replication().bucket(&primary.name);
        let put = put.replication_configuration(configuration).send().await;
        put.expect("rules can be put");
    };
    let rules = async || {
        let get = s3
            .get_bucket_replication()
            .bucket(&primary.name)
            .send()
            .await;
        let configuration = get.expect("there are rules").replication_configuration;
        configuration.expect("there are rules").rules
    };
    let theirs = rule("theirs", 4, "logs/");
    put(vec![theirs.clone()]).await;
    let id = ResourceId::new("s3_bucket_replication", PRIMARY, &primary.name);
    let subject = Subject::new(&account, id);
    let wanted = s3_bucket_replication::Config {
        role_arn: role(&account),
        destination_arn: arn.as_str().into(),
        replication_time_control: false,
    };
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    subject.create(&wanted).await;
    let found = rules().await;
    assert_eq!((found.len(), &found[0]), (2, &theirs));
    assert_eq!(found[1].priority, Some(5));
    put(vec![theirs.clone(), rule("multiregion", 9, "only-this/")]).await;
    subject.update(&wanted).await;
    assert_eq!(rules().await[1].priority, Some(9));
    subject.delete(&wanted).await;
    assert_eq!(rules().await, [theirs]);
}

#[tokio::test]
async fn a_replication_waits_for_versioning() {
    let account = Account::new().await;
    let (primary, _) = both_buckets(&account).await;
    let plain = format!("shop-plain-{}", account.id);
    let create = account.clients(PRIMARY).s3.create_bucket().bucket(&plain);
    create.send().await.expect("a bucket can be made");
    let id = ResourceId::new("s3_bucket_replication", PRIMARY, &primary.name);
    let wanted = s3_bucket_replication::Config {
        role_arn: role(&account),
        destination_arn: format!("arn:aws:s3:::{plain}").into(),
        replication_time_control: false,
    };
    let failure = Subject::new(&account, id).try_create(&wanted).await;
    assert_eq!(
        failure.expect_err("it is refused").kind,
        FailureKind::Conflict
    );
}

const KEY: &str = "lambda/function v1+a.zip";

fn object<'a>(account: &'a Account, bucket: &ResourceId) -> Subject<'a> {
    let name = format!("{}/{KEY}", bucket.name);
    Subject::new(account, ResourceId::new("s3_object", &bucket.region, name))
}

#[tokio::test]
async fn a_placeholder_is_put_once_and_then_left_alone() {
    let account = Account::new().await;
    let (bucket, _) = both_buckets(&account).await;
    let subject = object(&account, &bucket);
    let wanted = s3_object::Config {
        source: Source::PlaceholderIfAbsent,
    };
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    let first = subject.create(&wanted).await;
    put(&account, &bucket, KEY, false).await;
    let second = subject.live(&wanted).await;
    assert_eq!(super::support::differences(&wanted, &second), []);
    assert_ne!(second.outputs["version_id"], first.outputs["version_id"]);
    let late = subject
        .try_create(&wanted)
        .await
        .expect("a lost race is fine");
    assert_eq!(late.outputs, second.outputs, "the user's version stays");
    let kept = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    // A neighbour whose key begins with this one is none of its business.
    put(&account, &bucket, &format!("{KEY}.old"), false).await;
    subject.delete(&wanted).await;
    let s3 = &account.clients(PRIMARY).s3;
    let versions = s3.list_object_versions().bucket(&bucket.name).send().await;
    assert_eq!(versions.expect("a list").versions().len(), 1);
}

#[tokio::test]
async fn a_pinned_version_is_looked_for_and_never_made() {
    let account = Account::new().await;
    let (bucket, _) = both_buckets(&account).await;
    let subject = object(&account, &bucket);
    put(&account, &bucket, KEY, false).await;
    let placeholder = s3_object::Config {
        source: Source::PlaceholderIfAbsent,
    };
    let version = subject.live(&placeholder).await.outputs["version_id"].clone();
    put(&account, &bucket, KEY, false).await;
    let wanted = s3_object::Config {
        source: Source::Pinned(version.clone()),
    };
    let live = subject.live(&wanted).await;
    assert_eq!(super::support::differences(&wanted, &live), []);
    assert_eq!(live.outputs["version_id"], version);
    let missing = s3_object::Config {
        source: Source::Pinned("nope".into()),
    };
    assert_eq!(subject.observe(&missing).await, Observed::Absent);
    let failure = subject
        .try_create(&missing)
        .await
        .expect_err("nothing to put");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.message.contains("has no version nope"), "{failure}");
}

#[tokio::test]
async fn a_copy_follows_the_version_that_is_wanted() {
    let account = Account::new().await;
    let (primary, dr) = both_buckets(&account).await;
    let placeholder = s3_object::Config {
        source: Source::PlaceholderIfAbsent,
    };
    let source = object(&account, &primary);
    let first = source.create(&placeholder).await.outputs["version_id"].clone();
    let copy_of = |version: &str| s3_object::Config {
        source: Source::CopyOf {
            bucket: primary.name.clone(),
            key: KEY.into(),
            version: version.into(),
        },
    };
    let subject = object(&account, &dr);
    assert_eq!(subject.observe(&copy_of(&first)).await, Observed::Absent);
    subject.create(&copy_of(&first)).await;
    put(&account, &primary, KEY, false).await;
    let second = source.live(&placeholder).await.outputs["version_id"].clone();
    subject.update(&copy_of(&second)).await;
    // What somebody put there by hand is no copy.
    put(&account, &dr, KEY, false).await;
    subject.update(&copy_of(&second)).await;
    subject.delete(&copy_of(&second)).await;
}

#[tokio::test]
async fn buckets_live_through_all_that_aws_is_strict_and_slow_with() {
    let (account, _proxy) = Account::strict(|config| {
        config.delays.stale_reads = Duration::from_millis(300);
    })
    .await;
    let primary = Subject::new(&account, bucket_id(&account, PRIMARY));
    let mut dr = Subject::new(&account, bucket_id(&account, DR));
    dr.id.name.push_str("-dr");
    for subject in [&primary, &dr] {
        subject.converge(&bucket()).await;
    }

    let name = &primary.id.name;
    let policy = Subject::new(&account, ResourceId::new("s3_bucket_policy", PRIMARY, name));
    let policies = s3_bucket_policy::Config {
        statements: statements(name),
    };
    policy.converge(&policies).await;

    let roles = &account.clients(PRIMARY).iam;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    let create = roles.create_role().role_name("shop-s3-replication-role");
    let create = create
        .assume_role_policy_document(trust.to_string())
        .send()
        .await;
    let id = ResourceId::new("s3_bucket_replication", PRIMARY, name);
    let replication = Subject::new(&account, id);
    let mut rule = s3_bucket_replication::Config {
        role_arn: create.expect("a role").role.expect("a role").arn.into(),
        destination_arn: format!("arn:aws:s3:::{}", dr.id.name).into(),
        replication_time_control: true,
    };
    replication.converge(&rule).await;
    rule.replication_time_control = false;
    replication.converge(&rule).await;

    for number in 0..7 {
        put(&account, &primary.id, &format!("{number}.jpg"), false).await;
    }
    let kept = primary.try_delete(&bucket(), DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    policy.vanish(&policies).await;
    replication.vanish(&rule).await;
    primary.vanish(&bucket()).await;
    dr.vanish(&bucket()).await;
}

#[tokio::test]
async fn a_policy_waits_for_its_access_identity_to_be_known() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let bucket_subject = Subject::new(&account, bucket_id(&account, PRIMARY));
    bucket_subject.converge(&bucket()).await;
    let name = &bucket_subject.id.name;
    let arn = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity ENONE";
    let mut wanted = s3_bucket_policy::Config {
        statements: statements(name),
    };
    let read = wanted.statements.get_mut("MultiRegionAccessControl");
    read.expect("it is there").principal = Some(Principal::Aws(arn.into()));
    let subject = Subject::new(&account, ResourceId::new("s3_bucket_policy", PRIMARY, name));
    let failure = subject.try_create(&wanted).await.expect_err("not yet");
    assert_eq!(failure.kind, FailureKind::Conflict);
}

#[tokio::test]
async fn a_large_bucket_goes_in_several_steps() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let subject = Subject::new(&account, bucket_id(&account, DR));
    subject.converge(&bucket()).await;
    for number in 0..23 {
        put(&account, &subject.id, &format!("{number}.jpg"), false).await;
    }
    let first = subject.try_delete(&bucket(), DataPolicy::Delete).await;
    assert!(matches!(first, Ok(Deleted::Pending(_))), "{first:?}");
    let second = subject.try_delete(&bucket(), DataPolicy::Delete).await;
    assert_eq!(second, Ok(Deleted::Gone));
}
