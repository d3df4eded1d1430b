//! Lambda: a function's states, its role, its code, its policy and its URL.

mod states;

use serde_json::Value;

use crate::call::{Service, is_write};
use crate::exchange::{Exchange, Outcome, Question, with_body};
use crate::iam::{self, one_or_list, statements};
use crate::refusal::Refusal;

pub(crate) use states::State;

/// The runtimes that a function can be made with.
const RUNTIMES: [&str; 26] = [
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3.15",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "dotnet8",
    "dotnet10",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided.al2",
    "provided.al2023",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
];

/// The runtimes that Lambda once had: no function can be made with them.
const RETIRED: [&str; 12] = [
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "python3.7",
    "python3.8",
    "python3.9",
    "java8",
    "go1.x",
    "dotnet6",
    "ruby2.7",
    "provided",
];

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let name = function_name(exchange);
    if exchange.operation != "CreateFunction" && is_write(exchange.service, "", exchange.operation)
    {
        states::refuse_while_changing(exchange, &name)?;
    }
    if exchange.operation.starts_with("Invoke") {
        states::refuse_while_pending(exchange, &name)?;
    }
    match exchange.operation {
        "CreateFunction" => {
            let body = exchange.json();
            check_runtime(exchange, &body)?;
            check_role(exchange, &body).await?;
            check_code(exchange, &body["Code"]).await?;
        }
        "UpdateFunctionConfiguration" => {
            let body = exchange.json();
            check_runtime(exchange, &body)?;
            check_role(exchange, &body).await?;
        }
        "UpdateFunctionCode" => check_code(exchange, &exchange.json()).await?,
        _ => {}
    }
    let answer = exchange.forward().await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    match exchange.operation {
        "CreateFunction" => states::created(exchange, &name),
        "UpdateFunctionCode" | "UpdateFunctionConfiguration" => states::updated(exchange, &name),
        "DeleteFunction"
            if !exchange
                .request
                .uri()
                .query()
                .unwrap_or_default()
                .contains("Qualifier=") =>
        {
            states::deleted(exchange, &name);
            delete_url(exchange, &name).await?;
        }
        "GetPolicy" => check_policy(exchange, answer.body())?,
        _ => {}
    }
    let answer = states::shown(exchange, answer);
    if exchange.operation == "ListFunctions" && exchange.config.strict.pages {
        return Ok(paged(exchange, answer));
    }
    Ok(answer)
}

/// The name of the function that a call is about, which may be told as an ARN.
fn function_name(exchange: &Exchange<'_>) -> String {
    let told = match exchange.operation {
        "CreateFunction" => exchange.json()["FunctionName"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        "TagResource" | "UntagResource" | "ListTags" => exchange.parameter("Resource").to_owned(),
        _ => exchange.parameter("FunctionName").to_owned(),
    };
    let name = told
        .rsplit_once(":function:")
        .map_or(told.as_str(), |(_, name)| name);
    name.split(':').next().unwrap_or_default().to_owned()
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "InvalidParameterValueException", message)
}

/// An unknown runtime is no member of the enum; a retired one no longer serves.
fn check_runtime(exchange: &Exchange<'_>, body: &Value) -> Result<(), Refusal> {
    let Some(runtime) = body["Runtime"]
        .as_str()
        .filter(|_| exchange.config.strict.lambda_code)
    else {
        return Ok(());
    };
    if RETIRED.contains(&runtime) {
        return Err(invalid(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. \
             We recommend you use a supported runtime while creating or updating functions."
        )));
    }
    if !RUNTIMES.contains(&runtime) {
        return Err(invalid(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or be \
             a valid ARN",
            RUNTIMES.join(", ")
        )));
    }
    Ok(())
}

/// A role exists, trusts Lambda, and has been known to all of IAM for a while.
async fn check_role(exchange: &Exchange<'_>, body: &Value) -> Outcome<()> {
    let Some(arn) = body["Role"]
        .as_str()
        .filter(|_| exchange.config.strict.lambda_roles)
    else {
        return Ok(());
    };
    let role = arn.rsplit('/').next().unwrap_or(arn);
    let trusted = iam::trust_policy(exchange, role)
        .await?
        .is_some_and(|policy| trusts_lambda(&policy));
    let delay = exchange.config.delays.role_not_assumable;
    let new = iam::trusted_since(exchange, role).is_some_and(|since| since.elapsed() < delay);
    if trusted && !new {
        return Ok(());
    }
    Err(invalid("The role defined for the function cannot be assumed by Lambda.").into())
}

