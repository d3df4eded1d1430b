//! A certificate in us-east-1, where CloudFront looks for them, validated by DNS.
//!
//! Named by its domain it is ours; named by an ARN it is the user's, and only read. An account may have any number of
//! certificates of one domain, so ours are those with our tags.

mod given;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_acm::types;
use serde::{Deserialize, Serialize};

use super::{Action, Hint, Kind, Seen, Tags, found, incomplete, request_token};
use crate::aws::{Pass, US_EAST_1, error, shared};
use crate::model::{DataPolicy, Deleted, Failure, Owner, Phase, ResourceId};

/// `acm_certificate`; its name is the domain, or the ARN of one that is only read.
pub struct Certificate;

/// Managed fields of a certificate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The domain it is for.
    pub domain_name: String,
    /// Owner's and user's tags; absent for a certificate that is only read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags: Option<Tags>,
}

/// Key of the account's certificates in [`Pass::once`].
const LIST: &str = "acm:ListCertificates";

#[async_trait]
impl Kind for Certificate {
    type Config = Config;

    const NAME: &'static str = "acm_certificate";
    /// `arn` is there only once CloudFront takes the certificate, `pending_arn` at all times; the validation record
    /// some seconds after the request, names without trailing dots.
    const OUTPUTS: &'static [&'static str] = &[
        "arn",
        "pending_arn",
        "validation_name",
        "validation_type",
        "validation_value",
    ];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution", "route53_record"];
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["acm:ListCertificates", "acm:RequestCertificate"]),
        Action::on(
            "arn:aws:acm:us-east-1:{account}:certificate/*",
            &[
                "acm:AddTagsToCertificate",
                "acm:DeleteCertificate",
                "acm:DescribeCertificate",
                "acm:ListTagsForCertificate",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        if given::is_given(id) {
            return given::observe(pass, id, hint.wanted).await;
        }
        let mut tags = None;
        let mut detail = None;
        if let Some(known) = &hint.known_id {
            // One that failed may have been followed by another.
            detail = found(detail_of(pass, known).await)?.filter(|detail| {
                detail.domain_name() == Some(&id.name) && rank(detail.status()) < FAILED
            });
        }
        if detail.is_none()
            && let Some((arn, its_tags)) = find(pass, &id.name).await?
        {
            detail = found(describe(pass, &arn).await)?;
            tags = Some(its_tags);
        }
        let Some(detail) = detail else {
            return Ok(None);
        };
        let arn = detail.certificate_arn().unwrap_or_default();
        if tags.is_none() && pass.every_facet() {
            tags = Some(read_tags(pass, arn).await?);
        }
        let mut seen = seen(&detail, arn);
        match tags {
            Some(tags) => {
                seen.owner = pass.owner_by_tags(pairs(&tags));
                seen.config.tags = Some(tags);
            }
            None => {
                seen.unread.insert("tags");
            }
        }
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let request = pass
            .clients(US_EAST_1)
            .acm
            .request_certificate()
            .domain_name(&desired.domain_name)
            .validation_method(types::ValidationMethod::Dns)
            .idempotency_token(request_token(pass, id))
            .set_tags(desired.tags.as_ref().map(tags))
            .send();
        let answer = pass
            .call("acm", "RequestCertificate", US_EAST_1, request)
            .await;
        forget_list(pass).await;
        let answer = answer?;
        let arn = answer
            .certificate_arn
            .ok_or_else(|| incomplete("acm:RequestCertificate", "CertificateArn"))?;
        // The answer is the ARN alone. ACM may not know it yet when it is asked for it at once.
        let mut seen = match describe(pass, &arn).await {
            Ok(detail) => seen(&detail, &arn),
            Err(_) => Seen {
                phase: Phase::Pending(VALIDATION.into()),
                ..Seen::ours(desired.clone(), &arn).output("pending_arn", &arn)
            },
        };
        seen.config = desired.clone();
        Ok(seen)
    }

    /// Only its tags can change: another domain is another certificate.
    async fn update(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        if changed.contains("tags") {
            let add = pass
                .clients(US_EAST_1)
                .acm
                .add_tags_to_certificate()
                .certificate_arn(&live.physical_id)
                .set_tags(desired.tags.as_ref().map(tags))
                .send();
            pass.call("acm", "AddTagsToCertificate", US_EAST_1, add)
                .await?;
        }
        Ok(Seen {
            config: desired.clone(),
            owner: Owner::Ours,
            ..live
        })
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        if given::is_given(id) {
            return Ok(Deleted::Retained("not made by the operator".into()));
        }
        let delete = pass
            .clients(US_EAST_1)
            .acm
            .delete_certificate()
            .certificate_arn(&live.physical_id)
            .send();
        let answer = pass
            .call("acm", "DeleteCertificate", US_EAST_1, delete)
            .await;
        forget_list(pass).await;
        match answer {
            // CloudFront lets go of it minutes after the distribution is gone.
            Err(failure) if error::is_in_use(&failure) => Ok(Deleted::Pending(failure.message)),
            answer => answer.map(|_| Deleted::Gone),
        }
    }
}

