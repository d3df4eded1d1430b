//! How a request is made fit for an origin: signed where an access control says so, and judged as S3 and Lambda would.
//!
//! The emulator lets anything through that looks signed, so what AWS would refuse is refused here: by the bucket's or
//! the function's own policy, read from the API.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::HOST;
use hyper::{HeaderMap, Response};

use crate::access::{Ask, Principal};
use crate::api::Signable;
use crate::distribution::{Distribution, Origin, Place};
use crate::origin::{Outgoing, set, sha256};
use crate::policy::{CachePolicy, OriginRequestPolicy};
use crate::registry::Registry;
use crate::viewer::Viewer;

/// A request that an origin is asked with, or what the origin would answer to it.
pub(crate) enum Admitted {
    Send {
        request: Outgoing,
        /// A missing object is a 403 to whoever may not list the bucket.
        hide_missing: bool,
    },
    Refused(Response<Bytes>),
}

/// A viewer's request and what decides about it.
pub(crate) struct Asked<'a> {
    pub(crate) distribution: &'a Distribution,
    pub(crate) viewer: &'a Viewer,
    pub(crate) body: &'a Bytes,
    pub(crate) cache: &'a CachePolicy,
    pub(crate) more: &'a OriginRequestPolicy,
}

impl Asked<'_> {
    /// Makes the request for one origin.
    ///
    /// # Errors
    /// If what decides about it cannot be read.
    pub(crate) async fn admit(
        &self,
        registry: &Registry,
        origin: &Origin,
    ) -> anyhow::Result<Admitted> {
        let mut headers = self.viewer.forwarded(self.cache, self.more);
        for (name, value) in &origin.headers {
            set(&mut headers, name, value);
        }
        let host = match headers.remove(HOST) {
            Some(forwarded) => forwarded.to_str().unwrap_or_default().to_owned(),
            None => origin.host.clone(),
        };
        let request = Outgoing {
            method: self.viewer.method.clone(),
            target: self.viewer.target(&origin.path, self.cache, self.more),
            host,
            headers,
            body: self.body.clone(),
        };
        match &origin.place {
            Place::Server { .. } => Ok(Admitted::Send {
                request,
                hide_missing: false,
            }),
            Place::FunctionUrl { region } => {
                self.to_function(registry, origin, region, request).await
            }
            Place::Bucket { bucket, region } => {
                self.to_bucket(registry, origin, (bucket, region), request)
                    .await
            }
        }
    }

    /// The request without anything of its place's, for an origin that will not get it.
    pub(crate) fn bare(&self, origin: &Origin) -> Outgoing {
        Outgoing {
            method: self.viewer.method.clone(),
            target: self.viewer.path.clone(),
            host: origin.host.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The kind of access control that signs requests to an origin, if one does.
    async fn signs(
        &self,
        registry: &Registry,
        origin: &Origin,
        headers: &HeaderMap,
    ) -> anyhow::Result<Option<String>> {
        let Some(id) = &origin.access_control else {
            return Ok(None);
        };
        let control = registry.access_control(id).await?;
        Ok(control
            .filter(|control| match control.signing.as_str() {
                "never" => false,
                "no-override" => !headers.contains_key("authorization"),
                _ => true,
            })
            .map(|control| control.kind))
    }

    fn context(&self) -> BTreeMap<&'static str, String> {
        let arn = &self.distribution.arn;
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        BTreeMap::from([
            ("aws:sourcearn", arn.clone()),
            ("aws:sourceaccount", account),
            ("aws:securetransport", self.viewer.https.to_string()),
        ])
    }

    async fn to_function(
        &self,
        registry: &Registry,
        origin: &Origin,
        region: &str,
        mut request: Outgoing,
    ) -> anyhow::Result<Admitted> {
        if request.host != origin.host {
            // A function URL is found by its host: the viewer's is no function's.
            return Ok(Admitted::Refused(lambda_refusal("Forbidden")));
        }
        if self
            .signs(registry, origin, &request.headers)
            .await?
            .as_deref()
            == Some("lambda")
        {
            let hash = match self.payload_hash(&request) {
                Ok(hash) => hash,
                Err(message) => return Ok(Admitted::Refused(lambda_refusal(message))),
            };
            let Some(function) = registry.url_function(region, &origin.host).await? else {
                return Ok(Admitted::Refused(lambda_refusal("Forbidden")));
            };
            let mut context = self.context();
            context.insert("lambda:functionurlauthtype", "AWS_IAM".to_owned());
            context.insert("lambda:invokedviafunctionurl", "true".to_owned());
            // AWS asks for both since October 2025.
            let allowed = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
                .iter()
                .all(|action| {
                    let ask = Ask {
                        principal: &Principal::CloudFront,
                        action,
                        resource: &function.arn,
                        context: &context,
                    };
                    ask.is_allowed(&function.policy)
                });
            if !allowed {
                return Ok(Admitted::Refused(lambda_refusal(
                    "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
                )));
            }
            sign(registry, "lambda", region, &hash, &mut request)?;
        }
        Ok(Admitted::Send {
            request,
            hide_missing: false,
        })
    }

    /// The hash that the signature is made with. Lambda takes no unsigned bodies, and CloudFront does not hash them: the
    /// viewer's word is signed, and has to be true.
    fn payload_hash(&self, request: &Outgoing) -> Result<String, &'static str> {
        let hash = sha256(self.body);
        let said = request.headers.get("x-amz-content-sha256");
        let said = said.and_then(|value| value.to_str().ok());
        let has_body =
            !self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&request.method.as_str());
        if said.is_none() && !has_body || said == Some(hash.as_str()) {
            return Ok(hash);
        }
        Err(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        )
    }

    async fn to_bucket(
        &self,
        registry: &Registry,
        origin: &Origin,
        (bucket, region): (&str, &str),
        mut request: Outgoing,
    ) -> anyhow::Result<Admitted> {
        let signs = self.signs(registry, origin, &request.headers).await?;
        let identity = match &origin.access_identity {
            Some(id) => registry.identity(id).await?.map(|user| (id.clone(), user)),
            None => None,
        };
        let principal = match (signs.as_deref(), identity) {
            (Some("s3"), _) => Principal::CloudFront,
            (_, Some((id, canonical_user))) => Principal::Identity { id, canonical_user },
            _ => Principal::Anonymous,
        };
        if request.host != origin.host {
            return Ok(Admitted::Refused(s3_refusal(403, "SignatureDoesNotMatch")));
        }
        let action = match request.method.as_str() {
            "GET" | "HEAD" => "s3:GetObject",
            "PUT" => "s3:PutObject",
            "DELETE" => "s3:DeleteObject",
            _ => return Ok(Admitted::Refused(s3_refusal(405, "MethodNotAllowed"))),
        };
        let path = request.target.split('?').next().unwrap_or_default();
        let key = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let policy = registry
            .bucket_policy(region, bucket)
            .await?
            .unwrap_or_default();
        let context = self.context();
        let allows = |action: &str, resource: &str| {
            let ask = Ask {
                principal: &principal,
                action,
                resource,
                context: &context,
            };
            ask.is_allowed(&policy)
        };
        let bucket_arn = format!("arn:aws:s3:::{bucket}");
        if !allows(action, &format!("{bucket_arn}{key}")) {
            return Ok(Admitted::Refused(s3_refusal(403, "AccessDenied")));
        }
        let hide_missing = !allows("s3:ListBucket", &bucket_arn);
        // The emulator is on an address, which has no names for buckets to be subdomains of.
        request.target = format!("/{bucket}{}", request.target);
        registry.data.authority().clone_into(&mut request.host);
        let hash = sha256(self.body);
        sign(registry, "s3", region, &hash, &mut request)?;
        Ok(Admitted::Send {
            request,
            hide_missing,
        })
    }
}

fn sign(
    registry: &Registry,
    service: &str,
    region: &str,
    hash: &str,
    request: &mut Outgoing,
) -> anyhow::Result<()> {
    request.headers.remove("authorization");
    request.headers.remove("x-amz-content-sha256");
    let signed = registry.data.signer().sign(&Signable {
        service,
        region,
        method: &request.method,
        url: &format!("http://{}{}", request.host, request.target),
        headers: &[],
        payload_hash: hash,
    })?;
    for (name, value) in signed {
        set(&mut request.headers, &name, &value);
    }
    // AWS's origins are spoken to over TLS, and policies ask whether they are.
    set(&mut request.headers, "x-forwarded-proto", "https");
    Ok(())
}

fn lambda_refusal(message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "Message": message }).to_string();
    refusal(403, "application/json", body)
}

/// S3's answer to what it refuses.
pub(crate) fn s3_refusal(status: u16, code: &str) -> Response<Bytes> {
    let body =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    refusal(status, "application/xml", body)
}

fn refusal(status: u16, kind: &'static str, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::FORBIDDEN);
    set(answer.headers_mut(), "content-type", kind);
    answer
}