fn trusts_lambda(policy: &Value) -> bool {
    statements(policy).into_iter().any(|statement| {
        let services = one_or_list(&statement["Principal"]["Service"]);
        let actions = one_or_list(&statement["Action"]);
        statement["Effect"] == "Allow"
            && services
                .iter()
                .any(|service| **service == "lambda.amazonaws.com")
            && actions.iter().any(|action| **action == "sts:AssumeRole")
    })
}

/// Code is an object in a bucket of the function's region.
async fn check_code(exchange: &Exchange<'_>, code: &Value) -> Outcome<()> {
    let (Some(bucket), Some(key)) = (code["S3Bucket"].as_str(), code["S3Key"].as_str()) else {
        return Ok(());
    };
    if !exchange.config.strict.lambda_code {
        return Ok(());
    }
    let refuse = |code: &str, message: &str| {
        let message = format!(
            "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
        );
        Err(invalid(message).into())
    };
    let key =
        percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
    let key = key.replace("%2F", "/");
    let version = code["S3ObjectVersion"]
        .as_str()
        .map(|version| format!("?versionId={version}"))
        .unwrap_or_default();
    let Some(home) = crate::s3::region_of(exchange, bucket).await? else {
        return refuse("NoSuchBucket", "The specified bucket does not exist");
    };
    if home != exchange.region {
        let message = format!(
            "The bucket is in this region: {home}. Please use this region to retry the request"
        );
        return refuse("PermanentRedirect", &message);
    }
    let path = format!("/{bucket}/{key}{version}");
    let (service, region, body) = (Service::S3, exchange.region, bytes::Bytes::new());
    let head = exchange
        .ask(Question {
            service,
            region,
            method: "HEAD",
            path: &path,
            headers: &[],
            body,
        })
        .await?;
    match (head.status().is_success(), version.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => refuse("NoSuchKey", "The specified key does not exist."),
        (false, false) => refuse("NoSuchVersion", "The specified version does not exist."),
    }
}

/// A policy without statements is no policy.
fn check_policy(exchange: &Exchange<'_>, body: &[u8]) -> Result<(), Refusal> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let policy: Value =
        serde_json::from_str(body["Policy"].as_str().unwrap_or_default()).unwrap_or_default();
    if exchange.config.strict.lambda_policies && statements(&policy).is_empty() {
        let message = "No policy is associated with the given resource.";
        return Err(Refusal::new(404, "ResourceNotFoundException", message));
    }
    Ok(())
}

/// A URL goes with its function. The emulator keeps it, and would give the same host to the next function of the name.
async fn delete_url(exchange: &Exchange<'_>, name: &str) -> Outcome<()> {
    if exchange.config.strict.lambda_urls {
        let path = format!("/2021-10-31/functions/{name}/url");
        let (service, region, body) = (Service::Lambda, exchange.region, bytes::Bytes::new());
        exchange
            .ask(Question {
                service,
                region,
                method: "DELETE",
                path: &path,
                headers: &[],
                body,
            })
            .await?;
    }
    Ok(())
}

/// Cuts `ListFunctions`, from the marker on as the emulator has answered it, to a page.
fn paged(exchange: &Exchange<'_>, answer: crate::exchange::Answer) -> crate::exchange::Answer {
    let Ok(mut body) = serde_json::from_slice::<Value>(answer.body()) else {
        return answer;
    };
    let Some(functions) = body["Functions"].as_array_mut() else {
        return answer;
    };
    if functions.len() <= exchange.config.page_size {
        return answer;
    }
    functions.truncate(exchange.config.page_size);
    let last = functions
        .last()
        .map(|function| function["FunctionName"].clone())
        .unwrap_or_default();
    body["NextMarker"] = last;
    with_body(answer, body.to_string())
}
