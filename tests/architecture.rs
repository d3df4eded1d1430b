//! The map of `src/lib.rs`, held: who may import whom, and who may know Kubernetes, AWS, the clock and the network.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and the modules it may import; a module that is new has to be given its place here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("model", &[]),
    ("placeholder", &[]),
    ("validate", &["api"]),
    ("plan", &["model"]),
    ("aws", &["model"]),
    ("app", &["api", "aws"]),
    ("settings", &["api", "aws", "model"]),
    ("resources", &["model", "aws", "placeholder"]),
    ("topology", &["api", "app", "aws", "model", "resources"]),
    ("reconcile", &["model", "plan"]),
    ("cloud", &["model", "aws", "reconcile", "resources"]),
    ("health", &["api", "app", "aws", "model"]),
    (
        "rollout",
        &[
            "api",
            "app",
            "health",
            "model",
            "plan",
            "resources",
            "topology",
        ],
    ),
    ("metrics", &["aws", "health", "model"]),
    ("telemetry", &["metrics"]),
    (
        "status",
        &[
            "api",
            "app",
            "health",
            "model",
            "plan",
            "reconcile",
            "rollout",
            "topology",
        ],
    ),
    ("picture", &["api", "app", "aws", "model", "topology"]),
    ("web", &["api", "controller", "picture"]),
    (
        "controller",
        &[
            "api",
            "app",
            "aws",
            "cloud",
            "health",
            "metrics",
            "model",
            "plan",
            "reconcile",
            "rollout",
            "settings",
            "status",
            "telemetry",
            "topology",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "app",
            "aws",
            "cloud",
            "controller",
            "health",
            "model",
            "picture",
            "plan",
            "reconcile",
            "resources",
            "rollout",
            "settings",
            "telemetry",
            "topology",
            "validate",
            "web",
        ],
    ),
];

/// Crates, by how their names begin, and the modules that may know them.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("kube", &["api", "controller", "cli", "main", "web"]),
    // Evaluates the definition's own rules offline.
    ("kube_cel", &["validate"]),
    (
        "k8s_openapi",
        &["api", "controller", "cli", "status", "validate", "web"],
    ),
    // Of health only its messengers, see below.
    ("aws_", &["aws", "resources", "cloud", "health"]),
    (
        "tokio",
        &[
            "aws",
            "resources",
            "controller",
            "cli",
            "main",
            "telemetry",
            "web",
        ],
    ),
    ("rand", &["controller", "health", "web"]),
    ("reqwest", &["health"]),
    ("axum", &["telemetry", "web"]),
    ("prometheus_client", &["metrics"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_", &["telemetry"]),
    ("tracing_opentelemetry", &["telemetry"]),
];

/// Modules that decide, and so are functions of their arguments only.
const PURE: &[&str] = &[
    "api", "app", "health", "model", "picture", "plan", "rollout", "status", "topology",
];

/// What goes out into the world for a module that decides.
const MESSENGERS: &[&str] = &[
    "src/health/probe.rs",
    "src/health/heartbeat.rs",
    "src/health/cloudwatch.rs",
];

/// What a pure module does without: a clock, an environment, chance, files, a runtime.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::net",
    "async fn",
    ".await",
    "\nstatic ",
];

/// A source file without its comments and its tests.
struct Source {
    module: String,
    path: PathBuf,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
                sources.push(source(&root, path));
            }
        }
    }
    sources
}

fn source(root: &Path, path: PathBuf) -> Source {
    let inside = path.strip_prefix(root).unwrap();
    let first = inside.components().next().unwrap();
    let module = Path::new(first.as_os_str()).file_stem().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    Source {
        module: module.to_str().unwrap().to_owned(),
        code: lines.join("\n"),
        path,
    }
}

/// The names that follow each `before`, alone or in braces.
fn named_after(code: &str, before: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split(before).skip(1) {
        let inner = rest.strip_prefix('{').map_or(rest, |list| {
            list.split_once('}').map_or(list, |(inside, _)| inside)
        });
        let listed = inner.len() != rest.len();
        let items: Vec<&str> = if listed {
            inner.split(',').collect()
        } else {
            vec![inner]
        };
        for item in items {
            let name: String = item
                .trim_start()
                .chars()
                .take_while(|&letter| letter.is_alphanumeric() || letter == '_')
                .collect();
            if !name.is_empty() {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn every_module_imports_only_what_the_map_allows() {
    let map: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let modules: BTreeSet<String> = sources().into_iter().map(|source| source.module).collect();
    for source in sources() {
        // The binary's own file, and the crate's, import what they start.
        if matches!(source.module.as_str(), "main" | "lib") {
            continue;
        }
        let allowed = map.get(source.module.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{} has no place here", source.module));
        for imported in named_after(&source.code, "crate::") {
            let module = modules.contains(&imported) && imported != source.module;
            assert!(
                !module || allowed.contains(&imported.as_str()),
                "{} imports {imported}",
                source.path.display()
            );
        }
    }
}

#[test]
fn the_map_leads_in_no_circle() {
    let mut left: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    while !left.is_empty() {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, imports)| imports.iter().all(|import| !left.contains_key(import)))
            .map(|(&module, _)| module)
            .collect();
        assert!(!free.is_empty(), "in a circle: {:?}", left.keys());
        for module in free {
            left.remove(module);
        }
    }
}

#[test]
fn only_the_edges_know_kubernetes_and_aws() {
    for source in sources() {
        let words: BTreeSet<&str> = source
            .code
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':')
            .filter_map(|path| path.split_once("::").map(|(first, _)| first))
            .collect();
        for (name, allowed) in MAY_KNOW {
            let known = words
                .iter()
                .find(|word| **word == *name || name.ends_with('_') && word.starts_with(name));
            if let Some(known) = known {
                assert!(
                    allowed.contains(&source.module.as_str()),
                    "{} knows {known}",
                    source.path.display()
                );
            }
        }
    }
}

#[test]
fn what_decides_is_a_function_of_its_arguments() {
    for source in sources() {
        if PURE.contains(&source.module.as_str())
            && !MESSENGERS.iter().any(|file| source.path.ends_with(file))
        {
            let known = ["aws_sdk", "aws_sig", "reqwest", "rand::"];
            for word in IMPURE.iter().chain(&known) {
                assert!(
                    !source.code.contains(word),
                    "{} uses {word}",
                    source.path.display()
                );
            }
        }
    }
}

#[test]
fn no_public_signature_names_a_type_of_the_sdk() {
    // The kinds' own files are private to the registry.
    let public = sources().into_iter().filter(|source| {
        source.module == "aws"
            || source.path.ends_with("src/resources.rs")
            || source.path.ends_with("src/cloud.rs")
    });
    for source in public {
        // The clients that `aws` hands out are for the kinds, which may know them.
        for item in source.code.split("pub ").skip(1) {
            let signature = item.split(['{', ';']).next().unwrap();
            if !signature.contains("fn ") {
                continue;
            }
            for word in ["aws_sdk", "SdkError", "types::"] {
                assert!(
                    !signature.contains(word),
                    "{}: {}",
                    source.path.display(),
                    signature.trim()
                );
            }
        }
    }
}
