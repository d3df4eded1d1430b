//! What the operator is installed by, as people use it: the chart by helm, the kustomizations by kubectl, on a real API server.
//!
//! The program that these tests run is the one that was built beside them: `cargo build --bin multiregion`.

mod chart;
mod examples;
mod kustomize;
mod objects;
mod release;
mod schemas;
mod scopes;
mod world;
