//! Rate limits of the account, shared by all its apps and fair among them.
//!
//! AWS's documented limits are kept from our side, so that a fleet of apps leaves the account's other users their share.
//! Calls that have to wait stand in line by app, and the apps take turns: one with a hundred calls does not hold up
//! another's first. A throttle slows down the bucket that it came from, in its region, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::oneshot;

/// Between two calls after a first throttle; doubled with each further one, and less again with each call that is taken.
const FIRST_GAP: Duration = Duration::from_millis(500);
const LONGEST_GAP: Duration = Duration::from_secs(20);
/// What is left of a gap after a call that was taken.
const RECOVERY: f64 = 0.8;
/// Less than this is none.
const SHORTEST_GAP: Duration = Duration::from_millis(50);

/// How fast a bucket of calls may be drawn from.
#[derive(Clone, PartialEq, Debug)]
pub struct Limit {
    /// A service, as in `lambda`, one operation of it, as in `lambda:GetFunction`, or all that begin alike, as in
    /// `cloudfront:Update*`. Of several that fit, the closest counts, and a call is drawn from that bucket alone.
    pub of: String,
    /// Calls a second.
    pub rate: f64,
    /// Calls at once, after a rest.
    pub burst: NonZeroU32,
}

/// What we take by default, of what AWS documents (`docs/operations.md` has the sources): 80 %, the rest is for others.
/// CloudFront documents none; these are below what it was seen to take. Operations with a quota of their own have a
/// bucket of their own. What is not here has no limit until AWS throttles it, and a bucket for each operation.
const DEFAULTS: [(&str, f64, u32); 16] = [
    ("route53", 4.0, 4),
    ("lambda", 12.0, 12),
    ("lambda:GetFunction", 80.0, 80),
    ("lambda:GetPolicy", 12.0, 12),
    ("acm:DescribeCertificate", 8.0, 8),
    ("acm:ListCertificates", 6.0, 6),
    ("acm:ListTagsForCertificate", 8.0, 8),
    ("acm:RequestCertificate", 4.0, 4),
    ("acm:AddTagsToCertificate", 4.0, 4),
    ("logs:DescribeLogGroups", 8.0, 8),
    ("logs:ListTagsForResource", 4.0, 4),
    ("logs:TagResource", 4.0, 4),
    ("logs:PutRetentionPolicy", 4.0, 4),
    ("logs:DeleteRetentionPolicy", 4.0, 4),
    ("cloudfront:CreateInvalidation", 0.5, 1),
    ("cloudfront:Update*", 2.0, 4),
];

/// Why a limit could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is no limit: write service=rate or service:Operation=rate/burst, as in lambda=10/20; rate is in calls a second, above 0"
)]
pub struct NotALimit(String);

impl FromStr for Limit {
    type Err = NotALimit;

    /// As in `lambda=10/20`; without the burst it is as many calls as come in a second.
    fn from_str(text: &str) -> Result<Self, NotALimit> {
        let read = || {
            let (of, rate) = text.split_once('=')?;
            let (rate, burst) = match rate.split_once('/') {
                Some((rate, burst)) => (rate, Some(burst.parse().ok()?)),
                None => (rate, None),
            };
            let rate: f64 = rate.parse().ok()?;
            let named = |letter: char| letter.is_ascii_alphanumeric() || "-:*".contains(letter);
            let fit = !of.is_empty() && of.chars().all(named) && (0.001..=1e6).contains(&rate);
            let whole = rate.ceil() as u32;
            fit.then(|| Self {
                of: of.to_owned(),
                rate,
                burst: burst.or(NonZeroU32::new(whole)).unwrap_or(NonZeroU32::MIN),
            })
        };
        read().ok_or_else(|| NotALimit(text.to_owned()))
    }
}

impl Limit {
    /// How closely it fits a call; `None` if not at all.
    fn fit(&self, service: &str, operation: &str) -> Option<usize> {
        let (of, pattern) = self.of.split_once(':').unwrap_or((&self.of, "*"));
        let fits = of == service
            && match pattern.strip_suffix('*') {
                Some(beginning) => operation.starts_with(beginning),
                None => operation == pattern,
            };
        fits.then_some(self.of.len())
    }
}

