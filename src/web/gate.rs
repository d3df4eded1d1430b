//! Who may see what, by the API server's own word, which is believed for a short time.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::stream::{self, StreamExt, TryStreamExt};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::BELIEVED;
use super::expiring::Expiring;
use super::review::{Access, Reviewer, Viewer};
use super::sessions::{Token, TokenHash};

/// Viewers that are remembered.
const VIEWERS: usize = 1_000;
/// Decisions that are remembered: a viewer has one a namespace, and two an app looked at.
const DECISIONS: usize = 20_000;
/// Tokens that nobody knows yet are shown to the API server no faster than this a second: guessing is not to be its load.
const NEW_TOKENS: NonZeroU32 = NonZeroU32::new(10).expect("it is not zero");
/// Namespaces asked about at once for one viewer.
const AT_ONCE: usize = 8;

/// Why something is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("sign in with a token, such as one of `kubectl create token NAME`")]
    NoToken,
    #[error(
        "the API server does not take this token: get a new one, such as with `kubectl create token NAME`"
    )]
    BadToken,
    /// The same whether the app is there or not.
    #[error(
        "you may not get this MultiRegionApp: ask for a role with `get` on multiregionapps.multiregion.dev here"
    )]
    Forbidden,
    #[error("there is no such MultiRegionApp")]
    NotFound,
    #[error("too many new sign-ins or open pages: try again in a moment")]
    TooMany,
    #[error("the API server could not be asked what you may see: try again in a moment")]
    NotAsked,
    #[error("the MultiRegionApps are not listed yet: try again in a moment")]
    NotListed,
}

/// The namespaces whose apps somebody may list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Namespaces {
    /// All there are.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Namespaces {
    pub(super) fn contain(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(namespace),
        }
    }
}

/// What was decided, of whom.
type Decided = (TokenHash, Access);

/// Asks the reviewer, and remembers what it said.
pub(super) struct Gate<R> {
    reviewer: R,
    viewers: Mutex<Expiring<TokenHash, Arc<Viewer>>>,
    decisions: Mutex<Expiring<Decided, bool>>,
    new_tokens: DefaultDirectRateLimiter,
    clock: fn() -> Instant,
}

impl<R: Reviewer> Gate<R> {
    pub(super) fn new(reviewer: R) -> Self {
        Self::at(reviewer, Instant::now)
    }

    /// With a clock of one's own.
    pub(super) fn at(reviewer: R, clock: fn() -> Instant) -> Self {
        Self {
            reviewer,
            viewers: Mutex::new(Expiring::new(VIEWERS, BELIEVED)),
            decisions: Mutex::new(Expiring::new(DECISIONS, BELIEVED)),
            new_tokens: RateLimiter::direct(Quota::per_second(NEW_TOKENS)),
            clock,
        }
    }

    /// Whose the token is; `new` unless it was good before.
    pub(super) async fn viewer(&self, token: &Token, new: bool) -> Result<Arc<Viewer>, Refusal> {
        let hash = token.hash();
        let known = locked(&self.viewers).get(&hash, (self.clock)());
        if let Some(viewer) = known {
            return Ok(viewer);
        }
        if new {
            self.new_tokens.check().map_err(|_| Refusal::TooMany)?;
        }
        // A refused one is not remembered, or guesses would drive out what is known.
        let reviewed = self.reviewer.review(token).await.map_err(not_asked)?;
        let viewer = Arc::new(reviewed.ok_or(Refusal::BadToken)?);
        locked(&self.viewers).put(hash, viewer.clone(), (self.clock)());
        Ok(viewer)
    }

    /// Of these namespaces, those whose apps the viewer may list.
    pub(super) async fn namespaces(
        &self,
        viewer: &Arc<Viewer>,
        namespaces: BTreeSet<String>,
    ) -> Result<Namespaces, Refusal> {
        if self.may(viewer, Access::ListApps(None)).await? {
            return Ok(Namespaces::All);
        }
        let allowed = stream::iter(namespaces)
            .map(|namespace| async move {
                let access = Access::ListApps(Some(namespace.clone()));
                let allowed = self.may(viewer, access).await?;
                Ok::<_, Refusal>(allowed.then_some(namespace))
            })
            .buffer_unordered(AT_ONCE);
        let allowed = allowed.try_filter_map(async |allowed| Ok(allowed));
        Ok(Namespaces::Only(allowed.try_collect().await?))
    }

    /// Whether the viewer may read this one app.
    pub(super) async fn may_get(
        &self,
        viewer: &Viewer,
        namespace: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        // An empty name would ask about all of them.
        let named = !namespace.is_empty() && !name.is_empty();
        let access = Access::GetApp(namespace.into(), name.into());
        if named && self.may(viewer, access).await? {
            Ok(())
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// Whether the viewer may read the events of a namespace; a right in either API group shows the same ones.
    pub(super) async fn may_list_events(
        &self,
        viewer: &Viewer,
        namespace: &str,
    ) -> Result<bool, Refusal> {
        for group in ["", "events.k8s.io"] {
            if self
                .may(viewer, Access::ListEvents(group, namespace.into()))
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn may(&self, viewer: &Viewer, access: Access) -> Result<bool, Refusal> {
        let key = (viewer.token, access);
        let known = locked(&self.decisions).get(&key, (self.clock)());
        if let Some(allowed) = known {
            return Ok(allowed);
        }
        let asked = self.reviewer.allowed(viewer, &key.1).await;
        let allowed = asked.map_err(not_asked)?;
        locked(&self.decisions).put(key, allowed, (self.clock)());
        Ok(allowed)
    }
}

/// Nothing is shown on a guess.
fn not_asked(error: kube::Error) -> Refusal {
    tracing::warn!(error = %crate::chain(&error), "the API server could not be asked what a viewer of the web page may see");
    Refusal::NotAsked
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
