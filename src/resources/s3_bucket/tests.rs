use super::*;
use crate::model::Observed;
use crate::resources::REGISTRY;
use crate::resources::testing::{ACCOUNT, Answer, Asked, Asks, owner, pass_answering, recording};

fn id(region: &str) -> ResourceId {
    ResourceId::new("s3_bucket", region, "shop-static-123456789012")
}

fn config() -> Config {
    let mut tags = owner().tags();
    tags.insert("team".into(), "web".into());
    Config {
        versioning: true,
        encryption: "AES256".into(),
        object_ownership: "BucketOwnerEnforced".into(),
        public_access_blocked: true,
        lifecycle: Lifecycle {
            noncurrent_versions_kept: Some(20),
            noncurrent_days: Some(1),
            abort_multipart_days: 7,
            heartbeat_days: None,
        },
        tags,
    }
}

fn tagging() -> String {
    let tags: String = config()
        .tags
        .iter()
        .rev()
        .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
        .collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

const ALL: &str = "<Filter><Prefix/></Filter>";
const ENABLED: &str = "<Status>Enabled</Status>";

fn rule(more: &str) -> String {
    format!(
        "<Rule><ID>multiregion</ID>{more}<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
         <NewerNoncurrentVersions>20</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload></Rule>"
    )
}

/// AWS's answers of a bucket that is as wanted, with what AWS and others add; `rule` is our lifecycle rule.
fn as_wanted(asked: &Asked, rule: &str) -> Answer {
    const THEIRS: &str = "<Rule><ID>theirs</ID><Filter><And><Prefix>a/</Prefix><ObjectSizeGreaterThan>0\
        </ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>";
    let body = match asked {
        asked if asked.has("tagging") => tagging(),
        asked if asked.has("versioning") => {
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>"
                .into()
        }
        asked if asked.has("publicAccessBlock") => {
            "<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>\
             <BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
             <BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>"
                .into()
        }
        asked if asked.has("encryption") => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256\
             </SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>\
             <BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>\
             </Rule></ServerSideEncryptionConfiguration>"
                .into()
        }
        asked if asked.has("ownershipControls") => {
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
                .into()
        }
        asked if asked.has("lifecycle") => {
            format!("<LifecycleConfiguration>{THEIRS}{rule}</LifecycleConfiguration>")
        }
        _ => return Answer::xml_error(501, "NotImplemented", &asked.query),
    };
    Answer::new(200, body).header(
        "x-amz-transition-default-minimum-object-size",
        "varies_by_storage_class",
    )
}

async fn observe(pass: &Pass, region: &str) -> Result<Option<Seen<Config>>, Failure> {
    let hint = Hint {
        known_id: None,
        wanted: Some(config()),
    };
    Bucket::observe(pass, &id(region), hint).await
}

fn asked(asks: &Asks) -> Vec<Asked> {
    asks.lock().expect("no test panics with it").clone()
}

#[tokio::test]
async fn what_aws_adds_and_reorders_is_no_difference() {
    let (pass, asks) = recording(true, |asked| {
        as_wanted(asked, &rule(&format!("{ALL}{ENABLED}")))
    });
    let seen = observe(&pass, "eu-west-1").await;
    let seen = seen.expect("answers").expect("a bucket");
    assert_eq!(seen.config, config());
    assert_eq!(seen.owner, Owner::Ours);
    assert!(seen.unread.is_empty());
    assert_eq!(
        seen.outputs["regional_domain_name"],
        "shop-static-123456789012.s3.eu-west-1.amazonaws.com"
    );
    let asks = asked(&asks);
    assert_eq!(asks.len(), 6);
    // Whoever takes our bucket's name before us may let us in and lend it our tags: it is not ours all the same.
    assert_eq!(asks[0].header("x-amz-expected-bucket-owner"), ACCOUNT);
}

#[tokio::test]
async fn a_quick_look_is_the_policy_and_where_it_is_replicated_the_versioning() {
    let policy = |asked: &Asked| match asked {
        asked if asked.has("policy") => Answer::xml_error(404, "NoSuchBucketPolicy", "none"),
        asked => as_wanted(asked, ""),
    };
    for (heartbeat_days, calls) in [(Some(1), 2), (None, 1)] {
        let (pass, asks) = recording(false, policy);
        let mut wanted = config();
        wanted.lifecycle.heartbeat_days = heartbeat_days;
        let hint = Hint {
            known_id: None,
            wanted: Some(wanted),
        };
        let seen = Bucket::observe(&pass, &id("us-east-1"), hint).await;
        let seen = seen.expect("answers").expect("a bucket");
        let asks = asked(&asks);
        assert_eq!(asks.len(), calls);
        assert_eq!(asks[0].header("x-amz-expected-bucket-owner"), ACCOUNT);
        let slow = BTreeSet::from(SLOW);
        assert_eq!(seen.unread.contains("versioning"), calls == 1);
        assert!(seen.unread.is_superset(&slow));
    }
}

