//! Replication lag from heartbeats: pure.
//!
//! A heartbeat is a number written on one side and looked for on the other. Both are told by one clock, the operator's:
//! a heartbeat has the time it was *sent* in it. One that was written and is not yet seen on the other side is at least
//! as late as it is old; one that is seen was late by no more than the time between its writing and the look.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// A replication in one direction, as the status names it: source, region it comes from, region it goes to.
pub type Row = (String, String, String);

/// So many heartbeats on their way are remembered.
const MOST_UNSEEN: usize = 64;

/// One direction of one replication.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Direction {
    /// The newest heartbeat that the source has acknowledged: the time it was sent.
    pub acknowledged: Option<Timestamp>,
    /// Heartbeats acknowledged and not yet seen, the oldest first.
    unseen: VecDeque<Timestamp>,
    /// The newest heartbeat that was seen at the destination: the time it was sent.
    pub visible: Option<Timestamp>,
    /// The lag of the newest one seen: between its acknowledgement and the first look that saw it.
    pub measured: Option<SignedDuration>,
    /// When the source last acknowledged, or the destination last answered.
    pub heard: Option<Timestamp>,
    /// What CloudWatch tells of late.
    told: Option<SignedDuration>,
    /// The step shown, and how often in a row another one was seen.
    shown: Option<i64>,
    other: Option<(Option<i64>, u32)>,
}

/// So many looks in a row at another step until it is shown.
const STEADY: u32 = 3;

impl Direction {
    /// The source has taken the heartbeat of `sent`.
    pub fn acknowledged(&mut self, sent: Timestamp, now: Timestamp) {
        if self.acknowledged.is_none_or(|before| before < sent) {
            self.acknowledged = Some(sent);
            if self.unseen.len() == MOST_UNSEEN {
                // The oldest is the one that tells the lag.
                self.unseen.pop_back();
            }
            self.unseen.push_back(sent);
        }
        self.heard = Some(now);
    }

    /// The destination shows the heartbeat of `sent`; nothing, if `None`.
    pub fn seen(&mut self, sent: Option<Timestamp>, now: Timestamp) {
        self.heard = Some(now);
        if let Some(sent) = sent
            && self.visible.is_none_or(|before| before < sent)
        {
            self.visible = Some(sent);
            self.measured = Some(now.duration_since(sent));
            self.unseen.retain(|unseen| *unseen > sent);
        }
    }

    /// Takes up what an earlier process has left on both sides, read at the source first: it says what a move would lose
    /// before a new heartbeat was seen. How late it was when it came nobody knows any more.
    pub fn recalled(
        &mut self,
        acknowledged: Option<Timestamp>,
        visible: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.visible = self.visible.max(visible);
        if acknowledged.is_some() || visible.is_some() {
            self.heard = Some(now);
        }
        if let Some(sent) = acknowledged {
            self.acknowledged(sent, now);
        }
        let visible = self.visible;
        self.unseen.retain(|unseen| Some(*unseen) > visible);
    }

    /// Takes up what CloudWatch tells of the lag; nothing, if it tells nothing of late.
    pub fn tell(&mut self, lag: Option<SignedDuration>) {
        self.told = lag;
    }

    /// Whether CloudWatch tells anything.
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Drops what heartbeats have said.
    pub fn forget(&mut self) {
        *self = Self {
            told: self.told,
            ..Self::default()
        };
    }

