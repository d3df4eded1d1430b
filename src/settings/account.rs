//! One entry: as whom, and within what bounds.

use serde::Deserialize;

use super::refused;
use crate::api::MultiRegionAppSpec;
use crate::aws::accounts::{Role, account_of_role};
use crate::model::Failure;

/// The account that a namespace acts in, and what it may do there. A bound that is absent allows everything, an empty
/// list nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The role to assume. Absent: the process's own identity.
    #[serde(default, rename = "roleARN")]
    pub role_arn: Option<String>,
    /// The external id that the role's trust policy asks for.
    #[serde(default, rename = "externalID")]
    pub external_id: Option<String>,
    /// How the sessions are called, as CloudTrail shows them. Absent: `multiregion`.
    #[serde(default, rename = "sessionName")]
    pub session_name: Option<String>,
    /// Names that apps may be served on: `shop.example.com` is that name, `*.example.com` every name below it.
    #[serde(default, rename = "allowedDomains")]
    pub allowed_domains: Option<Vec<String>>,
    /// Prefixes that apps may have: `shop` is that one, `shop-*` every one that begins so.
    #[serde(default, rename = "allowedPrefixes")]
    pub allowed_prefixes: Option<Vec<String>>,
    /// Web ACLs that apps may name.
    #[serde(default, rename = "allowedWebACLARNs")]
    pub allowed_web_acl_arns: Option<Vec<String>>,
    /// The policy that bounds every role the operator makes for these apps. Absent: roles keep what they have.
    #[serde(default, rename = "permissionsBoundaryARN")]
    pub permissions_boundary_arn: Option<String>,
}

impl Account {
    /// The role to assume, if another than the process's own identity.
    pub fn role(&self) -> Option<Role> {
        Some(Role {
            arn: self.role_arn.clone()?,
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
        })
    }

    /// Whether the app `name` with this spec keeps within the bounds.
    ///
    /// # Errors
    /// `NotAllowed` with the first bound that it does not keep.
    pub fn admits(&self, name: &str, spec: &MultiRegionAppSpec) -> Result<(), Failure> {
        let prefix = spec.resource_prefix.as_deref().unwrap_or(name);
        within(&self.allowed_prefixes, prefix, prefix_matches).map_err(|allowed| {
            refused(
                "PrefixNotAllowed",
                format!(
                    "the prefix {prefix} is not allowed in this namespace: have it entered in allowedPrefixes of the \
                     operator's configuration, or make an app with another resourcePrefix (allowed: {allowed})"
                ),
            )
        })?;
        // An empty name stands for none.
        let domain = spec.domain.as_ref().map(|domain| domain.name.as_str());
        if let Some(domain) = domain.filter(|domain| !domain.is_empty()) {
            within(&self.allowed_domains, domain, domain_matches).map_err(|allowed| {
                refused(
                    "DomainNotAllowed",
                    format!(
                        "the domain {domain} is not allowed in this namespace: have it entered in allowedDomains of the \
                         operator's configuration, or choose another domain.name (allowed: {allowed})"
                    ),
                )
            })?;
        }
        if let Some(arn) = &spec.cdn.web_acl_arn {
            within(&self.allowed_web_acl_arns, arn, |allowed, arn| allowed == arn).map_err(
                |allowed| {
                    refused(
                        "WebACLNotAllowed",
                        format!(
                            "the web ACL {arn} is not allowed in this namespace: have it entered in allowedWebACLARNs of \
                             the operator's configuration, or choose another cdn.webACLARN (allowed: {allowed})"
                        ),
                    )
                },
            )?;
        }
        Ok(())
    }

