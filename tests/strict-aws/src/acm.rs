//! ACM: a certificate waits for its validation record, which is made known late; one in use stays.
//!
//! The emulator issues every certificate at once; the proxy shows it as AWS would.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::call::Service;
use crate::exchange::{Answer, Exchange, Outcome, page_json, with_body};
use crate::refusal::Refusal;
use crate::services::Memory;
use crate::{cloudfront, route53, xml};

/// What the proxy remembers of certificates, by ARN.
#[derive(Default)]
pub(crate) struct State {
    requested: Memory<HashMap<String, Instant>>,
    /// When all records were first seen. Once issued, a certificate stays so.
    validated: Memory<HashMap<String, Instant>>,
    /// The ARNs of requests, by account, region and idempotency token.
    tokens: Memory<HashMap<String, (Value, String)>>,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let strict = &exchange.config.strict;
    match exchange.operation {
        "RequestCertificate" if strict.acm_validation => request(exchange).await,
        "DescribeCertificate" => describe(exchange).await,
        "ListCertificates" => list(exchange).await,
        "DeleteCertificate" if strict.acm_in_use => delete(exchange).await,
        _ => exchange.forward().await,
    }
}

/// The same token with the same names is the same request.
async fn request(exchange: &Exchange<'_>) -> Outcome {
    let body = exchange.json();
    let token = body["IdempotencyToken"].as_str().map(|token| {
        let names = json!([body["DomainName"], body["SubjectAlternativeNames"]]);
        (
            format!("{}/{}/{token}", exchange.account, exchange.region),
            names,
        )
    });
    if let Some((token, names)) = &token {
        let known = exchange.state.acm.tokens.lock().get(token).cloned();
        if let Some((_, arn)) = known.filter(|(known, _)| known == names)
            && certificate(exchange, exchange.region, &arn)
                .await?
                .is_some()
        {
            let mut answer = Answer::new(json!({"CertificateArn": arn}).to_string().into());
            let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
            answer.headers_mut().insert("content-type", json);
            return Ok(answer);
        }
    }
    let answer = exchange.forward().await?;
    let made: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if let Some(arn) = made["CertificateArn"].as_str() {
        exchange
            .state
            .acm
            .requested
            .lock()
            .insert(arn.to_owned(), Instant::now());
        if let Some((token, names)) = token {
            exchange
                .state
                .acm
                .tokens
                .lock()
                .insert(token, (names, arn.to_owned()));
        }
    }
    Ok(answer)
}

/// A certificate as AWS would describe it; `None` if there is none.
pub(crate) async fn certificate(
    exchange: &Exchange<'_>,
    region: &str,
    arn: &str,
) -> Outcome<Option<Value>> {
    let target = "CertificateManager.DescribeCertificate";
    let described = exchange
        .ask_json(
            Service::Acm,
            region,
            target,
            &json!({"CertificateArn": arn}),
        )
        .await?;
    let Some(mut certificate) = described.map(|mut described| described["Certificate"].take())
    else {
        return Ok(None);
    };
    show(exchange, &mut certificate).await?;
    Ok(Some(certificate))
}

