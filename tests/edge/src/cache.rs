//! The cache: answers by key, for as long as policy, origin and error settings say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::{HeaderMap, Response};

use crate::pattern;
use crate::policy::CachePolicy;

/// How long CloudFront keeps an error where the distribution does not say.
const ERROR_TTL: u64 = 10;
/// Errors that are kept whatever the origin says.
const ERRORS_ALWAYS: [u16; 8] = [404, 410, 414, 500, 501, 502, 503, 504];
/// Errors that are kept if the origin gives them an age, or the distribution a TTL.
const ERRORS_IF_ASKED: [u16; 5] = [400, 403, 405, 412, 415];
/// Of the errors that are always kept, those that the origin may forbid to keep.
const ERRORS_UNLESS_FORBIDDEN: [u16; 4] = [404, 410, 414, 501];

/// An answer that is kept.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) answer: Response<Bytes>,
    /// The origin it came from.
    pub(crate) origin: String,
    pub(crate) stored: Instant,
    until: Instant,
    distribution: String,
    path: String,
}

/// What is kept.
#[derive(Default)]
pub(crate) struct Cache {
    entries: Mutex<HashMap<String, Entry>>,
}

impl Cache {
    /// What is kept for a request and not too old. A GET's answer serves a HEAD.
    pub(crate) fn get(&self, method: &str, key: &str, now: Instant) -> Option<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let methods: &[&str] = if method == "HEAD" {
            &["HEAD", "GET"]
        } else {
            &[method]
        };
        methods
            .iter()
            .find_map(|method| entries.get(&format!("{method} {key}")))
            .filter(|entry| entry.until > now)
            .cloned()
    }

    /// Keeps an answer for a while.
    pub(crate) fn put(&self, method: &str, key: &str, kept: Kept<'_>, now: Instant) {
        let entry = Entry {
            answer: kept.answer.clone(),
            origin: kept.origin.to_owned(),
            stored: now,
            until: now + kept.lifetime,
            distribution: kept.distribution.to_owned(),
            path: kept.path.to_owned(),
        };
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(format!("{method} {key}"), entry);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Forgets what an invalidation names: paths, which may end with `*`.
    pub(crate) fn invalidate(&self, distribution: &str, paths: &[String]) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, entry| {
                let named = paths.iter().any(|path| pattern::matches(path, &entry.path));
                entry.distribution != distribution || !named
            });
    }
}

/// An answer to keep, and of what.
pub(crate) struct Kept<'a> {
    pub(crate) answer: &'a Response<Bytes>,
    pub(crate) origin: &'a str,
    pub(crate) distribution: &'a str,
    pub(crate) path: &'a str,
    pub(crate) lifetime: Duration,
}

/// How long an answer is kept; zero is not at all. `error_ttl` is the distribution's for this status.
pub(crate) fn lifetime(
    status: u16,
    headers: &HeaderMap,
    policy: &CachePolicy,
    error_ttl: Option<u64>,
    now: SystemTime,
) -> Duration {
    let said = Said::by(headers, now);
    let seconds = if status < 400 {
        success(&said, policy)
    } else {
        error(status, &said, policy, error_ttl)
    };
    Duration::from_secs(seconds)
}

fn success(said: &Said, policy: &CachePolicy) -> u64 {
    if said.forbidden {
        return policy.min_ttl;
    }
    said.age
        .unwrap_or(policy.default_ttl)
        .max(policy.min_ttl)
        .min(policy.max_ttl)
}

fn error(status: u16, said: &Said, policy: &CachePolicy, error_ttl: Option<u64>) -> u64 {
    let least = error_ttl.unwrap_or(ERROR_TTL);
    let age = said.age.unwrap_or(0).min(policy.max_ttl);
    if ERRORS_ALWAYS.contains(&status) {
        match said.forbidden {
            true if ERRORS_UNLESS_FORBIDDEN.contains(&status) => 0,
            true => least,
            false => least.max(age),
        }
    } else if ERRORS_IF_ASKED.contains(&status) && (error_ttl.is_some() || said.age.is_some()) {
        if said.forbidden {
            error_ttl.unwrap_or(0)
        } else {
            least.max(age)
        }
    } else {
        0
    }
}

