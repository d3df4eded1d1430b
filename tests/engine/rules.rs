//! What AWS makes of each kind: outputs, phases, what it refuses.

use std::collections::{BTreeMap, BTreeSet};

use multiregion::model::{
    DataPolicy, Deleted, Failure, FailureKind, Live, Owner, Phase, ResourceId,
};
use multiregion::resources;
use serde_json::{Value, json};

use super::edge;
use super::sim::{Stored, World, failure};

/// Ticks after its creation in which a certificate has no validation record yet, or a role cannot be assumed.
const SETTLING: u64 = 1;
/// Ticks for which a table cannot be deleted after it seeded a replica: AWS's 24 hours.
const SEEDING: u64 = 4;
/// The two statements that a function's URL needs.
pub const SIDS: [&str; 2] = ["MultiRegionInvokeFunctionUrl", "MultiRegionInvokeFunction"];

/// The beginning of the ARNs of functions, and of stores.
const FUNCTION: &str = "arn:aws:cloudfront::123456789012:function/";
const STORE: &str = "arn:aws:cloudfront::123456789012:key-value-store/";

type Refusal = Result<(), Failure>;

/// The resource that this one vanishes with.
pub fn parent(id: &ResourceId) -> Option<ResourceId> {
    resources::facts(&id.kind).and_then(|facts| (facts.parent)(id))
}

/// Whether it and all it is a part of are the app's.
pub fn is_ours(world: &World, id: &ResourceId) -> bool {
    let mut at = Some(id.clone());
    while let Some(id) = at {
        let owner = world.resources.get(&id).map(|stored| &stored.owner);
        if owner.is_some_and(|owner| *owner != Owner::Ours) {
            return false;
        }
        at = parent(&id);
    }
    true
}

pub fn is_asynchronous(kind: &str) -> bool {
    matches!(
        kind,
        "lambda_function"
            | "dynamodb_table"
            | "dynamodb_table_replica"
            | "cloudfront_distribution"
            | "cloudfront_key_value_store"
    )
}

pub fn is_deleted_slowly(kind: &str) -> bool {
    matches!(kind, "dynamodb_table" | "dynamodb_table_replica")
}

/// Ticks after its creation in which something of `kind` may still be refused.
pub fn settling(kind: &str) -> u64 {
    match kind {
        "dynamodb_table" => SEEDING,
        _ => SETTLING,
    }
}

