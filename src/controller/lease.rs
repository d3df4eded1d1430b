//! Who leads, by a Lease: what to ask the API server next, and what its answer means.
//!
//! No clock is compared with another's. A leader counts from the moment before it asked for its last renewal; the others
//! count from the moment at which they first saw the record as it is now. As the leader gives up sooner than the others
//! may take over, and each write names the version that it replaces, no two lead at once, however far apart their clocks
//! are and however late anything arrives. No I/O is done here.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// The times of a lease: client-go's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// For so long after they last saw a change, others leave it to its holder. In whole seconds.
    pub(super) lease: Duration,
    /// For so long after its last renewal the holder acts. What it has begun by then has the rest of the lease to end.
    pub(super) deadline: Duration,
    /// Between two tries, of either.
    pub(super) retry: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// One that would lead, or does.
#[derive(Debug)]
pub(super) struct Elector {
    /// No other process ever has the same.
    identity: String,
    lease: String,
    terms: Terms,
    /// The record as it was last seen, and since when it has been seen so.
    seen: Option<(LeaseSpec, Instant)>,
    held: Option<Held>,
    failure: String,
}

/// The lease as it was last written by us.
#[derive(Debug)]
struct Held {
    lease: Lease,
    until: Instant,
}

/// What to ask the API server.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Ask {
    Get,
    Create(Box<Lease>),
    /// Of the version that the lease names.
    Replace(Box<Lease>),
}

/// What it answered.
#[derive(Debug)]
pub(super) enum Answer {
    Found(Box<Lease>),
    Absent,
    /// As it is now stored.
    Written(Box<Lease>),
    /// It was changed or made meanwhile.
    Conflict,
    /// Nothing is known of it.
    Failed(String),
}

/// The present, as the caller sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// For people who read the lease; nothing is decided by it.
    pub(super) wall: Timestamp,
    /// How long to wait until the next try: [`Terms::retry`] and some more, by chance.
    pub(super) pause: Duration,
}

/// What to do next.
#[derive(PartialEq, Debug)]
pub(super) enum Turn {
    /// At once.
    Ask(Ask),
    /// Nothing until then; then [`Elector::wake`].
    Wait(Instant),
}

/// Why a leader leads no more.
#[derive(PartialEq, Debug, thiserror::Error)]
pub enum Deposed {
    /// So another may be leading by now.
    #[error("the lease {lease} could not be renewed within {} s{failure}", deadline.as_secs())]
    NotRenewed {
        /// Its name.
        lease: String,
        /// Within what.
        deadline: Duration,
        /// What the API server said last, after a separator.
        failure: String,
    },
    /// Another leads.
    #[error("the lease {lease} was taken over by {holder}")]
    TakenOver {
        /// Its name.
        lease: String,
        /// By whom.
        holder: String,
    },
}

impl Elector {
    pub(super) fn new(identity: String, lease: String, terms: Terms) -> Self {
        Self {
            identity,
            lease,
            terms,
            seen: None,
            held: None,
            failure: String::new(),
        }
    }

    /// Takes up that the record is as it is since then, as it was seen elsewhere in this process.
    pub(super) fn saw(&mut self, spec: LeaseSpec, since: Instant) {
        self.seen = Some((spec, since));
    }

    /// Until when it leads, unless the lease is renewed before.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }

    /// Who holds the lease, as far as was seen.
    pub(super) fn holder(&self) -> Option<&str> {
        holder(&self.seen.as_ref()?.0)
    }

    /// What to ask after a wait, or to begin with.
    pub(super) fn wake(&mut self, now: Now) -> Result<Turn, Deposed> {
        self.in_time(now)?;
        Ok(Turn::Ask(match &self.held {
            Some(held) => self.renewal(&held.lease, now),
            None => Ask::Get,
        }))
    }

    /// Takes in the answer to what was asked at `asked`.
    pub(super) fn hear(
        &mut self,
        asked: Instant,
        answer: Answer,
        now: Now,
    ) -> Result<Turn, Deposed> {
        self.in_time(now)?;
        match answer {
            Answer::Written(lease) => Ok(self.written(asked, *lease, now)),
            Answer::Found(lease) if self.held.is_some() => self.still_ours(&lease, now),
            Answer::Found(lease) => Ok(self.look(&lease, now)),
            // Deleted by hand; whoever led may not know yet.
            Answer::Absent => Ok(match self.leave_until() {
                Some(end) if now.at < end => Turn::Wait(end.min(now.at + now.pause)),
                _ => Turn::Ask(Ask::Create(Box::new(self.new_lease(now)))),
            }),
            Answer::Conflict if self.held.is_some() => Ok(Turn::Ask(Ask::Get)),
            Answer::Conflict => Ok(self.pause(now)),
            Answer::Failed(failure) => {
                self.failure = format!(": {failure}");
                Ok(self.pause(now))
            }
        }
    }

