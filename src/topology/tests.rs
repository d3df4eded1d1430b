//! The picture, checked: every reference names an output, nothing waits in a circle, every name fits.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::api::MultiRegionAppSpec;
use crate::aws::tags::OwnerKey;
use crate::model::{FailureKind, Observed, Owner, RemovalMode};
use crate::plan;
use crate::resources::REGISTRY;

fn app(name: &str, spec: Value) -> App {
    let spec: MultiRegionAppSpec = serde_json::from_value(spec).expect("a spec");
    let owner = OwnerKey {
        cluster: "test".into(),
        namespace: "web".into(),
        name: name.into(),
    };
    App::new(owner, "123456789012", &spec).expect("an app")
}

fn sample(text: &str) -> App {
    let object: Value = serde_saphyr::from_str(text).expect("a sample");
    let name = object["metadata"]["name"].as_str().expect("a name");
    app(name, object["spec"].clone())
}

/// Apps of every shape, with the longest names.
fn shapes() -> Vec<App> {
    let name = "a-prefix-of-16-c";
    let arn = "arn:aws:acm:us-east-1:123456789012:certificate/1";
    let domain = "shop.example.com";
    let domains = [
        Value::Null,
        json!({"name": domain}),
        json!({"name": domain, "hostedZone": "example.com"}),
        json!({"name": domain, "certificateARN": arn}),
        json!({"name": domain, "hostedZone": "Z0123456789", "certificateARN": arn}),
    ];
    let mut apps = Vec::new();
    for domain in domains {
        for dr in [json!("ap-southeast-2"), Value::Null] {
            for access in ["OriginAccessControl", "OriginAccessIdentity"] {
                for tables in [1, 20] {
                    let tables: Vec<Value> = (0..tables)
                        .map(|number| json!({"name": format!("{}{number:02}", "t".repeat(60))}))
                        .collect();
                    let mut spec = json!({
                        "regions": {"primary": "ap-southeast-1"},
                        "staticAssets": {"originAccess": access},
                        "tables": tables,
                    });
                    if !dr.is_null() {
                        spec["regions"]["dr"] = dr.clone();
                    }
                    if !domain.is_null() {
                        spec["domain"] = domain.clone();
                    }
                    apps.push(app(name, spec));
                }
            }
        }
    }
    apps
}

/// What has to be there before `desired` is made.
fn before(desired: &Desired) -> BTreeSet<ResourceId> {
    let mut before = plan::sources(&desired.config);
    before.extend(desired.parent.clone());
    before.extend(desired.after.iter().cloned());
    before
}

/// Fails if the edges lead in a circle.
fn check_acyclic<T: Ord + Clone + std::fmt::Debug>(edges: &BTreeMap<T, BTreeSet<T>>) {
    let mut left = edges.clone();
    while !left.is_empty() {
        let free: Vec<T> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|to| !left.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        assert!(!free.is_empty(), "in a circle: {left:#?}");
        for from in free {
            left.remove(&from);
        }
    }
}

#[test]
fn every_reference_names_an_output_of_something_wanted() {
    for app in shapes() {
        let all = topology(&app);
        let ids: BTreeSet<&ResourceId> = all.iter().map(|desired| &desired.id).collect();
        assert_eq!(ids.len(), all.len(), "two of one id");
        for desired in &all {
            for config in std::iter::once(&desired.config).chain(&desired.fallback) {
                plan::references(config, &mut |reference| {
                    let facts = resources::facts(&reference.from.kind).expect("a kind");
                    let output = reference.output.as_str();
                    assert!(
                        ids.contains(&reference.from),
                        "{}: {reference:?}",
                        desired.id
                    );
                    assert!(
                        facts.outputs.contains(&output),
                        "{}: {reference:?}",
                        desired.id
                    );
                    assert!(
                        reference.template.contains("{}"),
                        "{}: {reference:?}",
                        desired.id
                    );
                });
            }
            let guarded = desired.guard.iter().flat_map(|guard| &guard.until);
            let overlapped = desired.overlap.iter().flat_map(|overlap| &overlap.until);
            for id in guarded
                .map(|needed| &needed.id)
                .chain(overlapped)
                .chain(&desired.parent)
                .chain(&desired.after)
            {
                assert!(ids.contains(id), "{} goes by {id}", desired.id);
            }
        }
    }
}