/// What others may refer to, deterministic by kind, name and incarnation.
pub fn outputs(world: &World, id: &ResourceId, stored: &Stored) -> BTreeMap<String, String> {
    let (name, region, number) = (&id.name, &id.region, stored.incarnation);
    let settled = world.tick > stored.made_at;
    let pairs: Vec<(&str, String)> = match id.kind.as_str() {
        "iam_role" => vec![("arn", format!("arn:aws:iam::123456789012:role/{name}"))],
        "s3_bucket" => vec![
            ("arn", format!("arn:aws:s3:::{name}")),
            (
                "regional_domain_name",
                format!("{name}.s3.{region}.amazonaws.com"),
            ),
        ],
        "s3_object" => vec![("version_id", format!("version-{number}"))],
        "lambda_function" => function(world, id, stored),
        "lambda_function_url" => {
            let host = format!("{name}-{number}.lambda-url.{region}.on.aws");
            vec![("url", format!("https://{host}/")), ("host", host)]
        }
        "dynamodb_table" => vec![(
            "arn",
            format!("arn:aws:dynamodb:{region}:123456789012:table/{name}"),
        )],
        "acm_certificate" => {
            let mut outputs = Vec::new();
            if settled {
                let (record, value) = validation(stored);
                outputs.push(("validation_name", record));
                outputs.push(("validation_value", value));
            }
            if stored.issued {
                outputs.push(("arn", certificate_arn(stored)));
            }
            outputs
        }
        "route53_hosted_zone" => vec![("zone_id", format!("Z{number}"))],
        "cloudfront_distribution" => vec![
            ("id", format!("E{number}")),
            ("arn", edge::arn(stored)),
            ("domain_name", format!("d{number}.cloudfront.net")),
        ],
        "cloudfront_origin_access_identity" => vec![
            ("id", format!("E{number}")),
            ("canonical_user_id", format!("c{number}")),
        ],
        "cloudfront_cache_policy"
        | "cloudfront_origin_request_policy"
        | "cloudfront_origin_access_control" => vec![("id", format!("P{number}"))],
        // Only what is published can be associated.
        "cloudfront_function" if stored.config["published"] == json!(true) => {
            vec![("arn", format!("{FUNCTION}{name}"))]
        }
        // A store that is made again has another ARN.
        "cloudfront_key_value_store" => {
            let mut outputs = vec![("id", format!("{number}"))];
            if !is_busy(world, stored) {
                outputs.push(("arn", format!("{STORE}{number}")));
            }
            outputs
        }
        "cloudfrontkeyvaluestore_key" => {
            vec![("writer", "Primary".to_owned()), ("epoch", "1".to_owned())]
        }
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What a function tells of itself; while it is being changed, not what it runs.
fn function(world: &World, id: &ResourceId, stored: &Stored) -> Vec<(&'static str, String)> {
    let (name, region) = (&id.name, &id.region);
    let version = stored.config["code"]["version"]
        .as_str()
        .unwrap_or_default();
    let content = world.contents.get(version).cloned().unwrap_or_default();
    let mut outputs = vec![
        (
            "arn",
            format!("arn:aws:lambda:{region}:123456789012:function:{name}"),
        ),
        ("code_sha256", content.clone()),
    ];
    if !is_busy(world, stored) {
        let configuration = &stored.config;
        let fields = ["memory_size", "timeout", "environment", "role_arn"];
        let fields = fields.map(|field| configuration[field].to_string());
        outputs.push(("release", format!("{content} {}", fields.join(" "))));
        outputs.push(("running_sha256", content));
    }
    outputs
}

pub fn certificate_arn(stored: &Stored) -> String {
    format!(
        "arn:aws:acm:us-east-1:123456789012:certificate/{}",
        stored.incarnation
    )
}

/// A certificate's validation record, the same for every certificate of the domain.
fn validation(stored: &Stored) -> (String, String) {
    let domain = stored.config["domain_name"].as_str().unwrap_or_default();
    (
        format!("_proof.{domain}"),
        format!("_{domain}.acm-validations.aws"),
    )
}

/// How far it is.
pub fn phase(world: &World, id: &ResourceId, stored: &Stored) -> Phase {
    if let Some(why) = &stored.failed {
        return Phase::Failed(why.clone());
    }
    if stored.deleting_until.is_some() {
        return Phase::Deleting;
    }
    if id.kind == "acm_certificate" && !stored.issued {
        return Phase::Pending("Issued (PENDING_VALIDATION)".into());
    }
    if stored.busy_until <= world.tick {
        return Phase::Ready;
    }
    match id.kind.as_str() {
        "cloudfront_distribution" => Phase::Deploying("Deployed (InProgress)".into()),
        kind => Phase::Pending(format!("{kind} at rest")),
    }
}

/// Certificates are issued once their record is found, ours or another's.
pub fn issue_certificates(world: &mut World) {
    let records: BTreeSet<(String, String)> = world
        .resources
        .iter()
        .filter(|(id, _)| id.kind == "route53_record")
        .filter_map(|(_, stored)| {
            let value = stored.config.pointer("/target/Value/value")?.as_str()?;
            Some((stored.config["name"].as_str()?.to_owned(), value.to_owned()))
        })
        .chain(world.external_dns.clone())
        .collect();
    let tick = world.tick;
    for (id, stored) in &mut world.resources {
        if id.kind == "acm_certificate"
            && tick > stored.made_at
            && records.contains(&validation(stored))
        {
            stored.issued = true;
        }
    }
}

/// What is asked for with "whatever there is" is there as wanted.
pub fn as_wanted(id: &ResourceId, live: &mut Live, wanted: Option<&Value>) {
    let placeholder = json!("PlaceholderIfAbsent");
    if id.kind == "s3_object" && wanted.is_some_and(|wanted| wanted["source"] == placeholder) {
        live.config["source"] = placeholder;
    }
    if id.kind == "cloudfrontkeyvaluestore_key"
        && let Some(wanted) = wanted
    {
        live.config["initial"] = wanted["initial"].clone();
    }
}

/// The fields of `changed` that one call of the kind brings about; the next call takes the next ones.
pub fn in_one_call(kind: &str, changed: &BTreeSet<String>) -> BTreeSet<String> {
    match kind {
        // Code and configuration are two calls, and the first makes the second wait.
        "lambda_function" if changed.len() > 1 => changed
            .iter()
            .filter(|name| *name != "code" && *name != "architecture")
            .cloned()
            .collect(),
        "dynamodb_table" => changed.iter().take(1).cloned().collect(),
        _ => changed.clone(),
    }
}

pub fn check_creation(world: &mut World, id: &ResourceId, config: &Value) -> Refusal {
    let refuse = |kind, code: &str| Err(failure(kind, "create", id, code));
    if let Some(parent) = parent(id) {
        match world.resources.get(&parent) {
            None => return refuse(FailureKind::Invalid, "ParentNotFound"),
            Some(stored) if is_busy(world, stored) => {
                return refuse(FailureKind::Conflict, "ParentBusy");
            }
            Some(_) => {}
        }
    }
    if id.kind == "lambda_function" && !assumable(world, config) {
        return refuse(FailureKind::Denied, "RoleCannotBeAssumed");
    }
    if id.kind == "lambda_function" {
        let group = format!("/aws/lambda/{}", id.name);
        let group = ResourceId::new("cloudwatch_log_group", &id.region, group);
        if !world.resources.contains_key(&group) {
            world.violations.push(format!(
                "create {id} before its log group: Lambda makes one for ever"
            ));
        }
    }
    check_references(world, id, config)
        .map_err(|code| failure(FailureKind::Invalid, "create", id, &code))
}

pub fn check_update(
    world: &mut World,
    id: &ResourceId,
    config: &Value,
    changed: &BTreeSet<String>,
) -> Refusal {
    let refuse = |kind, code: &str| Err(failure(kind, "update", id, code));
    let Some(stored) = world.resources.get(id) else {
        return refuse(FailureKind::NotFound, "NotFound");
    };
    if stored.deleting_until.is_some()
        || id.kind != "cloudfront_distribution" && is_busy(world, stored)
    {
        return refuse(FailureKind::Conflict, "Busy");
    }
    let immutable: &[&str] = match id.kind.as_str() {
        "dynamodb_table" => &["partition_key", "sort_key", "billing_mode"],
        "dynamodb_table_replica" => &["source_region"],
        "acm_certificate" => &["domain_name"],
        _ => &[],
    };
    if immutable.iter().any(|&name| changed.contains(name)) {
        return refuse(FailureKind::Invalid, "Immutable");
    }
    // What was there before is AWS's already.
    let fields = changed
        .iter()
        .filter_map(|name| Some((name.clone(), config.get(name)?.clone())))
        .collect();
    check_references(world, id, &Value::Object(fields))
        .map_err(|code| failure(FailureKind::Invalid, "update", id, &code))
}

/// `None` to go on with the deletion.
pub fn check_deletion(
    world: &mut World,
    id: &ResourceId,
    data: DataPolicy,
) -> Result<Option<Deleted>, Failure> {
    let refuse = |kind, code: &str| Err(failure(kind, "delete", id, code));
    let pending = |what: &str| Ok(Some(Deleted::Pending(what.into())));
    let Some(stored) = world.resources.get(id).cloned() else {
        return Ok(Some(Deleted::Gone));
    };
    if stored.deleting_until.is_some() {
        return pending("to be gone");
    }
    let busy = stored.failed.is_none() && is_busy(world, &stored);
    match id.kind.as_str() {
        "cloudfront_distribution" if stored.config["enabled"] == json!(true) => {
            let until = world.tick + 1 + world.delay();
            if let Some(stored) = world.resources.get_mut(id) {
                stored.still_served.push(stored.config.clone());
                stored.config["enabled"] = json!(false);
                stored.busy_until = until;
            }
            pending("to be disabled")
        }
        "cloudfront_distribution" if busy => pending("to be deployed, disabled"),
        "lambda_function" if busy => refuse(FailureKind::Conflict, "Busy"),
        "dynamodb_table" | "dynamodb_table_replica" => {
            if stored.config["deletion_protection"] == json!(true) {
                return refuse(FailureKind::DeletionProtected, "DeletionProtected");
            }
            let replica = world
                .resources
                .iter()
                .find(|(other, _)| other.kind == "dynamodb_table_replica" && other.name == id.name);
            match replica {
                _ if busy => refuse(FailureKind::Conflict, "Busy"),
                Some(_) if id.kind == "dynamodb_table" => {
                    refuse(FailureKind::Conflict, "HasReplicas")
                }
                _ if id.kind == "dynamodb_table" && world.tick < stored.made_at + SEEDING => {
                    refuse(FailureKind::NotYet, "Seeding")
                }
                _ => Ok(None),
            }
        }
        "s3_bucket" => {
            let has_users_data = stored.user_data
                || world
                    .resources
                    .iter()
                    .any(|(other, stored)| parent(other).as_ref() == Some(id) && stored.user_data);
            if has_users_data && data == DataPolicy::Keep {
                Ok(Some(Deleted::Retained("it holds objects".into())))
            } else {
                Ok(None)
            }
        }
        "iam_role" => {
            let arn = json!(outputs(world, id, &stored)["arn"]);
            let user = world
                .resources
                .iter()
                .find(|(user, other)| other.config["role_arn"] == arn && is_ours(world, user))
                .map(|(user, _)| user.clone());
            if let Some(user) = user.filter(|_| !world.forgetful) {
                world
                    .violations
                    .push(format!("delete {id}, which {user} runs with"));
            }
            Ok(None)
        }
        _ if in_use(world, id, &stored) => match id.kind.as_str() {
            "cloudfront_cache_policy"
            | "cloudfront_origin_request_policy"
            | "cloudfront_origin_access_control"
            | "cloudfront_function"
            | "cloudfront_key_value_store" => {
                Ok(Some(Deleted::Retained("in use by another app".into())))
            }
            _ => pending("no longer to be in use"),
        },
        _ => Ok(None),
    }
}

fn is_busy(world: &World, stored: &Stored) -> bool {
    stored.busy_until > world.tick
}

/// Whether a distribution names it, or of a store a function.
pub fn in_use(world: &World, id: &ResourceId, stored: &Stored) -> bool {
    let name = match id.kind.as_str() {
        "acm_certificate" => certificate_arn(stored),
        "cloudfront_function" => format!("{FUNCTION}{}", id.name),
        "cloudfront_key_value_store" => {
            let arn = format!("{STORE}{}", stored.incarnation);
            return world.resources.iter().any(|(user, other)| {
                user.kind == "cloudfront_function" && other.config["key_value_store_arn"] == arn
            });
        }
        "cloudfrontkeyvaluestore_key" => return false,
        kind if kind.starts_with("cloudfront_") => match outputs(world, id, stored).get("id") {
            Some(id) => id.clone(),
            None => return false,
        },
        _ => return false,
    };
    edge::configurations(world).any(|(_, config)| mentions(config, &name))
}

fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        _ => false,
    }
}

