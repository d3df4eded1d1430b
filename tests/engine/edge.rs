//! CloudFront's edges: what a distribution serves, and whether its origins admit it.

use std::collections::BTreeMap;

use multiregion::model::ResourceId;
use serde_json::{Value, json};

use super::rules::{self, SIDS};
use super::sim::{Stored, World};

const KIND: &str = "cloudfront_distribution";

pub fn arn(stored: &Stored) -> String {
    format!(
        "arn:aws:cloudfront::123456789012:distribution/E{}",
        stored.incarnation
    )
}

/// Every configuration that some edge may serve, with its distribution.
pub fn configurations(world: &World) -> impl Iterator<Item = (&Stored, &Value)> {
    world
        .resources
        .iter()
        .filter(|(id, _)| id.kind == KIND)
        .flat_map(|(_, stored)| {
            std::iter::once(&stored.config)
                .chain(&stored.still_served)
                .map(move |config| (stored, config))
        })
}

/// The origins, certificates and functions that do not admit what is enabled somewhere, with the reason. An origin is told by its
/// host: one that admits nobody for another reason than before is no worse.
pub fn refused(world: &World) -> BTreeMap<String, String> {
    let mut refused = BTreeMap::new();
    for (stored, config) in configurations(world) {
        if config["enabled"] != json!(true) {
            continue;
        }
        let origins = config
            .pointer("/routing/origins")
            .and_then(Value::as_object);
        for (name, origin) in origins.into_iter().flatten() {
            if let Err(why) = admits(world, &arn(stored), origin) {
                refused.insert(format!("{name} {}", origin["domain"]), why);
            }
        }
        for function in functions(config) {
            if let Err(why) = knows_its_writer(world, stored, function) {
                refused.insert(format!("function {function}"), why);
            }
        }
        let certificate = &config["viewer"]["certificate_arn"];
        let issued = world
            .resources
            .iter()
            .filter(|(id, _)| id.kind == "acm_certificate")
            .any(|(_, stored)| {
                stored.issued && json!(rules::certificate_arn(stored)) == *certificate
            });
        if !certificate.is_null() && !issued {
            refused.insert(format!("certificate {certificate}"), "not issued".into());
        }
    }
    refused
}

/// The functions that a configuration names.
fn functions(config: &Value) -> impl Iterator<Item = &Value> {
    behaviors(&config["routing"])
        .map(|behavior| &behavior["viewer_request"])
        .filter(|function| !function.is_null())
}

/// Whether the store that a function reads has the distribution's writer: without it writes are refused.
fn knows_its_writer(world: &World, distribution: &Stored, function: &Value) -> Result<(), String> {
    let of_kind = |kind: &'static str| {
        world
            .resources
            .iter()
            .filter(move |(id, _)| id.kind == kind)
    };
    let (_, function) = of_kind("cloudfront_function")
        .find(|(id, stored)| {
            rules::outputs(world, id, stored)
                .get("arn")
                .map(String::as_str)
                == function.as_str()
        })
        .ok_or("no such function")?;
    let has_key = of_kind("cloudfrontkeyvaluestore_key").any(|(_, key)| {
        key.config["store_arn"] == function.config["key_value_store_arn"]
            && key.config["key"] == json!(format!("E{}", distribution.incarnation))
    });
    if has_key {
        Ok(())
    } else {
        Err("its store has no writer of the distribution".into())
    }
}

/// Whether what is at `origin` lets the distribution in.
fn admits(world: &World, distribution: &str, origin: &Value) -> Result<(), String> {
    let domain = origin["domain"].as_str().unwrap_or_default();
    let Some((access, value)) = origin["access"]
        .as_object()
        .and_then(|access| access.iter().next())
    else {
        return Err("no access".into());
    };
    if access == "FunctionUrl" {
        let url = find(world, "lambda_function_url", "host", domain)
            .ok_or_else(|| format!("no function has the host {domain}"))?;
        let function = rules::parent(url).and_then(|id| world.resources.get(&id));
        if function.is_none_or(|function| function.failed.is_some()) {
            return Err(format!("{} failed", url.name));
        }
        for sid in SIDS {
            let permission = ResourceId::new(
                "lambda_permission",
                &url.region,
                format!("{}/{sid}", url.name),
            );
            let config = world
                .resources
                .get(&permission)
                .map(|stored| &stored.config)
                .ok_or_else(|| format!("no {sid} on {}", url.name))?;
            let action = format!("lambda:{}", sid.trim_start_matches("MultiRegion"));
            if config["source_arn"] != json!(distribution)
                || config["principal"] != json!("cloudfront.amazonaws.com")
                || config["action"] != json!(action)
            {
                return Err(format!("{sid} on {} is for another", url.name));
            }
        }
        return Ok(());
    }
    let bucket = find(world, "s3_bucket", "regional_domain_name", domain)
        .ok_or_else(|| format!("no bucket has the host {domain}"))?;
    let policy = ResourceId::new("s3_bucket_policy", &bucket.region, &bucket.name);
    let statements = world
        .resources
        .get(&policy)
        .and_then(|stored| stored.config["statements"].as_object())
        .ok_or_else(|| format!("no policy on {}", bucket.name))?;
    let objects = format!("arn:aws:s3:::{}/*", bucket.name);
    let allowed = statements.values().any(|statement| {
        let reads = statement["effect"] == json!("Allow")
            && contains(&statement["actions"], "s3:GetObject")
            && contains(&statement["resources"], &objects);
        let knows = match access.as_str() {
            "BucketByControl" => {
                statement["principal"]["Service"] == json!("cloudfront.amazonaws.com")
                    && contains(
                        &statement["conditions"]["StringEquals"]["aws:SourceArn"],
                        distribution,
                    )
            }
            "BucketByIdentity" => identity_of(statement).is_some_and(|identity| *value == identity),
            _ => false,
        };
        reads && knows
    });
    if allowed {
        Ok(())
    } else {
        Err(format!("{} does not admit {access} {value}", bucket.name))
    }
}

