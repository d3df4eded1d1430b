//! Child processes that never outlive the one that started them.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process};

use crate::wait::{self, Seen};

/// A server that was started here: its output goes to a file, its pid to `<name>.pid` beside it, and it is killed
/// when this is dropped.
///
/// On Linux the kernel kills it too when this process ends in any other way; elsewhere, the next start of the
/// same name in the same directory does.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Process {
    /// Starts `command` (from [`command`]), with its output appended to `<directory>/<name>.log`.
    ///
    /// # Errors
    /// When the program cannot be started or the files not be written.
    pub fn start(name: &str, command: Command, directory: &Path) -> Result<Self> {
        Self::start_with_log(
            name,
            command,
            directory,
            &directory.join(format!("{name}.log")),
        )
    }

    /// As [`Process::start`], with a log file of one's own.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_with_log(
        name: &str,
        mut command: Command,
        directory: &Path,
        log: &Path,
    ) -> Result<Self> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        // A group of its own, so that Ctrl-C reaches only us and we stop things in order.
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let pid_file = directory.join(format!("{name}.pid"));
        end_by_pid_file(&pid_file);
        let child = on_lasting_thread(command).with_context(|| format!("starting {name}"))?;
        write_pid_file(&pid_file, child.id(), name)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            pid_file,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output, for an error message.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 20)
    }

    /// An error of starting it, with what it said itself.
    pub fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!(
            "{error:#}; the log of {} ends with:\n{}",
            self.name,
            self.log_tail()
        )
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("asking after {}", self.name))
    }

    /// Sends it a signal; nothing happens if it has ended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // Until it has been waited for, its pid cannot have become another's.
        if self.exited()?.is_some() {
            return Ok(());
        }
        kill_process(pid(self.child.id())?, signal)
            .with_context(|| format!("signalling {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it is still there after `timeout`.
    pub async fn ended(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        wait::until(&what, timeout, || {
            let now = child.try_wait();
            async move { Ok(now?.map_or_else(|| Seen::Waiting("it still runs".into()), Seen::Done)) }
        })
        .await
    }

    /// SIGTERM, and waits for its end; SIGKILL if it takes longer than `grace`, which is an error.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match self.ended(grace).await {
            Ok(status) => {
                self.clean_up();
                Ok(status)
            }
            Err(error) => {
                self.kill()?;
                Err(self.explain(&error.context("it had to be killed")))
            }
        }
    }

    /// SIGKILL, to it and to what it started, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        if self.exited()?.is_none() {
            // The group, for the children it may have; itself, should it have left the group.
            let _ = kill_process_group(pid(self.child.id())?, Signal::KILL);
            self.child
                .kill()
                .with_context(|| format!("killing {}", self.name))?;
            self.child
                .wait()
                .with_context(|| format!("waiting for {}", self.name))?;
        }
        self.clean_up();
        Ok(())
    }

    fn clean_up(&self) {
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A command for [`Process::start`], which the kernel ends with this process where it can (Linux with util-linux).
pub fn command(program: &Path) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let dies_with_parent = *SETPRIV.get_or_init(|| {
        let mut probe = Command::new("setpriv");
        probe
            .args(["--pdeathsig", "KILL", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if dies_with_parent {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Ends what a run in `directory` that was itself killed has left behind, by its pid files.
pub fn end_stale(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pid") {
            end_by_pid_file(&path);
        }
    }
}

/// Ends the process that a pid file names, if that is still the one which was meant, and removes the file.
fn end_by_pid_file(path: &Path) {
    if let Some((number, name)) = read_pid_file(path)
        && number != std::process::id()
        && runs_as(number, &name)
        && let Ok(pid) = pid(number)
    {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = std::fs::remove_file(path);
}

/// Starts something that listens on ports it was given, again with others if they were taken in between.
///
/// # Errors
/// The last one; at once if it has nothing to do with ports.
pub async fn with_free_ports<T>(start: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut attempts = 1;
    loop {
        match start().await {
            Err(error) if attempts < 3 && format!("{error:#}").contains("already in use") => {
                attempts += 1
            }
            result => return result,
        }
    }
}

/// Sends a signal to a process that was not started here.
///
/// # Errors
/// When the system refuses.
pub fn send(process: u32, signal: Signal) -> Result<()> {
    kill_process(pid(process)?, signal).with_context(|| format!("signalling process {process}"))
}

/// Whether a process of this id exists.
pub fn is_alive(process: u32) -> bool {
    pid(process).is_ok_and(|pid| test_kill_process(pid).is_ok())
}

/// The pid and the name in a pid file, if it is there and whole.
pub fn read_pid_file(path: &Path) -> Option<(u32, String)> {
    let text = std::fs::read_to_string(path).ok()?;
    let (pid, name) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, name.to_owned()))
}

/// Writes a pid file: the pid, and a word of its command line to know it again by.
///
/// # Errors
/// When it cannot be written.
pub fn write_pid_file(path: &Path, process: u32, name: &str) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
    writeln!(file, "{process} {name}").with_context(|| format!("writing {}", path.display()))
}

/// Whether the process of this id has `name` in its command line: a pid file may be older than the last reboot.
pub fn runs_as(process: u32, name: &str) -> bool {
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "command=", "-p", &process.to_string()]);
    ps.output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(name))
}

/// The last `lines` lines of a text file, or why there are none.
pub fn tail(file: &Path, lines: usize) -> String {
    match std::fs::read(file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let all: Vec<&str> = text.lines().collect();
            all.get(all.len().saturating_sub(lines)..)
                .unwrap_or_default()
                .join("\n")
        }
        Err(error) => format!("({}: {error})", file.display()),
    }
}

fn pid(number: u32) -> Result<Pid> {
    match i32::try_from(number).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(pid),
        None => bail!("{number} is no process id"),
    }
}

type Answer = mpsc::Sender<std::io::Result<Child>>;

/// Spawns on a thread that lasts as long as this process.
///
/// The kernel's "parent has died" means the *thread* that spawned: a test's own thread ends with the test, while a
/// control plane shared by several tests has to go on.
fn on_lasting_thread(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<(Command, Answer)>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<(Command, Answer)>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, reply) = mpsc::channel();
    spawner
        .send((command, answer))
        .context("the spawning thread has ended")?;
    Ok(reply.recv().context("the spawning thread has ended")??)
}
