//! The offline check of a manifest: what the API server would refuse, `plan -f` refuses without one.
//!
//! In the server's order: unknown fields, nulls dropped and defaults filled in, the structural schema, keys of list-maps, and
//! then, if all that holds, the CEL rules. Rules about changes are the server's alone: there is no old object here.
//! One known difference: `size()` of a string is bytes here and characters there, so an environment of more than 1,024 characters
//! beyond ASCII may be refused here only.
//!
//! Problems never repeat a value from the manifest, except where it should have been one of a few words: values in
//! `spec.function.environment` may be secrets.

use crate::api::{self, GROUP, KIND, MultiRegionApp, VERSION};
use jsonschema::error::ValidationErrorKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::fmt;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `spec.tables[0].name`; empty for the manifest as a whole.
    pub path: String,
    /// What, and what to change.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl Problem {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// Reads one manifest, YAML or JSON, and returns the object with its defaults, as the API server would store it.
///
/// # Errors
///
/// Everything that the server would refuse it for, as far as one manifest shows it.
pub fn manifest(text: &str) -> Result<MultiRegionApp, Vec<Problem>> {
    let mut object = parse(text).map_err(|problem| vec![problem])?;
    let schema = schema();

    let mut problems = Vec::new();
    unknown_fields(&schema, &object, "", &mut problems);
    apply_defaults(&schema, &mut object);
    let known = problems.len();
    schema_problems(&schema, &object, &mut problems);
    duplicate_keys(&schema, &object, "", &mut problems);
    if problems.len() == known {
        rule_problems(&schema, &object, &mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(object).map_err(|error| vec![Problem::new("", error.to_string())])
}

/// The one document of the text, as an object. A status is dropped, as the server does with what others than the controller say.
fn parse(text: &str) -> Result<Value, Problem> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        Problem::new(
            "",
            format!("not YAML: {}", in_users_words(error.without_snippet())),
        )
    })?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    let mut object = documents
        .next()
        .ok_or_else(|| Problem::new("", "there is no manifest in it"))?;
    let more = documents.count();
    if more > 0 {
        let message = format!("there are {} manifests in it: give one at a time", more + 1);
        return Err(Problem::new("", message));
    }
    let Some(map) = object.as_object_mut() else {
        return Err(Problem::new(
            "",
            "not a Kubernetes manifest: it has no fields",
        ));
    };
    map.remove("status");
    if let Some(kind) = map.get("kind").and_then(Value::as_str)
        && kind != KIND
    {
        return Err(Problem::new(
            "kind",
            format!("is {kind}: only {KIND} can be checked"),
        ));
    }
    Ok(object)
}

fn in_users_words(error: &serde_saphyr::Error) -> String {
    error.render_with_formatter(&serde_saphyr::UserMessageFormatter)
}

/// The schema of the definition, completed by what Kubernetes itself knows of every object.
fn schema() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut metadata = json!(generator.into_root_schema_for::<ObjectMeta>());
    metadata["required"] = json!(["name"]);
    metadata["properties"]["name"] = json!({"type": "string", "minLength": 1, "maxLength": 253});

    let mut schema = api::schema();
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string", "enum": [format!("{GROUP}/{VERSION}")]});
    properties["kind"] = json!({"type": "string", "enum": [KIND]});
    properties["metadata"] = metadata;
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

fn unknown_fields(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = join(path, name);
                match child(schema, name) {
                    Some(schema) => unknown_fields(schema, value, &path, problems),
                    // A schema that names no fields is one of anything, such as metadata.managedFields[].fieldsV1.
                    None if schema["properties"].is_object() => {
                        problems.push(Problem::new(path, "unknown field: take it out"));
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(
                    &schema["items"],
                    item,
                    &format!("{path}[{index}]"),
                    problems,
                );
            }
        }
        _ => {}
    }
}

