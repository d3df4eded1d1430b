//! Reasons: each word by which the program says why is explained, and the pages explain no word that it does not say.
//!
//! They are found in the source, so that whoever adds one anywhere is told to explain it: every literal of one word that
//! begins with a capital letter, in the files that give reasons of a kind, is one, but for those named here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::pages::{page, root};

/// What is explained together: where it is said, and where it is explained.
struct Group {
    name: &'static str,
    /// Files, and folders with all files that are in them themselves.
    said_in: &'static [&'static str],
    /// Literals that look like reasons and are none.
    no_reasons: &'static [&'static str],
    page: &'static str,
    /// Headings begin with one of these.
    sections: &'static [&'static str],
    /// What the first columns name besides.
    also_named: &'static [&'static str],
}

/// The conditions: `status.conditions[].reason`.
const CONDITIONS: Group = Group {
    name: "conditions",
    said_in: &["src/status.rs", "src/status"],
    // Statuses of conditions and of the distribution, roles, kinds and purposes of records; the writer's, see below.
    no_reasons: &[
        "True",
        "False",
        "Unknown",
        "Deployed",
        "InProgress",
        "Primary",
        "DR",
        "CNAME",
        "Read",
    ],
    page: "docs/troubleshooting.md",
    sections: &[
        "Ready",
        "Synced",
        "Reconciling",
        "Stalled",
        "FailoverHealthy",
        "ReplicationHealthy",
        "CodeInSync",
        "RuntimeSupported",
        "CertificateIssued",
    ],
    // "A reason of `Stalled`".
    also_named: &["Stalled"],
};

/// `status.writer.reason`.
const WRITER: Group = Group {
    name: "the writer",
    said_in: &["src/health/writes.rs", "src/controller/writer.rs"],
    no_reasons: &["Primary", "DR"],
    page: "docs/troubleshooting.md",
    sections: &["status.writer"],
    // Of a writer that was found, by `src/status/parts.rs`.
    also_named: &["Read"],
};

/// `status.lastDrill.reason`, with its results.
const DRILLS: Group = Group {
    name: "drills",
    said_in: &["src/health/drill.rs", "src/controller/drill.rs"],
    // Results, phases, and what came of the write probe; what is asked of a condition.
    no_reasons: &[
        "True",
        "Running",
        "Succeeded",
        "Failed",
        "Refused",
        "MovingToDR",
        "AtDR",
        "MovingBack",
        "Passed",
        "NotDeclared",
        "DRReady",
    ],
    page: "docs/troubleshooting.md",
    sections: &["Drills"],
    also_named: &[],
};

/// Reasons of events.
const EVENTS: Group = Group {
    name: "events",
    said_in: &["src/controller/events.rs"],
    // Actions of events; words of the status that an event depends on.
    no_reasons: &[
        "Observe",
        "Apply",
        "Assess",
        "Move",
        "RollOut",
        "Drill",
        "Delete",
        "True",
        "Progressing",
        "RollingOut",
        "Stopped",
        "InSync",
        "Running",
        "Succeeded",
        "Refused",
    ],
    page: "docs/operations.md",
    sections: &["Logs and events"],
    // "Reason of `Ready`".
    also_named: &["Ready"],
};

const GROUPS: [Group; 4] = [CONDITIONS, WRITER, DRILLS, EVENTS];

#[test]
fn every_reason_is_explained_and_no_other() {
    let mut wrong = Vec::new();
    for group in &GROUPS {
        let (name, said, explained) = (group.name, said(group), explained(group));
        assert!(said.len() > 5, "{name}: no reasons are found in the source");
        for word in said.difference(&explained) {
            wrong.push(format!("{name}: {word} is not explained in {}", group.page));
        }
        for word in explained.difference(&said) {
            let page = group.page;
            wrong.push(format!(
                "{name}: {page} explains {word}, which is never said"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_named_as_no_reason_is_still_in_the_source() {
    for group in &GROUPS {
        let words = words(group);
        for word in group.no_reasons {
            assert!(words.contains(*word), "{}: {word}", group.name);
        }
    }
}

#[test]
fn every_condition_has_a_section() {
    let source = fs::read_to_string(root().join("src/api.rs")).unwrap();
    let declared = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const CONDITION_"))
        .filter_map(|line| line.split('"').nth(1));
    let declared: BTreeSet<&str> = declared.collect();
    let sections: BTreeSet<&str> = CONDITIONS.sections.iter().copied().collect();
    assert_eq!(declared, sections);
    let columns = page(CONDITIONS.page).first_columns;
    for section in sections {
        assert!(
            columns.keys().any(|name| begins(name, section)),
            "{section}"
        );
    }
}

/// What the source says, without what is none.
fn said(group: &Group) -> BTreeSet<String> {
    let mut words = words(group);
    words.retain(|word| !group.no_reasons.contains(&word.as_str()));
    words
}

fn explained(group: &Group) -> BTreeSet<String> {
    let columns: BTreeMap<String, Vec<String>> = page(group.page).first_columns;
    let words = columns
        .into_iter()
        .filter(|(heading, _)| group.sections.iter().any(|name| begins(heading, name)));
    let mut words: BTreeSet<String> = words
        .flat_map(|(_, words)| words)
        .filter(|word| is_word(word))
        .collect();
    words.retain(|word| !group.also_named.contains(&word.as_str()));
    words
}

fn begins(heading: &str, name: &str) -> bool {
    heading.split(' ').next() == Some(name) || heading == name
}

fn words(group: &Group) -> BTreeSet<String> {
    let mut files = Vec::new();
    for place in group.said_in {
        let path = root().join(place);
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            let entries = entries.map(|entry| entry.unwrap().path());
            files.extend(entries.filter(|path| {
                path.extension().is_some_and(|extension| extension == "rs")
                    && path.file_stem().is_some_and(|stem| stem != "tests")
            }));
        } else {
            files.push(path);
        }
    }
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| literals(&text)).collect()
}

/// Every literal of one capitalised word, tests and comments aside.
fn literals(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let mut found = BTreeSet::new();
    let mut rest = code;
    while let Some(start) = rest.find(['"', '/', '\'']) {
        let (before, here) = rest.split_at(start);
        rest = if let Some(comment) = here.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, below)| below)
        } else if let Some(behind) = here.strip_prefix("'\"'") {
            // The quote as a character.
            behind
        } else if let Some(inside) = here.strip_prefix('"') {
            let raw = before.ends_with(['r', '#']);
            assert!(!raw, "raw strings are not understood here");
            let (literal, behind) = literal(inside);
            if is_word(literal) {
                found.insert(literal.to_owned());
            }
            behind
        } else {
            &here[1..]
        };
    }
    found
}

/// What is before the closing quote, and what is behind it.
fn literal(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (place, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return (&text[..place], &text[place + 1..]),
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    panic!("a literal does not end: {text}");
}

fn is_word(text: &str) -> bool {
    text.chars()
        .next()
        .is_some_and(|first| first.is_ascii_uppercase())
        && text.len() > 1
        && text.chars().all(|letter| letter.is_ascii_alphabetic())
}

#[test]
fn literals_are_told_from_comments_and_tests() {
    let source = "let a = stay(\"One\", \"a \\\"Two\\\" in \\\n it\"); // \"Three\"\nif b == '\"' || c == \"Four\" {}\n\
                  #[cfg(test)]\nmod tests { \"Five\" }";
    let found: Vec<String> = literals(source).into_iter().collect();
    assert_eq!(found, ["Four", "One"]);
}
