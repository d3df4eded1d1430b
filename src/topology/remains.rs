//! What an app had before, told by what is still there.
//!
//! The inventory of the status is a cache that may be lost, together with the spec that it was made from. What an edit
//! took out of the spec then goes on running, at a price, and in no one's sight. The parts that outlive the edit name it:
//! the distribution its origins and aliases, the execution role the regions it has rights in.

use serde_json::Value;

use super::{ids, topology};
use crate::app::{App, Domain};
use crate::model::{Observed, ResourceId, Snapshot};

/// Ids of resources that `app` no longer declares and, by `snapshot`, once did.
pub(super) fn remains(app: &App, snapshot: &Snapshot) -> Vec<ResourceId> {
    let Some(before) = before(app, snapshot) else {
        return Vec::new();
    };
    let declared = topology(app);
    topology(&before)
        .into_iter()
        .filter(|past| !past.data && declared.iter().all(|now| now.id != past.id))
        .map(|past| past.id)
        .collect()
}

/// The app as it must have been, if that differs.
fn before(app: &App, snapshot: &Snapshot) -> Option<App> {
    let live = |id: &ResourceId, pointer: &str| {
        let live = snapshot.get(id).and_then(Observed::live)?;
        live.config.pointer(pointer)
    };
    let distribution = ids::distribution(app);
    let routing = live(&distribution, "/routing/origins");
    let mut before = app.clone();
    let mut differs = false;
    if app.dr.is_none() {
        let policy = live(
            &ids::execution_role(app),
            "/inline_policies/multiregion-dr/Logs/resources/0",
        );
        let origin = routing.and_then(|origins| origins.pointer("/lambda-dr/domain"));
        if let Some(region) = policy
            .and_then(region_of_arn)
            .or_else(|| origin.and_then(region_of_host))
        {
            let mut spec = app.spec.clone();
            spec.regions.dr = Some(region.to_owned());
            before = App::new(app.owner.clone(), &app.account, &spec).ok()?;
            differs = true;
        }
    }
    let by_identity = "/static-primary/access/BucketByIdentity";
    if !app.origin_access_identity
        && routing.is_some_and(|origins| origins.pointer(by_identity).is_some())
    {
        before.origin_access_identity = true;
        differs = true;
    }
    let alias = live(&distribution, "/viewer/aliases/0").and_then(Value::as_str);
    if let Some(name) = alias
        && app.domain.as_ref().is_none_or(|domain| domain.name != name)
    {
        before.domain = Some(Domain {
            name: name.to_owned(),
            // Of a record only its name is needed, whichever the zone.
            hosted_zone: Some(name.to_owned()),
            certificate_arn: None,
        });
        differs = true;
    }
    differs.then_some(before)
}

/// As in `arn:aws:logs:us-west-2:…`.
fn region_of_arn(arn: &Value) -> Option<&str> {
    arn.as_str()?
        .split(':')
        .nth(3)
        .filter(|region| !region.is_empty())
}

/// As in `….lambda-url.us-west-2.on.aws`.
fn region_of_host(host: &Value) -> Option<&str> {
    let (_, rest) = host.as_str()?.split_once(".lambda-url.")?;
    rest.strip_suffix(".on.aws")
}
