use serde_json::json;

use super::*;
use crate::api::MultiRegionAppSpec;

const FULL: &str = r#"
accounts:
  default: Refuse
  namespaces:
    web:
      roleARN: arn:aws:iam::111122223333:role/multiregion
      externalID: web-7f3a
      sessionName: multiregion-web
      allowedDomains: [example.com, "*.example.com"]
      allowedPrefixes: [shop, "blog-*"]
      allowedWebACLARNs: ["arn:aws:wafv2:us-east-1:111122223333:global/webacl/front/1"]
      permissionsBoundaryARN: arn:aws:iam::111122223333:policy/apps
    own: {}
"#;

fn refusal(text: &str) -> Vec<String> {
    Settings::parse(text).expect_err("it is refused")
}

fn spec(fields: &serde_json::Value) -> MultiRegionAppSpec {
    let mut spec = json!({"regions": {"primary": "us-east-1"}, "tables": [{"name": "visits"}]});
    let more = fields.as_object().expect("fields");
    spec.as_object_mut().expect("fields").extend(more.clone());
    serde_json::from_value(spec).expect("a spec")
}

#[test]
fn each_namespace_has_its_own_account_and_one_without_is_refused() {
    let settings = Settings::parse(FULL).expect("it is read");
    let role = settings.account("web").expect("it has one").role();
    let role = role.expect("a role is assumed");
    assert_eq!(role.arn, "arn:aws:iam::111122223333:role/multiregion");
    assert_eq!(role.external_id.as_deref(), Some("web-7f3a"));
    assert_eq!(role.session_name.as_deref(), Some("multiregion-web"));
    assert_eq!(settings.account("own").expect("it has one").role(), None);
    let refused = settings.account("other").expect_err("it has none");
    assert_eq!(refused.kind, FailureKind::NotAllowed);
    assert!(refused.message.contains("namespace other"), "{refused}");
}

#[test]
fn without_a_file_or_with_an_empty_one_all_act_as_the_process_does() {
    for settings in [
        Settings::read(None).expect("nothing is read"),
        Settings::parse("").expect("it is read"),
        Settings::parse("# nothing\n").expect("it is read"),
        Settings::parse("accounts: {}").expect("it is read"),
    ] {
        assert_eq!(settings, Settings::default());
        let account = settings.account("any").expect("all have it");
        assert_eq!(account.role(), None);
        assert_eq!(account.admits("shop", &spec(&json!({}))), Ok(()));
    }
}

#[test]
fn an_entry_takes_nothing_over_from_the_default() {
    let text = "accounts: {default: {allowedPrefixes: [a]}, namespaces: {web: {}}}";
    let settings = Settings::parse(text).expect("it is read");
    let admits = |namespace: &str| {
        let account = settings.account(namespace).expect("all have one");
        account.admits("shop", &spec(&json!({}))).is_ok()
    };
    assert!(admits("web"));
    assert!(!admits("other"));
}

#[test]
fn what_is_wrong_is_told_with_the_path_of_the_field() {
    for (text, path, words) in [
        ("acounts: {}", "acounts", "unknown field"),
        (
            "accounts: {namespace: {}}",
            "accounts.namespace",
            "unknown field",
        ),
        (
            "accounts: {default: refuse}",
            "accounts.default",
            "the word Refuse",
        ),
        (
            "accounts: {default: {role: x}}",
            "accounts.default.role",
            "unknown field",
        ),
        (
            "accounts: {namespaces: {web: {roleArn: x}}}",
            "accounts.namespaces.web.roleArn",
            "unknown field",
        ),
        (
            "accounts: {namespaces: {web: {externalID: 12}}}",
            "accounts.namespaces.web.externalID",
            "expected a string",
        ),
        (
            "accounts: {namespaces: {web: {allowedDomains: example.com}}}",
            "accounts.namespaces.web.allowedDomains",
            "expected a sequence",
        ),
        (
            "accounts: {namespaces: {web: {roleARN: \"arn:aws:iam::1:role/x\"}}}",
            "accounts.namespaces.web.roleARN",
            "the ARN of a role",
        ),
        (
            "accounts: {namespaces: {web: {externalID: abc}}}",
            "accounts.namespaces.web.externalID",
            "without roleARN",
        ),
        (
            "accounts: {default: {roleARN: \"arn:aws:iam::111122223333:role/x\", sessionName: a b}}",
            "accounts.default.sessionName",
            "2 to 64 letters",
        ),
        (
            "accounts: {namespaces: {web: {allowedDomains: [example.com, \"*example.com\"]}}}",
            "accounts.namespaces.web.allowedDomains[1]",
            "a domain in lower case",
        ),
        (
            "accounts: {namespaces: {web: {allowedPrefixes: [\"shop-**\"]}}}",
            "accounts.namespaces.web.allowedPrefixes[0]",
            "a prefix",
        ),
        (
            "accounts: {namespaces: {web: {allowedWebACLARNs: [\"arn:aws:wafv2:eu-west-1:1:x\"]}}}",
            "accounts.namespaces.web.allowedWebACLARNs[0]",
            "us-east-1",
        ),
        (
            "accounts: {namespaces: {web: {permissionsBoundaryARN: \"arn:aws:iam::1:policy/x\"}}}",
            "accounts.namespaces.web.permissionsBoundaryARN",
            "a managed policy",
        ),
        (
            "accounts: {namespaces: {Web: {}}}",
            "accounts.namespaces.Web",
            "no namespace",
        ),
    ] {
        let problems = refusal(text);
        let told = problems
            .iter()
            .any(|problem| problem.starts_with(&format!("{path}: ")) && problem.contains(words));
        assert!(told, "{text}: {problems:?}");
    }
    assert!(refusal("accounts: [")[0].starts_with("not YAML: "));
    let twice = refusal("accounts: {namespaces: {web: {}, web: {}}}");
    assert!(twice[0].contains("duplicate"), "{twice:?}");
}

