//! S3: replication, policies, defaults, what the emulator does not know, reads that lag, lists in pages.
//!
//! The emulator itself refuses a bucket of another region (301), a bucket that is not empty, and replication from a
//! bucket without versioning, as AWS does; the tests hold it to that. It replicates at once: a delayed replication, with
//! its `PENDING`, would stand here.

mod policies;

use bytes::Bytes;
use xmltree::Element;

use crate::call::{Service, is_write};
use crate::exchange::{Answer, Exchange, Outcome, Question};
use crate::identify::query;
use crate::refusal::Refusal;
use crate::stale::Snapshots;
use crate::xml::{self, text_at};

/// What the proxy remembers of buckets.
#[derive(Default)]
pub(crate) struct State {
    past: Snapshots,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let strict = &exchange.config.strict;
    if strict.s3_subresources {
        check_subresource(exchange)?;
    }
    match exchange.operation {
        "PutBucketPolicy" if strict.s3_policies => policies::check(exchange).await?,
        "PutBucketReplication" if strict.s3_replication => check_replication(exchange).await?,
        "PutBucketVersioning" if strict.s3_replication => check_versioning(exchange).await?,
        _ => {}
    }
    if let Some(answer) = past(exchange) {
        return Ok(answer);
    }
    let answer = write_through(exchange).await?;
    if exchange.operation == "CreateBucket" && strict.s3_defaults && answer.status().is_success() {
        block_public_access(exchange).await?;
    }
    if strict.pages
        && ["ListObjectVersions", "ListObjectsV2", "ListObjects"].contains(&exchange.operation)
    {
        return paged(exchange, answer).await;
    }
    Ok(answer)
}

/// The region that a bucket is in; `None` if there is no such bucket.
pub(crate) async fn region_of(exchange: &Exchange<'_>, bucket: &str) -> Outcome<Option<String>> {
    let (service, region, body) = (Service::S3, "us-east-1", Bytes::new());
    let path = format!("/{bucket}");
    let head = exchange
        .ask(Question {
            service,
            region,
            method: "HEAD",
            path: &path,
            headers: &[],
            body,
        })
        .await?;
    // Also the redirect from another region says where the bucket is.
    let header = head
        .headers()
        .get("x-amz-bucket-region")
        .and_then(|region| region.to_str().ok());
    Ok(header.map(ToOwned::to_owned))
}

/// The parts of a bucket's configuration that the emulator knows. What it does not know it takes for a request to the
/// bucket itself: to delete a bucket's metrics would delete the bucket.
const KNOWN: [&str; 18] = [
    "accelerate",
    "acl",
    "cors",
    "delete",
    "encryption",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "tagging",
    "uploads",
    "versioning",
    "website",
];

/// The parameters of a list, and what SDKs add to any request.
const PARAMETERS: [&str; 15] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-uploads",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "versions",
    "x-id",
];

