//! What checks the chart: helm, kubeconform, and definitions of resources of others. Apart from the rest, as neither the
//! demo nor any other test needs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::go::{GoBuild, Program};
use super::{Progress, is_stamped, lock, read, run, write_stamp};
use crate::paths;

/// The programs of `tools/charting`.
const PROGRAMS: [Program; 2] = [
    Program {
        name: "helm",
        package: "helm.sh/helm/v4/cmd/helm",
        takes: "about 2 min",
    },
    Program {
        name: "kubeconform",
        package: "github.com/yannh/kubeconform/cmd/kubeconform",
        takes: "seconds",
    },
];

/// The module of `tools/definitions`, and what is taken from it.
const PROMETHEUS_OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator";
const DEFINITIONS: [&str; 2] = [
    "monitoring.coreos.com_servicemonitors.yaml",
    "monitoring.coreos.com_prometheusrules.yaml",
];

/// The programs and files.
#[derive(Clone, Debug)]
pub struct ChartTools {
    /// helm itself.
    pub helm: PathBuf,
    /// Compares manifests with JSON schemas.
    pub kubeconform: PathBuf,
    /// Files with the definitions of the Prometheus operator's resources that the chart renders.
    pub definitions: Vec<PathBuf>,
}

/// Builds and downloads what is not in the cache yet; see [`super::ensure`].
///
/// # Errors
/// What failed to build or download, with its output.
pub async fn ensure_chart_tools(
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<ChartTools> {
    static DONE: OnceCell<ChartTools> = OnceCell::const_new();
    let tools = DONE.get_or_try_init(|| async {
        let work = tokio::task::spawn_blocking(move || ensure_blocking(&progress));
        work.await.context("setting up was interrupted")?
    });
    tools.await.cloned()
}

/// [`ensure_chart_tools`] for tests: what it has to say goes to standard error.
///
/// # Errors
/// As [`ensure_chart_tools`].
pub async fn chart_tools() -> Result<ChartTools> {
    ensure_chart_tools(|line| eprintln!("{line}")).await
}

fn ensure_blocking(progress: &Progress) -> Result<ChartTools> {
    let cache = paths::cache();
    let binaries = cache.join("charting");
    let mut build = GoBuild::new("charting", binaries.clone(), &PROGRAMS)?;
    let helm = build.version_of("helm.sh/helm/v4")?;
    build.what = format!("helm {helm} and kubeconform");
    build.linker_flags = format!("-X helm.sh/helm/v4/internal/version.version={helm}");
    let definitions = Definitions::new(&cache)?;
    if !build.is_done() || !definitions.is_done() {
        let _lock = lock(&cache, progress)?;
        if !build.is_done() {
            build.run(progress)?;
        }
        if !definitions.is_done() {
            definitions.run(progress)?;
        }
    }
    Ok(ChartTools {
        helm: binaries.join("helm"),
        kubeconform: binaries.join("kubeconform"),
        definitions: definitions.files(),
    })
}

/// What is taken out of a Go module of others, of which nothing is built.
struct Definitions {
    module: PathBuf,
    directory: PathBuf,
    stamp: String,
}

impl Definitions {
    fn new(cache: &Path) -> Result<Self> {
        let module = paths::repository().join("tools/definitions");
        let stamp = format!(
            "{}{}",
            read(&module.join("go.mod"))?,
            read(&module.join("go.sum"))?
        );
        Ok(Self {
            module,
            directory: cache.join("definitions"),
            stamp,
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        DEFINITIONS
            .iter()
            .map(|name| self.directory.join(name))
            .collect()
    }

    fn is_done(&self) -> bool {
        is_stamped(&self.directory, &self.stamp) && self.files().iter().all(|file| file.is_file())
    }

    fn run(&self, progress: &Progress) -> Result<()> {
        progress("downloading the definitions of the Prometheus operator's resources …");
        let mut download = Command::new("go");
        download
            .args(["mod", "download", "-json", PROMETHEUS_OPERATOR])
            .current_dir(&self.module);
        let told = run(
            &mut download,
            "downloading the Prometheus operator's module",
        )?;
        let told: Value = serde_json::from_str(&told).context("reading go's answer")?;
        let source = told["Dir"]
            .as_str()
            .context("go names the module's directory")?;
        let source = Path::new(source).join("example/prometheus-operator-crd");
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("making {}", self.directory.display()))?;
        for name in DEFINITIONS {
            let text = read(&source.join(name))?;
            let file = self.directory.join(name);
            std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        write_stamp(&self.directory, &self.stamp)
    }
}
