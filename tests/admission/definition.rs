//! The definition itself: how it installs, what `kubectl get` shows, and that a status of our types fits in.

use crate::cluster::Cluster;
use crate::objects::base;
use anyhow::Result;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use multiregion::api::{
    Condition, DistributionStatus, DnsRecord, DnsRecordPurpose, DnsStatus, DrillStatus,
    InventoryItem, LastHandled, MultiRegionApp, MultiRegionAppStatus, PendingChange, RegionHealth,
    RegionStatus, ReplicationStatus, RetainedItem, Role, WriterStatus, crd_yaml,
};
use serde_json::json;

/// Within the CEL budget, or the server would refuse it, and with nothing to warn of.
#[tokio::test]
async fn installs_without_a_warning() -> Result<()> {
    let cluster = Cluster::start("admission-definition").await?;
    for command in ["create", "apply"] {
        // Another name, as the definition is there already; unknown formats and the like are warned of all the same.
        let yaml = crd_yaml()
            .replace("multiregionapps", &format!("others{command}"))
            .replace("multiregionapp", "other");
        let yaml = yaml
            .replace("kind: MultiRegionApp", "kind: Other")
            .replace("- mra", "- oth");
        let output = cluster
            .control_plane
            .kubectl(&[command, "--dry-run=server", "--filename=-"], Some(&yaml))
            .await?;
        assert!(output.success(), "{}", output.stderr);
        assert_eq!(output.stderr, "");
    }
    Ok(())
}

#[tokio::test]
async fn columns_tell_how_an_app_stands() -> Result<()> {
    let cluster = Cluster::start("admission-columns").await?;
    cluster.apply(&base()).await?.expect("accepted");
    let apps: Api<MultiRegionApp> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let status = json!({"apiVersion": "multiregion.dev/v1alpha1", "kind": "MultiRegionApp", "status": status()});
    apps.patch_status(
        "shop",
        &PatchParams::apply("controller"),
        &Patch::Apply(status),
    )
    .await?;

    for (arguments, header, row) in [
        (
            vec!["get", "mra"],
            "NAME READY WRITER FAILOVER LAG URL AGE",
            "shop True Primary NotProbed 1 https://shop.example.com",
        ),
        (
            vec!["get", "aws", "--output=wide"],
            "NAME READY WRITER FAILOVER LAG URL AGE PRIMARY DR DISTRIBUTION SYNCED",
            "us-east-1 us-west-2 E1A2B3C4D5E6F7 False",
        ),
    ] {
        let arguments = [arguments, vec!["--namespace", &cluster.namespace]].concat();
        let printed = cluster.control_plane.kubectl_ok(&arguments, None).await?;
        let lines: Vec<String> = printed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines[0], header);
        assert!(lines[1].contains(row), "{}", lines[1]);
    }
    Ok(())
}

/// The status comes back as it was written, field by field, and what the next one leaves out is gone.
#[tokio::test]
async fn status_is_applied_whole() -> Result<()> {
    let cluster = Cluster::start("admission-status").await?;
    cluster.apply(&base()).await?.expect("accepted");
    let apps: Api<MultiRegionApp> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let apply = async |status: &MultiRegionAppStatus| {
        let object = json!({"apiVersion": "multiregion.dev/v1alpha1", "kind": "MultiRegionApp", "status": status});
        let parameters = PatchParams::apply("controller").validation_strict();
        apps.patch_status("shop", &parameters, &Patch::Apply(object))
            .await
    };

    let full = status();
    let first = apply(&full).await?;
    assert_eq!(first.status.as_ref(), Some(&full));
    let again = apply(&full).await?;
    assert_eq!(
        again.metadata.resource_version,
        first.metadata.resource_version
    );

    let less = MultiRegionAppStatus {
        conditions: full.conditions[..1].to_vec(),
        regions: full.regions[1..].to_vec(),
        replication: Vec::new(),
        url: None,
        ..full
    };
    assert_eq!(apply(&less).await?.status, Some(less));
    Ok(())
}

fn time() -> Time {
    Time("2026-01-02T03:04:05Z".parse().expect("a time"))
}

/// Every field of it.
fn status() -> MultiRegionAppStatus {
    let condition = |r#type: &str, status: &str, reason: &str| Condition {
        type_: r#type.into(),
        status: status.into(),
        reason: reason.into(),
        message: String::new(),
        last_transition_time: time(),
        observed_generation: Some(1),
    };
    let region = |role: Role, region: &str| RegionStatus {
        role,
        region: region.into(),
        function_arn: Some(format!(
            "arn:aws:lambda:{region}:123456789012:function:shop"
        )),
        function_url: Some(format!("https://abc.lambda-url.{region}.on.aws/")),
        code_sha256: Some("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into()),
        deployment_bucket: Some("shop-lambda-deployments".into()),
        static_bucket: Some("shop-static".into()),
        health: Some(RegionHealth::Healthy),
        last_transition_time: Some(time()),
    };
    let replication = |from: &str, to: &str| ReplicationStatus {
        lag_seconds: Some(1),
        source: "dynamodb/shop-visits".into(),
        from: from.into(),
        to: to.into(),
        state: "NoData".into(),
    };
    MultiRegionAppStatus {
        observed_generation: Some(1),
        conditions: vec![
            condition("Ready", "True", "Converged"),
            condition("Synced", "False", "Drifted"),
            condition("FailoverHealthy", "Unknown", "NotProbed"),
        ],
        url: Some("https://shop.example.com".into()),
        distribution: Some(DistributionStatus {
            id: "E1A2B3C4D5E6F7".into(),
            arn: "arn:aws:cloudfront::123456789012:distribution/E1A2B3C4D5E6F7".into(),
            domain_name: "d111111abcdef8.cloudfront.net".into(),
            status: "Deployed".into(),
        }),
        regions: vec![
            region(Role::Primary, "us-east-1"),
            region(Role::Dr, "us-west-2"),
        ],
        replication: vec![
            replication("us-east-1", "us-west-2"),
            replication("us-west-2", "us-east-1"),
        ],
        dns: Some(DnsStatus {
            records: vec![DnsRecord {
                name: "shop.example.com".into(),
                r#type: "CNAME".into(),
                value: "d111111abcdef8.cloudfront.net".into(),
                purpose: DnsRecordPurpose::Alias,
            }],
        }),
        writer: Some(WriterStatus {
            active: Role::Primary,
            epoch: 7,
            since: Some(time()),
            reason: "AsPreferred".into(),
            message: "the preferred region takes the writes".into(),
            forced: true,
            store_arn: Some("arn:aws:cloudfront::123456789012:key-value-store/1".into()),
        }),
        replication_lag_seconds: Some(1),
        last_drill: Some(DrillStatus {
            id: "t1".into(),
            result: "Succeeded".into(),
            ..DrillStatus::default()
        }),
        last_handled: Some(LastHandled {
            drill: Some("t1".into()),
            force_writer: Some("DR/t2".into()),
            failback: Some("t3".into()),
            reconcile: Some("now".into()),
        }),
        inventory: vec![InventoryItem {
            kind: "cloudfront_distribution".into(),
            region: None,
            name: "shop".into(),
            id: Some("E1A2B3C4D5E6F7".into()),
        }],
        retained: vec![RetainedItem {
            kind: "dynamodb_table".into(),
            region: Some("us-east-1".into()),
            name: "shop-old".into(),
            reason: "taken out of spec.tables".into(),
        }],
        pending: vec![PendingChange {
            resource: "cloudfront_distribution shop".into(),
            change: "update".into(),
            waiting_on: Some("acm_certificate shop.example.com".into()),
        }],
    }
}
