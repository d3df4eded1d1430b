//! Who takes the writes of an app.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of an app's two sides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    /// The primary region's.
    Primary,
    /// The DR region's.
    #[serde(rename = "DR")]
    Dr,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "Primary",
            Self::Dr => "DR",
        })
    }
}

/// The side that takes the writes, and how many there were up to it. Edges read it as `Primary:7`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Writer {
    /// Which side.
    pub side: Side,
    /// Counts every move up, so that no two writers of an app are alike.
    pub epoch: u64,
}

impl Writer {
    /// The writer that an app begins with.
    pub fn first(side: Side) -> Self {
        Self { side, epoch: 1 }
    }

    /// The writer that follows this one.
    #[must_use]
    pub fn moved_to(self, side: Side) -> Self {
        Self {
            side,
            epoch: self.epoch + 1,
        }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.side, self.epoch)
    }
}

/// Text that names no writer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is no writer: it must be Primary or DR, a colon and a number, as in Primary:7")]
pub struct NoWriter(pub String);

impl FromStr for Writer {
    type Err = NoWriter;

    fn from_str(text: &str) -> Result<Self, NoWriter> {
        let no_writer = || NoWriter(text.to_owned());
        let (side, epoch) = text.split_once(':').ok_or_else(no_writer)?;
        let side = match side {
            "Primary" => Side::Primary,
            "DR" => Side::Dr,
            _ => return Err(no_writer()),
        };
        // `parse` would take a sign, which the edges do not.
        if !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(no_writer());
        }
        let epoch = epoch.parse().map_err(|_| no_writer())?;
        Ok(Self { side, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_read_as_it_is_written() {
        for text in ["Primary:1", "DR:18446744073709551615"] {
            let writer: Writer = text.parse().expect("a writer");
            assert_eq!(writer.to_string(), text);
        }
        let moved = Writer::first(Side::Primary).moved_to(Side::Dr);
        assert_eq!(moved.to_string(), "DR:2");
    }

    #[test]
    fn nothing_else_is_a_writer() {
        for text in [
            "",
            "Primary",
            "Primary:",
            "primary:1",
            "DR:-1",
            "DR:+1",
            "DR:1:2",
        ] {
            assert_eq!(text.parse::<Writer>(), Err(NoWriter(text.into())));
        }
    }
}
