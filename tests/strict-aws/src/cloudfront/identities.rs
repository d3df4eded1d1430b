//! Origin access identities, all of their API: the emulator has none of it.
//!
//! They live in the proxy's memory, by account, and are lost with it.

use std::collections::BTreeMap;
use std::time::Instant;

use hyper::header::HeaderValue;
use xmltree::Element;

use crate::exchange::{Answer, Exchange, Outcome, xml_answer};
use crate::identify::query;
use crate::refusal::{CLOUDFRONT_NAMESPACE, Refusal};
use crate::xml::{self, parent, text};

/// The identities of all accounts.
pub(crate) type Identities = BTreeMap<String, BTreeMap<String, Identity>>;

#[derive(Clone)]
pub(crate) struct Identity {
    id: String,
    canonical_user: String,
    caller_reference: String,
    comment: String,
    etag: String,
    created: Instant,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    // The emulator has nothing to answer, but where it enforces permissions it says who may not ask.
    let answer = exchange.forward().await?;
    if answer.status() == hyper::StatusCode::FORBIDDEN {
        return Ok(answer);
    }
    let id = exchange.parameter("Id");
    match exchange.operation {
        "CreateCloudFrontOriginAccessIdentity" => create(exchange),
        "GetCloudFrontOriginAccessIdentity" => Ok(find(exchange, id)?.answer(200)),
        "GetCloudFrontOriginAccessIdentityConfig" => {
            let identity = find(exchange, id)?;
            Ok(with_etag(document(200, identity.config()), &identity.etag))
        }
        "ListCloudFrontOriginAccessIdentities" => Ok(list(exchange)),
        "UpdateCloudFrontOriginAccessIdentity" => update(exchange, id),
        "DeleteCloudFrontOriginAccessIdentity" => delete(exchange, id).await,
        _ => Ok(answer),
    }
}

/// Whether an account has an identity of this id.
pub(crate) fn exists(exchange: &Exchange<'_>, id: &str) -> bool {
    find(exchange, id).is_ok()
}

/// Whether S3 takes this id's identity for a principal: it knows a new one only after a while.
pub(crate) fn identity_is_principal(exchange: &Exchange<'_>, id: &str) -> bool {
    find(exchange, id).is_ok_and(|identity| is_known(exchange, &identity))
}

/// Whether S3 takes this canonical user, who is an identity of the account, for a principal.
pub(crate) fn canonical_user_is_principal(exchange: &Exchange<'_>, user: &str) -> bool {
    let accounts = exchange.state.cloudfront.identities.lock();
    let mut identities = accounts
        .get(exchange.account)
        .into_iter()
        .flat_map(BTreeMap::values);
    identities.any(|identity| identity.canonical_user == user && is_known(exchange, identity))
}

fn is_known(exchange: &Exchange<'_>, identity: &Identity) -> bool {
    identity.created.elapsed() >= exchange.config.delays.identity_unknown
}

fn find(exchange: &Exchange<'_>, id: &str) -> Result<Identity, Refusal> {
    let accounts = exchange.state.cloudfront.identities.lock();
    accounts
        .get(exchange.account)
        .and_then(|identities| identities.get(id))
        .cloned()
        .ok_or_else(|| {
            let message = "The specified CloudFront origin access identity does not exist.";
            Refusal::new(404, "NoSuchCloudFrontOriginAccessIdentity", message)
        })
}

