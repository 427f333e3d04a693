//! Subscriptions: their life over HTTP, who may do what, their certificates, and the command line beside it.

use reqwest::Method;
use serde_json::json;

use super::super::{ACCOUNTS, given};
use super::{SERVICE, SUBSCRIPTIONS, Site, bodies, got, healthy, received};

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_made_read_changed_and_removed() {
    let site = Site::start(2, &[]).await;
    let sink = healthy().await;
    let uri = site
        .subscribe(
            &sink.url("/events"),
            json!({ "Context": "rack-7", "HttpHeaders": [{ "X-Token": "c4n4ry" }], "Severities": ["OK"] }),
        )
        .await;
    assert_eq!(site.members(1).await, std::slice::from_ref(&uri));
    let read = site.get(1, &uri).await;
    assert_eq!((read.status, &read.body["Context"]), (200, &json!("rack-7")));
    assert_eq!(read.body["HttpHeaders"], json!([]));
    assert_eq!(read.body["Id"], uri.rsplit('/').next().unwrap());
    assert!(!read.body.to_string().contains("c4n4ry"));

    site.deployment.publish(1).await;
    received(&sink, 1).await;
    assert_eq!(bodies(&sink)[0]["Context"], "rack-7");
    assert_eq!(sink.deliveries()[0].headers["x-token"], "c4n4ry");

    let etag = read.header("etag");
    let change = json!({ "Context": "rack-8", "DeliveryRetryPolicy": "SuspendRetries" });
    let with_etag = |etag: &str| {
        site.request(1, Method::PATCH, &uri)
            .header("If-Match", etag.to_owned())
            .body(change.to_string())
    };
    let changed = got(with_etag(&etag)).await;
    assert_eq!((changed.status, &changed.body["Context"]), (200, &json!("rack-8")));
    assert_ne!(changed.header("etag"), etag);
    assert_eq!(
        got(with_etag(&etag)).await.status,
        412,
        "somebody else changed it meanwhile"
    );
    assert_eq!(site.get(0, &uri).await.body["DeliveryRetryPolicy"], "SuspendRetries");

    let refused = site.patch(0, &uri, json!({ "Destination": "http://10.0.0.1/" })).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.refusals(),
        [("PropertyNotWritable".to_owned(), "#/Destination".to_owned())]
    );

    assert_eq!(site.delete(0, &uri).await.status, 204);
    assert_eq!(site.get(1, &uri).await.status, 404);
    assert_eq!(site.delete(1, &uri).await.status, 404);
    assert_eq!(site.members(0).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_and_redfish_know_the_same_subscriptions() {
    let site = Site::start(1, &[]).await;
    let id = site.holdfast(&[
        "subscriptions",
        "add",
        "http://10.1.1.1/events",
        "--name=SIEM",
        "--severity=Critical",
        "--payload=raw",
        "--heartbeat=5",
        "--backup=http://10.1.1.2/events",
        "--no-coalesce",
    ]);
    let uri = format!("{SUBSCRIPTIONS}/{}", id.trim());
    let shown = site.get(0, &uri).await.body;
    assert_eq!(
        (&shown["Name"], &shown["Severities"]),
        (&json!("SIEM"), &json!(["Critical"]))
    );
    assert_eq!(shown["BackupDestinations"], json!(["http://10.1.1.2/events"]));
    assert_eq!(
        (&shown["SendHeartbeat"], &shown["HeartbeatIntervalMinutes"]),
        (&json!(true), &json!(5))
    );
    let oem = &shown["Oem"]["Holdfast"];
    assert_eq!((&oem["Payload"], &oem["Coalesce"]), (&json!("Raw"), &json!(false)));

    assert_eq!(
        site.patch(0, &uri, json!({ "Context": "from Redfish" })).await.status,
        200
    );
    let show = site.holdfast(&["subscriptions", "show", id.trim(), "--json"]);
    assert!(show.contains("from Redfish") && show.contains("SIEM"), "{show}");
    site.holdfast(&["subscriptions", "suspend", id.trim(), "--reason", "maintenance"]);
    let shown = site.get(0, &uri).await.body;
    assert_eq!(shown["Status"]["State"], "Disabled");
    assert_eq!(shown["Oem"]["Holdfast"]["SuspendedBecause"], "maintenance");
    assert_eq!(site.delete(0, &uri).await.status, 204);
    assert!(site.holdfast(&["subscriptions", "list"]).contains("no subscriptions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_subscriptions_than_may_be() {
    let site = Site::start(1, &[("HOLDFAST_REDFISH__MAX_SUBSCRIPTIONS", "2")]).await;
    let wish = json!({ "Destination": "http://10.1.1.1/", "Protocol": "Redfish" });
    site.holdfast(&["subscriptions", "add", "http://10.1.1.1/events"]);
    let made = site.post(0, SUBSCRIPTIONS, wish.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let refused = site.post(0, SUBSCRIPTIONS, wish.clone()).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.refusals()[0].0, "EventSubscriptionLimitExceeded");
    assert_eq!(site.delete(0, &made.header("location")).await.status, 204);
    assert_eq!(
        site.post(0, SUBSCRIPTIONS, wish).await.status,
        201,
        "there is room again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_changes_their_own_and_only_administrators_all() {
    let site = Site::start(1, &[]).await;
    for (name, role) in [("ann", "Operator"), ("bob", "Operator"), ("eve", "ReadOnly")] {
        let account = json!({ "UserName": name, "Password": given(name), "RoleId": role });
        assert_eq!(site.post(0, ACCOUNTS, account).await.status, 201);
    }
    let by = |name: &str, method: Method, path: &str, body: serde_json::Value| {
        let url = format!("https://{}{path}", site.addr(0).unwrap());
        let request = site.client.request(method, url).basic_auth(name, Some(given(name)));
        got(request.body(body.to_string()))
    };
    let wish = json!({ "Destination": "http://10.1.1.1/", "Protocol": "Redfish" });
    assert_eq!(by("eve", Method::POST, SUBSCRIPTIONS, wish.clone()).await.status, 403);
    let file = json!({ "Oem": { "Holdfast": { "MaxParked": 1, "Overflow": "File" } } });
    let mut to_file = wish.clone();
    to_file["Oem"] = file["Oem"].clone();
    assert_eq!(
        by("ann", Method::POST, SUBSCRIPTIONS, to_file).await.status,
        403,
        "files"
    );
    let made = by("ann", Method::POST, SUBSCRIPTIONS, wish).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let uri = made.header("location");
    let suspend = format!("{uri}/Actions/EventDestination.SuspendSubscription");
    for name in ["bob", "eve"] {
        assert_eq!(by(name, Method::GET, &uri, json!({})).await.status, 200);
        assert_eq!(
            by(name, Method::PATCH, &uri, json!({ "Context": "mine" })).await.status,
            403,
            "{name}"
        );
        assert_eq!(by(name, Method::POST, &suspend, json!({})).await.status, 403, "{name}");
        assert_eq!(by(name, Method::DELETE, &uri, json!({})).await.status, 403, "{name}");
    }
    assert_eq!(
        by("ann", Method::PATCH, &uri, json!({ "Context": "mine" }))
            .await
            .status,
        200
    );
    assert_eq!(by("ann", Method::PATCH, &uri, file.clone()).await.status, 403, "files");
    let mut by_administrator = file;
    by_administrator["Context"] = json!("the administrator's");
    assert_eq!(site.patch(0, &uri, by_administrator).await.status, 200);
    let still = by("ann", Method::PATCH, &uri, json!({ "Context": "mine" })).await;
    assert_eq!(still.status, 200, "what the administrator has set stays");
    assert_eq!(still.body["Oem"]["Holdfast"]["Overflow"], "File");
    assert_eq!(by("ann", Method::DELETE, &uri, json!({})).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_come_and_go_and_keys_are_never_shown() {
    let site = Site::start(1, &[]).await;
    let uri = site.subscribe("https://10.1.1.1/", json!({})).await;
    let made = rcgen::generate_simple_self_signed(vec!["siem.example".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (collection, text) in [
        ("Certificates", pem.clone()),
        ("ClientCertificates", format!("{pem}{key}")),
    ] {
        let collection = format!("{uri}/{collection}");
        assert_eq!(site.get(0, &collection).await.body["Members@odata.count"], 0);
        let new = json!({ "CertificateString": text, "CertificateType": "PEM" });
        let made = site.post(0, &collection, new).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let member = made.header("location");
        let read = site.get(0, &member).await.body;
        assert!(
            read["CertificateString"]
                .as_str()
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        assert!(read["ValidNotAfter"].is_string() && !read.to_string().contains("PRIVATE"));
        assert_eq!(site.get(0, &collection).await.body["Members@odata.count"], 1);
        for wrong in [
            "",
            "text",
            &key,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let refused = site
                .post(
                    0,
                    &collection,
                    json!({ "CertificateString": wrong, "CertificateType": "PEM" }),
                )
                .await;
            assert_eq!(refused.status, 400);
            assert_eq!(refused.refusals()[0].1, "#/CertificateString");
            assert!(!refused.body.to_string().contains("PRIVATE KEY-----\\n"));
        }
        let refused = site.post(0, &collection, json!({ "CertificateString": pem })).await;
        assert_eq!(
            refused.refusals(),
            [("PropertyMissing".to_owned(), "#/CertificateType".to_owned())]
        );
        assert_eq!(site.delete(0, &member).await.status, 204);
        assert_eq!(site.get(0, &member).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_are_never_more_subscriptions_than_may_be() {
    let most = 12;
    let site = Site::start(2, &[("HOLDFAST_REDFISH__MAX_SUBSCRIPTIONS", &most.to_string())]).await;
    // Settings of the service are kept beside the subscriptions, and are none.
    let settings = site.patch(0, SERVICE, json!({ "DeliveryRetryAttempts": 7 })).await;
    assert_eq!(settings.status, 200);
    site.holdfast(&["subscriptions", "add", "http://10.1.1.1/events"]);
    let wish = json!({ "Destination": "http://10.1.1.2/events", "Protocol": "Redfish" }).to_string();
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..60 {
        let request = site.request(n % 2, Method::POST, SUBSCRIPTIONS).body(wish.clone());
        posts.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = posts.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201; most - 1], vec![503; 60 - (most - 1)]].concat());
    assert_eq!(site.members(0).await.len(), most);
    let stream = "/redfish/v1/EventService/SSE";
    let refused = site.get(1, stream).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.refusals()[0].0, "EventSubscriptionLimitExceeded");

    let members = site.members(0).await;
    assert_eq!(
        site.patch(0, &members[0], json!({ "Context": "changed" })).await.status,
        200
    );
    assert_eq!(site.delete(0, &members[0]).await.status, 204);
    assert_eq!(site.request(1, Method::GET, stream).send().await.unwrap().status(), 200);
    site.holdfast(&["subscriptions", "add", "http://10.1.1.3/events"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_change_and_a_removal_with_one_etag_one_is_done() {
    let site = Site::start(2, &[]).await;
    let mut outcomes = std::collections::BTreeSet::new();
    for round in 0..20 {
        let wish = json!({ "Destination": "http://10.1.1.1/events", "Protocol": "Redfish" });
        let made = site.post(0, SUBSCRIPTIONS, wish).await;
        let (uri, etag) = (made.header("location"), made.header("etag"));
        let change = site.request(round % 2, Method::PATCH, &uri).header("If-Match", &etag);
        let change = got(change.body(json!({ "Context": "changed" }).to_string()));
        let removal = got(site
            .request((round + 1) % 2, Method::DELETE, &uri)
            .header("If-Match", &etag));
        let (changed, removed) = tokio::join!(change, removal);
        outcomes.insert((changed.status, removed.status));
    }
    let allowed = [(200, 412), (404, 204)];
    assert!(outcomes.iter().all(|outcome| allowed.contains(outcome)), "{outcomes:?}");
}
