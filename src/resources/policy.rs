//! Policy documents by their meaning: parsed, sorted, decoded; never compared as text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::incomplete;
use crate::model::{Failure, Input};

/// Statements by their Sid.
pub type Statements = BTreeMap<String, Statement>;

/// One statement of a policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// `Allow` or `Deny`.
    pub effect: Effect,
    /// Whom it speaks of; none in a role's own policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<Principal>,
    /// Actions, as in `s3:GetObject`.
    pub actions: BTreeSet<String>,
    /// ARNs.
    pub resources: BTreeSet<Input>,
    /// Values by operator and key, as in `StringEquals` → `aws:SourceArn` → ARNs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub conditions: BTreeMap<String, BTreeMap<String, BTreeSet<Input>>>,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "IAM's own two words")]
pub enum Effect {
    Allow,
    Deny,
}

/// Whom a resource's policy speaks of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Principal {
    /// `*`.
    Anyone,
    /// An AWS service, as in `cloudfront.amazonaws.com`.
    Service(String),
    /// An ARN.
    Aws(Input),
}

/// A policy as AWS keeps it: every statement as its raw JSON, so that what others wrote goes back to the letter,
/// `Deny`, `NotPrincipal` and whatever the typed [`Statement`] has no words for included.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// `Version`, `Id` and whatever else stands beside the statements.
    head: Map<String, Value>,
    statements: Vec<Value>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            head: Map::from_iter([("Version".to_owned(), VERSION.into())]),
            statements: Vec::new(),
        }
    }
}

/// The only version in which policy variables work; a document without one counts as of 2008-10-17.
const VERSION: &str = "2012-10-17";

impl Document {
    /// Reads a document, percent-encoded (as IAM answers) or plain (as S3 and Lambda do). `operation` is named in the
    /// failure, which AWS itself gives no reason for.
    pub fn parse(text: &str, operation: &str) -> Result<Self, Failure> {
        let unreadable = || incomplete(operation, "readable policy document");
        // A plain document may well have a per cent sign inside; an encoded one begins with that of `%7B`.
        let text = if text.trim_start().starts_with('{') {
            Cow::Borrowed(text)
        } else {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| unreadable())?
        };
        let mut head: Map<String, Value> = serde_json::from_str(&text).map_err(|_| unreadable())?;
        let statements = match head.shift_remove("Statement") {
            None => Vec::new(),
            Some(Value::Array(statements)) => statements,
            Some(statement) => vec![statement],
        };
        Ok(Self { head, statements })
    }

    /// A document of these statements alone.
    pub fn of(statements: &Statements) -> Self {
        Self::default().with(|_| true, statements)
    }

    /// The raw statements, in their order.
    pub fn raw(&self) -> &[Value] {
        &self.statements
    }

    /// Whether it has no statement (AWS refuses to store such a one).
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The statements whose Sid `select` accepts, by that Sid. One without a Sid, or with one that is taken, is called
    /// `#<position>`, which no Sid can be.
    pub fn typed(&self, select: impl Fn(&str) -> bool) -> Statements {
        let mut typed = Statements::new();
        for (position, raw) in self.statements.iter().enumerate() {
            if !select(sid(raw)) {
                continue;
            }
            let name = match sid(raw) {
                "" => format!("#{position}"),
                taken if typed.contains_key(taken) => format!("#{position}"),
                free => free.to_owned(),
            };
            typed.insert(name, Statement::from_json(raw));
        }
        typed
    }

    /// This document with `statements` in the place of those whose Sid `ours` accepts; all others stay as they are,
    /// and in their order.
    #[must_use]
    pub fn with(mut self, ours: impl Fn(&str) -> bool, statements: &Statements) -> Self {
        self.statements.retain(|raw| !ours(sid(raw)));
        let added = statements
            .iter()
            .map(|(sid, statement)| statement.to_json(sid));
        self.statements.extend(added);
        self
    }
}

/// The document as JSON text.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut document = self.head.clone();
        document.insert("Statement".into(), self.statements.clone().into());
        write!(f, "{}", Value::Object(document))
    }
}

/// The Sid of a raw statement; empty where it has none.
pub fn sid(raw: &Value) -> &str {
    raw.get("Sid").and_then(Value::as_str).unwrap_or_default()
}

impl Statement {
    /// The typed view of a raw statement.
    ///
    /// What this type has no words for (`NotAction`, two principals at once, …) becomes a statement that equals none a
    /// topology could want: its only condition holds the raw text.
    pub fn from_json(raw: &Value) -> Self {
        Self::understood(raw).unwrap_or_else(|| Self {
            effect: Effect::Deny,
            principal: None,
            actions: BTreeSet::new(),
            resources: BTreeSet::new(),
            conditions: BTreeMap::from([(
                "NotUnderstood".to_owned(),
                BTreeMap::from([("statement".to_owned(), [raw.to_string().into()].into())]),
            )]),
        })
    }

