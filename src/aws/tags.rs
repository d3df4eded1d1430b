//! Ownership: the tags and the comment that say whose a resource is.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::Owner;

/// Tag with the cluster's id.
pub const CLUSTER: &str = "multiregion.dev/cluster";
/// Tag with the namespace of the app.
pub const NAMESPACE: &str = "multiregion.dev/namespace";
/// Tag with the name of the app.
pub const NAME: &str = "multiregion.dev/name";

/// The app a resource belongs to. Not the object's uid: a re-applied manifest takes up its retained data again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerKey {
    /// Id of the cluster; by default the uid of its `kube-system` namespace.
    pub cluster: String,
    /// Namespace of the app.
    pub namespace: String,
    /// Name of the app.
    pub name: String,
}

/// As it is written into a Comment or Description: `multiregion.dev/<cluster>/<namespace>/<name>`.
impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "multiregion.dev/{}/{}/{}",
            self.cluster, self.namespace, self.name
        )
    }
}

/// CloudFront's longest Comment.
const LONGEST_COMMENT: usize = 128;

impl OwnerKey {
    /// The key as a Comment: itself, or where that is too long for CloudFront its beginning and a hash of it all.
    pub fn comment(&self) -> String {
        let key = self.to_string();
        if key.len() <= LONGEST_COMMENT {
            return key;
        }
        let hash = &hex::encode(Sha256::digest(&key))[..16];
        // Kubernetes' names are ASCII, so any byte is a character's first one; a setting of the cluster's need not be.
        let beginning: String = key.chars().filter(char::is_ascii).collect();
        let length = beginning.len().min(LONGEST_COMMENT - 1 - hash.len());
        format!("{}~{hash}", &beginning[..length])
    }

    /// The owner's tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (CLUSTER.to_owned(), self.cluster.clone()),
            (NAMESPACE.to_owned(), self.namespace.clone()),
            (NAME.to_owned(), self.name.clone()),
        ])
    }

    /// Whose a resource with these tags is.
    pub fn of_tags<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Owner {
        let (mut cluster, mut namespace, mut name) = (None, None, None);
        for (key, value) in tags {
            match key {
                CLUSTER => cluster = Some(value),
                NAMESPACE => namespace = Some(value),
                NAME => name = Some(value),
                _ => {}
            }
        }
        match (cluster, namespace, name) {
            (None, None, None) => Owner::Nobody,
            (Some(cluster), Some(namespace), Some(name))
                if cluster == self.cluster && namespace == self.namespace && name == self.name =>
            {
                Owner::Ours
            }
            (cluster, namespace, name) => Owner::Other(format!(
                "MultiRegionApp {}/{} of cluster {}",
                namespace.unwrap_or("?"),
                name.unwrap_or("?"),
                cluster.unwrap_or("?")
            )),
        }
    }

    /// Whose a resource with this Comment is.
    pub fn of_comment(&self, comment: &str) -> Owner {
        if comment == self.comment() {
            return Owner::Ours;
        }
        match comment.strip_prefix("multiregion.dev/") {
            Some(other) => Owner::Other(format!("MultiRegionApp {other} (cluster/namespace/name)")),
            None => Owner::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> OwnerKey {
        OwnerKey {
            cluster: "c1".into(),
            namespace: "web".into(),
            name: name.into(),
        }
    }

    #[test]
    fn tags_and_comment_tell_ours_from_nobodys_and_anothers() {
        let ours = key("shop");
        let tags = ours.tags();
        let pairs = || tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        assert_eq!(ours.of_tags(pairs()), Owner::Ours);
        assert_eq!(ours.of_tags([("team", "web")]), Owner::Nobody);
        assert_eq!(
            key("blog").of_tags(pairs()),
            Owner::Other("MultiRegionApp web/shop of cluster c1".into())
        );
        assert_eq!(
            ours.of_tags(pairs().take(2)),
            Owner::Other("MultiRegionApp ?/shop of cluster c1".into())
        );
        assert_eq!(ours.of_comment(&ours.to_string()), Owner::Ours);
        assert_eq!(ours.of_comment("my site"), Owner::Nobody);
        let (long, longer) = (key(&"s".repeat(200)), key(&"s".repeat(201)));
        assert_eq!(long.comment().len(), LONGEST_COMMENT);
        assert_eq!(long.of_comment(&long.comment()), Owner::Ours);
        assert!(matches!(
            long.of_comment(&longer.comment()),
            Owner::Other(_)
        ));
        assert!(matches!(
            ours.of_comment(&key("blog").to_string()),
            Owner::Other(_)
        ));
    }
}
