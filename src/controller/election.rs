//! Stands for election, leads while the lease is renewed, and lets go of it in the end.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use rand::Rng;
use tokio_util::sync::CancellationToken;

pub use super::lease::Deposed;
use super::lease::{Answer, Ask, Elector, Now, Terms, Turn};
use crate::aws::fence::Fence;
use crate::telemetry::{Health, Standing};

/// The API server is given so long for an answer, and then asked again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses are longer by up to so much of themselves, so that candidates do not move in step.
const JITTER: f64 = 0.2;
/// How often a lease is tried to be released; after that it runs out by itself.
const RELEASES: usize = 3;

/// A candidate for a lease.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    lease: String,
    identity: String,
    health: Health,
    /// Whether what it stands for is all that the process does.
    alone: bool,
    elector: Elector,
    terms: Terms,
}

impl Election {
    /// One that will stand for the lease of this name. `process` is how people know this process, as by its pod.
    pub fn new(client: Client, namespace: &str, name: &str, process: &str, health: Health) -> Self {
        // A container that is started again in its pod is another.
        let identity = format!("{process}_{:016x}", rand::rng().random::<u64>());
        Self::of(client, namespace, name, identity, health, true)
    }

    /// One of several that a process stands for, under one identity; how the process stands is told elsewhere.
    pub(super) fn of_shard(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        health: Health,
    ) -> Self {
        Self::of(client, namespace, name, identity.to_owned(), health, false)
    }

    /// The lease has been seen to be so since then: it need not be watched for that long again before it is taken over.
    pub(super) fn having_seen(mut self, seen: Option<(LeaseSpec, Instant)>) -> Self {
        if let Some((spec, since)) = seen {
            self.elector.saw(spec, since);
        }
        self
    }

