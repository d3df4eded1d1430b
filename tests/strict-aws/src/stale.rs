//! Reads that lag behind writes, as those of IAM and of S3's bucket configuration do.
//!
//! Before each write the proxy keeps what a read of the same thing answers. A read then shows the thing as it was one
//! delay ago: what was kept before the first write that is younger than the delay.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::exchange::Answer;
use crate::services::Memory;

/// What reads answered before writes, by a name for the read.
#[derive(Default)]
pub(crate) struct Snapshots(Memory<HashMap<String, VecDeque<(Instant, Answer)>>>);

/// Older ones than this are dropped, whatever the delay.
const KEPT: usize = 32;

impl Snapshots {
    /// Keeps the answer from before a write that has just been done.
    pub(crate) fn keep(&self, read: &str, before: Answer) {
        let mut kept = self.0.lock();
        let versions = kept.entry(read.to_owned()).or_default();
        versions.push_back((Instant::now(), before));
        if versions.len() > KEPT {
            versions.pop_front();
        }
    }

    /// What a read answers, if that is not the present.
    pub(crate) fn past(&self, read: &str, delay: Duration) -> Option<Answer> {
        let mut kept = self.0.lock();
        let versions = kept.get_mut(read)?;
        versions
            .iter()
            .find(|(written, _)| written.elapsed() < delay)
            .map(|(_, before)| before.clone())
    }
}