/// What a certificate waits for after the request.
const VALIDATION: &str = "DNS validation";

fn seen(detail: &types::CertificateDetail, arn: &str) -> Seen<Config> {
    let domain_name = detail.domain_name().unwrap_or_default();
    let config = Config {
        domain_name: domain_name.to_owned(),
        tags: None,
    };
    let mut seen = Seen::ours(config, arn).output("pending_arn", arn);
    let status = detail.status().map_or("none", |status| status.as_str());
    seen.phase = match detail.status() {
        Some(types::CertificateStatus::Issued) => Phase::Ready,
        Some(types::CertificateStatus::PendingValidation) => Phase::Pending(VALIDATION.into()),
        _ => Phase::Failed(match detail.failure_reason() {
            Some(reason) => format!("{status}: {}", reason.as_str()),
            None => status.to_owned(),
        }),
    };
    if seen.phase == Phase::Ready {
        seen = seen.output("arn", arn);
    }
    if let Some(record) = validation(detail, domain_name) {
        seen = seen
            .output("validation_name", undotted(record.name()))
            .output("validation_type", record.r#type().as_str())
            .output("validation_value", undotted(record.value()));
    }
    seen
}

/// The record that proves the domain; missing in the first seconds.
fn validation<'a>(
    detail: &'a types::CertificateDetail,
    domain_name: &str,
) -> Option<&'a types::ResourceRecord> {
    detail
        .domain_validation_options()
        .iter()
        .find(|option| option.domain_name() == domain_name)?
        .resource_record()
}

