//! Until when this process may act: a leader whose lease ran out does nothing more, whatever it was in the midst of.
//!
//! A process may be held up anywhere for any time, and does not notice. So it is not enough to tell the tasks to stop:
//! each looks at the clock before every step of its own.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

/// Open for ever by default. What was shut, by the clock or by hand, stays shut.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Open,
    Until(Instant),
    Shut,
}

impl State {
    fn is_open(self, now: Instant) -> bool {
        match self {
            Self::Open => true,
            Self::Until(end) => now < end,
            Self::Shut => false,
        }
    }
}

impl Fence {
    /// Shuts by itself at `end`, unless that is put off.
    pub fn until(end: Instant) -> Self {
        Self(Arc::new(Mutex::new(State::Until(end))))
    }

    /// Puts the end off; false if it was shut already, as it then stays.
    pub fn put_off(&self, end: Instant) -> bool {
        let mut state = self.state();
        let open = state.is_open(Instant::now());
        if open {
            *state = State::Until(end);
        }
        open
    }

    /// Shuts it now.
    pub fn shut(&self) {
        *self.state() = State::Shut;
    }

    /// Whether anything may be done now.
    pub fn is_open(&self) -> bool {
        self.state().is_open(Instant::now())
    }

    /// Does `work` while the fence is open. After that it stands still and never ends: whoever shuts the fence ends the
    /// process.
    pub fn hold<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // What the SDK has to be held is large, and would be so on the stack twice.
        let mut work = Box::pin(work);
        poll_fn(move |context| {
            if self.is_open() {
                work.as_mut().poll(context)
            } else {
                Poll::Pending
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_held_goes_on_only_while_the_fence_is_open() {
        let fence = Fence::default();
        assert_eq!(fence.hold(async { 1 }).now_or_never(), Some(1));
        fence.shut();
        assert_eq!(fence.hold(async { 1 }).now_or_never(), None);
    }

    #[test]
    fn work_under_way_takes_no_further_step_once_the_fence_is_shut() {
        let fence = Fence::default();
        let steps = Cell::new(0);
        let mut work = pin!(fence.hold(async {
            steps.set(steps.get() + 1);
            tokio::task::yield_now().await;
            steps.set(steps.get() + 1);
        }));
        assert_eq!(work.as_mut().now_or_never(), None);
        fence.shut();
        assert_eq!(work.as_mut().now_or_never(), None);
        assert_eq!(steps.get(), 1);
    }

    #[test]
    fn an_end_that_has_passed_is_not_put_off() {
        let later = Instant::now() + Duration::from_secs(60);
        let open = Fence::until(later);
        assert!(open.put_off(later) && open.is_open());
        let over = Fence::until(Instant::now());
        assert!(!over.put_off(later) && !over.is_open());
        open.shut();
        assert!(!open.put_off(later) && !open.is_open());
    }
}
