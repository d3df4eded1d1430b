//! Apps of every shape.

use multiregion::api::MultiRegionAppSpec;
use multiregion::app::App;
use multiregion::aws::tags::OwnerKey;
use proptest::prelude::*;
use serde_json::json;

pub const PRIMARY: &str = "us-east-1";
pub const DR: &str = "us-west-2";
pub const ZONE: &str = "example.com";

/// How an app is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dns {
    None,
    Route53,
    External,
}

/// What of a spec makes a difference to the topology.
#[derive(Clone, PartialEq, Debug)]
pub struct Shape {
    pub dr: bool,
    pub dns: Dns,
    pub identity: bool,
    pub tables: usize,
    pub protected: bool,
    pub memory: i32,
    pub paths: usize,
    pub ttl: i32,
    pub deletion: &'static str,
    pub adopt: bool,
    pub observe: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            dr: true,
            dns: Dns::None,
            identity: false,
            tables: 1,
            protected: true,
            memory: 512,
            paths: 2,
            ttl: 60,
            deletion: "RetainData",
            adopt: false,
            observe: false,
        }
    }
}

impl Shape {
    pub fn app(&self) -> App {
        self.app_named("shop")
    }

    pub fn app_named(&self, name: &str) -> App {
        let toggle = if self.protected {
            "Enabled"
        } else {
            "Disabled"
        };
        let tables: Vec<_> = ["visits", "orders", "carts"]
            .iter()
            .take(self.tables)
            .map(|table| json!({"name": table, "deletionProtection": toggle}))
            .collect();
        let paths: Vec<_> = (0..self.paths)
            .map(|path| format!("/static{path}/*"))
            .collect();
        let mut spec = json!({
            "regions": {"primary": PRIMARY},
            "tables": tables,
            "function": {"memorySizeMiB": self.memory},
            "staticAssets": {
                "paths": paths,
                "originAccess":
                    if self.identity { "OriginAccessIdentity" } else { "OriginAccessControl" },
            },
            "cdn": {"cache": {"defaultTTLSeconds": self.ttl}},
            "deletionPolicy": self.deletion,
            "adoptionPolicy": if self.adopt { "IfUnowned" } else { "Never" },
            "managementPolicy": if self.observe { "Observe" } else { "Full" },
        });
        if self.dr {
            spec["regions"]["dr"] = json!(DR);
        }
        let domain = format!("{name}.example.com");
        match self.dns {
            Dns::None => {}
            Dns::Route53 => spec["domain"] = json!({"name": domain, "hostedZone": ZONE}),
            Dns::External => spec["domain"] = json!({"name": domain}),
        }
        let spec: MultiRegionAppSpec = serde_json::from_value(spec).unwrap();
        let owner = OwnerKey {
            cluster: "test".into(),
            namespace: "web".into(),
            name: name.into(),
        };
        App::new(owner, "123456789012", &spec).unwrap()
    }
}

pub fn shape() -> impl Strategy<Value = Shape> {
    (
        prop::bool::weighted(0.75),
        prop::sample::select(vec![Dns::None, Dns::Route53, Dns::External]),
        any::<bool>(),
        1..=3_usize,
        any::<bool>(),
        prop::sample::select(vec!["Retain", "RetainData", "Delete"]),
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(dr, dns, identity, tables, protected, deletion, adopt)| Shape {
                dr,
                dns,
                identity,
                tables,
                protected,
                deletion,
                adopt,
                ..Shape::default()
            },
        )
}

/// A change of a live app's spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edit {
    Dr,
    Access,
    Domain(Dns),
    Tables(usize),
    Memory,
    Paths,
    Ttl,
    Protection,
}

pub fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => Just(Edit::Dr),
        3 => Just(Edit::Access),
        1 => Just(Edit::Domain(Dns::None)),
        1 => Just(Edit::Domain(Dns::Route53)),
        1 => Just(Edit::Domain(Dns::External)),
        1 => (1..=3_usize).prop_map(Edit::Tables),
        1 => Just(Edit::Memory),
        1 => Just(Edit::Paths),
        1 => Just(Edit::Ttl),
        1 => Just(Edit::Protection),
    ]
}

impl Shape {
    #[must_use]
    pub fn edited(&self, edit: Edit) -> Self {
        let mut shape = self.clone();
        match edit {
            Edit::Dr => shape.dr = !shape.dr,
            Edit::Access => shape.identity = !shape.identity,
            Edit::Domain(dns) => shape.dns = dns,
            Edit::Tables(tables) => shape.tables = tables,
            Edit::Memory => shape.memory += 128,
            Edit::Paths => shape.paths = 1 + shape.paths % 4,
            Edit::Ttl => shape.ttl += 1,
            Edit::Protection => shape.protected = !shape.protected,
        }
        shape
    }
}
