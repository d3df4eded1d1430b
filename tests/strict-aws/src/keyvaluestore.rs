//! The data plane of CloudFront's key value stores. The emulator keeps its versions as AWS does; it only does not know
//! whose a request is.

use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::exchange::{Exchange, Outcome};

/// Passes a call on with a signature that the emulator understands, that of the root of the store's account, which it does not
/// verify: of a signature for all regions it takes no account, and verifies it only with a library that it does without.
pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let every_region = exchange
        .header("authorization")
        .is_some_and(|header| header.starts_with("AWS4-ECDSA-"));
    if !every_region {
        return exchange.forward().await;
    }
    let mut request = exchange.request.clone();
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/cloudfront-keyvaluestore/aws4_request, \
         SignedHeaders=host, Signature=0",
        account(exchange)
    );
    if let Ok(signature) = HeaderValue::from_str(&signature) {
        request.headers_mut().insert(AUTHORIZATION, signature);
    }
    exchange.upstream.send(&request).await
}

/// The account in the store's ARN.
fn account<'a>(exchange: &'a Exchange<'_>) -> &'a str {
    let mut parts = exchange.parameter("KvsARN").split(':');
    parts.nth(4).unwrap_or(exchange.account)
}
