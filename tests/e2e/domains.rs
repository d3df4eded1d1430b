//! Names and certificates: those the operator requests, and those a user brings.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(120);

/// AWS's order of things, with its seconds cut to one.
fn quick() -> Config {
    let mut config = Config::strict();
    let second = Duration::from_secs(1);
    config.delays.distribution_in_progress = Duration::from_secs(3);
    config.delays.function_pending = second;
    config.delays.role_not_assumable = second;
    config.delays.table_creating = second;
    config.delays.replica_changing = second;
    config.delays.certificate_record = second;
    config.delays.certificate_issuing = second;
    config.delays.record_change_pending = second;
    config.delays.stale_reads = second;
    config
}

/// Added, changed to one in another zone, removed: what is served follows, and nothing of the old name stays behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_app_gains_changes_and_loses_its_domain() -> Result<()> {
    let world = World::new("domain", quick()).await?;
    let first = world.create_zone("example.com").await?;
    let second = world.create_zone("example.net").await?;
    let mut spec = minimal();
    world.apply("shop", &spec).await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    ensure!(
        app["status"]["url"]
            .as_str()
            .is_some_and(|url| url.ends_with(".cloudfront.net"))
    );
    ensure!(condition(&app, "CertificateIssued").0.is_empty());

    spec["domain"] = json!({"name": "shop.example.com", "hostedZone": "example.com"});
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    serves(&world, Some("shop.example.com")).await?;
    ensure!(purposes(&world, &first, "shop.example.com").await? == ["A", "AAAA", "CNAME"]);
    world.assert_quiet("shop").await?;

    world.proxy.clear_calls();
    spec["domain"] = json!({"name": "www.example.net", "hostedZone": "example.net"});
    world.apply("shop", &spec).await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    serves(&world, Some("www.example.net")).await?;
    ensure!(purposes(&world, &second, "www.example.net").await? == ["A", "AAAA", "CNAME"]);
    // The validation record may be needed by another certificate of the name, and is told to be there.
    ensure!(purposes(&world, &first, "shop.example.com").await? == ["CNAME"]);
    let retained = app["status"]["retained"].to_string();
    ensure!(
        retained.contains("shop.example.com/validation"),
        "{retained}"
    );
    no_certificate_went_too_early(&world)?;
    world.assert_quiet("shop").await?;

    world.proxy.clear_calls();
    world.apply("shop", &minimal()).await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    serves(&world, None).await?;
    ensure!(
        app["status"]["url"]
            .as_str()
            .is_some_and(|url| url.ends_with(".cloudfront.net"))
    );
    ensure!(
        condition(&app, "CertificateIssued").0.is_empty(),
        "a condition of a certificate that is gone"
    );
    ensure!(purposes(&world, &second, "www.example.net").await? == ["CNAME"]);
    no_certificate_went_too_early(&world)?;
    world.assert_quiet("shop").await
}

/// Each certificate that CloudFront would not take is named with what is wrong and what to do; an edit mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_users_that_does_not_fit_is_named_with_what_to_do() -> Result<()> {
    let world = World::new("given", quick()).await?;
    let zone = world.create_zone("example.com").await?;
    let arn = |id: &str| format!("arn:aws:acm:us-east-1:{}:certificate/{id}", world.account);
    let elsewhere = arn("12345678").replace("us-east-1", "us-west-2");
    let refused = world.apply("shop", &with(&elsewhere)).await;
    let refused = format!("{:#}", refused.err().context("us-west-2 was admitted")?);
    ensure!(
        refused.contains("domain.certificateARN") && refused.contains("us-east-1"),
        "{refused}"
    );

    let missing = arn("00000000-0000-0000-0000-000000000000");
    unfit(
        &world,
        &missing,
        &["does not exist", "correct domain.certificateARN"],
    )
    .await?;

    let pending = request(&world, "shop.example.com").await?;
    unfit(
        &world,
        &pending,
        &["PENDING_VALIDATION", "finish its validation"],
    )
    .await?;

    let other = request(&world, "other.example.com").await?;
    validate(&world, &zone, &other).await?;
    unfit(
        &world,
        &other,
        &[
            "is for other.example.com",
            "does not cover shop.example.com",
        ],
    )
    .await?;

    let wildcard = request(&world, "*.example.com").await?;
    validate(&world, &zone, &wildcard).await?;
    world.apply("shop", &with(&wildcard)).await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    ensure!(condition(&app, "CertificateIssued").0 == "True");
    ensure!(condition(&app, "Stalled").0.is_empty());
    serves(&world, Some("shop.example.com")).await?;
    world.assert_quiet("shop").await?;

    // A certificate of the user's own outlives the app.
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    let certificate = json!({"CertificateArn": wildcard});
    world
        .aws()
        .call("acm", "DescribeCertificate", "us-east-1", &certificate)
        .await
        .map(drop)
}

fn with(certificate: &str) -> Value {
    let mut spec = minimal();
    spec["domain"] = json!({
        "name": "shop.example.com", "hostedZone": "example.com", "certificateARN": certificate,
    });
    spec
}