/// Fills in what is absent or null from the schema's defaults, then inside of what was filled in; other nulls are dropped.
///
/// The server's algorithm for schemas without `nullable`. kube-cel has one of its own, which leaves an object that is itself a
/// default as it is, and null alone.
fn apply_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| !value.is_null() || child(schema, name).is_none());
            for (name, property) in properties(schema) {
                if let Some(default) = property.get("default")
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map {
                if let Some(schema) = child(schema, name) {
                    apply_defaults(schema, value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                apply_defaults(&schema["items"], item);
            }
        }
        _ => {}
    }
}

fn schema_problems(schema: &Value, object: &Value, problems: &mut Vec<Problem>) {
    let validator =
        jsonschema::validator_for(schema).expect("the definition's schema is a JSON Schema");
    for error in validator.iter_errors(object) {
        let path = error
            .instance_path()
            .as_str()
            .split('/')
            .skip(1)
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .fold(String::new(), |path, token| match token.parse::<usize>() {
                Ok(index) => format!("{path}[{index}]"),
                Err(_) => join(&path, &token),
            });
        let path = match error.kind() {
            ValidationErrorKind::Required { property } => {
                join(&path, property.as_str().unwrap_or_default())
            }
            _ => path,
        };
        // What is of the wrong type is not one of a few words either: once is enough.
        if problems.iter().all(|problem| problem.path != path) {
            problems.push(Problem::new(path, schema_message(&error)));
        }
    }
}

/// What a violation of the schema says: the bound, in the server's words where they are good.
fn schema_message(error: &jsonschema::ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Required { .. } => "Required value".into(),
        Kind::Enum { options } => {
            let options: Vec<_> = options
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect();
            format!(
                "Unsupported value: {}: supported values: {}",
                error.instance(),
                options.join(", ")
            )
        }
        Kind::Minimum { limit } => format!("should be greater than or equal to {limit}"),
        Kind::Maximum { limit } => format!("should be less than or equal to {limit}"),
        Kind::MinLength { limit } => format!("should be at least {limit} chars long"),
        Kind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        Kind::MinItems { limit } => format!("should have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Too many: must have at most {limit} items"),
        Kind::MaxProperties { limit } => format!("Too many: must have at most {limit} items"),
        Kind::Type { .. } => {
            let hint = match error.instance().as_ref() {
                Value::Number(_) | Value::Bool(_) => ": put it in quotes if it is meant as text",
                _ => "",
            };
            format!("{}{hint}", error.masked_with("the value"))
        }
        _ => error.masked_with("the value").to_string(),
    }
}

/// Two items of a list-map with the same keys, in the words of the server.
fn duplicate_keys(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(schema) = child(schema, name) {
                    duplicate_keys(schema, value, &join(path, name), problems);
                }
            }
        }
        Value::Array(items) => {
            let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
                .as_array()
                .map(|keys| keys.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            if keys.is_empty() {
                return;
            }
            let key_of = |item: &Value| -> Map<String, Value> {
                keys.iter()
                    .map(|&key| (key.to_owned(), item[key].clone()))
                    .collect()
            };
            for (index, item) in items.iter().enumerate() {
                let key = key_of(item);
                if items[..index].iter().any(|earlier| key_of(earlier) == key) {
                    let message = format!(
                        "Duplicate value: {}: take one of them out",
                        Value::from(key)
                    );
                    problems.push(Problem::new(format!("{path}[{index}]"), message));
                }
            }
        }
        _ => {}
    }
}

