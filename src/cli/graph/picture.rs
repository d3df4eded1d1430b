//! The picture itself: a Mermaid flowchart, a pure function of the app and of what is known of it.
//!
//! Ids are letters and digits only, and every label is quoted: nothing that AWS or a user names can break the syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::api::{RegionHealth, Role};
use crate::app::{App, Site};
use crate::model::ResourceId;
use crate::topology::ids;

/// What is known of the parts; what is not known is not drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Known {
    /// The region that takes the writes, and the count of the moves.
    pub writer: Option<(Role, i64)>,
    /// What the probes say.
    pub health: BTreeMap<Role, RegionHealth>,
    /// Each replication in each direction.
    pub lags: Vec<Lag>,
    /// What is to be done yet, by the resource.
    pub pending: BTreeMap<String, String>,
}

/// One replication in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lag {
    /// As in the status.
    pub source: String,
    /// Region that it comes from.
    pub from: String,
    /// In seconds, if it is known.
    pub seconds: Option<i64>,
    /// How it stands.
    pub state: String,
}

/// Draws `app`.
pub(super) fn picture(app: &App, known: &Known) -> String {
    let mut drawing = Drawing {
        known,
        lines: vec!["flowchart LR".into()],
        drawn: BTreeSet::new(),
        pending: Vec::new(),
    };
    drawing.edge(app);
    for site in app.sites() {
        drawing.region(app, site);
    }
    drawing.origins(app);
    drawing.replication(app);
    drawing.roles(app);
    drawing.rest();
    drawing.lines.join("\n")
}

struct Drawing<'a> {
    known: &'a Known,
    lines: Vec<String>,
    /// Resources that have a node.
    drawn: BTreeSet<String>,
    /// Nodes that something is to be done about.
    pending: Vec<String>,
}

