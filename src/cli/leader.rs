//! The settings of the leader election.

use std::path::Path;

use clap::{ArgAction, Args};

use super::rbac::NAMESPACE;
use crate::controller::election::Election;
use crate::controller::shards::Leases;
use crate::telemetry::Health;

/// Where a pod finds its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[derive(Args, Debug)]
pub(super) struct LeaderArguments {
    /// Work only while this process holds the lease, so that several may run. `false`: always; then run one only.
    #[arg(
        long,
        env = "MULTIREGION_LEADER_ELECT",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    leader_elect: bool,
    /// Namespace of the lease. Default: the pod's own (POD_NAMESPACE, or its service account's), else multiregion-system.
    #[arg(long, env = "MULTIREGION_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the lease.
    #[arg(
        long,
        env = "MULTIREGION_LEASE_NAME",
        default_value = "multiregion-controller"
    )]
    lease_name: String,
    /// Spread the apps over so many shards, which the processes share evenly among themselves, each with a lease of its
    /// own. Some few times as many as processes; all processes must say the same.
    #[arg(long, env = "MULTIREGION_SHARDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: u32,
}

/// How it is told who works on what.
pub(super) enum Leading {
    /// It is not: this process works on everything.
    Alone,
    /// One process works on everything.
    One(Box<Election>),
    /// Each works on some.
    Shards(Leases),
}

impl LeaderArguments {
    /// How many leaders there are once every app is worked on.
    pub(super) fn shards(&self) -> u32 {
        if self.leader_elect { self.shards } else { 1 }
    }

    pub(super) fn leading(&self, client: &kube::Client, health: &Health) -> Leading {
        if !self.leader_elect {
            return Leading::Alone;
        }
        let own = std::fs::read_to_string(Path::new(OWN_NAMESPACE)).ok();
        let namespace = namespace([self.lease_namespace.clone(), variable("POD_NAMESPACE"), own]);
        let process = [variable("POD_NAME"), variable("HOSTNAME")];
        let process = process.into_iter().flatten().next();
        let process = process.unwrap_or_else(|| "multiregion".into());
        if self.shards > 1 {
            return Leading::Shards(Leases {
                namespace,
                name: self.lease_name.clone(),
                process,
                shards: self.shards,
            });
        }
        Leading::One(Box::new(Election::new(
            client.clone(),
            &namespace,
            &self.lease_name,
            &process,
            health.clone(),
        )))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first that says anything.
fn namespace(told: [Option<String>; 3]) -> String {
    let mut told = told.into_iter().flatten();
    told.find_map(|namespace| {
        let namespace = namespace.trim();
        (!namespace.is_empty()).then(|| namespace.to_owned())
    })
    .unwrap_or_else(|| NAMESPACE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leases_namespace_is_the_one_asked_for_or_the_pods_own_or_the_one_that_ships() {
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(
            namespace([told("asked"), told("pod"), told("file")]),
            "asked"
        );
        assert_eq!(namespace([None, told("pod"), told("file\n")]), "pod");
        assert_eq!(namespace([None, None, told("file\n")]), "file");
        assert_eq!(namespace([told(""), None, None]), "multiregion-system");
    }
}
