//! A Kubernetes controller for `MultiRegionApp`: a serverless web application in a primary and a DR region of AWS.
//!
//! The map:
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`controller`] | the Kubernetes side: leader election, watch, passes, the one status patch, events |
//! | [`web`] | the read-only page |
//! | [`picture`] | an app's parts and how they are, as they are drawn; pure |
//! | [`status`] | what a pass came to, as conditions; pure |
//! | [`health`] | what probes, heartbeats and CloudWatch add up to, and whether the writes should move; pure, but for its messengers |
//! | [`cloud`] | AWS as the engine sees it |
//! | [`reconcile`] | one pass: observe, plan, apply |
//! | [`topology`] | the picture: every resource an app should have; pure |
//! | [`rollout`] | new code goes to DR first, and to the primary when it is proven; pure |
//! | [`plan`] | what is to be done, and what it waits on; pure |
//! | [`app`] | the spec parsed once, every name given; pure |
//! | [`resources`] | the kinds of AWS resources, one file each |
//! | [`settings`] | which namespace acts in which account, and within what bounds |
//! | [`aws`] | accounts, clients per region, the error table, rate limits, what all apps of an account share, ownership tags |
//! | [`validate`] | the offline check of a manifest |
//! | [`model`] | the engine's vocabulary: ids, inputs, desired, observed |
//! | [`api`] | the custom resource: spec, status, admission rules |
//! | [`metrics`], [`telemetry`], [`placeholder`] | metrics; logs, traces and health; the first `function.zip` |

pub mod api;
pub mod app;
pub mod aws;
pub mod cli;
pub mod cloud;
pub mod controller;
pub mod health;
pub mod metrics;
pub mod model;
pub mod picture;
pub mod placeholder;
pub mod plan;
pub mod reconcile;
pub mod resources;
pub mod rollout;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod topology;
pub mod validate;
pub mod web;

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
