//! Faults: which calls fail, how, and when.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Service};
use crate::config::{Config, seconds};

/// One fault: the calls it is for, what happens to them, and which of them it hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To which calls. Default: all.
    #[serde(default)]
    pub matches: Matches,
    /// To which of those. Default: each.
    #[serde(default)]
    pub schedule: Schedule,
    /// For how many seconds from when it was set. Default: until it is taken away.
    #[serde(
        default,
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub lasts: Option<Duration>,
}

impl Fault {
    /// A fault of every call, without end.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            matches: Matches::default(),
            schedule: Schedule::Always,
            lasts: None,
        }
    }

    /// Only calls of this service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.matches.service = Some(service);
        self
    }

    /// Only this operation, e.g. `CreateFunction`.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.matches.operation = Some(operation.into());
        self
    }

    /// Only calls to this region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.matches.region = Some(region.into());
        self
    }

    /// Only calls of this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.matches.account = Some(account.into());
        self
    }

    /// Only writes.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.matches.write = Some(true);
        self
    }

    /// Each matching call by itself, with this probability from 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.schedule = Schedule::Random { probability };
        self
    }

    /// Only the first `count` matching calls.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.schedule = Schedule::Calls { from: 1, count };
        self
    }

    /// Only the `number`th matching call, counted from 1.
    #[must_use]
    pub fn nth(mut self, number: u64) -> Self {
        self.schedule = Schedule::Calls {
            from: number,
            count: 1,
        };
        self
    }

    /// Only for this long from when it is set.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasts = Some(duration);
        self
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The service's own throttling error.
    Throttle,
    /// The service's own internal error, HTTP 500.
    Status500,
    /// HTTP 503.
    Status503,
    /// `AccessDenied`, in the service's own shape.
    AccessDenied,
    /// `InvalidParameterValueException`, as Lambda says of a zip that is none.
    InvalidParameter,
    /// The connection is reset and nothing was done.
    ResetBefore,
    /// The call is carried out, then the connection is reset: a lost reply.
    ResetAfter,
    /// As if nobody listened. The proxy has one port for all regions, so the connection is reset at once and nothing
    /// is done, which a caller sees as a failure to connect does: at once, without an answer.
    RefuseRegion,
    /// The call is taken and never answered, until the fault is taken away; then the connection is reset.
    BlackHole,
}

/// Which calls a fault is for. What is absent matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matches {
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The operation, e.g. `CreateFunction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The region of the signature (us-east-1 for global services).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only writes, or only reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<bool>,
    /// A part of the request's path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Matches {
    fn covers(&self, call: &Call) -> bool {
        let Self {
            service,
            operation,
            region,
            account,
            write,
            path,
        } = self;
        service.is_none_or(|wanted| wanted == call.service)
            && operation
                .as_ref()
                .is_none_or(|wanted| *wanted == call.operation)
            && region.as_ref().is_none_or(|wanted| *wanted == call.region)
            && account
                .as_ref()
                .is_none_or(|wanted| *wanted == call.account)
            && write.is_none_or(|wanted| wanted == call.write)
            && path
                .as_ref()
                .is_none_or(|wanted| call.path.contains(wanted))
    }
}

/// Which of the matching calls a fault hits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    /// Each.
    #[default]
    Always,
    /// Each by itself with this probability.
    Random {
        /// From 0 to 1.
        probability: f64,
    },
    /// So many, from the `from`th on, counted from 1.
    Calls {
        /// The number of the first call that is hit.
        from: u64,
        /// How many are hit.
        count: u64,
    },
}

/// The faults of the present config, with what they have seen so far.
pub(crate) struct Faults {
    installed: Vec<Installed>,
    random: StdRng,
    seed: u64,
}

struct Installed {
    fault: Fault,
    since: Instant,
    seen: u64,
}

impl Faults {
    pub(crate) fn new(config: &Config) -> Self {
        let mut faults = Self {
            installed: Vec::new(),
            random: StdRng::seed_from_u64(config.seed),
            seed: config.seed,
        };
        faults.install(config);
        faults
    }

    /// Takes over a new config. A fault that was there already keeps its count and its start.
    pub(crate) fn install(&mut self, config: &Config) {
        if config.seed != self.seed {
            self.seed = config.seed;
            self.random = StdRng::seed_from_u64(config.seed);
        }
        let mut before = std::mem::take(&mut self.installed);
        for fault in &config.faults {
            let kept = before
                .iter()
                .position(|installed| installed.fault == *fault);
            self.installed.push(match kept {
                Some(index) => before.swap_remove(index),
                None => Installed {
                    fault: fault.clone(),
                    since: Instant::now(),
                    seen: 0,
                },
            });
        }
    }

    /// The fault that hits this call, if any. Every fault that is for it counts it.
    pub(crate) fn choose(&mut self, call: &Call) -> Option<FaultKind> {
        let mut chosen = None;
        for installed in &mut self.installed {
            let Installed { fault, since, seen } = installed;
            if !fault.matches.covers(call)
                || fault.lasts.is_some_and(|lasts| since.elapsed() >= lasts)
            {
                continue;
            }
            *seen += 1;
            let hit = match fault.schedule {
                Schedule::Always => true,
                Schedule::Random { probability } => self.random.random::<f64>() < probability,
                Schedule::Calls { from, count } => *seen >= from && *seen - from < count,
            };
            if hit && chosen.is_none() {
                chosen = Some(fault.kind);
            }
        }
        chosen
    }

    /// Whether a black hole still swallows this call.
    pub(crate) fn swallows(&self, call: &Call) -> bool {
        self.installed.iter().any(|installed| {
            let Installed { fault, since, .. } = installed;
            fault.kind == FaultKind::BlackHole
                && fault.matches.covers(call)
                && fault.lasts.is_none_or(|lasts| since.elapsed() < lasts)
        })
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::seconds;

    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => seconds::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds
            .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom))
            .transpose()
    }
}
