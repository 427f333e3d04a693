//! Errors, headers and query parameters, as far as no conformance tool looks at them.

use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{ACCOUNTS, Pod, SESSIONS, account, body, messages};
use crate::support::TestRedis;

#[tokio::test]
async fn bad_bodies_are_told_all_their_problems() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let bob = account("bob");
    let long = "x".repeat(300);
    for (method, path, sent, status, expected) in [
        (
            "POST",
            ACCOUNTS,
            json!({}),
            400,
            "PropertyMissing PropertyMissing PropertyMissing",
        ),
        (
            "POST",
            ACCOUNTS,
            json!({"UserName": "a/b", "Password": "short", "RoleId": "Boss", "Bogus": 1}),
            400,
            "PropertyValueNotInList PropertyValueFormatError PasswordIncorrectLength PropertyUnknown",
        ),
        (
            "POST",
            ACCOUNTS,
            json!({"UserName": "bob", "Password": "long enough", "RoleId": "Operator"}),
            400,
            "ResourceAlreadyExists",
        ),
        ("POST", SESSIONS, json!({"UserName": "bob"}), 400, "PropertyMissing"),
        (
            "POST",
            SESSIONS,
            json!({"UserName": 7, "Password": 7}),
            400,
            "PropertyValueTypeError PropertyValueError",
        ),
        ("PATCH", &bob, json!({"@odata.id": "/x"}), 400, "NoOperation"),
        ("PATCH", &bob, json!({"UserName": "rob"}), 400, "PropertyNotWritable"),
        (
            "PATCH",
            &bob,
            json!({"RoleId": "Boss", "Bogus": 1}),
            400,
            "PropertyValueNotInList PropertyUnknown",
        ),
        ("PATCH", &bob, json!({"Password": long}), 400, "PasswordIncorrectLength"),
        (
            "PATCH",
            &bob,
            json!({"AccountTypes": ["SNMP"]}),
            400,
            "PropertyValueNotInList",
        ),
        ("PATCH", &bob, json!([1]), 400, "UnrecognizedRequestBody"),
        (
            "PATCH",
            "/redfish/v1/AccountService/Accounts/nobody",
            json!({"Enabled": true}),
            404,
            "ResourceMissingAtURI",
        ),
    ] {
        let method: Method = method.parse().unwrap();
        let answer = pod
            .admin(method.clone(), path)
            .body(sent.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{method} {path} {sent}");
        assert_eq!(messages(answer).await.join(" "), expected, "{method} {path} {sent}");
    }
    assert_eq!(pod.get(&bob).await["RoleId"], "Operator", "nothing of it was done");
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    let send = async |kind: &'static str, bytes: Vec<u8>| {
        let request = pod
            .request(Method::POST, SESSIONS)
            .header(CONTENT_TYPE, kind)
            .body(bytes);
        request.send().await.unwrap().status().as_u16()
    };
    let json = "application/json";
    for (kind, bytes, status) in [
        (json, b"{".to_vec(), 400),
        (json, b"\xff\xfe".to_vec(), 400),
        (json, b"{} {}".to_vec(), 400),
        (json, "[".repeat(10_000).into_bytes(), 400),
        (json, vec![b' '; (16 << 10) + 1], 413),
        ("text/xml", b"<a/>".to_vec(), 415),
        ("application/json;charset=utf-8", b"{}".to_vec(), 400),
    ] {
        assert_eq!(send(kind, bytes.clone()).await, status, "{kind} {} bytes", bytes.len());
    }
    // As curl sends it where nobody tells it otherwise.
    let form = pod
        .request(Method::POST, SESSIONS)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = body(form.body("{}").send().await.unwrap()).await;
    let told = &answer["error"]["@Message.ExtendedInfo"][0];
    assert_eq!(told["MessageId"], "Base.1.22.HeaderInvalid");
    assert_eq!(
        told["MessageArgs"][0],
        "Content-Type: application/x-www-form-urlencoded"
    );
    assert_eq!(
        told["Message"],
        "Header 'Content-Type: application/x-www-form-urlencoded' is invalid."
    );
    let resolution = told["Resolution"].as_str().unwrap();
    assert!(resolution.contains("'Content-Type: application/json'"), "{resolution}");
    // Who has logged in may send more; 1 MiB is enough for everybody.
    for (more, status) in [(16 << 10, 201), (1 << 20, 413)] {
        let new = json!({"UserName": format!("b{more}"), "Password": "long enough", "RoleId": "ReadOnly"});
        let padded = format!("{}{new}", " ".repeat(more));
        let answer = pod.admin(Method::POST, ACCOUNTS).body(padded).send().await.unwrap();
        assert_eq!(answer.status(), status, "{more} bytes more");
    }
}

