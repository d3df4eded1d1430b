//! What is read once for all apps of an account, and how long one reading serves.
//!
//! A reading is believed by passes that only look whether anything has changed. Whatever they find is decided upon by
//! another pass, which reads everything itself: see [`Pass::believing`](super::Pass::believing). A write of ours drops
//! the readings that it makes untrue.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::model::{Failure, FailureKind};

/// One kind of reading.
#[derive(Debug)]
pub struct Read {
    /// Service and operation, as in `iam:GetRole`: a label of the metrics.
    pub name: &'static str,
    /// How long one reading serves.
    pub serves: Duration,
    /// Calls that tell one app the same, where a list is too long to be read for few; 0: there is no other way.
    pub apart: usize,
}

/// A settled app is looked at every ten minutes, less the age of the oldest reading that it believed, so that drift is
/// seen within ten minutes whoever read first. With more than this, that would bring many passes forward; with less,
/// the apps of a small account, whose passes are minutes apart, would share nothing.
const LISTED: Duration = Duration::from_secs(120);

const fn listed(name: &'static str, apart: usize) -> Read {
    Read {
        name,
        serves: LISTED,
        apart,
    }
}

// The table. An account's lists change with every app that comes, so all of them serve equally long.

/// A zone's records; an app's own are one page that begins with its domain.
pub const RECORDS: Read = listed("route53:ListResourceRecordSets", 1);
/// The distributions, with all that is managed of them but the tags.
pub const DISTRIBUTIONS: Read = listed("cloudfront:ListDistributions", 1);
/// The account's own cache policies, of which it has 20.
pub const CACHE_POLICIES: Read = listed("cloudfront:ListCachePolicies", 0);
/// The account's own origin request policies, of which it has 20.
pub const ORIGIN_REQUEST_POLICIES: Read = listed("cloudfront:ListOriginRequestPolicies", 0);
/// The origin access controls, of which an account has 100.
pub const ORIGIN_ACCESS_CONTROLS: Read = listed("cloudfront:ListOriginAccessControls", 0);
/// The origin access identities, of which an account has 100.
pub const ORIGIN_ACCESS_IDENTITIES: Read =
    listed("cloudfront:ListCloudFrontOriginAccessIdentities", 1);
/// One function of the edge, which all apps with the same codes share.
pub const EDGE_FUNCTION: Read = listed("cloudfront:DescribeFunction", 0);
/// Its code.
pub const EDGE_FUNCTION_CODE: Read = listed("cloudfront:GetFunction", 0);
/// The store of the writers, which all apps share.
pub const KEY_VALUE_STORE: Read = listed("cloudfront:DescribeKeyValueStore", 0);
/// The certificates in us-east-1, with what becomes of them.
pub const CERTIFICATES: Read = listed("acm:ListCertificates", 1);
/// The roles with their inline policies; of an app there are two, with two policies and one.
pub const ROLES: Read = listed("iam:GetAccountAuthorizationDetails", 5);

/// All of them.
pub const TABLE: [&Read; 11] = [
    &RECORDS,
    &DISTRIBUTIONS,
    &CACHE_POLICIES,
    &ORIGIN_REQUEST_POLICIES,
    &ORIGIN_ACCESS_CONTROLS,
    &ORIGIN_ACCESS_IDENTITIES,
    &EDGE_FUNCTION,
    &EDGE_FUNCTION_CODE,
    &KEY_VALUE_STORE,
    &CERTIFICATES,
    &ROLES,
];

/// A zone's id never changes; a zone that was deleted and made again is noticed after this, or when it is used.
pub const ZONE_IDS_KEPT: Duration = Duration::from_secs(600);
/// A change of records is in force within a minute; one that is not by then is no longer asked for.
pub const CHANGES_FOLLOWED: Duration = Duration::from_secs(600);
/// What an issued certificate is for and validated by does not change as long as it is listed as issued.
pub const ISSUED_CERTIFICATES_KEPT: Duration = Duration::from_secs(3600);
/// Nothing is remembered longer than this, so that what nobody asks for any more goes.
pub const LONGEST_MEMORY: Duration = Duration::from_secs(3600);

/// Between two passes of a settled app: who did not ask within it asks no more.
const ROUND: Duration = Duration::from_secs(660);

pub(super) type Value = Arc<dyn Any + Send + Sync>;
type Cell = OnceCell<Result<Value, Failure>>;

/// The readings of one account.
#[derive(Default)]
pub(super) struct Readings(Mutex<HashMap<String, Reading>>);

#[derive(Default)]
struct Reading {
    /// The newest answer, or the call for it that is under way, and when that began.
    answer: Option<(Instant, Arc<Cell>)>,
    /// Held by who makes the call.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// More pages than this it has, or it is not to be had at all; seen when.
    beyond: Option<(usize, Instant)>,
    /// When each app asked last.
    askers: HashMap<String, Instant>,
}

/// An answer, since when it holds, and whether it was there already.
pub(super) struct Answer<T> {
    pub value: Arc<T>,
    pub since: Instant,
    pub hit: bool,
}

