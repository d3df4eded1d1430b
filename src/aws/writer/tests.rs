use std::sync::{Arc, Mutex};

use super::*;
use crate::model::Side;
use crate::resources::testing::{Answer, Asked, Asks, recording};

const STORE: &str =
    "arn:aws:cloudfront::123456789012:key-value-store/1a2b3c4d-0000-0000-0000-000000000000";
const DISTRIBUTION: &str = "E1EXAMPLE";

/// A store as AWS keeps it, with what else happens to it: taken from the end, one before each write.
#[derive(Default)]
struct Store {
    version: u32,
    value: Option<String>,
    meanwhile: Vec<Meanwhile>,
}

#[derive(Clone, Copy)]
enum Meanwhile {
    /// Another app's key is written.
    OthersWrite,
    /// Our key is written by somebody else.
    OurKeyBecomes(&'static str),
    /// The write has its effect and its reply is lost.
    ReplyLost,
    /// The write fails without effect.
    Fails,
}

impl Store {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let of_store = "/key-value-stores/arn%3Aaws%3Acloudfront%3A%3A123456789012%3Akey-value-store%2F\
                        1a2b3c4d-0000-0000-0000-000000000000";
        assert_eq!(
            asked.host, "123456789012.cloudfront-kvs.global.api.aws",
            "nothing but the account's own data plane is asked"
        );
        let rest = asked.path.strip_prefix(of_store).expect("the store");
        match (asked.method.as_str(), rest) {
            ("GET", "") => Answer::new(
                200,
                format!(
                    "{{\"ItemCount\":1,\"TotalSizeInBytes\":9,\"KvsARN\":\"{STORE}\",\"Created\":1767225600,\
                     \"Status\":\"READY\"}}"
                ),
            )
            .header("etag", self.version.to_string()),
            ("GET", "/keys/E1EXAMPLE") => match &self.value {
                Some(value) => Answer::new(
                    200,
                    format!(
                        "{{\"Key\":\"E1EXAMPLE\",\"Value\":\"{value}\",\"ItemCount\":1,\"TotalSizeInBytes\":9}}"
                    ),
                ),
                None => error(404, "ResourceNotFoundException"),
            },
            ("PUT" | "DELETE", "/keys/E1EXAMPLE") => self.write(asked),
            // Whoever asks for anything else has a failure to explain.
            _ => error(400, "ValidationException"),
        }
    }

    fn write(&mut self, asked: &Asked) -> Answer {
        let meanwhile = self.meanwhile.pop();
        match meanwhile {
            Some(Meanwhile::OthersWrite) => self.version += 1,
            Some(Meanwhile::OurKeyBecomes(value)) => {
                self.version += 1;
                self.value = Some(value.into());
            }
            Some(Meanwhile::Fails) => return error(500, "InternalServerException"),
            Some(Meanwhile::ReplyLost) | None => {}
        }
        if asked.header("if-match") != self.version.to_string() {
            return error(409, "ConflictException");
        }
        self.version += 1;
        let value = asked.body.split("\"Value\":\"").nth(1);
        self.value = value.and_then(|rest| Some(rest.split('"').next()?.to_owned()));
        if let Some(Meanwhile::ReplyLost) = meanwhile {
            return error(500, "InternalServerException");
        }
        Answer::new(200, "{\"ItemCount\":1,\"TotalSizeInBytes\":9}")
            .header("etag", self.version.to_string())
    }
}

fn error(status: u16, code: &str) -> Answer {
    Answer::new(status, format!("{{\"Message\":\"{code}\"}}")).header("x-amzn-errortype", code)
}

/// A pass over a store with `value`; `meanwhile` happens in this order.
fn store(
    value: Option<&str>,
    meanwhile: impl IntoIterator<Item = Meanwhile>,
) -> (Pass, Asks, Arc<Mutex<Store>>) {
    let mut meanwhile: Vec<_> = meanwhile.into_iter().collect();
    meanwhile.reverse();
    let store = Arc::new(Mutex::new(Store {
        version: 1,
        value: value.map(str::to_owned),
        meanwhile,
    }));
    let answering = store.clone();
    let (pass, asks) = recording(true, move |asked: &Asked| {
        answering
            .lock()
            .expect("no test panics with it")
            .answer(asked)
    });
    (pass, asks, store)
}

fn writer(text: &str) -> Writer {
    text.parse().expect("a writer")
}

/// Moves from `Primary:7` to `DR:8`; what came of it, and what the store then has.
async fn moved(
    value: Option<&str>,
    meanwhile: impl IntoIterator<Item = Meanwhile>,
) -> (Result<Set, Failure>, Option<String>) {
    let (pass, _, store) = store(value, meanwhile);
    let expected = writer("Primary:7");
    let next = expected.moved_to(Side::Dr);
    let set = compare_and_set(&pass, STORE, DISTRIBUTION, Some(expected), next).await;
    let value = store.lock().expect("no test panics with it").value.clone();
    (set, value)
}

