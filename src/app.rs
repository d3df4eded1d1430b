//! An app: the spec parsed once, with its account, and every name given.
//!
//! Later steps never look at the raw spec again, and no name is put together anywhere else.

use std::collections::BTreeMap;

use crate::api::{
    AdoptionPolicy, AttributeType, DeletionPolicy, ManagementPolicy, MultiRegionAppSpec,
    OriginAccess, Role, Table,
};
use crate::aws::tags::OwnerKey;

/// Lambda's limit for names and values of all environment variables together, bytes.
const ENVIRONMENT_LIMIT: usize = 4096;

/// A declared app, ready to be laid out.
#[derive(Clone, PartialEq, Debug)]
pub struct App {
    /// Whose its resources are.
    pub owner: OwnerKey,
    /// AWS account, 12 digits.
    pub account: String,
    /// What its names begin with.
    pub prefix: String,
    /// The primary region's side.
    pub primary: Site,
    /// The DR region's side, if there is one.
    pub dr: Option<Site>,
    /// How it is reached by a name of its own.
    pub domain: Option<Domain>,
    /// Names and keys of its tables.
    pub tables: Vec<AppTable>,
    /// Environment of both functions.
    pub environment: BTreeMap<String, String>,
    /// Tags of all its resources, the owner's included.
    pub tags: BTreeMap<String, String>,
    /// Whether S3 origins are read through an access identity (else through an access control).
    pub origin_access_identity: bool,
    /// The region that takes the writes and the count of its moves, where a status knows them: should their key be lost,
    /// it is put again as it was.
    pub writer: Option<(Role, i64)>,
    /// The policy that bounds its roles, where the operator's configuration has one.
    pub permissions_boundary: Option<String>,
    /// The rest of the spec, for what needs no name.
    pub spec: MultiRegionAppSpec,
}

/// One region's names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Primary or DR.
    pub role: Role,
    /// AWS region.
    pub region: String,
    /// Name of the function.
    pub function: String,
    /// Name of the bucket with the function's zip.
    pub deployment_bucket: String,
    /// Name of the bucket with the static assets.
    pub static_bucket: String,
    /// Id of the Lambda origin.
    pub lambda_origin: &'static str,
    /// Id of the static origin.
    pub static_origin: &'static str,
}

/// A name of the app's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Host name.
    pub name: String,
    /// Public hosted zone's name or id; none where DNS is elsewhere.
    pub hosted_zone: Option<String>,
    /// The user's certificate; none where we request one.
    pub certificate_arn: Option<String>,
}

/// A table with the name it has in AWS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppTable {
    /// Name in AWS.
    pub name: String,
    /// As declared.
    pub spec: Table,
}

/// What only the parsed whole can tell to be wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// Lambda counts bytes, and our own variables too.
    #[error(
        "function.environment: {size} bytes with the variables set for you, more than Lambda's {ENVIRONMENT_LIMIT}: \
         shorten or remove some"
    )]
    EnvironmentTooLarge {
        /// Bytes.
        size: usize,
    },
}

impl App {
    /// Parses `spec` of the object `owner` in `account`.
    pub fn new(owner: OwnerKey, account: &str, spec: &MultiRegionAppSpec) -> Result<Self, Invalid> {
        let prefix = spec
            .resource_prefix
            .clone()
            .unwrap_or_else(|| owner.name.clone());
        let site = |role, region: &String| site(&prefix, account, role, region);
        let tables: Vec<AppTable> = spec
            .tables
            .iter()
            .map(|table| AppTable {
                name: format!("{prefix}-{}", table.name),
                spec: table.clone(),
            })
            .collect();
        let environment = environment(&prefix, spec, &tables);
        let size = environment
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > ENVIRONMENT_LIMIT {
            return Err(Invalid::EnvironmentTooLarge { size });
        }
        let mut tags = spec.tags.clone();
        tags.extend(owner.tags());
        Ok(Self {
            account: account.to_owned(),
            primary: site(Role::Primary, &spec.regions.primary),
            dr: spec
                .regions
                .dr
                .as_ref()
                .map(|region| site(Role::Dr, region)),
            domain: spec.domain.as_ref().and_then(|domain| {
                Some(Domain {
                    name: Some(domain.name.clone()).filter(|name| !name.is_empty())?,
                    hosted_zone: domain.hosted_zone.clone(),
                    certificate_arn: domain.certificate_arn.clone(),
                })
            }),
            origin_access_identity: spec.static_assets.origin_access
                == OriginAccess::OriginAccessIdentity,
            writer: None,
            permissions_boundary: None,
            owner,
            prefix,
            tables,
            environment,
            tags,
            spec: spec.clone(),
        })
    }

    /// The sides, primary first.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        std::iter::once(&self.primary).chain(&self.dr)
    }

    /// Name of the execution role.
    pub fn execution_role(&self) -> String {
        format!("{}-lambda-role", self.prefix)
    }

    /// Name of the role that S3 replicates with.
    pub fn replication_role(&self) -> String {
        format!("{}-s3-replication-role", self.prefix)
    }

    /// ARN of a role of this account.
    pub fn role_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:role/{name}", self.account)
    }

    /// ARN of a table in `region`.
    pub fn table_arn(&self, region: &str, table: &str) -> String {
        format!("arn:aws:dynamodb:{region}:{}:table/{table}", self.account)
    }

    /// The address its users open, once it has one.
    pub fn url(&self, distribution_domain: Option<&str>) -> Option<String> {
        let host = self
            .domain
            .as_ref()
            .map(|domain| domain.name.as_str())
            .or(distribution_domain)?;
        Some(format!("https://{host}"))
    }

    /// Whether nothing may be written to AWS.
    pub fn observe_only(&self) -> bool {
        self.spec.management_policy == ManagementPolicy::Observe
    }

    /// Whether what carries no owner is taken over.
    pub fn adopts(&self) -> bool {
        self.spec.adoption_policy == AdoptionPolicy::IfUnowned
    }

    /// What a deletion leaves.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }
}

fn site(prefix: &str, account: &str, role: Role, region: &str) -> Site {
    let (suffix, static_suffix, lambda_origin, static_origin) = match role {
        Role::Primary => ("primary", "", "lambda-primary", "static-primary"),
        Role::Dr => ("dr", "-dr", "lambda-dr", "static-dr"),
    };
    Site {
        role,
        region: region.to_owned(),
        function: format!("{prefix}-{suffix}"),
        deployment_bucket: format!("{prefix}-lambda-deployments-{account}-{region}"),
        static_bucket: format!("{prefix}-static-{account}{static_suffix}"),
        lambda_origin,
        static_origin,
    }
}

fn environment(
    prefix: &str,
    spec: &MultiRegionAppSpec,
    tables: &[AppTable],
) -> BTreeMap<String, String> {
    let mut environment = spec.function.environment.clone();
    let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
    set("NODE_ENV", "production");
    set("NITRO_PRESET", "aws-lambda");
    set("PRIMARY_REGION", &spec.regions.primary);
    if let Some(dr) = &spec.regions.dr {
        set("DR_REGION", dr);
    }
    set("PROJECT_NAME", prefix);
    if let Some(first) = tables.first() {
        set("DYNAMODB_TABLE", &first.name);
    }
    for table in tables {
        set(
            &format!("TABLE_{}", table.spec.name.to_uppercase().replace('-', "_")),
            &table.name,
        );
    }
    environment
}

/// `S`, `N` or `B`, as DynamoDB spells the types.
pub fn attribute_type(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::String => "S",
        AttributeType::Number => "N",
        AttributeType::Binary => "B",
    }
}