#[test]
fn every_configuration_is_its_kinds() {
    let mut kinds = BTreeSet::new();
    for app in shapes() {
        for desired in topology(&app) {
            let kind = REGISTRY.get(desired.id.kind.as_str()).expect("a kind");
            kinds.insert(kind.facts().name);
            for config in std::iter::once(&desired.config).chain(&desired.fallback) {
                assert_eq!(
                    kind.understood(config).as_ref(),
                    Ok(config),
                    "{}",
                    desired.id
                );
            }
            for guarded in desired.guard.iter().flat_map(|guard| {
                let overlapped = desired.overlap.as_ref().map(|overlap| &overlap.field);
                guard
                    .fields
                    .iter()
                    .chain(guard.initial.keys())
                    .chain(overlapped)
            }) {
                assert!(desired.config.get(guarded).is_some(), "{guarded}");
            }
        }
    }
    assert_eq!(
        kinds,
        REGISTRY.keys().copied().collect(),
        "a kind nobody wants"
    );
}

/// The diff takes lists of plain values for sets, so they must be some.
#[test]
fn every_list_of_plain_values_is_a_set() {
    fn check(at: &str, value: &Value) {
        match value {
            Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
                let shown: Vec<String> = items.iter().map(Value::to_string).collect();
                assert!(
                    shown.is_sorted_by(|one, other| one < other),
                    "{at}: {shown:?}"
                );
            }
            Value::Array(items) => items.iter().for_each(|item| check(at, item)),
            Value::Object(fields) => fields
                .iter()
                .for_each(|(name, field)| check(&format!("{at}.{name}"), field)),
            _ => {}
        }
    }
    for app in shapes() {
        for desired in topology(&app) {
            check(&desired.id.to_string(), &desired.config);
        }
    }
}

/// How a resource may have to stand for another one to go on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stand {
    /// It is there.
    There,
    /// It is as wanted, entries that are to leave aside.
    InPlace,
    /// It is as wanted, and at rest.
    Settled,
}

#[test]
fn nothing_waits_in_a_circle() {
    use Stand::{InPlace, Settled, There};
    for app in shapes() {
        let mut edges: BTreeMap<(Stand, ResourceId), BTreeSet<(Stand, ResourceId)>> =
            BTreeMap::new();
        for desired in topology(&app) {
            let id = &desired.id;
            let there = before(&desired).into_iter().map(|other| (There, other));
            edges.insert((There, id.clone()), there.collect());
            let sources = plan::sources(&desired.config).into_iter();
            let mut in_place: BTreeSet<_> = sources.map(|other| (There, other)).collect();
            in_place.insert((There, id.clone()));
            edges.insert((InPlace, id.clone()), in_place);
            let guarded = desired.guard.iter().flat_map(|guard| &guard.until);
            let overlapped = desired.overlap.iter().flat_map(|overlap| &overlap.until);
            let mut settled: BTreeSet<_> = guarded
                .map(|needed| (InPlace, needed.id.clone()))
                .chain(overlapped.map(|other| (Settled, other.clone())))
                .collect();
            settled.insert((InPlace, id.clone()));
            edges.insert((Settled, id.clone()), settled);
        }
        check_acyclic(&edges);
    }
}