#[tokio::test]
async fn every_error_is_extended_and_every_answer_has_its_headers() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    for (method, path, status, message) in [
        ("GET", "/redfish/v1/Nowhere", 404, "ResourceMissingAtURI"),
        (
            "GET",
            "/redfish/v1/AccountService/Roles/Boss",
            404,
            "ResourceMissingAtURI",
        ),
        ("GET", "/somewhere", 404, "ResourceMissingAtURI"),
        ("DELETE", "/redfish/v1/", 405, "OperationNotAllowed"),
        (
            "PUT",
            "/redfish/v1/AccountService/Accounts/admin",
            405,
            "OperationNotAllowed",
        ),
        ("OPTIONS", "/redfish/v1/", 405, "OperationNotAllowed"),
        ("BREW", "/redfish/v1/", 501, "OperationNotAllowed"),
        (
            "PATCH",
            "/redfish/v1/AccountService/Accounts/admin?$select=Id",
            400,
            "QueryNotSupportedOnOperation",
        ),
        (
            "GET",
            "/redfish/v1/AccountService?$top=1",
            400,
            "QueryNotSupportedOnResource",
        ),
        (
            "GET",
            "/redfish/v1/AccountService?$orderby=Id",
            501,
            "QueryParameterUnsupported",
        ),
        (
            "GET",
            "/redfish/v1/AccountService/Roles?$filter=Id",
            400,
            "QueryParameterValueFormatError",
        ),
        (
            "GET",
            "/redfish/v1/?$expand=*($levels=9)",
            400,
            "QueryParameterOutOfRange",
        ),
    ] {
        let answer = pod.admin(method.parse().unwrap(), path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.headers()["odata-version"], "4.0", "{method} {path}");
        assert_eq!(
            answer.headers()[CONTENT_TYPE],
            "application/json;charset=utf-8",
            "{method} {path}"
        );
        assert_eq!(
            answer.headers().contains_key(ALLOW),
            !path.contains("where") && status != 404 || path.contains("Boss")
        );
        assert_eq!(messages(answer).await, [message], "{method} {path}");
    }
    for path in ["/redfish/v1/Nowhere", "/redfish/v1/AccountService", ACCOUNTS] {
        let answer = pod.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Basic realm=\"Holdfast\"");
        assert!(
            !answer.headers().contains_key(ALLOW),
            "{path}: a stranger learns nothing"
        );
        assert_eq!(messages(answer).await, ["NoValidSession"]);
    }
    let head = pod.admin(Method::HEAD, ACCOUNTS).send().await.unwrap();
    let length: usize = head.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    let get = pod.admin(Method::GET, ACCOUNTS).send().await.unwrap();
    assert_eq!(head.headers()[ETAG], get.headers()[ETAG]);
    assert_eq!(get.text().await.unwrap().len(), length);
}

