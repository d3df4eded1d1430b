//! Each rule of the proxy, on the real emulator.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod acm;
mod cloudfront;
mod dynamodb;
mod faults;
mod framework;
mod functions;
mod iam;
mod identities;
mod lambda;
mod logs;
mod route53;
mod s3;
mod support;
