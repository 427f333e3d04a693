//! Chromium without a window, driven over ChromeDriver: WebDriver is HTTP and JSON.
//!
//! The Debian packages are chromium and chromium-driver. Where they are missing there is no [`Browser`], and
//! a test says aloud that it was skipped.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::harness::SOON;
use crate::support::{free_port, signal, wait_until};

/// A page in a browser of its own; it ends, helpers and all, when dropped.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    profile: TempDir,
}

impl Browser {
    /// Starts a browser with an empty profile; `None` where there is none on this machine.
    pub(super) async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: whatever it started ends with it.
            .process_group(0)
            .spawn()
            .ok()?;
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            client: Client::builder().no_proxy().build().unwrap(),
            profile,
        };
        wait_until("the driver is ready", SOON, async || {
            let answer = browser.try_ask(Method::GET, "/status", None).await;
            answer.is_ok_and(|answer| answer["ready"] == true)
        })
        .await;
        if !browser.open().await {
            return None;
        }
        // What the browser's own first page asks for is no page's doing.
        browser.go("about:blank").await;
        browser.requests().await;
        browser.console().await;
        Some(browser)
    }

    /// Opens the browser itself; false when there is only the driver.
    async fn open(&mut self) -> bool {
        let profile = self.profile.path().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        match self.try_ask(Method::POST, "/session", Some(wanted)).await {
            Ok(answer) => {
                self.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
                true
            }
            Err(error) if error.contains("cannot find") => false,
            Err(error) => panic!("the browser does not start: {error}"),
        }
    }

    /// Goes to a page and waits until it is loaded.
    pub(super) async fn go(&self, url: &str) {
        self.ask("/url", json!({ "url": url })).await;
    }

    /// What a piece of JavaScript returns.
    pub(super) async fn eval(&self, script: &str) -> Value {
        self.ask("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// The text of an element; empty where there is none.
    pub(super) async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.eval(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element fits.
    pub(super) async fn shows(&self, selector: &str, fits: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let what = format!("{selector} shows what is expected");
        let seen = tokio::time::timeout(SOON, async {
            loop {
                last = self.text(selector).await;
                if fits(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let seen = seen.await.is_ok();
        assert!(seen, "waited {SOON:?} in vain until {what}; it shows {last:?}");
    }

    /// Presses keys, one after the other.
    pub(super) async fn press(&self, keys: &[&str]) {
        let moves = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|how| json!({"type": how, "value": key})));
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": moves.collect::<Vec<_>>()}]});
        self.ask("/actions", actions).await;
    }

    /// A screen of this size, as a phone has it or as a desk.
    pub(super) async fn screen(&self, width: u32, height: u32, mobile: bool) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// `light` or `dark`.
    pub(super) async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.ask("/goog/cdp/execute", json!({"cmd": command, "params": parameters}))
            .await;
    }

    /// What the console has said since it was asked last: warnings, errors and what a page logs.
    pub(super) async fn console(&self) -> Vec<String> {
        let entries = self.ask("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// URLs of all requests that the page has made since it was asked last.
    pub(super) async fn requests(&self) -> Vec<String> {
        let entries = self.ask("/se/log", json!({"type": "performance"})).await;
        let mut urls = Vec::new();
        for entry in entries.as_array().unwrap() {
            let entry: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &entry["message"];
            if message["method"] == "Network.requestWillBeSent" {
                urls.push(message["params"]["request"]["url"].as_str().unwrap().to_owned());
            }
        }
        urls
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.try_ask(Method::POST, &path, Some(body)).await.unwrap()
    }

    async fn try_ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let good = answer.status().is_success();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let mut body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if good { Ok(body["value"].take()) } else { Err(text) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browsers when it is asked to; its group gets what is left.
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _timed = socket.set_read_timeout(Some(Duration::from_secs(10)));
            let request = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session);
            let _sent = socket.write_all(request.as_bytes());
            let _answered = socket.read(&mut [0; 1]);
        }
        let _group = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.driver.id())])
            .status();
        signal(self.driver.id(), "KILL");
        let _reaped = self.driver.wait();
    }
}
