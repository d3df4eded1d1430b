//! Who is there: a lease each process renews. No clock is compared with another's, as in [`super::super::lease`]: a
//! process is there as long as its lease changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::ResourceExt;
use rand::Rng;

use super::Members;

/// Between two renewals.
const RENEWAL: Duration = Duration::from_secs(4);
/// Who has not renewed for so long is not there; the same as a shard's lease lasts.
const LASTS: Duration = Duration::from_secs(15);
/// What is left of who is gone is removed after this.
const FORGET: Duration = Duration::from_secs(120);

/// The processes seen, and this one's own sign.
pub(super) struct Roll {
    identity: String,
    prefix: String,
    own: Option<Lease>,
    announced: Option<Instant>,
    /// The version of each lease, and since when it is that.
    seen: HashMap<String, Sign>,
}

struct Sign {
    identity: String,
    version: Option<String>,
    since: Instant,
}

impl Roll {
    /// `process` is how people know this one.
    pub(super) fn new(process: &str, prefix: &str) -> Self {
        // A container that is started again in its pod is another.
        let identity = format!("{process}_{:016x}", rand::rng().random::<u64>());
        Self {
            identity,
            prefix: prefix.to_owned(),
            own: None,
            announced: None,
            seen: HashMap::new(),
        }
    }

    /// No other process ever has the same.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// The name of this one's lease: its random part alone, as a pod's name may be as long as a name can be.
    pub(super) fn lease_name(&self) -> String {
        let random = self.identity.rsplit('_').next().unwrap_or(&self.identity);
        format!("{}{random}", self.prefix)
    }

    /// This one's lease to write, if that is due.
    pub(super) fn due(&self, now: Instant, wall: Timestamp) -> Option<Lease> {
        let fresh = |at: Instant| now.duration_since(at) < RENEWAL;
        if self.announced.is_some_and(fresh) {
            return None;
        }
        let mut lease = self.own.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.lease_name()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            renew_time: Some(MicroTime(wall)),
            ..LeaseSpec::default()
        });
        Some(lease)
    }

    /// It was written.
    pub(super) fn announced(&mut self, lease: Lease, now: Instant) {
        self.own = Some(lease);
        self.announced = Some(now);
    }

    /// Somebody else changed it or took it away.
    pub(super) fn lost(&mut self) {
        self.own = None;
        self.announced = None;
    }

    /// Takes in the leases as they are now.
    pub(super) fn see(&mut self, leases: &[Lease], now: Instant) {
        let mut seen = HashMap::new();
        for lease in leases {
            let name = lease.name_any();
            let holder = lease
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.clone());
            let (true, Some(identity)) = (name.starts_with(&self.prefix), holder) else {
                continue;
            };
            if self.own.is_none() && name == self.lease_name() {
                self.own = Some(lease.clone());
            }
            let version = lease.resource_version();
            let since = match self.seen.get(&name) {
                Some(before) if before.version == version => before.since,
                _ => now,
            };
            let sign = Sign {
                identity,
                version,
                since,
            };
            seen.insert(name, sign);
        }
        self.seen = seen;
        if self.own.is_some() && !self.seen.contains_key(&self.lease_name()) {
            self.lost();
        }
    }

    /// Who is there, this one always.
    pub(super) fn living(&self) -> Members {
        let newest = self.seen.values().map(|sign| sign.since).max();
        let lives =
            |sign: &&Sign| newest.is_some_and(|newest| newest.duration_since(sign.since) < LASTS);
        let mut living: Members = self
            .seen
            .values()
            .filter(lives)
            .map(|sign| sign.identity.clone())
            .collect();
        living.insert(self.identity.clone());
        living
    }

    /// Names of leases whose processes are long gone.
    pub(super) fn forgotten(&self, now: Instant) -> Vec<String> {
        let gone = self
            .seen
            .iter()
            .filter(|(_, sign)| now.duration_since(sign.since) > FORGET);
        gone.map(|(name, _)| name.clone()).collect()
    }
}
