//! Who may do what, over every method of every resource: nobody, and each of the three roles.

use std::collections::BTreeSet;

use reqwest::Method;

use super::{ADMIN, PASSWORD, Pod, given};
use crate::support::TestRedis;

/// Below the service root: path, methods, and who may. Written out from DSP0266 and the privilege registry, not
/// from the code. `all`: also who has not logged in. `any`: any role. `components`: Administrator and Operator.
/// `admin`: Administrator. Parameters are filled in so that what is somebody's own is not the client's.
const RULES: &[(&str, &str, &str)] = &[
    ("", "GET", "all"),
    ("/$metadata", "GET", "all"),
    ("/odata", "GET", "all"),
    ("/SessionService", "GET", "any"),
    ("/SessionService/Sessions", "GET", "any"),
    ("/SessionService/Sessions", "POST", "all"),
    ("/SessionService/Sessions/Members", "POST", "all"),
    ("/SessionService/Sessions/{session}", "GET DELETE", "admin"),
    ("/AccountService", "GET", "any"),
    ("/AccountService/Accounts", "GET", "any"),
    ("/AccountService/Accounts", "POST", "admin"),
    ("/AccountService/Accounts/Members", "POST", "admin"),
    ("/AccountService/Accounts/{account}", "GET PATCH DELETE", "admin"),
    ("/AccountService/Roles", "GET", "any"),
    ("/AccountService/Roles/{role}", "GET", "any"),
    ("/Registries", "GET", "any"),
    ("/Registries/{registry}", "GET", "any"),
    ("/EventService", "GET", "any"),
    ("/EventService", "PATCH", "admin"),
    ("/EventService/SubmitTestEventActionInfo", "GET", "any"),
    ("/EventService/Actions/EventService.SubmitTestEvent", "POST", "admin"),
    (
        "/EventService/Actions/EventService.TestEventSubscription",
        "POST",
        "admin",
    ),
    ("/EventService/Subscriptions", "GET", "any"),
    ("/EventService/Subscriptions", "POST", "components"),
    ("/EventService/Subscriptions/Members", "POST", "components"),
    ("/EventService/Subscriptions/{subscription}", "GET", "any"),
    ("/EventService/Subscriptions/{subscription}", "PATCH DELETE", "any"),
    ("/EventService/SSE", "GET", "any"),
    (SUSPEND, "POST", "any"),
    (RESUME, "POST", "any"),
    (
        "/EventService/Subscriptions/{subscription}/Certificates",
        "GET POST",
        "admin",
    ),
    (
        "/EventService/Subscriptions/{subscription}/Certificates/{certificate}",
        "GET DELETE",
        "admin",
    ),
    (
        "/EventService/Subscriptions/{subscription}/ClientCertificates",
        "GET POST",
        "admin",
    ),
    (
        "/EventService/Subscriptions/{subscription}/ClientCertificates/{certificate}",
        "GET DELETE",
        "admin",
    ),
    ("/Schemas/HoldfastEventDestination_v1.xml", "GET", "all"),
    ("/JsonSchemas", "GET", "any"),
    ("/JsonSchemas/{schema}", "GET", "any"),
];

const SUSPEND: &str = "/EventService/Subscriptions/{subscription}/Actions/EventDestination.SuspendSubscription";
const RESUME: &str = "/EventService/Subscriptions/{subscription}/Actions/EventDestination.ResumeSubscription";

/// The rule for a method of a resource.
fn rule(path: &str, method: &str) -> &'static str {
    if path == "/redfish" {
        return "all";
    }
    let below = path.strip_prefix("/redfish/v1").unwrap();
    let found = RULES
        .iter()
        .find(|(path, methods, _)| *path == below && methods.split(' ').any(|m| m == method));
    found.unwrap_or_else(|| panic!("{method} {path} has no rule here")).2
}

#[tokio::test]
async fn each_role_may_do_what_the_specification_gives_it() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    for (name, role) in [
        ("reader", "ReadOnly"),
        ("operator", "Operator"),
        ("other", "Administrator"),
    ] {
        pod.add(name, role).await;
    }
    let (_, session) = pod.session("other").await;
    let filled = |path: &str| {
        path.replace("{session}", session.rsplit('/').next().unwrap())
            .replace("{account}", "other")
            .replace("{subscription}", "nowhere")
            .replace("{certificate}", "1")
            .replace("{role}", "Operator")
            .replace("{registry}", "Base")
            .replace("{schema}", "Role.v1_3_3")
    };
    let clients: [(&str, Option<(&str, String)>); 4] = [
        ("nobody", None),
        ("reader", Some(("reader", given("reader")))),
        ("operator", Some(("operator", given("operator")))),
        ("admin", Some((ADMIN, PASSWORD.to_owned()))),
    ];
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (path, methods) in holdfast::redfish::resources() {
        for method in methods.split(", ").filter(|method| *method != "HEAD") {
            let rule = rule(path, method);
            seen.insert(rule);
            for (client, credentials) in &clients {
                // A body and an ETag with which nothing is changed by those who may.
                let method: Method = method.parse().unwrap();
                let mut request = pod
                    .request(method.clone(), &filled(path))
                    .header("If-Match", "\"none\"");
                if method != Method::GET && method != Method::DELETE {
                    request = request.body("{\"Bogus\":1}");
                }
                if let Some((name, password)) = credentials {
                    request = request.basic_auth(name, Some(password));
                }
                let status = request.send().await.unwrap().status().as_u16();
                let may = matches!(
                    (rule, *client),
                    ("all", _) | ("any", "reader" | "operator") | ("components", "operator") | (_, "admin")
                );
                let fits = match (may, *client) {
                    (true, _) => ![401, 403, 405, 500, 501, 503].contains(&status),
                    (false, "nobody") => status == 401,
                    (false, _) => status == 403,
                };
                if !fits {
                    wrong.push(format!("{client}: {method} {path}: {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(["all", "any", "admin"].iter().all(|rule| seen.contains(rule)));
}

#[tokio::test]
async fn ones_own_account_and_session_are_ones_own() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("reader", "ReadOnly").await;
    let own = super::account("reader");
    let (token, session) = pod.session("reader").await;
    let as_reader = |method: Method, path: &str| pod.request(method, path).header("X-Auth-Token", &token);
    assert_eq!(pod.with_token(&token, &own).await, 200);
    assert_eq!(pod.with_token(&token, &session).await, 200);
    for change in [
        r#"{"RoleId":"Administrator"}"#,
        r#"{"Enabled":true,"Password":"a new password"}"#,
    ] {
        let answer = as_reader(Method::PATCH, &own).body(change).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{change}");
    }
    let listed = super::body(as_reader(Method::GET, super::ACCOUNTS).send().await.unwrap()).await;
    assert_eq!(
        listed["Members"][0]["@odata.id"],
        own.as_str(),
        "it sees no other account"
    );
    assert_eq!(listed["Members@odata.count"], 1);
    let expanded = format!("{}?$expand=.", super::ACCOUNTS);
    let expanded = super::body(as_reader(Method::GET, &expanded).send().await.unwrap()).await;
    assert_eq!(expanded["Members"][0]["UserName"], "reader");
    let answer = as_reader(Method::PATCH, &own)
        .body(r#"{"Password":"a new password"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(pod.with_password("reader", "a new password").await, 200);
}
