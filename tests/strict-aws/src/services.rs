//! The registry: which file holds the rules of which service.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::Service;
use crate::exchange::{Exchange, Outcome};
use crate::{acm, cloudfront, dynamodb, iam, keyvaluestore, lambda, logs, route53, s3, sts};

/// What the proxy remembers, since the emulator does not: each service keeps its own.
#[derive(Default)]
pub(crate) struct State {
    /// The accounts of session keys.
    pub(crate) sessions: Memory<HashMap<String, String>>,
    pub(crate) acm: acm::State,
    pub(crate) cloudfront: cloudfront::State,
    pub(crate) dynamodb: dynamodb::State,
    pub(crate) iam: iam::State,
    pub(crate) lambda: lambda::State,
    pub(crate) route53: route53::State,
    pub(crate) s3: s3::State,
}

/// Shared memory. A panic elsewhere does not poison it: the rules leave it whole at every step.
#[derive(Default)]
pub(crate) struct Memory<T>(Mutex<T>);

impl<T> Memory<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a call by the rules of its service. Each service's function decides whether and how the emulator is asked.
pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    match exchange.service {
        Service::Acm => acm::handle(exchange).await,
        Service::CloudFront => cloudfront::handle(exchange).await,
        Service::DynamoDb => dynamodb::handle(exchange).await,
        Service::Iam => iam::handle(exchange).await,
        Service::KeyValueStore => keyvaluestore::handle(exchange).await,
        Service::Lambda => lambda::handle(exchange).await,
        Service::Logs => logs::handle(exchange).await,
        Service::Route53 => route53::handle(exchange).await,
        Service::S3 => s3::handle(exchange).await,
        Service::Sts => sts::handle(exchange).await,
        _ => exchange.forward().await,
    }
}
