//! What is documented, alerted on and drawn, held against the metrics that there are.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use multiregion::aws::{CallRecord, Record};
use multiregion::health::Sample;
use multiregion::metrics::{Condition, Metrics};
use multiregion::model::FailureKind;
use serde_json::Value;

/// Labels that Prometheus puts on whatever it scrapes.
const OF_THE_TARGET: [&str; 3] = ["job", "instance", "pod"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Metrics of which each was told something. A new metric is told here, too.
fn told() -> Metrics {
    let metrics = Metrics::default();
    let (uid, now) = ("uid", Timestamp::now());
    metrics.seen(uid, now);
    metrics.passed(uid, now);
    metrics.drilled(uid, Some(now));
    metrics.works(1);
    metrics.spread_over(1);
    metrics.reconcile("settled", Duration::from_secs(1));
    let row = ["dynamodb/shop-visits", "us-east-1", "us-west-2"].map(str::to_owned);
    metrics.lags(
        uid,
        std::iter::once((row.into(), SignedDuration::from_secs(1))),
    );
    metrics.probe("primary", &Sample::Healthy);
    metrics.applied("lambda_function", "update");
    for _ in 0..3 {
        metrics.drift(uid, "update x", "lambda_function", "update", now);
    }
    metrics.aws(&Record::Call(CallRecord {
        service: "lambda",
        operation: "GetFunction",
        region: "us-east-1".into(),
        failure: Some(FailureKind::Throttled),
        elapsed: Duration::from_millis(10),
        waited: Duration::from_millis(10),
        throttles: 1,
    }));
    for hit in [true, false] {
        metrics.aws(&Record::Shared { read: "zone", hit });
    }
    let ready = Condition {
        name: "Ready",
        status: "True",
        reason: "Converged",
        since: now,
    };
    metrics.conditions(uid, [ready].into_iter());
    metrics
}

/// The metrics that there are: samples by name, with their labels; and families as the documentation names them.
struct Exposed {
    samples: BTreeMap<String, BTreeSet<String>>,
    families: BTreeMap<String, BTreeSet<String>>,
}

fn exposed() -> Exposed {
    let text = told().text().unwrap();
    let mut samples: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let labels = labels.trim_end_matches('}').split(',');
        let labels = labels.filter_map(|label| label.split_once('='));
        let known = samples.entry(name.into()).or_default();
        known.extend(labels.map(|(label, _)| label.to_owned()));
    }
    let mut families = BTreeMap::new();
    for line in text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let (documented, sample) = match kind {
            "counter" => (format!("{name}_total"), format!("{name}_total")),
            "histogram" => (name.to_owned(), format!("{name}_count")),
            _ => (name.to_owned(), name.to_owned()),
        };
        let labels = samples.get(&sample);
        let labels = labels.unwrap_or_else(|| panic!("{name} was told nothing: do so in `told`"));
        families.insert(documented, labels.clone());
    }
    Exposed { samples, families }
}

#[test]
fn every_metric_is_in_the_table_with_its_labels_and_nothing_else_is() {
    let page = read("docs/metrics.md");
    let table = page.split("## The table").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let mut documented = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned);
        let before = documented.insert(cells[1].trim_matches('`').to_owned(), labels.collect());
        assert_eq!(before, None, "{} is there twice", cells[1]);
        assert!(!cells[3].is_empty(), "{} says nothing", cells[1]);
    }
    assert_eq!(documented, exposed().families);
}

