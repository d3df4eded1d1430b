//! What an update may change, and what not.

use crate::cluster::Cluster;
use crate::objects::{base, patched};
use anyhow::Result;
use serde_json::{Value, json};

/// Applies the manifests one after the other to one object; the last one is what is asked about.
async fn sequence(
    cluster: &Cluster,
    name: &str,
    patches: &[&str],
) -> Result<Result<Value, String>> {
    let mut last = Err("nothing was applied".to_owned());
    for (index, patch) in patches.iter().enumerate() {
        let mut object = patched(&base(), patch);
        object["metadata"]["name"] = json!(name);
        last = cluster
            .apply(&object)
            .await?
            .map_err(|refusal| refusal.message);
        if index + 1 < patches.len() {
            assert!(last.is_ok(), "{name}, step {index}: {last:?}");
        }
    }
    Ok(last)
}

#[tokio::test]
async fn some_changes_are_refused() -> Result<()> {
    let cluster = Cluster::start("admission-refused").await?;
    let prefix = "the prefix of all AWS names cannot change: leave it at \"";
    let key = "the key of a table cannot change: add a table with another name instead";
    let (number, only_partition) = (
        "spec: {tables: [{name: visits, key: {partition: {name: PK, type: Number}}}]}",
        "spec: {tables: [{name: visits, key: {partition: {name: PK, type: String}}}]}",
    );
    for (name, patches, expected) in [
        (
            "primary",
            ["", "spec: {regions: {primary: eu-west-1}}"],
            "regions.primary cannot change",
        ),
        (
            "dr-in-place",
            ["", "spec: {regions: {dr: eu-west-1}}"],
            "regions.dr cannot change in place",
        ),
        (
            "prefix-added",
            ["", "spec: {resourcePrefix: other}"],
            prefix,
        ),
        (
            "prefix-changed",
            ["spec: {resourcePrefix: one}", "spec: {resourcePrefix: two}"],
            prefix,
        ),
        (
            "prefix-removed",
            ["spec: {resourcePrefix: one}", ""],
            prefix,
        ),
        ("key", ["", number], key),
        ("key-without-sort", ["", only_partition], key),
        ("key-with-sort", [only_partition, ""], key),
        (
            "key-of-second",
            [
                "spec: {tables: [{name: a}, {name: b}]}",
                "spec: {tables: [{name: b, key: {partition: {name: x, type: String}}}, {name: a}]}",
            ],
            key,
        ),
    ] {
        match sequence(&cluster, name, &patches).await? {
            Ok(_) => unreachable!("{name}: accepted"),
            Err(message) => assert!(message.contains(expected), "{name}: {message}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn others_are_accepted() -> Result<()> {
    let cluster = Cluster::start("admission-accepted").await?;
    let alone = "spec: {regions: {dr: null}}";
    for (name, patches) in [
        ("dr-added", vec![alone, ""]),
        ("dr-removed", vec!["", alone]),
        // Only one update at a time can be judged: the controller deals with what is still there.
        (
            "dr-elsewhere",
            vec!["", alone, "spec: {regions: {dr: eu-west-1}}"],
        ),
        (
            "prefix-as-named",
            vec!["", "spec: {resourcePrefix: prefix-as-named}"],
        ),
        (
            "table-added",
            vec!["", "spec: {tables: [{name: new}, {name: visits}]}"],
        ),
        (
            "table-removed",
            vec![
                "spec: {tables: [{name: a}, {name: b}]}",
                "spec: {tables: [{name: b}]}",
            ],
        ),
        (
            "table-order",
            vec![
                "spec: {tables: [{name: a}, {name: b}]}",
                "spec: {tables: [{name: b}, {name: a}]}",
            ],
        ),
        (
            "table-added-again",
            vec![
                "",
                "spec: {tables: [{name: other}]}",
                "spec: {tables: [{name: visits, key: {partition: {name: id, type: Number}}}]}",
            ],
        ),
        (
            "table-settings",
            vec![
                "",
                "spec: {tables: [{name: visits, deletionProtection: Disabled, timeToLiveAttribute: expires}]}",
            ],
        ),
        (
            "origin-access",
            vec![
                "",
                "spec: {staticAssets: {originAccess: OriginAccessIdentity}}",
                "",
            ],
        ),
        (
            "domain",
            vec!["", "spec: {domain: {name: shop.example.com}}", ""],
        ),
        (
            "policies",
            vec![
                "",
                "spec: {deletionPolicy: Retain, managementPolicy: Observe, suspend: true}",
                "",
            ],
        ),
    ] {
        let last = sequence(&cluster, name, &patches).await?;
        assert!(last.is_ok(), "{name}: {last:?}");
    }
    Ok(())
}

/// Rules about changes are paid for with every update, the largest one too.
#[tokio::test]
async fn the_largest_can_be_changed() -> Result<()> {
    let cluster = Cluster::start("admission-largest").await?;
    let largest = crate::good::largest();
    cluster.apply(&largest).await?.expect("accepted");
    let stored = cluster
        .apply(&patched(&largest, "spec: {suspend: true}"))
        .await?
        .expect("accepted");
    assert_eq!(stored["spec"]["suspend"], json!(true));
    Ok(())
}
