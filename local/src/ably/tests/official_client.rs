//! Ably's own JavaScript client against the stand-in; skipped where Node or its package is missing.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::any,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
};

use super::{CHANNEL, publish, start};
use crate::ably::{Ably, ApiKey, Control, DEFAULT_KEY, grant::issue_token};

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/js")
}

/// Says why and returns false where the client cannot run.
fn can_run() -> bool {
    let node = std::process::Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let missing = if !node.is_ok_and(|status| status.success()) {
        "node"
    } else if !scripts().join("node_modules/ably").exists() {
        "the npm package ably (npm ci --prefix tests/js)"
    } else {
        return true;
    };
    println!("skipped: {missing} is missing");
    false
}

/// A token endpoint with the answer that Darkroom's own gives. The first token lives for `first_lives` seconds, later
/// ones for an hour. Returns the endpoint's URL and how often it was asked.
async fn token_endpoint(first_lives: i64) -> (String, Arc<AtomicUsize>) {
    async fn token(
        State(asked): State<Arc<AtomicUsize>>,
        Path(first_lives): Path<i64>,
    ) -> Json<Value> {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        let key = ApiKey::parse(DEFAULT_KEY).unwrap();
        let issued = Timestamp::now();
        let expires = issued + SignedDuration::from_secs(if first { first_lives } else { 3600 });
        let capability = format!(r#"{{"{CHANNEL}":["subscribe"]}}"#);
        Json(json!({
            "provider": "ably",
            "token": issue_token(&key, issued, expires, &capability, Some("u1")),
            "issued": issued.as_millisecond(),
            "expires": expires.as_millisecond(),
            "capability": capability,
            "clientId": "u1",
            "channel": CHANNEL,
            "environment": null,
        }))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/token/{first_lives}",
        listener.local_addr().unwrap()
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new()
        .route("/token/{first_lives}", any(token))
        .with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

struct Client {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(ably: &Ably, auth_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .arg(scripts().join("subscribe.mjs"))
            .env("ABLY_URL", ably.url())
            .env("AUTH_URL", auth_url)
            .env("AUTH_HEADER", "a-session")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Reads up to a line of `event` that `wanted` accepts.
    async fn until(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["event"] == event && wanted(&value) {
                return value;
            }
            seen.push(line);
        }
        panic!("no such {event} line in\n{}", seen.join("\n"));
    }

    async fn attached(&mut self) -> Value {
        self.until("channel", |line| line["state"] == "attached")
            .await
    }

    async fn message_id(&mut self) -> Value {
        self.until("message", |_| true).await["id"].clone()
    }

    async fn status(mut self) -> Option<i32> {
        self.process.wait().await.unwrap().code()
    }
}

#[tokio::test]
async fn it_gets_past_and_present_in_order_and_parses_the_data() {
    if !can_run() {
        return;
    }
    let ably = start().await;
    let (auth, _) = token_endpoint(3600).await;
    let message =
        |id: &str| json!({"id": id, "name": "n", "data": "{\"runId\":\"r\"}", "encoding": "json"});
    publish(&ably, message("1")).await;
    for (method, past) in [("POST", 1), ("GET", 2)] {
        let expected = (past + 1).to_string();
        let settings = [
            ("REWIND", "2m"),
            ("EXPECT", &*expected),
            ("AUTH_METHOD", method),
            ("PUBLISH", "mine"),
        ];
        let mut client = Client::start(&ably, &auth, &settings);
        assert_eq!(client.attached().await["hasBacklog"], true);
        let first = client.until("message", |_| true).await;
        assert_eq!((&first["id"], &first["name"]), (&json!("1"), &json!("n")));
        assert_eq!(first["data"]["runId"], "r");
        let refused = client
            .until("error", |line| line["where"] == "publish")
            .await;
        assert_eq!(refused["code"], 40160);
        publish(&ably, message(&expected)).await;
        client
            .until("message", |line| line["id"] == *expected)
            .await;
        let end = client.until("end", |_| true).await;
        assert_eq!(
            (&end["reason"], &end["messages"]),
            (&json!("complete"), &json!(past + 1))
        );
        assert_eq!(client.status().await, Some(0));
    }
}

#[tokio::test]
async fn it_is_refused_on_the_channel_of_another() {
    if !can_run() {
        return;
    }
    let ably = start().await;
    let (auth, _) = token_endpoint(3600).await;
    let settings = [("CHANNEL", "ai:image:u2")];
    let mut client = Client::start(&ably, &auth, &settings);
    let refused = client
        .until("error", |line| line["where"] == "channel")
        .await;
    assert_eq!(
        (&refused["code"], &refused["statusCode"]),
        (&json!(40160), &json!(401))
    );
    assert_eq!(client.status().await, Some(1));
}

#[tokio::test]
async fn it_comes_back_after_a_break_and_renews_its_token() {
    if !can_run() {
        return;
    }
    let ably = start().await;
    let (auth, asked) = token_endpoint(32).await;
    let settings = [("CHANNEL", CHANNEL), ("EXPECT", "3"), ("REWIND", "2m")];
    // Renewal is asked for thirty seconds before the end: at once, here.
    let mut client = Client::start(&ably, &auth, &settings);
    client.attached().await;
    publish(&ably, json!({"id": "1"})).await;
    assert_eq!(client.message_id().await, "1");
    let renewed = async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .expect("a new token is asked for");

    ably.control(&Control {
        disconnect: Some(true),
        ..Control::default()
    });
    publish(&ably, json!({"id": "2"})).await;
    assert_eq!(client.attached().await["resumed"], true);
    assert_eq!(client.message_id().await, "2");
    publish(&ably, json!({"id": "3"})).await;
    assert_eq!(client.message_id().await, "3");
    assert_eq!(client.status().await, Some(0));
}

#[tokio::test]
async fn it_fetches_a_new_token_when_the_old_one_has_expired() {
    if !can_run() {
        return;
    }
    let ably = start().await;
    let (auth, asked) = token_endpoint(2).await;
    let settings = [("CHANNEL", CHANNEL), ("EXPECT", "1")];
    let mut client = Client::start(&ably, &auth, &settings);
    client.attached().await;
    let expired = client
        .until("error", |line| line["where"] == "connection")
        .await;
    assert_eq!(expired["code"], 40142);
    assert_eq!(client.attached().await["resumed"], true);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    publish(&ably, json!({"id": "1"})).await;
    assert_eq!(client.message_id().await, "1");
    assert_eq!(client.status().await, Some(0));
}
