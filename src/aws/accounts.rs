//! The accounts that the process acts in: its own, and one for each role that it assumes.
//!
//! Each role has clients, credentials and memory of its own, made when it is first needed; roles of one account share
//! that account's rate limits, also with the process's own identity, and a throttle there slows no other account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Aws;
use super::credentials::Regions;
use super::fence::Fence;

/// A role to assume.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Role {
    /// Its ARN, which names the account.
    pub arn: String,
    /// The external id that its trust policy asks for.
    pub external_id: Option<String>,
    /// How the sessions are called.
    pub session_name: Option<String>,
}

/// The account, 12 digits, of the role with this ARN; none if it is no role's.
pub fn account_of_role(arn: &str) -> Option<&str> {
    let (account, role) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !role.is_empty()).then_some(account)
}

/// All of them. A clone shares them, also where it is for another leader in the process.
#[derive(Clone)]
pub struct Accounts {
    own: Aws,
    assumed: Arc<Mutex<HashMap<Role, Assumed>>>,
}

struct Assumed {
    aws: Aws,
    /// Whose STS the role is assumed from.
    regions: Regions,
}

impl Accounts {
    /// With the process's own account, whose credentials assume all roles.
    pub fn new(own: Aws) -> Self {
        Self {
            own,
            assumed: Arc::default(),
        }
    }

    /// Calls to any of them are made while `fence` is open, and none after.
    #[must_use]
    pub fn within(self, fence: Fence) -> Self {
        Self {
            own: self.own.within(fence),
            ..self
        }
    }

    /// The process's own.
    pub fn own(&self) -> &Aws {
        &self.own
    }

    /// What the calls to all accounts are within.
    pub fn fence(&self) -> &Fence {
        self.own.fence()
    }

    /// The account as `role` has it, or else the process's own. Its credentials come from the STS of any of `regions`,
    /// or of those of an app before.
    pub fn of<'a>(
        &self,
        role: Option<&Role>,
        regions: impl IntoIterator<Item = &'a str>,
    ) -> Arc<Aws> {
        let Some(role) = role else {
            return Arc::new(self.own.clone());
        };
        let mut all = self.assumed();
        let account = account_of_role(&role.arn);
        // The process's own is known once an app has needed it.
        let own = self.own.account.get().map(String::as_str);
        let limits = if own.is_some() && own == account {
            self.own.limits.clone()
        } else {
            let of_account = all
                .iter()
                .find(|(other, _)| account_of_role(&other.arn) == account);
            of_account.map_or_else(
                || Arc::new(self.own.limits.anew()),
                |(_, known)| known.aws.limits.clone(),
            )
        };
        let known = all.entry(role.clone()).or_insert_with(|| {
            let regions = Regions::default();
            let aws = self.own.assuming(role, regions.clone(), limits.clone());
            Assumed { aws, regions }
        });
        known.aws.limits = limits;
        known.regions.add(regions);
        Arc::new(known.aws.clone().within(self.fence().clone()))
    }

    fn assumed(&self) -> MutexGuard<'_, HashMap<Role, Assumed>> {
        self.assumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{ACCOUNT, recording};

    #[tokio::test]
    async fn a_role_of_the_own_account_shares_its_limits_once_that_is_known() {
        let (pass, _) = recording(false, |_| (500, ""));
        let accounts = Accounts::new(pass.aws().as_ref().clone());
        let role = |account: &str| Role {
            arn: format!("arn:aws:iam::{account}:role/tenant"),
            external_id: None,
            session_name: None,
        };
        let shares = |account: &str| {
            let aws = accounts.of(Some(&role(account)), ["us-east-1"]);
            Arc::ptr_eq(&aws.limits, &accounts.own().limits)
        };
        assert!(!shares(ACCOUNT), "it may be any account's");
        let own = accounts.own().account(&pass, "us-east-1").await;
        assert_eq!(own.as_deref(), Ok(ACCOUNT));
        assert!(shares(ACCOUNT), "also where the role was there before");
        assert!(!shares("210987654321"));
    }
}
