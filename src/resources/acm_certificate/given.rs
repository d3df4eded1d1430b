//! A certificate that the user names by its ARN: read, and refused with what to do where CloudFront would not take it.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_acm::types;

use super::{Config, detail_of, pairs, read_tags, seen};
use crate::aws::{Pass, US_EAST_1};
use crate::model::{Failure, FailureKind, Owner, Phase, ResourceId};
use crate::resources::{Seen, Tags, found};

/// For so long quick passes go by the tags that were read last: by them nothing comes to be another's from one pass to
/// the next.
const TAGS_KEPT: Duration = Duration::from_secs(3600);

/// Whether `id` names a certificate by its ARN.
pub(super) fn is_given(id: &ResourceId) -> bool {
    id.name.starts_with("arn:")
}

pub(super) async fn observe(
    pass: &Pass,
    id: &ResourceId,
    wanted: Option<Config>,
) -> Result<Option<Seen<Config>>, Failure> {
    let arn = &id.name;
    let region = arn.split(':').nth(3).unwrap_or_default();
    if region != US_EAST_1 {
        return Err(unfit(format!(
            "{arn} is in {region}; CloudFront reads certificates in us-east-1 only: request or import it there"
        )));
    }
    let Some(detail) = found(detail_of(pass, arn).await)? else {
        return Err(unfit(format!(
            "{arn} does not exist; correct domain.certificateARN, or leave it out to have one requested"
        )));
    };
    let mut seen = seen(&detail, arn);
    if seen.phase != Phase::Ready {
        let status = detail
            .status()
            .map_or("not known", |status| status.as_str());
        return Err(unfit(format!(
            "{arn} is {status}, not ISSUED; finish its validation, or name another one"
        )));
    }
    if let Some(Config { domain_name, .. }) = wanted {
        if !names(&detail).any(|name| covers(name, &domain_name)) {
            // ACM repeats the domain among the alternative names.
            let names: Vec<&str> = BTreeSet::from_iter(names(&detail)).into_iter().collect();
            let names = names.join(", ");
            return Err(unfit(format!(
                "{arn} is for {names}, which does not cover {domain_name}; name one that does"
            )));
        }
        seen.config.domain_name = domain_name;
        not_anothers(pass, arn).await?;
    }
    Ok(Some(seen))
}

/// A certificate that the operator requested for another app goes with that app, and is not lent.
async fn not_anothers(pass: &Pass, arn: &str) -> Result<(), Failure> {
    let key = format!("acm:tags/{arn}");
    let known = pass.aws().recall::<Tags>(&key, TAGS_KEPT);
    let tags = match known.filter(|_| !pass.every_facet()) {
        Some(known) => known.as_ref().clone(),
        None => read_tags(pass, arn).await?,
    };
    let owner = pass.owner_by_tags(pairs(&tags));
    pass.aws().remember(key, tags);
    match owner {
        Owner::Other(other) => Err(Failure {
            kind: FailureKind::Foreign,
            operation: "acm:ListTagsForCertificate".into(),
            code: "CertificateOfAnother".into(),
            message: format!(
                "{arn} was requested for {other}; name another one, or leave domain.certificateARN out to have one requested"
            ),
        }),
        Owner::Ours | Owner::Nobody => Ok(()),
    }
}

fn unfit(message: String) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        operation: "acm:DescribeCertificate".into(),
        code: "CertificateUnfit".into(),
        message,
    }
}

fn names(detail: &types::CertificateDetail) -> impl Iterator<Item = &str> {
    let others = detail.subject_alternative_names().iter();
    detail
        .domain_name()
        .into_iter()
        .chain(others.map(String::as_str))
}

/// A wildcard stands for exactly one label.
fn covers(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_lowercase(), domain.to_lowercase());
    name == domain
        || name.strip_prefix("*.").is_some_and(|suffix| {
            domain
                .split_once('.')
                .is_some_and(|(_, rest)| rest == suffix)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label() {
        for (name, domain, expected) in [
            ("shop.example.com", "shop.example.com", true),
            ("Shop.Example.com", "shop.example.com", true),
            ("*.example.com", "shop.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.shop.example.com", false),
            ("example.com", "shop.example.com", false),
        ] {
            assert_eq!(covers(name, domain), expected, "{name} for {domain}");
        }
    }
}
