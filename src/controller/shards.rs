//! Apps spread over several processes: each app belongs to one of a number of shards, each shard to the process that
//! holds its lease.
//!
//! A shard is an election of its own, so that all that holds of one leader holds of a shard's: the lease, the fence, the
//! end of a process that is deposed. What is added here is who stands for which: each process says by a lease of its own
//! that it is there, and by that all of them know how many a fair share is. Nothing rests on their seeing the same:
//! whoever reckons wrongly holds a few too many or too few for a while, and no two ever hold the same.

mod balance;
mod roll;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::election::{Deposed, Election};
use crate::aws::fence::Fence;
use crate::aws::limits::Sharers;
use crate::telemetry::{Health, Standing};
use balance::balance;
use roll::Roll;

/// Between two looks at who is there and who holds what.
const LOOK: Duration = Duration::from_secs(2);
/// The API server is given so long for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which apps a process works on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Shard {
    /// From 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Shard {
    /// The one shard that has every app.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// Whether the app of this name is in it. The same in every process and version: another answer would have an app in
    /// two shards while processes of both run.
    pub fn has(self, namespace: &str, name: &str) -> bool {
        if self.of <= 1 {
            return true;
        }
        let hash = Sha256::digest(format!("{namespace}/{name}"));
        let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        first % self.of == self.number
    }
}

/// Where the leases are, and what they are called.
#[derive(Clone, Debug)]
pub struct Leases {
    /// Their namespace.
    pub namespace: String,
    /// What their names begin with.
    pub name: String,
    /// How people know this process, as by its pod.
    pub process: String,
    /// How many shards there are.
    pub shards: u32,
}

impl Leases {
    fn shard(&self, number: u32) -> String {
        format!("{}-shard-{number}", self.name)
    }

    fn member_prefix(&self) -> String {
        format!("{}-member-", self.name)
    }
}

/// A shard that this process holds or stands for.
struct Stand {
    stop: CancellationToken,
    /// It was told to end, and has not yet.
    leaving: bool,
}

/// Stands for a fair share of the shards and does `work` for each one held, until `stop`. `sharers` is told how many do.
///
/// # Errors
/// When the lease of a shard is lost, or its work ends in an error: then the process has to end.
pub async fn lead<W, F>(
    client: Client,
    leases: Leases,
    health: Health,
    sharers: Sharers,
    stop: CancellationToken,
    work: F,
) -> anyhow::Result<()>
where
    F: Fn(Shard, Fence, CancellationToken) -> W + Send + Sync + 'static,
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let work = Arc::new(work);
    let mut running = JoinSet::<(u32, anyhow::Result<()>)>::new();
    let mut stands = BTreeMap::<u32, Stand>::new();
    let mut records = Records::default();
    let mut roll = Roll::new(&leases.process, &leases.member_prefix());
    let api = Api::<Lease>::namespaced(client.clone(), &leases.namespace);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Whoever starts first does not take what the others, a moment later, are to have.
    let at_once = usize::try_from(leases.shards.div_ceil(4)).unwrap_or(1);
    let mut ended = Ok(());
    while ended.is_ok() && !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = running.join_next() => match done {
                Ok((number, Ok(()))) => drop(stands.remove(&number)),
                Ok((_, Err(error))) => ended = Err(error),
                Err(error) => ended = Err(error.into()),
            },
            _ = ticks.tick() => {
                let Some(seen) = look(&api, &mut roll, &health).await else {
                    continue;
                };
                records.see(&seen, &leases);
                let holders = records.holders();
                let mine = holders.values().filter(|holder| *holder == roll.identity()).count();
                health.stand(Standing::Shards(mine));
                let living = roll.living();
                // Who has no shard makes no calls.
                sharers.are(living.len().min(usize::try_from(leases.shards).unwrap_or(usize::MAX)));
                let plan = balance(leases.shards, roll.identity(), &living, &holders);
                for (number, stand) in &mut stands {
                    if !plan.contains(number) && !stand.leaving {
                        tracing::info!(shard = number, "gives up a shard");
                        stand.leaving = true;
                        stand.stop.cancel();
                    }
                }
                let new: Vec<u32> = plan.into_iter().filter(|number| !stands.contains_key(number)).collect();
                for number in new.into_iter().take(at_once) {
                    let shard = Shard { number, of: leases.shards };
                    let own = stop.child_token();
                    stands.insert(number, Stand { stop: own.clone(), leaving: false });
                    let election = Election::of_shard(
                        client.clone(),
                        &leases.namespace,
                        &leases.shard(number),
                        roll.identity(),
                        health.clone(),
                    )
                    .having_seen(records.0.get(&number).cloned());
                    let work = work.clone();
                    running.spawn(async move { (number, one(election, shard, own, &*work).await) });
                }
            }
        }
    }
    stop.cancel();
    // What is under way comes to its end, and each lease is released after that.
    while let Some(done) = running.join_next().await {
        if let (Ok(()), Ok((_, Err(error)))) = (&ended, done) {
            ended = Err(error);
        }
        if ended.is_err() {
            // Whoever is deposed stands still for ever, and so may the others' work.
            break;
        }
    }
    let (own, parameters) = (roll.lease_name(), DeleteParams::default());
    // What is not removed now, the others remove when they see that it is nobody's.
    let _ = tokio::time::timeout(PATIENCE, api.delete(&own, &parameters)).await;
    ended
}