#[test]
fn deletions_go_in_no_circle_and_what_serves_after_the_distribution() {
    for app in shapes() {
        let all = topology(&app);
        let removals = removals(&app, &all, &[], true);
        let edges: BTreeMap<ResourceId, BTreeSet<ResourceId>> = removals
            .iter()
            .map(|removal| (removal.id.clone(), removal.after.iter().cloned().collect()))
            .collect();
        check_acyclic(&edges);
        let distribution = ids::distribution(&app);
        let goes_after = |id: &ResourceId| {
            let mut reached = BTreeSet::from([id]);
            while !reached.contains(&distribution) {
                let more: BTreeSet<&ResourceId> = reached
                    .iter()
                    .flat_map(|id| edges.get(id))
                    .flatten()
                    .collect();
                if more.is_subset(&reached) {
                    return false;
                }
                reached.extend(more);
            }
            true
        };
        let distribution = all.iter().find(|desired| desired.id == distribution);
        let distribution = distribution.expect("a distribution");
        let guarded = distribution.guard.iter().flat_map(|guard| &guard.until);
        let needed = plan::sources(&distribution.config)
            .into_iter()
            .chain(guarded.map(|needed| needed.id.clone()));
        for id in needed.filter(|id| edges.contains_key(id)) {
            assert!(goes_after(&id), "{id} goes before the distribution");
        }
    }
}

#[test]
fn what_is_only_read_and_what_is_the_users_is_never_removed() {
    for app in shapes() {
        let all = topology(&app);
        let removed = removals(&app, &all, &[], true);
        for desired in all.iter().filter(|desired| desired.data) {
            assert!(removed.iter().all(|removal| removal.id != desired.id));
        }
        // A certificate that was the user's does not become ours by being forgotten.
        let theirs = ResourceId::new(
            "acm_certificate",
            "us-east-1",
            "arn:aws:acm:us-east-1:1:c/2",
        );
        assert!(removals(&app, &all, &[theirs], false).is_empty());
    }
}

