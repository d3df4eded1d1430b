//! Lags, losses and evidence: what heartbeats and CloudWatch say together.

use jiff::{SignedDuration, Timestamp};

use super::heartbeats::What;
use super::{Known, Watch};
use crate::api::{MultiRegionApp, RegionHealth, Role};
use crate::health::evidence::{Figure, Query, Series, Told};
use crate::health::lag::{Direction, Row};
use crate::metrics::Metrics;

impl Watch {
    /// Takes up a reading of CloudWatch, or the attempt at one: what was asked for, and what of it was answered.
    pub(crate) fn take_figures(
        &self,
        app: &MultiRegionApp,
        asked: &[Query],
        read: Vec<(Figure, Series)>,
        now: Timestamp,
        metrics: &Metrics,
    ) {
        let mut known = self.known();
        let known = &mut *known;
        known.evidence.keep(asked);
        for (figure, series) in read {
            known.evidence.take(figure, series);
        }
        known.told = Some(known.evidence.show(now));
        for query in asked {
            let Figure::Lag(row) = &query.figure else {
                continue;
            };
            let told = known.evidence.lag(row, now);
            if told.is_some() {
                known.lags.entry(row.clone()).or_default();
            }
            if let Some(lag) = known.lags.get_mut(row) {
                lag.direction.tell(told);
                let (objective, stale) = What::of_row(row).limits(app);
                lag.shown = lag.direction.show(now, objective, stale);
            }
        }
        let asks = |row: &Row| {
            asked
                .iter()
                .any(|query| matches!(&query.figure, Figure::Lag(asked) if asked == row))
        };
        known
            .lags
            .retain(|row, lag| lag.beats || (lag.direction.is_told() && asks(row)));
        known.count_lags(metrics, app, now);
    }

    /// Notes that there is nothing, or nobody, to ask CloudWatch about: what it told of lags is the case no more.
    pub(crate) fn nothing_to_ask(&self, app: &MultiRegionApp, metrics: &Metrics) {
        let mut known = self.known();
        known
            .lags
            .values_mut()
            .for_each(|lag| lag.direction.tell(None));
        known.lags.retain(|_, lag| lag.beats);
        known.count_lags(metrics, app, Timestamp::now());
    }

    /// Notes that CloudWatch is not read.
    pub(crate) fn without_figures(&self) {
        self.known().told = Some(Told::default());
    }

    /// Whether a region is taken for unhealthy.
    pub(crate) fn is_unhealthy(&self) -> bool {
        let known = self.known();
        let mut regions = [&known.health.primary, &known.health.dr].into_iter();
        regions.any(|region| region.state == RegionHealth::Unhealthy)
    }

    /// What a move away from `from` would lose of the tables, as heartbeats measure it, if that is known of all that have
    /// any.
    pub(crate) fn loss(&self, app: &MultiRegionApp, from: Role) -> Option<SignedDuration> {
        self.known().longest(app, from, Direction::loss)
    }

    /// The most that such a move may lose, by all that is known.
    pub(crate) fn most_lost(&self, app: &MultiRegionApp, from: Role) -> Option<SignedDuration> {
        let known = self.known();
        // Both witnesses, as for a move.
        let failing = known.health.of(from).failing.zip(known.health.edge.failing);
        let down = failing.map(|(function, edge)| function.max(edge));
        let (objective, _) = What::Tables.limits(app);
        known.longest(app, from, |direction| direction.most_lost(down, objective))
    }
}

impl Known {
    pub(super) fn stop_beating(&mut self, row: &Row) {
        if let Some(lag) = self.lags.get_mut(row) {
            lag.beats = false;
            lag.direction.forget();
        }
        self.lags
            .retain(|_, lag| lag.beats || lag.direction.is_told());
    }

    /// For `/metrics`.
    pub(super) fn count_lags(&self, metrics: &Metrics, app: &MultiRegionApp, now: Timestamp) {
        let lags = self.lags.iter();
        let lags = lags.filter_map(|(row, lag)| Some((row.clone(), lag.direction.longest(now)?)));
        metrics.lags(app.metadata.uid.as_deref().unwrap_or_default(), lags);
    }

    fn longest(
        &self,
        app: &MultiRegionApp,
        from: Role,
        loss: impl Fn(&Direction) -> Option<SignedDuration>,
    ) -> Option<SignedDuration> {
        let regions = &app.spec.regions;
        let from = match from {
            Role::Primary => &regions.primary,
            Role::Dr => regions.dr.as_ref()?,
        };
        let tables = |(source, region, _): &Row| source.starts_with("dynamodb/") && region == from;
        let rows = self
            .lags
            .iter()
            .filter(|(row, lag)| lag.beats && tables(row));
        let losses: Option<Vec<SignedDuration>> =
            rows.map(|(_, lag)| loss(&lag.direction)).collect();
        losses?.into_iter().max()
    }
}
