//! The Redfish service over real HTTPS, in front of a real Redis: what no conformance tool looks at.

mod answers;
mod eventing;
mod listener;
mod lockout;
mod pods;
mod races;
mod roles;
mod sessions;
mod start;

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast::config;
use holdfast::config::Config;
use holdfast::redfish::{self, Redfish};
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::TestRedis;

const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const PASSWORD: &str = "first administrator";

fn settings() -> config::Redfish {
    config::Redfish {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_password: Some(PASSWORD.to_owned().into()),
        ..config::Redfish::default()
    }
}

/// The defaults, with these settings of the service.
fn config_of(settings: &config::Redfish) -> Config {
    Config {
        redfish: settings.clone(),
        ..Config::default()
    }
}

async fn store(redis: &TestRedis) -> Arc<Store> {
    let config = Config::default();
    let connection = Connection::open(&config.redis, &redis.url(), FirstConnect::FailFast)
        .await
        .unwrap();
    Arc::new(Store::open(connection, &config.redis.prefix, Some(1)).await.unwrap())
}

/// One pod's service, with a client of its own.
struct Pod {
    service: Redfish,
    client: Client,
}

impl Pod {
    async fn start(redis: &TestRedis) -> Self {
        Self::with(redis, &settings()).await
    }

    async fn with(redis: &TestRedis, settings: &config::Redfish) -> Self {
        let service = redfish::start(&config_of(settings), store(redis).await).await.unwrap();
        Self {
            service,
            client: client(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.service.addr())
    }

    /// A request by nobody.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request by the first administrator.
    fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).basic_auth(ADMIN, Some(PASSWORD))
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        body(answer).await
    }

    async fn patch(&self, path: &str, change: Value) -> Response {
        self.admin(Method::PATCH, path)
            .body(change.to_string())
            .send()
            .await
            .unwrap()
    }

    async fn post(&self, path: &str, new: Value) -> Response {
        self.admin(Method::POST, path)
            .body(new.to_string())
            .send()
            .await
            .unwrap()
    }

    /// Makes an account with the password that [`given`] says.
    async fn add(&self, name: &str, role: &str) {
        let answer = self
            .post(
                ACCOUNTS,
                json!({"UserName": name, "Password": given(name), "RoleId": role}),
            )
            .await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    /// The answer to a login.
    async fn login(&self, name: &str, password: &str) -> Response {
        let body = json!({"UserName": name, "Password": password}).to_string();
        self.request(Method::POST, SESSIONS).body(body).send().await.unwrap()
    }

    /// Token and URI of a new session of an account that [`Self::add`] made.
    async fn session(&self, name: &str) -> (String, String) {
        let answer = self.login(name, &given(name)).await;
        assert_eq!(answer.status(), 201);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        (header("x-auth-token"), header("location"))
    }

    /// The status of a GET with a token.
    async fn with_token(&self, token: &str, path: &str) -> u16 {
        let answer = self
            .request(Method::GET, path)
            .header("X-Auth-Token", token)
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    }

    /// The status of a GET with a password.
    async fn with_password(&self, name: &str, password: &str) -> u16 {
        let request = self.request(Method::GET, SESSIONS).basic_auth(name, Some(password));
        request.send().await.unwrap().status().as_u16()
    }
}

fn client() -> Client {
    let builder = Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true);
    builder.build().unwrap()
}

fn given(name: &str) -> String {
    format!("password of {name}")
}

fn account(name: &str) -> String {
    format!("{ACCOUNTS}/{name}")
}

async fn body(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// The keys of the messages of an extended error.
async fn messages(answer: Response) -> Vec<String> {
    let body = body(answer).await;
    let messages = body["error"]["@Message.ExtendedInfo"].as_array().unwrap();
    let key = |message: &Value| {
        message["MessageId"]
            .as_str()
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned()
    };
    messages.iter().map(key).collect()
}

/// The certificate that a pod shows.
async fn certificate(url: &str) -> Vec<u8> {
    let answer = client().get(url).send().await.unwrap();
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}