    /// Whether a heartbeat is on its way.
    pub fn is_waiting(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// The lag now: at least the age of what is written and not yet seen, else that of what was seen last.
    pub fn lag(&self, now: Timestamp) -> Option<SignedDuration> {
        let age = self.unseen.front().map(|sent| now.duration_since(*sent));
        // A young one that is not yet seen says less than the last that was.
        age.max(self.measured)
    }

    /// The longer one of what heartbeats and CloudWatch say.
    pub fn longest(&self, now: Timestamp) -> Option<SignedDuration> {
        self.lag(now).max(self.told)
    }

    /// What a move away from the source would lose: the newest acknowledged write minus the newest visible one.
    pub fn loss(&self) -> Option<SignedDuration> {
        let acknowledged = self.acknowledged?;
        let visible = self.visible?;
        Some(
            acknowledged
                .duration_since(visible)
                .max(SignedDuration::ZERO),
        )
    }

    /// The most that a move away from the source may lose, if anything is known of that; `down` is when the source was
    /// first seen not to take writes, if it does not.
    ///
    /// A process that finds the source gone does not know what that acknowledged last, but nothing after it was gone: of
    /// this, only what is within `objective` is knowledge. And where CloudWatch tells a longer lag, other items are later
    /// than the heartbeats'.
    pub fn most_lost(
        &self,
        down: Option<Timestamp>,
        objective: SignedDuration,
    ) -> Option<SignedDuration> {
        let bound = || {
            let lost = down?.duration_since(self.visible?);
            (SignedDuration::ZERO..=objective)
                .contains(&lost)
                .then_some(lost)
        };
        let loss = self.loss().or_else(bound)?;
        Some(self.told.map_or(loss, |told| told.max(loss)))
    }

    /// The lag as it is shown, the longer one of what heartbeats and CloudWatch say, in steps that do not tick: another
    /// step is shown once three looks in a row saw it, or at once where it crosses `objective`.
    pub fn show(
        &mut self,
        now: Timestamp,
        objective: SignedDuration,
        stale: SignedDuration,
    ) -> Option<i64> {
        let fresh = self
            .heard
            .is_some_and(|heard| now.duration_since(heard) <= stale);
        let lag = self.lag(now).filter(|_| fresh).max(self.told);
        let step = lag.map(step);
        if step == self.shown {
            self.other = None;
            return self.shown;
        }
        let count = match self.other {
            Some((other, count)) if other == step => count + 1,
            _ => 1,
        };
        let over = |step: Option<i64>| step.is_some_and(|step| step > objective.as_secs());
        let crosses = over(step) != over(self.shown);
        if count >= STEADY || crosses || self.shown.is_none() || step.is_none() {
            self.shown = step;
            self.other = None;
        } else {
            self.other = Some((step, count));
        }
        self.shown
    }
}

/// Rounded up to 1, 2, 5, 10, 30, 60, 120, 300, 600 and so on, in seconds.
pub fn step(lag: SignedDuration) -> i64 {
    const STEPS: [i64; 12] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200];
    let seconds = lag.as_secs() + i64::from(lag.subsec_nanos() > 0);
    STEPS
        .into_iter()
        .find(|step| seconds <= *step)
        .unwrap_or_else(|| (seconds + 3599) / 3600 * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).expect("a time")
    }

    const OBJECTIVE: SignedDuration = SignedDuration::from_secs(60);
    const STALE: SignedDuration = SignedDuration::from_secs(600);

    #[test]
    fn what_nobody_measured_is_unknown_and_not_zero() {
        let mut direction = Direction::default();
        assert_eq!(direction.lag(at(0)), None);
        assert_eq!(direction.loss(), None);
        assert_eq!(direction.show(at(0), OBJECTIVE, STALE), None);
    }

    #[test]
    fn what_is_not_yet_seen_is_at_least_as_late_as_it_is_old() {
        let mut direction = Direction::default();
        direction.acknowledged(at(0), at(10));
        direction.seen(Some(at(0)), at(500));
        assert_eq!(
            direction.lag(at(600)),
            Some(SignedDuration::from_millis(500))
        );
        for beat in 1..=10 {
            direction.acknowledged(at(beat * 60_000), at(beat * 60_000 + 10));
            direction.seen(Some(at(0)), at(beat * 60_000 + 2_000));
        }
        // The first that is missing, not the newest, tells how far the destination is behind.
        assert_eq!(
            direction.lag(at(602_000)),
            Some(SignedDuration::from_secs(542))
        );
        assert_eq!(direction.loss(), Some(SignedDuration::from_secs(600)));
        direction.seen(Some(at(600_000)), at(603_000));
        assert_eq!(
            direction.lag(at(604_000)),
            Some(SignedDuration::from_secs(3))
        );
        assert_eq!(direction.loss(), Some(SignedDuration::ZERO));
    }

    #[test]
    fn the_step_shown_moves_after_three_looks_or_at_once_past_the_objective() {
        let mut direction = Direction::default();
        let beat = |direction: &mut Direction, number: i64, lag: i64| {
            let sent = at(number * 100_000);
            direction.acknowledged(sent, sent);
            let now = at(number * 100_000 + lag);
            direction.seen(Some(sent), now);
            direction.show(now, OBJECTIVE, STALE)
        };
        assert_eq!(beat(&mut direction, 1, 800), Some(1));
        assert_eq!(beat(&mut direction, 2, 4_000), Some(1));
        assert_eq!(beat(&mut direction, 3, 4_000), Some(1));
        assert_eq!(beat(&mut direction, 4, 4_000), Some(5));
        assert_eq!(beat(&mut direction, 5, 61_000), Some(120));
        assert_eq!(beat(&mut direction, 6, 1_000), Some(1));
    }

    #[test]
    fn what_is_not_heard_of_any_more_is_unknown() {
        let mut direction = Direction::default();
        direction.acknowledged(at(0), at(0));
        direction.seen(Some(at(0)), at(900));
        assert_eq!(direction.show(at(1_000), OBJECTIVE, STALE), Some(1));
        assert_eq!(direction.show(at(700_000), OBJECTIVE, STALE), None);
    }

    #[test]
    fn what_an_earlier_process_left_tells_the_loss_and_no_lag() {
        let mut direction = Direction::default();
        direction.recalled(Some(at(0)), Some(at(0)), at(3_600_000));
        assert_eq!(direction.loss(), Some(SignedDuration::ZERO));
        assert_eq!(direction.lag(at(3_600_000)), None, "nobody saw it come");
        // What is at the source and not at the destination is late.
        let mut direction = Direction::default();
        direction.recalled(Some(at(60_000)), Some(at(0)), at(70_000));
        assert_eq!(direction.loss(), Some(SignedDuration::from_secs(60)));
        assert_eq!(
            direction.lag(at(70_000)),
            Some(SignedDuration::from_secs(10))
        );
        direction.seen(Some(at(60_000)), at(71_000));
        assert_eq!(direction.loss(), Some(SignedDuration::ZERO));
        // An older look takes nothing back.
        direction.recalled(Some(at(0)), Some(at(0)), at(72_000));
        assert_eq!(direction.loss(), Some(SignedDuration::ZERO));
    }

    #[test]
    fn of_a_source_that_was_found_gone_the_loss_is_bounded_by_when_it_was() {
        let mut direction = Direction::default();
        direction.recalled(None, Some(at(0)), at(10_000));
        let bound = |seconds: i64| Some(at(seconds * 1_000));
        assert_eq!(direction.loss(), None);
        assert_eq!(
            direction.most_lost(None, OBJECTIVE),
            None,
            "it takes writes, for all that is known"
        );
        let within = direction.most_lost(bound(60), OBJECTIVE);
        assert_eq!(within, Some(SignedDuration::from_secs(60)));
        assert_eq!(direction.most_lost(bound(61), OBJECTIVE), None);
        // Its clock, or whoever saw it gone, is wrong.
        assert_eq!(direction.most_lost(bound(-1), OBJECTIVE), None);
    }

    #[test]
    fn the_longer_of_what_heartbeats_and_cloudwatch_say_is_shown() {
        let mut direction = Direction::default();
        direction.acknowledged(at(0), at(0));
        direction.seen(Some(at(0)), at(900));
        assert_eq!(direction.show(at(1_000), OBJECTIVE, STALE), Some(1));
        direction.tell(Some(SignedDuration::from_secs(90)));
        assert_eq!(direction.show(at(1_000), OBJECTIVE, STALE), Some(120));
        let most = direction.most_lost(None, OBJECTIVE);
        assert_eq!(most, Some(SignedDuration::from_secs(90)));
        assert_eq!(direction.loss(), Some(SignedDuration::ZERO));
        direction.tell(Some(SignedDuration::ZERO));
        assert_eq!(direction.show(at(1_000), OBJECTIVE, STALE), Some(1));
        // Without heartbeats what CloudWatch says is all there is; and then nothing.
        direction.forget();
        assert_eq!(direction.show(at(900_000), OBJECTIVE, STALE), Some(1));
        direction.tell(None);
        assert_eq!(direction.show(at(900_000), OBJECTIVE, STALE), None);
    }

    #[test]
    fn steps_round_up() {
        for (milliseconds, expected) in [
            (0, 1),
            (1_000, 1),
            (1_001, 2),
            (59_999, 60),
            (60_001, 120),
            (7_200_000, 7_200),
            (7_200_001, 10_800),
        ] {
            assert_eq!(step(SignedDuration::from_millis(milliseconds)), expected);
        }
    }
}
