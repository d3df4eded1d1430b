//! The credentials of an assumed role, from whichever region's STS answers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};

use crate::aws::accounts::Role;
use crate::aws::{CONNECT_TIMEOUT, CallRecord, Record, Recorder, error};
use crate::model::{Failure, FailureKind};

/// One region's STS has no longer than this: a call that waits for credentials has 5 s in all, and is to try two.
const ONE_REGION: Duration = Duration::from_secs(2);
/// How sessions are called, unless told otherwise.
const SESSION: &str = "multiregion";

/// The regions whose STS are asked, in this order; one that does not answer goes to the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regions(Arc<Mutex<Vec<String>>>);

impl Regions {
    /// Adds those that are not there yet.
    pub(crate) fn add<'a>(&self, regions: impl IntoIterator<Item = &'a str>) {
        let mut all = self.all();
        for region in regions {
            if !all.iter().any(|known| known == region) {
                all.push(region.to_owned());
            }
        }
    }

    fn last(&self, region: &str) {
        let mut all = self.all();
        all.retain(|known| known != region);
        all.push(region.to_owned());
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A role that was not assumed, and why.
#[derive(Debug, thiserror::Error)]
#[error("role {role} could not be assumed")]
pub(crate) struct NotAssumed {
    /// Its ARN.
    pub(crate) role: String,
    /// The last region's answer, or that there was none.
    #[source]
    pub(crate) failure: Failure,
}

/// Assumes a role with the credentials of `base`.
pub(crate) struct AssumedRole {
    base: SdkConfig,
    role: Role,
    regions: Regions,
    recorder: Recorder,
}

impl fmt::Debug for AssumedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssumedRole({})", self.role.arn)
    }
}

impl AssumedRole {
    pub(crate) fn new(base: SdkConfig, role: Role, regions: Regions, recorder: Recorder) -> Self {
        Self {
            base,
            role,
            regions,
            recorder,
        }
    }

    async fn load(&self) -> provider::Result {
        let regions = self.regions.all().clone();
        let mut failure = Failure {
            kind: FailureKind::Unreachable,
            operation: "sts:AssumeRole".into(),
            code: "NoRegion".into(),
            message: "no region's STS is known".into(),
        };
        for region in regions {
            match self.ask(&region).await {
                Ok(credentials) => return Ok(credentials),
                Err(answer) => failure = answer,
            }
            // What one region's STS refuses, another's does too, unless it is not switched on in this one.
            if !failure.kind.is_unreachable() && failure.code != "RegionDisabledException" {
                break;
            }
            self.regions.last(&region);
        }
        Err(CredentialsError::provider_error(NotAssumed {
            role: self.role.arn.clone(),
            failure,
        }))
    }

    async fn ask(&self, region: &str) -> Result<Credentials, Failure> {
        let config = aws_sdk_sts::config::Builder::from(&self.base)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_timeout(ONE_REGION)
                    .build(),
            )
            .build();
        let asked = aws_sdk_sts::Client::from_conf(config)
            .assume_role()
            .role_arn(&self.role.arn)
            .role_session_name(self.role.session_name.as_deref().unwrap_or(SESSION))
            .set_external_id(self.role.external_id.clone());
        let started = Instant::now();
        let answer = asked.send().await;
        let answer = answer.map_err(|refused| error::classify("sts", "AssumeRole", &refused));
        let failure = answer.as_ref().err().map(|failure| failure.kind);
        (self.recorder)(&Record::Call(CallRecord {
            service: "sts",
            operation: "AssumeRole",
            region: region.to_owned(),
            failure,
            elapsed: started.elapsed(),
            waited: Duration::ZERO,
            throttles: (failure == Some(FailureKind::Throttled)).into(),
        }));
        let incomplete = || Failure {
            kind: FailureKind::Transient,
            operation: "sts:AssumeRole".into(),
            code: "AnswerIncomplete".into(),
            message: "the answer has no credentials".into(),
        };
        let given = answer?.credentials.ok_or_else(incomplete)?;
        let end = given.expiration.try_into().map_err(|_| incomplete())?;
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(end),
            "AssumedRole",
        ))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}
