//! A live outage as an operator sees it: a real browser, a real pod, a real subscriber.

use std::cell::Cell;

use holdfast::cli::sink::Mode;

use super::admin;
use super::browser::Browser;
use crate::engine::harness::{Deployment, SOON};
use crate::support::wait_until;

const STATE: &str = "#subscriptions tbody td.state";
const PARKED: &str = "#subscriptions tbody td[data-label=parked]";
const NEXT: &str = "#subscriptions tbody td[data-label='next try']";
const ERROR: &str = "#subscriptions tbody td.why";
const LIVE: &str = "#live-text";
const TAB: &str = "\u{e004}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_an_outage_begin_and_end() {
    let Some(browser) = Browser::start().await else {
        eprintln!("SKIPPED: no chromedriver or no chromium here; install chromium and chromium-driver");
        return;
    };
    // Long enough to be seen counting down.
    let mut deployment = Deployment::start(1, &[("HOLDFAST_RETRY__DELAY", "6s")]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(5).await;
    deployment.settled().await;
    let home = format!("{}/", admin(&deployment).await);

    browser.screen(1280, 900, false).await;
    browser.go(&home).await;
    browser.eval("window.untouched = true").await;
    browser.shows(STATE, |text| text == "delivering").await;
    browser.shows("h1", |text| text == "The one subscriber is served").await;
    browser.shows("#balance", |text| text.contains("balances")).await;
    browser
        .shows("#workers tbody td.name", |text| text.starts_with("pod0-"))
        .await;

    sink.set_mode(Mode::Refuse(None)).await;
    deployment.publish(30).await;
    browser.shows(STATE, |text| text == "unavailable").await;
    browser.shows(PARKED, |text| text == "30").await;
    browser
        .shows("h1", |text| text == "1 of 1 subscriber is unavailable")
        .await;
    browser
        .shows(ERROR, |text| text.contains("refused") && text.contains("failed"))
        .await;
    let longest = Cell::new(0);
    let counts_down = |text: &str| {
        let left: u64 = text
            .trim_start_matches("in ")
            .trim_end_matches('s')
            .parse()
            .unwrap_or(0);
        longest.set(longest.get().max(left));
        left > 0 && left < longest.get()
    };
    browser.shows(NEXT, counts_down).await;
    deployment.publish(12).await;
    browser.shows(PARKED, |text| text == "42").await;

    looks_right_everywhere(&browser).await;
    can_be_used_with_keys(&browser).await;
    hostile_texts_do_nothing(&browser, &deployment, id.as_str()).await;

    sink.set_mode(Mode::Ok).await;
    browser.shows(STATE, |text| text == "delivering").await;
    browser
        .shows("#ledger", |text| text.contains("= 47") && text.contains("+ 0"))
        .await;
    assert_eq!(
        browser.eval("return window.untouched").await,
        true,
        "the page was loaded again"
    );
    assert_eq!(browser.console().await, Vec::<String>::new());
    let requests = browser.requests().await;
    let foreign: Vec<_> = requests.iter().filter(|url| !url.starts_with(&home)).collect();
    assert!(requests.len() > 5 && foreign.is_empty(), "{foreign:?}");

    deployment.redis.kill9();
    browser.shows(LIVE, |text| text.starts_with("no answer since ")).await;
    browser.shows("#absence", |text| text.contains("Redis")).await;
    deployment.redis.restart();
    browser.shows(LIVE, |text| text.starts_with("live")).await;
    deployment.pods[0].sigkill();
    browser
        .shows("#absence", |text| text.contains("The pod does not answer"))
        .await;
    assert_eq!(browser.eval("return window.untouched").await, true);
}

/// Fits every phone, and follows the wish for light or dark.
async fn looks_right_everywhere(browser: &Browser) {
    for width in [320, 360, 400, 768] {
        browser.screen(width, 700, true).await;
        let overflow = "return document.documentElement.scrollWidth - innerWidth";
        wait_until(&format!("nothing is wider than {width} px"), SOON, async || {
            browser.eval(overflow).await.as_i64().unwrap() <= 0
        })
        .await;
        assert_eq!(browser.eval("return innerWidth").await, width);
    }
    browser.screen(1280, 900, false).await;
    let brightness = "const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
                      return r + g + b";
    browser.scheme("light").await;
    assert!(browser.eval(brightness).await.as_i64().unwrap() > 3 * 200);
    browser.scheme("dark").await;
    assert!(browser.eval(brightness).await.as_i64().unwrap() < 3 * 60);
}

/// Skips to the subscribers, and filters them, without a mouse.
async fn can_be_used_with_keys(browser: &Browser) {
    browser.press(&[TAB]).await;
    assert_eq!(browser.eval("return document.activeElement.className").await, "skip");
    browser.press(&["/"]).await;
    assert_eq!(browser.eval("return document.activeElement.id").await, "filter");
    browser.press(&["z", "z", "z"]).await;
    browser.shows("#more", |text| text == "None matches the filter").await;
    browser.press(&["\u{e003}", "\u{e003}", "\u{e003}"]).await;
    browser.shows(STATE, |text| text == "unavailable").await;
}

/// What subscribers, hardware and workers wrote is shown as it is, and never run.
async fn hostile_texts_do_nothing(browser: &Browser, deployment: &Deployment, id: &str) {
    const SCRIPT: &str = "<script>window.hacked = 1</script>";
    const IMAGE: &str = "<img src=x onerror='window.hacked = 1'>";
    let circuit = format!("holdfast:{{0}}:circuit:{id}");
    deployment.cli(&["HSET", &circuit, "error", IMAGE]);
    deployment.cli(&[
        "XADD",
        "holdfast:{0}:dead",
        "*",
        "subscription",
        SCRIPT,
        "reason",
        IMAGE,
        "error",
        SCRIPT,
    ]);
    deployment.cli(&["ZADD", "holdfast:{0}:workers", "9000000000000", SCRIPT]);
    browser
        .shows("#dead tbody", |text| text.contains(SCRIPT) && text.contains(IMAGE))
        .await;
    browser.shows("#workers tbody", |text| text.contains(SCRIPT)).await;
    assert_eq!(
        browser.eval("return window.hacked ?? null").await,
        serde_json::Value::Null
    );
    assert_eq!(
        browser
            .eval("return document.querySelectorAll('main img, main script').length")
            .await,
        0
    );
    deployment.cli(&["ZREM", "holdfast:{0}:workers", SCRIPT]);
}