#[test]
fn bounds_admit_what_they_name_and_nothing_else() {
    let settings = Settings::parse(FULL).expect("it is read");
    let account = settings.account("web").expect("it has one");
    let domain = |name: &str| json!({"domain": {"name": name}});
    let acl = |id: &str| {
        let arn = format!("arn:aws:wafv2:us-east-1:111122223333:global/webacl/front/{id}");
        json!({"cdn": {"webACLARN": arn}})
    };
    for (name, fields, code) in [
        ("shop", json!({}), None),
        ("shop-primary", json!({}), Some("PrefixNotAllowed")),
        ("sho", json!({}), Some("PrefixNotAllowed")),
        ("any", json!({"resourcePrefix": "blog-2"}), None),
        (
            "shop",
            json!({"resourcePrefix": "blog"}),
            Some("PrefixNotAllowed"),
        ),
        ("shop", domain("example.com"), None),
        ("shop", domain("a.b.example.com"), None),
        ("shop", domain("Shop.Example.com"), None),
        ("shop", domain("notexample.com"), Some("DomainNotAllowed")),
        (
            "shop",
            domain("example.com.evil.net"),
            Some("DomainNotAllowed"),
        ),
        ("shop", domain("example.net"), Some("DomainNotAllowed")),
        ("shop", domain(""), None),
        ("shop", acl("1"), None),
        ("shop", acl("11"), Some("WebACLNotAllowed")),
    ] {
        let admitted = account.admits(name, &spec(&fields));
        let refused = admitted.err().map(|failure| failure.code);
        assert_eq!(refused.as_deref(), code, "{name} {fields}");
    }
}

#[test]
fn a_wildcard_does_not_stand_for_the_name_itself_and_an_empty_list_for_nothing() {
    let text = "accounts: {default: {allowedDomains: [\"*.example.com\"]}, namespaces: {web: {allowedDomains: []}}}";
    let settings = Settings::parse(text).expect("it is read");
    let admits = |namespace: &str, domain: &str| {
        let account = settings.account(namespace).expect("all have one");
        let spec = spec(&json!({"domain": {"name": domain}}));
        account
            .admits("shop", &spec)
            .map_err(|failure| failure.message)
    };
    assert!(admits("other", "example.com").is_err());
    assert!(admits("other", "shop.example.com").is_ok());
    let none = admits("web", "shop.example.com").expect_err("nothing is allowed");
    assert!(none.contains("allowed: none"), "{none}");
}

#[test]
fn the_configuration_of_the_documentation_is_one() {
    let page = include_str!("../../docs/tenancy.md");
    let (_, rest) = page.split_once("```yaml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let settings = Settings::parse(example).expect("it is read");
    let web = settings.account("web").expect("it has one");
    assert_eq!(settings.account("other").ok(), None);
    let values = format!("{web:?}");
    assert!(!values.contains("None"), "every field is shown: {values}");
    let error =
        refusal("accounts: {namespaces: {web: {allowedDomains: [example.com, \"*example.com\"]}}}");
    assert!(page.contains(&error[0]), "{error:?}");
}
