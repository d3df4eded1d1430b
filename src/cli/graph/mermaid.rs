//! A picture as a Mermaid flowchart.
//!
//! Every label is quoted: nothing that AWS or a user names can break the syntax.

use std::fmt::Write;

use crate::api::{RegionHealth, Role};
use crate::picture::{Arrow, Carries, Node, Part, Picture, Region, name, side};

/// Draws `picture`.
pub(super) fn mermaid(picture: &Picture) -> String {
    let mut lines = vec!["flowchart LR".to_owned()];
    let global = |part: Part| part != Part::Role;
    let nodes = |region: Option<Role>| {
        let nodes = picture.nodes.iter();
        nodes.filter(move |node| node.region == region)
    };
    lines.extend(nodes(None).filter(|node| global(node.part)).map(of_node));
    for region in &picture.regions {
        lines.push(of_region(region));
        lines.extend(nodes(Some(region.role)).map(of_node));
        lines.push("  end".into());
    }
    lines.extend(nodes(None).filter(|node| !global(node.part)).map(of_node));
    if !picture.besides.is_empty() {
        let mut text = vec!["To do besides".to_owned()];
        text.extend(picture.besides.iter().cloned());
        lines.push(format!("  besides[{}]", label(&text)));
    }
    lines.extend(picture.arrows.iter().map(of_arrow));
    lines.extend(classes(picture));
    lines.join("\n")
}

fn of_node(node: &Node) -> String {
    let mut text = vec![node.title.to_owned(), node.name.clone()];
    if node.takes_writes {
        text.push("takes the writes".into());
    }
    text.extend(node.to_do.iter().map(|change| format!("to do: {change}")));
    format!("  {}[{}]", node.id, label(&text))
}

fn of_region(region: &Region) -> String {
    let mut title = format!("{} {}", name(region.role), region.name);
    if let Some(health) = region.health {
        let _ = write!(title, ": {health:?}");
    }
    format!("  subgraph {}[{}]", side(region.role), label(&[title]))
}

fn of_arrow(arrow: &Arrow) -> String {
    let Arrow { from, to, text, .. } = arrow;
    let line = match arrow.carries {
        Carries::Requests | Carries::Data | Carries::Replication => "-->",
        Carries::Failover | Carries::Grant => "-.->",
        Carries::Writes => "==>",
    };
    if text.is_empty() {
        format!("  {from} {line} {to}")
    } else {
        let text = label(std::slice::from_ref(text));
        format!("  {from} {line}|{text}| {to}")
    }
}

/// How what stands out looks.
fn classes(picture: &Picture) -> Vec<String> {
    let ids = |chosen: fn(&Node) -> bool| -> Vec<String> {
        let nodes = picture.nodes.iter().filter(|node| chosen(node));
        nodes.map(|node| node.id.clone()).collect()
    };
    let mut pending = ids(|node| !node.to_do.is_empty());
    if !picture.besides.is_empty() {
        pending.push("besides".into());
    }
    let unhealthy = picture.regions.iter();
    let unhealthy = unhealthy.filter(|region| region.health == Some(RegionHealth::Unhealthy));
    let unhealthy: Vec<String> = unhealthy.map(|region| side(region.role).into()).collect();
    [
        ("pending", "stroke-dasharray: 5 5", pending),
        (
            "takesWrites",
            "stroke-width:4px",
            ids(|node| node.takes_writes),
        ),
        ("unhealthy", "fill:#fdd,stroke:#c00", unhealthy),
    ]
    .into_iter()
    .filter(|(_, _, nodes)| !nodes.is_empty())
    .flat_map(|(class, style, nodes)| {
        let nodes = nodes.join(",");
        [
            format!("  classDef {class} {style}"),
            format!("  class {nodes} {class}"),
        ]
    })
    .collect()
}

/// Lines in quotes. What a quoted label cannot hold is written as Mermaid's entity for it.
fn label(lines: &[String]) -> String {
    let escaped: Vec<String> = lines
        .iter()
        .map(|line| {
            line.replace('#', "#35;")
                .replace('"', "#quot;")
                .replace('<', "#lt;")
                .replace('>', "#gt;")
                .replace('\n', " ")
        })
        .collect();
    format!("\"{}\"", escaped.join("<br/>"))
}

#[cfg(test)]
mod tests;
