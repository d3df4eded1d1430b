//! Against an STS that answers as AWS does, with credentials whose times are moved.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::aws::accounts::{Accounts, Role};
use crate::aws::{Aws, Pass};
use crate::model::{Failure, FailureKind};
use crate::resources::testing::{Answer, Asked, Asks, recording};

const ROLE: &str = "arn:aws:iam::210987654321:role/multiregion";
const BOTH: [&str; 2] = ["us-east-1", "us-west-2"];

/// Gives other credentials each time, for an hour; after `good` times none.
#[derive(Clone, Debug)]
struct Source {
    asked: Arc<AtomicUsize>,
    good: usize,
}

impl Source {
    fn good(times: usize) -> Self {
        Self {
            asked: Arc::default(),
            good: times,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        future::ProvideCredentials::ready(if number > self.good {
            Err(provider::error::CredentialsError::provider_error("no more"))
        } else {
            let end = SystemTime::now() + Duration::from_secs(3600);
            let token = Some("hush-token".into());
            Ok(Credentials::new(
                format!("KEY{number}"),
                "hush-secret",
                token,
                Some(end),
                "test",
            ))
        })
    }
}

async fn key(kept: &Kept<Source>) -> Option<String> {
    let credentials = kept.provide_credentials().await.ok()?;
    Some(credentials.access_key_id().to_owned())
}

/// As if so much of their hour were over.
fn let_pass(kept: &Kept<Source>, time: Duration) {
    let mut fetched = kept.0.kept();
    let fetched = fetched.as_mut().expect("there are some");
    fetched.due -= time;
    fetched.end -= time;
}

/// Until whoever renews is done.
async fn renewed(kept: &Kept<Source>) {
    drop(kept.0.fetching.lock().await);
}

#[tokio::test]
async fn credentials_are_fetched_once_for_all() {
    let source = Source::good(9);
    let kept = Kept::new(source.clone());
    let (first, second) = futures::future::join(key(&kept), key(&kept)).await;
    assert_eq!(
        (first.as_deref(), second.as_deref()),
        (Some("KEY1"), Some("KEY1"))
    );
    let_pass(&kept, Duration::from_secs(1700));
    assert_eq!(key(&kept).await.as_deref(), Some("KEY1"));
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn in_the_second_half_of_their_time_they_are_renewed_beside_the_calls() {
    let source = Source::good(9);
    let kept = Kept::new(source.clone());
    key(&kept).await;
    let_pass(&kept, Duration::from_secs(1900));
    assert_eq!(key(&kept).await.as_deref(), Some("KEY1"), "nobody waits");
    tokio::task::yield_now().await;
    renewed(&kept).await;
    assert_eq!(key(&kept).await.as_deref(), Some("KEY2"));
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn what_cannot_be_renewed_is_used_until_its_end_and_asked_for_again_after_a_while() {
    let source = Source::good(1);
    let kept = Kept::new(source.clone());
    key(&kept).await;
    let_pass(&kept, Duration::from_secs(1900));
    for _ in 0..3 {
        assert_eq!(key(&kept).await.as_deref(), Some("KEY1"));
        tokio::task::yield_now().await;
        renewed(&kept).await;
    }
    assert_eq!(source.asked(), 2, "once, and not at every call");
    let_pass(&kept, Duration::from_secs(1695));
    assert_eq!(key(&kept).await, None, "a call may outlast five seconds");
    assert_eq!(source.asked(), 3);
}

#[tokio::test]
async fn nothing_secret_shows_when_they_are_printed() {
    let kept = Kept::new(Source::good(1));
    key(&kept).await;
    let printed = format!("{kept:?}");
    assert!(printed.contains("KEY1"), "{printed}");
    assert!(!printed.contains("hush"), "{printed}");
}

fn role(arn: &str) -> Role {
    Role {
        arn: arn.into(),
        external_id: Some("web/7".into()),
        session_name: None,
    }
}

fn assumed(number: usize) -> Answer {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    Answer::new(
        200,
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>AROA1:multiregion</AssumedRoleId><Arn>arn:aws:sts::210987654321:\
             assumed-role/multiregion/multiregion</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA{number}\
             </AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token{number}</SessionToken>\
             <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

fn is_sts(asked: &Asked) -> bool {
    asked.body.contains("Action=AssumeRole")
}

/// A pass in the role's account; STS answers by `sts`, IAM says that there is no role.
fn pass(sts: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Pass, Asks) {
    let (own, asks) = recording(true, move |asked: &Asked| {
        if is_sts(asked) {
            sts(asked)
        } else {
            Answer::enveloped_error(404, "NoSuchEntity", "no such role")
        }
    });
    let owner = own.owner().clone();
    let aws = Accounts::new(own.aws().as_ref().clone()).of(Some(&role(ROLE)), BOTH);
    (Pass::new(aws, owner, true), asks)
}

async fn call(pass: &Pass) -> Failure {
    let clients = pass.clients("global");
    let get = clients.iam.get_role().role_name("shop").send();
    let answer = pass.call("iam", "GetRole", "global", get).await;
    answer.expect_err("there is no such role")
}

fn hosts(asks: &Asks) -> Vec<String> {
    let asks = asks.lock().expect("no test panics with it");
    let of_sts = asks.iter().filter(|asked| is_sts(asked));
    of_sts.map(|asked| asked.host.clone()).collect()
}

#[tokio::test]
async fn a_role_is_assumed_once_and_signs_every_call() {
    let (pass, asks) = pass(|_| assumed(1));
    assert_eq!(call(&pass).await.code, "NoSuchEntity");
    assert_eq!(call(&pass).await.code, "NoSuchEntity");
    assert_eq!(hosts(&asks), ["sts.us-east-1.amazonaws.com"]);
    let asked = asks.lock().expect("no test panics with it").clone();
    for part in [
        "RoleArn=arn%3Aaws%3Aiam%3A%3A210987654321%3Arole%2Fmultiregion",
        "ExternalId=web%2F7",
        "RoleSessionName=multiregion",
    ] {
        assert!(asked[0].body.contains(part), "{}", asked[0].body);
    }
    for call in &asked[1..] {
        assert_eq!(call.header("x-amz-security-token"), "token1");
        assert!(call.header("authorization").contains("Credential=ASIA1/"));
    }
    // The ARN tells, so nobody is asked.
    let account = pass.aws().account(&pass, "us-east-1").await;
    assert_eq!(account.as_deref(), Ok("210987654321"));
    assert_eq!(asks.lock().expect("no test panics with it").len(), 3);
}

#[tokio::test]
async fn where_one_regions_sts_fails_anothers_is_asked_and_is_the_first_from_then_on() {
    let (pass, asks) = pass(|asked| match asked.host.as_str() {
        "sts.us-east-1.amazonaws.com" => Answer::enveloped_error(503, "ServiceUnavailable", "away"),
        _ => assumed(2),
    });
    assert_eq!(call(&pass).await.code, "NoSuchEntity");
    let (first, second) = ("sts.us-east-1.amazonaws.com", "sts.us-west-2.amazonaws.com");
    assert_eq!(hosts(&asks), [first, second]);
    let base = pass.aws();
    assert!(base.credentials().await.is_ok());
    assert_eq!(hosts(&asks).len(), 2, "they are kept");
}

#[tokio::test]
async fn a_refusal_names_the_role_and_is_a_matter_of_credentials() {
    let (pass, asks) = pass(|_| {
        let message = "User: arn:aws:iam::123456789012:user/operator is not authorized to perform: sts:AssumeRole";
        Answer::enveloped_error(403, "AccessDenied", message)
    });
    let failure = call(&pass).await;
    assert_eq!(failure.kind, FailureKind::NoCredentials, "{failure}");
    assert!(
        failure.message.contains(ROLE) && failure.message.contains("is not authorized"),
        "{failure}"
    );
    assert_eq!(hosts(&asks).len(), 1, "another region would say the same");
}

#[tokio::test]
async fn with_no_sts_at_all_nothing_is_said_of_the_credentials() {
    let (pass, asks) = pass(|_| Answer::enveloped_error(500, "InternalFailure", "away"));
    let failure = call(&pass).await;
    assert!(failure.kind.is_unreachable(), "{failure}");
    assert_eq!(hosts(&asks).len(), 2);
}

#[tokio::test]
async fn a_throttle_slows_its_own_account_and_no_other() {
    let (own, _) = recording(true, |_: &Asked| assumed(1));
    let accounts = Accounts::new(own.aws().as_ref().clone());
    let of = |arn: &str| accounts.of(Some(&role(arn)), BOTH);
    let (one, again) = (of(ROLE), of(ROLE));
    assert_eq!(one.number(), again.number(), "one a role");
    let beside = of("arn:aws:iam::210987654321:role/beside");
    let other = of("arn:aws:iam::210987654322:role/multiregion");
    let shared = |a: &Arc<Aws>, b: &Arc<Aws>| Arc::ptr_eq(&a.limits, &b.limits);
    assert!(one.number() != beside.number() && shared(&one, &beside));
    assert!(!shared(&one, &other) && !shared(&one, own.aws()));
    assert_eq!(accounts.of(None, BOTH).number(), own.aws().number());

    let started = std::time::Instant::now();
    let (operation, region) = ("DescribeTable", "us-east-1");
    one.limits.throttled("dynamodb", operation, region, started);
    let app: Arc<str> = "web/shop".into();
    other.limits.wait("dynamodb", operation, region, &app).await;
    assert!(started.elapsed() < Duration::from_millis(250));
    beside
        .limits
        .wait("dynamodb", operation, region, &app)
        .await;
    assert!(started.elapsed() >= Duration::from_millis(500));
}
