//! The rules of CloudFront Functions and key value stores.

use std::time::Duration;

use strict_aws::Config;

use crate::cloudfront::config;
use crate::support::{Aws, Reply};

const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";
const STORE: &str = "key-value-store";
/// `function handler(event) { return event.request; }` in base 64.
const CODE: &str = "ZnVuY3Rpb24gaGFuZGxlcihldmVudCkgeyByZXR1cm4gZXZlbnQucmVxdWVzdDsgfQ==";

async fn store(aws: &Aws) -> Reply {
    let body = format!(
        "<CreateKeyValueStoreRequest xmlns=\"{NAMESPACE}\"><Name>writers</Name></CreateKeyValueStoreRequest>"
    );
    aws.cloudfront("POST", STORE, None, &body).await
}

async fn function(aws: &Aws, code: &str, store: &str) -> Reply {
    let stores = match store {
        "" => "<Quantity>0</Quantity>".to_owned(),
        arn => format!(
            "<Quantity>1</Quantity><Items><KeyValueStoreAssociation><KeyValueStoreARN>{arn}</KeyValueStoreARN>\
             </KeyValueStoreAssociation></Items>"
        ),
    };
    let body = format!(
        "<CreateFunctionRequest xmlns=\"{NAMESPACE}\"><Name>writer</Name><FunctionConfig><Comment>c</Comment>\
         <Runtime>cloudfront-js-2.0</Runtime><KeyValueStoreAssociations>{stores}</KeyValueStoreAssociations>\
         </FunctionConfig><FunctionCode>{code}</FunctionCode></CreateFunctionRequest>"
    );
    aws.cloudfront("POST", "function", None, &body).await
}

/// The config whose default behavior has functions on these events.
fn associated(reference: &str, arn: &str, events: &[&str]) -> String {
    let items: String = events
        .iter()
        .map(|event| {
            format!(
                "<FunctionAssociation><FunctionARN>{arn}</FunctionARN><EventType>{event}</EventType>\
                 </FunctionAssociation>"
            )
        })
        .collect();
    let functions = format!(
        "<FunctionAssociations><Quantity>{}</Quantity><Items>{items}</Items></FunctionAssociations>\
         </DefaultCacheBehavior>",
        events.len()
    );
    config(reference).replace("</DefaultCacheBehavior>", &functions)
}

#[tokio::test]
async fn a_new_store_is_provisioning_and_takes_no_function() {
    let mut config = Config::transparent();
    config.strict.cloudfront_functions = true;
    config.delays.key_value_store_provisioning = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let arn = store(&aws).await.ok().says("PROVISIONING").text("ARN");
    let describe = || aws.cloudfront("GET", "key-value-store/writers", None, "");
    describe().await.ok().says("PROVISIONING");
    aws.cloudfront("GET", STORE, None, "")
        .await
        .ok()
        .says("PROVISIONING");
    function(&aws, CODE, &arn)
        .await
        .refused(400, "InvalidArgument");
    aws.proxy
        .configure(|config| config.delays.key_value_store_provisioning = Duration::ZERO);
    describe().await.ok().says("READY");
    function(&aws, CODE, "arn:aws:cloudfront::1:key-value-store/none")
        .await
        .refused(400, "InvalidArgument");
    function(&aws, CODE, &arn).await.ok();
}

#[tokio::test]
async fn a_function_is_of_ten_kilobytes_at_most() {
    let aws = Aws::only(|strict| strict.cloudfront_functions = true).await;
    // 10,239 bytes, with the last one or two in base 64.
    let code = |rest: &str| format!("{}{rest}", "eHh4".repeat(3413));
    function(&aws, &code("eHg="), "")
        .await
        .refused(413, "FunctionSizeLimitExceeded");
    function(&aws, &code("eA=="), "").await.ok();
}

#[tokio::test]
async fn only_a_published_function_is_associated_and_it_stays_as_long() {
    let aws = Aws::only(|strict| {
        strict.cloudfront_validation = true;
        strict.cloudfront_in_use = true;
    })
    .await;
    let made = function(&aws, CODE, "").await.ok();
    let arn = made.text("FunctionARN");
    let post = async |config: String| aws.cloudfront("POST", "distribution", None, &config).await;
    post(associated("one", &arn, &["viewer-request"]))
        .await
        .refused(400, "InvalidFunctionAssociation");
    aws.cloudfront("POST", "function/writer/publish", Some(&made.etag()), "")
        .await
        .ok();
    post(associated(
        "one",
        &arn,
        &["viewer-request", "viewer-request"],
    ))
    .await
    .refused(400, "InvalidFunctionAssociation");
    post(associated(
        "one",
        &arn,
        &["viewer-request", "viewer-response"],
    ))
    .await
    .ok();
    let delete = async |etag: String| {
        aws.cloudfront("DELETE", "function/writer", Some(&etag), "")
            .await
    };
    delete(made.etag()).await.refused(409, "FunctionInUse");
    delete("stale".into())
        .await
        .refused(412, "PreconditionFailed");
}

#[tokio::test]
async fn a_write_to_a_store_names_its_version() {
    let aws = Aws::with(Config::strict()).await;
    let arn = store(&aws).await.ok().text("ARN");
    let path = format!(
        "/key-value-stores/{}",
        percent_encoding::utf8_percent_encode(&arn, percent_encoding::NON_ALPHANUMERIC)
    );
    let key = format!("{path}/keys/E1");
    let send = async |method: &str, path: &str, etag: &str| {
        let headers = [("if-match", etag), ("content-type", "application/json")];
        let body = "{\"Value\":\"Primary:1\"}";
        aws.send(
            "cloudfront-keyvaluestore",
            "*",
            method,
            path,
            &headers,
            body,
        )
        .await
        .unwrap()
    };
    let described = send("GET", &path, "").await.ok();
    send("PUT", &key, &described.etag()).await.ok();
    send("PUT", &key, &described.etag())
        .await
        .refused(409, "ConflictException");
    send("GET", &key, "").await.ok().says("Primary:1");
    let operations: Vec<String> = aws
        .proxy
        .calls()
        .into_iter()
        .filter(|call| call.service == strict_aws::Service::KeyValueStore)
        .map(|call| call.operation)
        .collect();
    assert_eq!(
        operations,
        ["DescribeKeyValueStore", "PutKey", "PutKey", "GetKey"]
    );
}