fn assumable(world: &World, config: &Value) -> bool {
    with_output(world, "iam_role", "arn", &config["role_arn"])
        .is_none_or(|role| world.tick >= role.made_at + SETTLING)
}

/// The resource of `kind` that yields `value`.
fn with_output<'a>(
    world: &'a World,
    kind: &str,
    output: &str,
    value: &Value,
) -> Option<&'a Stored> {
    world
        .resources
        .iter()
        .filter(|(id, _)| id.kind == kind)
        .find(|(id, stored)| {
            outputs(world, id, stored).get(output).map(String::as_str) == value.as_str()
        })
        .map(|(_, stored)| stored)
}

/// What a configuration names has to exist.
fn check_references(world: &World, id: &ResourceId, config: &Value) -> Result<(), String> {
    let need =
        |kind: &str, output: &str, value: &Value| match with_output(world, kind, output, value) {
            Some(stored) => Ok(stored),
            None => Err(format!("NoSuch_{kind}")),
        };
    if let Some(role) = config.get("role_arn") {
        need("iam_role", "arn", role)?;
    }
    match id.kind.as_str() {
        "lambda_function" if config.get("code").is_some() => {
            let code = &config["code"];
            let name = format!(
                "{}/{}",
                code["bucket"].as_str().unwrap_or_default(),
                code["key"].as_str().unwrap_or_default()
            );
            let object = ResourceId::new("s3_object", &id.region, name);
            let there = world.resources.get(&object).is_some_and(|stored| {
                outputs(world, &object, stored)
                    .get("version_id")
                    .map(String::as_str)
                    == code["version"].as_str()
            });
            if !there {
                return Err("NoSuchKey".into());
            }
        }
        "s3_bucket_replication" => {
            let versioned = |bucket: &Stored| bucket.config["versioning"] == json!(true);
            let source = parent(id).and_then(|source| world.resources.get(&source));
            let destination = match config.get("destination_arn") {
                Some(arn) => versioned(need("s3_bucket", "arn", arn)?),
                None => true,
            };
            if !destination || !source.is_some_and(versioned) {
                return Err("VersioningNotEnabled".into());
            }
        }
        "cloudfront_function" => {
            if let Some(arn) = config.get("key_value_store_arn") {
                need("cloudfront_key_value_store", "arn", arn)?;
            }
        }
        "cloudfrontkeyvaluestore_key" => {
            if let Some(arn) = config.get("store_arn") {
                need("cloudfront_key_value_store", "arn", arn)?;
            }
        }
        "s3_bucket_policy" => {
            for principal in edge::identities(config) {
                need("cloudfront_origin_access_identity", "id", &json!(principal))?;
            }
        }
        "route53_record" => {
            if let Some(zone) = config.get("zone_id") {
                need("route53_hosted_zone", "zone_id", zone)?;
            }
        }
        "cloudfront_distribution" => {
            edge::check(config)?;
            for (kind, output, value) in edge::references(config) {
                let stored = need(kind, output, &value)?;
                if kind == "acm_certificate" && !stored.issued {
                    return Err("CertificateNotIssued".into());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// What else a creation sets in motion.
pub fn after_creation(world: &mut World, id: &ResourceId) {
    if id.kind != "dynamodb_table_replica" {
        return;
    }
    let until = world.resources[id].busy_until;
    let table = world
        .resources
        .iter_mut()
        .find(|(other, _)| other.kind == "dynamodb_table" && other.name == id.name);
    if let Some((_, table)) = table {
        table.busy_until = table.busy_until.max(until);
    }
}
