//! AWS's errors in the shape of each service's protocol.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::call::Service;
use crate::exchange::Answer;
use crate::fault::FaultKind;

/// An error as AWS answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Further elements (XML) or members (JSON) of the body.
    pub(crate) details: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Each service's own words for "too fast".
    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::S3 => Self::new(503, "SlowDown", "Please reduce your request rate."),
            Service::Lambda => Self::new(429, "TooManyRequestsException", "Rate exceeded"),
            Service::DynamoDb => Self::new(
                400,
                "ThrottlingException",
                "Rate of requests exceeds the allowed throughput.",
            ),
            Service::Acm | Service::Logs => Self::new(400, "ThrottlingException", "Rate exceeded"),
            _ => Self::new(400, "Throttling", "Rate exceeded"),
        }
    }

    /// The error of a fault that answers.
    pub(crate) fn of_fault(kind: FaultKind, service: Service, operation: &str) -> Option<Self> {
        Some(match kind {
            FaultKind::Throttle => Self::throttled(service),
            FaultKind::Status500 => {
                let code = match service {
                    Service::S3 => "InternalError",
                    Service::Lambda => "ServiceException",
                    Service::DynamoDb => "InternalServerError",
                    Service::Iam => "ServiceFailure",
                    _ => "InternalFailure",
                };
                Self::new(
                    500,
                    code,
                    "We encountered an internal error. Please try again.",
                )
            }
            FaultKind::Status503 => Self::new(
                503,
                "ServiceUnavailable",
                "Service is unable to handle request.",
            ),
            FaultKind::AccessDenied => {
                let code = match service {
                    Service::Lambda | Service::DynamoDb | Service::Acm | Service::Logs => {
                        "AccessDeniedException"
                    }
                    _ => "AccessDenied",
                };
                let action = format!("{}:{operation}", service.signing_name());
                Self::new(
                    403,
                    code,
                    format!("User is not authorized to perform: {action}"),
                )
            }
            FaultKind::InvalidParameter => Self::new(
                400,
                "InvalidParameterValueException",
                "Could not unzip uploaded file. Please check your file, then try to upload again.",
            ),
            FaultKind::ResetBefore
            | FaultKind::ResetAfter
            | FaultKind::RefuseRegion
            | FaultKind::BlackHole => {
                return None;
            }
        })
    }

    /// The answer, as the service words it.
    pub(crate) fn answer(&self, service: Service, cbor: bool) -> Answer {
        let request_id = request_id();
        let (content_type, body) = match service {
            Service::S3 => ("application/xml", self.s3(&request_id)),
            Service::CloudFront => ("text/xml", self.xml(CLOUDFRONT_NAMESPACE, &request_id)),
            Service::Route53 => ("text/xml", self.xml(ROUTE53_NAMESPACE, &request_id)),
            Service::Iam => (
                "text/xml",
                self.xml("https://iam.amazonaws.com/doc/2010-05-08/", &request_id),
            ),
            Service::Sts => (
                "text/xml",
                self.xml("https://sts.amazonaws.com/doc/2011-06-15/", &request_id),
            ),
            Service::CloudWatch if cbor => return self.cbor(&request_id),
            Service::DynamoDb => {
                // Validation is not DynamoDB's own but of the framework before it.
                let prefix = match self.code.as_str() {
                    "ValidationException" | "ThrottlingException" => "com.amazon.coral.validate",
                    _ => "com.amazonaws.dynamodb.v20120810",
                };
                (
                    "application/x-amz-json-1.0",
                    self.json(Some(&format!("{prefix}#{}", self.code)), "message"),
                )
            }
            Service::Lambda => ("application/json", self.json(None, "Message")),
            _ => (
                "application/x-amz-json-1.1",
                self.json(Some(&self.code), "message"),
            ),
        };
        let mut answer = Answer::new(body);
        *answer.status_mut() =
            hyper::StatusCode::from_u16(self.status).unwrap_or(hyper::StatusCode::BAD_REQUEST);
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        };
        set(CONTENT_TYPE.as_str(), content_type);
        set("x-amzn-requestid", &request_id);
        if matches!(service, Service::Lambda | Service::KeyValueStore) {
            set("x-amzn-errortype", &self.code);
        }
        if service == Service::S3 {
            set("x-amz-request-id", &request_id);
        }
        answer
    }

    fn xml(&self, namespace: &str, request_id: &str) -> Bytes {
        let kind = if self.status < 500 {
            "Sender"
        } else {
            "Receiver"
        };
        let (code, message) = (escape(&self.code), escape(&self.message));
        Bytes::from(format!(
            "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ))
    }

    fn s3(&self, request_id: &str) -> Bytes {
        let (code, message) = (escape(&self.code), escape(&self.message));
        let details: String = self
            .details
            .iter()
            .map(|(name, value)| format!("<{name}>{}</{name}>", escape(value)))
            .collect();
        Bytes::from(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{details}\
             <RequestId>{request_id}</RequestId><HostId>strict</HostId></Error>"
        ))
    }

    fn json(&self, kind: Option<&str>, message: &str) -> Bytes {
        let mut body = serde_json::Map::new();
        match kind {
            Some(kind) => body.insert("__type".to_owned(), kind.into()),
            None => body.insert(
                "Type".to_owned(),
                if self.status < 500 { "User" } else { "Service" }.into(),
            ),
        };
        body.insert(message.to_owned(), self.message.clone().into());
        body.extend(
            self.details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone().into())),
        );
        Bytes::from(serde_json::Value::Object(body).to_string())
    }

    /// CloudWatch's SDKs speak CBOR: a map of two texts.
    fn cbor(&self, request_id: &str) -> Answer {
        let mut body = vec![0xa2];
        let texts = ["__type", &self.code, "message", &self.message];
        for text in texts {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            body.push(0x79);
            body.extend(length.to_be_bytes());
            body.extend(text.bytes().take(length.into()));
        }
        let mut answer = Answer::new(Bytes::from(body));
        *answer.status_mut() =
            hyper::StatusCode::from_u16(self.status).unwrap_or(hyper::StatusCode::BAD_REQUEST);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
        headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert("x-amzn-requestid", request_id);
        }
        answer
    }
}

/// The namespace of CloudFront's documents.
pub(crate) const CLOUDFRONT_NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";
/// The namespace of Route 53's documents.
pub(crate) const ROUTE53_NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// Text as it stands in an XML element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A fresh id in the form of a UUID.
pub(crate) fn request_id() -> String {
    let random: u128 = rand::random();
    let hex = format!("{random:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
