//! The modules: those of `src/lib.rs` are in its own map and in the table of the page on the design, and no others are.

use std::collections::BTreeSet;
use std::fs;

use crate::pages::{page, root};

#[test]
fn every_module_is_in_the_map_and_in_the_table() {
    let source = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = named(&source, "pub mod ", ";");
    assert!(modules.len() > 5, "only {modules:?} were found");

    let rows = source.lines().filter(|line| line.starts_with("//! | ["));
    let map: BTreeSet<String> = rows.flat_map(|row| named(row, "[`", "`]")).collect();
    assert_eq!(map, modules, "the map in src/lib.rs");

    let mut columns = page("docs/design.md").first_columns;
    let table = columns.remove("The modules").unwrap_or_default();
    let table: BTreeSet<String> = table.into_iter().collect();
    assert_eq!(table, modules, "the table in docs/design.md");
}

/// What is between each `before` and the next `after`.
fn named(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let rests = text.split(before).skip(1);
    rests
        .filter_map(|rest| rest.split(after).next())
        .map(str::to_owned)
        .collect()
}
