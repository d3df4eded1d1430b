//! A public hosted zone, only read; named by its domain or its id.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::route53::{plain, public_zone_name, public_zones};
use super::{Action, Hint, Kind, Seen, found};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, ResourceId};

/// `route53_hosted_zone`; its name is the zone's domain, or its id.
pub struct HostedZone;

/// Nothing of a hosted zone is managed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {}

#[async_trait]
impl Kind for HostedZone {
    type Config = Config;

    const NAME: &'static str = "route53_hosted_zone";
    const OUTPUTS: &'static [&'static str] = &["zone_id", "name"];
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["route53:ListHostedZonesByName"]),
        Action::on("arn:aws:route53:::hostedzone/*", &["route53:GetHostedZone"]),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let named = &id.name;
        let (zone_id, name) = if is_zone_id(named) {
            let Some(name) = found(public_zone_name(pass, named).await)? else {
                return Err(not_found(named));
            };
            let Some(name) = name else {
                return Err(unfit(
                    "HostedZonePrivate",
                    format!("hosted zone {named} is private; name a public one"),
                ));
            };
            (named.clone(), name)
        } else {
            let zones = public_zones(pass, named).await?;
            match zones.as_slice() {
                [] => return Err(not_found(named)),
                [only] => (only.clone(), plain(named)),
                several => {
                    let ids = several.join(", ");
                    return Err(unfit(
                        "HostedZoneAmbiguous",
                        format!(
                            "hosted zone {named} is ambiguous: ids {ids}; name the id in domain.hostedZone"
                        ),
                    ));
                }
            }
        };
        let seen = Seen::ours(Config {}, &zone_id)
            .output("zone_id", &zone_id)
            .output("name", name);
        Ok(Some(seen))
    }

    async fn create(_: &Pass, id: &ResourceId, _: &Config) -> Result<Seen<Config>, Failure> {
        Err(read_only(id))
    }

    async fn update(
        _: &Pass,
        id: &ResourceId,
        _: Seen<Config>,
        _: &Config,
        _: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        Err(read_only(id))
    }

    async fn delete(
        _: &Pass,
        id: &ResourceId,
        _: Seen<Config>,
        _: DataPolicy,
    ) -> Result<Deleted, Failure> {
        Err(read_only(id))
    }
}

/// Ids have no dot; a domain of one label is nobody's to delegate.
fn is_zone_id(name: &str) -> bool {
    name.starts_with('Z') && !name.contains('.')
}

fn not_found(named: &str) -> Failure {
    unfit(
        "HostedZoneNotFound",
        format!(
            "hosted zone {named} not found among the account's public ones; make it, correct domain.hostedZone, or leave it out to make the records at another DNS provider"
        ),
    )
}

fn read_only(id: &ResourceId) -> Failure {
    unfit("ReadOnly", format!("{id} is only read"))
}

fn unfit(code: &str, message: String) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        operation: "route53:ListHostedZonesByName".into(),
        code: code.into(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, Asked, recording};

    fn zone(id: &str, name: &str, private: bool) -> String {
        format!(
            "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>r</CallerReference><Config>\
             <PrivateZone>{private}</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>"
        )
    }

    async fn observe(pages: [String; 2]) -> (Result<Option<Seen<Config>>, Failure>, usize) {
        let (pass, asks) = recording(false, move |asked: &Asked| {
            let (zones, next) = if asked.has("hostedzoneid") {
                (&pages[1], "<IsTruncated>false</IsTruncated>")
            } else {
                let next = "<IsTruncated>true</IsTruncated><NextDNSName>example.com.</NextDNSName>\
                            <NextHostedZoneId>Z2</NextHostedZoneId>";
                (&pages[0], next)
            };
            Answer::new(
                200,
                format!(
                    "<ListHostedZonesByNameResponse><HostedZones>{zones}</HostedZones>{next}<MaxItems>1</MaxItems>\
                     </ListHostedZonesByNameResponse>"
                ),
            )
        });
        let id = ResourceId::global(HostedZone::NAME, "example.com");
        let hint = || Hint {
            known_id: None,
            wanted: None,
        };
        let seen = HostedZone::observe(&pass, &id, hint()).await;
        assert_eq!(HostedZone::observe(&pass, &id, hint()).await, seen);
        let calls = asks.lock().expect("no test panics with it").len();
        (seen, calls)
    }

    #[tokio::test]
    async fn the_public_zone_of_the_name_is_found_on_any_page_and_remembered() {
        let pages = [
            zone("Z1", "example.com.", true),
            zone("Z2", "Example.com.", false) + &zone("Z3", "example.net.", false),
        ];
        let (seen, calls) = observe(pages).await;
        let seen = seen.expect("it can be read").expect("it is there");
        assert_eq!(seen.outputs["zone_id"], "Z2");
        assert_eq!(seen.outputs["name"], "example.com");
        assert_eq!(calls, 2, "two pages, asked for once");
    }

    #[tokio::test]
    async fn two_of_a_name_are_ambiguous_and_looked_for_again() {
        let pages = [
            zone("Z1", "example.com.", false),
            zone("Z2", "example.com.", false),
        ];
        let (refused, calls) = observe(pages).await;
        let refused = refused.expect_err("which one is not said");
        assert!(
            refused.message.contains("ambiguous: ids Z1, Z2"),
            "{refused}"
        );
        assert_eq!(calls, 4);
    }
}
