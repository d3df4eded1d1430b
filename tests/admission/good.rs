//! Manifests that are good: what is stored of them, and that nothing changes when they are applied again.

use crate::cluster::Cluster;
use crate::objects::{base, patched, without_namespace};
use anyhow::Result;
use multiregion::api::MultiRegionAppSpec;
use multiregion::validate;
use serde_json::{Value, json};

const SAMPLES: [(&str, &str); 3] = [
    ("minimal", include_str!("../../deploy/samples/minimal.yaml")),
    ("full", include_str!("../../deploy/samples/full.yaml")),
    (
        "reference",
        include_str!("../../deploy/samples/reference.yaml"),
    ),
];

/// Manifests at the bounds of what is allowed, and each choice there is.
fn good() -> Vec<(String, Value)> {
    let patches: Vec<String> = vec![
        "spec: {regions: {dr: null}}".into(),
        "spec: {regions: {primary: il-central-1, dr: mx-central-1}}".into(),
        "metadata: {name: abc}".into(),
        "metadata: {name: any.name.that.is.much.longer.than.a.prefix}\nspec: {resourcePrefix: shop}".into(),
        "metadata: {name: a234567890123456}\nspec: {regions: {primary: ap-southeast-2, dr: ap-southeast-1}}".into(),
        "spec: {resourcePrefix: a2345678901234567890}".into(),
        "spec: {domain: {name: shop.example.com}}".into(),
        "spec: {domain: {name: example.com, hostedZone: example.com}}".into(),
        "spec: {domain: {name: a.b.example.com, hostedZone: Z0123456789ABCDEFGHIJ}}".into(),
        "spec: {function: {architecture: arm64, memorySizeMiB: 128, timeoutSeconds: 1, logRetentionDays: 3653}}".into(),
        "spec: {function: {memorySizeMiB: 10240, timeoutSeconds: 115, logRetentionDays: 1}}".into(),
        "spec: {function: {runtime: provided.al2023, code: {key: a/b.zip, version: x}}}".into(),
        format!("spec: {{function: {{environment: {{VALUE: '{}'}}}}}}", "x".repeat(2043)),
        format!("spec: {{function: {{environment: {{{}}}}}}}", numbered(100, |n| format!("V{n}: x"))),
        "spec: {staticAssets: {originAccess: OriginAccessIdentity, replicationTimeControl: Enabled}}".into(),
        format!("spec: {{staticAssets: {{paths: [{}]}}}}", numbered(20, long_path)),
        format!("spec: {{cdn: {{writePaths: [{}]}}}}", numbered(20, long_path)),
        "spec: {cdn: {writePaths: [], failoverStatusCodes: [400, 403, 404, 416, 500, 502, 503, 504]}}".into(),
        "spec: {cdn: {origin: {connectionAttempts: 1, connectionTimeoutSeconds: 1}, priceClass: PriceClass_100}}".into(),
        "spec: {cdn: {origin: {connectionAttempts: 3, connectionTimeoutSeconds: 10}, priceClass: PriceClass_200}}".into(),
        "spec: {cdn: {cache: {defaultTTLSeconds: 0, maxTTLSeconds: 0}}}".into(),
        "spec: {cdn: {cache: {defaultTTLSeconds: 31536000, maxTTLSeconds: 31536000}}}".into(),
        format!(
            "spec: {{cdn: {{cache: {{cookies: [{0}], headers: [{0}]}}}}}}",
            numbered(10, |n| format!("{n}{}", "x".repeat(127)))
        ),
        format!("spec: {{tables: [{}]}}", numbered(20, |n| format!("{{name: t{n:099}}}"))),
        "spec: {tables: [{name: visits, key: {partition: {name: id, type: Number}}}]}".into(),
        "spec: {tables: [{name: visits, key: {partition: {name: id, type: Binary}, sort: {name: at, type: Number}}}]}".into(),
        "spec: {tables: [{name: a, pointInTimeRecovery: Disabled, deletionProtection: Disabled, timeToLiveAttribute: ttl}]}"
            .into(),
        "spec: {managementPolicy: Observe, deletionPolicy: Retain, adoptionPolicy: IfUnowned, suspend: true}".into(),
        "spec: {deletionPolicy: Delete}".into(),
        format!(
            "spec: {{tags: {{{}}}}}",
            numbered(40, |n| format!("'{n}{}': 'é {}'", "x".repeat(126 - n / 10), "y".repeat(254)))
        ),
    ];
    let everything = ("everything at its bound".to_owned(), largest());
    let samples = SAMPLES
        .iter()
        .map(|(name, yaml)| ((*name).to_owned(), without_namespace(yaml)));
    let patched = patches
        .into_iter()
        .map(|patch| (patch.clone(), patched(&base(), &patch)));
    samples.chain(patched).chain([everything]).collect()
}

