//! An origin access control, shared by content over the account: an account has only 100.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudfront::types;
use serde::{Deserialize, Serialize};

use super::cloudfront::successor::Asker;
use super::cloudfront::{COMPLETE, SHARED, deleted_unless_in_use, owner_of_shared, successor};
use super::{Action, Hint, Kind, Seen, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, ResourceId};

/// `cloudfront_origin_access_control`; its name is the control's, `multiregion-…-<hash>`.
pub struct OriginAccessControl;

/// Managed fields of an origin access control.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `lambda` or `s3`.
    pub origin_type: String,
    /// When requests are signed, as CloudFront spells it: `always`.
    pub signing: String,
}

#[async_trait]
impl Kind for OriginAccessControl {
    type Config = Config;

    const NAME: &'static str = "cloudfront_origin_access_control";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "*",
            &[
                "cloudfront:ListOriginAccessControls",
                "cloudfront:CreateOriginAccessControl",
            ],
        ),
        Action::on(
            "arn:aws:cloudfront::{account}:origin-access-control/*",
            &[
                "cloudfront:GetOriginAccessControl",
                "cloudfront:UpdateOriginAccessControl",
                "cloudfront:DeleteOriginAccessControl",
            ],
        ),
    ];

    /// By the list, which has every control whole: one call for all of an app's controls, and never a stale id.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let controls = list(pass).await?;
        let asker = Asker::of(hint.known_id.as_deref(), hint.wanted.as_ref());
        let name = place(pass, id, asker, &controls).await?;
        let Some(control) = named(&controls, &name) else {
            return Ok(None);
        };
        // SigV4 is the only protocol there is, so there is nothing to compare.
        let config = Config {
            origin_type: control.origin_access_control_origin_type().as_str().into(),
            signing: control.signing_behavior().as_str().into(),
        };
        let mut seen = seen(config, control.id());
        seen.owner = owner_of_shared(control.description());
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let name = place(pass, id, Asker::Using(None), &list(pass).await?).await?;
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_origin_access_control()
            .origin_access_control_config(write(&name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "CreateOriginAccessControl", GLOBAL, create)
            .await;
        pass.changed(&shared::ORIGIN_ACCESS_CONTROLS, "");
        let answer = answer?;
        let control = answer.origin_access_control().ok_or_else(|| {
            incomplete(
                "cloudfront:CreateOriginAccessControl",
                "OriginAccessControl",
            )
        })?;
        Ok(seen(desired.clone(), control.id()))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let controls = list(pass).await?;
        let same = controls
            .iter()
            .find(|control| control.id() == live.physical_id);
        let name = same.map_or(id.name.as_str(), |control| control.name());
        let etag = etag(pass, &live.physical_id).await?;
        let update = pass
            .clients(GLOBAL)
            .cloudfront
            .update_origin_access_control()
            .id(&live.physical_id)
            .if_match(etag)
            .origin_access_control_config(write(name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "UpdateOriginAccessControl", GLOBAL, update)
            .await;
        pass.changed(&shared::ORIGIN_ACCESS_CONTROLS, "");
        answer?;
        Ok(seen(desired.clone(), &live.physical_id))
    }

    async fn delete(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let etag = etag(pass, &live.physical_id).await?;
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_origin_access_control()
            .id(&live.physical_id)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteOriginAccessControl", GLOBAL, delete)
            .await;
        pass.changed(&shared::ORIGIN_ACCESS_CONTROLS, "");
        deleted_unless_in_use(answer)
    }
}

fn seen(config: Config, control_id: &str) -> Seen<Config> {
    Seen::ours(config, control_id).output("id", control_id)
}

fn named<'a>(
    controls: &'a [types::OriginAccessControlSummary],
    name: &str,
) -> Option<&'a types::OriginAccessControlSummary> {
    controls.iter().find(|control| control.name() == name)
}

/// The name of the one that serves this app.
async fn place(
    pass: &Pass,
    id: &ResourceId,
    asker: Asker<'_>,
    controls: &[types::OriginAccessControlSummary],
) -> Result<String, Failure> {
    let reference = |name: &str| named(controls, name).map(|control| control.id());
    successor::name(pass, &id.name, asker, reference).await
}

async fn list(pass: &Pass) -> Result<Arc<Vec<types::OriginAccessControlSummary>>, Failure> {
    let fetch = async {
        let clients = pass.clients(GLOBAL);
        let (mut controls, mut marker) = (Vec::new(), None);
        loop {
            let page = clients
                .cloudfront
                .list_origin_access_controls()
                .set_marker(marker)
                .send();
            let page = pass
                .call("cloudfront", "ListOriginAccessControls", GLOBAL, page)
                .await?;
            let Some(page) = page.origin_access_control_list else {
                return Ok(controls);
            };
            controls.extend(page.items.unwrap_or_default());
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(controls);
            }
        }
    };
    pass.shared(&shared::ORIGIN_ACCESS_CONTROLS, "", fetch)
        .await
}

async fn etag(pass: &Pass, control_id: &str) -> Result<String, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients
        .cloudfront
        .get_origin_access_control()
        .id(control_id)
        .send();
    let answer = pass
        .call("cloudfront", "GetOriginAccessControl", GLOBAL, get)
        .await?;
    answer
        .e_tag
        .ok_or_else(|| incomplete("cloudfront:GetOriginAccessControl", "ETag"))
}

fn write(name: &str, desired: &Config) -> types::OriginAccessControlConfig {
    types::OriginAccessControlConfig::builder()
        .name(name)
        .description(SHARED)
        .signing_protocol(types::OriginAccessControlSigningProtocols::Sigv4)
        .signing_behavior(desired.signing.as_str().into())
        .origin_access_control_origin_type(desired.origin_type.as_str().into())
        .build()
        .expect(COMPLETE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Owner;
    use crate::resources::testing::{Answer, Asked, recording};

    fn control(name: &str, description: &str, behavior: &str) -> String {
        format!(
            "<OriginAccessControlSummary><Id>id-of-{name}</Id><Description>{description}</Description><Name>{name}</Name>\
             <SigningProtocol>sigv4</SigningProtocol><SigningBehavior>{behavior}</SigningBehavior>\
             <OriginAccessControlOriginType>s3</OriginAccessControlOriginType></OriginAccessControlSummary>"
        )
    }

    #[tokio::test]
    async fn all_controls_of_an_app_are_read_with_one_list() {
        let (pass, asks) = recording(false, |_: &Asked| {
            Answer::new(
                200,
                format!(
                    "<OriginAccessControlList><Marker/><MaxItems>100</MaxItems><IsTruncated>false</IsTruncated><Quantity>2\
                     </Quantity><Items>{}{}</Items></OriginAccessControlList>",
                    control("theirs", "", "always"),
                    control("multiregion-s3", SHARED, "no-override"),
                ),
            )
        });
        let observe = async |name: &str| {
            let id = ResourceId::global(OriginAccessControl::NAME, name);
            let hint = Hint {
                known_id: Some(format!("id-of-{name}")),
                wanted: None,
            };
            let seen = OriginAccessControl::observe(&pass, &id, hint).await;
            seen.expect("it can be read")
        };
        assert_eq!(observe("multiregion-lambda").await, None);
        let seen = observe("multiregion-s3").await.expect("it is there");
        assert_eq!(seen.owner, Owner::Ours);
        assert_eq!(seen.config.origin_type, "s3");
        assert_eq!(seen.config.signing, "no-override");
        let seen = observe("theirs").await.expect("it is there");
        assert!(matches!(seen.owner, Owner::Other(_)));
        assert_eq!(asks.lock().expect("no test panics with it").len(), 1);
    }
}
