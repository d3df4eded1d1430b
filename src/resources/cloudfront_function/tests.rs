use super::*;
use crate::model::{FailureKind, Owner};
use crate::resources::testing::{Answer, Asked, Asks, recording};

const STORE: &str =
    "arn:aws:cloudfront::123456789012:key-value-store/1a2b3c4d-0000-0000-0000-000000000000";
const ARN: &str = "arn:aws:cloudfront::123456789012:function/multiregion-writer-0123456789ab";
/// CloudFront takes no more.
const LARGEST: usize = 10 * 1024;

fn id() -> ResourceId {
    ResourceId::global(Function::NAME, "multiregion-writer-0123456789ab")
}

fn wanted() -> Config {
    Config::writer([500, 502, 503, 504].into(), STORE.into())
}

/// What CloudFront has: the comment and the code of each stage, if there is one.
#[derive(Clone, Default)]
struct There {
    live: Option<(&'static str, String)>,
    development: Option<(&'static str, String)>,
}

fn cloudfront(there: There) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    move |asked| {
        let stage = if asked.query.contains("Stage=LIVE") || asked.path.ends_with("/publish") {
            "LIVE"
        } else {
            "DEVELOPMENT"
        };
        let at = match stage {
            "LIVE" if asked.method == "GET" => &there.live,
            _ => &there.development,
        };
        let (comment, code) = match (at, asked.method.as_str()) {
            (Some((comment, code)), _) => (*comment, code.clone()),
            (None, "GET") => {
                return Answer::enveloped_error(404, "NoSuchFunctionExists", "There is none.");
            }
            (None, _) => (SHARED, String::new()),
        };
        let etag = format!("ETAG-{stage}-{}", asked.method);
        if asked.method == "GET" && !asked.path.ends_with("/describe") {
            return Answer::new(200, code).header("etag", etag);
        }
        let summary = format!(
            "<FunctionSummary xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Name>{}</Name><Status>\
             UNASSOCIATED</Status><FunctionConfig><Comment>{comment}</Comment><Runtime>cloudfront-js-2.0</Runtime>\
             <KeyValueStoreAssociations><Quantity>1</Quantity><Items><KeyValueStoreAssociation><KeyValueStoreARN>\
             {STORE}</KeyValueStoreARN></KeyValueStoreAssociation></Items></KeyValueStoreAssociations>\
             </FunctionConfig><FunctionMetadata><FunctionARN>{ARN}</FunctionARN><Stage>{stage}</Stage><CreatedTime>\
             2026-01-01T00:00:00Z</CreatedTime><LastModifiedTime>2026-01-01T00:00:00Z</LastModifiedTime>\
             </FunctionMetadata></FunctionSummary>",
            id().name
        );
        Answer::new(200, summary).header("etag", etag)
    }
}

fn ours() -> Option<(&'static str, String)> {
    Some((SHARED, code(&wanted().failover_status_codes)))
}

async fn observe(every_facet: bool, there: There) -> (Option<Seen<Config>>, usize) {
    let (pass, asks) = recording(every_facet, cloudfront(there));
    let hint = Hint {
        known_id: Some(ARN.into()),
        wanted: None,
    };
    let seen = Function::observe(&pass, &id(), hint).await;
    let asked = asks.lock().expect("no test panics with it").len();
    (seen.expect("it can be read"), asked)
}

fn operations(asks: &Asks) -> Vec<String> {
    let asks = asks.lock().expect("no test panics with it");
    asks.iter()
        .map(|asked| format!("{} {}", asked.method, asked.header("if-match")))
        .collect()
}

#[test]
fn the_function_passes_its_own_tests() {
    let tests = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/resources/cloudfront_function/writer.test.js"
    );
    let output = std::process::Command::new("node")
        .args(["--test", tests])
        .output()
        .expect("node is installed");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_codes_are_in_the_code_which_cloudfront_is_willing_to_take() {
    let all = BTreeSet::from([400, 403, 404, 416, 500, 502, 503, 504]);
    let with_all = code(&all);
    assert!(with_all.contains("const FAILOVER_STATUS_CODES = [400,403,404,416,500,502,503,504];"));
    assert!(with_all.len() < LARGEST, "{} bytes", with_all.len());
    assert_eq!(codes_in(with_all.as_bytes()), all);
    assert_eq!(codes_in(b"function handler(event) {}"), BTreeSet::new());
    assert_ne!(Config::writer(all, STORE.into()), wanted());
}

#[test]
fn ours_is_told_by_its_name() {
    assert!(is_ours(ARN));
    assert!(!is_ours(&ARN.replace("multiregion-writer", "redirect")));
}

#[tokio::test]
async fn a_published_function_is_seen_as_it_was_wanted() {
    let there = There {
        live: ours(),
        development: ours(),
    };
    let (seen, asked) = observe(true, there.clone()).await;
    let seen = seen.expect("it is there");
    assert_eq!(seen.config, wanted());
    assert_eq!(seen.owner, Owner::Ours);
    assert_eq!(seen.outputs["arn"], ARN);
    assert_eq!(asked, 2);
    let (seen, asked) = observe(false, there).await;
    let seen = seen.expect("it is there");
    assert_eq!(asked, 1);
    assert_eq!(seen.outputs["arn"], ARN);
    assert!(seen.unread.contains("code_sha256"));
}

#[tokio::test]
async fn other_code_and_another_owner_are_seen() {
    let (seen, _) = observe(
        true,
        There {
            live: Some((
                "the web team's",
                "function handler(event) { return event.request; }".into(),
            )),
            ..There::default()
        },
    )
    .await;
    let seen = seen.expect("it is there");
    assert_ne!(seen.config.code_sha256, wanted().code_sha256);
    assert!(matches!(seen.owner, Owner::Other(_)));
}

#[tokio::test]
async fn a_function_that_was_never_published_is_found_and_published() {
    let there = There {
        development: ours(),
        ..There::default()
    };
    let (seen, _) = observe(true, there.clone()).await;
    let seen = seen.expect("it is there");
    assert_eq!(
        seen.config,
        Config {
            published: false,
            ..wanted()
        }
    );
    assert!(seen.outputs.is_empty(), "nothing is built on it");
    let (pass, asks) = recording(true, cloudfront(there));
    let changed = BTreeSet::from(["published".to_owned()]);
    let updated = Function::update(&pass, &id(), seen, &wanted(), &changed)
        .await
        .expect("it can be published");
    assert_eq!(
        (&updated.config, updated.outputs["arn"].as_str()),
        (&wanted(), ARN)
    );
    assert_eq!(operations(&asks), ["GET ", "POST ETAG-DEVELOPMENT-GET"]);
    assert_eq!(observe(true, There::default()).await.0, None);
}

#[tokio::test]
async fn what_was_changed_is_written_and_published_at_its_version() {
    let (pass, asks) = recording(
        true,
        cloudfront(There {
            live: ours(),
            development: ours(),
        }),
    );
    let changed = BTreeSet::from(["key_value_store_arn".to_owned()]);
    let live = Seen::ours(wanted(), ARN);
    Function::update(&pass, &id(), live, &wanted(), &changed)
        .await
        .expect("it can be changed");
    assert_eq!(
        operations(&asks),
        [
            "GET ",
            "PUT ETAG-DEVELOPMENT-GET",
            "GET ",
            "POST ETAG-DEVELOPMENT-GET"
        ]
    );
    let asks = asks.lock().expect("no test panics with it");
    assert!(asks[1].body.contains(STORE), "{}", asks[1].body);
    assert!(asks[1].body.contains(SHARED), "{}", asks[1].body);
}

#[tokio::test]
async fn a_function_that_others_use_stays() {
    let answering = cloudfront(There {
        live: ours(),
        development: ours(),
    });
    let (pass, _) = recording(true, move |asked: &Asked| match asked.method.as_str() {
        "DELETE" => Answer::enveloped_error(409, "FunctionInUse", "It is in use."),
        _ => answering(asked),
    });
    let live = Seen::ours(wanted(), ARN);
    let deleted = Function::delete(&pass, &id(), live, DataPolicy::Delete).await;
    assert!(matches!(deleted, Ok(Deleted::Retained(_))), "{deleted:?}");
    let (pass, _) = recording(true, cloudfront(There::default()));
    let live = Seen::ours(wanted(), ARN);
    let gone = Function::delete(&pass, &id(), live, DataPolicy::Delete).await;
    let kind = gone.map_err(|failure| failure.kind);
    assert_eq!(kind, Err(FailureKind::NotFound));
}
