//! A plan in words: for `multiregion plan`, for `status.pending`, for goldens.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{Block, Change, Plan, State, Step, Wait};

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.on, self.what)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(owner) => write!(f, "it belongs to {owner}"),
            Self::Unowned => f.write_str(
                "it exists and carries no owner (to take it over, set adoptionPolicy: IfUnowned)",
            ),
            Self::Failed(failure) => failure.fmt(f),
            Self::Broken(why) => write!(
                f,
                "it failed ({why}) and holds data, so it is not made again"
            ),
        }
    }
}

/// The reason in words, empty where there is none.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => Ok(()),
            Self::Waiting(waits) => {
                let shown: Vec<String> = waits.iter().take(3).map(ToString::to_string).collect();
                f.write_str(&shown.join(", "))?;
                if waits.len() > 3 {
                    write!(f, " and {} more", waits.len() - 3)
                } else {
                    Ok(())
                }
            }
            Self::Blocked(block) => block.fmt(f),
        }
    }
}

impl Change {
    /// One word for the change.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
            Self::Await => "await",
            Self::Unknown => "unknown",
        }
    }

    fn sign(&self) -> char {
        match self {
            Self::Create { .. } => '+',
            Self::Update { .. } => '~',
            Self::Delete { .. } => '-',
            Self::Await => '.',
            Self::Unknown => '?',
        }
    }
}

impl Step {
    /// The change in a few words, as in `update memory_size, timeout`.
    pub fn summary(&self) -> String {
        match &self.change {
            Change::Update { fields, .. } => {
                let mut names: Vec<&str> = fields.iter().map(|field| field.top_level()).collect();
                names.dedup();
                format!("update {}", names.join(", "))
            }
            other => other.verb().into(),
        }
    }
}

/// One line a step with its fields below it, and a line that counts.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mut reason = step.state.to_string();
            if !reason.is_empty() {
                let word = if matches!(step.state, State::Blocked(_)) {
                    "blocked"
                } else {
                    "waits on"
                };
                reason = format!("  ({word} {reason})");
            }
            writeln!(f, "{} {}{reason}", step.change.sign(), step.id)?;
            if let Change::Update { fields, .. } = &step.change {
                for field in fields {
                    writeln!(f, "    {field}")?;
                }
            }
        }
        for (id, reason) in &self.retained {
            writeln!(f, "= {id}  (stays: {reason})")?;
        }
        f.write_str(&self.totals())
    }
}

impl Plan {
    /// The last line of a plan: how many of each change, or that there is nothing to do.
    pub fn totals(&self) -> String {
        if self.steps.is_empty() {
            return "Nothing to do: AWS is as declared.".into();
        }
        let mut line = String::from("Plan:");
        for verb in ["create", "update", "delete", "await", "unknown"] {
            let count = self
                .steps
                .iter()
                .filter(|step| step.change.verb() == verb)
                .count();
            if count > 0 {
                write!(line, " {count} to {verb},").expect("writing to a String does not fail");
            }
        }
        line.pop();
        line.replace("to unknown", "unreadable")
            .replace("to await", "to wait for")
            + "."
    }
}

impl Plan {
    /// The plan without the values of environment variables, fit to be printed as JSON.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut plan = self.clone();
        for step in &mut plan.steps {
            let config = match &mut step.change {
                Change::Create { config } => config,
                Change::Update { config, fields } => {
                    for field in fields
                        .iter_mut()
                        .filter(|field| field.top_level() == super::diff::ENVIRONMENT)
                    {
                        field.from = hidden(&field.from);
                        field.to = hidden(&field.to);
                    }
                    config
                }
                Change::Delete { .. } | Change::Await | Change::Unknown => continue,
            };
            if let Some(environment) = config
                .get_mut(super::diff::ENVIRONMENT)
                .and_then(Value::as_object_mut)
            {
                environment
                    .values_mut()
                    .for_each(|value| *value = hidden(value));
            }
        }
        plan
    }
}

fn hidden(value: &Value) -> Value {
    if value.is_null() {
        Value::Null
    } else {
        "(not shown)".into()
    }
}
