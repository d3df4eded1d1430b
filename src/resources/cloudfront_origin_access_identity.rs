//! An origin access identity, of one app, found by the owner key in its comment.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_cloudfront::types;
use serde::{Deserialize, Serialize};

use super::cloudfront::{COMPLETE, caller_reference};
use super::{Action, Hint, Kind, Seen, found, incomplete};
use crate::aws::{Pass, error, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, Owner, ResourceId};

/// `cloudfront_origin_access_identity`; its name only tells it from others of the app.
pub struct OriginAccessIdentity;

/// Nothing of an access identity can change but its comment, which names the owner.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {}

#[async_trait]
impl Kind for OriginAccessIdentity {
    type Config = Config;

    const NAME: &'static str = "cloudfront_origin_access_identity";
    const OUTPUTS: &'static [&'static str] = &["id", "canonical_user_id"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution", "s3_bucket_policy"];
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["cloudfront:ListCloudFrontOriginAccessIdentities"]),
        Action::on(
            "arn:aws:cloudfront::{account}:origin-access-identity/*",
            &[
                "cloudfront:CreateCloudFrontOriginAccessIdentity",
                "cloudfront:GetCloudFrontOriginAccessIdentity",
                "cloudfront:DeleteCloudFrontOriginAccessIdentity",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        _id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        if let Some(known) = &hint.known_id
            && let Some(identity) = listed(pass, known).await?
        {
            return Ok(Some(identity));
        }
        if let Some(known) = hint.known_id
            && let Some((identity, _)) = found(get(pass, &known).await)?
        {
            let comment = identity
                .cloud_front_origin_access_identity_config()
                .map(types::CloudFrontOriginAccessIdentityConfig::comment);
            if pass.owner().of_comment(comment.unwrap_or_default()) == Owner::Ours {
                return Ok(Some(seen(identity.id(), identity.s3_canonical_user_id())));
            }
        }
        let identity = find(pass).await?;
        Ok(identity.map(|identity| seen(identity.id(), identity.s3_canonical_user_id())))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        _desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let config = types::CloudFrontOriginAccessIdentityConfig::builder()
            .caller_reference(caller_reference(pass, id))
            .comment(pass.owner().comment())
            .build()
            .expect(COMPLETE);
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_cloud_front_origin_access_identity()
            .cloud_front_origin_access_identity_config(config)
            .send();
        let answer = pass
            .call(
                "cloudfront",
                "CreateCloudFrontOriginAccessIdentity",
                GLOBAL,
                create,
            )
            .await;
        pass.changed(&shared::ORIGIN_ACCESS_IDENTITIES, "");
        let answer = answer?;
        let identity = answer.cloud_front_origin_access_identity().ok_or_else(|| {
            incomplete(
                "cloudfront:CreateCloudFrontOriginAccessIdentity",
                "CloudFrontOriginAccessIdentity",
            )
        })?;
        Ok(seen(identity.id(), identity.s3_canonical_user_id()))
    }

    /// There is nothing to change.
    async fn update(
        _pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        Ok(live)
    }

    async fn delete(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let (_, etag) = get(pass, &live.physical_id).await?;
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_cloud_front_origin_access_identity()
            .id(&live.physical_id)
            .if_match(etag)
            .send();
        let answer = pass
            .call(
                "cloudfront",
                "DeleteCloudFrontOriginAccessIdentity",
                GLOBAL,
                delete,
            )
            .await;
        pass.changed(&shared::ORIGIN_ACCESS_IDENTITIES, "");
        match answer {
            // Only the app's own distribution names it: CloudFront takes a while to forget.
            Err(failure) if error::is_in_use(&failure) => Ok(Deleted::Pending(failure.message)),
            answer => answer.map(|_| Deleted::Gone),
        }
    }
}

fn seen(identity_id: &str, canonical_user_id: &str) -> Seen<Config> {
    Seen::ours(Config {}, identity_id)
        .output("id", identity_id)
        .output("canonical_user_id", canonical_user_id)
}

async fn get(
    pass: &Pass,
    identity_id: &str,
) -> Result<(types::CloudFrontOriginAccessIdentity, String), Failure> {
    const OPERATION: &str = "cloudfront:GetCloudFrontOriginAccessIdentity";
    let get = pass
        .clients(GLOBAL)
        .cloudfront
        .get_cloud_front_origin_access_identity()
        .id(identity_id)
        .send();
    let answer = pass
        .call(
            "cloudfront",
            "GetCloudFrontOriginAccessIdentity",
            GLOBAL,
            get,
        )
        .await?;
    let identity = answer
        .cloud_front_origin_access_identity
        .ok_or_else(|| incomplete(OPERATION, "CloudFrontOriginAccessIdentity"))?;
    let etag = answer.e_tag.ok_or_else(|| incomplete(OPERATION, "ETag"))?;
    Ok((identity, etag))
}

type Summary = types::CloudFrontOriginAccessIdentitySummary;

