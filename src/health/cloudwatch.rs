//! Reads figures from CloudWatch, many at a call. AWS bills each metric asked for, not the call.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::evidence::{Query, Series, WINDOW};
use crate::aws::Pass;
use crate::model::Failure;

/// Metrics that AWS takes in one call.
pub const MOST_QUERIES: usize = 500;
/// Seconds that a datapoint is about.
const PERIOD: i32 = 60;

/// The datapoints of the last [`WINDOW`] of as many as [`MOST_QUERIES`] metrics published in `region`, in the order of
/// the queries.
///
/// # Errors
/// That of the call.
pub async fn read(
    pass: &Pass,
    region: &str,
    queries: &[&Query],
    now: Timestamp,
) -> Result<Vec<Series>, Failure> {
    let mut all = vec![Series::new(); queries.len()];
    let asked: Vec<MetricDataQuery> = queries.iter().enumerate().map(query).collect();
    let (start, end) = minutes(now);
    let mut token = None;
    loop {
        let get = pass.clients(region).cloudwatch.get_metric_data();
        let get = get
            .set_metric_data_queries(Some(asked.clone()))
            .start_time(DateTime::from_secs(start))
            .end_time(DateTime::from_secs(end))
            .scan_by(ScanBy::TimestampDescending)
            .set_next_token(token)
            .send();
        let page = pass
            .call("cloudwatch", "GetMetricData", region, get)
            .await?;
        for result in page.metric_data_results() {
            let number = result
                .id()
                .and_then(|id| id.strip_prefix('m')?.parse().ok());
            let Some((series, query)) =
                number.and_then(|number: usize| all.get_mut(number).zip(queries.get(number)))
            else {
                continue;
            };
            let points = result.timestamps().iter().zip(result.values());
            series.extend(points.filter_map(|(at, value)| {
                let at = Timestamp::from_second(at.secs()).ok()?;
                Some((at, value * query.unit))
            }));
        }
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// Whole minutes, as CloudWatch's own datapoints are; the one that is not over yet, too.
fn minutes(now: Timestamp) -> (i64, i64) {
    let period = i64::from(PERIOD);
    let end = now.as_second().div_euclid(period) * period + period;
    (end - SignedDuration::as_secs(&WINDOW) - period, end)
}

fn query((number, query): (usize, &&Query)) -> MetricDataQuery {
    let dimension =
        |(name, value): &(&str, String)| Dimension::builder().name(*name).value(value).build();
    let metric = Metric::builder()
        .namespace(query.namespace)
        .metric_name(query.metric)
        .set_dimensions(Some(query.dimensions.iter().map(dimension).collect()))
        .build();
    let statistic = MetricStat::builder()
        .metric(metric)
        .period(PERIOD)
        .stat(query.statistic)
        .build();
    MetricDataQuery::builder()
        .id(format!("m{number}"))
        .metric_stat(statistic)
        .return_data(true)
        .build()
}
