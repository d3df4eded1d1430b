//! What the kinds of Route 53 have in common: names, and the zones of a name.
//!
//! Route 53 takes five requests a second of a whole account, so what does not change is remembered over passes.

use crate::aws::Pass;
use crate::aws::shared::ZONE_IDS_KEPT;
use crate::model::{Failure, GLOBAL};

/// Beginning of the keys under which zones are remembered.
const ZONES: &str = "route53:zones/";

/// A name as it is compared: lower case, without the trailing dot, with Route 53's octal escapes undone (`\052` is `*`).
pub fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut rest = name.trim_end_matches('.');
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let escaped = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = match escaped {
            Some(code) => {
                plain.push(code.into());
                &after[3..]
            }
            None => {
                plain.push('\\');
                after
            }
        };
    }
    plain.push_str(rest);
    plain.to_lowercase()
}

/// An id without the `/hostedzone/` or `/change/` that answers have before it.
pub fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Ids of the public zones called `name`; of one alone it is remembered.
pub async fn public_zones(pass: &Pass, name: &str) -> Result<Vec<String>, Failure> {
    let name = plain(name);
    let key = format!("{ZONES}{name}");
    if let Some(known) = pass.aws().recall::<String>(&key, ZONE_IDS_KEPT) {
        return Ok(vec![known.as_ref().clone()]);
    }
    let clients = pass.clients(GLOBAL);
    let (mut ids, mut next) = (Vec::new(), (name.clone(), None));
    loop {
        let page = clients
            .route53
            .list_hosted_zones_by_name()
            .dns_name(next.0)
            .set_hosted_zone_id(next.1)
            .send();
        let page = pass
            .call("route53", "ListHostedZonesByName", GLOBAL, page)
            .await?;
        // The list goes on behind the name with whatever zones the account has.
        for zone in page.hosted_zones() {
            let private = zone.config().is_some_and(|config| config.private_zone());
            if plain(zone.name()) == name && !private {
                ids.push(bare(zone.id()).to_owned());
            }
        }
        match page.next_dns_name {
            Some(next_name) if page.is_truncated && plain(&next_name) == name => {
                next = (next_name, page.next_hosted_zone_id);
            }
            _ => break,
        }
    }
    ids.sort();
    ids.dedup();
    if let [only] = ids.as_slice() {
        pass.aws().remember(key, only.clone());
    }
    Ok(ids)
}

/// Forgets all zones, after an answer that one of them is not there.
pub fn forget_zones(pass: &Pass) {
    pass.aws().disremember(ZONES);
}

/// The name of the public zone `zone_id`; `None` for a private one.
pub async fn public_zone_name(pass: &Pass, zone_id: &str) -> Result<Option<String>, Failure> {
    let key = format!("{ZONES}{zone_id}");
    if let Some(known) = pass.aws().recall::<String>(&key, ZONE_IDS_KEPT) {
        return Ok(Some(known.as_ref().clone()));
    }
    let clients = pass.clients(GLOBAL);
    let get = clients.route53.get_hosted_zone().id(zone_id).send();
    let answer = pass.call("route53", "GetHostedZone", GLOBAL, get).await?;
    let zone = answer
        .hosted_zone()
        .ok_or_else(|| super::incomplete("route53:GetHostedZone", "HostedZone"))?;
    if zone.config().is_some_and(|config| config.private_zone()) {
        return Ok(None);
    }
    let name = plain(zone.name());
    pass.aws().remember(key, name.clone());
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_dot_and_escapes() {
        for (name, expected) in [
            ("Shop.Example.com.", "shop.example.com"),
            ("\\052.example.com.", "*.example.com"),
            ("a\\134b.example.com", "a\\b.example.com"),
            ("a\\x.example.com", "a\\x.example.com"),
            ("example.com", "example.com"),
        ] {
            assert_eq!(plain(name), expected, "{name}");
        }
        assert_eq!(bare("/hostedzone/Z1"), "Z1");
        assert_eq!(bare("Z1"), "Z1");
    }
}
