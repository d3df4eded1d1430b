//! CloudWatch Logs' rules.

use serde_json::{Value, json};

use crate::support::{Aws, Reply};

async fn call(aws: &Aws, operation: &str, body: Value) -> Reply {
    aws.json(
        "logs",
        "us-east-1",
        &format!("Logs_20140328.{operation}"),
        body,
    )
    .await
}

#[tokio::test]
async fn groups_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    for name in ["/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c", "/other"] {
        call(&aws, "CreateLogGroup", json!({"logGroupName": name}))
            .await
            .ok();
    }
    let names = |list: &Value| -> Vec<String> {
        let groups = list["logGroups"].as_array().unwrap().iter();
        groups
            .map(|group| group["logGroupName"].as_str().unwrap().to_owned())
            .collect()
    };
    let asked = json!({"logGroupNamePrefix": "/aws/lambda/"});
    let first = call(&aws, "DescribeLogGroups", asked.clone())
        .await
        .ok()
        .json();
    assert_eq!(names(&first), ["/aws/lambda/a", "/aws/lambda/b"]);
    let mut next = asked;
    next["nextToken"] = first["nextToken"].clone();
    let second = call(&aws, "DescribeLogGroups", next).await.ok().json();
    assert_eq!(names(&second), ["/aws/lambda/c"]);
    assert!(second["nextToken"].is_null());
}