    /// What is wrong with the values, each with its path below `path`.
    pub(super) fn problems(&self, path: &str, problems: &mut Vec<String>) {
        let mut check = |field: &str, value: &Option<String>, fits: Fits, what: &str| {
            if value.as_deref().is_some_and(|value| !fits(value)) {
                problems.push(format!("{path}.{field}: is not {what}"));
            }
        };
        check(
            "roleARN",
            &self.role_arn,
            |arn| account_of_role(arn).is_some(),
            "the ARN of a role, as in arn:aws:iam::123456789012:role/multiregion",
        );
        check(
            "externalID",
            &self.external_id,
            |id| {
                (2..=1224).contains(&id.len())
                    && id.chars().all(|one| is_word(one) || "/:".contains(one))
            },
            "2 to 1,224 letters, digits and characters of _+=,.@-:/",
        );
        check(
            "sessionName",
            &self.session_name,
            |name| (2..=64).contains(&name.len()) && name.chars().all(is_word),
            "2 to 64 letters, digits and characters of _+=,.@-",
        );
        check(
            "permissionsBoundaryARN",
            &self.permissions_boundary_arn,
            is_policy_arn,
            "the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/boundary",
        );
        if self.role_arn.is_none() {
            let of_a_role = [
                ("externalID", &self.external_id),
                ("sessionName", &self.session_name),
            ];
            for (field, _) in of_a_role.iter().filter(|(_, value)| value.is_some()) {
                problems.push(format!("{path}.{field}: means nothing without roleARN"));
            }
        }
        let lists: [(_, _, Fits, _); 3] = [
            (
                "allowedDomains",
                &self.allowed_domains,
                |pattern| is_domain(pattern.strip_prefix("*.").unwrap_or(pattern)),
                "a domain in lower case, or *. and a domain",
            ),
            (
                "allowedPrefixes",
                &self.allowed_prefixes,
                |pattern| is_prefix(pattern.strip_suffix('*').unwrap_or(pattern)),
                "a prefix (lower case letters, digits, dashes), or its beginning and a *",
            ),
            (
                "allowedWebACLARNs",
                &self.allowed_web_acl_arns,
                |arn| arn.starts_with("arn:aws:wafv2:us-east-1:"),
                "the ARN of a web ACL for CloudFront, which are in us-east-1",
            ),
        ];
        for (field, list, fits, what) in lists {
            for (index, _) in list
                .iter()
                .flatten()
                .enumerate()
                .filter(|(_, value)| !fits(value))
            {
                problems.push(format!("{path}.{field}[{index}]: is not {what}"));
            }
        }
    }
}

/// Whether a value can be one of its field.
type Fits = fn(&str) -> bool;

/// Whether one of the `allowed` fits; else all of them, as a text.
fn within(
    allowed: &Option<Vec<String>>,
    value: &str,
    fits: impl Fn(&str, &str) -> bool,
) -> Result<(), String> {
    match allowed {
        None => Ok(()),
        Some(allowed) if allowed.iter().any(|pattern| fits(pattern, value)) => Ok(()),
        Some(allowed) if allowed.is_empty() => Err("none".into()),
        Some(allowed) => Err(allowed.join(", ")),
    }
}

fn prefix_matches(pattern: &str, prefix: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == prefix, |beginning| prefix.starts_with(beginning))
}

/// Names compare without case and trailing dot, as DNS does.
fn domain_matches(pattern: &str, domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        // The dot goes along, so that `notexample.com` is not below `example.com`.
        Some(suffix) => domain.len() > suffix.len() && domain.ends_with(suffix),
        None => domain == pattern,
    }
}

/// `\w` and the further characters that STS takes in every word.
fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter)
}

fn is_policy_arn(arn: &str) -> bool {
    let Some((account, policy)) = arn
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":policy/"))
    else {
        return false;
    };
    // AWS's own policies are in an account called `aws`.
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (digits || account == "aws") && !policy.is_empty()
}

/// One label of a DNS name, which a namespace's name is too.
pub(super) fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_domain(domain: &str) -> bool {
    domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label)
}

/// A prefix or the beginning of one, which may be empty: then any will do.
fn is_prefix(beginning: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    beginning.len() <= 20 && beginning.bytes().all(inside)
}
