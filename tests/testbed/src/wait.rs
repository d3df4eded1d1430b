//! Waiting for a condition, with an error that says what was waited for and what was seen last.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// What one look at the condition found.
pub enum Seen<T> {
    /// It holds; this is what came of it.
    Done(T),
    /// Not yet; the text says what is there instead.
    Waiting(String),
    /// It never will, and the text says why: no more waiting.
    Failed(String),
}

impl Seen<()> {
    /// `Done` if `holds`, else `Waiting` with what was seen.
    pub fn when(holds: bool, seen: impl Into<String>) -> Self {
        if holds {
            Self::Done(())
        } else {
            Self::Waiting(seen.into())
        }
    }
}

/// Looks until the condition holds, first every 20 ms, then ever less often up to every half second.
///
/// An error of `look` counts as not yet. Each look is itself cut off at the deadline.
///
/// # Errors
/// When `timeout` has passed, or `look` says [`Seen::Failed`]: names `what`, the time, and what was seen last.
pub async fn until<T, F, Look>(what: &str, timeout: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Look,
    Look: Future<Output = Result<Seen<T>>>,
{
    let start = Instant::now();
    let deadline = start + timeout;
    let mut pause = Duration::from_millis(20);
    let mut last = String::from("nothing");
    loop {
        match tokio::time::timeout_at(deadline, look()).await {
            Ok(Ok(Seen::Done(value))) => return Ok(value),
            Ok(Ok(Seen::Waiting(seen))) => last = seen,
            Ok(Ok(Seen::Failed(why))) => {
                bail!(
                    "waiting for {what}: {why} (after {:.1} s)",
                    start.elapsed().as_secs_f64()
                )
            }
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => {}
        }
        if Instant::now() + pause >= deadline {
            bail!(
                "{what}: not within {:.0} s; last seen: {last}",
                timeout.as_secs_f64()
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_says_what_was_waited_for_and_seen_last() {
        let mut looks = 0;
        let error = until::<(), _, _>("the pond to freeze", Duration::from_millis(100), || {
            looks += 1;
            let seen = format!("{looks} ducks");
            async move { Ok(Seen::Waiting(seen)) }
        })
        .await
        .expect_err("it never holds");
        let text = error.to_string();
        assert!(
            text.starts_with("the pond to freeze: not within 0 s; last seen: "),
            "{text}"
        );
        assert!(text.ends_with(" ducks"), "{text}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_ends_at_the_deadline() {
        let start = Instant::now();
        let hangs = || std::future::pending::<Result<Seen<()>>>();
        until("an answer", Duration::from_millis(50), hangs)
            .await
            .expect_err("it hangs");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn failed_ends_the_waiting() {
        let look = || async { Ok(Seen::<()>::Failed("it melted".into())) };
        let error = until("the pond to freeze", Duration::from_secs(60), look)
            .await
            .expect_err("failed");
        assert!(error.to_string().contains("it melted"), "{error}");
    }
}
