//! What is wrong with an origin, by a test's or a visitor's will.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::distribution::Origin;

/// How an origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Connections are refused.
    Refuse,
    /// Connections are taken, and reset before there is an answer.
    Reset,
    /// Connection attempts get no answer: each lasts as long as the origin's connection timeout.
    BlackHole,
    /// Connections are taken and nothing is answered: the origin's response timeout ends it.
    Hang,
    /// Every answer has this status.
    Status(u16),
}

/// Which origins fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An origin by its id, in every distribution.
    Origin(String),
    /// Origins by their domain name.
    Host(String),
    /// Buckets and function URLs of a region.
    Region(String),
}

/// The faults there are.
#[derive(Default)]
pub(crate) struct Faults {
    faults: Mutex<BTreeMap<Target, Fault>>,
}

impl Faults {
    pub(crate) fn set(&self, target: Target, fault: Fault) {
        self.lock().insert(target, fault);
    }

    pub(crate) fn heal(&self, target: &Target) {
        self.lock().remove(target);
    }

    pub(crate) fn heal_all(&self) {
        self.lock().clear();
    }

    pub(crate) fn all(&self) -> BTreeMap<Target, Fault> {
        self.lock().clone()
    }

    /// What is wrong with an origin.
    pub(crate) fn of(&self, origin: &Origin) -> Option<Fault> {
        let faults = self.lock();
        let region = origin
            .region()
            .map(|region| Target::Region(region.to_owned()));
        [
            Target::Origin(origin.id.clone()),
            Target::Host(origin.host.clone()),
        ]
        .into_iter()
        .chain(region)
        .find_map(|target| faults.get(&target).copied())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Target, Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
