//! The picture of an app: its parts, what leads from one to another, and what is known of them. Pure.
//!
//! `multiregion graph` draws it as Mermaid, the web page as SVG. Ids of nodes are letters and digits only.

mod known;
mod parts;

use std::collections::BTreeSet;

use crate::api::{CONDITION_CERTIFICATE_ISSUED, CONDITION_FAILOVER_HEALTHY, RegionHealth, Role};
use crate::app::{App, Site};
use crate::model::ResourceId;
use crate::topology::ids;
pub use known::{Known, Lag, of_object};
pub use parts::{Arrow, Carries, Level, Node, Part, Picture, Region, State};

/// The picture of `app`.
pub fn picture(app: &App, known: &Known) -> Picture {
    let mut drawing = Drawing {
        known,
        picture: Picture::default(),
        drawn: BTreeSet::new(),
    };
    drawing.edge(app);
    for site in app.sites() {
        drawing.region(app, site);
    }
    drawing.origins(app);
    drawing.replication(app);
    drawing.roles(app);
    drawing.besides();
    drawing.picture
}

struct Drawing<'a> {
    known: &'a Known,
    picture: Picture,
    /// Resources that have a node.
    drawn: BTreeSet<String>,
}

impl Drawing<'_> {
    /// A node of `resources`, with what is to be done about them.
    fn node(
        &mut self,
        id: impl Into<String>,
        part: Part,
        title: &'static str,
        name: impl Into<String>,
        resources: &[ResourceId],
    ) -> &mut Node {
        let mut to_do = Vec::new();
        for resource in resources {
            let resource = resource.to_string();
            to_do.extend(self.known.pending.get(&resource).cloned());
            self.drawn.insert(resource);
        }
        self.picture.nodes.push(Node {
            id: id.into(),
            part,
            title,
            name: name.into(),
            region: None,
            takes_writes: false,
            state: None,
            to_do,
        });
        let last = self.picture.nodes.len() - 1;
        &mut self.picture.nodes[last]
    }

    fn arrow(&mut self, from: &str, carries: Carries, text: &str, to: &str) {
        self.picture.arrows.push(Arrow {
            from: from.into(),
            to: to.into(),
            carries,
            text: text.into(),
            state: None,
        });
    }

    /// What viewers meet.
    fn edge(&mut self, app: &App) {
        self.names(app);
        let state = self.known.distribution.as_ref().map(|status| State {
            level: if status == "Deployed" {
                Level::Good
            } else {
                Level::Busy
            },
            text: status.clone(),
        });
        let distribution = [ids::distribution(app)];
        let title = "CloudFront";
        self.node(
            "distribution",
            Part::Distribution,
            title,
            &app.prefix,
            &distribution,
        )
        .state = state;
        if app.dr.is_none() {
            return;
        }
        let codes: Vec<String> = app
            .spec
            .cdn
            .failover_status_codes
            .iter()
            .map(ToString::to_string)
            .collect();
        let codes = format!("fails over on {}", codes.join(", "));
        let state = self.known.condition(CONDITION_FAILOVER_HEALTHY);
        let title = "Origin group: functions";
        self.node("lambdaGroup", Part::FunctionGroup, title, &codes, &[])
            .state = state;
        let title = "Origin group: static files";
        self.node("staticGroup", Part::StaticGroup, title, &codes, &[]);
        if !app.spec.cdn.write_paths.is_empty() {
            let writer = match self.known.writer {
                Some((role, epoch)) => format!("writer: {}, epoch {epoch}", name(role)),
                None => "writer: not known".into(),
            };
            let resources = [ids::writer_key(app), ids::key_value_store()];
            self.node(
                "writer",
                Part::EdgeFunction,
                "Edge function",
                writer,
                &resources,
            );
        }
    }

    /// The name that it is reached by.
    fn names(&mut self, app: &App) {
        let Some(domain) = &app.domain else {
            return;
        };
        if domain.hosted_zone.is_some() {
            let records = ["A", "AAAA"].map(|kind| {
                ResourceId::global("route53_record", format!("{}/{kind}", domain.name))
            });
            let name = format!("A, AAAA {}", domain.name);
            self.node("records", Part::Records, "Route 53", name, &records);
        } else {
            self.node("records", Part::Records, "DNS elsewhere", &domain.name, &[]);
        }
        let certificate: Vec<ResourceId> = ids::certificate(app).into_iter().collect();
        let state = self.known.condition(CONDITION_CERTIFICATE_ISSUED);
        let title = "ACM certificate";
        self.node(
            "certificate",
            Part::Certificate,
            title,
            &domain.name,
            &certificate,
        )
        .state = state;
        self.arrow("records", Carries::Requests, "", "distribution");
        self.arrow("certificate", Carries::Grant, "", "distribution");
    }

    /// What there is in one region.
    fn region(&mut self, app: &App, site: &Site) {
        let before = self.picture.nodes.len();
        let side = side(site.role);
        let health = self.known.health.get(&site.role).copied();
        let takes_writes = self.known.writer.is_some_and(|(role, _)| role == site.role);
        self.picture.regions.push(Region {
            role: site.role,
            name: site.region.clone(),
            health,
            takes_writes,
        });
        let function = format!("lambda{side}");
        let resources = [ids::function(site), ids::function_url(site)];
        let node = self.node(
            &function,
            Part::Function,
            "Lambda",
            &site.function,
            &resources,
        );
        node.takes_writes = takes_writes;
        node.state = health.map(of_health);
        let code = format!("code{side}");
        let resources = [ids::deployment_bucket(site), ids::code(app, site)];
        let title = "S3: function.zip";
        self.node(
            &code,
            Part::Code,
            title,
            &site.deployment_bucket,
            &resources,
        );
        let resources = [ids::static_bucket(site), ids::static_policy(site)];
        let (id, title) = (format!("static{side}"), "S3: static files");
        self.node(
            id,
            Part::StaticFiles,
            title,
            &site.static_bucket,
            &resources,
        );
        let (kind, title) = match site.role {
            Role::Primary => ("dynamodb_table", "DynamoDB"),
            Role::Dr => ("dynamodb_table_replica", "DynamoDB replica"),
        };
        self.arrow(&code, Carries::Data, "code", &function);
        for (number, table) in app.tables.iter().enumerate() {
            let resource = ResourceId::new(kind, &site.region, &table.name);
            let id = format!("table{number}{side}");
            self.node(&id, Part::Table, title, &table.name, &[resource]);
            self.arrow(&function, Carries::Data, "", &id);
        }
        for node in &mut self.picture.nodes[before..] {
            node.region = Some(site.role);
        }
    }

    /// From the distribution to what answers.
    fn origins(&mut self, app: &App) {
        let cdn = &app.spec.cdn;
        let statics = app.spec.static_assets.paths.join(", ");
        let from = "distribution";
        if app.dr.is_none() {
            self.arrow(from, Carries::Requests, "all else", "lambdaprimary");
            self.arrow(from, Carries::Requests, &statics, "staticprimary");
            return;
        }
        self.arrow(from, Carries::Requests, "all else", "lambdaGroup");
        self.arrow(from, Carries::Requests, &statics, "staticGroup");
        for what in ["lambda", "static"] {
            let group = format!("{what}Group");
            self.arrow(&group, Carries::Requests, "", &format!("{what}primary"));
            self.arrow(&group, Carries::Failover, "failover", &format!("{what}dr"));
        }
        if cdn.write_paths.is_empty() {
            return;
        }
        self.arrow(
            from,
            Carries::Requests,
            &cdn.write_paths.join(", "),
            "writer",
        );
        let active = self.known.writer.map_or(Role::Primary, |(role, _)| role);
        for role in [Role::Primary, Role::Dr] {
            let (carries, text) = if role == active {
                (Carries::Writes, "reads and writes")
            } else {
                (Carries::Failover, "reads, failover")
            };
            self.arrow("writer", carries, text, &format!("lambda{}", side(role)));
        }
    }

    /// Between the regions.
    fn replication(&mut self, app: &App) {
        let Some(dr) = &app.dr else {
            return;
        };
        let (primary, dr) = (&app.primary, dr);
        let files = format!("s3/{}", primary.static_bucket);
        self.replica(&files, &primary.region, "staticprimary", "staticdr");
        for (number, table) in app.tables.iter().enumerate() {
            let source = format!("dynamodb/{}", table.name);
            let ends = [format!("table{number}primary"), format!("table{number}dr")];
            self.replica(&source, &primary.region, &ends[0], &ends[1]);
            self.replica(&source, &dr.region, &ends[1], &ends[0]);
        }
    }

    /// One replication in one direction.
    fn replica(&mut self, source: &str, region: &str, from: &str, to: &str) {
        let mut lags = self.known.lags.iter();
        let lag = lags.find(|lag| lag.source == source && lag.from == region);
        let text = match lag {
            None => "replication".into(),
            Some(lag) => match lag.seconds {
                Some(seconds) => format!("{seconds} s, {}", lag.state),
                None => lag.state.clone(),
            },
        };
        let level = lag.map(|lag| match lag.state.as_str() {
            "WithinObjective" => Level::Good,
            "NoData" | "NotConfigured" => Level::Unknown,
            _ => Level::Bad,
        });
        self.picture.arrows.push(Arrow {
            from: from.into(),
            to: to.into(),
            carries: Carries::Replication,
            state: level.map(|level| State {
                level,
                text: text.clone(),
            }),
            text,
        });
    }

    fn roles(&mut self, app: &App) {
        let role = [ids::execution_role(app)];
        self.node(
            "executionRole",
            Part::Role,
            "IAM role",
            app.execution_role(),
            &role,
        );
        for site in app.sites() {
            let function = format!("lambda{}", side(site.role));
            self.arrow("executionRole", Carries::Grant, "", &function);
        }
        if app.dr.is_some() {
            let (role, name) = ([ids::replication_role(app)], app.replication_role());
            self.node("replicationRole", Part::Role, "IAM role", name, &role);
            self.arrow("replicationRole", Carries::Grant, "", "staticprimary");
        }
    }

    /// What is to be done about parts that have no node.
    fn besides(&mut self) {
        let other = self.known.pending.iter();
        let other = other.filter(|(resource, _)| !self.drawn.contains(*resource));
        self.picture.besides = other
            .map(|(resource, change)| format!("{resource}: {change}"))
            .collect();
    }
}

fn of_health(health: RegionHealth) -> State {
    State {
        level: match health {
            RegionHealth::Healthy => Level::Good,
            RegionHealth::Unhealthy => Level::Bad,
            RegionHealth::Unknown => Level::Unknown,
        },
        text: format!("{health:?}"),
    }
}

/// What a node's id ends with.
pub fn side(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Dr => "dr",
    }
}

/// What people call it.
pub fn name(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Dr => "DR",
    }
}

#[cfg(test)]
mod tests;
