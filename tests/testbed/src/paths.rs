//! Where things are: the repository, the cache of what was built, scratch directories.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// The repository's root: where this crate was compiled from, or `MULTIREGION_ROOT` where that tree has moved.
pub fn repository() -> PathBuf {
    if let Some(root) = std::env::var_os("MULTIREGION_ROOT") {
        return PathBuf::from(root);
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .unwrap_or(manifest)
        .to_path_buf()
}

/// The cache of built and installed tools: `MULTIREGION_CACHE`, or `.cache` in the repository. Git ignores it.
pub fn cache() -> PathBuf {
    std::env::var_os("MULTIREGION_CACHE").map_or_else(|| repository().join(".cache"), PathBuf::from)
}

/// State of `testbed up` and `testbed demo`: logs, pid files, the admin kubeconfig.
pub fn run_directory() -> PathBuf {
    cache().join("run")
}

/// A new empty directory for one test, named after this process.
///
/// It stays after the test, so that its logs can be read; directories of processes that are gone are removed when
/// the next one is made.
///
/// # Errors
/// When it cannot be made.
pub fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let parent = cache().join("tests");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if number == 0 {
        remove_abandoned(&parent);
    }
    let directory = parent.join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

/// Removes scratch directories whose process has ended. Best effort: another process may be doing the same.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !crate::process::is_alive(pid)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
