//! A proxy between an AWS client and a local AWS emulator, which makes the emulator as strict and as slow as AWS.
//!
//! The emulator forgives what AWS refuses, and finishes at once what takes AWS minutes. The proxy adds that back, one
//! switch for each group of rules ([`Strict`]), with times that a test may shorten ([`Delays`]); it injects faults
//! ([`Fault`]), records every call ([`Call`]), and serves the API of CloudFront's origin access identities, which the
//! emulator lacks. It shares no code with what it judges.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use strict_aws::{Config, Fault, FaultKind, Proxy, Service};
//!
//! let proxy = Proxy::start("http://127.0.0.1:4566", Config::strict()).await?;
//! // Point the client's endpoint at `proxy.url()`, then lose the reply to its first CreateTable:
//! let lost = Fault::new(FaultKind::ResetAfter).service(Service::DynamoDb).operation("CreateTable").times(1);
//! proxy.configure(|config| config.faults.push(lost));
//! assert!(proxy.writes().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! A call goes: `server.rs` → `identify.rs` (which operation) → `fault.rs` → `limits.rs` → `services.rs`, the registry
//! of the files with the rules (one for each service) → `exchange.rs`, the emulator. `refusal.rs` words AWS's errors;
//! `admin.rs` is the proxy's own API under `/_strict/`.

mod acm;
mod admin;
mod call;
mod cloudfront;
mod config;
mod dynamodb;
mod exchange;
mod fault;
mod iam;
mod identify;
mod keyvaluestore;
mod lambda;
mod limits;
mod logs;
mod refusal;
mod route53;
mod s3;
mod server;
mod services;
mod stale;
mod sts;
mod xml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use crate::call::{Call, Service};
pub use crate::config::{Config, Delays, Limits, Strict};
pub use crate::fault::{Fault, FaultKind, Matches, Schedule};

/// A running proxy. It stops, and cuts its connections, when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<server::Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1, before the emulator at `upstream`, e.g. `http://127.0.0.1:4566`.
    ///
    /// # Errors
    /// If `upstream` is no `http://` URL, or no port can be had.
    pub async fn start(upstream: &str, config: Config) -> anyhow::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), upstream, config).await
    }

    /// Starts a proxy on an address.
    ///
    /// # Errors
    /// If `upstream` is no `http://` URL, or the address cannot be had.
    pub async fn listen(
        address: SocketAddr,
        upstream: &str,
        config: Config,
    ) -> anyhow::Result<Self> {
        let upstream = exchange::Upstream::new(upstream)?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(server::Shared::new(upstream, config));
        let task = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens, as a URL without a slash at its end: the `AWS_ENDPOINT_URL` of its clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The present config.
    pub fn config(&self) -> Config {
        Config::clone(&self.shared.config())
    }

    /// Replaces the config, from the next call on. A fault that was there before keeps its count and its start.
    pub fn set(&self, config: Config) {
        self.shared.configure(|current| *current = config);
    }

    /// Changes the config, from the next call on. A fault that was there before keeps its count and its start.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        self.shared.configure(change);
    }

    /// The calls so far (since [`Proxy::clear_calls`]), in the order in which they came in, those under way included.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.recorder.calls()
    }

    /// Those of [`Proxy::calls`] that change a resource; not [`Call::is_data`].
    pub fn writes(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.write && !call.is_data());
        calls
    }

    /// How many calls there were of each operation.
    pub fn counts(&self) -> BTreeMap<(Service, String), usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry((call.service, call.operation)).or_insert(0) += 1;
        }
        counts
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.shared.recorder.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
