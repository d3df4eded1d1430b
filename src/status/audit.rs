//! What the structure alone tells of failover, replication and certificate.

use serde_json::Value;

use super::conditions::Stand;
use super::{Situation, code};
use crate::app::{App, Site};
use crate::model::{Live, Observed, Phase, ResourceId};
use crate::reconcile::Outcome;
use crate::topology::ids;

/// `FailoverHealthy`, by the order of the design's reasons.
pub(super) fn failover(situation: &Situation<'_>, app: &App, outcome: &Outcome) -> Stand {
    let Some(dr) = &app.dr else {
        return Stand::new(
            "Unknown",
            "NotConfigured",
            "spec.regions.dr is not set: there is nothing to fail over to",
        );
    };
    not_deployed(app, outcome)
        .or_else(|| broken(app, dr, outcome))
        .or_else(|| {
            let differ =
                code_mismatch(app, dr, outcome).or_else(|| unfinished(app, dr, outcome))?;
            Some(code::young(situation, app, outcome).unwrap_or(differ))
        })
        .unwrap_or_else(|| {
            Stand::new(
                "Unknown",
                "NotProbed",
                "the structure is in place; nothing was probed",
            )
        })
}

/// The distribution is there, enabled, deployed, and has the groups.
fn not_deployed(app: &App, outcome: &Outcome) -> Option<Stand> {
    let stand = |message: String| Some(Stand::new("False", "NotDeployed", message));
    let id = ids::distribution(app);
    let live = match outcome.snapshot.get(&id) {
        Some(Observed::Present(live)) => live,
        Some(Observed::Unknown(failure)) => {
            return Some(Stand::new(
                "Unknown",
                "ControlPlaneUnreachable",
                format!("{id}: {failure}"),
            ));
        }
        _ => return stand(format!("{id} does not exist yet")),
    };
    if live.config.pointer("/enabled") != Some(&Value::Bool(true)) {
        return stand(format!("{id} is not enabled"));
    }
    let groups = live
        .config
        .pointer("/routing/groups")
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len);
    if groups < 2 {
        return stand(format!(
            "{id} has no origin groups: the DR region is not in it"
        ));
    }
    match &live.phase {
        Phase::Ready => None,
        Phase::Deploying(what) | Phase::Pending(what) => stand(format!("{id}: {what}")),
        _ => stand(format!("{id} is not deployed")),
    }
}

fn code_mismatch(app: &App, dr: &Site, outcome: &Outcome) -> Option<Stand> {
    let hash = |site| {
        live(outcome, &ids::function(site))?
            .outputs
            .get("code_sha256")
    };
    let (primary, dr_hash) = (hash(&app.primary)?, hash(dr)?);
    (primary != dr_hash).then(|| {
        Stand::new(
            "False",
            "CodeMismatch",
            format!(
                "{} runs code {primary}, {} runs {dr_hash}",
                app.primary.function, dr.function
            ),
        )
    })
}

/// Everything that failover stands on is there and, the functions themselves aside, as declared, and the distribution
/// knows the functions' present hosts.
fn broken(app: &App, dr: &Site, outcome: &Outcome) -> Option<Stand> {
    let stand = |message: String| Some(Stand::new("False", "ConfigMismatch", message));
    for site in [&app.primary, dr] {
        for id in [ids::function(site), ids::function_url(site)] {
            if let Some(Observed::Absent) = outcome.snapshot.get(&id) {
                return stand(format!("{id} does not exist"));
            }
        }
        let host = live(outcome, &ids::function_url(site)).and_then(|url| url.outputs.get("host"));
        let origin = live(outcome, &ids::distribution(app)).and_then(|distribution| {
            distribution
                .config
                .pointer(&format!("/routing/origins/{}/domain", site.lambda_origin))?
                .as_str()
        });
        if let (Some(host), Some(origin)) = (host, origin)
            && host != origin
        {
            return stand(format!(
                "the distribution's origin {} is {origin}, the function's host {host}",
                site.lambda_origin
            ));
        }
    }
    let functions = [ids::function(&app.primary), ids::function(dr)];
    let serving = [
        "lambda_",
        "cloudfront_distribution",
        "s3_bucket_policy",
        "s3_bucket_replication",
        "iam_role",
    ];
    let step = outcome
        .plan
        .steps
        .iter()
        .filter(|step| step.is_write())
        .filter(|step| !functions.contains(&step.id))
        .find(|step| serving.iter().any(|kind| step.id.kind.starts_with(kind)))?;
    stand(format!("{} {}", step.summary(), step.id))
}