impl Drawing<'_> {
    /// A node of `resources`, with what is to be done about them.
    fn node(&mut self, id: &str, text: &[&str], resources: &[ResourceId]) {
        let mut text: Vec<String> = text.iter().map(|&line| line.to_owned()).collect();
        let before = text.len();
        for resource in resources {
            let resource = resource.to_string();
            if let Some(change) = self.known.pending.get(&resource) {
                text.push(format!("to do: {change}"));
            }
            self.drawn.insert(resource);
        }
        if text.len() > before {
            self.pending.push(id.into());
        }
        self.lines.push(format!("  {id}[{}]", label(&text)));
    }

    fn arrow(&mut self, from: &str, arrow: &str, text: &str, to: &str) {
        self.lines.push(if text.is_empty() {
            format!("  {from} {arrow} {to}")
        } else {
            format!("  {from} {arrow}|{}| {to}", label(&[text.into()]))
        });
    }

    /// What viewers meet.
    fn edge(&mut self, app: &App) {
        if let Some(domain) = &app.domain {
            if app
                .domain
                .as_ref()
                .is_some_and(|domain| domain.hosted_zone.is_some())
            {
                let records = ["A", "AAAA"].map(|kind| {
                    ResourceId::global("route53_record", format!("{}/{kind}", domain.name))
                });
                let name = format!("A, AAAA {}", domain.name);
                self.node("records", &["Route 53", &name], &records);
            } else {
                self.node("records", &["DNS elsewhere", &domain.name], &[]);
            }
            let certificate: Vec<ResourceId> = ids::certificate(app).into_iter().collect();
            let text = ["ACM certificate", domain.name.as_str()];
            self.node("certificate", &text, &certificate);
            self.arrow("records", "-->", "", "distribution");
            self.arrow("certificate", "-.->", "", "distribution");
        }
        let distribution = [ids::distribution(app)];
        self.node("distribution", &["CloudFront", &app.prefix], &distribution);
        let codes: Vec<String> = app
            .spec
            .cdn
            .failover_status_codes
            .iter()
            .map(ToString::to_string)
            .collect();
        let codes = format!("fails over on {}", codes.join(", "));
        if app.dr.is_some() {
            self.node("lambdaGroup", &["Origin group: functions", &codes], &[]);
            self.node("staticGroup", &["Origin group: static files", &codes], &[]);
        }
        if app.dr.is_some() && !app.spec.cdn.write_paths.is_empty() {
            let writer = match self.known.writer {
                Some((role, epoch)) => format!("writer: {}, epoch {epoch}", name(role)),
                None => "writer: not known".into(),
            };
            let resources = [ids::writer_key(app), ids::key_value_store()];
            self.node("writer", &["Edge function", &writer], &resources);
        }
    }

    /// What there is in one region.
    fn region(&mut self, app: &App, site: &Site) {
        let side = side(site.role);
        let mut title = format!("{} {}", name(site.role), site.region);
        if let Some(health) = self.known.health.get(&site.role) {
            let _ = write!(title, ": {health:?}");
        }
        self.lines
            .push(format!("  subgraph {side}[{}]", label(&[title])));
        let writer = self.known.writer.is_some_and(|(role, _)| role == site.role);
        let mut function = vec!["Lambda", site.function.as_str()];
        if writer {
            function.push("takes the writes");
        }
        self.node(
            &format!("lambda{side}"),
            &function,
            &[ids::function(site), ids::function_url(site)],
        );
        self.node(
            &format!("code{side}"),
            &["S3: function.zip", &site.deployment_bucket],
            &[ids::deployment_bucket(site), ids::code(app, site)],
        );
        self.node(
            &format!("static{side}"),
            &["S3: static files", &site.static_bucket],
            &[ids::static_bucket(site), ids::static_policy(site)],
        );
        for (number, table) in app.tables.iter().enumerate() {
            let kind = match site.role {
                Role::Primary => ("dynamodb_table", "DynamoDB"),
                Role::Dr => ("dynamodb_table_replica", "DynamoDB replica"),
            };
            let resource = ResourceId::new(kind.0, &site.region, &table.name);
            let id = format!("table{number}{side}");
            self.node(&id, &[kind.1, &table.name], &[resource]);
        }
        self.lines.push("  end".into());
        let function = format!("lambda{side}");
        self.arrow(&format!("code{side}"), "-->", "code", &function);
        for number in 0..app.tables.len() {
            self.arrow(&function, "-->", "", &format!("table{number}{side}"));
        }
    }

    /// From the distribution to what answers.
    fn origins(&mut self, app: &App) {
        let cdn = &app.spec.cdn;
        let statics = app.spec.static_assets.paths.join(", ");
        let writes = cdn.write_paths.join(", ");
        if app.dr.is_none() {
            self.arrow("distribution", "-->", "all else", "lambdaprimary");
            self.arrow("distribution", "-->", &statics, "staticprimary");
            return;
        }
        self.arrow("distribution", "-->", "all else", "lambdaGroup");
        self.arrow("distribution", "-->", &statics, "staticGroup");
        for what in ["lambda", "static"] {
            let group = format!("{what}Group");
            self.arrow(&group, "-->", "", &format!("{what}primary"));
            self.arrow(&group, "-.->", "failover", &format!("{what}dr"));
        }
        if !cdn.write_paths.is_empty() {
            self.arrow("distribution", "-->", &writes, "writer");
            let sides = [Role::Primary, Role::Dr].map(|role| {
                let active = self.known.writer.map_or(Role::Primary, |(role, _)| role) == role;
                (role, active)
            });
            for (role, active) in sides {
                let (arrow, text) = if active {
                    ("==>", "reads and writes")
                } else {
                    ("-.->", "reads, failover")
                };
                self.arrow("writer", arrow, text, &format!("lambda{}", side(role)));
            }
        }
    }

    /// Between the regions.
    fn replication(&mut self, app: &App) {
        let Some(dr) = &app.dr else {
            return;
        };
        let (primary, dr) = (&app.primary, dr);
        let files = format!("s3/{}", primary.static_bucket);
        let lag = self.lag(&files, &primary.region);
        self.arrow("staticprimary", "-->", &lag, "staticdr");
        for (number, table) in app.tables.iter().enumerate() {
            let source = format!("dynamodb/{}", table.name);
            let ends = [format!("table{number}primary"), format!("table{number}dr")];
            let lag = self.lag(&source, &primary.region);
            self.arrow(&ends[0], "-->", &lag, &ends[1]);
            let lag = self.lag(&source, &dr.region);
            self.arrow(&ends[1], "-->", &lag, &ends[0]);
        }
    }

    fn lag(&self, source: &str, from: &str) -> String {
        let mut lags = self.known.lags.iter();
        let Some(lag) = lags.find(|lag| lag.source == source && lag.from == from) else {
            return "replication".into();
        };
        match lag.seconds {
            Some(seconds) => format!("{seconds} s, {}", lag.state),
            None => lag.state.clone(),
        }
    }

    fn roles(&mut self, app: &App) {
        let (execution, replication) = (app.execution_role(), app.replication_role());
        self.node(
            "executionRole",
            &["IAM role", &execution],
            &[ids::execution_role(app)],
        );
        for site in app.sites() {
            let function = format!("lambda{}", side(site.role));
            self.arrow("executionRole", "-.->", "", &function);
        }
        if app.dr.is_some() {
            self.node(
                "replicationRole",
                &["IAM role", &replication],
                &[ids::replication_role(app)],
            );
            self.arrow("replicationRole", "-.->", "", "staticprimary");
        }
    }

    /// What is to be done about parts that have no node, and how what stands out looks.
    fn rest(&mut self) {
        let other: Vec<String> = self
            .known
            .pending
            .iter()
            .filter(|(resource, _)| !self.drawn.contains(*resource))
            .map(|(resource, change)| format!("{resource}: {change}"))
            .collect();
        if !other.is_empty() {
            let mut text = vec!["To do besides".to_owned()];
            text.extend(other);
            self.lines.push(format!("  besides[{}]", label(&text)));
            self.pending.push("besides".into());
        }
        self.class("pending", "stroke-dasharray: 5 5", &self.pending.clone());
        if let Some((role, _)) = self.known.writer {
            let function = format!("lambda{}", side(role));
            self.class("takesWrites", "stroke-width:4px", &[function]);
        }
        let unhealthy: Vec<String> = self
            .known
            .health
            .iter()
            .filter(|(_, health)| **health == RegionHealth::Unhealthy)
            .map(|(role, _)| side(*role).to_owned())
            .collect();
        self.class("unhealthy", "fill:#fdd,stroke:#c00", &unhealthy);
    }

    fn class(&mut self, class: &str, style: &str, nodes: &[String]) {
        if !nodes.is_empty() {
            self.lines.push(format!("  classDef {class} {style}"));
            self.lines
                .push(format!("  class {} {class}", nodes.join(",")));
        }
    }
}

/// Lines in quotes. What a quoted label cannot hold is written as Mermaid's entity for it.
fn label(lines: &[String]) -> String {
    let escaped: Vec<String> = lines
        .iter()
        .map(|line| {
            line.replace('#', "#35;")
                .replace('"', "#quot;")
                .replace('<', "#lt;")
                .replace('>', "#gt;")
                .replace('\n', " ")
        })
        .collect();
    format!("\"{}\"", escaped.join("<br/>"))
}

fn side(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Dr => "dr",
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Dr => "DR",
    }
}

#[cfg(test)]
mod tests;
