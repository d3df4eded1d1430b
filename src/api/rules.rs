//! CEL rules: those at the root, about the prefix of all names, and those that several fields share.
//!
//! Each message says what to change. Patterns are rules, not `pattern`, because the server's own words about those do not.

use kube::core::{Message, Rule};
use serde_json::{Value, json};

/// The prefix of all AWS names, in CEL. `has()` and not `.?orValue()`: the cost of an optional cannot be bounded.
macro_rules! prefix {
    ($object:literal) => {
        concat!(
            "(has(",
            $object,
            ".spec.resourcePrefix) ? ",
            $object,
            ".spec.resourcePrefix : ",
            $object,
            ".metadata.name)"
        )
    };
}

/// The prefix is one that every AWS name built from it may start with.
pub(super) fn prefix_is_valid() -> Rule {
    prefix_rule(
        concat!(prefix!("self"), ".matches('^[a-z0-9]([a-z0-9-]{1,18}[a-z0-9])$')"),
        Message::Expression(
            concat!(
                "'prefix \"' + ",
                prefix!("self"),
                " + '\" of all AWS names must be 3 to 20 lower case letters, digits and dashes, without a dash at either end: ",
                "set spec.resourcePrefix'"
            )
            .into(),
        ),
    )
}

/// The prefix never changes: AWS names cannot.
pub(super) fn prefix_is_immutable() -> Rule {
    prefix_rule(
        concat!(prefix!("self"), " == ", prefix!("oldSelf")),
        Message::Expression(
            concat!(
                "'the prefix of all AWS names cannot change: leave it at \"' + ",
                prefix!("oldSelf"),
                " + '\", or create another app'"
            )
            .into(),
        ),
    )
}

/// The longest name, `<prefix>-lambda-deployments-<account>-<region>`, fits a bucket's 63 characters in the primary region.
pub(super) fn prefix_fits_primary() -> Rule {
    prefix_rule(
        concat!(
            "size(",
            prefix!("self"),
            ") + size(self.spec.regions.primary) <= 30"
        ),
        Message::Message(prefix_too_long("regions.primary")),
    )
}

/// The same in the DR region.
pub(super) fn prefix_fits_dr() -> Rule {
    prefix_rule(
        concat!(
            "!has(self.spec.regions.dr) || size(",
            prefix!("self"),
            ") + size(self.spec.regions.dr) <= 30"
        ),
        Message::Message(prefix_too_long("regions.dr")),
    )
}

/// The region that takes the writes cannot be taken away; only the status knows of a move.
pub(super) fn dr_stays_while_it_takes_writes() -> Rule {
    Rule::new(
        "has(self.spec.regions.dr) || !has(oldSelf.spec.regions.dr) || !has(self.status) || \
         !has(self.status.writer) || self.status.writer.active != 'DR'",
    )
    .message(Message::Message(
        "regions.dr takes the writes now: move them to the primary first (annotation multiregion.dev/failback)".into(),
    ))
    .field_path(".spec.regions.dr")
}

fn prefix_too_long(region: &str) -> String {
    format!(
        "the prefix of all AWS names and {region} have at most 30 characters together, as bucket names have 63: set a shorter spec.resourcePrefix"
    )
}

fn prefix_rule(rule: &str, message: Message) -> Rule {
    Rule::new(rule)
        .message(message)
        .field_path(".spec.resourcePrefix")
}

/// CEL rules with their messages, as an extension of a schema.
pub(super) fn rules<const N: usize>(rules: [(&str, &str); N]) -> Value {
    rules
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .to_vec()
        .into()
}

/// Items of an atomic list are unique. (A set would be, but could not lose its defaults.)
pub(super) const UNIQUE: (&str, &str) = (
    "self.all(a, self.exists_one(b, b == a))",
    "each entry may be there once: take out the repeated one",
);

/// Names of cookies and headers are tokens of RFC 9110.
pub(super) const TOKENS: &str = "self.all(n, n.matches(\"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$\"))";

/// The commercial regions of today. CloudFront, its certificates and global tables end at the partition, so others are refused.
pub(super) fn region_rule() -> Value {
    rules([(
        "self.matches('^(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]$')",
        "must be a region of the partition aws, such as us-east-1: China, GovCloud and isolated regions are not supported",
    )])
}

/// What CloudFront takes as a path pattern, and what would hide the default behaviour.
pub(super) fn path_rules() -> Value {
    rules([
        UNIQUE,
        (
            "self.all(p, p.matches('^/[A-Za-z0-9_.*$/~\"@:+&?-]*$'))",
            "a path pattern starts with / and has letters, digits, the wildcards * and ?, and _ - . $ / ~ \" @ : + &",
        ),
    ])
}
