//! Tells from a request which operation of which service it is, in which region, and with whose key.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::call::Service;
use crate::exchange::Request;

/// What a request says of itself.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) service: Service,
    pub(crate) operation: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    /// The names in the path, decoded (`Bucket`, `Key`, `FunctionName`, `Id` …), and the fields of a form.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Reads a request's signature, host, path and body.
pub(crate) fn identify(request: &Request) -> Identity {
    let scope = signature_scope(request);
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let path = request.uri().path();
    if let Some(region) = function_url_region(host) {
        return data_plane(Service::FunctionUrl, "InvokeFunctionUrl", region, scope);
    }
    if path.starts_with("/_aws/lambda-url/") {
        let region = scope
            .as_ref()
            .map(|scope| scope.region.clone())
            .unwrap_or_default();
        return data_plane(Service::FunctionUrl, "InvokeFunctionUrl", &region, scope);
    }
    let Some(scope) = scope else {
        // Nobody signs a viewer's request; what else is unsigned, the emulator may make sense of.
        let service = if host.ends_with(".cloudfront.net") {
            Service::Edge
        } else {
            Service::Other
        };
        return data_plane(service, &format!("{} {path}", request.method()), "", None);
    };
    let service = Service::from_signing_name(&scope.service);
    let mut parameters = BTreeMap::new();
    let operation = match service {
        Service::Iam | Service::Sts => {
            parameters = form(request);
            parameters.get("Action").cloned()
        }
        Service::DynamoDb | Service::Acm | Service::Logs => target(request.headers()),
        Service::CloudWatch => path
            .rsplit_once("/operation/")
            .map(|(_, name)| name.to_owned())
            .or_else(|| {
                parameters = form(request);
                parameters
                    .get("Action")
                    .cloned()
                    .or_else(|| target(request.headers()))
            }),
        Service::S3 => route(&S3, request, &mut parameters),
        Service::Lambda => route(&LAMBDA, request, &mut parameters),
        Service::CloudFront => route(&CLOUDFRONT, request, &mut parameters),
        Service::Route53 => route(&ROUTE53, request, &mut parameters),
        Service::KeyValueStore => route(&KEY_VALUE_STORE, request, &mut parameters),
        Service::FunctionUrl | Service::Edge | Service::Other => None,
    };
    Identity {
        service,
        operation: operation.unwrap_or_else(|| format!("{} {path}", request.method())),
        region: scope.region,
        access_key: scope.access_key,
        parameters,
    }
}

fn data_plane(service: Service, operation: &str, region: &str, scope: Option<Scope>) -> Identity {
    Identity {
        service,
        operation: operation.to_owned(),
        region: region.to_owned(),
        access_key: scope.map(|scope| scope.access_key).unwrap_or_default(),
        parameters: BTreeMap::new(),
    }
}

/// The region in `<id>.lambda-url.<region>.on.aws`.
fn function_url_region(host: &str) -> Option<&str> {
    let (_, rest) = host.split_once(".lambda-url.")?;
    rest.split('.').next()
}

struct Scope {
    access_key: String,
    region: String,
    service: String,
}

