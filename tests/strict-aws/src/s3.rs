//! S3: its rules.

use bytes::Bytes;

use crate::call::Service;
use crate::exchange::{Exchange, Outcome, Question};

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
