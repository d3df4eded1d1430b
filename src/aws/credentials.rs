//! Credentials that may come after the start.
//!
//! The SDK's chain reads its files once: where they hold no credentials then, it never looks again. A secret that is
//! mounted later, or one that was empty at first, would need a restart. So a chain that has none to give is given up for
//! a new one, which looks at everything anew.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::provider::{self, ProvideCredentials, future};

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
