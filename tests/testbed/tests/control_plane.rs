//! The control plane is a real one: it stores, restarts, and refuses by RBAC.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::{ControlPlane, paths};

const CONFIG_MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: pond, namespace: default}
data: {ducks: '3'}
";

const READER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: readers}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: readers}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: readers}]
";

#[tokio::test]
async fn objects_survive_an_api_server_that_is_killed() {
    let directory = paths::scratch().expect("a directory");
    let start = Instant::now();
    let control_plane = ControlPlane::start(&directory)
        .await
        .expect("a control plane");
    println!("ready after {:.1} s", start.elapsed().as_secs_f64());
    let mode = std::fs::metadata(control_plane.kubeconfig())
        .expect("a kubeconfig")
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o777,
        0o600,
        "the admin's kubeconfig is the admin's only"
    );

    control_plane
        .kubectl_ok(&["apply", "-f", "-"], Some(CONFIG_MAP))
        .await
        .expect("apply");
    control_plane.stop_api_server().await.expect("stop");
    let down = control_plane
        .kubectl(&["get", "configmaps"], None)
        .await
        .expect("kubectl runs");
    assert!(!down.success(), "nothing answers while it is down");

    let start = Instant::now();
    control_plane.start_api_server().await.expect("start");
    println!("ready again after {:.1} s", start.elapsed().as_secs_f64());
    let ducks = ["get", "configmap", "pond", "-o", "jsonpath={.data.ducks}"];
    assert_eq!(
        control_plane.kubectl_ok(&ducks, None).await.expect("get"),
        "3"
    );
    control_plane.stop().await.expect("stop");
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_nothing_else() {
    let control_plane = ControlPlane::start(&paths::scratch().expect("a directory"))
        .await
        .expect("a control plane");
    control_plane
        .kubectl_ok(&["apply", "-f", "-"], Some(CONFIG_MAP))
        .await
        .expect("apply");
    control_plane
        .kubectl_ok(&["apply", "-f", "-"], Some(READER))
        .await
        .expect("apply");
    let kubeconfig = control_plane
        .service_account_kubeconfig("readers", "reader")
        .await
        .expect("a kubeconfig");
    let reader = control_plane.kubectl_as(&kubeconfig);

    reader
        .ok(&["get", "configmap", "pond"], None)
        .await
        .expect("its role allows this");
    let denied = reader
        .run(&["get", "secrets"], None)
        .await
        .expect("kubectl runs");
    assert!(!denied.success());
    assert!(
        denied
            .stderr
            .contains("system:serviceaccount:readers:reader"),
        "{}",
        denied.stderr
    );

    let nobody = control_plane
        .service_account_kubeconfig("readers", "nobody")
        .await;
    assert!(
        nobody
            .expect_err("there is none")
            .to_string()
            .contains("nobody")
    );
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_ended_by_the_next_start() {
    let directory = paths::scratch().expect("a directory");
    // A process like one of ours, from a run that can no longer end it.
    let mut orphan = Command::new("sh");
    orphan
        .args(["-c", "sleep 600; : etcd"])
        .stdout(Stdio::null())
        .process_group(0);
    let mut orphan = orphan.spawn().expect("sh");
    testbed::process::write_pid_file(&directory.join("etcd.pid"), orphan.id(), "etcd")
        .expect("a pid file");
    // And a pid that is somebody else's by now.
    let mut bystander = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .spawn()
        .expect("sleep");
    testbed::process::write_pid_file(&directory.join("other.pid"), bystander.id(), "etcd")
        .expect("a pid file");

    testbed::process::end_stale(&directory);
    let ended = testbed::wait::until("the orphan's end", Duration::from_secs(5), || {
        let status = orphan.try_wait();
        async move { Ok(testbed::wait::Seen::when(status?.is_some(), "it runs")) }
    });
    ended.await.expect("it is gone");
    assert!(
        bystander.try_wait().expect("asking").is_none(),
        "the bystander lives"
    );
    bystander.kill().expect("kill");
    bystander.wait().expect("wait");
}