    /// What to ask to let go of the lease, so that the next one need not wait: `found` if it is not as we left it.
    pub(super) fn release(&self, found: Option<&Lease>, now: Now) -> Option<Ask> {
        let lease = found.or(self.held.as_ref().map(|held| &held.lease))?;
        let spec = lease.spec.as_ref()?;
        if holder(spec) != Some(&self.identity) {
            return None;
        }
        let mut released = lease.clone();
        released.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(now.wall)),
            ..spec.clone()
        });
        Some(Ask::Replace(Box::new(released)))
    }

    fn in_time(&self, now: Now) -> Result<(), Deposed> {
        match &self.held {
            Some(held) if now.at >= held.until => Err(Deposed::NotRenewed {
                lease: self.lease.clone(),
                deadline: self.terms.deadline,
                failure: self.failure.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn pause(&self, now: Now) -> Turn {
        let next = now.at + now.pause;
        Turn::Wait(match &self.held {
            Some(held) => next.min(held.until),
            None => next,
        })
    }

    fn written(&mut self, asked: Instant, lease: Lease, now: Now) -> Turn {
        let until = asked + self.terms.deadline;
        if now.at >= until {
            // It took too long to count on; as nobody led before, it is looked at again.
            return self.pause(now);
        }
        self.seen = lease.spec.clone().map(|spec| (spec, now.at));
        self.held = Some(Held { lease, until });
        self.failure.clear();
        self.pause(now)
    }

    /// A look at the lease of one that does not lead.
    fn look(&mut self, lease: &Lease, now: Now) -> Turn {
        let spec = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(before, _)| *before != spec) {
            self.seen = Some((spec.clone(), now.at));
        }
        match holder(&spec) {
            // An answer was lost: it is ours already.
            Some(holder) if holder == self.identity => Turn::Ask(self.renewal(lease, now)),
            Some(_) => match self.leave_until() {
                Some(end) if now.at < end => Turn::Wait(end.min(now.at + now.pause)),
                _ => Turn::Ask(self.taking(lease, now)),
            },
            None => Turn::Ask(self.taking(lease, now)),
        }
    }

    /// A look at the lease of the one that leads, after a write was refused.
    fn still_ours(&self, lease: &Lease, now: Now) -> Result<Turn, Deposed> {
        let holder = lease.spec.as_ref().and_then(holder);
        if holder == Some(&self.identity) {
            return Ok(Turn::Ask(self.renewal(lease, now)));
        }
        Err(Deposed::TakenOver {
            lease: self.lease.clone(),
            holder: holder.unwrap_or("nobody").to_owned(),
        })
    }

    /// Until when the lease is left to another that was seen to hold it.
    fn leave_until(&self) -> Option<Instant> {
        let (spec, since) = self.seen.as_ref()?;
        holder(spec).filter(|holder| *holder != self.identity)?;
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        let lasts = u64::try_from(seconds).map_or(Duration::ZERO, Duration::from_secs);
        // A lease that names no time is of nobody who keeps to this; ours is then the least.
        Some(
            *since
                + if lasts.is_zero() {
                    self.terms.lease
                } else {
                    lasts
                },
        )
    }

    fn new_lease(&self, now: Now) -> Lease {
        let (namespace, name) = self.lease.split_once('/').unwrap_or(("", &self.lease));
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                lease_transitions: Some(0),
                ..self.spec(now)
            }),
        }
    }

    fn taking(&self, lease: &Lease, now: Now) -> Ask {
        let before = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let mut taken = lease.clone();
        taken.spec = Some(LeaseSpec {
            lease_transitions: Some(before.unwrap_or(0).saturating_add(1)),
            ..self.spec(now)
        });
        Ask::Replace(Box::new(taken))
    }

    fn renewal(&self, lease: &Lease, now: Now) -> Ask {
        let mut renewed = lease.clone();
        let spec = renewed.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(now.wall));
        spec.lease_duration_seconds = self.spec(now).lease_duration_seconds;
        Ask::Replace(Box::new(renewed))
    }

    fn spec(&self, now: Now) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.terms.lease.as_secs()).ok(),
            acquire_time: Some(MicroTime(now.wall)),
            renew_time: Some(MicroTime(now.wall)),
            ..LeaseSpec::default()
        }
    }
}

fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests;