impl Readings {
    /// What `fetch` yields, unless there is an answer that is no older than `not_before`. All who ask meanwhile wait for
    /// the one call; those for whom it began too early wait for its end, and then make one for all of them. A failure is
    /// told to those who wait, and then forgotten.
    pub(super) async fn read<T, F>(
        &self,
        key: &str,
        not_before: Instant,
        fetch: F,
    ) -> Result<Answer<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>>,
    {
        let (asked, mut turn) = (Instant::now(), None);
        let (since, cell) = match self.young(key, not_before, asked) {
            Ok(young) => young,
            Err(free) => {
                turn = Some(free.lock_owned().await);
                self.young(key, not_before, asked)
                    .unwrap_or_else(|_| self.begin(key))
            }
        };
        let mut hit = true;
        let answer = cell
            .get_or_init(|| async {
                hit = false;
                fetch.await.map(|value| Arc::new(value) as Value)
            })
            .await
            .clone();
        drop(turn);
        Ok(Answer {
            value: answer?
                .downcast()
                .expect("a key is always used with one type"),
            since,
            hit,
        })
    }

    /// The answer that is no older than `not_before`, be it under way, or a failure for who `asked` before the call; else
    /// what to hold for making one.
    fn young(
        &self,
        key: &str,
        not_before: Instant,
        asked: Instant,
    ) -> Result<(Instant, Arc<Cell>), Arc<tokio::sync::Mutex<()>>> {
        let mut readings = self.lock();
        let now = Instant::now();
        readings.retain(|_, reading| {
            reading.drop_old(now);
            !reading.is_forgotten(now)
        });
        let reading = readings.entry(key.to_owned()).or_default();
        match &reading.answer {
            Some((since, cell))
                if *since >= not_before
                    && (*since >= asked || !cell.get().is_some_and(Result::is_err)) =>
            {
                Ok((*since, cell.clone()))
            }
            _ => Err(reading.turn.clone()),
        }
    }

    fn begin(&self, key: &str) -> (Instant, Arc<Cell>) {
        let mut readings = self.lock();
        let began = (Instant::now(), Arc::<Cell>::default());
        readings.entry(key.to_owned()).or_default().answer = Some(began.clone());
        began
    }

    /// Drops the answer, after a write that may have made it untrue; also one that is under way.
    pub(super) fn forget(&self, key: &str) {
        if let Some(reading) = self.lock().get_mut(key) {
            reading.answer = None;
            reading.turn = Arc::default();
        }
    }

    /// Notes that `asker` asks. How many pages the list may have to be worth its calls; `None` if it has more.
    pub(super) fn worth(&self, read: &Read, key: &str, asker: &str) -> Option<usize> {
        let mut readings = self.lock();
        let reading = readings.entry(key.to_owned()).or_default();
        let now = Instant::now();
        reading.askers.insert(asker.to_owned(), now);
        reading
            .askers
            .retain(|_, asked| now.duration_since(*asked) < ROUND);
        let pages = worth(read, reading.askers.len());
        let beyond = reading
            .beyond
            .take_if(|(_, seen)| now.duration_since(*seen) < LONGEST_MEMORY);
        reading.beyond = beyond;
        beyond
            .is_none_or(|(beyond, _)| beyond < pages)
            .then_some(pages)
    }