async fn one<W, F>(
    election: Election,
    shard: Shard,
    stop: CancellationToken,
    work: &F,
) -> anyhow::Result<()>
where
    F: Fn(Shard, Fence, CancellationToken) -> W + Send + Sync + 'static,
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let led = election.lead(&stop, |fence| work(shard, fence, stop.clone()));
    match led.await {
        Ok(done) => done.unwrap_or(Ok(())),
        Err(deposed @ (Deposed::NotRenewed { .. } | Deposed::TakenOver { .. })) => {
            Err(deposed.into())
        }
    }
}

/// Says that this process is there, and looks at who else is and who holds what; none if the API server did not answer.
async fn look(api: &Api<Lease>, roll: &mut Roll, health: &Health) -> Option<Vec<Lease>> {
    let asked = async {
        if let Some(lease) = roll.due(Instant::now(), jiff::Timestamp::now()) {
            announce(api, roll, lease).await?;
        }
        api.list(&ListParams::default()).await
    };
    let failed = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(list)) => {
            roll.see(&list.items, Instant::now());
            for dead in roll.forgotten(Instant::now()) {
                // Whoever is first; for the others it is gone.
                let _ = api.delete(&dead, &DeleteParams::default()).await;
            }
            return Some(list.items);
        }
        Ok(Err(error)) => crate::chain(&error),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    if health.stand(Standing::Failed(failed.clone())) {
        let advice = "may this account get, list, create, update and delete leases in that namespace (multiregion rbac | kubectl apply -f -)?";
        tracing::warn!(
            failure = failed,
            advice,
            "the leases cannot be seen; trying on"
        );
    }
    None
}

async fn announce(api: &Api<Lease>, roll: &mut Roll, lease: Lease) -> Result<(), kube::Error> {
    let parameters = PostParams::default();
    let written = if lease.metadata.resource_version.is_some() {
        api.replace(&lease.name_any(), &parameters, &lease).await
    } else {
        api.create(&parameters, &lease).await
    };
    match written {
        Ok(lease) => {
            roll.announced(lease, Instant::now());
            Ok(())
        }
        // Removed or changed by hand; the next look makes it anew.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {
            roll.lost();
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The record of each shard's lease, and since when it has been seen to be so.
#[derive(Default)]
struct Records(BTreeMap<u32, (LeaseSpec, Instant)>);

impl Records {
    fn see(&mut self, seen: &[Lease], leases: &Leases) {
        let now = Instant::now();
        let mut records = BTreeMap::new();
        for number in 0..leases.shards {
            let name = leases.shard(number);
            let found = seen.iter().find(|lease| lease.name_any() == name);
            let Some(spec) = found.and_then(|lease| lease.spec.clone()) else {
                continue;
            };
            let since = match self.0.get(&number) {
                Some((before, since)) if *before == spec => *since,
                _ => now,
            };
            records.insert(number, (spec, since));
        }
        self.0 = records;
    }

    /// Who holds which shard. Whether a holder lives, the roll tells; that its lease has run out, the election.
    fn holders(&self) -> BTreeMap<u32, String> {
        let holder = |(number, (spec, _)): (&u32, &(LeaseSpec, Instant))| {
            let holder = spec.holder_identity.clone()?;
            (!holder.is_empty()).then_some((*number, holder))
        };
        self.0.iter().filter_map(holder).collect()
    }
}

/// The processes that are there, and this one among them.
type Members = BTreeSet<String>;

#[cfg(test)]
mod tests;