    fn of(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        health: Health,
        alone: bool,
    ) -> Self {
        let lease = format!("{namespace}/{name}");
        let terms = Terms::default();
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            elector: Elector::new(identity.clone(), lease.clone(), terms),
            lease,
            identity,
            health,
            alone,
            terms,
        }
    }

    /// Waits until this process leads, and then does `work` within the fence that it is given, until that ends or the
    /// lease is lost. None: it was stopped while it stood by.
    ///
    /// # Errors
    /// When the lease is lost. `stop` is cancelled then, the fence is shut, and the process has to end: what it was in
    /// the midst of stands still where it was.
    pub async fn lead<T, W: Future<Output = T>>(
        mut self,
        stop: &CancellationToken,
        work: impl FnOnce(Fence) -> W,
    ) -> Result<Option<T>, Deposed> {
        let Some(until) = self.acquire(stop).await else {
            return Ok(None);
        };
        let fence = Fence::until(until);
        tokio::select! {
            biased;
            deposed = self.keep(&fence) => {
                fence.shut();
                stop.cancel();
                self.health.metrics.works(0);
                tracing::error!(lease = self.lease, identity = self.identity, %deposed, "leads no more: everything is stopped");
                Err(deposed)
            }
            done = work(fence.clone()) => {
                fence.shut();
                self.release().await;
                Ok(Some(done))
            }
        }
    }

    /// Until when it leads at first; none if `stop` came before.
    async fn acquire(&mut self, stop: &CancellationToken) -> Option<Instant> {
        tracing::info!(
            lease = self.lease,
            identity = self.identity,
            "stands for election"
        );
        let mut turn = self.elector.wake(now(self.terms));
        loop {
            turn = match turn {
                Ok(Turn::Ask(ask)) => self.turn(ask).await,
                Ok(Turn::Wait(until)) => {
                    if let Some(until) = self.elector.leads_until() {
                        self.stand(Standing::Leader);
                        tracing::info!(lease = self.lease, identity = self.identity, "leads");
                        return Some(until);
                    }
                    tokio::select! {
                        () = stop.cancelled() => return None,
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                    self.elector.wake(now(self.terms))
                }
                // Who does not lead cannot be deposed.
                Err(_) => self.elector.wake(now(self.terms)),
            };
        }
    }

    /// Renews the lease until that fails for too long, or another has it.
    async fn keep(&mut self, fence: &Fence) -> Deposed {
        let mut turn = Ok(Turn::Wait(Instant::now() + now(self.terms).pause));
        loop {
            turn = match turn {
                Ok(Turn::Ask(ask)) => self.turn(ask).await,
                Ok(Turn::Wait(until)) => {
                    tokio::time::sleep_until(until.into()).await;
                    self.elector.wake(now(self.terms))
                }
                Err(deposed) => return deposed,
            };
            if let Some(until) = self.elector.leads_until() {
                // Shut already, it stays so, and the next turn says why.
                fence.put_off(until);
            }
        }
    }

    /// Lets go of the lease, so that the next one need not wait for it to run out.
    async fn release(&self) {
        let mut found = None;
        for _ in 0..RELEASES {
            let Some(ask) = self.elector.release(found.as_ref(), now(self.terms)) else {
                return;
            };
            let answer = match self.ask(ask, PATIENCE).await {
                // The last renewal may have been under way.
                Answer::Conflict => self.ask(Ask::Get, PATIENCE).await,
                answer => answer,
            };
            match answer {
                Answer::Found(lease) => found = Some(*lease),
                Answer::Written(_) => {
                    tracing::info!(lease = self.lease, "the lease is released");
                    return;
                }
                answer => {
                    tracing::warn!(
                        lease = self.lease,
                        ?answer,
                        "the lease is not released, and has to run out"
                    );
                    return;
                }
            }
        }
    }

    async fn turn(&mut self, ask: Ask) -> Result<Turn, Deposed> {
        let asked = Instant::now();
        let left = self.elector.leads_until().map(|until| until - asked);
        let answer = self.ask(ask, left.unwrap_or(PATIENCE).min(PATIENCE)).await;
        let failure = match &answer {
            Answer::Failed(failure) => Some(failure.clone()),
            _ => None,
        };
        let turn = self.elector.hear(asked, answer, now(self.terms));
        self.tell(failure);
        turn
    }

    /// For `/readyz` and the log, of one that does not lead; a leader's failures are told when it is deposed.
    fn tell(&self, failure: Option<String>) {
        if self.elector.leads_until().is_some() {
            if let Some(failure) = failure {
                tracing::warn!(
                    lease = self.lease,
                    failure,
                    "the lease was not renewed; trying again"
                );
            }
            return;
        }
        if let Some(failure) = failure {
            if self.stand(Standing::Failed(failure.clone())) {
                let advice = "may this account get, create and update leases in that namespace (multiregion rbac | kubectl apply -f -)?";
                tracing::warn!(
                    lease = self.lease,
                    failure,
                    advice,
                    "the lease cannot be taken; trying on"
                );
            }
            return;
        }
        let others = |holder: &&str| *holder != self.identity;
        if let Some(holder) = self.elector.holder().filter(others)
            && self.stand(Standing::Standby(holder.to_owned()))
        {
            tracing::info!(lease = self.lease, holder, "stands by");
        }
    }

    /// Tells what the process is, if this is for the election to tell; true if that is news.
    fn stand(&self, standing: Standing) -> bool {
        self.alone && self.health.stand(standing)
    }

    async fn ask(&self, ask: Ask, patience: Duration) -> Answer {
        let create = matches!(ask, Ask::Create(_));
        let asked = async {
            Ok(match ask {
                Ask::Get => match self.leases.get_opt(&self.name).await? {
                    Some(lease) => Answer::Found(Box::new(lease)),
                    None => Answer::Absent,
                },
                Ask::Create(lease) => {
                    let created = self.leases.create(&PostParams::default(), &lease).await?;
                    Answer::Written(Box::new(created))
                }
                Ask::Replace(lease) => {
                    let parameters = PostParams::default();
                    let replaced = self.leases.replace(&self.name, &parameters, &lease).await?;
                    Answer::Written(Box::new(replaced))
                }
            })
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Answer::Conflict,
            // At a creation it is the namespace that is missing.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && !create => Answer::Absent,
            Ok(Err(error)) => Answer::Failed(crate::chain(&error)),
            Err(_) => Answer::Failed(format!("no answer within {:.1} s", patience.as_secs_f64())),
        }
    }
}

fn now(terms: Terms) -> Now {
    Now {
        at: Instant::now(),
        wall: Timestamp::now(),
        pause: terms
            .retry
            .mul_f64(1.0 + rand::rng().random_range(0.0..JITTER)),
    }
}
