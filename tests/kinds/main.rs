//! Every kind against the local AWS: made, seen again without a difference, changed, taken away.

#![expect(
    clippy::panic,
    reason = "a test that meets what it does not expect ends there"
)]

mod acm;
mod cloudfront;
mod compute;
mod dynamodb;
mod route53;
mod s3;
mod support;
