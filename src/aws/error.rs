//! The one place that knows AWS's error codes.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::credentials::NotAssumed;
use crate::model::{Failure, FailureKind};

/// Turns the SDK's error into what the engine decides by.
pub(crate) fn classify<E>(
    service: &str,
    operation: &str,
    error: &SdkError<E, HttpResponse>,
) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let operation = format!("{service}:{operation}");
    let failure = |kind, code: &str, message: String| Failure {
        kind,
        operation,
        code: code.into(),
        message,
    };
    match error {
        SdkError::TimeoutError(_) => failure(
            FailureKind::Unreachable,
            "Timeout",
            "no answer within the call's time limit".into(),
        ),
        SdkError::DispatchFailure(dispatch) => {
            let text = DisplayErrorContext(error).to_string();
            if is_credentials_error(&text) || is_failed_provider(error) {
                let message = match not_assumed(error) {
                    Some(not_assumed) => format!("{not_assumed}: {}", not_assumed.failure),
                    None => format!(
                        "no usable credentials in the environment's chain (AWS_*, profile, web identity): {}",
                        innermost(error)
                    ),
                };
                return failure(FailureKind::NoCredentials, "NoCredentials", message);
            }
            // A connection that was taken and then dropped is a lost reply, not a region out of reach.
            let lost =
                dispatch.is_io() && !text.contains("connect") || text.contains("IncompleteMessage");
            let kind = if lost {
                FailureKind::Transient
            } else {
                FailureKind::Unreachable
            };
            failure(
                kind,
                if lost { "ReplyLost" } else { "Unreachable" },
                innermost(error),
            )
        }
        SdkError::ConstructionFailure(_) => {
            let text = DisplayErrorContext(error).to_string();
            let kind = if is_credentials_error(&text) || is_failed_provider(error) {
                FailureKind::NoCredentials
            } else {
                FailureKind::Invalid
            };
            failure(kind, "RequestNotBuilt", innermost(error))
        }
        SdkError::ResponseError(_) => failure(
            FailureKind::Transient,
            "ResponseNotUnderstood",
            innermost(error),
        ),
        SdkError::ServiceError(service_error) => {
            let status = service_error.raw().status().as_u16();
            let refused = refused_batch(service_error.raw().body().bytes().unwrap_or_default());
            let (code, message) = match &refused {
                Some(message) => ("InvalidChangeBatch", message.as_str()),
                None => (
                    service_error.err().code().unwrap_or_default(),
                    service_error.err().message().unwrap_or_default(),
                ),
            };
            let message = if message.is_empty() {
                format!("HTTP status {status}")
            } else {
                message.to_owned()
            };
            let kind = kind_of(code, &message, status);
            failure(
                kind,
                if code.is_empty() { "Unknown" } else { code },
                message,
            )
        }
        _ => failure(FailureKind::Transient, "Unknown", innermost(error)),
    }
}

/// What one table's own capacity does not hold: no reason to slow down for the others.
pub(super) const OF_ONE_TABLE: &str = "ProvisionedThroughputExceededException";

/// Whether an answer says that there were too many calls of the account, by its code.
pub(super) fn is_throttle(response: &HttpResponse) -> bool {
    let status = response.status().as_u16();
    let code = code_of(response);
    status >= 400 && code != OF_ONE_TABLE && kind_of(&code, "", status) == FailureKind::Throttled
}

/// The error code in an answer of any of AWS's protocols; empty where there is none.
fn code_of(response: &HttpResponse) -> String {
    let plain = |code: &str| {
        let code = code.split(':').next().unwrap_or_default();
        code.rsplit('#').next().unwrap_or_default().to_owned()
    };
    let headers = response.headers();
    // Of a service that spoke Query and speaks CBOR now, as in `Throttling;Sender`.
    if let Some(code) = headers.get("x-amzn-query-error") {
        return plain(code.split(';').next().unwrap_or_default());
    }
    if let Some(code) = headers.get("x-amzn-errortype") {
        return plain(code);
    }
    let body = response.body().bytes().unwrap_or_default();
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        return plain(json["__type"].as_str().unwrap_or_default());
    }
    let body = String::from_utf8_lossy(body);
    let code = body.split_once("<Code>").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split("</Code>").next());
    code.unwrap_or_default().to_owned()
}

