//! One AWS call: which operation of which service it is, for whom, and what came of it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::fault::FaultKind;

/// The services that the proxy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
    /// Simple Storage Service.
    S3,
    /// Lambda's control plane.
    Lambda,
    /// A request to a function's URL, signed or not.
    FunctionUrl,
    /// DynamoDB.
    #[serde(rename = "dynamodb")]
    DynamoDb,
    /// Certificate Manager.
    Acm,
    /// CloudFront's control plane.
    #[serde(rename = "cloudfront")]
    CloudFront,
    /// CloudFront's key value stores.
    #[serde(rename = "cloudfront-keyvaluestore")]
    KeyValueStore,
    /// A viewer's request to a distribution.
    Edge,
    /// Route 53.
    Route53,
    /// CloudWatch Logs.
    Logs,
    /// CloudWatch metrics and alarms.
    #[serde(rename = "cloudwatch")]
    CloudWatch,
    /// Anything else: passed on.
    Other,
}

impl Service {
    /// The service of a signature's scope.
    pub(crate) fn from_signing_name(name: &str) -> Self {
        match name {
            "sts" => Self::Sts,
            "iam" => Self::Iam,
            "s3" => Self::S3,
            "lambda" => Self::Lambda,
            "dynamodb" => Self::DynamoDb,
            "acm" => Self::Acm,
            "cloudfront" => Self::CloudFront,
            "cloudfront-keyvaluestore" => Self::KeyValueStore,
            "route53" => Self::Route53,
            "logs" => Self::Logs,
            "monitoring" => Self::CloudWatch,
            _ => Self::Other,
        }
    }

    /// The name in a signature's scope.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::S3 => "s3",
            Self::Lambda | Self::FunctionUrl => "lambda",
            Self::DynamoDb => "dynamodb",
            Self::Acm => "acm",
            Self::CloudFront | Self::Edge => "cloudfront",
            Self::KeyValueStore => "cloudfront-keyvaluestore",
            Self::Route53 => "route53",
            Self::Logs => "logs",
            Self::CloudWatch => "monitoring",
            Self::Other => "other",
        }
    }
}

/// A call that reached the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// The operation as AWS names it, e.g. `CreateFunction`; the method and path of what is not recognised.
    pub operation: String,
    /// The region of the signature.
    pub region: String,
    /// The caller's account.
    pub account: String,
    /// Whether it changes anything.
    pub write: bool,
    /// The HTTP method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    /// The HTTP status that was answered; absent while under way, and where nothing was answered.
    pub status: Option<u16>,
    /// The code of the error with which the proxy itself refused, e.g. `ResourceConflictException`.
    pub refused: Option<String>,
    /// The fault that was injected.
    pub fault: Option<FaultKind>,
}

impl Call {
    /// Whether it is about what an app stores and serves, not about a resource: items, heartbeat objects, requests.
    pub fn is_data(&self) -> bool {
        match self.service {
            Service::FunctionUrl | Service::Edge | Service::KeyValueStore => true,
            Service::DynamoDb => self.operation.ends_with("Item"),
            Service::S3 => {
                self.path.contains("/.multiregion/") || self.path.contains("prefix=.multiregion")
            }
            _ => false,
        }
    }
}

/// Whether an operation changes anything, by the verb that its name begins with.
pub(crate) fn is_write(service: Service, method: &str, operation: &str) -> bool {
    const READS: [&str; 14] = [
        "Get",
        "List",
        "Describe",
        "Head",
        "Query",
        "Scan",
        "BatchGet",
        "Lookup",
        "Filter",
        "Test",
        "Simulate",
        "Select",
        "AssumeRole",
        "Invoke",
    ];
    match service {
        Service::FunctionUrl | Service::Edge => false,
        Service::Other => !matches!(method, "GET" | "HEAD"),
        _ => !READS.iter().any(|verb| operation.starts_with(verb)),
    }
}

/// The calls of the past, at most the newest hundred thousand.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Records>);

#[derive(Default)]
struct Records {
    calls: VecDeque<Call>,
    /// The number of the first call that is still kept.
    first: u64,
}

const KEPT: usize = 100_000;

impl Recorder {
    /// Notes a call that has come in, and gives it a number.
    pub(crate) fn begin(&self, call: Call) -> u64 {
        let mut records = self.lock();
        if records.calls.len() == KEPT {
            records.calls.pop_front();
            records.first += 1;
        }
        records.calls.push_back(call);
        records.first + records.calls.len() as u64 - 1
    }

    /// Notes what has come of a call.
    pub(crate) fn update(&self, number: u64, change: impl FnOnce(&mut Call)) {
        let mut records = self.lock();
        let index = number
            .checked_sub(records.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| records.calls.get_mut(index)) {
            change(call);
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut records = self.lock();
        records.first += records.calls.len() as u64;
        records.calls.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
