//! What the pages show is what the program takes: their manifests, their commands, their table of flags.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser as Markdown, Tag, TagEnd};

use super::*;
use crate::validate;

/// A piece of code on a page.
struct Code {
    page: PathBuf,
    /// `sh` or `yaml`, say; none where it stands in a sentence.
    language: Option<String>,
    text: String,
}

/// README.md and all that is in docs/.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn code() -> Vec<Code> {
    let mut all = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut block: Option<(String, String)> = None;
        for event in Markdown::new_ext(&text, Options::ENABLE_TABLES) {
            match (event, &mut block) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), _) => {
                    block = Some((language.to_string(), String::new()));
                }
                (Event::Text(line), Some((_, text))) => text.push_str(&line),
                (Event::End(TagEnd::CodeBlock), _) => {
                    all.extend(block.take().map(|(language, text)| Code {
                        page: page.clone(),
                        language: Some(language),
                        text,
                    }));
                }
                (Event::Code(code), None) => all.push(Code {
                    page: page.clone(),
                    language: None,
                    text: code.to_string(),
                }),
                _ => {}
            }
        }
    }
    all
}

#[test]
fn every_manifest_shown_is_a_valid_one() {
    let mut seen = 0;
    for Code {
        page,
        language,
        text,
    } in code()
    {
        if language.as_deref() != Some("yaml") {
            continue;
        }
        for document in text.split("\n---\n") {
            if document.contains("kind: MultiRegionApp\n") {
                seen += 1;
                let checked = validate::manifest(document);
                assert!(checked.is_ok(), "{}: {:?}", page.display(), checked.err());
            }
        }
    }
    assert!(seen > 1, "only {seen} manifests are shown");
}

#[test]
fn every_command_shown_is_one_that_the_program_takes() {
    let mut seen = 0;
    for Code {
        page,
        language,
        text,
    } in code()
    {
        let whole = match language.as_deref() {
            Some("sh") => true,
            None => false,
            Some(_) => continue,
        };
        for line in text.replace("\\\n", " ").lines() {
            for command in line.split(['|', ';', '>', '&']) {
                let words = words(command);
                if words.first().map(String::as_str) != Some("multiregion") || words.len() < 2 {
                    continue;
                }
                seen += 1;
                let known = if whole {
                    Arguments::try_parse_from(&words)
                        .map(drop)
                        .map_err(|error| error.to_string())
                } else {
                    names_what_there_is(&words)
                };
                assert_eq!(known, Ok(()), "{}: {command}", page.display());
            }
        }
    }
    assert!(seen > 10, "only {seen} commands are shown");
}

/// As a shell parts them: quotes away, up to a comment.
fn words(command: &str) -> Vec<String> {
    let words = command
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'));
    words
        .map(|word| word.trim_matches(['\'', '"']).to_owned())
        .collect()
}

/// In a sentence a command may lack what it needs, but has no flag that there is not.
fn names_what_there_is(words: &[String]) -> Result<(), String> {
    let command = Arguments::command();
    let name = &words[1];
    if name.starts_with('-') {
        return Ok(());
    }
    let sub = command
        .find_subcommand(name)
        .ok_or("there is no such command")?;
    for word in words {
        let flag = word.split('=').next().unwrap_or_default();
        let known = match (flag.strip_prefix("--"), flag.strip_prefix('-')) {
            (Some("help" | ""), _) => true,
            (Some(long), _) => sub
                .get_arguments()
                .any(|argument| argument.get_long() == Some(long)),
            (None, Some(short)) => sub
                .get_arguments()
                .any(|argument| argument.get_short().map(String::from).as_deref() == Some(short)),
            (None, None) => true,
        };
        if !known {
            return Err(format!("there is no {flag}"));
        }
    }
    Ok(())
}

/// Flags with their variables, by the first two columns of the first table below "Flags" in the page on operations.
#[test]
fn the_flags_of_run_are_those_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(path).unwrap();
    let section = page.split("\n## Flags\n").nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let shown: BTreeSet<(String, String)> = rows
        .map(|row| {
            let mut spans = row.split('`').skip(1).step_by(2);
            let mut next = || spans.next().unwrap_or_default().to_owned();
            (next(), next())
        })
        .collect();
    let command = Arguments::command();
    let run = command.find_subcommand("run").unwrap();
    let flags = run
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let flags: BTreeSet<(String, String)> = flags
        .filter_map(|argument| {
            let variable = argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            Some((
                format!("--{}", argument.get_long()?),
                variable.unwrap_or_default(),
            ))
        })
        .collect();
    assert_eq!(shown, flags);
}
