//! Rate limits of the account, shared by all its apps.
//!
//! Each service's documented limit is kept from our side, so that a fleet of apps does not use up what the account's
//! other users need; a throttle slows down that service in that region, and nothing else.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// How long a service is left alone after its first throttle; doubled with each further one in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A throttle this long after the last one counts as a first one again.
const CALM: Duration = Duration::from_secs(60);

/// The lane of what CloudFront takes some thirty of a minute.
const INVALIDATIONS: &str = "cloudfront:CreateInvalidation";
const BETWEEN_INVALIDATIONS: Duration = Duration::from_secs(2);

/// Token buckets and pauses, one each service × region.
#[derive(Default)]
pub struct Limits {
    lanes: Mutex<HashMap<(String, String), Arc<Lane>>>,
}

struct Lane {
    bucket: Option<DefaultDirectRateLimiter>,
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    length: Duration,
}

/// Calls a second, and in a burst, that we take of a service. AWS's own limits: Route 53 5/s an account, Lambda's
/// control plane 15/s a region (GetFunction 100/s), CloudFront's and IAM's writes some few a second.
fn quota(service: &str, operation: &str) -> Option<(u32, u32)> {
    match (service, operation) {
        ("route53", _) => Some((4, 4)),
        ("lambda", "GetFunction") => Some((80, 80)),
        ("lambda", _) => Some((12, 12)),
        ("cloudfront", "CreateInvalidation") => Some((1, 1)),
        ("cloudfront", operation) if operation.starts_with("Update") => Some((2, 4)),
        _ => None,
    }
}

/// Operations with a quota of their own have a lane of their own.
fn lane_name(service: &str, operation: &str) -> String {
    match (service, operation) {
        ("lambda", "GetFunction") | ("cloudfront", "CreateInvalidation") => {
            format!("{service}:{operation}")
        }
        ("cloudfront", operation) if operation.starts_with("Update") => "cloudfront:Update".into(),
        _ => service.into(),
    }
}

impl Limits {
    /// Waits for a token, and for the end of a pause.
    pub async fn wait(&self, service: &str, operation: &str, region: &str) {
        let lane = self.lane(
            &lane_name(service, operation),
            region,
            quota(service, operation),
        );
        let until = lane
            .pause
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .until;
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        if let Some(bucket) = &lane.bucket {
            bucket.until_ready().await;
        }
    }

    /// Notes that AWS throttled a call of `service` in `region`.
    pub fn throttled(&self, service: &str, region: &str) {
        let lane = self.lane(service, region, quota(service, ""));
        let mut pause = lane
            .pause
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let fresh = pause
            .until
            .is_none_or(|until| now.duration_since(until) > CALM);
        pause.length = if fresh {
            FIRST_PAUSE
        } else {
            (pause.length * 2).min(LONGEST_PAUSE)
        };
        pause.until = Some(now + pause.length);
    }

    fn lane(&self, name: &str, region: &str, quota: Option<(u32, u32)>) -> Arc<Lane> {
        let mut lanes = self
            .lanes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = || {
            let bucket = quota.and_then(|(rate, burst)| {
                let quota = if name == INVALIDATIONS {
                    Quota::with_period(BETWEEN_INVALIDATIONS)?
                } else {
                    Quota::per_second(NonZeroU32::new(rate)?)
                };
                Some(RateLimiter::direct(
                    quota.allow_burst(NonZeroU32::new(burst)?),
                ))
            });
            Arc::new(Lane {
                bucket,
                pause: Mutex::default(),
            })
        };
        lanes
            .entry((name.to_owned(), region.to_owned()))
            .or_insert_with(new)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_throttle_slows_its_own_lane_and_no_other() {
        let limits = Limits::default();
        limits.throttled("dynamodb", "us-east-1");
        let started = Instant::now();
        limits.wait("dynamodb", "DescribeTable", "us-west-2").await;
        limits.wait("acm", "DescribeCertificate", "us-east-1").await;
        assert!(started.elapsed() < FIRST_PAUSE / 2, "other lanes go on");
        limits.wait("dynamodb", "DescribeTable", "us-east-1").await;
        assert!(started.elapsed() >= FIRST_PAUSE, "the throttled lane waits");
    }
}