/// The credential scope, from the header or, of a presigned request, from the query.
fn signature_scope(request: &Request) -> Option<Scope> {
    let header = request
        .headers()
        .get("authorization")
        .and_then(|header| header.to_str().ok());
    let credential = match header {
        Some(header) if header.starts_with("AWS4-") => header
            .split_once("Credential=")?
            .1
            .split([',', ' '])
            .next()?
            .to_owned(),
        _ => query(request).remove("X-Amz-Credential")?,
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let (access_key, region, service) = match parts[..] {
        [key, _date, region, service, _] => (key, region.to_owned(), service),
        // SigV4A signs for a set of regions, which a header names.
        [key, _date, service, _] => {
            let regions = request
                .headers()
                .get("x-amz-region-set")
                .and_then(|set| set.to_str().ok());
            (key, regions.unwrap_or("*").to_owned(), service)
        }
        _ => return None,
    };
    Some(Scope {
        access_key: access_key.to_owned(),
        region,
        service: service.to_owned(),
    })
}

fn target(headers: &HeaderMap) -> Option<String> {
    let target = headers.get("x-amz-target")?.to_str().ok()?;
    Some(target.rsplit('.').next().unwrap_or(target).to_owned())
}

/// The query's parameters, decoded; of a repeated one the last.
pub(crate) fn query(request: &Request) -> BTreeMap<String, String> {
    pairs(request.uri().query().unwrap_or_default())
}

/// The fields of a form, from the query and from the body.
fn form(request: &Request) -> BTreeMap<String, String> {
    let mut fields = query(request);
    fields.extend(pairs(&String::from_utf8_lossy(request.body())));
    fields
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// One line of `operations/<service>.txt`.
struct Route {
    method: &'static str,
    segments: Vec<&'static str>,
    query: Vec<(&'static str, Option<&'static str>)>,
    header: Option<&'static str>,
    operation: &'static str,
}

static S3: LazyLock<Vec<Route>> = LazyLock::new(|| routes(include_str!("operations/s3.txt")));
static LAMBDA: LazyLock<Vec<Route>> =
    LazyLock::new(|| routes(include_str!("operations/lambda.txt")));
static CLOUDFRONT: LazyLock<Vec<Route>> =
    LazyLock::new(|| routes(include_str!("operations/cloudfront.txt")));
static KEY_VALUE_STORE: LazyLock<Vec<Route>> =
    LazyLock::new(|| routes(include_str!("operations/keyvaluestore.txt")));
static ROUTE53: LazyLock<Vec<Route>> =
    LazyLock::new(|| routes(include_str!("operations/route53.txt")));

fn routes(table: &'static str) -> Vec<Route> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse_route)
        .collect()
}

fn parse_route(line: &'static str) -> Option<Route> {
    let mut words = line.split(' ');
    let (method, target, operation) = (words.next()?, words.next()?, words.next()?);
    let (target, header) = match target.split_once('@') {
        Some((target, header)) => (target, Some(header)),
        None => (target, None),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|key| !key.is_empty());
    let query = query
        .map(|key| {
            key.split_once('=')
                .map_or((key, None), |(key, value)| (key, Some(value)))
        })
        .collect();
    Some(Route {
        method,
        segments: path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect(),
        query,
        header,
        operation,
    })
}

/// The route that fits best: the one with the most literal parts, then with the most query keys and headers.
fn route(
    table: &[Route],
    request: &Request,
    parameters: &mut BTreeMap<String, String>,
) -> Option<String> {
    let query = query(request);
    let fits = |route: &&Route| {
        let keys = route.query.iter().all(|(key, value)| match value {
            Some(value) => query.get(*key).is_some_and(|found| found == value),
            None => query.contains_key(*key),
        });
        let header = route
            .header
            .is_none_or(|header| request.headers().contains_key(header));
        request.method() == route.method && keys && header
    };
    let scored = table.iter().filter(fits).filter_map(|route| {
        let (literals, found) = path_parameters(&route.segments, request.uri().path())?;
        let conditions = route.query.len() + usize::from(route.header.is_some());
        Some(((literals, conditions), route.operation, found))
    });
    let (_, operation, found) = scored.max_by_key(|(score, ..)| *score)?;
    parameters.extend(found);
    Some(operation.to_owned())
}

/// How many literal segments a path has of a template, and its decoded parameters; `None` if it does not fit.
fn path_parameters(template: &[&str], path: &str) -> Option<(usize, BTreeMap<String, String>)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let trimmed = path.strip_prefix('/')?;
    let mut parts = trimmed.split('/').peekable();
    let (mut literals, mut parameters) = (0, BTreeMap::new());
    for segment in template {
        let name = segment
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match name {
            Some(name) if name.ends_with('*') => {
                let rest = parts.by_ref().collect::<Vec<_>>().join("/");
                if rest.is_empty() {
                    return None;
                }
                parameters.insert(name.trim_end_matches('*').to_owned(), decode(&rest));
            }
            Some(name) => {
                let part = parts.next().filter(|part| !part.is_empty())?;
                parameters.insert(name.to_owned(), decode(part));
            }
            None => {
                if parts.next()? != *segment {
                    return None;
                }
                literals += 1;
            }
        }
    }
    // One slash at the end changes nothing.
    let rest = parts.collect::<Vec<_>>();
    matches!(rest[..], [] | [""]).then_some((literals, parameters))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn identified(
        method: &str,
        path: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Identity {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=111122223333/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", credential);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        identify(&request.body(Bytes::from(body.to_owned())).unwrap())
    }

    #[test]
    fn operations_are_told_from_their_requests() {
        let cases = [
            ("PUT", "/b", "s3", "CreateBucket"),
            ("PUT", "/b/", "s3", "CreateBucket"),
            ("GET", "/", "s3", "ListBuckets"),
            ("GET", "/b?policy", "s3", "GetBucketPolicy"),
            ("GET", "/b?list-type=2&prefix=x", "s3", "ListObjectsV2"),
            (
                "DELETE",
                "/b?metrics&id=x",
                "s3",
                "DeleteBucketMetricsConfiguration",
            ),
            ("GET", "/b/a/key%20b?versionId=3", "s3", "GetObject"),
            ("POST", "/2015-03-31/functions", "lambda", "CreateFunction"),
            ("POST", "/2015-03-31/functions/", "lambda", "CreateFunction"),
            (
                "PUT",
                "/2015-03-31/functions/f/code",
                "lambda",
                "UpdateFunctionCode",
            ),
            (
                "POST",
                "/2020-05-31/distribution?WithTags",
                "cloudfront",
                "CreateDistributionWithTags",
            ),
            (
                "PUT",
                "/2020-05-31/distribution/E1/config",
                "cloudfront",
                "UpdateDistribution",
            ),
            (
                "PUT",
                "/key-value-stores/arn%3Aaws%3Acloudfront%3A%3A111122223333%3Akey-value-store%2Fs/keys/E1",
                "cloudfront-keyvaluestore",
                "PutKey",
            ),
            (
                "POST",
                "/2013-04-01/hostedzone/Z1/rrset",
                "route53",
                "ChangeResourceRecordSets",
            ),
            (
                "POST",
                "/2013-04-01/hostedzone/Z1/rrset/",
                "route53",
                "ChangeResourceRecordSets",
            ),
            (
                "POST",
                "/service/GraniteServiceVersion20100801/operation/PutMetricData",
                "monitoring",
                "PutMetricData",
            ),
        ];
        for (method, path, service, operation) in cases {
            assert_eq!(
                identified(method, path, service, &[], "").operation,
                operation,
                "{method} {path}"
            );
        }
        let target = identified(
            "POST",
            "/",
            "dynamodb",
            &[("x-amz-target", "DynamoDB_20120810.CreateTable")],
            "",
        );
        assert_eq!(
            (target.service, target.operation.as_str()),
            (Service::DynamoDb, "CreateTable")
        );
        let copy = identified("PUT", "/b/k", "s3", &[("x-amz-copy-source", "a/k")], "");
        assert_eq!(copy.operation, "CopyObject");
        let role = identified(
            "POST",
            "/",
            "iam",
            &[],
            "Action=CreateRole&RoleName=shop+role",
        );
        assert_eq!(role.operation, "CreateRole");
        assert_eq!(role.parameters["RoleName"], "shop role");
        assert_eq!(
            (role.region.as_str(), role.access_key.as_str()),
            ("eu-west-1", "111122223333")
        );
    }

    #[test]
    fn a_functions_url_is_no_call_of_lambdas_control_plane() {
        let host = [("host", "abc.lambda-url.us-west-2.on.aws")];
        let identity = identified("GET", "/", "lambda", &host, "");
        assert_eq!(
            (identity.service, identity.region.as_str()),
            (Service::FunctionUrl, "us-west-2")
        );
    }

    #[test]
    fn keys_in_paths_are_decoded() {
        let identity = identified("PUT", "/b/a/key%20b", "s3", &[], "");
        assert_eq!(identity.parameters["Bucket"], "b");
        assert_eq!(identity.parameters["Key"], "a/key b");
    }
}