/// The functions are as declared.
fn unfinished(app: &App, dr: &Site, outcome: &Outcome) -> Option<Stand> {
    let functions = [ids::function(&app.primary), ids::function(dr)];
    let mut steps = outcome.plan.steps.iter();
    let step = steps.find(|step| functions.contains(&step.id) && step.is_write())?;
    let message = format!("{} {}", step.summary(), step.id);
    Some(Stand::new("False", "ConfigMismatch", message))
}

/// `ReplicationHealthy`.
pub(super) fn replication(app: &App, outcome: &Outcome) -> Stand {
    let Some(dr) = &app.dr else {
        return Stand::new(
            "Unknown",
            "NotConfigured",
            "spec.regions.dr is not set: nothing is replicated",
        );
    };
    match inactive_replica(app, dr, outcome) {
        Some(message) => Stand::new("False", "ReplicaNotActive", message),
        None => Stand::new("Unknown", "NoData", "no replication lag was measured"),
    }
}

fn inactive_replica(app: &App, dr: &Site, outcome: &Outcome) -> Option<String> {
    app.tables.iter().find_map(|table| {
        let id = ResourceId::new("dynamodb_table_replica", &dr.region, &table.name);
        replica_state(outcome, &id)
            .err()
            .map(|why| format!("{id}: {why}"))
    })
}

/// `Ok` if the replica is active or cannot be read now, else what is wrong with it.
pub(super) fn replica_state(outcome: &Outcome, id: &ResourceId) -> Result<(), String> {
    match outcome.snapshot.get(id) {
        Some(Observed::Present(live)) => match &live.phase {
            Phase::Ready => Ok(()),
            Phase::Pending(what) | Phase::Deploying(what) | Phase::WaitingForPerson(what) => {
                Err(what.clone())
            }
            Phase::Failed(why) => Err(why.clone()),
            Phase::Deleting => Err("it is being deleted".into()),
        },
        Some(Observed::Unknown(_)) => Ok(()),
        Some(Observed::Absent) | None => Err("it does not exist yet".into()),
    }
}

/// `CertificateIssued`, where there is a domain.
pub(super) fn certificate(app: &App, outcome: &Outcome) -> Option<Stand> {
    let id = ids::certificate(app)?;
    Some(match outcome.snapshot.get(&id) {
        Some(Observed::Present(live)) if live.outputs.contains_key("arn") => {
            Stand::new("True", "Issued", "the certificate is issued")
        }
        Some(Observed::Present(live)) => match &live.phase {
            Phase::Failed(why) => Stand::new("False", "Failed", format!("{id}: {why}")),
            Phase::Pending(what) | Phase::Deploying(what) | Phase::WaitingForPerson(what) => {
                Stand::new("False", "PendingValidation", format!("{id}: {what}"))
            }
            Phase::Ready | Phase::Deleting => {
                Stand::new("False", "NotIssued", format!("{id} is not issued"))
            }
        },
        Some(Observed::Unknown(failure)) => {
            Stand::new("Unknown", "NotReadable", format!("{id}: {failure}"))
        }
        Some(Observed::Absent) | None => {
            Stand::new("False", "NotRequested", format!("{id} does not exist yet"))
        }
    })
}

pub(super) fn live<'a>(outcome: &'a Outcome, id: &ResourceId) -> Option<&'a Live> {
    outcome.snapshot.get(id).and_then(Observed::live)
}
