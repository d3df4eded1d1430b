//! A map of bounded size whose entries are forgotten after a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// At most `capacity` entries, each for `lifetime`.
pub(super) struct Expiring<K, V> {
    capacity: usize,
    lifetime: Duration,
    entries: HashMap<K, (Instant, V)>,
}

impl<K: Eq + Hash + Clone, V: Clone> Expiring<K, V> {
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        Self {
            capacity,
            lifetime,
            entries: HashMap::new(),
        }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let (until, value) = self.entries.get(key)?;
        (now < *until).then(|| value.clone())
    }

    /// Where there is no room, what has the least time left makes it.
    pub(super) fn put(&mut self, key: K, value: V, now: Instant) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.entries.retain(|_, (until, _)| now < *until);
        }
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let first = self.entries.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.entries.remove(&first);
            }
        }
        self.entries.insert(key, (now + self.lifetime, value));
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_forgotten_after_its_time() {
        let start = Instant::now();
        let mut map = Expiring::new(2, Duration::from_secs(30));
        map.put("a", 1, start);
        assert_eq!(map.get(&"a", start + Duration::from_secs(29)), Some(1));
        assert_eq!(map.get(&"a", start + Duration::from_secs(30)), None);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut map = Expiring::new(2, Duration::from_secs(30));
        map.put("a", 1, start);
        map.put("b", 2, start + second);
        map.put("c", 3, start + 2 * second);
        assert_eq!(map.entries.len(), 2);
        assert_eq!(map.get(&"a", start + 2 * second), None, "the oldest");
        assert_eq!(map.get(&"b", start + 2 * second), Some(2));
        map.put("b", 4, start + 3 * second);
        assert_eq!(
            map.get(&"c", start + 3 * second),
            Some(3),
            "replaced in place"
        );
    }
}