    fn understood(raw: &Value) -> Option<Self> {
        let mut statement = Self {
            effect: Effect::Deny,
            principal: None,
            actions: BTreeSet::new(),
            resources: BTreeSet::new(),
            conditions: BTreeMap::new(),
        };
        for (key, value) in raw.as_object()? {
            match key.as_str() {
                "Sid" => {}
                "Effect" => statement.effect = Effect::deserialize(value).ok()?,
                "Principal" => statement.principal = Some(principal(value)?),
                "Action" => statement.actions = one_or_list(value)?.into_iter().collect(),
                "Resource" => statement.resources = inputs(value)?,
                "Condition" => statement.conditions = conditions(value)?,
                _ => return None,
            }
        }
        Some(statement)
    }

    /// As JSON, named `sid`. References must be resolved.
    pub fn to_json(&self, sid: &str) -> Value {
        let mut json = Map::from_iter([
            ("Sid".to_owned(), sid.into()),
            ("Effect".to_owned(), json!(self.effect)),
        ]);
        match &self.principal {
            None => {}
            Some(Principal::Anyone) => {
                json.insert("Principal".into(), "*".into());
            }
            Some(Principal::Service(service)) => {
                json.insert("Principal".into(), json!({ "Service": service }));
            }
            Some(Principal::Aws(arn)) => {
                json.insert("Principal".into(), json!({ "AWS": arn }));
            }
        }
        json.insert("Action".into(), json!(self.actions));
        // A trust policy's statement speaks of the role it belongs to, and may name no resource.
        if !self.resources.is_empty() {
            json.insert("Resource".into(), json!(self.resources));
        }
        if !self.conditions.is_empty() {
            json.insert("Condition".into(), json!(self.conditions));
        }
        json.into()
    }
}

fn principal(value: &Value) -> Option<Principal> {
    if value == "*" {
        return Some(Principal::Anyone);
    }
    let mut kinds = value.as_object()?.iter();
    let (kind, who) = kinds.next()?;
    let who = one_or_list(who)?;
    let ([who], None) = (who.as_slice(), kinds.next()) else {
        return None;
    };
    match (kind.as_str(), who.as_str()) {
        ("AWS", "*") => Some(Principal::Anyone),
        // An account may be named by its number, and comes back as its root.
        ("AWS", account) if account.bytes().all(|byte| byte.is_ascii_digit()) => Some(
            Principal::Aws(format!("arn:aws:iam::{account}:root").into()),
        ),
        ("AWS", arn) => Some(Principal::Aws(arn.into())),
        ("Service", service) => Some(Principal::Service(service.to_owned())),
        _ => None,
    }
}

fn conditions(value: &Value) -> Option<BTreeMap<String, BTreeMap<String, BTreeSet<Input>>>> {
    value
        .as_object()?
        .iter()
        .map(|(operator, keys)| {
            let keys = keys
                .as_object()?
                .iter()
                .map(|(key, values)| Some((key.clone(), inputs(values)?)))
                .collect::<Option<_>>()?;
            Some((operator.clone(), keys))
        })
        .collect()
}

fn inputs(value: &Value) -> Option<BTreeSet<Input>> {
    Some(one_or_list(value)?.into_iter().map(Input::Known).collect())
}

