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
pub mod model;
pub mod placeholder;
pub mod plan;
pub mod reconcile;
pub mod resources;
pub mod topology;
pub mod validate;