fn check_subresource(exchange: &Exchange<'_>) -> Result<(), Refusal> {
    if exchange.parameter("Bucket").is_empty() || !exchange.parameter("Key").is_empty() {
        return Ok(());
    }
    let query = query(exchange.request);
    let unknown = query.keys().find(|key| {
        !key.starts_with("X-Amz-")
            && !KNOWN.contains(&key.as_str())
            && !PARAMETERS.contains(&key.as_str())
    });
    match unknown {
        Some(key) => {
            let message =
                "A header or query you provided requested a feature that is not implemented.";
            Err(Refusal::new(501, "NotImplemented", message).detail("Header", key))
        }
        None => Ok(()),
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidRequest", message)
}

/// Whether a bucket's versioning is on.
async fn versioned(exchange: &Exchange<'_>, bucket: &str) -> Outcome<bool> {
    let Some(region) = region_of(exchange, bucket).await? else {
        return Ok(false);
    };
    let found = exchange
        .get_xml(Service::S3, &region, &format!("/{bucket}?versioning"))
        .await?;
    Ok(found.is_some_and(|found| text_at(&found, &["Status"]) == "Enabled"))
}

/// Both sides are versioned; a rule with a filter has a priority and says what becomes of delete markers; a rule with
/// a promised time has metrics.
async fn check_replication(exchange: &Exchange<'_>) -> Outcome<()> {
    let configuration = exchange.xml()?;
    if text_at(&configuration, &["Role"]).is_empty() {
        return Err(Refusal::new(
            400,
            "MalformedXML",
            "The replication configuration has no role.",
        )
        .into());
    }
    for rule in xml::elements(&configuration).filter(|element| element.name == "Rule") {
        let destination = text_at(rule, &["Destination", "Bucket"]);
        let Some(bucket) = destination.strip_prefix("arn:aws:s3:::") else {
            return Err(Refusal::new(400, "InvalidArgument", "Invalid bucket ARN.").into());
        };
        if region_of(exchange, bucket).await?.is_none() {
            return Err(invalid("Destination bucket must exist.").into());
        }
        if !versioned(exchange, bucket).await? {
            return Err(invalid("Destination bucket must have versioning enabled.").into());
        }
        check_rule(rule)?;
    }
    Ok(())
}

fn check_rule(rule: &Element) -> Result<(), Refusal> {
    for field in ["Priority", "DeleteMarkerReplication"] {
        if rule.get_child("Filter").is_some() && rule.get_child(field).is_none() {
            return Err(invalid(&format!(
                "{field} must be specified for this version of Cross Region Replication configuration schema. Please \
                 refer to S3 Developer Guide for more information."
            )));
        }
    }
    let timed = text_at(rule, &["Destination", "ReplicationTime", "Status"]) == "Enabled";
    if timed && text_at(rule, &["Destination", "Metrics", "Status"]) != "Enabled" {
        return Err(invalid(
            "Replication metrics must be enabled with replication time control.",
        ));
    }
    Ok(())
}

/// Versioning stays on while there is replication.
async fn check_versioning(exchange: &Exchange<'_>) -> Outcome<()> {
    let bucket = exchange.parameter("Bucket");
    let suspends = text_at(&exchange.xml()?, &["Status"]) != "Enabled";
    let path = format!("/{bucket}?replication");
    if suspends
        && exchange
            .get_xml(Service::S3, exchange.region, &path)
            .await?
            .is_some()
    {
        let message = "A replication configuration is present on this bucket, so the versioning state cannot be changed.";
        return Err(Refusal::new(409, "InvalidBucketState", message).into());
    }
    Ok(())
}

/// A new bucket blocks all public access. (Encryption and the enforced owner are the emulator's defaults too.)
async fn block_public_access(exchange: &Exchange<'_>) -> Outcome<()> {
    let document = "<PublicAccessBlockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
                    <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
                    </PublicAccessBlockConfiguration>";
    let bucket = exchange.parameter("Bucket");
    let region = region_of(exchange, bucket)
        .await?
        .unwrap_or_else(|| exchange.region.to_owned());
    let path = format!("/{bucket}?publicAccessBlock");
    let (service, body) = (Service::S3, Bytes::from(document));
    exchange
        .ask(Question {
            service,
            region: &region,
            method: "PUT",
            path: &path,
            headers: &[],
            body,
        })
        .await?;
    Ok(())
}

/// The read of the same part of a bucket's configuration; `None` if the call is not about one.
fn configuration_read(exchange: &Exchange<'_>) -> Option<String> {
    const LAGGING: [&str; 12] = [
        "accelerate",
        "cors",
        "encryption",
        "lifecycle",
        "logging",
        "notification",
        "ownershipControls",
        "policy",
        "publicAccessBlock",
        "replication",
        "tagging",
        "versioning",
    ];
    let bucket = exchange.parameter("Bucket");
    if bucket.is_empty()
        || !exchange.parameter("Key").is_empty()
        || !exchange.config.strict.stale_reads
    {
        return None;
    }
    let query = query(exchange.request);
    let part = LAGGING.iter().find(|part| query.contains_key(**part))?;
    Some(format!("/{bucket}?{part}"))
}

/// What a read of a bucket's configuration still shows.
fn past(exchange: &Exchange<'_>) -> Option<Answer> {
    let read =
        configuration_read(exchange).filter(|_| exchange.request.method() == hyper::Method::GET)?;
    exchange
        .state
        .s3
        .past
        .past(&read, exchange.config.delays.stale_reads)
}

/// Passes a call on, keeping before a write to a bucket's configuration what a read of it answers.
async fn write_through(exchange: &Exchange<'_>) -> Outcome {
    let written =
        configuration_read(exchange).filter(|_| is_write(exchange.service, "", exchange.operation));
    let Some(read) = written else {
        return exchange.forward().await;
    };
    let before = exchange.get(Service::S3, exchange.region, &read).await?;
    let answer = exchange.forward().await?;
    if answer.status().is_success() {
        exchange.state.s3.past.keep(&read, before);
    }
    Ok(answer)
}

/// A list of objects or versions that is longer than a page is asked for again with the page's size.
async fn paged(exchange: &Exchange<'_>, answer: Answer) -> Outcome {
    let size = exchange.config.page_size;
    let entries = ["Version", "DeleteMarker", "Contents", "CommonPrefixes"];
    let Some(list) = xml::parse(answer.body()).filter(|_| answer.status().is_success()) else {
        return Ok(answer);
    };
    if xml::elements(&list)
        .filter(|element| entries.contains(&element.name.as_str()))
        .count()
        <= size
    {
        return Ok(answer);
    }
    let query = exchange.request.uri().query().unwrap_or_default();
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("max-keys="))
        .collect();
    let path = format!(
        "{}?{}&max-keys={size}",
        exchange.request.uri().path(),
        kept.join("&")
    );
    exchange.get(Service::S3, exchange.region, &path).await
}