/// How many processes there are that draw from the same accounts. Each takes its part of every rate.
#[derive(Clone, Debug)]
pub struct Sharers(Arc<AtomicU32>);

impl Default for Sharers {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Sharers {
    /// So many there are from now on, this one among them.
    pub fn are(&self, number: usize) {
        let number = u32::try_from(number).unwrap_or(u32::MAX).max(1);
        self.0.store(number, Ordering::Relaxed);
    }

    fn number(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The buckets of an account: one each limit × region.
pub struct Limits {
    known: Vec<Limit>,
    lanes: Mutex<HashMap<(String, String), Arc<Lane>>>,
    sharers: Sharers,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&[], Sharers::default())
    }
}

struct Lane {
    bucket: Option<DefaultDirectRateLimiter>,
    sharers: Sharers,
    pace: Mutex<Pace>,
    line: Mutex<Line>,
    /// Held by the one of those in line who calls the others.
    caller: tokio::sync::Mutex<()>,
}

/// How much slower than its limit a lane goes since AWS throttled it.
#[derive(Default)]
struct Pace {
    gap: Duration,
    next: Option<Instant>,
    /// A throttle of a call that was under way by then tells nothing new.
    slowed: Option<Instant>,
}

type Line = VecDeque<(Arc<str>, VecDeque<oneshot::Sender<()>>)>;

impl Limits {
    /// The defaults, with `set` in place of those of the same name; all of `sharers` together draw so fast.
    pub fn new(set: &[Limit], sharers: Sharers) -> Self {
        let defaults = DEFAULTS.into_iter().map(|(of, rate, burst)| Limit {
            of: of.to_owned(),
            rate,
            burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
        });
        let known = defaults
            .filter(|default| set.iter().all(|limit| limit.of != default.of))
            .chain(set.iter().cloned())
            .collect();
        Self {
            known,
            lanes: Mutex::default(),
            sharers,
        }
    }

    /// The same limits for another account.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            known: self.known.clone(),
            lanes: Mutex::default(),
            sharers: self.sharers.clone(),
        }
    }

    /// Waits for the turn of a call on behalf of `app`.
    pub async fn wait(&self, service: &str, operation: &str, region: &str, app: &Arc<str>) {
        self.lane(service, operation, region).wait(app).await;
    }

    /// Notes that AWS throttled a call that began at `started`.
    pub fn throttled(&self, service: &str, operation: &str, region: &str, started: Instant) {
        lock(&self.lane(service, operation, region).pace).slow_down(started);
    }

    /// Notes that AWS took a call.
    pub fn taken(&self, service: &str, operation: &str, region: &str) {
        lock(&self.lane(service, operation, region).pace).recover();
    }

    fn lane(&self, service: &str, operation: &str, region: &str) -> Arc<Lane> {
        let limit = self
            .known
            .iter()
            .filter_map(|limit| Some((limit.fit(service, operation)?, limit)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, limit)| limit);
        let name = match limit {
            Some(limit) => limit.of.clone(),
            None => format!("{service}:{operation}"),
        };
        lock(&self.lanes)
            .entry((name, region.to_owned()))
            .or_insert_with(|| Arc::new(Lane::new(limit, self.sharers.clone())))
            .clone()
    }
}

impl Lane {
    fn new(limit: Option<&Limit>, sharers: Sharers) -> Self {
        let quota = limit.and_then(|limit| {
            let period = Duration::from_secs_f64(1.0 / limit.rate);
            Some(Quota::with_period(period)?.allow_burst(limit.burst))
        });
        Self {
            bucket: quota.map(RateLimiter::direct),
            sharers,
            pace: Mutex::default(),
            line: Mutex::default(),
            caller: tokio::sync::Mutex::default(),
        }
    }

