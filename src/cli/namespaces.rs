//! Which namespaces a command is about.

use std::collections::BTreeSet;

use clap::Args;

/// The most characters that Kubernetes gives a namespace's name.
const LONGEST: usize = 63;

/// Shared by `run` and `rbac`, so that the rights printed are those of what runs.
#[derive(Args, Clone, Debug, Default)]
pub struct NamespaceArguments {
    /// Watch only these namespaces, separated by commas or each with the flag again; then --cluster-id is needed. Default: all.
    #[arg(
        long = "namespace",
        env = "MULTIREGION_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = name
    )]
    namespaces: Vec<String>,
}

impl NamespaceArguments {
    /// Each once; none stands for all.
    pub fn set(&self) -> BTreeSet<String> {
        self.namespaces.iter().cloned().collect()
    }
}

/// An empty one is refused: whether it stands for all or for none, somebody would be surprised.
fn name(text: &str) -> Result<String, String> {
    let inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let well = ends.iter().all(|end| end.is_some_and(|end| inner(*end)))
        && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
        && bytes.len() <= LONGEST;
    if well {
        return Ok(text.to_owned());
    }
    Err("this is no namespace's name; leave the setting out to watch all".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_the_name_of_a_namespace_is_taken() {
        for good in ["web", "team-1", "a", "0"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", "-web", "web-", "Web", "we b", "*", &"w".repeat(64)] {
            name(bad).expect_err(bad);
        }
    }
}
