//! What is shown, as JSON: the columns of kubectl, and one app in full. Pure.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::events::{Line, Told};
use super::gate::Namespaces;
use crate::api::{
    CONDITION_FAILOVER_HEALTHY, CONDITION_READY, CONDITION_SYNCED, Condition, DnsStatus,
    DrillStatus, ManagementPolicy, MultiRegionApp, MultiRegionAppStatus, PendingChange,
    ReplicationStatus, RetainedItem, Role, WriterStatus,
};
use crate::picture::{self, Picture};

/// The list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a> {
    viewer: &'a str,
    /// Whether the viewer may list some namespaces only.
    partly: bool,
    apps: Vec<Row<'a>>,
}

/// An app in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    namespace: &'a str,
    name: &'a str,
    ready: Option<Verdict<'a>>,
    synced: Option<Verdict<'a>>,
    failover: Option<Verdict<'a>>,
    writer: Option<Role>,
    lag_seconds: Option<i64>,
    url: Option<&'a str>,
    created: Option<&'a Time>,
    primary: &'a str,
    dr: Option<&'a str>,
    distribution: Option<&'a str>,
    suspended: bool,
    observed: bool,
    deleting: bool,
    /// Whether the status is of an older spec.
    stale: bool,
}

/// Status and reason of a condition.
#[derive(Serialize)]
struct Verdict<'a> {
    status: &'a str,
    reason: &'a str,
}

/// One app in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
    viewer: &'a str,
    app: Row<'a>,
    conditions: &'a [Condition],
    writer: Option<&'a WriterStatus>,
    replication: &'a [ReplicationStatus],
    pending: &'a [PendingChange],
    retained: &'a [RetainedItem],
    dns: Option<&'a DnsStatus>,
    last_drill: Option<&'a DrillStatus>,
    picture: Option<Picture>,
    /// Why there is no picture.
    picture_error: Option<String>,
    events: Events,
}

/// Events, or why there are none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Events {
    items: Vec<Line>,
    error: Option<String>,
}

/// The apps that are in `allowed` namespaces.
pub(super) fn list<'a>(
    viewer: &'a str,
    apps: &'a [Arc<MultiRegionApp>],
    allowed: &Namespaces,
) -> List<'a> {
    let apps = apps.iter().filter_map(|app| {
        let namespace = app.metadata.namespace.as_deref()?;
        let name = app.metadata.name.as_deref()?;
        allowed
            .contain(namespace)
            .then(|| row(namespace, name, app))
    });
    List {
        viewer,
        partly: matches!(allowed, Namespaces::Only(_)),
        apps: apps.collect(),
    }
}

/// All of `app`; `events` are none where the viewer may not read them.
pub(super) fn detail<'a>(
    viewer: &'a str,
    namespace: &'a str,
    name: &'a str,
    app: &'a MultiRegionApp,
    events: Option<Told>,
) -> Detail<'a> {
    let status = app.status.as_ref();
    let (picture, picture_error) = match picture::of_object(namespace, name, app) {
        Ok((app, known)) => (Some(picture::picture(&app, &known)), None),
        Err(invalid) => (None, Some(invalid.to_string())),
    };
    let lacking = "you may not list events in this namespace";
    let events = events.unwrap_or_else(|| Err(lacking.into()));
    Detail {
        viewer,
        app: row(namespace, name, app),
        conditions: of(status, |status| &status.conditions),
        writer: status.and_then(|status| status.writer.as_ref()),
        replication: of(status, |status| &status.replication),
        pending: of(status, |status| &status.pending),
        retained: of(status, |status| &status.retained),
        dns: status.and_then(|status| status.dns.as_ref()),
        last_drill: status.and_then(|status| status.last_drill.as_ref()),
        picture,
        picture_error,
        events: match events {
            Ok(items) => Events { items, error: None },
            Err(error) => Events {
                items: Vec::new(),
                error: Some(error),
            },
        },
    }
}

fn of<T>(
    status: Option<&MultiRegionAppStatus>,
    list: fn(&MultiRegionAppStatus) -> &Vec<T>,
) -> &[T] {
    status.map(list).map_or(&[], Vec::as_slice)
}

fn row<'a>(namespace: &'a str, name: &'a str, app: &'a MultiRegionApp) -> Row<'a> {
    let status = app.status.as_ref();
    let verdict = |kind: &str| {
        let condition = status?.conditions.iter().find(|one| one.type_ == kind)?;
        Some(Verdict {
            status: &condition.status,
            reason: &condition.reason,
        })
    };
    let (spec, metadata) = (&app.spec, &app.metadata);
    let observed = status.and_then(|status| status.observed_generation);
    Row {
        namespace,
        name,
        ready: verdict(CONDITION_READY),
        synced: verdict(CONDITION_SYNCED),
        failover: verdict(CONDITION_FAILOVER_HEALTHY),
        writer: status.and_then(|status| Some(status.writer.as_ref()?.active)),
        lag_seconds: status.and_then(|status| status.replication_lag_seconds),
        url: status.and_then(|status| status.url.as_deref()),
        created: metadata.creation_timestamp.as_ref(),
        primary: &spec.regions.primary,
        dr: spec.regions.dr.as_deref(),
        distribution: status.and_then(|status| Some(status.distribution.as_ref()?.id.as_str())),
        suspended: spec.suspend,
        observed: spec.management_policy == ManagementPolicy::Observe,
        deleting: metadata.deletion_timestamp.is_some(),
        // Below zero, nobody looked yet.
        stale: observed >= Some(0) && observed < metadata.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(namespace: &str, observed: Option<i64>) -> Arc<MultiRegionApp> {
        let mut app = MultiRegionApp::new("shop", crate::api::MultiRegionAppSpec::default());
        app.metadata.namespace = Some(namespace.into());
        app.metadata.generation = Some(2);
        app.status = observed.map(|generation| MultiRegionAppStatus {
            observed_generation: Some(generation),
            ..MultiRegionAppStatus::default()
        });
        Arc::new(app)
    }

    #[test]
    fn only_apps_of_allowed_namespaces_are_listed() {
        let apps = [app("one", None), app("two", None)];
        let some = Namespaces::Only(["two".to_owned()].into());
        let shown = list("somebody", &apps, &some);
        assert!(shown.partly);
        let namespaces: Vec<&str> = shown.apps.iter().map(|row| row.namespace).collect();
        assert_eq!(namespaces, ["two"]);
        let shown = list("somebody", &apps, &Namespaces::All);
        assert!(!shown.partly && shown.apps.len() == 2);
    }

    #[test]
    fn a_status_of_an_older_spec_is_told_apart_from_none() {
        let stale = |observed| row("one", "shop", &app("one", observed)).stale;
        let all = [None, Some(-1), Some(1), Some(2)].map(stale);
        assert_eq!(all, [false, false, true, false]);
    }
}
