//! The data plane of CloudFront's key value stores. The emulator keeps its versions as AWS does; it only does not know
//! whose a request is.

use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::exchange::{Exchange, Outcome};

/// Passes a call on with a signature whose account the emulator understands: of a signature for all regions it takes
/// none. What it verifies, that of a user's key, it gets as it is; a key of 12 digits is an account's root.
pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let every_region = exchange.header("authorization").is_some_and(|header| {
        header.starts_with("AWS4-ECDSA-") && header.contains(&root(exchange))
    });
    if !every_region {
        return exchange.forward().await;
    }
    let mut request = exchange.request.clone();
    let signature = format!(
        "AWS4-HMAC-SHA256 {}20260101/us-east-1/cloudfront-keyvaluestore/aws4_request, SignedHeaders=host, Signature=0",
        root(exchange)
    );
    if let Ok(signature) = HeaderValue::from_str(&signature) {
        request.headers_mut().insert(AUTHORIZATION, signature);
    }
    exchange.upstream.send(&request).await
}

/// How the scope of a signature by the account's root begins.
fn root(exchange: &Exchange<'_>) -> String {
    format!("Credential={}/", exchange.account)
}
