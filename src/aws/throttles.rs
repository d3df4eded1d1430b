//! Throttles that the SDK's own retries get over: its caller sees none of them, and the account's limits have to.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::error;

tokio::task_local! {
    static SEEN: AtomicU32;
}

/// The answer of `call`, and how many of its attempts AWS throttled.
pub(super) async fn counted<F: Future>(call: F) -> (F::Output, u32) {
    let counted = async {
        let answer = call.await;
        (answer, SEEN.with(|seen| seen.load(Ordering::Relaxed)))
    };
    SEEN.scope(AtomicU32::new(0), counted).await
}

/// Looks at the answer of each attempt.
#[derive(Debug)]
pub(super) struct Attempts;

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Throttles"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().is_some_and(error::is_throttle) {
            // What is asked for outside of a pass, such as credentials, counts nowhere.
            let _ = SEEN.try_with(|seen| seen.fetch_add(1, Ordering::Relaxed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::model::GLOBAL;
    use crate::resources::testing::{Answer, retrying};

    #[tokio::test]
    async fn what_a_retry_gets_over_is_counted() {
        let tries = AtomicUsize::new(0);
        let (pass, _) = retrying(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::enveloped_error(400, "Throttling", "Rate exceeded"),
            1 => Answer::enveloped_error(500, "ServiceFailure", "later"),
            _ => Answer::new(
                200,
                "<ListRolesResponse><ListRolesResult><Roles/><IsTruncated>false</IsTruncated></ListRolesResult></ListRolesResponse>",
            ),
        });
        let list = pass.clients(GLOBAL).iam.list_roles().send();
        let (answer, throttles) = counted(list).await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(throttles, 1);
    }

    #[tokio::test]
    async fn what_one_table_does_not_hold_counts_for_nobody_else() {
        for (code, expected) in [
            ("ProvisionedThroughputExceededException", 0),
            ("ThrottlingException", 1),
        ] {
            let tries = AtomicUsize::new(0);
            let (pass, _) = retrying(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::json_error(code, "too fast"),
                _ => Answer::new(200, "{}"),
            });
            let list = pass.clients("eu-west-1").dynamodb.list_tables().send();
            let (answer, throttles) = counted(list).await;
            assert!(answer.is_ok(), "{answer:?}");
            assert_eq!(throttles, expected, "{code}");
        }
    }

    #[tokio::test]
    async fn a_throttle_in_cbor_is_known_by_its_header() {
        let (pass, asks) =
            retrying(|_| Answer::new(400, "").header("x-amzn-query-error", "Throttling;Sender"));
        let list = pass.clients("eu-west-1").cloudwatch.list_metrics().send();
        let (answer, throttles) = counted(list).await;
        assert!(answer.is_err(), "{answer:?}");
        let asked = asks.lock().expect("no test panics with it").len();
        assert_eq!(
            usize::try_from(throttles),
            Ok(asked),
            "each of its attempts"
        );
    }
}
