//! Server-sent events: read on one pod, resumed on another, closed from anywhere.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{SERVICE, SUBSCRIPTIONS, Site, got};
use crate::engine::harness::SOON;
use crate::support::wait_until;

const STREAM: &str = "/redfish/v1/EventService/SSE";

/// An open stream and what came on it.
struct Stream {
    answer: Response,
    text: String,
    ended: bool,
}

impl Stream {
    async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/event-stream")
        );
        Self {
            answer,
            text: String::new(),
            ended: false,
        }
    }

    /// The messages that are whole: id and data.
    fn messages(&self) -> Vec<(String, Value)> {
        let frames = self.text.split("\n\n").filter(|frame| frame.contains("data: "));
        let message = |frame: &str| {
            let id = frame.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
            let data: String = frame.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            Some((id.to_owned(), serde_json::from_str(&data).ok()?))
        };
        frames.filter_map(message).collect()
    }

    /// The `EventId` of each message's first record.
    fn events(&self) -> Vec<String> {
        let id = |event: &Value| event["Events"][0]["EventId"].as_str().unwrap_or_default().to_owned();
        self.messages().iter().map(|(_, event)| id(event)).collect()
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                match self.answer.chunk().await {
                    Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                    _ if self.ended => panic!("the stream ended before {what}"),
                    _ => self.ended = true,
                }
            }
        };
        if tokio::time::timeout(SOON, waiting).await.is_err() {
            panic!("{what} did not come: {}", self.text);
        }
    }

    async fn has(&mut self, messages: usize) {
        self.until(&format!("{messages} messages"), |stream| {
            stream.messages().len() >= messages
        })
        .await;
    }

    /// Until the first thing has come: from then on the stream is there.
    async fn begun(&mut self) {
        self.until("the beginning", |stream| stream.text.contains("\n\n")).await;
    }

    async fn ends(&mut self) {
        self.until("the end", |stream| stream.ended).await;
    }
}

/// Waits until the collection has so many members, as that pod sees it.
async fn members(site: &Site, pod: usize, count: usize) -> Vec<String> {
    wait_until(&format!("{count} subscriptions"), SOON, async || {
        site.members(pod).await.len() == count
    })
    .await;
    site.members(pod).await
}

