//! The writer of an app, where CloudFront's edges read it: in a key value store, under the distribution's id.
//!
//! Only the store's data plane is called, at the account's own global host: moving the writer needs no control plane
//! and nothing of us-east-1. A change is a compare-and-set. The version that the service compares is that of the whole
//! *store*, which all apps of an account share, so a refusal may come of another app's write: then the value is read
//! again, and only if it is still the one that was decided upon is the write tried anew.

use aws_sdk_cloudfrontkeyvaluestore::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

use super::Pass;
use crate::model::{Failure, FailureKind, GLOBAL, Writer};

const SERVICE: &str = "cloudfront-keyvaluestore";

/// How often a write is tried, as long as only other apps' writes come between.
const ATTEMPTS: usize = 5;

/// What came of a compare-and-set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// The writer is the wanted one, by this call or by one before whose reply was lost.
    Done,
    /// Somebody else was first: this is the writer now, and it has to be decided again.
    Conflict(Option<Writer>),
}

/// The writer of the distribution; `None` where the store has none for it, or is not there itself.
///
/// # Errors
/// `Invalid` where the store has a value that names no writer: a person put it there, and has to say what was meant.
pub async fn read(
    pass: &Pass,
    store_arn: &str,
    distribution_id: &str,
) -> Result<Option<Writer>, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients
        .key_value_stores
        .get_key()
        .kvs_arn(store_arn)
        .key(distribution_id)
        .send();
    match call(pass, "GetKey", get).await {
        Ok(answer) => match answer.value().parse() {
            Ok(writer) => Ok(Some(writer)),
            Err(no_writer) => Err(Failure {
                kind: FailureKind::Invalid,
                operation: format!("{SERVICE}:GetKey"),
                code: "NoWriter".into(),
                message: format!("key {distribution_id} of {store_arn}: {no_writer}"),
            }),
        },
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Makes `next` the writer if it still is `expected`; `None` stands for no writer yet.
///
/// # Errors
/// That of the call that failed. Whether it had its effect is then not known: read again, decide again.
pub async fn compare_and_set(
    pass: &Pass,
    store_arn: &str,
    distribution_id: &str,
    expected: Option<Writer>,
    next: Writer,
) -> Result<Set, Failure> {
    if expected.is_some_and(|expected| next.epoch <= expected.epoch) {
        return Err(Failure {
            kind: FailureKind::Invalid,
            operation: format!("{SERVICE}:PutKey"),
            code: "EpochNotCountedUp".into(),
            message: format!("{next} does not follow the writer that was expected"),
        });
    }
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        // The version first: what is read after it is of that version, or the write is refused.
        let version = version(pass, store_arn).await?;
        match read(pass, store_arn, distribution_id).await? {
            Some(writer) if writer == next => return Ok(Set::Done),
            writer if writer != expected => return Ok(Set::Conflict(writer)),
            _ => {}
        }
        let put = pass
            .clients(GLOBAL)
            .key_value_stores
            .put_key()
            .kvs_arn(store_arn)
            .key(distribution_id)
            .value(next.to_string())
            .if_match(version)
            .send();
        match call(pass, "PutKey", put).await {
            Ok(_) => return Ok(Set::Done),
            Err(failure) if failure.kind == FailureKind::Conflict => refused = Some(failure),
            Err(failure) => {
                // It may have had its effect and lost its reply.
                return match read(pass, store_arn, distribution_id).await {
                    Ok(Some(writer)) if writer == next => Ok(Set::Done),
                    Ok(writer) if writer != expected => Ok(Set::Conflict(writer)),
                    _ => Err(failure),
                };
            }
        }
    }
    Err(refused.unwrap_or_else(busy))
}

/// Makes `first` the writer if there is none; returns whoever then is.
///
/// # Errors
/// As of [`compare_and_set`].
pub async fn put_if_absent(
    pass: &Pass,
    store_arn: &str,
    distribution_id: &str,
    first: Writer,
) -> Result<Writer, Failure> {
    match compare_and_set(pass, store_arn, distribution_id, None, first).await? {
        Set::Done => Ok(first),
        Set::Conflict(Some(writer)) => Ok(writer),
        Set::Conflict(None) => Err(busy()),
    }
}

/// Takes the distribution's key out of the store. What is not there any more is taken out already.
///
/// # Errors
/// That of the call that failed.
pub async fn remove(pass: &Pass, store_arn: &str, distribution_id: &str) -> Result<(), Failure> {
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let removed = async {
            let version = version(pass, store_arn).await?;
            let delete = pass
                .clients(GLOBAL)
                .key_value_stores
                .delete_key()
                .kvs_arn(store_arn)
                .key(distribution_id)
                .if_match(version)
                .send();
            call(pass, "DeleteKey", delete).await
        };
        match removed.await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.kind == FailureKind::NotFound => return Ok(()),
            Err(failure) if failure.kind == FailureKind::Conflict => refused = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    Err(refused.unwrap_or_else(busy))
}

/// The version of the store that a write has to name.
async fn version(pass: &Pass, store_arn: &str) -> Result<String, Failure> {
    let clients = pass.clients(GLOBAL);
    let describe = clients
        .key_value_stores
        .describe_key_value_store()
        .kvs_arn(store_arn)
        .send();
    let answer = call(pass, "DescribeKeyValueStore", describe).await?;
    Ok(answer.e_tag)
}

async fn call<T, E>(
    pass: &Pass,
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    T: RequestId,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    pass.call(SERVICE, operation, GLOBAL, call).await
}

fn busy() -> Failure {
    Failure {
        kind: FailureKind::Conflict,
        operation: format!("{SERVICE}:PutKey"),
        code: "ConflictException".into(),
        message: "other writes to the store always came first".into(),
    }
}

#[cfg(test)]
mod tests;