#[tokio::test]
async fn a_move_counts_up_and_signs_for_every_region() {
    let (pass, asks, _) = store(Some("Primary:7"), []);
    let next = writer("DR:8");
    let set = compare_and_set(&pass, STORE, DISTRIBUTION, Some(writer("Primary:7")), next).await;
    assert_eq!(set, Ok(Set::Done));
    assert_eq!(read(&pass, STORE, DISTRIBUTION).await, Ok(Some(next)));
    let asks = asks.lock().expect("no test panics with it");
    let asked: Vec<&str> = asks.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(asked, ["GET", "GET", "PUT", "GET"]);
    assert_eq!(asks[2].header("x-amz-region-set"), "*");
    assert!(
        asks[2]
            .header("authorization")
            .starts_with("AWS4-ECDSA-P256-SHA256")
    );
}

#[tokio::test]
async fn anothers_move_is_a_conflict_and_stays() {
    for meanwhile in [None, Some(Meanwhile::OurKeyBecomes("DR:9"))] {
        let value = if meanwhile.is_some() {
            "Primary:7"
        } else {
            "DR:9"
        };
        let (set, left) = moved(Some(value), meanwhile).await;
        assert_eq!(set, Ok(Set::Conflict(Some(writer("DR:9")))));
        assert_eq!(left.as_deref(), Some("DR:9"));
    }
    let (set, left) = moved(None, []).await;
    assert_eq!((set, left), (Ok(Set::Conflict(None)), None));
}

#[tokio::test]
async fn another_apps_write_to_the_store_is_none() {
    let (set, left) = moved(Some("Primary:7"), [Meanwhile::OthersWrite; 2]).await;
    assert_eq!((set, left.as_deref()), (Ok(Set::Done), Some("DR:8")));
    let (set, left) = moved(Some("Primary:7"), [Meanwhile::OthersWrite; 9]).await;
    let kind = set.map_err(|failure| failure.kind);
    assert_eq!(
        (kind, left.as_deref()),
        (Err(FailureKind::Conflict), Some("Primary:7"))
    );
}

#[tokio::test]
async fn a_lost_reply_is_told_from_a_failure_by_reading_again() {
    let (set, left) = moved(Some("Primary:7"), [Meanwhile::ReplyLost]).await;
    assert_eq!((set, left.as_deref()), (Ok(Set::Done), Some("DR:8")));
    let (set, left) = moved(Some("Primary:7"), [Meanwhile::Fails]).await;
    let kind = set.map_err(|failure| failure.kind);
    assert_eq!(
        (kind, left.as_deref()),
        (Err(FailureKind::Transient), Some("Primary:7"))
    );
    // As after a restart: the move was made, and is asked for once more.
    let (set, left) = moved(Some("DR:8"), []).await;
    assert_eq!((set, left.as_deref()), (Ok(Set::Done), Some("DR:8")));
}

#[tokio::test]
async fn a_move_that_does_not_count_up_is_none() {
    let (pass, asks, _) = store(Some("Primary:7"), []);
    let (expected, next) = (Some(writer("Primary:7")), writer("DR:7"));
    let set = compare_and_set(&pass, STORE, DISTRIBUTION, expected, next).await;
    let code = set.map_err(|failure| failure.code);
    assert_eq!(code, Err("EpochNotCountedUp".into()));
    assert!(asks.lock().expect("no test panics with it").is_empty());
}

#[tokio::test]
async fn the_first_writer_is_put_only_where_there_is_none() {
    let first = Writer::first(Side::Primary);
    for (value, expected) in [(None, "Primary:1"), (Some("DR:4"), "DR:4")] {
        let (pass, _, store) = store(value, []);
        let put = put_if_absent(&pass, STORE, DISTRIBUTION, first).await;
        assert_eq!(put, Ok(writer(expected)));
        let left = store.lock().expect("no test panics with it").value.clone();
        assert_eq!(left.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_value_that_is_no_writer_needs_a_person() {
    let (set, left) = moved(Some("dr"), []).await;
    let failure = set.expect_err("nobody knows who writes");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.message.contains("'dr' is no writer"), "{failure}");
    assert_eq!(left.as_deref(), Some("dr"));
}

#[tokio::test]
async fn a_key_goes_once_whoever_else_writes() {
    let (pass, _, store) = store(Some("DR:4"), [Meanwhile::OthersWrite]);
    assert_eq!(remove(&pass, STORE, DISTRIBUTION).await, Ok(()));
    assert_eq!(read(&pass, STORE, DISTRIBUTION).await, Ok(None));
    assert_eq!(store.lock().expect("no test panics with it").value, None);
}
