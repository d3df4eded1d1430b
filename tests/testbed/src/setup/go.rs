//! Programs that are built from a Go module of ours below `tools/`, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Progress, is_stamped, read, run, write_stamp};
use crate::paths;

/// One program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// What a build takes on two cores when it comes after those before it.
    pub(super) takes: &'static str,
}

/// The programs of one module.
pub(super) struct GoBuild {
    module: PathBuf,
    binaries: PathBuf,
    programs: &'static [Program],
    /// What progress calls it.
    pub(super) what: String,
    /// Beside those that leave symbols out.
    pub(super) linker_flags: String,
    go_mod: String,
    /// What the build depends on, word for word: module, checksums and compiler.
    stamp: String,
}

impl GoBuild {
    /// The build of `tools/<module>` into `binaries`.
    pub(super) fn new(
        module: &str,
        binaries: PathBuf,
        programs: &'static [Program],
    ) -> Result<Self> {
        let module = paths::repository().join("tools").join(module);
        let go = run(
            Command::new("go").arg("version").current_dir(&module),
            "go version",
        )?;
        let go_mod = read(&module.join("go.mod"))?;
        let stamp = format!("{go_mod}{}{go}", read(&module.join("go.sum"))?);
        Ok(Self {
            module,
            binaries,
            programs,
            what: String::new(),
            linker_flags: String::new(),
            go_mod,
            stamp,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        is_stamped(&self.binaries, &self.stamp) && missing(&self.binaries, self.programs).is_empty()
    }

    pub(super) fn run(&self, progress: &Progress) -> Result<()> {
        progress(&format!("building {} from source, once", self.what));
        std::fs::create_dir_all(&self.binaries)
            .with_context(|| format!("making {}", self.binaries.display()))?;
        for (index, program) in self.programs.iter().enumerate() {
            let Program {
                name,
                package,
                takes,
            } = program;
            progress(&format!(
                "building {name} ({} of {}, {takes}) …",
                index + 1,
                self.programs.len()
            ));
            let start = Instant::now();
            let mut build = Command::new("go");
            build
                .args(["build", "-trimpath", "-ldflags"])
                .arg(format!("-s -w {}", self.linker_flags))
                .arg("-o")
                .arg(self.binaries.join(name))
                .arg(package)
                .env("CGO_ENABLED", "0")
                .current_dir(&self.module);
            run(&mut build, &format!("building {name}"))?;
            progress(&format!(
                "built {name} in {:.0} s",
                start.elapsed().as_secs_f64()
            ));
        }
        write_stamp(&self.binaries, &self.stamp)
    }

    /// The version that go.mod requires of a module.
    pub(super) fn version_of(&self, module: &str) -> Result<String> {
        version_of(&self.go_mod, module)
    }
}

/// Those of the programs that are not in `directory`.
pub(super) fn missing(directory: &Path, programs: &[Program]) -> Vec<&'static str> {
    programs
        .iter()
        .map(|program| program.name)
        .filter(|name| !directory.join(name).is_file())
        .collect()
}

pub(super) fn version_of(go_mod: &str, module: &str) -> Result<String> {
    let requirement = go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
    });
    match requirement {
        Some(version) if version.starts_with('v') => Ok(version.to_owned()),
        _ => bail!("go.mod requires no version of {module}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_requirements_not_the_replacements() {
        let go_mod = "require (\n\tk8s.io/kubernetes v1.36.3\n)\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";
        assert_eq!(
            version_of(go_mod, "k8s.io/kubernetes").expect("is required"),
            "v1.36.3"
        );
        version_of(go_mod, "k8s.io/api").expect_err("is only replaced");
    }

    #[test]
    fn the_modules_pin_what_is_stamped() {
        for (module, required, major) in [
            ("control-plane", "k8s.io/kubernetes", "v1."),
            ("control-plane", "go.etcd.io/etcd/server/v3", "v3."),
            ("charting", "helm.sh/helm/v4", "v4."),
            ("charting", "github.com/yannh/kubeconform", "v0."),
        ] {
            let go_mod = paths::repository()
                .join("tools")
                .join(module)
                .join("go.mod");
            let version = version_of(&read(&go_mod).expect("go.mod"), required).expect(required);
            assert!(version.starts_with(major), "{required} {version}");
        }
    }
}
