//! The first start and those after it, with the real binary: the administrator, the certificate, the log.

use std::time::Duration;

use super::{ADMIN, SESSIONS, certificate, client};
use crate::support::{Holdfast, TestRedis};

const READY: Duration = Duration::from_secs(30);
const SHOWN: &str = "The first Redfish administrator is admin with the password ";

async fn pod(redis: &TestRedis, environment: &[(&str, &str)]) -> Holdfast {
    let url = redis.url();
    let holdfast = Holdfast::start(
        &["serve"],
        &[&[("HOLDFAST_REDIS__URL", url.as_str())], environment].concat(),
    );
    holdfast.answers("/readyz", READY).await;
    holdfast
}

/// The password in the one line that shows it.
fn password(stdout: &str) -> Option<String> {
    let line = stdout.lines().find_map(|line| line.strip_prefix(SHOWN))?;
    Some(line.split_whitespace().next().unwrap().to_owned())
}

async fn may_log_in(pod: &Holdfast, password: &str) -> bool {
    let request = client().get(pod.redfish(SESSIONS)).basic_auth(ADMIN, Some(password));
    request.send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_generated_administrator_is_shown_once_and_to_one() {
    let redis = TestRedis::start();
    let (one, other) = tokio::join!(pod(&redis, &[]), pod(&redis, &[]));
    let shown: Vec<String> = [&one, &other]
        .into_iter()
        .filter_map(|pod| password(&pod.stdout()))
        .collect();
    assert_eq!(shown.len(), 1, "{:?} {:?}", one.stdout(), other.stdout());
    assert_eq!(shown[0].len(), 20);
    for pod in [&one, &other] {
        assert!(may_log_in(pod, &shown[0]).await);
        assert!(!pod.stderr().contains(&shown[0]), "no log has it");
    }
    let stored = redis.cli(&["HGETALL", "holdfast:{redfish}:accounts"]);
    assert!(!stored.contains(&shown[0]) && stored.contains("$argon2id$"), "{stored}");
    drop((one, other));
    let again = pod(&redis, &[("HOLDFAST_REDFISH__ADMIN_PASSWORD", "changed nothing")]).await;
    assert_eq!(again.stdout(), "");
    assert!(may_log_in(&again, &shown[0]).await);
    assert!(
        !may_log_in(&again, "changed nothing").await,
        "only the first start makes one"
    );
}

#[tokio::test]
async fn a_configured_administrator_is_not_shown() {
    let redis = TestRedis::start();
    let secret = "c4nary of the administrator";
    let pod = pod(&redis, &[("HOLDFAST_REDFISH__ADMIN_PASSWORD", secret)]).await;
    assert!(may_log_in(&pod, secret).await);
    assert!(!pod.stdout().contains(secret) && !pod.stderr().contains(secret));
    assert!(!redis.cli(&["HGETALL", "holdfast:{redfish}:accounts"]).contains(secret));
}

#[tokio::test]
async fn the_self_signed_certificate_survives_a_restart() {
    let redis = TestRedis::start();
    let first = pod(&redis, &[]).await;
    let shown = certificate(&first.redfish("/redfish")).await;
    assert!(first.stderr().contains("self-signed"), "it is warned about");
    drop(first);
    let second = pod(&redis, &[]).await;
    assert_eq!(certificate(&second.redfish("/redfish")).await, shown);
}

#[tokio::test]
async fn the_key_is_sealed_as_soon_as_there_is_a_sealing_key() {
    let redis = TestRedis::start();
    let kept = || redis.cli(&["HGET", "holdfast:{redfish}:settings", "certificate"]);
    let first = pod(&redis, &[]).await;
    let shown = certificate(&first.redfish("/redfish")).await;
    assert!(kept().contains("PRIVATE KEY"));
    drop(first);
    let key = [("HOLDFAST_SECRETS__KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")];
    let sealed = pod(&redis, &key).await;
    assert_eq!(
        certificate(&sealed.redfish("/redfish")).await,
        shown,
        "it stays the same certificate"
    );
    assert!(
        kept().contains("sealed:v1:") && !kept().contains("PRIVATE KEY"),
        "{}",
        kept()
    );
    drop(sealed);
    let again = pod(&redis, &key).await;
    assert_eq!(certificate(&again.redfish("/redfish")).await, shown);
}

#[tokio::test]
async fn switched_off_it_does_not_listen() {
    let redis = TestRedis::start();
    let pod = pod(&redis, &[("HOLDFAST_REDFISH__ENABLED", "false")]).await;
    assert!(client().get(pod.redfish("/redfish")).send().await.is_err());
    assert_eq!(pod.stdout(), "");
    assert_eq!(redis.cli(&["EXISTS", "holdfast:{redfish}:accounts"]).trim(), "0");
}