fn undotted(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// The validation record of our certificate of `domain`, as name and value.
pub(super) async fn validation_of_ours(
    pass: &Pass,
    domain: &str,
) -> Result<Option<(String, String)>, Failure> {
    let Some((arn, _)) = find(pass, domain).await? else {
        return Ok(None);
    };
    let detail = found(describe(pass, &arn).await)?;
    Ok(detail.as_ref().and_then(|detail| {
        let record = validation(detail, domain)?;
        Some((
            undotted(record.name()).to_owned(),
            undotted(record.value()).to_owned(),
        ))
    }))
}

/// The ARN of a certificate in us-east-1 that is not this app's and is validated by the same record as one of `domain`.
///
/// The record depends on the account and the domain alone, so that all certificates of a name share it; those of other
/// regions are not looked for.
pub(super) async fn other_of(pass: &Pass, domain: &str) -> Result<Option<String>, Failure> {
    let wildcard = format!("*.{domain}");
    let needs_record = |name: &str| name == domain || name == wildcard;
    for certificate in list(pass).await?.iter() {
        let names = certificate.subject_alternative_name_summaries();
        let mut names = names.iter().map(String::as_str);
        let named = certificate.domain_name().is_some_and(needs_record) || names.any(needs_record);
        let (true, Some(arn)) = (named, certificate.certificate_arn()) else {
            continue;
        };
        let tags = read_tags(pass, arn).await?;
        if pass.owner_by_tags(pairs(&tags)) != Owner::Ours {
            return Ok(Some(arn.to_owned()));
        }
    }
    Ok(None)
}

/// Our certificate of `domain` with its tags: of several the newest issued one, else the newest one that may be yet.
async fn find(pass: &Pass, domain: &str) -> Result<Option<(String, Tags)>, Failure> {
    let all = list(pass).await?;
    let mut of_domain: Vec<_> = all
        .iter()
        .filter(|certificate| certificate.domain_name() == Some(domain))
        .collect();
    of_domain.sort_by_key(|certificate| {
        (
            rank(certificate.status()),
            Reverse(certificate.created_at().map(|time| time.secs())),
        )
    });
    for certificate in of_domain {
        let arn = certificate.certificate_arn().unwrap_or_default();
        let tags = read_tags(pass, arn).await?;
        if pass.owner_by_tags(pairs(&tags)) == Owner::Ours {
            return Ok(Some((arn.to_owned(), tags)));
        }
    }
    Ok(None)
}

/// The rank of what will never be issued.
const FAILED: u8 = 2;

/// The better the lower.
fn rank(status: Option<&types::CertificateStatus>) -> u8 {
    match status {
        Some(types::CertificateStatus::Issued) => 0,
        Some(types::CertificateStatus::PendingValidation) => 1,
        _ => FAILED,
    }
}

/// All certificates of the account in us-east-1.
async fn list(pass: &Pass) -> Result<Arc<Vec<types::CertificateSummary>>, Failure> {
    let fetch = async { Ok(pages(pass, usize::MAX).await?.unwrap_or_default()) };
    pass.once(LIST, fetch).await
}

async fn forget_list(pass: &Pass) {
    pass.forget(LIST).await;
    pass.changed(&shared::CERTIFICATES, "");
}

/// All of them, unless they have more pages than `most`.
async fn pages(
    pass: &Pass,
    most: usize,
) -> Result<Option<Vec<types::CertificateSummary>>, Failure> {
    // Unless told otherwise ACM lists those with RSA keys of up to 2,048 bits only.
    let key_types = types::KeyAlgorithm::values()
        .iter()
        .map(|&name| name.into())
        .collect();
    let filters = types::Filters::builder()
        .set_key_types(Some(key_types))
        .build();
    let clients = pass.clients(US_EAST_1);
    let (mut certificates, mut token) = (Vec::new(), None);
    for _ in 0..most {
        let page = clients
            .acm
            .list_certificates()
            .includes(filters.clone())
            .set_next_token(token)
            .send();
        let page = pass
            .call("acm", "ListCertificates", US_EAST_1, page)
            .await?;
        certificates.extend(page.certificate_summary_list.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(Some(certificates));
        }
    }
    Ok(None)
}

/// The certificate; of one that is listed as issued what was described before, where a pass believes that.
async fn detail_of(pass: &Pass, arn: &str) -> Result<types::CertificateDetail, Failure> {
    let key = format!("acm:DescribeCertificate {arn}");
    let listed = pass
        .listed(&shared::CERTIFICATES, "", |most| pages(pass, most))
        .await?;
    let is_issued = listed.iter().flat_map(|all| all.iter()).any(|summary| {
        summary.certificate_arn() == Some(arn)
            && summary.status() == Some(&types::CertificateStatus::Issued)
    });
    if is_issued
        && let Some(known) = pass
            .aws()
            .recall::<types::CertificateDetail>(&key, shared::ISSUED_CERTIFICATES_KEPT)
    {
        return Ok(known.as_ref().clone());
    }
    let detail = describe(pass, arn).await?;
    if detail.status() == Some(&types::CertificateStatus::Issued) {
        pass.aws().remember(key, detail.clone());
    }
    Ok(detail)
}

async fn describe(pass: &Pass, arn: &str) -> Result<types::CertificateDetail, Failure> {
    let clients = pass.clients(US_EAST_1);
    let describe = clients
        .acm
        .describe_certificate()
        .certificate_arn(arn)
        .send();
    let answer = pass
        .call("acm", "DescribeCertificate", US_EAST_1, describe)
        .await?;
    answer
        .certificate
        .ok_or_else(|| incomplete("acm:DescribeCertificate", "Certificate"))
}

async fn read_tags(pass: &Pass, arn: &str) -> Result<Tags, Failure> {
    let clients = pass.clients(US_EAST_1);
    let list = clients
        .acm
        .list_tags_for_certificate()
        .certificate_arn(arn)
        .send();
    let answer = pass
        .call("acm", "ListTagsForCertificate", US_EAST_1, list)
        .await?;
    let tag = |tag: &types::Tag| {
        let value = tag.value().unwrap_or_default();
        (tag.key().to_owned(), value.to_owned())
    };
    Ok(answer.tags().iter().map(tag).collect())
}

fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> {
    tags.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
}

fn tags(tags: &Tags) -> Vec<types::Tag> {
    tags.iter()
        .map(|(key, value)| {
            types::Tag::builder()
                .key(key)
                .value(value)
                .build()
                .expect("a tag needs no more than its key")
        })
        .collect()
}
