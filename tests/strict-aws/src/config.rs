//! What the proxy is asked to do: which rules hold, how long AWS's slow things take, how fast one may call, what fails.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// Everything that can be set, at the start or while the proxy runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which groups of rules hold.
    pub strict: Strict,
    /// How long AWS takes for what an emulator does at once.
    pub delays: Delays,
    /// Requests per second that AWS admits.
    pub limits: Limits,
    /// Items on one page of a list (with `strict.pages`).
    pub page_size: usize,
    /// Distributions that may name the same policy, access control or function (with `strict.cloudfront_validation`).
    pub distributions_sharing: usize,
    /// What fails, and when. The first fault that applies to a call wins.
    pub faults: Vec<Fault>,
    /// Seed of every random choice: the same calls in the same order fail alike.
    pub seed: u64,
    /// Names of validation records that are in DNS outside of Route 53, without the dot at the end.
    pub dns_elsewhere: BTreeSet<String>,
    /// The account of an access key that is neither 12 digits nor of a session that was started through the proxy.
    pub default_account: String,
}

impl Config {
    /// All rules, AWS's delays cut to a few seconds, no faults.
    pub fn strict() -> Self {
        Self {
            strict: Strict::all(),
            delays: Delays::default(),
            limits: Limits::default(),
            page_size: 2,
            distributions_sharing: 100,
            faults: Vec::new(),
            seed: 1,
            dns_elsewhere: BTreeSet::new(),
            default_account: "000000000000".to_owned(),
        }
    }

    /// No rules at all: calls are passed on and recorded, and faults are injected. Origin access identities are
    /// answered all the same, since without the proxy there are none.
    pub fn transparent() -> Self {
        Self {
            strict: Strict::none(),
            ..Self::strict()
        }
    }
}

impl Default for Config {
    /// The same as [`Config::strict`].
    fn default() -> Self {
        Self::strict()
    }
}

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One switch for each group of rules.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Strict {
            $($(#[$doc])* pub $name: bool,)*
        }

        impl Strict {
            /// Every rule holds.
            pub fn all() -> Self {
                Self { $($name: true,)* }
            }

            /// No rule holds.
            pub fn none() -> Self {
                Self { $($name: false,)* }
            }
        }
    };
}

switches! {
    /// CloudFront refuses a config whose quantities, origins, groups, policies, certificate or aliases are wrong.
    cloudfront_validation,
    /// A distribution is `InProgress` for a while after each change, and cannot be deleted meanwhile.
    cloudfront_in_progress,
    /// Policies, access controls and functions that a distribution names cannot be deleted.
    cloudfront_in_use,
    /// Functions are small and read stores that are ready; a new store is `PROVISIONING` for a while.
    cloudfront_functions,
    /// Answers carry the defaults that AWS adds, in AWS's own order.
    cloudfront_defaults,
    /// A function is `Pending` after its creation and `InProgress` after an update; changes meanwhile conflict.
    lambda_states,
    /// A function's role must exist, trust Lambda, and not be brand new.
    lambda_roles,
    /// A function's code must be an object in a bucket of its region, its runtime one that Lambda has.
    lambda_code,
    /// `GetPolicy` of a function without statements is a 404.
    lambda_policies,
    /// A function's URL goes with the function, and the next one has another host.
    lambda_urls,
    /// Tables and replicas are `CREATING` and `UPDATING` for a while; changes meanwhile are refused.
    dynamodb_states,
    /// Protected tables and replicas, repeated settings and unfit streams are refused.
    dynamodb_validation,
    /// Replication needs versioning on both sides, and keeps it on.
    s3_replication,
    /// A bucket policy must be JSON whose principals exist and are known to S3, and whose resources are the bucket's.
    s3_policies,
    /// What the emulator does not know about buckets never falls through to the bucket itself.
    s3_subresources,
    /// New buckets block public access.
    s3_defaults,
    /// Reads of IAM and of bucket configuration lag behind writes.
    stale_reads,
    /// IAM's documents are percent-encoded, its trust policies checked, its roles only deleted when empty.
    iam_policies,
    /// A certificate waits for its validation record, which is made known late.
    acm_validation,
    /// A certificate that a distribution uses cannot be deleted.
    acm_in_use,
    /// Route 53 refuses change batches that contradict the zone.
    route53_validation,
    /// One change at a time in a zone, `PENDING` for a while.
    route53_in_flight,
    /// Requests per second are limited (see [`Limits`]).
    rate_limits,
    /// Lists come in pages of [`Config::page_size`].
    pages,
}

