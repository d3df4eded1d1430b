//! A Kubernetes controller for `MultiRegionApp`: a serverless web application in a primary and a DR region of AWS.
//!
//! The map, each line importing only from those below it (`tests/architecture.rs` holds it):
//!
//! | module | what it is |
//! |---|---|
//! | [`aws`] | clients per region, the error table, rate limits, ownership tags |
//! | [`resources`] | the kinds of AWS resources, one file each |
//! | [`placeholder`] | the function's code until the user's own is there |
//! | [`model`] | the engine's vocabulary: ids, inputs, desired, observed |
//! | [`validate`] | the same admission rules offline, for `plan -f` |
//! | [`api`] | the custom resource: spec, status, admission rules |

pub mod api;
pub mod app;
pub mod aws;
pub mod cli;
pub mod cloud;
pub mod controller;
pub mod metrics;
pub mod model;
pub mod placeholder;
pub mod plan;
pub mod reconcile;
pub mod resources;
pub mod status;
pub mod telemetry;
pub mod topology;
pub mod validate;

/// An error with all its causes, for a log line: each `Display` says only its own part.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
