//! Who is let through, and what the API server is asked for it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;

/// A cluster in which the token `good` belongs to somebody, who may what is listed.
#[derive(Default)]
struct Cluster {
    rights: Mutex<Vec<Access>>,
    down: std::sync::atomic::AtomicBool,
    revoked: std::sync::atomic::AtomicBool,
    asked: AtomicUsize,
}

impl Cluster {
    fn allowing(rights: &[Access]) -> Arc<Self> {
        Arc::new(Self {
            rights: Mutex::new(rights.to_vec()),
            ..Self::default()
        })
    }

    fn answer<T>(&self, answer: T) -> Result<T, kube::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(kube::Error::LinesCodecMaxLineLengthExceeded);
        }
        Ok(answer)
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Reviewer for Arc<Cluster> {
    async fn review(&self, token: &Token) -> Result<Option<Viewer>, kube::Error> {
        let good = token.reveal() == "good" && !self.revoked.load(Ordering::Relaxed);
        self.answer(good.then(|| Viewer {
            token: token.hash(),
            name: "somebody".into(),
            ..Viewer::default()
        }))
    }

    async fn allowed(&self, _: &Viewer, access: &Access) -> Result<bool, kube::Error> {
        self.answer(locked(&self.rights).contains(access))
    }
}

fn token(text: &str) -> Token {
    Token::new(text).expect("a token")
}

fn list(namespace: Option<&str>) -> Access {
    Access::ListApps(namespace.map(str::to_owned))
}

fn three() -> BTreeSet<String> {
    ["one", "three", "two"].map(str::to_owned).into()
}

#[tokio::test]
async fn a_bad_token_is_nobodys_and_is_told_so() {
    let gate = Gate::new(Cluster::allowing(&[list(None)]));
    let refused = gate.viewer(&token("bad"), true).await;
    assert_eq!(refused, Err(Refusal::BadToken));
}

#[tokio::test]
async fn a_token_without_rights_sees_no_namespace_and_no_app() {
    let gate = Gate::new(Cluster::allowing(&[]));
    let viewer = gate.viewer(&token("good"), true).await.expect("known");
    let seen = gate.namespaces(&viewer, three()).await;
    assert_eq!(seen, Ok(Namespaces::Only(BTreeSet::new())));
    assert_eq!(
        gate.may_get(&viewer, "one", "shop").await,
        Err(Refusal::Forbidden)
    );
    assert_eq!(gate.may_list_events(&viewer, "one").await, Ok(false));
}

#[tokio::test]
async fn rights_in_one_namespace_show_that_namespace_alone() {
    let rights = [
        list(Some("two")),
        Access::GetApp("two".into(), "shop".into()),
    ];
    let gate = Gate::new(Cluster::allowing(&rights));
    let viewer = gate.viewer(&token("good"), true).await.expect("known");
    let seen = gate.namespaces(&viewer, three()).await.expect("decided");
    assert_eq!(seen, Namespaces::Only(["two".to_owned()].into()));
    assert!(seen.contain("two") && !seen.contain("one"));
    assert_eq!(gate.may_get(&viewer, "two", "shop").await, Ok(()));
    for (namespace, name) in [("one", "shop"), ("two", "other"), ("", "shop"), ("two", "")] {
        let refused = gate.may_get(&viewer, namespace, name).await;
        assert_eq!(refused, Err(Refusal::Forbidden), "{namespace}/{name}");
    }
}

#[tokio::test]
async fn a_right_everywhere_needs_one_question() {
    let cluster = Cluster::allowing(&[list(None)]);
    let gate = Gate::new(cluster.clone());
    let viewer = gate.viewer(&token("good"), true).await.expect("known");
    cluster.asked();
    let seen = gate.namespaces(&viewer, three()).await;
    assert_eq!((seen, cluster.asked()), (Ok(Namespaces::All), 1));
}

/// Both API groups show the same events.
#[tokio::test]
async fn a_right_to_events_in_either_group_will_do() {
    for group in ["", "events.k8s.io"] {
        let gate = Gate::new(Cluster::allowing(&[Access::ListEvents(
            group,
            "one".into(),
        )]));
        let viewer = gate.viewer(&token("good"), true).await.expect("known");
        assert_eq!(gate.may_list_events(&viewer, "one").await, Ok(true));
        assert_eq!(gate.may_list_events(&viewer, "two").await, Ok(false));
    }
}

#[tokio::test]
async fn what_was_decided_is_believed_for_a_time_and_then_asked_again() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let cluster = Cluster::allowing(&[list(None)]);
    let clock = || *START + Duration::from_secs(SECONDS.load(Ordering::Relaxed));
    let gate = Gate::at(cluster.clone(), clock);
    let look = async || {
        let viewer = gate.viewer(&token("good"), false).await?;
        gate.namespaces(&viewer, BTreeSet::new()).await
    };
    assert_eq!(look().await, Ok(Namespaces::All));
    assert_eq!(cluster.asked(), 2);
    SECONDS.store(29, Ordering::Relaxed);
    assert_eq!(look().await, Ok(Namespaces::All));
    assert_eq!(cluster.asked(), 0);
    // Who loses a right, loses the sight with it.
    locked(&cluster.rights).clear();
    SECONDS.store(30, Ordering::Relaxed);
    assert_eq!(look().await, Ok(Namespaces::Only(BTreeSet::new())));
    cluster.revoked.store(true, Ordering::Relaxed);
    SECONDS.store(60, Ordering::Relaxed);
    assert_eq!(look().await, Err(Refusal::BadToken));
}

#[tokio::test]
async fn nothing_is_shown_while_the_api_server_cannot_be_asked() {
    let cluster = Cluster::allowing(&[list(None)]);
    let gate = Gate::new(cluster.clone());
    cluster.down.store(true, Ordering::Relaxed);
    let refused = gate.viewer(&token("good"), true).await;
    assert_eq!(refused, Err(Refusal::NotAsked));
    cluster.down.store(false, Ordering::Relaxed);
    let viewer = gate.viewer(&token("good"), true).await.expect("known");
    cluster.down.store(true, Ordering::Relaxed);
    let refused = gate.namespaces(&viewer, three()).await;
    assert_eq!(refused, Err(Refusal::NotAsked), "no answer is no yes");
}

#[tokio::test]
async fn guesses_reach_the_api_server_only_so_fast_and_lock_out_nobody_who_is_in() {
    let cluster = Cluster::allowing(&[]);
    let gate = Gate::new(cluster.clone());
    let mut refusals = Vec::new();
    for guess in 0..100 {
        let refused = gate.viewer(&token(&format!("guess{guess}")), true).await;
        refusals.push(refused.expect_err("it is a guess"));
    }
    assert!(refusals.contains(&Refusal::TooMany));
    let shown = cluster.asked();
    assert!(shown < 50, "{shown} of 100 guesses were shown to it");
    assert!(gate.viewer(&token("good"), false).await.is_ok());
}