/// A word of PromQL that begins here.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The metrics of a query, each with the labels that it is selected by, and their values.
fn selectors(query: &str) -> Vec<(String, Vec<(String, String)>)> {
    let starts = query.match_indices("multiregion_").filter(|(at, _)| {
        let before = query[..*at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    });
    let of = |(at, _): (usize, &str)| {
        let name = word(&query[at..]);
        let rest = query[at + name.len()..].strip_prefix('{').unwrap_or("");
        let mut labels = Vec::new();
        // No value has a comma or a brace in it.
        for matcher in rest.split('}').next().unwrap().split(',') {
            let label = word(matcher.trim());
            if let Some(value) = matcher.split('"').nth(1) {
                labels.push((label.to_owned(), value.to_owned()));
            }
        }
        (name.to_owned(), labels)
    };
    starts.map(of).collect()
}

/// The labels in the parentheses after each `keyword`.
fn grouped(query: &str, keyword: &str) -> Vec<String> {
    let before = format!("{keyword} (");
    let lists = query.split(&before).skip(1);
    let lists = lists.map(|rest| rest.split(')').next().unwrap());
    lists
        .flat_map(|list| list.split(','))
        .map(|label| label.trim().to_owned())
        .collect()
}

/// What stands between `before` and the next character that no label has.
fn named(text: &str, before: &str) -> Vec<String> {
    let rests = text.split(before).skip(1);
    rests
        .map(|rest| word(rest.trim_start()).to_owned())
        .collect()
}

/// Whether a query asks only for what there is; `shown` are labels that a text takes from its result.
fn check_query(exposed: &Exposed, whose: &str, query: &str, shown: &[String]) {
    let asked = selectors(query);
    assert!(!asked.is_empty(), "{whose} asks for no metric: {query}");
    for (name, labels) in &asked {
        let known = exposed.samples.get(name);
        let known = known.unwrap_or_else(|| panic!("{whose}: there is no {name}"));
        let has = |label: &str| known.contains(label) || OF_THE_TARGET.contains(&label);
        for (label, values) in labels {
            assert!(has(label), "{whose}: {name} has no label {label}");
            for value in values.split('|').filter(|_| label != "job") {
                assert!(is_a_value(label, value), "{whose}: no {label} is {value:?}");
            }
        }
        for label in grouped(query, "by").iter().chain(shown) {
            assert!(has(label), "{whose}: {name} has no label {label}");
        }
    }
    for label in grouped(query, "without") {
        let known = |(name, _): &(String, _)| exposed.samples[name].contains(&label);
        let there = OF_THE_TARGET.contains(&&*label) || asked.iter().any(known);
        assert!(there, "{whose}: there is no label {label}");
    }
}

/// Whether the code ever gives the label that value.
fn is_a_value(label: &str, value: &str) -> bool {
    let sources: &[&str] = match label {
        "type" => &["src/api.rs"],
        "status" | "reason" => &["src/status"],
        "outcome" => &["src/model.rs", "src/metrics.rs"],
        _ => panic!("say here where the values of {label} are"),
    };
    let literal = format!("\"{value}\"");
    let mut files: Vec<PathBuf> = Vec::new();
    for source in sources {
        let path = repository().join(source);
        if path.is_dir() {
            let inside = fs::read_dir(&path).unwrap();
            files.extend(inside.map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files.retain(|file| file.is_file() && !file.ends_with("tests.rs"));
    files
        .iter()
        .any(|file| fs::read_to_string(file).unwrap().contains(&literal))
}

fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/monitoring/rules.yaml");
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn every_alert_asks_for_what_there_is() {
    let exposed = exposed();
    for alert in alerts() {
        let query = alert["expr"].as_str().unwrap();
        let shown = named(&alert["annotations"].to_string(), "$labels.");
        check_query(&exposed, name(&alert), query, &shown);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["info", "warning", "critical"].contains(&severity));
    }
}

#[test]
fn every_alert_is_tested_to_fire_and_to_keep_quiet() {
    let tests = yaml("deploy/monitoring/rules_test.yaml");
    let cases = tests["tests"].as_array().unwrap().iter();
    let cases: Vec<&Value> = cases
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        let quiet = |case: &&Value| case["exp_alerts"].as_array().unwrap().is_empty();
        let of_it = cases
            .iter()
            .filter(|case| case["alertname"] == alert["alert"]);
        let (quiet, firing): (Vec<_>, Vec<_>) = of_it.copied().partition(quiet);
        assert!(!firing.is_empty(), "{} fires in no test", name(&alert));
        assert!(!quiet.is_empty(), "{} is quiet in no test", name(&alert));
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let page = read("docs/runbooks.md");
    let runbooks: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let alerts = alerts();
    assert_eq!(runbooks, alerts.iter().map(name).collect::<Vec<_>>());
    for alert in &alerts {
        let anchor = format!("docs/runbooks.md#{}", name(alert).to_lowercase());
        assert_eq!(alert["annotations"]["runbook"], anchor.as_str());
    }
    for section in page.split("\n## ").skip(1) {
        for part in ["**Means**", "**Look**", "**Do**"] {
            let title = section.lines().next().unwrap();
            assert!(section.contains(part), "{title} has no {part}");
        }
    }
}

/// Each panel's title, query and the labels that its legend shows.
fn panels() -> Vec<(String, String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_owned();
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            let legend = named(target["legendFormat"].as_str().unwrap(), "{{");
            queries.push((
                title.clone(),
                target["expr"].as_str().unwrap().to_owned(),
                legend,
            ));
        }
    }
    assert!(queries.len() > 10, "the dashboard was not understood");
    queries
}

#[test]
fn every_panel_of_the_dashboard_asks_for_what_there_is() {
    let exposed = exposed();
    for (title, query, legend) in panels() {
        check_query(&exposed, &title, &query, &legend);
    }
}

/// Its output; panics with it where it fails.
fn promtool(arguments: &[&str]) -> String {
    let found = Command::new(repository().join("hack/promtool.sh"))
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{why}");
    let path = String::from_utf8(found.stdout).unwrap();
    let output = Command::new(path.trim())
        .args(arguments)
        .current_dir(repository().join("deploy/monitoring"))
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
    told
}

#[test]
fn promtool_finds_the_rules_right_and_their_tests_pass() {
    let checked = promtool(&["check", "rules", "rules.yaml"]);
    assert!(checked.contains(&format!("{} rules found", alerts().len())));
    promtool(&["test", "rules", "rules_test.yaml"]);
}

#[test]
fn prometheus_understands_the_queries_of_the_dashboard() {
    let rules: Vec<Value> = panels()
        .into_iter()
        .enumerate()
        .map(|(number, (_, query, _))| {
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$job", ".*");
            serde_json::json!({"record": format!("panel:{number}"), "expr": query})
        })
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.rules.json");
    fs::write(&file, rules.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// The schema of what a path leads to; a list leads to its items.
fn schema<'a>(from: &'a Value, path: &Value) -> &'a Value {
    let mut at = from;
    for part in path.as_array().unwrap() {
        let part = part.as_str().unwrap();
        at = &at["properties"][part];
        assert!(!at.is_null(), "{path}: there is no {part}");
        if at["type"] == "array" {
            at = &at["items"];
        }
    }
    at
}

#[test]
fn what_kube_state_metrics_is_told_to_read_is_in_the_definition() {
    let definition = serde_json::to_value(multiregion::api::crd()).unwrap();
    let version = &definition["spec"]["versions"][0];
    let root = &version["schema"]["openAPIV3Schema"];
    let config = yaml("deploy/monitoring/kube-state-metrics.yaml");
    let resource = &config["spec"]["resources"][0];
    let kind = &resource["groupVersionKind"];
    assert_eq!(kind["group"], definition["spec"]["group"]);
    assert_eq!(kind["version"], version["name"]);
    assert_eq!(kind["kind"], definition["spec"]["names"]["kind"]);
    let page = read("docs/metrics.md");
    let metrics = resource["metrics"].as_array().unwrap();
    assert!(metrics.len() > 4, "the file was not understood");
    for metric in metrics {
        let name = metric["name"].as_str().unwrap();
        assert!(
            page.contains(&format!("_{name}`")),
            "{name} is not documented"
        );
        let each = &metric["each"];
        let kind = each["type"].as_str().unwrap().to_lowercase();
        let what = &each[&kind];
        let found = schema(root, &what["path"]);
        for path in what["labelsFromPath"]
            .as_object()
            .unwrap_or(&serde_json::Map::new())
            .values()
        {
            assert_eq!(schema(found, path)["type"], "string", "{name}: {path}");
        }
        if kind == "gauge" {
            let value = schema(found, &what["valueFrom"]);
            let number = value["type"] == "integer" || value["format"] == "date-time";
            assert!(number, "{name} is no number: {value}");
        } else {
            assert_eq!(kind, "info", "{name}");
        }
    }
}
