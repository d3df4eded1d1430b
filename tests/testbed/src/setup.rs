//! What has to be built and installed once, into the cache: the control plane's programs and the local AWS.

mod charting;
mod go;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::sync::OnceCell;

use self::go::{GoBuild, Program};
use crate::paths;

pub use self::charting::{ChartTools, chart_tools, ensure_chart_tools};

/// One line of progress at a time. Called from a thread that may block.
pub type Progress = dyn Fn(&str) + Send + Sync;

/// The programs of `tools/control-plane`.
const CONTROL_PLANE: [Program; 3] = [
    Program {
        name: "etcd",
        package: "go.etcd.io/etcd/server/v3",
        takes: "about 1 min",
    },
    Program {
        name: "kubectl",
        package: "k8s.io/kubernetes/cmd/kubectl",
        takes: "about 1 min",
    },
    Program {
        name: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        takes: "about 3 min",
    },
];

/// The programs that everything else here runs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The control plane's store.
    pub etcd: PathBuf,
    /// The control plane itself.
    pub kube_apiserver: PathBuf,
    /// kubectl of the same version.
    pub kubectl: PathBuf,
    /// Python with the local AWS and botocore installed.
    pub python: PathBuf,
}

/// Checks the machine's tools, then builds and installs what is not in the cache yet.
///
/// Takes minutes the first time and well under a second afterwards. Several processes may call it at once: one
/// works, the others wait for it. Within a process it is done once.
///
/// # Errors
/// With a list of everything that is missing on this machine, or what failed to build with its output.
pub async fn ensure(progress: impl Fn(&str) + Send + Sync + 'static) -> Result<Tools> {
    static DONE: OnceCell<Tools> = OnceCell::const_new();
    let tools = DONE.get_or_try_init(|| async {
        let work = tokio::task::spawn_blocking(move || ensure_blocking(&progress));
        work.await.context("setting up was interrupted")?
    });
    tools.await.cloned()
}

/// [`ensure`] for tests: what it has to say goes to standard error.
///
/// # Errors
/// As [`ensure`].
pub async fn tools() -> Result<Tools> {
    ensure(|line| eprintln!("{line}")).await
}

fn ensure_blocking(progress: &Progress) -> Result<Tools> {
    check_tools()?;
    let cache = paths::cache();
    let assets = std::env::var_os("KUBEBUILDER_ASSETS")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let control_plane = match &assets {
        Some(_) => None,
        None => Some(control_plane_build(&cache)?),
    };
    let local_aws = LocalAwsInstallation::new(&cache)?;

    let all_there = || local_aws.is_done() && control_plane.as_ref().is_none_or(GoBuild::is_done);
    if !all_there() {
        let _lock = lock(&cache, progress)?;
        if let Some(control_plane) = control_plane.as_ref().filter(|build| !build.is_done()) {
            control_plane.run(progress)?;
        }
        if !local_aws.is_done() {
            local_aws.run(progress)?;
        }
    }

    let binaries = assets.unwrap_or_else(|| cache.join("bin"));
    let missing = go::missing(&binaries, &CONTROL_PLANE);
    if !missing.is_empty() {
        bail!(
            "there is no {} in {}",
            missing.join(", "),
            binaries.display()
        );
    }
    Ok(Tools {
        etcd: binaries.join("etcd"),
        kube_apiserver: binaries.join("kube-apiserver"),
        kubectl: binaries.join("kubectl"),
        python: local_aws.python(),
    })
}

/// Everything that is missing on this machine, at once, as `hack/check-tools.sh` says it.
fn check_tools() -> Result<()> {
    let script = paths::repository().join("hack/check-tools.sh");
    let output = Command::new("sh")
        .arg(&script)
        .output()
        .context("running hack/check-tools.sh")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{}", String::from_utf8_lossy(&output.stderr).trim())
}

/// The build of the control plane, into `bin`.
fn control_plane_build(cache: &Path) -> Result<GoBuild> {
    let mut build = GoBuild::new("control-plane", cache.join("bin"), &CONTROL_PLANE)?;
    let kubernetes = build.version_of("k8s.io/kubernetes")?;
    let etcd = build.version_of("go.etcd.io/etcd/server/v3")?;
    build.what = format!("Kubernetes {kubernetes} and etcd {etcd}");
    build.linker_flags = version_flags(&kubernetes);
    Ok(build)
}

/// The linker flags by which the programs know their version; unstamped, kubectl warns of an unknown skew.
fn version_flags(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!(
        "-X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    )
}

/// Holds the cache, so that one process works on it while others wait.
fn lock(cache: &Path, progress: &Progress) -> Result<File> {
    std::fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
    let path = cache.join("setup.lock");
    let lock = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    if lock.try_lock().is_err() {
        progress("waiting for another process that is setting up …");
        lock.lock().context("locking the cache")?;
    }
    Ok(lock)
}

/// `tools/requirements.txt`, installed into the virtual environment `venv`.
struct LocalAwsInstallation {
    base_python: String,
    requirements: PathBuf,
    environment: PathBuf,
    /// What it consists of, word for word: the requirements and the interpreter.
    stamp: String,
}

impl LocalAwsInstallation {
    fn new(cache: &Path) -> Result<Self> {
        let root = paths::repository();
        let requirements = root.join("tools/requirements.txt");
        let mut which = Command::new("sh");
        which.arg(root.join("hack/check-tools.sh")).arg("--python");
        let base_python = run(&mut which, "looking for Python")?.trim().to_owned();
        let version = run(
            Command::new(&base_python).arg("--version"),
            "python --version",
        )?;
        let stamp = format!("{}{version}", read(&requirements)?);
        Ok(Self {
            base_python,
            requirements,
            environment: cache.join("venv"),
            stamp,
        })
    }

    fn python(&self) -> PathBuf {
        self.environment.join("bin/python")
    }

    fn is_done(&self) -> bool {
        is_stamped(&self.environment, &self.stamp) && self.python().exists()
    }

    fn run(&self, progress: &Progress) -> Result<()> {
        progress(
            "installing the local AWS (ministack) into a virtual environment, under a minute …",
        );
        let start = Instant::now();
        if self.environment.exists() {
            std::fs::remove_dir_all(&self.environment)
                .with_context(|| format!("removing {}", self.environment.display()))?;
        }
        let mut make = Command::new(&self.base_python);
        make.args(["-m", "venv"]).arg(&self.environment);
        run(&mut make, "making the virtual environment")?;
        let mut install = Command::new(self.python());
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ]);
        install.arg(&self.requirements);
        run(&mut install, "installing tools/requirements.txt")?;
        progress(&format!(
            "installed the local AWS in {:.0} s",
            start.elapsed().as_secs_f64()
        ));
        write_stamp(&self.environment, &self.stamp)
    }
}

fn is_stamped(directory: &Path, stamp: &str) -> bool {
    std::fs::read_to_string(directory.join("stamp")).is_ok_and(|text| text == stamp)
}

/// Written last, so that what was interrupted is done again.
fn write_stamp(directory: &Path, stamp: &str) -> Result<()> {
    let path = directory.join("stamp");
    std::fs::write(&path, stamp).with_context(|| format!("writing {}", path.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Runs a command to its end and returns its output; an error holds what it printed.
fn run(command: &mut Command, what: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| what.to_owned())?;
    if !output.status.success() {
        bail!(
            "{what} failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
