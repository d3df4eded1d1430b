//! The function's code until the user's own is there: a small Node handler that says its region and counts visits.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The handler's source; its Lambda handler is `index.handler`.
const INDEX_JS: &str = include_str!("placeholder/index.js");

/// The placeholder as a `function.zip`: the same bytes whenever it is made, so that its hash tells it from other code.
///
/// # Panics
/// Never: it is written to memory.
pub fn zip() -> Vec<u8> {
    // CommonJS needs no package.json; readable by all, because Lambda runs it as another user than the one who packs it.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive
        .start_file("index.js", options)
        .and_then(|()| Ok(archive.write_all(INDEX_JS.as_bytes())?))
        .expect("a small file fits into memory");
    archive
        .finish()
        .expect("the directory of one file fits into memory")
        .into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zip_holds_the_handler_and_is_always_the_same() {
        let bytes = zip();
        assert_eq!(bytes, zip());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
        let file = archive.by_name("index.js").expect("the handler");
        assert_eq!(file.unix_mode(), Some(0o100_644));
        assert_eq!(file.last_modified(), Some(DateTime::default()));
        assert_eq!(
            std::io::read_to_string(file).expect("text"),
            INDEX_JS.to_owned()
        );
    }

    #[test]
    fn the_handler_passes_its_own_tests() {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/src/placeholder/index.test.js");
        let output = std::process::Command::new("node")
            .args(["--test", tests])
            .output()
            .expect("node is installed");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