#[tokio::test]
async fn paths_may_be_spelt_otherwise() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob@lab", "Operator").await;
    for path in [
        "/redfish/",
        "/redfish/v1",
        "/redfish/v1/%24metadata",
        "/redfish/v1/AccountService/Accounts/bob%40lab/",
    ] {
        let answer = pod.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn preconditions_come_after_authentication() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    pod.add("bob", "Operator").await;
    let read = pod.admin(Method::GET, &account("bob")).send().await.unwrap();
    let etag = read.headers()[ETAG].clone();
    assert_eq!(body(read).await["@odata.etag"], etag.to_str().unwrap());
    let with = |header, value: &str| pod.admin(Method::GET, &account("bob")).header(header, value).send();
    assert_eq!(with(IF_NONE_MATCH, etag.to_str().unwrap()).await.unwrap().status(), 304);
    assert_eq!(with(IF_NONE_MATCH, "\"other\"").await.unwrap().status(), 200);
    let stranger = pod
        .request(Method::GET, &account("bob"))
        .header(IF_NONE_MATCH, &etag)
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 401);
    let remove = |tag: &str| pod.admin(Method::DELETE, &account("bob")).header(IF_MATCH, tag).send();
    let unmet = remove("\"other\"").await.unwrap();
    assert_eq!(unmet.status(), 412);
    assert_eq!(messages(unmet).await, ["PreconditionFailed"]);
    let changed = pod.patch(&account("bob"), json!({"Password": "a new password"})).await;
    assert_ne!(
        changed.headers()[ETAG],
        etag,
        "a change that can't be seen changes the ETag"
    );
    assert_eq!(
        remove(etag.to_str().unwrap()).await.unwrap().status(),
        412,
        "the ETag of before"
    );
    assert_eq!(
        remove(changed.headers()[ETAG].to_str().unwrap())
            .await
            .unwrap()
            .status(),
        204
    );
}

#[tokio::test]
async fn queries_show_what_was_asked_for() {
    let redis = TestRedis::start();
    let pod = Pod::start(&redis).await;
    let roles = "/redfish/v1/AccountService/Roles";
    let names = |collection: &Value| -> Vec<String> {
        let members = collection["Members"].as_array().unwrap().iter();
        members
            .map(|member| {
                member["@odata.id"]
                    .as_str()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let read = async |query: &str| pod.get(&format!("{roles}?{query}")).await;
    let configures = read("$filter=AssignedPrivileges eq 'ConfigureComponents' and not (Id eq 'Operator')").await;
    assert_eq!(names(&configures), ["Administrator"]);
    assert_eq!(configures["Members@odata.count"], 1);
    let page = read("$skip=1&$top=1").await;
    assert_eq!(names(&page), ["Operator"]);
    assert_eq!(page["Members@odata.count"], 3, "of all");
    let expanded = read("$expand=.&$select=RoleId").await;
    let first = &expanded["Members"][0];
    assert_eq!(
        (&first["RoleId"], &first["Name"]),
        (&json!("Administrator"), &Value::Null)
    );
    assert!(first["@odata.etag"].is_string());
    let accounts = pod.get(&format!("{ACCOUNTS}?only")).await;
    assert_eq!(accounts["UserName"], "admin", "the only member");
    let root = pod.get("/redfish/v1/?$expand=.($levels=3)").await;
    assert_eq!(root["AccountService"]["Accounts"]["Members"][0]["UserName"], "admin");
    assert_eq!(root["Links"]["Sessions"]["Members"], Value::Null, "links stay links");
    // The collection's ETag says nothing of what its members show.
    let expanded = format!("{ACCOUNTS}?$expand=.");
    let read = pod.admin(Method::GET, &expanded).send().await.unwrap();
    let again = pod
        .admin(Method::GET, &expanded)
        .header(IF_NONE_MATCH, &read.headers()[ETAG]);
    assert_eq!(again.send().await.unwrap().status(), 200);
    let stranger = pod.request(Method::GET, "/redfish/v1/?$expand=*").send().await.unwrap();
    assert_eq!(stranger.status(), 200);
    assert_eq!(
        body(stranger).await["AccountService"].as_object().unwrap().len(),
        1,
        "nothing for strangers"
    );
}
