//! The whole operator, as it ships, on a real API server and the local AWS behind the strict proxy.
//!
//! Each test has a namespace, an AWS account and an operator of its own; every test ends with a pass that writes nothing.

mod adoption;
mod annotation;
mod bad_days;
mod browser;
mod credentials;
mod domains;
mod drills;
mod evidence;
mod gitops;
mod graph;
mod health;
mod kstatus;
mod leaders;
mod lifecycle;
mod outages;
mod ownership;
mod permissions;
mod plan;
mod process;
mod rollout;
mod shards;
mod sharing;
mod storm;
mod telling;
mod tenancy;
mod traced;
mod web;
mod world;
mod writes;
