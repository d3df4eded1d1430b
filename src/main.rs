//! `multiregion`: see `multiregion --help`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    multiregion::cli::main().await
}