#[test]
fn a_change_of_the_spec_takes_no_data() {
    let both = sample(include_str!("../../deploy/samples/minimal.yaml"));
    let mut spec = both.spec.clone();
    spec.regions.dr = None;
    let single = App::new(both.owner.clone(), &both.account, &spec).expect("an app");
    let known: Vec<ResourceId> = topology(&both)
        .into_iter()
        .map(|desired| desired.id)
        .collect();
    let wanted = wanted(&single, &known, false);
    let (kept, gone): (Vec<_>, Vec<_>) = wanted
        .removals
        .iter()
        .partition(|removal| matches!(removal.mode, RemovalMode::Retain(_)));
    let names = |removals: Vec<&crate::model::Removal>| {
        let names: Vec<String> = removals
            .iter()
            .map(|removal| removal.id.to_string())
            .collect();
        names.join("\n")
    };
    assert_snapshot!(names(kept), @r"
    cloudwatch_log_group/us-west-2//aws/lambda/shop-dr
    dynamodb_table_replica/us-west-2/shop-visits
    s3_bucket/us-west-2/shop-lambda-deployments-123456789012-us-west-2
    s3_bucket/us-west-2/shop-static-123456789012-dr
    ");
    assert_snapshot!(names(gone), @r"
    cloudfront_function/multiregion-writer-67e27e81ee17
    cloudfront_key_value_store/multiregion-writers
    cloudfrontkeyvaluestore_key/shop
    iam_role/shop-s3-replication-role
    lambda_function/us-west-2/shop-dr
    lambda_function_url/us-west-2/shop-dr
    lambda_permission/us-west-2/shop-dr/MultiRegionInvokeFunction
    lambda_permission/us-west-2/shop-dr/MultiRegionInvokeFunctionUrl
    s3_bucket_policy/us-west-2/shop-lambda-deployments-123456789012-us-west-2
    s3_bucket_policy/us-west-2/shop-static-123456789012-dr
    s3_bucket_replication/us-east-1/shop-static-123456789012
    ");
}

#[test]
fn every_name_fits() {
    for app in shapes() {
        for desired in topology(&app) {
            let id = &desired.id;
            let (name, limit) = match id.kind.as_str() {
                "iam_role" | "lambda_function" | "cloudfront_origin_access_control" => {
                    (id.name.as_str(), 64)
                }
                "s3_bucket" => (id.name.as_str(), 63),
                "dynamodb_table" => (id.name.as_str(), 255),
                "cloudwatch_log_group" => (id.name.as_str(), 512),
                "cloudfront_cache_policy" | "cloudfront_origin_request_policy" => {
                    (id.name.as_str(), 128)
                }
                "lambda_permission" => (id.name.rsplit('/').next().unwrap_or_default(), 100),
                _ => continue,
            };
            assert!(name.len() <= limit, "{id}: {} of {limit}", name.len());
        }
    }
}

/// Ids, and what each comes after.
fn picture(app: &App) -> String {
    let short = |id: &ResourceId| {
        let name = id.name.replace("-123456789012", "");
        let kind = id.kind.split_once('_').map_or("", |(_, kind)| kind);
        match id.region.as_str() {
            "us-west-2" => format!("{kind}/dr/{name}"),
            _ => format!("{kind}/{name}"),
        }
    };
    topology(app)
        .iter()
        .map(|desired| {
            let before: Vec<String> = before(desired).iter().map(short).collect();
            let read = if desired.data { " (read)" } else { "" };
            if before.is_empty() {
                format!("{}{read}\n", short(&desired.id))
            } else {
                format!("{}{read} ← {}\n", short(&desired.id), before.join(", "))
            }
        })
        .collect()
}

/// AWS refuses a policy with a key by which nothing is kept.
#[test]
fn where_nothing_may_be_cached_the_managed_policy_says_so() {
    let app = app(
        "shop",
        json!({
            "regions": {"primary": "us-east-1"},
            "tables": [{"name": "visits"}],
            "cdn": {"cache": {"defaultTTLSeconds": 0, "maxTTLSeconds": 0}},
        }),
    );
    let all = topology(&app);
    assert!(
        all.iter()
            .all(|desired| desired.id.kind != "cloudfront_cache_policy")
    );
    let distribution = ids::distribution(&app);
    let distribution = all.iter().find(|desired| desired.id == distribution);
    let policy = &distribution.expect("a distribution").config["routing"]["default_behavior"];
    assert_eq!(
        policy["cache_policy"],
        "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    );
}

#[test]
fn the_minimal_app() {
    let app = sample(include_str!("../../deploy/samples/minimal.yaml"));
    assert_snapshot!(picture(&app), @r"
    role/shop-lambda-role
    role/shop-s3-replication-role
    bucket/shop-lambda-deployments-us-east-1
    bucket/shop-static
    bucket_policy/shop-lambda-deployments-us-east-1 ← bucket/shop-lambda-deployments-us-east-1
    bucket_policy/shop-static ← distribution/shop, bucket/shop-static
    object/shop-lambda-deployments-us-east-1/lambda/function.zip ← bucket/shop-lambda-deployments-us-east-1
    log_group//aws/lambda/shop-primary
    function/shop-primary ← log_group//aws/lambda/shop-primary, role/shop-lambda-role, object/shop-lambda-deployments-us-east-1/lambda/function.zip
    function_url/shop-primary ← function/shop-primary
    permission/shop-primary/MultiRegionInvokeFunctionUrl ← distribution/shop, function/shop-primary
    permission/shop-primary/MultiRegionInvokeFunction ← distribution/shop, function/shop-primary
    bucket/dr/shop-lambda-deployments-us-west-2
    bucket/dr/shop-static-dr
    bucket_policy/dr/shop-lambda-deployments-us-west-2 ← bucket/dr/shop-lambda-deployments-us-west-2
    bucket_policy/dr/shop-static-dr ← distribution/shop, bucket/dr/shop-static-dr
    object/dr/shop-lambda-deployments-us-west-2/lambda/function.zip ← bucket/dr/shop-lambda-deployments-us-west-2, object/shop-lambda-deployments-us-east-1/lambda/function.zip
    log_group/dr//aws/lambda/shop-dr
    function/dr/shop-dr ← log_group/dr//aws/lambda/shop-dr, role/shop-lambda-role, object/dr/shop-lambda-deployments-us-west-2/lambda/function.zip
    function_url/dr/shop-dr ← function/dr/shop-dr
    permission/dr/shop-dr/MultiRegionInvokeFunctionUrl ← distribution/shop, function/dr/shop-dr
    permission/dr/shop-dr/MultiRegionInvokeFunction ← distribution/shop, function/dr/shop-dr
    table/shop-visits
    table_replica/dr/shop-visits ← table/shop-visits
    bucket_replication/shop-static ← role/shop-s3-replication-role, bucket/shop-static, bucket/dr/shop-static-dr
    cache_policy/multiregion-cache-95a7cd37612d
    origin_request_policy/multiregion-origin-request-305b381af0a2
    origin_access_control/multiregion-lambda
    origin_access_control/multiregion-s3
    key_value_store/multiregion-writers
    function/multiregion-writer-67e27e81ee17 ← key_value_store/multiregion-writers
    key/shop ← distribution/shop, key_value_store/multiregion-writers
    distribution/shop ← cache_policy/multiregion-cache-95a7cd37612d, function/multiregion-writer-67e27e81ee17, origin_access_control/multiregion-lambda, origin_access_control/multiregion-s3, origin_request_policy/multiregion-origin-request-305b381af0a2, function_url/shop-primary, function_url/dr/shop-dr, bucket/shop-static, bucket/dr/shop-static-dr
    invalidation/shop-primary ← distribution/shop, function/shop-primary
    ");
}

#[test]
fn the_reference_app_beyond_the_minimal_one() {
    let minimal = picture(&sample(include_str!("../../deploy/samples/minimal.yaml")));
    let reference = sample(include_str!("../../deploy/samples/reference.yaml"));
    let mut spec = reference.spec.clone();
    spec.resource_prefix = Some("shop".into());
    let reference = App::new(reference.owner, "123456789012", &spec).expect("an app");
    let only: Vec<String> = picture(&reference)
        .lines()
        .filter(|line| !minimal.lines().any(|other| other == *line))
        .map(str::to_owned)
        .collect();
    assert_snapshot!(only.join("\n"), @r"
    bucket_policy/shop-static ← origin_access_identity/shop, bucket/shop-static
    bucket_policy/dr/shop-static-dr ← origin_access_identity/shop, bucket/dr/shop-static-dr
    hosted_zone/example.com (read)
    certificate/shop.example.com
    record/shop.example.com/validation ← certificate/shop.example.com, hosted_zone/example.com
    origin_access_identity/shop
    distribution/shop ← certificate/shop.example.com, cache_policy/multiregion-cache-95a7cd37612d, function/multiregion-writer-67e27e81ee17, origin_access_control/multiregion-lambda, origin_access_identity/shop, origin_request_policy/multiregion-origin-request-305b381af0a2, function_url/shop-primary, function_url/dr/shop-dr, bucket/shop-static, bucket/dr/shop-static-dr
    record/shop.example.com/A ← distribution/shop, hosted_zone/example.com
    record/shop.example.com/AAAA ← distribution/shop, hosted_zone/example.com
    ");
}

/// What a role may read and write, with `id` seen as `seen` and the execution role as it should be.
fn rights(app: &App, id: ResourceId, seen: Observed) -> BTreeMap<String, BTreeSet<String>> {
    let all = wanted(app, &[], false);
    let role = ids::execution_role(app);
    let config = all.desired.iter().find(|desired| desired.id == role);
    let config = config.expect("it is wanted").config.clone();
    let mut snapshot = Snapshot::from([(role, live(Owner::Ours, config))]);
    snapshot.insert(id, seen);
    let staged = with_own_rights(app, all, &snapshot);
    let mut rights = BTreeMap::new();
    for desired in staged
        .desired
        .iter()
        .filter(|desired| desired.id.kind == "iam_role")
    {
        let policies = desired.config["inline_policies"]
            .as_object()
            .expect("policies");
        for (name, statements) in policies {
            let sids = statements.as_object().expect("statements").keys().cloned();
            rights.insert(format!("{}/{name}", desired.id.name), sids.collect());
        }
    }
    rights
}

fn live(owner: Owner, config: Value) -> Observed {
    Observed::Present(Box::new(crate::model::Live {
        config,
        outputs: BTreeMap::new(),
        owner,
        phase: crate::model::Phase::Ready,
        physical_id: "id".into(),
        unread: BTreeSet::new(),
    }))
}

#[test]
fn no_role_has_a_right_to_what_is_somebody_elses() {
    let app = app(
        "shop",
        json!({"regions": {"primary": "us-east-1", "dr": "us-west-2"}, "tables": [{"name": "visits"}]}),
    );
    let dr = app.dr.clone().expect("it has one");
    let other = || live(Owner::Other("MultiRegionApp blog/shop".into()), json!({}));
    let (primary, in_dr) = (
        "shop-lambda-role/multiregion-primary",
        "shop-lambda-role/multiregion-dr",
    );
    let replication = "shop-s3-replication-role/multiregion-replication";
    let table = ids::table(&app.primary, "shop-visits");
    let all = rights(&app, table.clone(), live(Owner::Ours, json!({})));
    for (id, seen, policy, gone) in [
        (table.clone(), other(), primary, vec!["Tables"]),
        (
            table.clone(),
            live(Owner::Nobody, json!({})),
            primary,
            vec!["Tables"],
        ),
        (
            ids::table(&dr, "shop-visits"),
            other(),
            in_dr,
            vec!["Tables"],
        ),
        (
            ids::static_bucket(&app.primary),
            other(),
            primary,
            vec!["ListStaticAssets", "StaticAssets"],
        ),
        (
            ids::static_bucket(&app.primary),
            other(),
            replication,
            vec!["Source", "SourceObjects"],
        ),
        (
            ids::static_bucket(&dr),
            other(),
            replication,
            vec!["Destination"],
        ),
        (ids::log_group(&app.primary), other(), primary, vec!["Logs"]),
        // What was there and is not, or cannot be read now, keeps its rights.
        (table.clone(), Observed::Absent, primary, vec![]),
        (table, unknown(FailureKind::Unreachable), primary, vec![]),
    ] {
        let left = rights(&app, id.clone(), seen);
        let gone: BTreeSet<String> = gone.into_iter().map(str::to_owned).collect();
        assert_eq!(&all[policy] - &left[policy], gone, "{id}");
    }
}

fn unknown(kind: FailureKind) -> Observed {
    Observed::Unknown(crate::model::Failure {
        kind,
        operation: "dynamodb:DescribeTable".into(),
        code: "Unreachable".into(),
        message: "no connection".into(),
    })
}

#[test]
fn to_a_table_that_cannot_be_read_no_new_role_is_given_a_right() {
    let app = app(
        "shop",
        json!({"regions": {"primary": "us-east-1"}, "tables": [{"name": "visits"}]}),
    );
    let table = ids::table(&app.primary, "shop-visits");
    let snapshot = Snapshot::from([
        (ids::execution_role(&app), Observed::Absent),
        (table, unknown(FailureKind::Unreachable)),
    ]);
    let staged = with_own_rights(&app, wanted(&app, &[], false), &snapshot);
    let role = staged
        .desired
        .iter()
        .find(|desired| desired.id.kind == "iam_role");
    let policies = role.expect("it is wanted").config["inline_policies"].to_string();
    assert!(
        policies.contains("Logs") && !policies.contains("dynamodb"),
        "{policies}"
    );
}

#[test]
fn every_role_has_the_boundary_that_is_configured() {
    let mut app = app(
        "shop",
        json!({"regions": {"primary": "us-east-1", "dr": "us-west-2"}, "tables": [{"name": "visits"}]}),
    );
    let boundaries = |app: &App| -> Vec<Option<String>> {
        let all = topology(app).into_iter();
        let roles = all.filter(|desired| desired.id.kind == "iam_role");
        roles
            .map(|role| {
                let boundary = role.config.get("permissions_boundary")?.as_str();
                boundary.map(str::to_owned)
            })
            .collect()
    };
    assert_eq!(boundaries(&app), [None, None]);
    let boundary = Some("arn:aws:iam::123456789012:policy/apps".to_owned());
    app.permissions_boundary.clone_from(&boundary);
    assert_eq!(boundaries(&app), [boundary.clone(), boundary]);
}