/// The one of this id as the list for all apps has it, if it is ours.
async fn listed(pass: &Pass, known: &str) -> Result<Option<Seen<Config>>, Failure> {
    let all = pass
        .listed(&shared::ORIGIN_ACCESS_IDENTITIES, "", |pages| {
            list(pass, pages)
        })
        .await?;
    let found = all
        .iter()
        .flat_map(|all| all.iter())
        .find(|item| item.id() == known && pass.owner().of_comment(item.comment()) == Owner::Ours);
    Ok(found.map(|item| seen(item.id(), item.s3_canonical_user_id())))
}

/// The one whose comment is the owner key. Should there be several, always the same one.
async fn find(pass: &Pass) -> Result<Option<Summary>, Failure> {
    let all = list(pass, usize::MAX).await?.unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|item| pass.owner().of_comment(item.comment()) == Owner::Ours)
        .min_by(|one, other| one.id().cmp(other.id())))
}

/// All of the account, unless they have more pages than `most`.
async fn list(pass: &Pass, most: usize) -> Result<Option<Vec<Summary>>, Failure> {
    let clients = pass.clients(GLOBAL);
    let (mut all, mut marker) = (Vec::new(), None);
    for _ in 0..most {
        let page = clients
            .cloudfront
            .list_cloud_front_origin_access_identities()
            .set_marker(marker)
            .send();
        let page = pass
            .call(
                "cloudfront",
                "ListCloudFrontOriginAccessIdentities",
                GLOBAL,
                page,
            )
            .await?;
        let (items, next) = page
            .cloud_front_origin_access_identity_list
            .map(|page| (page.items.unwrap_or_default(), page.next_marker))
            .unwrap_or_default();
        all.extend(items);
        marker = next.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(Some(all));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, Asked, owner, recording};

    fn summary(id: &str, comment: &str) -> String {
        format!(
            "<CloudFrontOriginAccessIdentitySummary><Id>{id}</Id><S3CanonicalUserId>user-of-{id}</S3CanonicalUserId>\
             <Comment>{comment}</Comment></CloudFrontOriginAccessIdentitySummary>"
        )
    }

    /// Answers to a read by id with one of this comment, and to a list with two of ours on two pages.
    fn cloudfront(comment: &'static str) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
        move |asked: &Asked| {
            if asked.path.ends_with("/EKNOWN") {
                return Answer::new(
                    200,
                    format!(
                        "<CloudFrontOriginAccessIdentity><Id>EKNOWN</Id><S3CanonicalUserId>user</S3CanonicalUserId>\
                         <CloudFrontOriginAccessIdentityConfig><CallerReference>r</CallerReference><Comment>{comment}\
                         </Comment></CloudFrontOriginAccessIdentityConfig></CloudFrontOriginAccessIdentity>"
                    ),
                )
                .header("etag", "E1");
            }
            let ours = owner().comment();
            let (items, next) = if asked.has("Marker") {
                (summary("E1OURS", &ours), "")
            } else {
                let items = summary("E0THEIRS", "") + &summary("E2OURS", &ours);
                (items, "<NextMarker>next</NextMarker>")
            };
            Answer::new(
                200,
                format!(
                    "<CloudFrontOriginAccessIdentityList><Marker/>{next}<MaxItems>2</MaxItems><IsTruncated>true\
                     </IsTruncated><Quantity>2</Quantity><Items>{items}</Items></CloudFrontOriginAccessIdentityList>"
                ),
            )
        }
    }

    async fn observe(comment: &'static str) -> (Seen<Config>, usize) {
        let (pass, asks) = recording(false, cloudfront(comment));
        let id = ResourceId::global(OriginAccessIdentity::NAME, "shop");
        let hint = Hint {
            known_id: Some("EKNOWN".into()),
            wanted: None,
        };
        let seen = OriginAccessIdentity::observe(&pass, &id, hint).await;
        let seen = seen.expect("it can be read").expect("it is there");
        let calls = asks.lock().expect("no test panics with it").len();
        (seen, calls)
    }

    #[tokio::test]
    async fn it_is_known_by_its_id_if_the_comment_agrees_or_found_by_the_comment() {
        let (seen, calls) = observe("multiregion.dev/c1/web/shop").await;
        assert_eq!((seen.physical_id.as_str(), calls), ("EKNOWN", 1));
        let (seen, calls) = observe("multiregion.dev/c1/web/blog").await;
        assert_eq!((seen.physical_id.as_str(), calls), ("E1OURS", 3));
        assert_eq!(seen.outputs["canonical_user_id"], "user-of-E1OURS");
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_for_one_app_is_given_up_and_the_one_read_by_its_id() {
        let (pass, asks) = recording(false, cloudfront("multiregion.dev/c1/web/shop"));
        let pass = pass.believing();
        let id = ResourceId::global(OriginAccessIdentity::NAME, "shop");
        let observe = async |known: &str| {
            let hint = Hint {
                known_id: Some(known.into()),
                wanted: None,
            };
            let seen = OriginAccessIdentity::observe(&pass, &id, hint).await;
            seen.expect("it can be read").expect("it is there")
        };
        assert_eq!(observe("EKNOWN").await.physical_id, "EKNOWN");
        assert_eq!(observe("EKNOWN").await.physical_id, "EKNOWN");
        let calls = asks.lock().expect("no test panics with it").len();
        assert_eq!(calls, 3, "one page of the list, and two by id");
    }
}
