//! Pictures of the samples.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::app::App;
use crate::aws::tags::OwnerKey;
use crate::picture::{Known, Lag, picture};
use crate::validate;

fn sample(file: &str) -> App {
    let path = format!("{}/deploy/samples/{file}", env!("CARGO_MANIFEST_DIR"));
    let object =
        validate::manifest(&std::fs::read_to_string(path).expect("a sample")).expect("it is valid");
    let owner = OwnerKey {
        cluster: "c1".into(),
        namespace: "web".into(),
        name: object.metadata.name.expect("a name"),
    };
    App::new(owner, "123456789012", &object.spec).expect("it fits")
}

fn known() -> Known {
    let lag = |source: &str, from: &str, seconds, state: &str| Lag {
        source: source.into(),
        from: from.into(),
        seconds,
        state: state.into(),
    };
    Known {
        writer: Some((Role::Dr, 8)),
        health: BTreeMap::from([
            (Role::Primary, RegionHealth::Unhealthy),
            (Role::Dr, RegionHealth::Healthy),
        ]),
        lags: vec![
            lag(
                "dynamodb/reference-visits",
                "us-east-1",
                Some(2),
                "WithinObjective",
            ),
            lag("dynamodb/reference-visits", "us-west-2", None, "NoData"),
        ],
        pending: BTreeMap::from([
            (
                "lambda_function/us-east-1/reference-primary".into(),
                "update memory_size".into(),
            ),
            (
                "cloudwatch_log_group/us-east-1/x".into(),
                "create \"it\"".into(),
            ),
        ]),
        ..Known::default()
    }
}

#[test]
fn the_reference_deployment_with_all_that_a_status_says() {
    insta::assert_snapshot!(mermaid(&picture(&sample("reference.yaml"), &known())));
}

#[test]
fn what_is_not_known_is_not_drawn() {
    let drawn = mermaid(&picture(&sample("minimal.yaml"), &Known::default()));
    for word in ["to do", "classDef", "certificate", "takes the writes"] {
        assert!(!drawn.contains(word), "{word} in {drawn}");
    }
    assert!(drawn.contains("writer: not known"));
}

/// The part of Mermaid's syntax that a drawing keeps to.
#[test]
fn every_line_is_a_node_an_arrow_a_subgraph_or_a_class() {
    for (file, known) in [
        ("reference.yaml", known()),
        ("full.yaml", Known::default()),
        ("minimal.yaml", Known::default()),
    ] {
        let drawn = mermaid(&picture(&sample(file), &known));
        let mut lines = drawn.lines();
        assert_eq!(lines.next(), Some("flowchart LR"));
        let mut nodes = BTreeSet::new();
        let mut ends = Vec::new();
        for line in lines {
            let line = line.trim_start();
            let (unquoted, quotes) = without_labels(line);
            assert_eq!(quotes % 2, 0, "{line}");
            let words: Vec<&str> = unquoted.split_whitespace().collect();
            match words.as_slice() {
                ["classDef", ..] | ["class", _, _] | ["end"] => {}
                ["subgraph", node] | [node] => {
                    nodes.insert(identifier(node.strip_suffix("[]").expect(line)));
                }
                [from, arrow, to] => {
                    let arrow = arrow.trim_end_matches("||");
                    assert!(["-->", "-.->", "==>"].contains(&arrow), "{line}");
                    ends.extend([identifier(from), identifier(to)]);
                }
                words => assert!(words.is_empty(), "{line}"),
            }
        }
        for end in ends {
            assert!(nodes.contains(&end), "{end} is no node of {file}");
        }
    }
}

fn without_labels(line: &str) -> (String, usize) {
    let parts: Vec<&str> = line.split('"').collect();
    let outside: Vec<&str> = parts.iter().step_by(2).copied().collect();
    (outside.concat(), parts.len() - 1)
}

fn identifier(word: &str) -> String {
    assert!(word.chars().all(char::is_alphanumeric), "{word}");
    word.to_owned()
}
