//! Credentials that may come after the start, that are renewed long before they expire, and those of assumed roles.
//!
//! The SDK's chain reads its files once: where they hold no credentials then, it never looks again. A secret that is
//! mounted later, or one that was empty at first, would need a restart. So a chain that has none to give is given up for
//! a new one, which looks at everything anew.
//!
//! The SDK's cache renews seconds before the end, and whoever calls then waits for it, or fails with it. In an outage
//! that is when credentials are needed most; so they are kept here, and renewed beside the calls once half of their time
//! is over.

mod assumed;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, future};

pub(super) use assumed::{AssumedRole, NotAssumed, Regions};

/// Credentials that name no end are fetched anew as often as the SDK does.
const WITHOUT_END: Duration = Duration::from_secs(900);
/// Between attempts to renew what is still good.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
/// So long before their end credentials are not used any more: a call may take its time.
const MARGIN: Duration = Duration::from_secs(10);

/// Credentials of `P`, kept until their end.
#[derive(Clone, Debug)]
pub(super) struct Kept<P>(Arc<Keeper<P>>);

#[derive(Debug)]
struct Keeper<P> {
    source: P,
    kept: Mutex<Option<Fetched>>,
    /// Held by the one who fetches.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Fetched {
    credentials: Credentials,
    /// From when on they are to be renewed.
    due: SystemTime,
    /// Until when they may be used.
    end: SystemTime,
}

impl<P: ProvideCredentials + 'static> Kept<P> {
    pub(super) fn new(source: P) -> Self {
        Self(Arc::new(Keeper {
            source,
            kept: Mutex::default(),
            fetching: Arc::default(),
        }))
    }

    async fn load(&self) -> provider::Result {
        let now = SystemTime::now();
        if let Some(kept) = self.0.usable(now) {
            if now >= kept.due {
                self.renew();
            }
            return Ok(kept.credentials);
        }
        let _fetching = self.0.fetching.lock().await;
        // Whoever was first has fetched them for all.
        match self.0.usable(SystemTime::now()) {
            Some(kept) => Ok(kept.credentials),
            None => self.0.fetch().await,
        }
    }

    /// Fetches new ones beside whoever goes on with the old.
    fn renew(&self) {
        let Ok(fetching) = self.0.fetching.clone().try_lock_owned() else {
            return;
        };
        let keeper = self.0.clone();
        tokio::spawn(async move {
            let _fetching = fetching;
            if let Err(error) = keeper.fetch().await {
                tracing::warn!(error = %crate::chain(&error), "credentials could not be renewed yet; the old ones are still good");
                keeper.put_off();
            }
        });
    }
}

impl<P: ProvideCredentials> Keeper<P> {
    async fn fetch(&self) -> provider::Result {
        let now = SystemTime::now();
        let credentials = self.source.provide_credentials().await?;
        let end = credentials.expiry().unwrap_or(now + WITHOUT_END);
        let time = end.duration_since(now).unwrap_or_default();
        *self.kept() = Some(Fetched {
            credentials: credentials.clone(),
            due: now + time / 2,
            end,
        });
        Ok(credentials)
    }

    fn usable(&self, now: SystemTime) -> Option<Fetched> {
        self.kept().clone().filter(|kept| now + MARGIN < kept.end)
    }

    fn put_off(&self) {
        if let Some(kept) = self.kept().as_mut() {
            kept.due = SystemTime::now() + RENEW_AGAIN;
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Fetched>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: ProvideCredentials + 'static> ProvideCredentials for Kept<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

/// The usual chain (`AWS_*`, profiles, web identity, the instance's), made anew after a failure.
#[derive(Debug, Default)]
pub(super) struct Chain(Mutex<Option<Arc<DefaultCredentialsChain>>>);

impl Chain {
    async fn load(&self) -> provider::Result {
        let known = self.chain().clone();
        let chain = match known {
            Some(chain) => chain,
            None => Arc::new(DefaultCredentialsChain::builder().build().await),
        };
        let answer = chain.provide_credentials().await;
        *self.chain() = answer.is_ok().then_some(chain);
        answer
    }

    fn chain(&self) -> std::sync::MutexGuard<'_, Option<Arc<DefaultCredentialsChain>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests;
