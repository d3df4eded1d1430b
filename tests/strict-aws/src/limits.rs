//! How fast one may call: a token bucket for each account, and region, of the services that AWS holds tight.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::call::{Call, Service};
use crate::config::Limits;

/// The buckets, by what they are of.
#[derive(Default)]
pub(crate) struct Buckets(Mutex<HashMap<(&'static str, String), Bucket>>);

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Buckets {
    /// Takes a token for a call; false if there is none.
    pub(crate) fn admit(&self, call: &Call, limits: &Limits) -> bool {
        let regional = || format!("{}/{}", call.account, call.region);
        let (name, of, rate) = match (call.service, call.operation.as_str()) {
            // All of Route 53's API together, over the whole account.
            (Service::Route53, _) => ("route53", call.account.clone(), limits.route53),
            (Service::Lambda, "GetFunction") => (
                "lambda-get-function",
                regional(),
                limits.lambda_get_function,
            ),
            // Invocations are no control plane.
            (Service::Lambda, operation) if operation.starts_with("Invoke") => return true,
            (Service::Lambda, _) => ("lambda", regional(), limits.lambda),
            _ => return true,
        };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let bucket = buckets.entry((name, of)).or_insert(Bucket {
            tokens: rate,
            filled: now,
        });
        bucket.tokens =
            (bucket.tokens + (now - bucket.filled).as_secs_f64() * rate).min(rate.max(1.0));
        bucket.filled = now;
        let admitted = rate > 0.0 && bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}
