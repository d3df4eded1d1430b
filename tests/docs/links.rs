//! Links: to a file that is there, to a heading that it has; and to the outside at least as an address.

use std::path::{Component, Path, PathBuf};

use http::Uri;

use crate::pages::{Page, pages, read, root};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in &pages {
        for link in &page.links {
            followed += 1;
            if let Err(why) = follow(page, link, &pages) {
                broken.push(format!("{}: {link}: {why}", page.path.display()));
            }
        }
    }
    assert!(followed > 50, "only {followed} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_of_the_documentation_can_be_reached_from_its_index() {
    let pages = pages();
    let index = pages
        .iter()
        .find(|page| page.path == Path::new("docs/README.md"))
        .unwrap();
    let linked: Vec<PathBuf> = index
        .links
        .iter()
        .filter_map(|link| target(index, link.split('#').next().unwrap()))
        .collect();
    let lost: Vec<_> = pages
        .iter()
        .map(|page| &page.path)
        .filter(|path| path.starts_with("docs") && *path != &index.path)
        .filter(|path| {
            // A folder that is linked is one of a kind, such as the decisions.
            let mut places = path.ancestors();
            !places.any(|place| place != Path::new("docs") && linked.contains(&place.to_owned()))
        })
        .collect();
    assert!(lost.is_empty(), "docs/README.md does not lead to {lost:?}");
}

fn follow(page: &Page, link: &str, pages: &[Page]) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return outside(link);
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = target(page, path).ok_or("it leads out of the repository")?;
    let found = pages.iter().find(|page| page.path == target);
    if found.is_none() && !root().join(&target).exists() {
        return Err(format!("there is no {}", target.display()));
    }
    if fragment.is_empty() {
        return Ok(());
    }
    let found = found.ok_or("only pages have headings")?;
    if found.anchors.iter().any(|anchor| anchor == fragment) {
        Ok(())
    } else {
        Err(format!("{} has no heading for it", target.display()))
    }
}

fn outside(link: &str) -> Result<(), String> {
    let uri: Uri = link.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if host.contains('.') => Ok(()),
        _ => Err("not an https address".into()),
    }
}

/// From the root, without `.` and `..`; none if it leads out.
fn target(page: &Page, path: &str) -> Option<PathBuf> {
    if path.is_empty() {
        return Some(page.path.clone());
    }
    let mut target = page.path.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let text = "# Top\n[a](design.md#no-such) [b](design.md) [c](#top) [d](#below) [e](../../x) [f](gone.md) \
                [g](https://aws.amazon.com/a?b=c#d) [h](http://localhost) [i](https://example) [j](../Cargo.toml) \
                [k](../Cargo.toml#L1)";
    let pages = [
        read("docs/page.md".into(), text),
        read("docs/design.md".into(), "# Here"),
    ];
    let wrong: Vec<&str> = pages[0]
        .links
        .iter()
        .filter(|link| follow(&pages[0], link, &pages).is_err())
        .map(String::as_str)
        .collect();
    let expected = [
        "design.md#no-such",
        "#below",
        "../../x",
        "gone.md",
        "http://localhost",
        "https://example",
        "../Cargo.toml#L1",
    ];
    assert_eq!(wrong, expected);
}