/// What costs the rules most, all in one object: the server has a budget for what they take at run time, too.
pub fn largest() -> Value {
    let paths = |start: &str| numbered(20, |n| format!("/{start}{n:02}{}", "x".repeat(251)));
    let spec = [
        format!("staticAssets: {{paths: [{}]}}", paths("s")),
        format!(
            "cdn: {{writePaths: [{0}], cache: {{cookies: [{1}], headers: [{1}]}}}}",
            paths("w"),
            numbered(10, |n| format!("{n}{}", "x".repeat(127)))
        ),
        format!(
            "function: {{environment: {{{}}}}}",
            numbered(100, |n| format!(
                "V{n:02}{}: {}",
                "x".repeat(7),
                "y".repeat(10)
            ))
        ),
        format!(
            "tables: [{}]",
            numbered(20, |n| format!(
                "{{name: t{n:099}, timeToLiveAttribute: {}}}",
                "x".repeat(255)
            ))
        ),
        format!(
            "tags: {{{}}}",
            numbered(40, |n| format!(
                "'{n:02}{}': '{}'",
                "é".repeat(126),
                "y".repeat(256)
            ))
        ),
        "domain: {name: shop.example.com, hostedZone: example.com}".to_owned(),
    ];
    patched(&base(), &format!("spec: {{{}}}", spec.join(", ")))
}