#[tokio::test]
async fn a_bucket_whose_policy_does_not_tell_is_looked_at_as_ever() {
    let (pass, asks) = recording(false, |asked| match asked {
        asked if asked.has("policy") => Answer::xml_error(403, "AccessDenied", "denied"),
        asked => as_wanted(asked, ""),
    });
    let seen = observe(&pass, "us-east-1").await;
    let seen = seen.expect("answers").expect("a bucket");
    assert_eq!(asked(&asks).len(), 4);
    let unread: Vec<&str> = seen.unread.into_iter().collect();
    assert_eq!(unread, ["encryption", "lifecycle", "object_ownership"]);
    let (pass, _) = recording(false, |_| {
        Answer::xml_error(404, "NoSuchBucket", "no such bucket")
    });
    let seen = observe(&pass, "us-east-1").await;
    assert_eq!(
        seen.map_err(|failure| failure.kind),
        Err(FailureKind::NotFound)
    );
}

#[tokio::test]
async fn our_lifecycle_rule_counts_only_as_we_would_write_it() {
    for (more, is_ours) in [
        (format!("{ALL}{ENABLED}"), true),
        (format!("<Filter></Filter>{ENABLED}"), true),
        (format!("<Filter/>{ENABLED}"), true),
        (format!("<Prefix></Prefix>{ENABLED}"), false),
        (
            format!("<Filter><Prefix>logs/</Prefix></Filter>{ENABLED}"),
            false,
        ),
        (format!("{ALL}<Status>Disabled</Status>"), false),
        (
            format!("{ALL}{ENABLED}<Expiration><Days>1</Days></Expiration>"),
            false,
        ),
    ] {
        let text = rule(&more);
        let pass = pass_answering(move |asked| as_wanted(asked, &text));
        let seen = observe(&pass, "eu-west-1").await;
        let lifecycle = seen.expect("answers").expect("a bucket").config.lifecycle;
        let expected = if is_ours {
            config().lifecycle
        } else {
            Lifecycle::default()
        };
        assert_eq!(lifecycle, expected, "{more}");
    }
}

