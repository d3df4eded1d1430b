//! The pages as they are on disk: their headings, links and tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Folders without pages of ours.
const ELSEWHERE: &[&str] = &["target", "src", "node_modules"];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page, by its path from the root.
pub struct Page {
    pub path: PathBuf,
    /// As GitHub makes them of the headings.
    pub anchors: Vec<String>,
    pub links: Vec<String>,
    /// The code spans in the first column of each table row, by the heading above.
    pub first_columns: BTreeMap<String, Vec<String>>,
}

/// Every Markdown file of the repository.
pub fn pages() -> Vec<Page> {
    let mut folders = vec![root().to_owned()];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !ELSEWHERE.contains(&name) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let inside = path.strip_prefix(root()).unwrap().to_owned();
                pages.push(read(inside, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

/// The page at a path from the root.
pub fn page(path: &str) -> Page {
    let mut pages = pages().into_iter();
    pages.find(|page| page.path == Path::new(path)).unwrap()
}

pub fn read(path: PathBuf, text: &str) -> Page {
    let mut page = Page {
        path,
        anchors: Vec::new(),
        links: Vec::new(),
        first_columns: BTreeMap::new(),
    };
    let mut heading: Option<String> = None;
    let mut section = String::new();
    // Of the row that is being read; none outside of a body's rows.
    let mut column = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                section = heading.take().unwrap_or_default();
                let anchor = unused(&anchor(&section), &page.anchors);
                page.anchors.push(anchor);
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            Event::Start(Tag::TableRow) => column = Some(0),
            Event::End(TagEnd::TableRow) => column = None,
            Event::End(TagEnd::TableCell) => column = column.map(|column| column + 1),
            Event::Code(code) => {
                if column == Some(0) {
                    let words = page.first_columns.entry(section.clone()).or_default();
                    words.push(code.to_string());
                }
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
            }
            Event::Text(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    page
}

/// In lower case, punctuation away, a dash for each space.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The second heading of the same words gets a number.
fn unused(anchor: &str, used: &[String]) -> String {
    let numbered = (0..).map(|number| match number {
        0 => anchor.to_owned(),
        number => format!("{anchor}-{number}"),
    });
    numbered
        .into_iter()
        .find(|anchor| !used.contains(anchor))
        .unwrap()
}

#[test]
fn headings_become_the_anchors_that_github_gives_them() {
    let text = "# Stalled (only while True)\n## `spec.tables[]`\n## The writer\n## The writer\n## What's new?\n";
    let page = read(PathBuf::from("page.md"), text);
    let expected = [
        "stalled-only-while-true",
        "spectables",
        "the-writer",
        "the-writer-1",
        "whats-new",
    ];
    assert_eq!(page.anchors, expected);
}

#[test]
fn the_first_column_is_read_of_each_table() {
    let text = "## Ready\n\n| reason | what |\n|---|---|\n| False `One`, `Two` | see `Three` |\n| True `Four` | |\n";
    let page = read(PathBuf::from("page.md"), text);
    assert_eq!(page.first_columns["Ready"], ["One", "Two", "Four"]);
}