fn contains(list: &Value, item: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.contains(&json!(item)))
}

fn find<'a>(world: &'a World, kind: &str, output: &str, value: &str) -> Option<&'a ResourceId> {
    world
        .resources
        .iter()
        .filter(|(id, _)| id.kind == kind)
        .find(|(id, stored)| {
            stored.deleting_until.is_none()
                && rules::outputs(world, id, stored)
                    .get(output)
                    .map(String::as_str)
                    == Some(value)
        })
        .map(|(id, _)| id)
}

fn identity_of(statement: &Value) -> Option<String> {
    statement["principal"]["Aws"]
        .as_str()?
        .rsplit(' ')
        .next()
        .map(str::to_owned)
}

/// Ids of the access identities that a bucket policy names.
pub fn identities(policy: &Value) -> Vec<String> {
    policy["statements"]
        .as_object()
        .into_iter()
        .flat_map(|statements| statements.values().filter_map(identity_of))
        .collect()
}

/// What CloudFront looks up when it takes a configuration: kind, output, value.
pub fn references(config: &Value) -> Vec<(&'static str, &'static str, Value)> {
    let mut found = Vec::new();
    let routing = &config["routing"];
    for origin in routing["origins"]
        .as_object()
        .into_iter()
        .flat_map(|origins| origins.values())
    {
        for (access, value) in origin["access"].as_object().into_iter().flatten() {
            let kind = match access.as_str() {
                "BucketByIdentity" => "cloudfront_origin_access_identity",
                _ => "cloudfront_origin_access_control",
            };
            found.push((kind, "id", value.clone()));
        }
    }
    let managed = |id: &Value| id.as_str().is_none_or(|id| id.contains('-'));
    for behavior in behaviors(routing).filter(|behavior| behavior.is_object()) {
        let policies = [
            ("cloudfront_cache_policy", &behavior["cache_policy"]),
            (
                "cloudfront_origin_request_policy",
                &behavior["origin_request_policy"],
            ),
        ];
        for (kind, value) in policies {
            if !value.is_null() && !managed(value) {
                found.push((kind, "id", value.clone()));
            }
        }
    }
    found.extend(functions(config).map(|arn| ("cloudfront_function", "arn", arn.clone())));
    let certificate = &config["viewer"]["certificate_arn"];
    if !certificate.is_null() {
        found.push(("acm_certificate", "arn", certificate.clone()));
    }
    found
}

fn behaviors(routing: &Value) -> impl Iterator<Item = &Value> {
    let listed = routing["behaviors"].as_array().into_iter().flatten();
    std::iter::once(&routing["default_behavior"]).chain(listed.map(|path| &path["behavior"]))
}

/// What CloudFront refuses of a configuration in itself.
pub fn check(config: &Value) -> Result<(), String> {
    let routing = &config["routing"];
    let is_origin = |name: &Value| {
        routing["origins"]
            .get(name.as_str().unwrap_or_default())
            .is_some()
    };
    let is_group = |name: &Value| {
        routing["groups"]
            .get(name.as_str().unwrap_or_default())
            .is_some()
    };
    for behavior in behaviors(routing).filter(|behavior| behavior.is_object()) {
        let target = &behavior["target"];
        if !is_origin(target) && !is_group(target) {
            return Err("NoSuchOrigin".into());
        }
        if is_group(target) && contains(&behavior["methods"], "POST") {
            return Err("GroupsTakeNoPost".into());
        }
    }
    for group in routing["groups"]
        .as_object()
        .into_iter()
        .flat_map(|groups| groups.values())
    {
        let members = match group.get("members") {
            Some(members) => members.as_array().cloned().unwrap_or_default(),
            None => vec![group["primary"].clone(), group["secondary"].clone()],
        };
        if members.len() != 2 || !members.iter().all(is_origin) {
            return Err("GroupMembers".into());
        }
    }
    let aliases = config["viewer"]["aliases"]
        .as_array()
        .is_some_and(|names| !names.is_empty());
    if aliases && config["viewer"]["certificate_arn"].is_null() {
        return Err("InvalidViewerCertificate".into());
    }
    Ok(())
}
