//! What was read lately: read again when it is older than that, and kept where reading fails. An edge goes on serving
//! by what it knows while AWS's control plane is away.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

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
    /// The value of a key, no older than `age`, unless reading fails and there is an older one.
    ///
    /// # Errors
    /// If reading fails and there is no older value.
    pub(crate) async fn get<F>(&self, key: &str, age: Duration, read: F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let known = self.lock().get(key).cloned();
        if let Some((Some(at), value)) = &known
            && at.elapsed() < age
        {
            return Ok(value.clone());
        }
        match (read.await, known) {
            (Ok(value), _) => {
                self.lock()
                    .insert(key.to_owned(), (Some(Instant::now()), value.clone()));
                Ok(value)
            }
            (Err(error), Some((_, value))) => {
                warn!(
                    key,
                    error = format!("{error:#}"),
                    "serving by what was read before"
                );
                Ok(value)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Has everything read again when it is next wanted.
    pub(crate) fn expire(&self) {
        for (at, _) in self.lock().values_mut() {
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
        let recent = Recent::default();
        let read = |value: u8| async move { Ok(value) };
        assert_eq!(recent.get("a", LONG, read(1)).await.ok(), Some(1));
        assert_eq!(recent.get("a", LONG, read(2)).await.ok(), Some(1));
        assert_eq!(recent.get("a", Duration::ZERO, read(3)).await.ok(), Some(3));
        recent.expire();
        let away = async { anyhow::bail!("away") };
        assert_eq!(recent.get("a", LONG, away).await.ok(), Some(3));
        let away = async { anyhow::bail!("away") };
        assert!(recent.get("b", LONG, away).await.is_err());
    }
}