    async fn wait(&self, app: &Arc<str>) {
        if self.bucket.is_none() && lock(&self.pace).gap.is_zero() && lock(&self.line).is_empty() {
            return;
        }
        let mut turn = self.stand_in_line(app);
        // The first in line calls the others until it is its own turn; should it give up, another one does.
        let caller = tokio::select! {
            biased;
            _ = &mut turn => return,
            caller = self.caller.lock() => caller,
        };
        while turn.try_recv().is_err() {
            self.until_ready().await;
            self.call_next();
        }
        drop(caller);
    }

    fn stand_in_line(&self, app: &Arc<str>) -> oneshot::Receiver<()> {
        let (call, turn) = oneshot::channel();
        let mut line = lock(&self.line);
        match line.iter_mut().find(|(other, _)| other == app) {
            Some((_, calls)) => calls.push_back(call),
            None => line.push_back((app.clone(), VecDeque::from([call]))),
        }
        turn
    }

    /// Lets one call go, of the app whose turn it is, which then goes to the end of the line.
    fn call_next(&self) {
        let mut line = lock(&self.line);
        while let Some((app, mut calls)) = line.pop_front() {
            let next = calls.pop_front();
            if !calls.is_empty() {
                line.push_back((app, calls));
            }
            // Who was given up in line takes no turn.
            if next.is_some_and(|next| next.send(()).is_ok()) {
                return;
            }
        }
    }

    async fn until_ready(&self) {
        let next = lock(&self.pace).next;
        if let Some(next) = next {
            tokio::time::sleep_until(next.into()).await;
        }
        if let Some(bucket) = &self.bucket {
            // One for each of those who draw from the same: they take theirs elsewhere.
            for _ in 0..self.sharers.number() {
                bucket.until_ready().await;
            }
        }
        let mut pace = lock(&self.pace);
        pace.next = (!pace.gap.is_zero()).then(|| Instant::now() + pace.gap);
    }
}

impl Pace {
    fn slow_down(&mut self, started: Instant) {
        if self.slowed.is_some_and(|slowed| started < slowed) {
            return;
        }
        let now = Instant::now();
        self.gap = (self.gap * 2).clamp(FIRST_GAP, LONGEST_GAP);
        self.next = Some(now + self.gap);
        self.slowed = Some(now);
    }

