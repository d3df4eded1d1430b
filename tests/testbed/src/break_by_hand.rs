//! What a person does in the console on a bad day, and whether it has been put right.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::Aws;

/// CloudFront is a global service with its API in one region.
const CLOUDFRONT_REGION: &str = "us-east-1";

/// The memory of a Lambda function, in MiB.
pub async fn lambda_memory(aws: &Aws, region: &str, function: &str) -> Result<Value> {
    let name = json!({"FunctionName": function});
    let answer = aws
        .call("lambda", "GetFunctionConfiguration", region, &name)
        .await?;
    Ok(answer["MemorySize"].clone())
}

/// Sets the memory of a Lambda function.
pub async fn set_lambda_memory(
    aws: &Aws,
    region: &str,
    function: &str,
    mebibytes: u32,
) -> Result<()> {
    let change = json!({"FunctionName": function, "MemorySize": mebibytes});
    aws.call("lambda", "UpdateFunctionConfiguration", region, &change)
        .await
        .map(drop)
}

/// The status codes on which a distribution's origin groups fail over, group by group.
pub async fn failover_codes(aws: &Aws, distribution: &str) -> Result<Value> {
    let answer = get_distribution(aws, distribution).await?;
    let groups = answer["DistributionConfig"]["OriginGroups"]["Items"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let sorted = |group: &Value| {
        let mut codes = group["FailoverCriteria"]["StatusCodes"]["Items"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        codes.sort_by_key(Value::as_u64);
        codes
    };
    Ok(groups
        .iter()
        .map(|group| json!([group["Id"], sorted(group)]))
        .collect())
}

/// Leaves a distribution's first origin group with one status code to fail over on.
pub async fn set_failover_code(aws: &Aws, distribution: &str, code: u16) -> Result<()> {
    let mut answer = get_distribution(aws, distribution).await?;
    let codes = answer
        .pointer_mut("/DistributionConfig/OriginGroups/Items/0/FailoverCriteria/StatusCodes")
        .context("the distribution has no origin group")?;
    *codes = json!({"Quantity": 1, "Items": [code]});
    let change = json!({
        "Id": distribution,
        "IfMatch": answer["ETag"],
        "DistributionConfig": answer["DistributionConfig"],
    });
    aws.call(
        "cloudfront",
        "UpdateDistribution",
        CLOUDFRONT_REGION,
        &change,
    )
    .await
    .map(drop)
}

async fn get_distribution(aws: &Aws, id: &str) -> Result<Value> {
    aws.call(
        "cloudfront",
        "GetDistributionConfig",
        CLOUDFRONT_REGION,
        &json!({"Id": id}),
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::{Emulator, EmulatorOptions};

    #[tokio::test]
    async fn memory_and_codes_are_read_and_changed() {
        let emulator = Emulator::start(EmulatorOptions::default())
            .await
            .expect("an emulator");
        let aws = Aws::emulated(&emulator.url(), "111122223333");
        let function = json!({
            "FunctionName": "pond", "Runtime": "nodejs24.x", "Handler": "index.handler", "MemorySize": 512,
            "Role": "arn:aws:iam::111122223333:role/pond", "Code": {"S3Bucket": "pond", "S3Key": "function.zip"},
        });
        aws.call("lambda", "CreateFunction", "us-west-2", &function)
            .await
            .expect("CreateFunction");
        set_lambda_memory(&aws, "us-west-2", "pond", 128)
            .await
            .expect("UpdateFunctionConfiguration");
        assert_eq!(
            lambda_memory(&aws, "us-west-2", "pond")
                .await
                .expect("the memory"),
            128
        );

        let origin = |id: &str| json!({"Id": id, "DomainName": format!("{id}.example.com")});
        let config = json!({
            "CallerReference": "pond", "Comment": "", "Enabled": true,
            "Origins": {"Quantity": 2, "Items": [origin("east"), origin("west")]},
            "OriginGroups": {"Quantity": 1, "Items": [{
                "Id": "both",
                "FailoverCriteria": {"StatusCodes": {"Quantity": 2, "Items": [503, 500]}},
                "Members": {"Quantity": 2, "Items": [{"OriginId": "east"}, {"OriginId": "west"}]},
            }]},
            "DefaultCacheBehavior": {"TargetOriginId": "both", "ViewerProtocolPolicy": "allow-all"},
        });
        let create = json!({"DistributionConfig": config});
        let answer = aws
            .call(
                "cloudfront",
                "CreateDistribution",
                CLOUDFRONT_REGION,
                &create,
            )
            .await;
        let id = answer.expect("CreateDistribution")["Distribution"]["Id"]
            .as_str()
            .expect("an id")
            .to_owned();
        assert_eq!(
            failover_codes(&aws, &id).await.expect("the codes"),
            json!([["both", [500, 503]]])
        );
        set_failover_code(&aws, &id, 504)
            .await
            .expect("UpdateDistribution");
        assert_eq!(
            failover_codes(&aws, &id).await.expect("the codes"),
            json!([["both", [504]]])
        );
    }
}