    /// Notes that a list has more pages than `pages`, or with `usize::MAX` is not to be had.
    pub(super) fn is_beyond(&self, key: &str, pages: usize) {
        let mut readings = self.lock();
        let reading = readings.entry(key.to_owned()).or_default();
        reading.beyond = Some((pages, Instant::now()));
        reading.answer = None;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// Drops an answer that serves nobody any more: the lists of a large account are large.
    fn drop_old(&mut self, now: Instant) {
        self.answer
            .take_if(|(since, cell)| now.duration_since(*since) > LISTED && cell.initialized());
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        let old = |since: &Instant| now.duration_since(*since) >= LONGEST_MEMORY;
        self.answer.as_ref().is_none_or(|(since, _)| old(since))
            && self.beyond.as_ref().is_none_or(|(_, since)| old(since))
            && self.askers.values().all(old)
            && Arc::strong_count(&self.turn) == 1
    }
}

/// With so many apps the list may have so many pages, or the apps' own calls are fewer: in a round each app asks once,
/// and the list is read anew whenever a reading has served.
fn worth(read: &Read, apps: usize) -> usize {
    if read.apart == 0 {
        return usize::MAX - 1;
    }
    let readings = usize::try_from(ROUND.as_secs() / read.serves.as_secs().max(1)).unwrap_or(1);
    (apps * read.apart / apps.min(readings).max(1)).max(1)
}

/// Whether there is no use in asking for the list once more: it is refused, or not known there.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    !matches!(
        failure.kind,
        FailureKind::Throttled
            | FailureKind::Transient
            | FailureKind::Unreachable
            | FailureKind::NoCredentials
            | FailureKind::NotFound
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn failure(kind: FailureKind) -> Failure {
        Failure {
            kind,
            operation: "iam:GetRole".into(),
            code: "Code".into(),
            message: "message".into(),
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_once_wait_for_one_call() {
        let readings = Readings::default();
        let calls = AtomicUsize::new(0);
        let now = Instant::now();
        let ask = || {
            readings.read("key", now, async {
                tokio::task::yield_now().await;
                Ok(calls.fetch_add(1, Ordering::Relaxed))
            })
        };
        let answers = futures::future::join_all((0..10).map(|_| ask())).await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let hits = answers
            .iter()
            .filter(|answer| answer.as_ref().is_ok_and(|answer| answer.hit));
        assert_eq!(hits.count(), 9);
    }

    #[tokio::test]
    async fn an_answer_serves_who_takes_its_age_and_no_one_after_a_write() -> Result<(), Failure> {
        let readings = Readings::default();
        let calls = AtomicUsize::new(0);
        let ask = async |not_before| {
            let fetch = async { Ok(calls.fetch_add(1, Ordering::Relaxed)) };
            readings.read("key", not_before, fetch).await
        };
        let before = Instant::now();
        assert_eq!(*ask(before).await?.value, 0);
        assert_eq!(*ask(before).await?.value, 0, "it is young enough");
        let after = Instant::now();
        assert_eq!(*ask(after).await?.value, 1, "it is older than wanted");
        assert_eq!(*ask(before).await?.value, 1, "the newest serves all");
        readings.forget("key");
        assert_eq!(*ask(before).await?.value, 2, "it may be untrue");
        Ok(())
    }

    #[tokio::test]
    async fn what_a_write_overtakes_serves_only_those_who_asked_before_it() {
        let readings = Readings::default();
        let before = Instant::now();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let slow = readings.read("key", before, async {
            drop(told.await);
            Ok("before")
        });
        let write = async {
            readings.forget("key");
            let fresh = readings.read("key", before, async { Ok("after") }).await;
            drop(tell);
            fresh
        };
        let (slow, fresh) = futures::join!(slow, write);
        assert_eq!(slow.ok().map(|answer| *answer.value), Some("before"));
        assert_eq!(fresh.ok().map(|answer| *answer.value), Some("after"));
        let later = readings.read("key", before, async { Ok("never") }).await;
        assert_eq!(later.ok().map(|answer| *answer.value), Some("after"));
    }

    #[tokio::test]
    async fn those_for_whom_a_call_began_too_early_share_the_next() {
        let readings = Readings::default();
        let count = || AtomicUsize::new(0);
        let (most, running, calls) = (count(), count(), count());
        let works = AtomicBool::new(true);
        let ask = async |after: usize| {
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
            let fetch = async {
                let now = 1 + running.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(now, Ordering::Relaxed);
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::Relaxed);
                calls.fetch_add(1, Ordering::Relaxed);
                let works = works.load(Ordering::Relaxed);
                works
                    .then_some(())
                    .ok_or_else(|| failure(FailureKind::Throttled))
            };
            readings.read("key", Instant::now(), fetch).await
        };
        let all = || futures::future::join_all((0..50).map(|turns| ask(turns % 10)));
        assert!(all().await.iter().all(Result::is_ok));
        assert_eq!(calls.load(Ordering::Relaxed), 2, "one for the first alone");
        works.store(false, Ordering::Relaxed);
        assert!(all().await.iter().all(Result::is_err));
        assert_eq!(calls.load(Ordering::Relaxed), 4, "a failure is told to all");
        assert_eq!(most.into_inner(), 1, "one at a time");
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let readings = Readings::default();
        let now = Instant::now();
        let failing =
            readings.read::<u8, _>("key", now, async { Err(failure(FailureKind::Throttled)) });
        assert!(failing.await.is_err());
        let answer = readings.read("key", now, async { Ok(1_u8) }).await;
        assert!(answer.is_ok_and(|answer| !answer.hit && *answer.value == 1));
    }

    #[test]
    fn a_long_list_is_read_only_for_many_apps() {
        for (apart, apps, pages) in [
            (1, 1, 1),
            (1, 5, 1),
            (1, 10, 2),
            (1, 200, 40),
            (5, 1, 5),
            (5, 10, 10),
            (0, 1, usize::MAX - 1),
        ] {
            assert_eq!(worth(&listed("name", apart), apps), pages, "{apart} {apps}");
        }
        let readings = Readings::default();
        let asked = |app: &str| readings.worth(&RECORDS, "key", app);
        assert_eq!(asked("a"), Some(1));
        readings.is_beyond("key", 1);
        assert_eq!(asked("a"), None, "it has more than a page");
        let mut last = None;
        for app in ["b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            last = asked(app);
        }
        assert_eq!(last, Some(2), "for ten apps two pages would do");
        readings.is_beyond("key", usize::MAX);
        assert_eq!(asked("a"), None, "it is refused");
    }

    #[test]
    fn no_reading_serves_as_long_as_a_settled_app_is_left_alone() {
        for read in TABLE {
            assert!(read.serves < Duration::from_secs(300), "{}", read.name);
        }
    }
}