    fn recover(&mut self) {
        self.gap = self.gap.mul_f64(RECOVERY);
        if self.gap < SHORTEST_GAP {
            self.gap = Duration::ZERO;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;

    use super::*;

    fn limit(text: &str) -> Limit {
        text.parse().expect("it is a limit")
    }

    #[test]
    fn limits_are_read_and_refused_with_how_to_write_them() {
        let expected = Limit {
            of: "lambda:GetFunction".into(),
            rate: 2.5,
            burst: NonZeroU32::new(3).expect("it is not 0"),
        };
        assert_eq!(limit("lambda:GetFunction=2.5"), expected);
        assert_eq!(limit("s3=10/40").burst.get(), 40);
        for wrong in [
            "lambda",
            "lambda=",
            "=3",
            "lambda=0",
            "lambda=-1",
            "lambda=NaN",
            "lambda=inf",
            "lambda=3/0",
            "lam bda=3",
        ] {
            let refused = wrong.parse::<Limit>().expect_err("it is none");
            assert!(refused.to_string().contains("lambda=10/20"), "{wrong}");
        }
    }

    #[test]
    fn the_closest_limit_counts_and_one_that_is_set_takes_the_place_of_its_default() {
        let limits = Limits::new(&[limit("lambda=3"), limit("s3:Get*=9")], Sharers::default());
        let closest = |service, operation| {
            let fits = limits
                .known
                .iter()
                .filter_map(|limit| Some((limit.fit(service, operation)?, limit.rate)));
            fits.max_by_key(|(fit, _)| *fit).map(|(_, rate)| rate)
        };
        assert_eq!(closest("lambda", "CreateFunction"), Some(3.0));
        assert_eq!(closest("lambda", "GetFunction"), Some(80.0));
        assert_eq!(closest("cloudfront", "UpdateDistribution"), Some(2.0));
        assert_eq!(closest("cloudfront", "GetDistribution"), None);
        assert_eq!(closest("s3", "GetBucketPolicy"), Some(9.0));
        assert_eq!(closest("s3", "PutBucketPolicy"), None);
    }

    #[tokio::test]
    async fn an_app_with_a_hundred_calls_does_not_hold_up_the_first_of_another() {
        let limits = Limits::new(&[limit("route53=200/1")], Sharers::default());
        let (many, few): (Arc<str>, Arc<str>) = ("many".into(), "few".into());
        let call = async |app: &Arc<str>| {
            limits
                .wait("route53", "ListResourceRecordSets", "global", app)
                .await;
            app.clone()
        };
        let mut calls: FuturesUnordered<_> = (0..100).map(|_| call(&many)).collect();
        let mut done = 0;
        // All stand in line before the other comes.
        while done < 10 {
            calls.next().await;
            done += 1;
        }
        calls.push(call(&few));
        let mut before = 0;
        while let Some(app) = calls.next().await {
            if app == few {
                break;
            }
            before += 1;
        }
        assert!(before <= 3, "{before} calls of the other came first");
        assert!(calls.len() > 80, "they still wait");
    }

    #[tokio::test]
    async fn who_shares_a_limit_takes_a_part_of_it_as_long_as_the_others_are_there() {
        let sharers = Sharers::default();
        let limits = Limits::new(&[limit("route53=50/1")], sharers.clone());
        let app: Arc<str> = "a".into();
        let ten = async || {
            let started = Instant::now();
            for _ in 0..10 {
                limits.wait("route53", "GetChange", "global", &app).await;
            }
            started.elapsed()
        };
        sharers.are(4);
        let shared = ten().await;
        assert!(shared >= Duration::from_millis(700), "{shared:?}");
        sharers.are(1);
        let alone = ten().await;
        assert!(alone < shared / 2, "{alone:?} after {shared:?}");
    }

    #[tokio::test]
    async fn who_gives_up_in_line_holds_up_nobody() {
        let limits = Arc::new(Limits::new(&[limit("route53=50/1")], Sharers::default()));
        let wait = |app: &'static str| {
            let limits = limits.clone();
            async move {
                let app: Arc<str> = app.into();
                limits.wait("route53", "GetChange", "global", &app).await;
            }
        };
        wait("a").await;
        // The first of them calls the others, and is given up with them.
        let tasks: Vec<_> = (0..20).map(|_| tokio::spawn(wait("a"))).collect();
        tokio::task::yield_now().await;
        let last = tokio::spawn(wait("b"));
        tokio::task::yield_now().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        let started = Instant::now();
        last.await.expect("it is not given up");
        assert!(started.elapsed() < Duration::from_millis(300));
    }

    #[tokio::test]
    async fn a_throttle_slows_its_own_bucket_and_no_other() {
        let limits = Limits::default();
        let app: Arc<str> = "a".into();
        let started = Instant::now();
        limits.throttled("dynamodb", "DescribeTable", "us-east-1", started);
        for (service, operation, region) in [
            ("dynamodb", "DescribeTable", "us-west-2"),
            ("dynamodb", "PutItem", "us-east-1"),
            ("acm", "DescribeCertificate", "us-east-1"),
        ] {
            limits.wait(service, operation, region, &app).await;
        }
        assert!(started.elapsed() < FIRST_GAP / 2, "the others go on");
        limits
            .wait("dynamodb", "DescribeTable", "us-east-1", &app)
            .await;
        assert!(
            started.elapsed() >= FIRST_GAP,
            "the one that was throttled waits"
        );
    }

    #[test]
    fn throttles_of_one_moment_count_once_and_the_pace_comes_back_by_and_by() {
        let mut pace = Pace::default();
        let started = Instant::now();
        for _ in 0..24 {
            pace.slow_down(started);
        }
        assert_eq!(pace.gap, FIRST_GAP);
        for _ in 0..24 {
            pace.slow_down(Instant::now());
        }
        assert_eq!(pace.gap, LONGEST_GAP, "but it has a limit");
        pace.recover();
        assert!(
            pace.gap > LONGEST_GAP / 2,
            "one call that was taken is not enough"
        );
        for _ in 0..40 {
            pace.recover();
        }
        assert_eq!(pace.gap, Duration::ZERO);
    }
}
