//! The EventService over real HTTPS, with real pods, workers and subscribers behind it.

mod actions;
mod metrics;
mod settings;
mod streams;
mod subscriptions;

use std::process::Command;

use holdfast::cli::sink::{Mode, Sink};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{ADMIN, PASSWORD, client};
use crate::engine::harness::{Deployment, SOON};
use crate::support::wait_until;

const SERVICE: &str = "/redfish/v1/EventService";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";

/// Pods with workers and the service, and a client of the first administrator.
struct Site {
    deployment: Deployment,
    client: Client,
}

/// An answer, read to its end.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Got {
    fn header(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    /// The keys of the messages of an extended error, each with the property that it is about.
    fn refusals(&self) -> Vec<(String, String)> {
        let messages = self.body["error"]["@Message.ExtendedInfo"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        messages
            .iter()
            .map(|message| {
                let id = text(&message["MessageId"]);
                let key = id.rsplit('.').next().unwrap().to_owned();
                (key, text(&message["RelatedProperties"][0]))
            })
            .collect()
    }
}

impl Site {
    async fn start(pods: usize, more: &[(&str, &str)]) -> Self {
        let own = [("HOLDFAST_REDFISH__ADMIN_PASSWORD", PASSWORD)];
        let site = Self {
            deployment: Deployment::start(pods, &[&own, more].concat()).await,
            client: client(),
        };
        for pod in 0..pods {
            site.listens(pod).await;
        }
        site
    }

    /// Waits until a pod's service listens.
    async fn listens(&self, pod: usize) {
        wait_until("the service listens", SOON, async || self.addr(pod).is_some()).await;
    }

    /// Where a pod's service listens, by its log.
    fn addr(&self, pod: usize) -> Option<String> {
        self.listener(pod, "redfish")
    }

    /// Where one of a pod's listeners is, by its log.
    fn listener(&self, pod: usize, name: &str) -> Option<String> {
        self.deployment.pods[pod].listener(name)
    }

    fn request(&self, pod: usize, method: Method, path: &str) -> RequestBuilder {
        let url = format!("https://{}{path}", self.addr(pod).unwrap());
        self.client.request(method, url).basic_auth(ADMIN, Some(PASSWORD))
    }

    async fn get(&self, pod: usize, path: &str) -> Got {
        got(self.request(pod, Method::GET, path)).await
    }

    async fn post(&self, pod: usize, path: &str, body: Value) -> Got {
        got(self.request(pod, Method::POST, path).body(body.to_string())).await
    }

    async fn patch(&self, pod: usize, path: &str, body: Value) -> Got {
        got(self.request(pod, Method::PATCH, path).body(body.to_string())).await
    }

    async fn delete(&self, pod: usize, path: &str) -> Got {
        got(self.request(pod, Method::DELETE, path)).await
    }

    /// Subscribes a destination and waits until every pod knows it; answers the subscription's URI.
    async fn subscribe(&self, destination: &str, more: Value) -> String {
        let mut wish = json!({ "Destination": destination, "Protocol": "Redfish" });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.post(0, SUBSCRIPTIONS, wish).await;
        assert_eq!(made.status, 201, "{}", made.body);
        self.in_force().await;
        made.header("location")
    }

    /// Waits until every pod has loaded what is set now.
    async fn in_force(&self) {
        let version = self.deployment.store.registry_version().await.unwrap();
        self.deployment.in_force(version).await;
    }

    /// Runs `holdfast` on the same Redis; its standard output.
    fn holdfast(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(arguments)
            .env("HOLDFAST_REDIS__URL", self.deployment.redis.url())
            .env("HOLDFAST_DESTINATIONS__ALLOW", "0.0.0.0/0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The members of the collection.
    async fn members(&self, pod: usize) -> Vec<String> {
        let collection = self.get(pod, SUBSCRIPTIONS).await.body;
        let members = collection["Members"].as_array().unwrap();
        members
            .iter()
            .map(|member| member["@odata.id"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn got(request: RequestBuilder) -> Got {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    Got {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

/// Waits until a subscriber has accepted so many deliveries.
async fn received(sink: &Sink, count: usize) {
    wait_until(&format!("{count} deliveries came"), SOON, async || {
        accepted(sink) >= count
    })
    .await;
}

/// How many deliveries a subscriber has accepted.
fn accepted(sink: &Sink) -> usize {
    sink.deliveries()
        .iter()
        .filter(|delivery| delivery.status == 200)
        .count()
}

/// The bodies that a subscriber was sent, as JSON.
fn bodies(sink: &Sink) -> Vec<Value> {
    let deliveries = sink.deliveries();
    deliveries
        .iter()
        .map(|delivery| serde_json::from_slice(&delivery.body).unwrap())
        .collect()
}

async fn healthy() -> Sink {
    Deployment::sink(Mode::Ok).await
}