/// The messages of Route 53's InvalidChangeBatch where it comes without the envelope of all other errors, so that the
/// SDK finds neither code nor message in it.
fn refused_batch(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, body) = body.split_once("<InvalidChangeBatch")?;
    let messages = body.split("<Message>").skip(1);
    let messages: Vec<&str> = messages
        .filter_map(|rest| rest.split("</Message>").next())
        .collect();
    Some(messages.join(" "))
}

/// Whether it is a deletion that AWS refuses because something else uses the thing (`CachePolicyInUse` and its like,
/// ACM's `ResourceInUseException`), not because of another writer.
pub fn is_in_use(failure: &Failure) -> bool {
    failure.kind == FailureKind::Conflict
        && (failure.code.ends_with("InUse") || failure.code == "ResourceInUseException")
}

/// An error that stands for one entry in the answer of a call which as a whole succeeded.
pub fn of_entry(operation: &str, code: &str, message: &str) -> Failure {
    // S3 gives such entries no status of their own; what the table does not know is tried again.
    Failure {
        kind: kind_of(code, message, 500),
        operation: operation.into(),
        code: code.into(),
        message: message.into(),
    }
}

fn is_credentials_error(text: &str) -> bool {
    [
        "no providers in chain",
        "CredentialsNotLoaded",
        "credentials provider",
        "NoCredentials",
        "the credential",
    ]
    .iter()
    .any(|part| text.contains(part))
}

/// Whether a source of credentials was there and failed: a token file that is missing, a role that may not be assumed.
/// Where it could not be reached, nothing is known of the credentials.
fn is_failed_provider(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut failed = false;
    let mut next = Some(error);
    while let Some(error) = next {
        if failed && (error.is::<ConnectorError>() || is_away(error)) {
            return false;
        }
        failed |= error.is::<CredentialsError>();
        next = error.source();
    }
    failed
}

/// Whether a role was not assumed because no STS answered, or none had the time.
fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<NotAssumed>()
        .is_some_and(|not_assumed| not_assumed.failure.kind.is_unreachable())
}

