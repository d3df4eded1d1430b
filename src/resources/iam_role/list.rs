//! The roles of an account read at once, for all apps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_sdk_iam::types;

use super::{Config, POLICY_PREFIX};
use crate::aws::{Pass, shared};
use crate::model::{Failure, GLOBAL};
use crate::resources::policy::Document;
use crate::resources::{Seen, incomplete};

/// The account's roles by name, where a pass believes that.
pub(super) async fn roles(
    pass: &Pass,
) -> Result<Option<Arc<HashMap<String, types::RoleDetail>>>, Failure> {
    let fetch = |most: usize| async move {
        let (mut roles, mut marker) = (HashMap::new(), None);
        for _ in 0..most {
            let page = pass
                .clients(GLOBAL)
                .iam
                .get_account_authorization_details()
                .filter(types::EntityType::Role)
                .max_items(ROLES_A_PAGE)
                .set_marker(marker)
                .send();
            let page = pass
                .call("iam", "GetAccountAuthorizationDetails", GLOBAL, page)
                .await?;
            for role in page.role_detail_list.unwrap_or_default() {
                roles.insert(role.role_name.clone().unwrap_or_default(), role);
            }
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(Some(roles));
            }
        }
        Ok(None)
    };
    pass.listed(&shared::ROLES, "", fetch).await
}

/// As many as IAM puts on a page.
const ROLES_A_PAGE: i32 = 1000;

pub(super) fn seen(pass: &Pass, role: &types::RoleDetail) -> Result<Seen<Config>, Failure> {
    const OPERATION: &str = "iam:GetAccountAuthorizationDetails";
    let mut inline_policies = BTreeMap::new();
    for policy in role.role_policy_list() {
        let name = policy.policy_name().unwrap_or_default();
        if name.starts_with(POLICY_PREFIX) {
            let text = policy.policy_document().unwrap_or("{}");
            let statements = Document::parse(text, OPERATION)?.typed(|_| true);
            inline_policies.insert(name.to_owned(), statements);
        }
    }
    let arn = role.arn().ok_or_else(|| incomplete(OPERATION, "Arn"))?;
    let trust = role.assume_role_policy_document();
    let boundary = role.permissions_boundary();
    super::seen(pass, arn, trust, role.tags(), boundary, inline_policies)
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use crate::model::{Owner, ResourceId};
    use crate::resources::testing::{Answer, Asked, owner, recording};
    use crate::resources::{Hint, Kind, Seen};

    /// Two roles, one a page, as IAM writes them.
    fn iam(asked: &Asked) -> Answer {
        if !asked.body.contains("GetAccountAuthorizationDetails") {
            return Answer::xml_error(404, "NoSuchEntity", "no such role");
        }
        let tag = |(key, value)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
        let tags: String = owner().tags().iter().map(tag).collect();
        let role = |name: &str, tags: &str| {
            format!(
                "<member><Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA1</RoleId><Arn>arn:aws:iam::123456789012:role/{name}\
                 </Arn><AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22\
                 %3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22lambda.amazonaws.com%22%7D%2C%22Action%22%3A%22\
                 sts%3AAssumeRole%22%7D%5D%7D</AssumeRolePolicyDocument><RolePolicyList><member><PolicyName>multiregion-old\
                 </PolicyName><PolicyDocument>%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D</PolicyDocument>\
                 </member><member><PolicyName>theirs</PolicyName><PolicyDocument>%7B%7D</PolicyDocument></member>\
                 </RolePolicyList><Tags>{tags}</Tags></member>"
            )
        };
        let (roles, next) = if asked.body.contains("Marker=") {
            (
                role("shop-lambda-role", &tags),
                "<IsTruncated>false</IsTruncated>",
            )
        } else {
            (
                role("admin", ""),
                "<IsTruncated>true</IsTruncated><Marker>more</Marker>",
            )
        };
        Answer::new(
            200,
            format!(
                "<GetAccountAuthorizationDetailsResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
                 <GetAccountAuthorizationDetailsResult><UserDetailList/><RoleDetailList>{roles}</RoleDetailList>{next}\
                 </GetAccountAuthorizationDetailsResult></GetAccountAuthorizationDetailsResponse>"
            ),
        )
    }

    async fn observe(pass: &crate::aws::Pass, name: &str) -> Option<Seen<super::Config>> {
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = Role::observe(pass, &ResourceId::global("iam_role", name), hint).await;
        seen.expect("it is read")
    }

    #[tokio::test]
    async fn all_roles_of_all_apps_are_two_calls_with_policies_and_owner() {
        let (pass, asks) = recording(false, iam);
        let pass = pass.believing();
        let seen = observe(&pass, "shop-lambda-role")
            .await
            .expect("it is there");
        assert_eq!(seen.owner, Owner::Ours);
        assert!(
            seen.config
                .trusted_services
                .contains("lambda.amazonaws.com")
        );
        let names: Vec<_> = seen.config.inline_policies.keys().collect();
        assert_eq!(names, ["multiregion-old"], "others' are not ours to see");
        let admin = observe(&pass, "admin").await.expect("it is there");
        assert_eq!(admin.owner, Owner::Nobody);
        assert!(observe(&pass, "shop-s3-replication-role").await.is_none());
        assert_eq!(asks.lock().expect("no panic").len(), 2);
    }

    #[tokio::test]
    async fn who_may_not_list_reads_each_role_and_asks_for_the_list_once() {
        let (pass, asks) = recording(false, |asked: &Asked| match asked {
            asked if asked.body.contains("GetAccountAuthorizationDetails") => {
                Answer::enveloped_error(403, "AccessDenied", "not authorized")
            }
            asked => iam(asked),
        });
        let pass = pass.believing();
        for _ in 0..3 {
            assert!(observe(&pass, "shop-lambda-role").await.is_none());
        }
        assert_eq!(asks.lock().expect("no panic").len(), 4);
    }
}
