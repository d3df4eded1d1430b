//! The operator's configuration: which namespace acts in which AWS account, and within what bounds; pure, but for
//! reading its file.
//!
//! An app cannot choose its account: its namespace does, by the operator's word. What a namespace may not do is refused
//! before anything is asked of AWS.

mod account;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

pub use account::Account;

use crate::model::{Failure, FailureKind};

/// The configuration file. Without one every namespace acts as the process itself, unbounded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who acts where.
    #[serde(default)]
    pub accounts: Accounts,
}

/// Which account each namespace acts in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// What holds for a namespace without an entry. Absent: the process's own identity, unbounded.
    #[serde(default)]
    pub default: Unlisted,
    /// What holds for a namespace, by its name. Nothing is taken over from `default`.
    #[serde(default)]
    pub namespaces: BTreeMap<String, Account>,
}

/// What holds for a namespace without an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unlisted {
    /// It acts in this account.
    Account(Account),
    /// It is refused.
    Refuse,
}

impl Default for Unlisted {
    fn default() -> Self {
        Self::Account(Account::default())
    }
}

impl<'de> Deserialize<'de> for Unlisted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// By hand: of an untagged enum no error says what is wrong, and where.
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Unlisted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account (roleARN and so on), or the word Refuse")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Unlisted, E> {
                match word {
                    "Refuse" => Ok(Unlisted::Refuse),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unlisted, A::Error> {
                Account::deserialize(MapAccessDeserializer::new(map)).map(Unlisted::Account)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or may not be read.
    #[error("reading the configuration {}", .0.display())]
    Unread(PathBuf, #[source] std::io::Error),
    /// It makes no sense.
    #[error("the configuration {} is refused:\n{}", .0.display(), .1.join("\n"))]
    Refused(PathBuf, Vec<String>),
}

impl Settings {
    /// Reads the file at `path`; without one all is as by default.
    ///
    /// # Errors
    /// Where it cannot be read, or is refused.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Error::Unread(path.to_owned(), error))?;
        Self::parse(&text).map_err(|problems| {
            let indented = problems.into_iter().map(|problem| format!("  {problem}"));
            Error::Refused(path.to_owned(), indented.collect())
        })
    }

    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// What is wrong, each with the path of the field: of the form the first, of the values all.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let value: serde_json::Value = serde_saphyr::from_str(text)
            .map_err(|error| vec![format!("not YAML: {}", error.without_snippet())])?;
        // An empty file, or one of comments alone.
        if value.is_null() {
            return Ok(Self::default());
        }
        let settings: Self = serde_path_to_error::deserialize(value)
            .map_err(|error| vec![format!("{}: {}", error.path(), error.inner())])?;
        let problems = settings.problems();
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Unlisted::Account(account) = &self.accounts.default {
            account.problems("accounts.default", &mut problems);
        }
        for (namespace, account) in &self.accounts.namespaces {
            let path = format!("accounts.namespaces.{namespace}");
            if !account::is_label(namespace) {
                problems.push(format!("{path}: no namespace can have this name"));
            }
            account.problems(&path, &mut problems);
        }
        problems
    }

    /// The account of `namespace`.
    ///
    /// # Errors
    /// `NotAllowed` where it has none.
    pub fn account(&self, namespace: &str) -> Result<&Account, Failure> {
        if let Some(account) = self.accounts.namespaces.get(namespace) {
            return Ok(account);
        }
        match &self.accounts.default {
            Unlisted::Account(account) => Ok(account),
            Unlisted::Refuse => Err(refused(
                "NoAccount",
                format!(
                    "namespace {namespace} has no AWS account in the operator's configuration (accounts.namespaces), \
                     and without one it is refused: have it entered, or use a namespace that is"
                ),
            )),
        }
    }
}

/// What the operator's configuration does not allow.
fn refused(code: &str, message: String) -> Failure {
    Failure {
        kind: FailureKind::NotAllowed,
        operation: "multiregion:Configuration".into(),
        code: code.into(),
        message,
    }
}

#[cfg(test)]
mod tests;