/// What the origin says of an answer's age.
struct Said {
    /// `no-store`, `no-cache` or `private`.
    forbidden: bool,
    /// Seconds, of `s-maxage`, else `max-age`, else `Expires`.
    age: Option<u64>,
}

impl Said {
    fn by(headers: &HeaderMap, now: SystemTime) -> Self {
        let directives: Vec<String> = headers
            .get_all("cache-control")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|directive| directive.trim().to_ascii_lowercase())
            .collect();
        let seconds = |name: &str| {
            directives
                .iter()
                .filter_map(|directive| directive.split_once('='))
                .find(|(found, _)| found.trim() == name)
                .and_then(|(_, value)| value.trim().trim_matches('"').parse().ok())
        };
        let expires = || {
            let value = headers.get("expires")?.to_str().ok()?;
            // A value that is no date, e.g. `0`, is a date in the past.
            let date = httpdate::parse_http_date(value).unwrap_or(SystemTime::UNIX_EPOCH);
            Some(date.duration_since(now).map_or(0, |age| age.as_secs()))
        };
        Self {
            forbidden: ["no-store", "no-cache", "private"]
                .iter()
                .any(|name| directives.iter().any(|directive| directive == name)),
            age: seconds("s-maxage")
                .or_else(|| seconds("max-age"))
                .or_else(expires),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn kept(
        status: u16,
        header: (&'static str, &str),
        policy: &CachePolicy,
        error_ttl: Option<u64>,
    ) -> u64 {
        let mut headers = HeaderMap::new();
        if !header.0.is_empty() {
            headers.insert(header.0, HeaderValue::from_str(header.1).expect("a value"));
        }
        lifetime(status, &headers, policy, error_ttl, SystemTime::now()).as_secs()
    }

    const NOTHING: (&str, &str) = ("", "");

    #[test]
    fn the_origin_decides_within_the_policys_bounds() {
        let policy = CachePolicy {
            min_ttl: 5,
            default_ttl: 60,
            max_ttl: 300,
            ..CachePolicy::default()
        };
        for (header, expected) in [
            (NOTHING, 60),
            (("cache-control", "public, max-age=120"), 120),
            (("cache-control", "max-age=120, s-maxage=30"), 30),
            (("cache-control", "max-age=0"), 5),
            (("cache-control", "max-age=3600"), 300),
            (("cache-control", "no-store"), 5),
            (("cache-control", "private, max-age=60"), 5),
            (("expires", "Thu, 01 Jan 1970 00:00:00 GMT"), 5),
        ] {
            assert_eq!(kept(200, header, &policy, None), expected, "{header:?}");
        }
        let no_least = CachePolicy {
            min_ttl: 0,
            ..policy
        };
        assert_eq!(kept(200, ("cache-control", "no-cache"), &no_least, None), 0);
        let disabled =
            CachePolicy::managed("4135ea2d-6df8-44a3-9df3-4b5a84be39ad").expect("managed");
        assert_eq!(
            kept(200, ("cache-control", "max-age=60"), &disabled, None),
            0
        );
    }

    #[test]
    fn errors_are_kept_for_ten_seconds_unless_the_distribution_says_otherwise() {
        let policy = CachePolicy::managed("4135ea2d-6df8-44a3-9df3-4b5a84be39ad").expect("managed");
        assert_eq!(kept(502, NOTHING, &policy, None), 10);
        assert_eq!(kept(502, ("cache-control", "no-store"), &policy, None), 10);
        assert_eq!(kept(502, NOTHING, &policy, Some(0)), 0);
        assert_eq!(kept(404, NOTHING, &policy, None), 10);
        assert_eq!(kept(404, ("cache-control", "no-store"), &policy, None), 0);
        assert_eq!(kept(403, NOTHING, &policy, None), 0);
        assert_eq!(kept(403, NOTHING, &policy, Some(30)), 30);
        assert_eq!(kept(429, NOTHING, &policy, Some(30)), 0);
        let caching = CachePolicy::default();
        assert_eq!(
            kept(503, ("cache-control", "max-age=60"), &caching, Some(5)),
            60
        );
    }
}
