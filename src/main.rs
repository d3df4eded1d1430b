//! `multiregion`: see `multiregion --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The SDK's futures nest deeply; without optimisation a poll of one takes more than the usual 2 MiB. Only touched
/// pages cost memory.
const STACK: usize = 16 * 1024 * 1024;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build();
    match runtime {
        // On a worker, whose stack is as large as said.
        Ok(runtime) => {
            let done = runtime.block_on(runtime.spawn(multiregion::cli::main()));
            // A name that is still being looked up, say, holds nothing up.
            runtime.shutdown_background();
            done.unwrap_or_else(|error| failed(&error))
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