impl Default for Strict {
    /// The same as [`Strict::all`].
    fn default() -> Self {
        Self::all()
    }
}

/// How long things take. In JSON: seconds, as a number. Zero takes no time at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// A distribution is `InProgress` after each change. AWS: minutes.
    #[serde(with = "seconds")]
    pub distribution_in_progress: Duration,
    /// A key value store is `PROVISIONING` after its creation. AWS: seconds.
    #[serde(with = "seconds")]
    pub key_value_store_provisioning: Duration,
    /// A function is `Pending` after its creation. AWS: seconds.
    #[serde(with = "seconds")]
    pub function_pending: Duration,
    /// A function's last update is `InProgress`. AWS: seconds.
    #[serde(with = "seconds")]
    pub function_updating: Duration,
    /// A new role cannot be assumed by Lambda yet. AWS: up to a minute.
    #[serde(with = "seconds")]
    pub role_not_assumable: Duration,
    /// A table is `CREATING`. AWS: some ten seconds.
    #[serde(with = "seconds")]
    pub table_creating: Duration,
    /// A table is `UPDATING` after a change. AWS: seconds to minutes.
    #[serde(with = "seconds")]
    pub table_updating: Duration,
    /// A table is `DELETING`. AWS: seconds.
    #[serde(with = "seconds")]
    pub table_deleting: Duration,
    /// A replica is `CREATING` or `DELETING`. AWS: minutes.
    #[serde(with = "seconds")]
    pub replica_changing: Duration,
    /// A table from which a replica was seeded cannot be deleted. AWS: 24 hours; zero here, so that a whole lifecycle
    /// can be tested, until a test sets it.
    #[serde(with = "seconds")]
    pub replica_seeded: Duration,
    /// An item that was put in one region is not yet shown in another. AWS: about a second; zero here until a test sets it.
    #[serde(with = "seconds")]
    pub replication: Duration,
    /// A certificate's validation record is not in its description yet. AWS: seconds.
    #[serde(with = "seconds")]
    pub certificate_record: Duration,
    /// A certificate whose record is in the zone is not issued yet. AWS: minutes.
    #[serde(with = "seconds")]
    pub certificate_issuing: Duration,
    /// A new origin access identity is not known to S3 as a principal. AWS: seconds.
    #[serde(with = "seconds")]
    pub identity_unknown: Duration,
    /// Reads of IAM and of bucket configuration show what was before a write. AWS: seconds.
    #[serde(with = "seconds")]
    pub stale_reads: Duration,
    /// A change of records is `PENDING`. AWS: up to a minute.
    #[serde(with = "seconds")]
    pub record_change_pending: Duration,
    /// A change of records keeps others out of its zone. AWS: well under a second.
    #[serde(with = "seconds")]
    pub record_change_in_flight: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            distribution_in_progress: seconds(5),
            key_value_store_provisioning: seconds(3),
            function_pending: seconds(3),
            function_updating: seconds(2),
            role_not_assumable: seconds(6),
            table_creating: seconds(3),
            table_updating: seconds(2),
            table_deleting: seconds(2),
            replica_changing: seconds(4),
            replica_seeded: Duration::ZERO,
            replication: Duration::ZERO,
            certificate_record: seconds(3),
            certificate_issuing: seconds(2),
            identity_unknown: seconds(2),
            stale_reads: seconds(3),
            record_change_pending: seconds(3),
            record_change_in_flight: Duration::from_millis(300),
        }
    }
}

/// Requests per second, each the size of the burst too; of one account, and where the service is regional, of one
/// region of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// All of Route 53's calls together.
    pub route53: f64,
    /// Lambda's control plane but `GetFunction`.
    pub lambda: f64,
    /// Lambda's `GetFunction`.
    pub lambda_get_function: f64,
}

impl Default for Limits {
    /// AWS's, which nobody can have raised.
    fn default() -> Self {
        Self {
            route53: 5.0,
            lambda: 15.0,
            lambda_get_function: 100.0,
        }
    }
}

/// A duration as a number of seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}
