//! Statuses as the controller writes them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A time so many minutes ago.
pub fn ago(minutes: i64) -> String {
    let time = Timestamp::now() - SignedDuration::from_mins(minutes);
    format!("{time:.0}")
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, minutes: i64) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": ago(minutes), "observedGeneration": 1,
    })
}

fn lag(source: &str, (from, to): (&str, &str), seconds: i64, state: &str) -> Value {
    json!({"source": source, "from": from, "to": to, "lagSeconds": seconds, "state": state})
}

fn region(role: &str, region: &str, health: &str) -> Value {
    json!({"role": role, "region": region, "health": health})
}

const EASTERN: (&str, &str) = ("us-west-2", "us-east-1");
const WESTERN: (&str, &str) = ("us-east-1", "us-west-2");

/// All is well, and the primary takes the writes.
pub fn well() -> Value {
    json!({
        "observedGeneration": 1,
        "url": "https://shop.example.com",
        "distribution": {
            "id": "E1A2B3C4D5E6F7",
            "arn": "arn:aws:cloudfront::123456789012:distribution/E1A2B3C4D5E6F7",
            "domainName": "d111111abcdef8.cloudfront.net",
            "status": "Deployed",
        },
        "conditions": [
            condition("Ready", "True", "Converged", "AWS is as declared", 4000),
            condition("Synced", "True", "Converged", "AWS is as declared", 400),
            condition("FailoverHealthy", "True", "DRReady", "both regions answer, and the distribution fails over between them", 3990),
            condition("ReplicationHealthy", "True", "WithinObjective", "within 60 s for tables, 900 s for static files", 3980),
            condition("CodeInSync", "True", "InSync", "both regions run the newest version", 900),
            condition("CertificateIssued", "True", "Issued", "valid until 2027-03-01", 4010),
            condition("RuntimeSupported", "True", "Supported", "nodejs24.x is supported until 2028-04-30", 4020),
        ],
        "writer": {"active": "Primary", "epoch": 1, "since": ago(4000), "reason": "AsDeclared", "message": ""},
        "replicationLagSeconds": 1,
        "regions": [region("Primary", "us-east-1", "Healthy"), region("DR", "us-west-2", "Healthy")],
        "replication": [
            lag("dynamodb/shop-carts", WESTERN, 1, "WithinObjective"),
            lag("dynamodb/shop-carts", EASTERN, 1, "WithinObjective"),
            lag("dynamodb/shop-visits", WESTERN, 1, "WithinObjective"),
            lag("dynamodb/shop-visits", EASTERN, 1, "WithinObjective"),
            lag("s3/shop-static-123456789012", WESTERN, 5, "WithinObjective"),
        ],
        "lastDrill": {
            "id": "monday", "result": "Succeeded", "reason": "Completed",
            "message": "writes were at DR after 1.4 s and back after 1.2 s",
            "started": ago(5760), "finished": ago(5759), "toDRMilliseconds": 1400, "toPrimaryMilliseconds": 1200,
            "recoveryPointMilliseconds": 800, "failedRequests": 0, "writeProbe": "Passed",
        },
        "pending": [],
    })
}

/// The primary fails, and the writes were moved.
pub fn primary_down() -> Value {
    let mut status = well();
    status["conditions"][1] = condition(
        "Synced",
        "False",
        "Progressing",
        "lambda_function/us-east-1/shop-primary: update memory_size",
        1,
    );
    status["conditions"][2] = condition(
        "FailoverHealthy",
        "False",
        "PrimaryUnhealthy",
        "pages are served from DR; primary: 3 probes in a row failed, the last with HTTP 503",
        2,
    );
    status["conditions"][3] = condition(
        "ReplicationHealthy",
        "False",
        "LagExceeded",
        "dynamodb/shop-visits from us-west-2 to us-east-1: 300 s",
        1,
    );
    status["writer"] = json!({
        "active": "DR", "epoch": 2, "since": ago(1), "reason": "PrimaryUnhealthy",
        "message": "two witnesses agree",
    });
    status["replicationLagSeconds"] = json!(300);
    status["regions"][0] = region("Primary", "us-east-1", "Unhealthy");
    status["replication"][3] = lag("dynamodb/shop-visits", EASTERN, 300, "LagExceeded");
    status["pending"] = json!([{
        "resource": "lambda_function/us-east-1/shop-primary", "change": "update memory_size",
        "waitingOn": "us-east-1 to answer",
    }]);
    status
}