/// Applies the app with this certificate, and waits for the refusal, which has all of these words.
async fn unfit(world: &World, certificate: &str, words: &[&str]) -> Result<()> {
    world.apply("shop", &with(certificate)).await?;
    let app = world
        .until("the refusal of the certificate", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True"
                && condition(app, "Stalled").2.contains(certificate)
        })
        .await?;
    let (status, reason, message) = condition(&app, "Ready");
    ensure!(
        (status, reason) == ("False", "Invalid"),
        "{status} {reason}"
    );
    for word in words {
        ensure!(message.contains(word), "{word:?} is not in {message:?}");
    }
    ensure!(
        condition(&app, "CertificateIssued").0 == "Unknown",
        "{:?}",
        condition(&app, "CertificateIssued")
    );
    Ok(())
}

async fn request(world: &World, domain: &str) -> Result<String> {
    let request = json!({"DomainName": domain, "ValidationMethod": "DNS"});
    let answer = world
        .aws()
        .call("acm", "RequestCertificate", "us-east-1", &request)
        .await?;
    let arn = answer["CertificateArn"].as_str();
    Ok(arn.context("a certificate has an ARN")?.to_owned())
}

/// Makes the validation record by hand, and waits until the certificate is issued.
async fn validate(world: &World, zone: &str, certificate: &str) -> Result<()> {
    let asked = json!({"CertificateArn": certificate});
    let aws = world.aws();
    let describe = || async {
        let answer = aws
            .call("acm", "DescribeCertificate", "us-east-1", &asked)
            .await?;
        anyhow::Ok(answer["Certificate"].clone())
    };
    let record = testbed::wait::until("the validation record", TIMEOUT, || async {
        let certificate = describe().await?;
        let record = certificate
            .pointer("/DomainValidationOptions/0/ResourceRecord")
            .cloned();
        Ok(record.map_or(
            testbed::wait::Seen::Waiting("none yet".into()),
            testbed::wait::Seen::Done,
        ))
    })
    .await?;
    let change = json!({"HostedZoneId": zone, "ChangeBatch": {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": {
        "Name": record["Name"], "Type": record["Type"], "TTL": 300,
        "ResourceRecords": [{"Value": record["Value"]}],
    }}]}});
    aws.call("route53", "ChangeResourceRecordSets", "us-east-1", &change)
        .await?;
    testbed::wait::until("the certificate to be issued", TIMEOUT, || async {
        let status = describe().await?["Status"].clone();
        Ok(testbed::wait::Seen::when(
            status == "ISSUED",
            status.to_string(),
        ))
    })
    .await
}

/// The distribution has this one alias, or none, with the one certificate there is for it; the status has its URL.
async fn serves(world: &World, domain: Option<&str>) -> Result<()> {
    let app = world.get("shop").await?;
    let id = app.pointer("/status/distribution/id").cloned();
    let answer = world
        .aws()
        .call(
            "cloudfront",
            "GetDistribution",
            "us-east-1",
            &json!({"Id": id}),
        )
        .await?;
    let distribution = &answer["Distribution"];
    ensure!(distribution["Status"] == "Deployed");
    let config = &distribution["DistributionConfig"];
    let aliases = config.pointer("/Aliases/Items").unwrap_or(&Value::Null);
    let certificate = config
        .pointer("/ViewerCertificate/ACMCertificateArn")
        .cloned();
    let listed = world
        .aws_itself()
        .call("acm", "ListCertificates", "us-east-1", &json!({}))
        .await?;
    let of_app = listed["CertificateSummaryList"].as_array();
    let known: Vec<&Value> = of_app
        .into_iter()
        .flatten()
        .map(|certificate| &certificate["CertificateArn"])
        .collect();
    match domain {
        Some(domain) => {
            ensure!(*aliases == json!([domain]), "{aliases}");
            ensure!(app["status"]["url"] == format!("https://{domain}"));
            let certificate = certificate.context("the distribution has a certificate")?;
            ensure!(
                known.contains(&&certificate),
                "{certificate} is not in {known:?}"
            );
        }
        None => {
            ensure!(
                aliases.as_array().is_none_or(Vec::is_empty),
                "an alias is left: {aliases}"
            );
            ensure!(certificate.is_none(), "{certificate:?}");
            ensure!(known.is_empty(), "a certificate is left: {known:?}");
        }
    }
    Ok(())
}

/// The types of the records at and below a name.
async fn purposes(world: &World, zone: &str, name: &str) -> Result<Vec<String>> {
    let listed = world
        .aws_itself()
        .call(
            "route53",
            "ListResourceRecordSets",
            "us-east-1",
            &json!({"HostedZoneId": zone}),
        )
        .await?;
    let records = listed["ResourceRecordSets"].as_array();
    let mut types: Vec<String> = records
        .into_iter()
        .flatten()
        .filter(|record| {
            let at = record["Name"].as_str().unwrap_or_default();
            at.trim_end_matches('.').ends_with(name)
        })
        .filter_map(|record| record["Type"].as_str().map(str::to_owned))
        .collect();
    types.sort();
    Ok(types)
}

/// ACM was not asked to delete a certificate while CloudFront still used it; and it was asked once.
fn no_certificate_went_too_early(world: &World) -> Result<()> {
    let writes = world.proxy.writes();
    let place = |operation: &str| {
        writes
            .iter()
            .rposition(|call| call.operation == operation)
            .with_context(|| format!("there was no {operation}"))
    };
    ensure!(place("UpdateDistribution")? < place("DeleteCertificate")?);
    let deletions: Vec<_> = writes
        .iter()
        .filter(|call| call.operation == "DeleteCertificate")
        .collect();
    ensure!(
        deletions.len() == 1 && deletions[0].status == Some(200),
        "{deletions:#?}"
    );
    Ok(())
}
