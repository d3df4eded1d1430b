//! `testbed setup`, `up` and `down`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use strict_aws::Config;
use testbed::process::Signal;
use testbed::wait::{self, Seen};
use testbed::{paths, process, setup};
use tokio::signal::unix::{SignalKind, signal};

use crate::show::Show;
use crate::stack::{self, Stack};

/// `testbed setup`: also what only the tests of the chart need.
pub async fn setup_everything() -> Result<()> {
    setup().await?;
    let tools = setup::ensure_chart_tools(|line| println!("   {line}")).await?;
    println!("   Ready: {}", tools.helm.display());
    println!("   Ready: {}", tools.kubeconform.display());
    Ok(())
}

/// What the local environment needs.
async fn setup() -> Result<()> {
    let tools = setup::ensure(|line| println!("   {line}")).await?;
    println!("   Ready: {}", tools.kube_apiserver.display());
    println!("   Ready: {}", tools.etcd.display());
    println!("   Ready: {}", tools.kubectl.display());
    println!("   Ready: ministack in {}", tools.python.display());
    Ok(())
}

/// `testbed up`: until Ctrl-C.
pub async fn attached() -> Result<()> {
    let mut show = Show::new();
    show.heading("Check the tools, build and install what is missing");
    setup().await?;
    let running = async {
        let mut stack = Stack::start(&mut show, Config::strict()).await?;
        stack.start_operator(&mut show).await?;
        stack.create_zone(&show, "example.com").await?;
        Ok::<_, anyhow::Error>(stack)
    };
    let stack = tokio::select! {
        stack = running => stack?,
        () = stop_requested() => return Ok(()),
    };
    stay(stack, &mut show).await
}

/// Leaves everything running until somebody wants it to stop.
pub async fn stay(stack: Stack, show: &mut Show) -> Result<()> {
    let file = stack.write_environment_file().await?;
    show.heading("It is running: explore it");
    explore(show, &file.display().to_string());
    show.block("\n`make down` stops it, and so does Ctrl-C where it runs in the foreground.");
    stop_requested().await;
    show.heading("Stop");
    stack.stop(show).await
}

/// `testbed up --detach`
pub async fn detached() -> Result<()> {
    let directory = paths::run_directory();
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("making {}", directory.display()))?;
    if let Some(pid) = stack::running(&directory) {
        bail!("already running (process {pid}); stop it with: make down");
    }
    // Here, where its progress is seen.
    setup::ensure(|line| println!("   {line}")).await?;
    let environment = directory.join("env");
    let _ = std::fs::remove_file(&environment);
    let log_path = directory.join("up.log");
    let log = std::fs::File::create(&log_path)
        .with_context(|| format!("writing {}", log_path.display()))?;
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command
        .arg("up")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let mut child = command.spawn().context("starting testbed up")?;
    let ready = wait::until("testbed up", Duration::from_secs(180), || {
        let ended = child.try_wait();
        let there = environment.is_file();
        async move {
            match ended? {
                Some(status) => Ok(Seen::Failed(format!("it ended with {status}"))),
                None => Ok(Seen::when(there, "not ready yet")),
            }
        }
    });
    let result = ready.await;
    println!(
        "{}",
        std::fs::read_to_string(&log_path)
            .unwrap_or_default()
            .trim_end()
    );
    result.with_context(|| format!("see also the logs in {}", directory.display()))
}

/// `testbed down`
pub async fn down() -> Result<()> {
    let directory = paths::run_directory();
    if let Some(pid) = stack::running(&directory) {
        process::send(pid, Signal::TERM)?;
        wait::until("the end of testbed", Duration::from_secs(60), || async {
            Ok(Seen::when(
                stack::running(&directory).is_none(),
                format!("process {pid} still runs"),
            ))
        })
        .await?;
        println!("Stopped.");
    } else {
        println!("Nothing is running.");
    }
    process::end_stale(&directory);
    Ok(())
}

/// Returns on Ctrl-C, SIGTERM, or when the terminal is closed.
pub async fn stop_requested() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn explore(show: &Show, environment_file: &str) {
    show.block(&format!(
        "In another shell:

  . {environment_file}        # KUBECONFIG, AWS_ENDPOINT_URL, kubectl and multiregion
  kubectl get multiregionapps -A -o wide
  kubectl create namespace web; kubectl apply -f deploy/samples/reference.yaml
  kubectl events -n web
  multiregion plan -f deploy/samples/reference.yaml
  aws-call lambda ListFunctions --region us-west-2
  tail -f {}",
        paths::run_directory().join("operator.log").display()
    ));
}
