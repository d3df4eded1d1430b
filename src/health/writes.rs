//! Whether the region that takes the writes should change: a pure decision.
//!
//! It takes two witnesses to call the writer gone, a region to go to that is well, and a known loss that is acceptable.
//! Whatever is missing is the reason why nothing moves, and is shown.

use jiff::{SignedDuration, Timestamp};

use super::{Health, Thresholds};
use crate::api::{Failback, RegionHealth, Role, WhenLagUnknown, Writes, WritesMode};
use crate::model::Side;

/// The reason that stands for a move by hand.
pub const FORCED: &str = "Forced";

/// The region of a writer's side.
pub fn role(side: Side) -> Role {
    match side {
        Side::Primary => Role::Primary,
        Side::Dr => Role::Dr,
    }
}

/// The side of a region.
pub fn side(role: Role) -> Side {
    match role {
        Role::Primary => Side::Primary,
        Role::Dr => Side::Dr,
    }
}

/// What is asked for by annotation, not yet done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// `force-writer`: there, whatever is lost.
    pub force: Option<Role>,
    /// `failback`: to the preferred region, if nothing is lost beyond the objective.
    pub failback: bool,
}

/// All that a decision goes by.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// As declared.
    pub writes: &'a Writes,
    /// What was asked for.
    pub asked: Asked,
    /// The region that takes the writes now.
    pub writer: Role,
    /// Whether it does because it was forced to; that holds until something else is asked for.
    pub forced: bool,
    /// What the probes say.
    pub health: Health,
    /// When a probe counts.
    pub thresholds: Thresholds,
    /// What a move away from the writer would lose, in time; none if nobody knows.
    pub loss: Option<SignedDuration>,
    /// How much that may be.
    pub objective: SignedDuration,
    /// Whether there is a write path that can be probed through the distribution.
    pub witnessed: bool,
    /// Whether moves are held back: suspended, observed only, a drill under way.
    pub held: Option<&'static str>,
    /// Now.
    pub now: Timestamp,
}

/// What to do, and the reason to show either way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The region to move to; none: leave it.
    pub to: Option<Role>,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

impl Decision {
    fn stay(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            to: None,
            reason,
            message: message.into(),
        }
    }

    fn go(to: Role, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            to: Some(to),
            reason,
            message: message.into(),
        }
    }
}

/// The region that `role` is not.
pub fn other(role: Role) -> Role {
    match role {
        Role::Primary => Role::Dr,
        Role::Dr => Role::Primary,
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Dr => "DR",
    }
}

/// Decides. Of the same facts always the same comes.
pub fn decide(facts: &Facts<'_>) -> Decision {
    if let Some(held) = facts.held {
        return Decision::stay(held, "no move is made meanwhile");
    }
    if let Some(to) = facts.asked.force {
        return if to == facts.writer {
            Decision::stay(FORCED, "it is where force-writer asks for")
        } else {
            Decision::go(to, FORCED, "by the annotation force-writer")
        };
    }
    let preferred = facts.writes.active;
    if facts.asked.failback && facts.writer != preferred {
        return back(facts, "FailedBack", "by the annotation failback");
    }
    match facts.writes.mode {
        WritesMode::Manual if facts.writer == preferred => {
            Decision::stay("AsDeclared", "by failover.writes.active")
        }
        WritesMode::Manual if facts.forced => forced(),
        WritesMode::Manual => Decision::go(preferred, "AsDeclared", "by failover.writes.active"),
        WritesMode::Automatic => automatic(facts),
    }
}

fn forced() -> Decision {
    Decision::stay(
        FORCED,
        "by the annotation force-writer, until the annotation failback asks otherwise",
    )
}

/// Whether, after a decision, the writes are where they are because somebody forced them there. Whatever else is shown
/// meanwhile, that holds until they are moved for another reason, or are where the spec wants them.
pub fn stays_forced(facts: &Facts<'_>, decision: &Decision) -> bool {
    let preferred = facts.writes.active;
    match decision.to {
        Some(to) => decision.reason == FORCED && to != preferred,
        None => {
            let asked = facts.asked.force == Some(facts.writer);
            (facts.forced || asked) && facts.writer != preferred
        }
    }
}

fn automatic(facts: &Facts<'_>) -> Decision {
    if facts.health.isolated {
        return Decision::stay(
            "ProberIsolated",
            "nothing at all can be reached from here, so nothing is known",
        );
    }
    let (here, there) = (facts.writer, other(facts.writer));
    let probe_failed = facts
        .health
        .of(here)
        .has_failed(&facts.thresholds, facts.now);
    let edge_failed = facts.health.edge.has_failed(&facts.thresholds, facts.now);
    if probe_failed && edge_failed {
        return away(facts, there);
    }
    if facts.writer != facts.writes.active {
        // A person has sent them here, and sends them back; a person's reasons no probe knows.
        if facts.forced {
            return forced();
        }
        return match facts.writes.failback {
            Failback::Automatic => back(facts, "FailedBack", "the preferred region is well again"),
            Failback::Manual => Decision::stay(
                "FailedOver",
                "the writes stay until the annotation failback, or failover.writes.active, says otherwise",
            ),
        };
    }
    if probe_failed {
        let why = if facts.witnessed {
            "the function does not answer, but the write path through the distribution does"
        } else {
            "the function does not answer, and no path in cdn.writePaths ends with *, so there is no second witness"
        };
        return Decision::stay("OneWitness", why);
    }
    if edge_failed {
        return Decision::stay(
            "OneWitness",
            "the write path through the distribution fails, but the function answers",
        );
    }
    Decision::stay("AsPreferred", "the preferred region takes the writes")
}

/// The writer is gone.
fn away(facts: &Facts<'_>, there: Role) -> Decision {
    if facts.health.of(there).state != RegionHealth::Healthy {
        return Decision::stay(
            "OtherNotHealthy",
            format!("{} is not known to be healthy", name(there)),
        );
    }
    match refused_for_loss(facts) {
        Some(refused) => refused,
        None => Decision::go(
            there,
            "FailedOver",
            format!(
                "{} has failed: {}; through the distribution: {}",
                name(facts.writer),
                facts.health.of(facts.writer).why,
                facts.health.edge.why
            ),
        ),
    }
}

/// To the preferred region, which has to be well and up to date.
fn back(facts: &Facts<'_>, reason: &'static str, message: &str) -> Decision {
    let preferred = facts.writes.active;
    if facts.health.of(preferred).state != RegionHealth::Healthy {
        return Decision::stay(
            "OtherNotHealthy",
            format!("{} is not known to be healthy", name(preferred)),
        );
    }
    refused_for_loss(facts).unwrap_or_else(|| Decision::go(preferred, reason, message))
}

fn refused_for_loss(facts: &Facts<'_>) -> Option<Decision> {
    match facts.loss {
        Some(loss) if loss > facts.objective => Some(Decision::stay(
            "LagExceeded",
            format!(
                "a move could lose the writes of {} s, more than the objective of {} s",
                loss.as_secs(),
                facts.objective.as_secs()
            ),
        )),
        None if facts.writes.when_lag_unknown == WhenLagUnknown::Refuse => Some(Decision::stay(
            "LagUnknown",
            "nobody knows how much a move would lose, and failover.writes.whenLagUnknown says Refuse",
        )),
        _ => None,
    }
}