fn numbered(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

fn long_path(n: usize) -> String {
    format!("/{n:02}{}", "x".repeat(252))
}

/// The server takes them without a warning, the offline check too, and both fill in the same.
#[tokio::test]
async fn are_stored_as_the_offline_check_reads_them() -> Result<()> {
    let cluster = Cluster::start("admission-good").await?;
    let mut wrong = Vec::new();
    for (name, object) in good() {
        let stored = match cluster.dry_create(&object).await? {
            Ok((stored, warnings)) if warnings.is_empty() => stored,
            other => {
                wrong.push(format!("{name}: {other:#?}"));
                continue;
            }
        };
        match validate::manifest(&object.to_string()) {
            Ok(app) if json!(app.spec) == stored["spec"] => {}
            Ok(app) => wrong.push(format!(
                "{name}: offline {:#}\nserver {:#}",
                json!(app.spec),
                stored["spec"]
            )),
            Err(problems) => wrong.push(format!("{name}: {problems:#?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn defaults_are_those_of_the_documentation() -> Result<()> {
    let cluster = Cluster::start("admission-defaults").await?;
    let (stored, _) = cluster.dry_create(&base()).await?.expect("accepted");
    let expected = json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "function": {
            "runtime": "nodejs24.x",
            "architecture": "x86_64",
            "handler": "index.handler",
            "memorySizeMiB": 512,
            "timeoutSeconds": 10,
            "environment": {},
            "code": {"key": "lambda/function.zip"},
            "logRetentionDays": 30,
        },
        "staticAssets": {
            "paths": ["/_nuxt/*", "/favicon.ico"],
            "originAccess": "OriginAccessControl",
            "replicationTimeControl": "Disabled",
        },
        "tables": [{
            "name": "visits",
            "key": {"partition": {"name": "PK", "type": "String"}, "sort": {"name": "SK", "type": "String"}},
            "pointInTimeRecovery": "Enabled",
            "deletionProtection": "Enabled",
        }],
        "cdn": {
            "failoverStatusCodes": [500, 502, 503, 504],
            "origin": {"connectionAttempts": 2, "connectionTimeoutSeconds": 3},
            "writePaths": ["/api/*"],
            "cache": {"defaultTTLSeconds": 60, "maxTTLSeconds": 86400, "cookies": [], "headers": []},
            "priceClass": "PriceClass_All",
        },
        "failover": {
            "probe": {"path": "/", "intervalSeconds": 30, "timeoutSeconds": 5, "failureThreshold": 3, "successThreshold": 3},
            "heartbeat": {"mode": "Enabled", "intervalSeconds": 60},
            "writes": {"mode": "Manual", "active": "Primary", "failback": "Manual", "whenLagUnknown": "Refuse"},
        },
        "objectives": {"recoveryPointSeconds": 60, "staticRecoveryPointSeconds": 900},
        "managementPolicy": "Full",
        "deletionPolicy": "RetainData",
        "adoptionPolicy": "Never",
        "suspend": false,
        "tags": {},
    });
    assert_eq!(stored["spec"], expected);
    Ok(())
}

/// The types read back all that is stored, and `full.yaml` leaves no field out.
#[tokio::test]
async fn full_sample_has_every_field() -> Result<()> {
    fn names(path: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| {
                into.push(format!("{path}.{name}"));
                names(&format!("{path}.{name}"), value, into);
            }),
            Value::Array(items) => items.iter().for_each(|item| names(path, item, into)),
            _ => {}
        }
    }
    fn declared(path: &str, schema: &Value, into: &mut Vec<String>) {
        declared_in(path, &schema["properties"], into);
        declared_in(path, &schema["items"]["properties"], into);
    }
    fn declared_in(path: &str, properties: &Value, into: &mut Vec<String>) {
        for (name, schema) in properties.as_object().into_iter().flatten() {
            into.push(format!("{path}.{name}"));
            declared(&format!("{path}.{name}"), schema, into);
        }
    }
    let cluster = Cluster::start("admission-full").await?;
    let full = without_namespace(SAMPLES[1].1);
    let (mut written, mut all) = (Vec::new(), Vec::new());
    names("spec", &full["spec"], &mut written);
    declared(
        "spec",
        &multiregion::api::schema()["properties"]["spec"],
        &mut all,
    );
    all.retain(|name| !written.contains(name));
    assert_eq!(all, Vec::<String>::new(), "not in full.yaml");

    // Written out, the defaults are what would have been filled in: nothing is added to it.
    let (stored, _) = cluster.dry_create(&full).await?.expect("accepted");
    assert_eq!(stored["spec"], full["spec"]);
    let spec: MultiRegionAppSpec = serde_json::from_value(stored["spec"].clone())?;
    assert_eq!(json!(spec), stored["spec"]);
    Ok(())
}

#[tokio::test]
async fn null_is_dropped_not_stored() -> Result<()> {
    let cluster = Cluster::start("admission-null").await?;
    let mut object = base();
    object["spec"]["domain"] = Value::Null;
    object["spec"]["suspend"] = Value::Null;
    object["spec"]["function"] =
        json!({"code": {"key": null, "version": null}, "environment": null});
    object["spec"]["tables"][0]["timeToLiveAttribute"] = Value::Null;
    let (stored, _) = cluster.dry_create(&object).await?.expect("accepted");
    let (plain, _) = cluster.dry_create(&base()).await?.expect("accepted");
    assert_eq!(stored["spec"], plain["spec"]);
    let offline = validate::manifest(&object.to_string())
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    assert_eq!(json!(offline.spec), plain["spec"]);
    Ok(())
}

/// What GitOps tools do every few minutes.
#[tokio::test]
async fn applying_again_changes_nothing() -> Result<()> {
    let cluster = Cluster::start("admission-again").await?;
    for (name, yaml) in SAMPLES {
        let object = without_namespace(yaml);
        let created = cluster.apply(&object).await?.expect(name);
        // So that kstatus does not take it for done.
        assert_eq!(
            created["status"],
            json!({"observedGeneration": -1}),
            "{name}"
        );
        // The default of the status is stored by the first write after the creation, which is mostly the operator's.
        let first = cluster.apply(&object).await?.expect(name);
        assert_eq!(created["spec"], first["spec"], "{name}");
        // managedFields have times of a second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let second = cluster.apply(&object).await?.expect(name);
        assert_eq!(first["metadata"], second["metadata"], "{name}");
        assert_eq!(first, second, "{name}");
    }
    Ok(())
}

/// Why no list of scalars is a set: server-side apply could not take a default out of one.
#[tokio::test]
async fn lists_are_replaced_and_given_back() -> Result<()> {
    let cluster = Cluster::start("admission-lists").await?;
    let fewer = patched(
        &base(),
        "spec: {cdn: {failoverStatusCodes: [500, 502], writePaths: [/rpc/*]}}",
    );
    cluster.apply(&base()).await?.expect("accepted");
    let stored = cluster.apply(&fewer).await?.expect("accepted");
    assert_eq!(
        stored["spec"]["cdn"]["failoverStatusCodes"],
        json!([500, 502])
    );
    assert_eq!(stored["spec"]["cdn"]["writePaths"], json!(["/rpc/*"]));
    let stored = cluster.apply(&base()).await?.expect("accepted");
    assert_eq!(
        stored["spec"]["cdn"]["failoverStatusCodes"],
        json!([500, 502, 503, 504])
    );
    assert_eq!(stored["spec"]["cdn"]["writePaths"], json!(["/api/*"]));
    Ok(())
}