fn rule_problems(schema: &Value, object: &Value, problems: &mut Vec<Problem>) {
    let Err(errors) = kube_cel::Validator::new().validate(schema, object, None) else {
        return;
    };
    for error in errors.into_vec() {
        // A rule's own fieldPath starts with a dot.
        problems.push(Problem::new(
            error.field_path.trim_start_matches('.'),
            error.message,
        ));
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The schema of a field or of a map's value; `None` if there is no such field.
fn child<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema["properties"]
        .get(name)
        .or_else(|| schema.get("additionalProperties"))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = include_str!("../deploy/samples/minimal.yaml");

    fn problems(text: &str) -> Vec<String> {
        manifest(text)
            .expect_err("refused")
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn fills_in_the_defaults() {
        let app = manifest(MINIMAL).expect("a valid manifest");
        assert_eq!(app.spec.function, api::Function::default());
        assert_eq!(app.spec.static_assets, api::StaticAssets::default());
        assert_eq!(app.spec.cdn, api::Cdn::default());
        assert_eq!(app.spec.tables[0].key, api::TableKey::default());
        assert!(app.spec.tables[0].deletion_protection.is_enabled());
        assert_eq!(app.spec.resource_prefix, None);
    }

    #[test]
    fn null_is_no_value() {
        let text = MINIMAL.replace(
            "spec:\n",
            "spec:\n  domain:\n  suspend: null\n  function: {code: {version: ~}}\n",
        );
        let app = manifest(&text).expect("a valid manifest");
        assert_eq!(app.spec, manifest(MINIMAL).expect("a valid manifest").spec);
    }

    #[test]
    fn reads_json() {
        let json = r#"{"apiVersion": "multiregion.dev/v1alpha1", "kind": "MultiRegionApp", "metadata": {"name": "shop"},
            "spec": {"regions": {"primary": "us-east-1"}, "tables": [{"name": "visits"}]}}"#;
        assert_eq!(
            manifest(json).expect("a valid manifest").spec.regions.dr,
            None
        );
    }

    #[test]
    fn takes_an_object_as_it_comes_from_the_server() {
        let text = format!("{MINIMAL}status:\n  url: https://example.com\n").replace(
            "metadata:\n",
            "metadata:\n  uid: 1-2\n  generation: 3\n  managedFields:\n  - {manager: me, fieldsV1: {f:spec: {}}}\n",
        );
        let status = manifest(&text).expect("a valid manifest").status;
        assert_eq!(
            status.map(|status| (status.is_observed(), status.url)),
            Some((false, None))
        );
    }

    #[test]
    fn wants_one_manifest() {
        assert_eq!(problems(""), ["there is no manifest in it"]);
        assert_eq!(
            problems("---\n# nothing\n---\n"),
            ["there is no manifest in it"]
        );
        assert_eq!(
            problems("just words"),
            ["not a Kubernetes manifest: it has no fields"]
        );
        let two = format!("{MINIMAL}---\n{MINIMAL}");
        assert_eq!(
            problems(&two),
            ["there are 2 manifests in it: give one at a time"]
        );
        assert!(manifest(&format!("---\n{MINIMAL}---\n")).is_ok());
        assert_eq!(
            problems("a: 1\na: 2"),
            ["not YAML: duplicate mapping key `a` is not allowed here at line 2, column 1"]
        );
        assert_eq!(
            problems("a: [1\nb: 2"),
            ["not YAML: illegal placement of ':' indicator at line 2, column 2"]
        );
        assert_eq!(
            problems("kind: Deployment"),
            ["kind: is Deployment: only MultiRegionApp can be checked"]
        );
    }

    #[test]
    fn names_every_problem_with_its_path() {
        let text = MINIMAL
            .replace("dr: us-west-2", "dr: us-west-2\n    third: eu-west-1")
            .replace(
                "spec:\n",
                "spec:\n  function: {memorySizeMiB: 64}\n  tags: {a/b: 1}\n",
            );
        assert_eq!(
            problems(&text),
            [
                "spec.regions.third: unknown field: take it out",
                "spec.function.memorySizeMiB: should be greater than or equal to 128",
                "spec.tags.a/b: the value is not of type \"string\": put it in quotes if it is meant as text",
            ]
        );
    }

    #[test]
    fn never_prints_a_value_of_the_environment() {
        let secret = "hunter2-".repeat(300);
        for value in [secret.as_str(), "[hunter2]", "{hunter2: hunter2}"] {
            for name in ["TOKEN", "AWS_TOKEN", "1"] {
                let environment =
                    format!("spec:\n  function: {{environment: {{{name}: {value}}}}}\n");
                let problems = problems(&MINIMAL.replace("spec:\n", &environment)).join("\n");
                assert!(
                    !problems
                        .replace("environment.hunter2", "")
                        .contains("hunter2"),
                    "{problems}"
                );
            }
        }
    }
}
