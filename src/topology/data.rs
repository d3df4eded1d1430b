//! What is kept: the tables with their replicas, the replication of the static bucket.

use super::{ids, want};
use crate::app::{App, AppTable, attribute_type};
use crate::model::{Desired, Input, ResourceId};
use crate::resources::{dynamodb_table, dynamodb_table_replica, s3_bucket_replication};

/// Each table, and its replica where there is a DR region.
pub(super) fn tables(app: &App) -> Vec<Desired> {
    let mut all = Vec::new();
    for table in &app.tables {
        let id = ids::table(&app.primary, &table.name);
        all.push(want(id.clone(), &config(app, table)));
        if let Some(dr) = &app.dr {
            let replica = dynamodb_table_replica::Config {
                source_region: app.primary.region.clone(),
                point_in_time_recovery: table.spec.point_in_time_recovery.is_enabled(),
                deletion_protection: table.spec.deletion_protection.is_enabled(),
                tags: app.tags.clone(),
            };
            all.push(want(ids::table(dr, &table.name), &replica).after(&id));
        }
    }
    all
}

fn config(app: &App, table: &AppTable) -> dynamodb_table::Config {
    let attribute = |key: &crate::api::KeyAttribute| dynamodb_table::KeyAttribute {
        name: key.name.clone(),
        kind: attribute_type(key.r#type).into(),
    };
    dynamodb_table::Config {
        partition_key: attribute(&table.spec.key.partition),
        sort_key: table.spec.key.sort.as_ref().map(attribute),
        billing_mode: "PAY_PER_REQUEST".into(),
        stream_view_type: "NEW_AND_OLD_IMAGES".into(),
        time_to_live_attribute: table.spec.time_to_live_attribute.clone(),
        point_in_time_recovery: table.spec.point_in_time_recovery.is_enabled(),
        deletion_protection: table.spec.deletion_protection.is_enabled(),
        tags: app.tags.clone(),
    }
}

/// The rule that copies the primary static bucket to the DR one; S3 wants both versioned first.
pub(super) fn static_replication(app: &App) -> Option<Desired> {
    let dr = app.dr.as_ref()?;
    let config = s3_bucket_replication::Config {
        role_arn: Input::output(&ids::replication_role(app), "arn"),
        destination_arn: Input::output(&ids::static_bucket(dr), "arn"),
        replication_time_control: app.spec.static_assets.replication_time_control.is_enabled(),
    };
    let id = ResourceId::new(
        "s3_bucket_replication",
        &app.primary.region,
        &app.primary.static_bucket,
    );
    Some(want(id, &config).after(&ids::static_bucket(dr)))
}
