//! An app's life: made, kept, changed, taken away.

use std::time::Duration;

use anyhow::Result;
use strict_aws::Config;

use crate::world::{World, minimal};

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_app_becomes_ready_and_stays_quiet() -> Result<()> {
    let world = World::new("smallest", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world.assert_quiet("shop").await?;
    world.delete("shop").await?;
    world.until_gone("shop", Duration::from_secs(60)).await
}
