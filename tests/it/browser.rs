//! The admin page in a real browser, as a phone and a desk show it, driven over WebDriver.
//!
//! Chromium and its driver are Debian's `chromium` and `chromium-driver`; `tests/run` installs them. Nothing here knows
//! how the page is made.

use crate::merchant::{Merchant, PATIENCE, Sale, Shop, free_port, until};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The driver of a browser; it ends with the test.
struct Driver {
    child: Child,
    port: u16,
    client: reqwest::Client,
}

impl Driver {
    async fn start() -> Self {
        let port = free_port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`chromedriver` is missing: install Debian's packages chromium and chromium-driver, or let tests/run do it");
        brani_sync::http::install_tls();
        let client = brani_sync::http::client(PATIENCE).expect("a client");
        let driver = Self { child, port, client };
        let began = std::time::Instant::now();
        while driver.try_call("GET", "/status", None).await.is_none() {
            assert!(began.elapsed() < PATIENCE, "chromedriver does not answer");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        driver
    }

    async fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = match (method, body) {
            ("GET", _) => self.client.get(url),
            ("DELETE", _) => self.client.delete(url),
            (_, body) => self.client.post(url).json(body.unwrap_or(&json!({}))),
        };
        let answer = request.send().await.ok()?;
        let mut value: Value = answer.json().await.ok()?;
        Some(value["value"].take())
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let value = self
            .try_call(method, path, Some(&body))
            .await
            .unwrap_or_else(|| panic!("{method} {path}: no answer"));
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }

    /// A window of this size; without scripts of the page where they are forbidden.
    async fn window(&self, width: u32, height: u32, scripts: bool) -> Window<'_> {
        let profile = tempfile::tempdir().expect("a folder");
        let scripts = if scripts { 1 } else { 2 };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--disable-dev-shm-usage".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": arguments,
                "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2, "touch": true}},
                "prefs": {"profile.managed_default_content_settings.javascript": scripts},
            },
        }}});
        let session = self.call("POST", "/session", wanted).await;
        let id = session["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{session}"));
        Window {
            driver: self,
            path: format!("/session/{id}"),
            _profile: profile,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its browsers are its children and go with their sessions.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Window<'a> {
    driver: &'a Driver,
    path: String,
    _profile: tempfile::TempDir,
}

impl Window<'_> {
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        self.driver
            .call(method, &format!("{}{path}", self.path), body)
            .await
    }

    async fn open(&self, url: &str) {
        self.call("POST", "/url", json!({"url": url})).await;
    }

    /// Waits for the page that a key or a click asked for.
    async fn arrives_at(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = self.call("GET", "/url", Value::Null).await;
            if url == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{url} instead of {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn element(&self, css: &str) -> String {
        let wanted = json!({"using": "css selector", "value": css});
        let element = self.call("POST", "/element", wanted).await;
        let id = element.as_object().and_then(|element| element.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    /// What a person reads in an element.
    async fn text(&self, css: &str) -> String {
        let element = self.element(css).await;
        let text = self
            .call("GET", &format!("/element/{element}/text"), Value::Null)
            .await;
        text.as_str().expect("a text").to_owned()
    }

    /// Types into an element; `\u{e007}` is Enter.
    async fn types(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.call(
            "POST",
            &format!("/element/{element}/value"),
            json!({"text": text}),
        )
        .await;
    }

    async fn clicks(&self, css: &str) {
        let element = self.element(css).await;
        self.call("POST", &format!("/element/{element}/click"), json!({}))
            .await;
    }

    async fn evaluates(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", json!({"script": script, "args": []}))
            .await
    }

    async fn close(self) {
        self.call("DELETE", "", Value::Null).await;
    }
}

/// A shop in which one order is sent, one is packed, and one is parked for a reason that looks like HTML.
async fn house() -> (Merchant, crate::merchant::Daemon, String) {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    let port = free_port();
    merchant.add(&format!(
        "[admin]\nlisten = \"127.0.0.1:{port}\"\nlanguage = \"cs\"\ncontact = \"Petr ze skladu, linka 12\"\n"
    ));
    merchant.shop.add_all(&[
        Sale::new(1),
        Sale::new(2),
        Sale::new(3).shipping("<script>document.title='zle'</script> posel s velmi dlouhým názvem dopravy"),
    ]);
    let daemon = merchant.run();
    until("two orders stand", || merchant.brani.order_count() == 2);
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.brani.pack(&Sale::new(2).code, "CZ2");
    until("the packing is written", || {
        merchant.shop.get(2, "state") == "packed"
    });
    (merchant, daemon, format!("http://127.0.0.1:{port}/"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_and_a_desk_show_the_page_and_find_an_order_by_its_ending() {
    let (_merchant, daemon, home) = house().await;
    let driver = Driver::start().await;
    for (width, height) in [(360, 740), (1280, 900)] {
        let window = driver.window(width, height, true).await;
        window.open(&home).await;
        let text = window.text("body").await;
        for words in [
            "kvetiny",
            "2026-0003",
            "posel s velmi dlouhým názvem",
            "Petr ze skladu, linka 12",
            "Posledních 24 hodin",
        ] {
            assert!(text.contains(words), "{width}: `{words}` in\n{text}");
        }
        for (_, street, _, note, _) in crate::merchant::PEOPLE {
            assert!(!text.contains(street) && !text.contains(note), "{text}");
        }
        assert_eq!(
            window.evaluates("return document.scripts.length").await,
            0,
            "what looks like a script is text"
        );
        assert_ne!(window.evaluates("return document.title").await, "zle");
        // Nothing runs out of the screen, and nothing is too small to read or to touch.
        let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(window.evaluates(wide).await, true, "{width} points wide");
        let small = "return Array.from(document.querySelectorAll('body *')).filter(e => e.childElementCount == 0 && \
                     !e.closest('svg') && e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 12) \
                     .map(e => e.outerHTML.slice(0, 80))";
        assert_eq!(window.evaluates(small).await, json!([]), "{width} points wide");
        let plot = "const r = document.querySelector('svg').getBoundingClientRect(); return r.width > 100 && r.height > 20";
        assert_eq!(window.evaluates(plot).await, true, "the day's plot is drawn");

        window.types("input[type=search]", "0002\u{e007}").await;
        window.arrives_at(&format!("{home}order/2026-0002")).await;
        let story = window.text("main").await;
        assert!(
            story.contains("CZ2") || story.contains("Zabaleno") || story.contains("packed"),
            "{story}"
        );
        assert_eq!(window.evaluates(wide).await, true, "{width} points wide");
        window.clicks("h1 a").await;
        window.arrives_at(&home).await;
        window.clicks("a[href='order/2026-0003']").await;
        let story = window.text("main").await;
        assert!(story.contains("posel s velmi dlouhým názvem"), "{story}");
        window.close().await;
    }
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_runs_no_scripts_shows_and_searches_all_the_same() {
    let (_merchant, daemon, home) = house().await;
    let driver = Driver::start().await;
    let window = driver.window(360, 740, false).await;
    window.open(&home).await;
    assert!(window.text("body").await.contains("2026-0003"));
    window.types("input[type=search]", "0001\u{e007}").await;
    window.arrives_at(&format!("{home}order/2026-0001")).await;
    window.close().await;
    assert_eq!(daemon.stop().0, 0);
}