#[tokio::test]
async fn an_old_plain_bucket_has_errors_for_facets() {
    let pass = pass_answering(|asked| match asked {
        asked if asked.has("tagging") => Answer::xml_error(404, "NoSuchTagSet", "no tags"),
        asked if asked.has("versioning") => Answer::new(200, "<VersioningConfiguration/>"),
        asked if asked.has("publicAccessBlock") => {
            Answer::xml_error(404, "NoSuchPublicAccessBlockConfiguration", "none")
        }
        asked if asked.has("encryption") => Answer::xml_error(
            404,
            "ServerSideEncryptionConfigurationNotFoundError",
            "none",
        ),
        asked if asked.has("ownershipControls") => {
            Answer::xml_error(404, "OwnershipControlsNotFoundError", "none")
        }
        _ => Answer::xml_error(404, "NoSuchLifecycleConfiguration", "none"),
    });
    let seen = observe(&pass, "eu-west-1").await;
    let seen = seen.expect("answers").expect("a bucket");
    assert_eq!(seen.owner, Owner::Nobody);
    let nothing = Config {
        versioning: false,
        encryption: String::new(),
        object_ownership: String::new(),
        public_access_blocked: false,
        lifecycle: Lifecycle::default(),
        tags: Tags::new(),
    };
    assert_eq!(seen.config, nothing);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_none_and_one_half_gone_too() {
    let pass = pass_answering(|_| Answer::xml_error(404, "NoSuchBucket", "none"));
    let hint = || Hint {
        known_id: None,
        wanted: None,
    };
    let kind = &REGISTRY["s3_bucket"];
    let seen = kind.observe(&pass, &id("eu-west-1"), hint()).await;
    assert_eq!(seen, Observed::Absent);
    let pass = pass_answering(|asked| {
        if asked.has("tagging") {
            Answer::new(200, tagging())
        } else {
            Answer::xml_error(404, "NoSuchBucket", "none")
        }
    });
    let seen = kind.observe(&pass, &id("eu-west-1"), hint()).await;
    assert_eq!(seen, Observed::Absent);
}

#[tokio::test]
async fn a_taken_name_is_told_from_a_missing_permission() {
    const DENIED: &str = "Access Denied";
    let answer = |listed: Option<bool>| {
        move |asked: &Asked| match listed {
            _ if asked.has("tagging") => Answer::xml_error(403, "AccessDenied", DENIED),
            None => Answer::xml_error(403, "AccessDenied", "ListAllMyBuckets"),
            Some(listed) => {
                let bucket = if listed { "" } else { "-more" };
                Answer::new(
                    200,
                    format!(
                        "<ListAllMyBucketsResult><Buckets><Bucket><Name>shop-static-123456789012{bucket}</Name>\
                         </Bucket></Buckets></ListAllMyBucketsResult>"
                    ),
                )
            }
        }
    };
    let seen = observe(&pass_answering(answer(Some(false))), "eu-west-1").await;
    let owner = seen.expect("it is known").expect("a bucket").owner;
    assert!(matches!(&owner, Owner::Other(text) if text.starts_with("another AWS account")));
    for listed in [Some(true), None] {
        let seen = observe(&pass_answering(answer(listed)), "eu-west-1").await;
        let failure = seen.expect_err("it may not be read");
        assert_eq!(failure.kind, FailureKind::Denied);
        assert_eq!(failure.operation, "s3:GetBucketTagging");
        assert_eq!(failure.message, DENIED);
    }
}

#[tokio::test]
async fn a_bucket_of_another_region_is_not_ours() {
    let answers = [
        (
            301,
            "PermanentRedirect",
            "must be addressed using the specified endpoint",
        ),
        (
            400,
            "AuthorizationHeaderMalformed",
            "the region 'eu-west-1' is wrong; expecting 'us-west-2'",
        ),
    ];
    for (status, code, message) in answers {
        let pass = pass_answering(move |_| Answer::xml_error(status, code, message));
        let seen = observe(&pass, "eu-west-1").await;
        let owner = seen.expect("it is known").expect("a bucket").owner;
        assert!(
            matches!(&owner, Owner::Other(text) if text.starts_with("a bucket in another region")),
            "{owner:?}"
        );
    }
}

#[tokio::test]
async fn a_bucket_is_made_with_its_owner_and_in_four_calls() {
    for region in ["us-east-1", "eu-west-1"] {
        let (pass, asks) = recording(true, |_| (200, ""));
        let seen = Bucket::create(&pass, &id(region), &config()).await;
        let seen = seen.expect("it is made");
        assert_eq!(seen.config, config());
        assert_eq!((seen.owner, seen.phase), (Owner::Ours, Phase::Ready));
        let asks = asked(&asks);
        let create = &asks[0];
        assert_eq!(
            create.header("x-amz-object-ownership"),
            "BucketOwnerEnforced"
        );
        assert!(
            create
                .body
                .contains("<Key>multiregion.dev/name</Key><Value>shop</Value>")
        );
        let names_region = create
            .body
            .contains("<LocationConstraint>eu-west-1</LocationConstraint>");
        assert_eq!(names_region, region == "eu-west-1");
        assert_eq!(create.body.contains("LocationConstraint"), names_region);
        let subresources: Vec<&str> = asks[1..].iter().map(|asked| asked.query.as_str()).collect();
        assert_eq!(
            subresources,
            ["publicAccessBlock", "versioning", "lifecycle"]
        );
    }
}

#[tokio::test]
async fn what_a_bucket_of_the_first_second_refuses_is_left_for_later() {
    let pass = pass_answering(|asked| {
        if asked.has("versioning") {
            Answer::xml_error(404, "NoSuchBucket", "none yet")
        } else {
            Answer::new(200, "")
        }
    });
    let seen = Bucket::create(&pass, &id("eu-west-1"), &config()).await;
    let seen = seen.expect("it is made");
    assert!(matches!(seen.phase, Phase::Pending(_)));
    assert!(seen.config.public_access_blocked);
    assert!(!seen.config.versioning);
}

#[tokio::test]
async fn a_write_takes_along_what_others_set() {
    let (pass, asks) = recording(true, |asked| {
        if asked.method == "GET" {
            as_wanted(asked, "")
        } else {
            Answer::new(200, "")
        }
    });
    let mut live = seen(&id("eu-west-1"), config());
    live.config
        .tags
        .insert("aws:created-by".into(), "me".into());
    let changed = ["encryption", "lifecycle", "tags"]
        .map(str::to_owned)
        .into();
    let updated = Bucket::update(&pass, &id("eu-west-1"), live, &config(), &changed).await;
    let updated = updated.expect("it is changed");
    assert_eq!(updated.config.tags["aws:created-by"], "me");
    let asks = asked(&asks);
    let put = |name: &str| {
        asks.iter()
            .find(|asked| asked.method == "PUT" && asked.has(name))
            .expect("it was put")
    };
    assert!(put("tagging").body.contains("aws:created-by"));
    assert!(
        put("encryption")
            .body
            .contains("<EncryptionType>SSE-C</EncryptionType>")
    );
    let lifecycle = put("lifecycle");
    assert!(lifecycle.body.contains("<ID>theirs</ID>"));
    assert_eq!(
        lifecycle.header("x-amz-transition-default-minimum-object-size"),
        "varies_by_storage_class"
    );
    assert_eq!(asks.len(), 5, "nothing else was read or written");
}

/// A bucket of five versions and a marker, listed by two; HeadObject says that `ours` of them are.
fn paged(ours: usize) -> impl Fn(&Asked) -> Answer {
    move |asked| {
        let entry = |kind: &str, key: usize| {
            format!("<{kind}><Key>k{key}</Key><VersionId>v{key}</VersionId></{kind}>")
        };
        let page = |entries: &str, next: Option<usize>| {
            let next = next.map_or_else(String::new, |next| {
                format!(
                    "<IsTruncated>true</IsTruncated><NextKeyMarker>k{next}</NextKeyMarker>\
                     <NextVersionIdMarker>v{next}</NextVersionIdMarker>"
                )
            });
            Answer::new(
                200,
                format!("<ListVersionsResult>{next}{entries}</ListVersionsResult>"),
            )
        };
        let two = |first: usize| entry("Version", first) + &entry("Version", first + 1);
        match (asked.method.as_str(), asked) {
            ("HEAD", asked) => {
                let answer = Answer::new(200, "");
                let mine = (0..ours).any(|key| asked.query.contains(&format!("v{key}")));
                if mine {
                    answer.header("x-amz-meta-multiregion-written-by", "copy")
                } else {
                    answer
                }
            }
            ("GET", asked) if asked.query.contains("version-id-marker=v1") => {
                page(&two(2), Some(3))
            }
            ("GET", asked) if asked.query.contains("version-id-marker=v3") => {
                page(&(entry("DeleteMarker", 9) + &entry("Version", 4)), None)
            }
            ("GET", _) => page(&two(0), Some(1)),
            _ => Answer::new(200, "<DeleteResult/>"),
        }
    }
}

#[tokio::test]
async fn keeping_data_looks_at_every_version_on_every_page() {
    let live = || seen(&id("eu-west-1"), config());
    let (pass, asks) = recording(true, paged(4));
    let deleted = Bucket::delete(&pass, &id("eu-west-1"), live(), DataPolicy::Keep).await;
    assert!(matches!(deleted, Ok(Deleted::Retained(_))), "{deleted:?}");
    assert!(
        asked(&asks)
            .iter()
            .all(|asked| ["GET", "HEAD"].contains(&asked.method.as_str()))
    );

    let (pass, asks) = recording(true, paged(5));
    let deleted = Bucket::delete(&pass, &id("eu-west-1"), live(), DataPolicy::Keep).await;
    assert_eq!(deleted, Ok(Deleted::Gone));
    let asks = asked(&asks);
    let [.., versions, bucket] = asks.as_slice() else {
        unreachable!("there were more calls than two");
    };
    for key in ["v0", "v1", "v2", "v3", "v4", "v9"] {
        assert!(
            versions
                .body
                .contains(&format!("<VersionId>{key}</VersionId>")),
            "{key}"
        );
    }
    assert_eq!(
        (bucket.method.as_str(), bucket.query.as_str()),
        ("DELETE", "")
    );
}

#[tokio::test]
async fn deleting_all_is_done_in_steps() {
    let (pass, asks) = recording(true, paged(0));
    let live = seen(&id("eu-west-1"), config());
    let deleted = Bucket::delete(&pass, &id("eu-west-1"), live, DataPolicy::Delete).await;
    assert!(matches!(&deleted, Ok(Deleted::Pending(text)) if text.contains("20 versions")));
    assert_eq!(asked(&asks).len(), 20);
}

#[tokio::test]
async fn a_version_that_may_not_go_is_a_failure() {
    let pass = pass_answering(|asked| match asked.method.as_str() {
        "POST" => Answer::new(
            200,
            "<DeleteResult><Error><Key>k0</Key><VersionId>v0</VersionId><Code>AccessDenied</Code>\
             <Message>Access Denied because object protected by object lock.</Message></Error></DeleteResult>",
        ),
        _ => paged(0)(asked),
    });
    let live = seen(&id("eu-west-1"), config());
    let deleted = Bucket::delete(&pass, &id("eu-west-1"), live, DataPolicy::Delete).await;
    let failure = deleted.expect_err("it is locked");
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.message.starts_with("k0: "), "{failure}");
}