async fn write(site: &Site, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let event = crate::engine::harness::event(number);
        site.deployment.write(event).await.unwrap();
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_a_subscription_and_resumes_on_another_pod() {
    let site = Site::start(2, &[]).await;
    let service = site.get(0, SERVICE).await.body;
    assert_eq!(service["ServerSentEventUri"], STREAM);
    let mut first = Stream::open(site.request(0, Method::GET, STREAM)).await;
    first.begun().await;
    let uri = &members(&site, 1, 1).await[0];
    let shown = site.get(1, uri).await.body;
    assert!(
        shown["Destination"]
            .as_str()
            .unwrap()
            .starts_with("redfish-sse://127.0.0.1:")
    );
    assert_eq!(shown["SubscriptionType"], "SSE");
    assert_eq!(shown["Context"], shown["Id"], "the service makes it");

    write(&site, 0..20).await;
    first.has(20).await;
    let mut seen = first.events();
    let ids: Vec<String> = first.messages().into_iter().map(|(id, _)| id).collect();
    let distinct: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), 20, "an id of its own each");
    // The client breaks off having read the thirteenth.
    seen.truncate(13);
    drop(first);
    members(&site, 1, 0).await;
    write(&site, 20..30).await;
    site.deployment.settled().await;

    let resume = |id: &str| {
        site.request(1, Method::GET, STREAM)
            .header("Last-Event-ID", id.to_owned())
    };
    let mut second = Stream::open(resume(&ids[12])).await;
    second.has(17).await;
    write(&site, 30..35).await;
    second.has(22).await;
    seen.extend(second.events());
    seen.sort_by_key(|number| number.parse::<usize>().unwrap());
    assert_eq!(seen, numbers(0..35), "each once, none missing, no gap marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_from_beyond_what_is_kept_is_marked() {
    let site = Site::start(1, &[]).await;
    for id in ["nonsense", "1-0", "1-0.1-0"] {
        let mut stream = Stream::open(site.request(0, Method::GET, STREAM).header("Last-Event-ID", id)).await;
        stream.has(1).await;
        let (_, event) = &stream.messages()[0];
        assert_eq!(event["Events"][0]["MessageId"], "Base.1.22.EventBufferExceeded", "{id}");
    }
    // What is settled while nothing is remembered any more can't be resumed.
    let site = Site::start(
        1,
        &[("HOLDFAST_RECENT__MAX_AGE", "8s"), ("HOLDFAST_RECENT__TRIM", "100ms")],
    )
    .await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM)).await;
    write(&site, 0..3).await;
    stream.has(3).await;
    let last = stream.messages().pop().unwrap().0;
    drop(stream);
    members(&site, 0, 0).await;
    write(&site, 3..6).await;
    site.deployment.settled().await;
    wait_until("they are forgotten", SOON, async || {
        site.deployment.cli(&["XLEN", "holdfast:{0}:recent"]).trim() == "0"
    })
    .await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM).header("Last-Event-ID", last)).await;
    stream.has(1).await;
    assert!(stream.text.contains("EventBufferExceeded"));
    write(&site, 6..7).await;
    stream.has(2).await;
    assert_eq!(stream.events()[1], "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_chooses_and_what_can_not_be_filtered_is_refused() {
    let site = Site::start(1, &[]).await;
    let open = |filter: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("$filter", filter).finish();
        site.request(0, Method::GET, &format!("{STREAM}?{query}"))
    };
    let mut base = Stream::open(open("RegistryPrefix eq 'Base' or MessageId eq 'X.Y'")).await;
    let mut other = Stream::open(open("(RegistryPrefix eq 'TaskEvent')")).await;
    base.begun().await;
    other.begun().await;
    write(&site, 0..3).await;
    let task = r#"{"Events":[{"EventId":"t","EventType":"Other","MessageId":"TaskEvent.1.0.TaskStarted"}]}"#;
    site.deployment.write(task.to_owned()).await.unwrap();
    base.has(3).await;
    other.has(1).await;
    // In the order in which they were settled.
    let mut events = base.events();
    events.sort();
    assert_eq!((events, other.events()), (numbers(0..3), vec!["t".to_owned()]));
    for refused in ["Severity eq 'OK'", "nonsense"] {
        assert_eq!(got(open(refused)).await.status, 400);
    }
    assert_eq!(got(site.request(0, Method::HEAD, STREAM)).await.status, 405);
    assert_eq!(
        got(site.client.get(format!("https://{}{STREAM}", site.addr(0).unwrap())))
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_closed_from_any_pod_and_outlives_its_session() {
    let site = Site::start(2, &[]).await;
    let login = json!({ "UserName": super::super::ADMIN, "Password": super::super::PASSWORD });
    let session = site.post(0, super::super::SESSIONS, login).await;
    let token = session.header("x-auth-token");
    let url = format!("https://{}{STREAM}", site.addr(0).unwrap());
    let mut stream = Stream::open(site.client.get(url).header("X-Auth-Token", &token)).await;
    stream.begun().await;
    assert_eq!(site.delete(1, &session.header("location")).await.status, 204);
    write(&site, 0..1).await;
    stream.has(1).await;
    let uri = &members(&site, 1, 1).await[0];
    let refused = site.patch(1, uri, json!({ "Context": "c" })).await;
    assert_eq!(
        refused.refusals(),
        [("PropertyNotWritable".to_owned(), "#/Context".to_owned())]
    );
    let suspend = format!("{uri}/Actions/EventDestination.SuspendSubscription");
    assert_eq!(site.post(1, &suspend, json!({})).await.status, 404);
    assert_eq!(site.delete(1, uri).await.status, 204);
    stream.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_pod_however_it_ends() {
    let mut site = Site::start(3, &[]).await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM)).await;
    let mut killed = Stream::open(site.request(1, Method::GET, STREAM)).await;
    stream.begun().await;
    killed.begun().await;
    members(&site, 2, 2).await;
    site.deployment.pods[0].sigterm();
    stream.ends().await;
    assert!(site.deployment.pods[0].wait(Duration::from_secs(30)).success());
    members(&site, 2, 1).await;
    site.deployment.pods[1].sigkill();
    killed.ends().await;
    members(&site, 2, 0).await;
    assert_eq!(site.get(2, SUBSCRIPTIONS).await.body["Members@odata.count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_their_pod_does_not_serve_are_taken_out() {
    let site = Site::start(1, &[]).await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM)).await;
    stream.begun().await;
    let store = &site.deployment.store;
    let served = store.registry().await.unwrap().subscriptions[0].as_ref().clone();
    // As one is left of a client that went away while its stream was entered.
    let left = holdfast::domain::subscription::Subscription {
        id: holdfast::store::registry::new_id(),
        ..served.clone()
    };
    store.add_subscription(left).await.unwrap();
    for millis in 0..40 {
        let request = site.request(0, Method::GET, STREAM);
        let _ = request.timeout(Duration::from_millis(millis)).send().await;
    }
    wait_until("only the one that is read is left", SOON, async || {
        store.registry().await.unwrap().subscriptions.len() == 1
    })
    .await;
    assert_eq!(store.registry().await.unwrap().subscriptions[0].id, served.id);
    write(&site, 0..1).await;
    stream.has(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_account_that_opened_it() {
    let site = Site::start(2, &[]).await;
    let name = "watcher";
    let uri = super::super::account(name);
    let (mut password, second) = ("first of watcher", "second of watcher");
    let account = json!({ "UserName": name, "Password": password, "RoleId": "ReadOnly" });
    let made = site.post(0, super::super::ACCOUNTS, account).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let mut other = Stream::open(site.request(0, Method::GET, STREAM)).await;
    other.begun().await;
    // Each is made on the other pod.
    for (change, ends) in [
        (json!({ "RoleId": "Operator" }), false),
        (json!({ "Enabled": false }), true),
        (json!({ "PasswordChangeRequired": true }), true),
        (json!({ "Enabled": true, "Password": second }), true),
        (Value::Null, true),
    ] {
        let request = site.client.get(format!("https://{}{STREAM}", site.addr(0).unwrap()));
        let mut stream = Stream::open(request.basic_auth(name, Some(password))).await;
        stream.begun().await;
        let changed = match &change {
            Value::Null => site.delete(1, &uri).await,
            change => site.patch(1, &uri, change.clone()).await,
        };
        assert!(changed.status < 300, "{change}: {}", changed.body);
        if ends {
            stream.ends().await;
        } else {
            write(&site, 0..1).await;
            stream.has(1).await;
        }
        match change["Password"].as_str() {
            Some(_) => password = second,
            None if change.is_null() => {}
            None => {
                let well = json!({ "Enabled": true, "PasswordChangeRequired": false });
                assert_eq!(site.patch(1, &uri, well).await.status, 200);
            }
        }
    }
    write(&site, 1..2).await;
    other.has(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_takes_no_more_than_its_share_of_streams() {
    let site = Site::start(1, &[]).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Stream::open(site.request(0, Method::GET, STREAM)).await);
    }
    assert_eq!(got(site.request(0, Method::GET, STREAM)).await.status, 503);
    let (name, password) = ("watcher", "a password of watcher");
    let account = json!({ "UserName": name, "Password": password, "RoleId": "ReadOnly" });
    assert_eq!(site.post(0, super::super::ACCOUNTS, account).await.status, 201);
    let request = site.client.get(format!("https://{}{STREAM}", site.addr(0).unwrap()));
    Stream::open(request.basic_auth(name, Some(password)))
        .await
        .begun()
        .await;
    open.pop();
    wait_until("there is room again", SOON, async || {
        let answer = site.request(0, Method::GET, STREAM).send().await.unwrap();
        answer.status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_clock_is_ahead_remembers_as_long_as_the_others() {
    let Some(library) = crate::engine::clocks::libfaketime() else {
        eprintln!("SKIPPED: libfaketime is not installed (Debian: apt-get install faketime)");
        return;
    };
    let wrong = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", "+1h"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let site = Site::start(1, &wrong).await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM)).await;
    write(&site, 0..1).await;
    stream.has(1).await;
    let last = stream.messages().pop().unwrap().0;
    drop(stream);
    members(&site, 0, 0).await;
    site.in_force().await;
    write(&site, 1..4).await;
    site.deployment.settled().await;
    let mut stream = Stream::open(site.request(0, Method::GET, STREAM).header("Last-Event-ID", last)).await;
    stream.has(3).await;
    let mut events = stream.events();
    events.sort();
    assert_eq!(events, numbers(1..4));
}