async fn describe(exchange: &Exchange<'_>) -> Outcome {
    let answer = exchange.forward().await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let mut body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let certificate = &mut body["Certificate"];
    show(exchange, certificate).await?;
    if exchange.config.strict.acm_in_use {
        let arn = certificate["CertificateArn"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        certificate["InUseBy"] = used_by(exchange, &arn).await?.into();
    }
    Ok(with_body(answer, body.to_string()))
}

/// Writes AWS's state of a certificate into the emulator's description of it.
async fn show(exchange: &Exchange<'_>, certificate: &mut Value) -> Outcome<()> {
    if !exchange.config.strict.acm_validation || certificate["Type"] != "AMAZON_ISSUED" {
        return Ok(());
    }
    let arn = certificate["CertificateArn"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let requested = exchange.state.acm.requested.lock().get(&arn).copied();
    let delays = &exchange.config.delays;
    let known = requested.is_none_or(|requested| requested.elapsed() >= delays.certificate_record);
    let mut all_valid = true;
    for option in certificate["DomainValidationOptions"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        let domain = option["DomainName"].as_str().unwrap_or_default().to_owned();
        let (name, value) = validation_record(exchange.account, &domain);
        let valid = exchange
            .config
            .dns_elsewhere
            .contains(name.trim_end_matches('.'))
            || route53::has_cname(exchange, &name, &value).await?;
        all_valid &= valid;
        option["ValidationDomain"] = domain.into();
        option["ValidationStatus"] = if valid {
            "SUCCESS"
        } else {
            "PENDING_VALIDATION"
        }
        .into();
        option["ResourceRecord"] = json!({"Name": name, "Type": "CNAME", "Value": value});
        // The record is made known only some seconds after the request.
        if let (false, Some(option)) = (known, option.as_object_mut()) {
            option.remove("ResourceRecord");
        }
    }
    let issued = is_issued(exchange, &arn, all_valid);
    if let (false, Some(certificate)) = (issued, certificate.as_object_mut()) {
        certificate.insert("Status".to_owned(), "PENDING_VALIDATION".into());
        for field in ["IssuedAt", "NotBefore", "NotAfter"] {
            certificate.remove(field);
        }
    }
    Ok(())
}

/// Issued a while after all records were there, and from then on.
fn is_issued(exchange: &Exchange<'_>, arn: &str, all_valid: bool) -> bool {
    let mut validated = exchange.state.acm.validated.lock();
    if all_valid {
        validated.entry(arn.to_owned()).or_insert_with(Instant::now);
    }
    let since = validated.get(arn).copied();
    // Without the memory of a request, it was before the proxy's time: its records decide, and no wait.
    let waits = exchange.state.acm.requested.lock().contains_key(arn);
    since.is_some_and(|since| {
        !waits || since.elapsed() >= exchange.config.delays.certificate_issuing
    })
}

/// The record of a name is the same for all certificates of an account; a wildcard has its parent's.
fn validation_record(account: &str, domain: &str) -> (String, String) {
    let domain = domain
        .strip_prefix("*.")
        .unwrap_or(domain)
        .to_ascii_lowercase();
    let hash = |what: &str| -> String {
        let digest = Sha256::digest(format!("{what}/{account}/{domain}"));
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let zone: String = hash("zone")
        .chars()
        .filter(char::is_ascii_alphabetic)
        .take(10)
        .collect();
    (
        format!("_{}.{domain}.", hash("name")),
        format!("_{}.{zone}.acm-validations.aws.", hash("value")),
    )
}

/// Statuses as they are shown, filtered by them, in pages.
async fn list(exchange: &Exchange<'_>) -> Outcome {
    let answer = exchange.forward().await?;
    let strict = &exchange.config.strict;
    if !answer.status().is_success() || !(strict.acm_validation || strict.pages) {
        return Ok(answer);
    }
    let asked = exchange.json();
    let target = "CertificateManager.ListCertificates";
    let whole = exchange
        .ask_json(Service::Acm, exchange.region, target, &json!({}))
        .await?
        .unwrap_or_default();
    let mut summaries = Vec::new();
    for mut summary in whole["CertificateSummaryList"]
        .as_array()
        .cloned()
        .unwrap_or_default()
    {
        let arn = summary["CertificateArn"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let Some(certificate) = certificate(exchange, exchange.region, &arn).await? else {
            continue;
        };
        summary["Status"] = certificate["Status"].clone();
        let wanted = asked["CertificateStatuses"].as_array();
        if wanted.is_none_or(|wanted| wanted.is_empty() || wanted.contains(&summary["Status"])) {
            summaries.push(summary);
        }
    }
    let mut body = json!({"CertificateSummaryList": summaries});
    if strict.pages {
        let first = asked["NextToken"]
            .as_str()
            .and_then(|token| token.parse().ok())
            .unwrap_or(0);
        page_json(
            &mut body,
            "CertificateSummaryList",
            "NextToken",
            first,
            exchange.config.page_size,
        );
    }
    Ok(with_body(answer, body.to_string()))
}

async fn delete(exchange: &Exchange<'_>) -> Outcome {
    let body = exchange.json();
    let arn = body["CertificateArn"].as_str().unwrap_or_default();
    if !used_by(exchange, arn).await?.is_empty() {
        let message = format!(
            "Certificate {arn} in account {} is in use.",
            exchange.account
        );
        return Err(Refusal::new(400, "ResourceInUseException", message).into());
    }
    exchange.forward().await
}

/// The ARNs of the distributions that use a certificate.
async fn used_by(exchange: &Exchange<'_>, arn: &str) -> Outcome<Vec<String>> {
    let list = cloudfront::list_distributions(exchange).await?;
    let summaries = list.iter().flat_map(|list| xml::items(list, &["Items"]));
    let users = summaries.filter(|summary| {
        xml::text_at(summary, &["ViewerCertificate", "ACMCertificateArn"]) == arn
    });
    Ok(users
        .map(|summary| xml::text_at(summary, &["ARN"]))
        .collect())
}
