//! Numbers in steps that do not tick.

/// A share is worth a word from here on, in per cent.
const WORTH_A_WORD: f64 = 5.0;
/// And once it is told, down to here.
const WORTH_NO_WORD: f64 = 2.0;

/// A number as it is shown: it comes and goes at once, and goes to another step when two looks in a row saw that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Steady {
    shown: Option<u64>,
    other: Option<u64>,
}

impl Steady {
    pub(super) fn shown(&self) -> Option<u64> {
        self.shown
    }

    pub(super) fn look(&mut self, seen: Option<u64>) -> Option<u64> {
        let comes_or_goes = seen.is_none() || self.shown.is_none();
        if seen == self.shown {
            self.other = None;
        } else if comes_or_goes || seen == self.other {
            self.shown = seen;
            self.other = None;
        } else {
            self.other = seen;
        }
        self.shown
    }
}

/// Rounded down to 1, 2, 5, 10, 20, 50, 100 and so on; nothing below 1.
pub(super) fn at_least(count: f64) -> Option<u64> {
    // What is larger than any count there is, is as good as this.
    let count = count.min(1e15) as u64;
    let mut step = None;
    let mut unit = 1;
    while unit <= count {
        step = [unit, 2 * unit, 5 * unit]
            .into_iter()
            .rfind(|step| *step <= count);
        unit *= 10;
    }
    step
}

/// A share in per cent, in the same steps, where it is worth a word.
pub(super) fn share(per_cent: f64, is_told: bool) -> Option<u64> {
    let least = if is_told { WORTH_NO_WORD } else { WORTH_A_WORD };
    at_least(per_cent).filter(|_| per_cent >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_round_down() {
        for (count, step) in [
            (0.0, None),
            (0.9, None),
            (1.0, Some(1)),
            (4.9, Some(2)),
            (5.0, Some(5)),
            (19.0, Some(10)),
            (99.0, Some(50)),
            (100.0, Some(100)),
            (1_999.0, Some(1_000)),
            (f64::INFINITY, Some(1_000_000_000_000_000)),
        ] {
            assert_eq!(at_least(count), step, "{count}");
        }
    }

    #[test]
    fn a_share_comes_at_five_and_goes_below_two() {
        assert_eq!(share(4.9, false), None);
        assert_eq!(share(5.0, false), Some(5));
        assert_eq!(share(2.0, true), Some(2));
        assert_eq!(share(1.9, true), None);
    }

    #[test]
    fn another_step_takes_two_looks_and_coming_and_going_one() {
        let mut steady = Steady::default();
        let shown: Vec<_> = [
            Some(5),
            Some(10),
            Some(5),
            Some(10),
            Some(10),
            None,
            Some(1),
        ]
        .into_iter()
        .map(|seen| steady.look(seen))
        .collect();
        assert_eq!(
            shown,
            [Some(5), Some(5), Some(5), Some(5), Some(10), None, Some(1)]
        );
    }
}
