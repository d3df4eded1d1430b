//! What the API server is asked: whose a token is (TokenReview), and what that one may read (SubjectAccessReview).

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::sessions::{Token, TokenHash};
use crate::api::GROUP;

/// Somebody whom the API server knows.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Viewer {
    /// By which its decisions are remembered.
    pub token: TokenHash,
    /// Name, such as `system:serviceaccount:web:viewer`.
    pub name: String,
    /// Its id.
    pub uid: Option<String>,
    /// What else it is.
    pub groups: Option<Vec<String>>,
    /// What else an authorizer may want.
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

/// What is to be read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Access {
    /// All apps of a namespace, or of all.
    ListApps(Option<String>),
    /// One app, by namespace and name.
    GetApp(String, String),
    /// The events of a namespace, in an API group.
    ListEvents(&'static str, String),
}

/// Who decides.
#[async_trait]
pub(super) trait Reviewer: Send + Sync {
    /// Whose the token is; none if it is nobody's.
    async fn review(&self, token: &Token) -> Result<Option<Viewer>, kube::Error>;
    /// Whether somebody may.
    async fn allowed(&self, viewer: &Viewer, access: &Access) -> Result<bool, kube::Error>;
}

/// The API server.
pub(super) struct ApiServer(Client);

impl ApiServer {
    pub(super) fn new(client: Client) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Reviewer for ApiServer {
    async fn review(&self, token: &Token) -> Result<Option<Viewer>, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.reveal().to_owned(),
                // The API server's own audiences.
                audiences: None,
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.0.clone());
        let status = reviews
            .create(&PostParams::default(), &review)
            .await?
            .status;
        Ok(status
            .filter(|status| status.authenticated == Some(true))
            .and_then(|status| Viewer::of(token, status.user?)))
    }

    async fn allowed(&self, viewer: &Viewer, access: &Access) -> Result<bool, kube::Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(viewer.name.clone()),
                uid: viewer.uid.clone(),
                groups: viewer.groups.clone(),
                extra: viewer.extra.clone(),
                resource_attributes: Some(attributes(access)),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.0.clone());
        let status = reviews
            .create(&PostParams::default(), &review)
            .await?
            .status;
        Ok(status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

impl Viewer {
    fn of(token: &Token, user: UserInfo) -> Option<Self> {
        Some(Self {
            token: token.hash(),
            // Nobody has no rights, so nobody is nobody.
            name: user.username.filter(|name| !name.is_empty())?,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
        })
    }
}

fn attributes(access: &Access) -> ResourceAttributes {
    let (group, resource, verb) = match access {
        Access::ListApps(_) => (GROUP, "multiregionapps", "list"),
        Access::GetApp(..) => (GROUP, "multiregionapps", "get"),
        Access::ListEvents(group, _) => (*group, "events", "list"),
    };
    let (namespace, name) = match access {
        // Absent means every namespace.
        Access::ListApps(namespace) => (namespace.clone(), None),
        Access::GetApp(namespace, name) => (Some(namespace.clone()), Some(name.clone())),
        Access::ListEvents(_, namespace) => (Some(namespace.clone()), None),
    };
    ResourceAttributes {
        group: Some(group.into()),
        resource: Some(resource.into()),
        verb: Some(verb.into()),
        namespace,
        name,
        ..ResourceAttributes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty namespace asks for all of them, an empty name for all names.
    #[test]
    fn a_review_asks_for_exactly_what_is_to_be_read() {
        let asked = attributes(&Access::GetApp("web".into(), "shop".into()));
        assert_eq!(asked.namespace.as_deref(), Some("web"));
        assert_eq!(asked.name.as_deref(), Some("shop"));
        assert_eq!(asked.verb.as_deref(), Some("get"));
        assert_eq!(asked.group.as_deref(), Some("multiregion.dev"));
        let asked = attributes(&Access::ListEvents("", "web".into()));
        assert_eq!(asked.resource.as_deref(), Some("events"));
        assert_eq!(asked.namespace.as_deref(), Some("web"));
        let asked = attributes(&Access::ListApps(None));
        assert_eq!((asked.namespace, asked.name), (None, None));
    }
}
