//! What was read lately: read again when it is older than that, and kept where reading fails. An edge goes on serving
//! by what it knows while AWS's control plane is away.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::api::Api;

/// Values by key, each with the time at which it was read; no time is "read it again".
pub(crate) struct Recent<T> {
    values: Mutex<HashMap<String, (Option<Instant>, T)>>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            values: Mutex::default(),
        }
    }
}

impl<T: Clone> Recent<T> {
    /// The value of a key that a region's API knows, no older than `age`, unless the API does not answer and there is an older one.
    ///
    /// # Errors
    /// If reading fails and there is no older value.
    pub(crate) async fn get<F>(
        &self,
        (api, region): (&Api, &str),
        key: &str,
        age: Duration,
        read: F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let known = self.lock().get(key).cloned();
        let value = match known {
            Some((Some(at), value)) if at.elapsed() < age => return Ok(value),
            Some((_, older)) => match api.again(region, read).await {
                Ok(value) => value,
                Err(error) => {
                    debug!(
                        key,
                        error = format!("{error:#}"),
                        "serving by what was read before"
                    );
                    return Ok(older);
                }
            },
            None => read.await?,
        };
        self.lock()
            .insert(key.to_owned(), (Some(Instant::now()), value.clone()));
        Ok(value)
    }

    /// Has everything read again when it is next wanted.
    pub(crate) fn expire(&self) {
        for (at, _) in self.lock().values_mut() {
            *at = None;
        }
    }

    /// Has one thing read again when it is next wanted.
    pub(crate) fn expire_one(&self, key: &str) {
        if let Some((at, _)) = self.lock().get_mut(key) {
            *at = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Option<Instant>, T)>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_value_is_read_again_when_old_and_kept_when_reading_fails() {
        let signer = crate::api::Signer {
            account: "111122223333".to_owned(),
            secret: "test".to_owned(),
        };
        let api = Api::new("http://127.0.0.1:1", signer).expect("a URL");
        let recent = Recent::default();
        let get = async |key: &str, age, value: Option<u8>| {
            let read = async { value.ok_or_else(|| anyhow::anyhow!("away")) };
            recent.get((&api, "us-east-1"), key, age, read).await.ok()
        };
        assert_eq!(get("a", LONG, Some(1)).await, Some(1));
        assert_eq!(get("a", LONG, Some(2)).await, Some(1));
        assert_eq!(get("a", Duration::ZERO, Some(3)).await, Some(3));
        recent.expire();
        assert_eq!(get("a", LONG, None).await, Some(3));
        assert_eq!(
            get("a", LONG, Some(4)).await,
            Some(3),
            "not asked again at once"
        );
        assert_eq!(get("b", LONG, None).await, None);
        api.retry();
        assert_eq!(get("a", LONG, Some(4)).await, Some(4));
    }
}
