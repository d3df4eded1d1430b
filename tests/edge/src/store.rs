//! The KeyValueStores as functions see them: near, a while behind, and now and then out of reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tracing::debug;

use crate::api::Api;

/// What has been read of one thing, with the times at which it was first seen, oldest first.
type History = Vec<(Instant, Option<Value>)>;

/// The stores of the account.
pub(crate) struct Stores {
    api: Arc<Api>,
    settings: Mutex<Settings>,
    seen: Mutex<HashMap<String, History>>,
}

/// How the stores behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) reachable: bool,
    /// How long a change takes to be seen, from the first read after it.
    pub(crate) delay: Duration,
}

impl Stores {
    pub(crate) fn new(api: Arc<Api>, delay: Duration) -> Self {
        Self {
            api,
            settings: Mutex::new(Settings {
                reachable: true,
                delay,
            }),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What a function asks of a store: `get`, `exists`, or `meta`.
    ///
    /// # Errors
    /// In the words that the function's error has.
    pub(crate) async fn answer(&self, store: &str, verb: &str, key: &str) -> anyhow::Result<Value> {
        if !self.settings().reachable {
            bail!("KeyValueStoreUnavailable");
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path = format!("/key-value-stores/{}", encoded(store));
        match verb {
            "get" | "exists" => {
                let found = self.read(&format!("{path}/keys/{}", encoded(key))).await?;
                match found {
                    _ if verb == "exists" => Ok(json!(found.is_some())),
                    Some(item) => Ok(item["Value"].clone()),
                    None => bail!("KeyNotFound"),
                }
            }
            "meta" => {
                let Some(store) = self.read(&path).await? else {
                    bail!("KeyValueStoreNotFound");
                };
                Ok(json!({
                    "creationDateTime": store["Created"],
                    "lastUpdatedDateTime": store["LastModified"],
                    "keyCount": store["ItemCount"],
                }))
            }
            _ => bail!("{verb} is not a method of a key value store"),
        }
    }

    /// Reads, and gives what was there as long ago as changes take.
    async fn read(&self, path: &str) -> anyhow::Result<Option<Value>> {
        // Signed for every region, as the stores' clients do: no one region's trouble is on the way.
        let read = self.api.json("cloudfront-keyvaluestore", "*", path);
        let known = self.lock().contains_key(path);
        let read = if known {
            self.api.again("*", read).await
        } else {
            read.await
        };
        let now = Instant::now();
        let delay = self.settings().delay;
        let mut seen = self.lock();
        match read {
            Ok(value) => {
                let history = seen.entry(path.to_owned()).or_default();
                if history.last().is_none_or(|(_, last)| *last != value) {
                    history.push((now, value));
                }
            }
            // The edge has its own copy, and the API is not on the way to it.
            Err(error) if known => {
                debug!(path, error = format!("{error:#}"), "the last value stands")
            }
            Err(error) => return Err(error),
        }
        let history = seen.entry(path.to_owned()).or_default();
        let arrived = history
            .iter()
            .rposition(|(at, _)| now.duration_since(*at) >= delay);
        history.drain(..arrived.unwrap_or(0));
        Ok(history.first().and_then(|(_, value)| value.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, History>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