/// A value, or a list of them; booleans and numbers are their text to IAM.
fn one_or_list(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Some(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(text, "iam:GetRole").expect("a readable document")
    }

    fn ours() -> Statements {
        let statement = Statement {
            effect: Effect::Allow,
            principal: Some(Principal::Service("cloudfront.amazonaws.com".into())),
            actions: BTreeSet::from(["s3:GetObject".into()]),
            resources: BTreeSet::from(["arn:aws:s3:::shop/*".into()]),
            conditions: BTreeMap::from([(
                "StringEquals".into(),
                BTreeMap::from([(
                    "aws:SourceArn".into(),
                    BTreeSet::from(["arn:aws:cloudfront::1:distribution/E1".into()]),
                )]),
            )]),
        };
        Statements::from([("MultiRegionRead".into(), statement)])
    }

    #[test]
    fn a_printed_document_reads_back_the_same() {
        let document = Document::of(&ours());
        assert_eq!(parse(&document.to_string()).typed(|_| true), ours());
    }

    #[test]
    fn one_or_list_and_order_and_encoding_make_no_difference() {
        let encoded = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Sid%22%3A%22A%22%2C\
             %22Effect%22%3A%22Allow%22%2C%22Action%22%3A%5B%22s3%3AGetObject%22%2C%22s3%3AListBucket%22%5D%2C\
             %22Resource%22%3A%22arn%3Aaws%3As3%3A%3A%3Ab%2F%2A%22%7D%7D";
        let plain = r#"{"Statement":[{"Effect":"Allow","Resource":["arn:aws:s3:::b/*"],
            "Action":["s3:ListBucket","s3:GetObject"],"Sid":"A"}],"Version":"2012-10-17"}"#;
        assert_eq!(parse(encoded).typed(|_| true), parse(plain).typed(|_| true));
    }

    #[test]
    fn a_per_cent_sign_in_a_plain_document_is_itself() {
        let document = parse(
            r#"{"Statement":{"Sid":"A","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/100%25"}}"#,
        );
        let resources = &document.typed(|_| true)["A"].resources;
        assert_eq!(
            resources,
            &BTreeSet::from([Input::from("arn:aws:s3:::b/100%25")])
        );
    }

    #[test]
    fn principals_have_several_spellings() {
        let of = |principal: &str| {
            let text = format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"a:b"}}"#);
            Statement::from_json(&serde_json::from_str(&text).expect("JSON")).principal
        };
        assert_eq!(of(r#""*""#), Some(Principal::Anyone));
        assert_eq!(of(r#"{"AWS":"*"}"#), Some(Principal::Anyone));
        assert_eq!(of(r#"{"AWS":["*"]}"#), Some(Principal::Anyone));
        let root = Principal::Aws("arn:aws:iam::123456789012:root".into());
        assert_eq!(of(r#"{"AWS":"123456789012"}"#), Some(root));
        let service = Principal::Service("s3.amazonaws.com".into());
        assert_eq!(of(r#"{"Service":["s3.amazonaws.com"]}"#), Some(service));
    }

    #[test]
    fn booleans_and_numbers_are_their_text() {
        let bare = r#"{"Statement":{"Sid":"A","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*",
            "Condition":{"Bool":{"aws:SecureTransport":false}}}}"#;
        let quoted = bare.replace("false", r#"["false"]"#);
        assert_eq!(parse(bare).typed(|_| true), parse(&quoted).typed(|_| true));
    }

    #[test]
    fn what_the_type_has_no_words_for_equals_nothing_wanted() {
        for extra in [
            r#""NotPrincipal":{"AWS":"1"}"#,
            r#""NotAction":"s3:GetObject""#,
            r#""Principal":{"AWS":["arn:a","arn:b"]}"#,
            r#""Principal":{"AWS":"arn:a","Service":"s"}"#,
            r#""Principal":{"CanonicalUser":"c"}"#,
        ] {
            let text = format!(
                r#"{{"Sid":"A","Effect":"Allow","Action":"s3:GetObject","Resource":"*",{extra}}}"#
            );
            let raw: Value = serde_json::from_str(&text).expect("JSON");
            let seen = Statement::from_json(&raw);
            assert!(seen.conditions.contains_key("NotUnderstood"), "{extra}");
        }
    }

    #[test]
    fn statements_without_a_name_or_with_a_taken_one_are_seen_all_the_same() {
        let statement = r#""Effect":"Allow","Action":"a:b","Resource":"*""#;
        let document = parse(&format!(
            r#"{{"Statement":[{{{statement}}},{{"Sid":"A",{statement}}},{{"Sid":"A",{statement}}}]}}"#
        ));
        let typed = document.typed(|_| true);
        let names: Vec<&str> = typed.keys().map(String::as_str).collect();
        assert_eq!(names, ["#0", "#2", "A"]);
    }

    #[test]
    fn others_statements_go_back_to_the_letter() {
        let theirs = r#"{"Version":"2008-10-17","Id":"Theirs","Statement":[{"Sid":"Lockdown","Effect":"Deny","NotPrincipal":{"AWS":["b","a"]},"Action":"s3:*","Resource":"*","Condition":{"Bool":{"x":true}}},{"Sid":"MultiRegionOld","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Principal":{"AWS":"1"},"Action":"s3:GetObject","Resource":"*"}]}"#;
        let is_ours = |sid: &str| sid.starts_with("MultiRegion");
        let merged = parse(theirs).with(is_ours, &ours());
        assert_eq!(merged.typed(is_ours), ours());
        let without = merged.with(is_ours, &Statements::new());
        let expected = parse(theirs);
        assert_eq!(
            without.raw(),
            [expected.raw()[0].clone(), expected.raw()[2].clone()]
        );
        assert!(without.to_string().starts_with(
            r#"{"Version":"2008-10-17","Id":"Theirs","Statement":[{"Sid":"Lockdown","Effect":"Deny","NotPrincipal":{"AWS":["b","a"]}"#
        ));
    }

    #[test]
    fn an_unreadable_document_is_a_failure_that_names_the_operation() {
        let failure = Document::parse("no", "iam:GetRole").expect_err("not a policy");
        assert_eq!(failure.operation, "iam:GetRole");
    }
}