/// A caller reference used again answers the identity of the first request if the config is the same, and is an error
/// if it is not.
fn create(exchange: &Exchange<'_>) -> Outcome {
    let config = exchange.xml()?;
    let caller_reference = xml::text_at(&config, &["CallerReference"]);
    let comment = xml::text_at(&config, &["Comment"]);
    if caller_reference.is_empty() {
        return Err(Refusal::new(400, "MissingBody", "CallerReference is required.").into());
    }
    let mut accounts = exchange.state.cloudfront.identities.lock();
    let identities = accounts.entry(exchange.account.to_owned()).or_default();
    if let Some(identity) = identities
        .values()
        .find(|identity| identity.caller_reference == caller_reference)
    {
        if identity.comment == comment {
            return Ok(identity.answer(201));
        }
        let message = "The caller reference that you are using to create a CloudFront origin access identity is \
                       already associated with another identity.";
        return Err(
            Refusal::new(409, "CloudFrontOriginAccessIdentityAlreadyExists", message).into(),
        );
    }
    let identity = Identity {
        id: format!("E{}", random(13, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")),
        canonical_user: random(96, b"0123456789abcdef"),
        caller_reference,
        comment,
        etag: etag(),
        created: Instant::now(),
    };
    let mut answer = identity.answer(201);
    let location = format!(
        "/2020-05-31/origin-access-identity/cloudfront/{}",
        identity.id
    );
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert("location", location);
    }
    identities.insert(identity.id.clone(), identity);
    Ok(answer)
}

fn update(exchange: &Exchange<'_>, id: &str) -> Outcome {
    let identity = matching(exchange, id)?;
    let config = exchange.xml()?;
    if xml::text_at(&config, &["CallerReference"]) != identity.caller_reference {
        return Err(Refusal::new(
            400,
            "IllegalUpdate",
            "The update contains modifications that are not allowed.",
        )
        .into());
    }
    let updated = Identity {
        comment: xml::text_at(&config, &["Comment"]),
        etag: etag(),
        ..identity
    };
    let answer = updated.answer(200);
    let mut accounts = exchange.state.cloudfront.identities.lock();
    accounts
        .entry(exchange.account.to_owned())
        .or_default()
        .insert(updated.id.clone(), updated);
    Ok(answer)
}

/// An identity that a distribution's origin names stays.
async fn delete(exchange: &Exchange<'_>, id: &str) -> Outcome {
    matching(exchange, id)?;
    let listed = super::list_distributions(exchange).await?;
    let named = format!("origin-access-identity/cloudfront/{id}");
    let mut used = false;
    if let Some(listed) = &listed {
        xml::visit(listed, &mut |element| {
            used |= element.name == "OriginAccessIdentity"
                && element.get_text().is_some_and(|text| text == named);
        });
    }
    if used {
        let message = "The CloudFront origin access identity is still being used.";
        return Err(Refusal::new(409, "CloudFrontOriginAccessIdentityInUse", message).into());
    }
    if let Some(identities) = exchange
        .state
        .cloudfront
        .identities
        .lock()
        .get_mut(exchange.account)
    {
        identities.remove(id);
    }
    let mut answer = Answer::default();
    *answer.status_mut() = hyper::StatusCode::NO_CONTENT;
    Ok(answer)
}

/// The identity, if the request's `If-Match` is of its present version.
fn matching(exchange: &Exchange<'_>, id: &str) -> Result<Identity, Refusal> {
    let identity = find(exchange, id)?;
    match exchange.header("if-match") {
        None => Err(super::missing_if_match()),
        Some(etag) if etag != identity.etag => Err(super::stale_if_match()),
        Some(_) => Ok(identity),
    }
}

fn list(exchange: &Exchange<'_>) -> Answer {
    let query = query(exchange.request);
    let marker = query.get("Marker").cloned().unwrap_or_default();
    let asked = query
        .get("MaxItems")
        .and_then(|items| items.parse().ok())
        .unwrap_or(100);
    let size = if exchange.config.strict.pages {
        exchange.config.page_size.min(asked)
    } else {
        asked
    };
    let accounts = exchange.state.cloudfront.identities.lock();
    let all = accounts.get(exchange.account);
    let mut rest = all
        .into_iter()
        .flatten()
        .map(|(_, identity)| identity)
        .filter(|identity| identity.id > marker);
    let page: Vec<&Identity> = rest.by_ref().take(size).collect();
    let truncated = rest.next().is_some();
    let mut children = vec![text("Marker", marker)];
    if let (true, Some(last)) = (truncated, page.last()) {
        children.push(text("NextMarker", &last.id));
    }
    children.push(text("MaxItems", asked.to_string()));
    children.push(text("IsTruncated", truncated.to_string()));
    children.push(text("Quantity", page.len().to_string()));
    if !page.is_empty() {
        children.push(parent(
            "Items",
            page.iter().map(|identity| identity.summary()),
        ));
    }
    document(200, parent("CloudFrontOriginAccessIdentityList", children))
}

impl Identity {
    fn answer(&self, status: u16) -> Answer {
        let children = [
            text("Id", &self.id),
            text("S3CanonicalUserId", &self.canonical_user),
            self.config(),
        ];
        with_etag(
            document(status, parent("CloudFrontOriginAccessIdentity", children)),
            &self.etag,
        )
    }

    fn config(&self) -> Element {
        let children = [
            text("CallerReference", &self.caller_reference),
            text("Comment", &self.comment),
        ];
        parent("CloudFrontOriginAccessIdentityConfig", children)
    }

    fn summary(&self) -> Element {
        let children = [
            text("Id", &self.id),
            text("S3CanonicalUserId", &self.canonical_user),
            text("Comment", &self.comment),
        ];
        parent("CloudFrontOriginAccessIdentitySummary", children)
    }
}

fn document(status: u16, root: Element) -> Answer {
    xml_answer(status, &xml::in_namespace(root, CLOUDFRONT_NAMESPACE))
}

fn with_etag(mut answer: Answer, etag: &str) -> Answer {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        answer.headers_mut().insert("etag", etag);
    }
    answer
}

fn etag() -> String {
    format!("E{}", random(12, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
}

fn random(length: usize, alphabet: &[u8]) -> String {
    (0..length)
        .map(|_| char::from(alphabet[rand::random_range(0..alphabet.len())]))
        .collect()
}
