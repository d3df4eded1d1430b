use std::collections::{BTreeMap, BTreeSet};

use multiregion::model::{Owner, ResourceId};
use multiregion::resources::iam_role::Config;
use multiregion::resources::policy::{Effect, Statement, Statements};

use crate::support::{Account, PRIMARY, Subject, differences, owner, tags};

const NAME: &str = "shop-lambda-role";
const THEIRS: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}}"#;

fn role(account: &Account) -> Subject<'_> {
    Subject::new(account, ResourceId::global("iam_role", NAME))
}

fn statements(action: &str) -> Statements {
    let statement = Statement {
        effect: Effect::Allow,
        principal: None,
        actions: BTreeSet::from([action.to_owned(), "dynamodb:Query".into()]),
        resources: BTreeSet::from(["arn:aws:dynamodb:us-east-1:1:table/shop-visits".into()]),
        conditions: BTreeMap::new(),
    };
    Statements::from([("Tables".into(), statement)])
}

fn config() -> Config {
    Config {
        trusted_services: BTreeSet::from(["lambda.amazonaws.com".into()]),
        inline_policies: BTreeMap::from([
            ("multiregion-primary".into(), statements("dynamodb:GetItem")),
            ("multiregion-dr".into(), statements("dynamodb:PutItem")),
        ]),
        permissions_boundary: None,
        tags: tags(),
    }
}

#[tokio::test]
async fn a_role_is_made_changed_and_taken_away() {
    let account = Account::new().await;
    let role = role(&account);
    let live = role.create(&config()).await;
    let arn = format!("arn:aws:iam::{}:role/{NAME}", account.id);
    assert_eq!(live.outputs["arn"], arn);

    let mut changed = config();
    changed.trusted_services = BTreeSet::from(["s3.amazonaws.com".into()]);
    role.update(&changed).await;
    changed
        .inline_policies
        .insert("multiregion-primary".into(), statements("dynamodb:Scan"));
    changed.inline_policies.remove("multiregion-dr");
    role.update(&changed).await;
    changed.tags.insert("team".into(), "platform".into());
    role.update(&changed).await;

    role.delete(&changed).await;
}

#[tokio::test]
async fn a_boundary_is_put_on_a_role_and_one_that_is_not_wanted_is_left_alone() {
    let account = Account::new().await;
    let role = role(&account);
    let iam = &account.clients(PRIMARY).iam;
    let mut arns = Vec::new();
    for name in ["apps", "others"] {
        let create = iam
            .create_policy()
            .policy_name(name)
            .policy_document(THEIRS);
        let policy = create.send().await.expect("it is made").policy;
        arns.push(policy.and_then(|policy| policy.arn));
    }
    let mut bounded = config();
    bounded.permissions_boundary.clone_from(&arns[0]);
    role.create(&bounded).await;
    bounded.permissions_boundary.clone_from(&arns[1]);
    role.update(&bounded).await;

    let live = role.live(&config()).await;
    assert_eq!(differences(&config(), &live), []);
    let other = serde_json::to_value(&arns[1]).expect("plain data");
    assert_eq!(live.config["permissions_boundary"], other);
    role.delete(&bounded).await;
}

#[tokio::test]
async fn others_policies_stay_while_the_role_does_and_never_keep_it() {
    let account = Account::new().await;
    let role = role(&account);
    role.create(&config()).await;
    let iam = &account.clients(PRIMARY).iam;
    let put = iam
        .put_role_policy()
        .role_name(NAME)
        .policy_name("theirs")
        .policy_document(THEIRS);
    put.send().await.expect("it is put");
    let create = iam
        .create_policy()
        .policy_name("managed")
        .policy_document(THEIRS);
    let policy = create.send().await.expect("it is made").policy;
    let attach = iam
        .attach_role_policy()
        .role_name(NAME)
        .set_policy_arn(policy.and_then(|policy| policy.arn));
    attach.send().await.expect("it is attached");

    assert_eq!(differences(&config(), &role.live(&config()).await), []);
    let mut changed = config();
    changed.inline_policies.clear();
    role.update(&changed).await;
    let names = iam.list_role_policies().role_name(NAME).send().await;
    assert_eq!(names.expect("they are listed").policy_names(), ["theirs"]);

    role.delete(&changed).await;
}

#[tokio::test]
async fn a_role_of_another_app_or_of_nobody_is_seen_as_such() {
    let account = Account::new().await;
    let mut theirs = config();
    theirs.tags = owner("blog").tags();
    let role = role(&account);
    role.try_create(&theirs).await.expect("it is made");
    assert_eq!(
        role.live(&config()).await.owner,
        Owner::Other("MultiRegionApp web/blog of cluster c1".into())
    );

    let nobodys = Subject::new(&account, ResourceId::global("iam_role", "nobodys"));
    theirs.tags.clear();
    nobodys.try_create(&theirs).await.expect("it is made");
    assert_eq!(nobodys.live(&config()).await.owner, Owner::Nobody);
}