/// The role that could not be assumed, if that is what it comes from.
fn not_assumed<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a NotAssumed> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(not_assumed) = error.downcast_ref() {
            return Some(not_assumed);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The table. What it does not list is sorted by HTTP status.
fn kind_of(code: &str, message: &str, status: u16) -> FailureKind {
    use FailureKind as K;
    match code {
        // Lambda says this, as InvalidParameterValueException, of a role that IAM has not spread yet (about a minute).
        "InvalidParameterValueException" if message.contains("cannot be assumed by Lambda") => {
            K::Denied
        }
        // DynamoDB says protection, and the 24 hours after seeding a replica, in words only.
        "ValidationException" if message.to_lowercase().contains("deletion protection") => {
            K::DeletionProtected
        }
        "ValidationException" if message.contains("24 hours") => K::NotYet,
        // So are an expiry attribute changed twice in an hour, a replica that somebody else made or removed meanwhile.
        "ValidationException" if message.contains("within a fixed interval") => K::NotYet,
        "ValidationException" if message.contains("replicas already existed as tables") => {
            K::Conflict
        }
        "ValidationException"
            if message.contains("Replica Delete action of the request was not found") =>
        {
            K::NotFound
        }
        // Replication asked for before all of S3 knows of the versioning that was just put on.
        "InvalidRequest" if message.contains("ersioning") && message.contains("nabled") => {
            K::Conflict
        }
        // Route 53 says in words that another was there first, or that a lost reply's change was made.
        "InvalidChangeBatch"
            if [
                "but it already exists",
                "but it was not found",
                "do not match the current",
            ]
            .iter()
            .any(|words| message.contains(words)) =>
        {
            K::Conflict
        }
        // IAM takes a principal for unknown until it has spread; S3 does so with a new access identity.
        "MalformedPolicy" | "MalformedPolicyDocument" if message.contains("rincipal") => {
            K::Conflict
        }

        "NoSuchEntity"
        | "NoSuchBucket"
        | "NoSuchBucketPolicy"
        | "NoSuchTagSet"
        | "NoSuchKey"
        | "NoSuchVersion"
        | "NotFound"
        | "NoSuchLifecycleConfiguration"
        | "NoSuchPublicAccessBlockConfiguration"
        | "ReplicationConfigurationNotFoundError"
        | "ServerSideEncryptionConfigurationNotFoundError"
        | "OwnershipControlsNotFoundError"
        | "ResourceNotFoundException"
        | "NoSuchDistribution"
        | "NoSuchCachePolicy"
        | "NoSuchOriginRequestPolicy"
        | "NoSuchOriginAccessControl"
        | "NoSuchCloudFrontOriginAccessIdentity"
        | "NoSuchOriginAccessIdentity"
        | "NoSuchResource"
        | "NoSuchHostedZone"
        | "NoSuchFunctionExists"
        | "EntityNotFound"
        | "ReplicaNotFoundException"
        | "TableNotFoundException" => K::NotFound,

        "EntityAlreadyExists"
        | "ConflictException"
        | "FunctionAlreadyExists"
        | "FunctionInUse"
        | "CannotDeleteEntityWhileInUse"
        | "ResourceConflictException"
        | "ResourceInUseException"
        | "ResourceAlreadyExistsException"
        | "PreconditionFailed"
        | "ConditionalRequestConflict"
        | "OperationAborted"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "OperationAbortedException"
        | "BucketAlreadyOwnedByYou"
        | "DistributionAlreadyExists"
        | "CachePolicyAlreadyExists"
        | "OriginRequestPolicyAlreadyExists"
        | "OriginAccessControlAlreadyExists"
        | "CloudFrontOriginAccessIdentityAlreadyExists"
        | "InvalidIfMatchVersion"
        | "PriorRequestNotComplete"
        | "ReplicaAlreadyExistsException"
        | "DeleteConflict"
        | "DistributionNotDisabled"
        | "BucketNotEmpty"
        | "CodeStorageExceededConflict"
        | "ContinuousBackupsUnavailableException" => K::Conflict,

        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "ProvisionedThroughputExceededException"
        | "RequestThrottled"
        | "PriorityThrottled" => K::Throttled,

        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "AllAccessDisabled" => K::Denied,

        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature" => K::NoCredentials,

        // S3 says so with status 200 where it had begun to answer (CopyObject, DeleteObjects).
        "InternalError" | "ServiceUnavailable" | "RequestTimeout" => K::Transient,

        "BucketAlreadyExists" | "CNAMEAlreadyExists" => K::Foreign,

        "LimitExceeded"
        | "EntityLimitExceeded"
        | "LimitExceededException"
        | "TooManyBuckets"
        | "CodeStorageExceededException"
        | "ServiceQuotaExceededException"
        | "QuotaExceeded" => K::Quota,
        // What is shared has as many distributions as it may: the next pass takes another.
        "TooManyDistributionsAssociatedToCachePolicy"
        | "TooManyDistributionsAssociatedToOriginRequestPolicy"
        | "TooManyDistributionsAssociatedToOriginAccessControl"
        | "TooManyDistributionsWithFunctionAssociations" => K::Conflict,
        code if code.starts_with("TooMany") => K::Quota,

        _ => match status {
            404 => K::NotFound,
            409 | 412 => K::Conflict,
            403 => K::Denied,
            401 => K::NoCredentials,
            408 | 429 => K::Throttled,
            500.. => K::Transient,
            _ => K::Invalid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_source_of_credentials_is_told_from_one_that_is_out_of_reach() {
        let refused = CredentialsError::provider_error("the role may not be assumed");
        let away = CredentialsError::provider_error(ConnectorError::io("no route".into()));
        for (error, expected) in [(refused, true), (away, false)] {
            let call = ConnectorError::other(error.into(), None);
            assert_eq!(is_failed_provider(&call), expected, "{call:?}");
        }
    }

    /// (code, message, status) → kind; a row an AWS answer that decides differently from its neighbours.
    const TABLE: &[(&str, &str, u16, FailureKind)] = &[
        ("NoSuchEntity", "", 404, FailureKind::NotFound),
        ("NoSuchTagSet", "", 404, FailureKind::NotFound),
        ("", "", 404, FailureKind::NotFound),
        (
            "ResourceConflictException",
            "an update is in progress",
            409,
            FailureKind::Conflict,
        ),
        ("PreconditionFailed", "", 412, FailureKind::Conflict),
        ("InvalidIfMatchVersion", "", 400, FailureKind::Conflict),
        ("Throttling", "Rate exceeded", 400, FailureKind::Throttled),
        ("SlowDown", "", 503, FailureKind::Throttled),
        ("ServiceUnavailable", "", 503, FailureKind::Transient),
        ("InternalError", "", 500, FailureKind::Transient),
        ("InternalError", "", 200, FailureKind::Transient),
        ("RequestTimeout", "", 400, FailureKind::Transient),
        ("AccessDenied", "", 403, FailureKind::Denied),
        ("", "", 403, FailureKind::Denied),
        (
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
            400,
            FailureKind::Denied,
        ),
        (
            "InvalidParameterValueException",
            "MemorySize",
            400,
            FailureKind::Invalid,
        ),
        ("InvalidClientTokenId", "", 403, FailureKind::NoCredentials),
        ("BucketAlreadyExists", "", 409, FailureKind::Foreign),
        ("CNAMEAlreadyExists", "", 409, FailureKind::Foreign),
        ("BucketAlreadyOwnedByYou", "", 409, FailureKind::Conflict),
        ("TooManyDistributions", "", 400, FailureKind::Quota),
        ("CachePolicyInUse", "", 409, FailureKind::Conflict),
        (
            "CannotDeleteEntityWhileInUse",
            "",
            409,
            FailureKind::Conflict,
        ),
        ("ConflictException", "", 409, FailureKind::Conflict),
        ("EntityNotFound", "", 404, FailureKind::NotFound),
        ("EntityLimitExceeded", "", 400, FailureKind::Quota),
        ("TooManyFunctions", "", 400, FailureKind::Quota),
        (
            "InvalidChangeBatch",
            "[Tried to create resource record set [name='shop.example.com.', type='A'] but it already exists]",
            400,
            FailureKind::Conflict,
        ),
        (
            "InvalidChangeBatch",
            "[RRSet of type A with DNS name shop.example.com. is not permitted because a conflicting RRSet of type  \
             CNAME with the same DNS name already exists in zone example.com.]",
            400,
            FailureKind::Invalid,
        ),
        ("LimitExceededException", "", 400, FailureKind::Quota),
        (
            "ValidationException",
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
            400,
            FailureKind::DeletionProtected,
        ),
        (
            "ValidationException",
            "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the table in the last 24 hours.",
            400,
            FailureKind::NotYet,
        ),
        (
            "ValidationException",
            "Time to live has been modified multiple times within a fixed interval",
            400,
            FailureKind::NotYet,
        ),
        (
            "ValidationException",
            "Failed to create a the new replica of table with name: 't' because one or more replicas already existed as tables.",
            400,
            FailureKind::Conflict,
        ),
        (
            "ValidationException",
            "Replica specified in the Replica Update or Replica Delete action of the request was not found.",
            400,
            FailureKind::NotFound,
        ),
        (
            "InvalidRequest",
            "Versioning must be 'Enabled' on the bucket to apply a replication configuration",
            400,
            FailureKind::Conflict,
        ),
        (
            "InvalidRequest",
            "Destination bucket must have versioning enabled.",
            400,
            FailureKind::Conflict,
        ),
        (
            "InvalidRequest",
            "Unsupported priority",
            400,
            FailureKind::Invalid,
        ),
        (
            "ValidationException",
            "One or more parameter values were invalid",
            400,
            FailureKind::Invalid,
        ),
        ("InvalidArgument", "", 400, FailureKind::Invalid),
    ];

    #[test]
    fn a_refused_batch_is_understood_without_its_envelope() {
        let body = "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                    <Messages><Message>one</Message><Message>two</Message></Messages></InvalidChangeBatch>";
        assert_eq!(refused_batch(body.as_bytes()).as_deref(), Some("one two"));
        let wrapped =
            "<ErrorResponse><Error><Code>InvalidChangeBatch</Code></Error></ErrorResponse>";
        assert_eq!(refused_batch(wrapped.as_bytes()), None);
    }

    #[test]
    fn every_row_of_the_table_is_sorted_as_it_says() {
        for (code, message, status, expected) in TABLE {
            assert_eq!(
                kind_of(code, message, *status),
                *expected,
                "{code} {message} {status}"
            );
        }
    }
}
