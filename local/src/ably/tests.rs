//! The stand-in over real loopback: HTTP, websocket and server-sent events.

mod official_client;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::{Ably, ApiKey, Control, DEFAULT_KEY, grant::issue_token};

const CHANNEL: &str = "ai:image:u1";

async fn start() -> Ably {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Ably::start(listener, None).await.unwrap()
}

fn token_for(seconds: i64, capability: &str) -> String {
    let key = ApiKey::parse(DEFAULT_KEY).unwrap();
    let now = Timestamp::now();
    issue_token(
        &key,
        now,
        now + SignedDuration::from_secs(seconds),
        capability,
        Some("u1"),
    )
}

fn token() -> String {
    token_for(3600, r#"{"ai:image:u1":["subscribe"]}"#)
}

fn http() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls_provider();
    reqwest::Client::new()
}

fn rustls_provider() -> Result<(), ()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| ())
}

async fn publish_with(ably: &Ably, key: &str, body: &Value) -> Response {
    let (name, secret) = key.split_once(':').unwrap();
    http()
        .post(format!("{}/channels/ai%3Aimage%3Au1/messages", ably.url()))
        .basic_auth(name, Some(secret))
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn publish(ably: &Ably, body: Value) -> (StatusCode, Value) {
    let response = publish_with(ably, DEFAULT_KEY, &body).await;
    (response.status(), response.json().await.unwrap())
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(ably: &Ably, query: &str) -> Self {
        let url = format!(
            "ws://{}/?format=json&v=6&heartbeats=true&{query}",
            ably.address()
        );
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    async fn connected(ably: &Ably) -> Self {
        let mut socket = Self::open(ably, &format!("access_token={}", token())).await;
        assert_eq!(socket.frame().await["action"], 4);
        socket
    }

    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame that is no heartbeat; null at the end of the connection.
    async fn frame(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await;
            match next.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame != json!({"action": 0}) {
                        return frame;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn attach(&mut self, more: Value) -> Value {
        let mut frame = json!({"action": 10, "channel": CHANNEL});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.send(frame).await;
        self.frame().await
    }

    async fn message_id(&mut self) -> String {
        let frame = self.frame().await;
        assert_eq!(frame["action"], 15, "{frame}");
        assert_eq!(frame["channel"], CHANNEL);
        frame["messages"][0]["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn publishes_over_rest_and_drops_repetitions() {
    let ably = start().await;
    let message =
        json!({"id": "run-1", "name": "started", "data": "{\"a\":1}", "encoding": "json"});
    let (status, receipt) = publish(&ably, message.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&receipt["channel"], &receipt["messageId"]),
        (&json!(CHANNEL), &json!("run-1"))
    );
    assert_eq!(publish(&ably, message).await.0, 201);

    let stored = ably.messages(CHANNEL);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].name.as_deref(), Some("started"));
    let duplicates: Vec<bool> = ably.calls().iter().map(|call| call.duplicate).collect();
    assert_eq!(duplicates, [false, true]);

    let (status, _) = publish(&ably, json!([{"id": "b:0"}, {"id": "b:1"}])).await;
    assert_eq!(status, 201);
    let (status, error) = publish(&ably, json!([{"id": "run-2"}, {"id": "run-3"}])).await;
    assert_eq!(
        (status.as_u16(), &error["error"]["code"]),
        (400, &json!(40031))
    );
    assert_eq!(ably.messages(CHANNEL).len(), 3);

    let history: Value = http()
        .get(format!(
            "{}/channels/ai%3Aimage%3Au1/messages?limit=2&key={DEFAULT_KEY}",
            ably.url()
        ))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(history[0]["id"], "b:1");
    assert_eq!(history.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refuses_what_ably_refuses() {
    let ably = start().await;
    let wrong = publish_with(&ably, "local.darkroom:wrong", &json!({"name": "a"})).await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.headers()["access-control-allow-origin"], "*");
    let error: Value = wrong.json().await.unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["statusCode"]),
        (&json!(40101), &json!(401))
    );

    let (status, error) = publish(&ably, json!({"data": "a".repeat(65_537)})).await;
    assert_eq!(
        (status.as_u16(), &error["error"]["code"]),
        (400, &json!(40009))
    );

    let subscriber = http()
        .post(format!("{}/channels/{CHANNEL}/messages", ably.url()))
        .bearer_auth(token())
        .json(&json!({"name": "a"}))
        .send()
        .await
        .unwrap();
    assert_eq!(subscriber.status(), 401);
    let error: Value = subscriber.json().await.unwrap();
    assert_eq!(error["error"]["code"], 40160);
    assert!(ably.messages(CHANNEL).is_empty());
}

#[tokio::test]
async fn fails_on_request() {
    let ably = start().await;
    let control = async |body: Value| {
        let sent = http()
            .post(format!("{}/_control", ably.url()))
            .json(&body)
            .send()
            .await
            .unwrap();
        sent.status().as_u16()
    };
    let status = async || publish(&ably, json!({"name": "a"})).await.0.as_u16();
    assert_eq!(control(json!({"down": true})).await, 200);
    assert_eq!([status().await, status().await], [503, 503]);
    assert_eq!(
        control(json!({"down": false, "fail_next": 2, "status": 500})).await,
        200
    );
    assert_eq!(
        [status().await, status().await, status().await],
        [500, 500, 201]
    );
    assert_eq!(control(json!({"max_rate": 2})).await, 200);
    assert_eq!([status().await, status().await], [201, 429]);
    assert_eq!(control(json!({"unknown": true})).await, 400);

    let calls: Value = http()
        .get(format!("{}/_calls", ably.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let statuses: Vec<_> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["status"].clone())
        .collect();
    assert_eq!(statuses, [503, 503, 500, 500, 201, 201, 429]);
    assert_eq!(ably.messages(CHANNEL).len(), 2);
}

#[tokio::test]
async fn a_subscriber_gets_the_past_then_the_present() {
    let ably = start().await;
    publish(&ably, json!({"id": "1"})).await;
    publish(
        &ably,
        json!({"id": "2", "name": "n", "data": "{}", "encoding": "json"}),
    )
    .await;

    let mut socket = Socket::connected(&ably).await;
    let attached = socket.attach(json!({"params": {"rewind": "2m"}})).await;
    assert_eq!(
        (&attached["action"], &attached["flags"]),
        (&json!(11), &json!(786_434))
    );
    publish(&ably, json!({"id": "3"})).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(socket.message_id().await, expected);
    }

    let mut late = Socket::connected(&ably).await;
    assert_eq!(late.attach(json!({})).await["flags"], 786_432);
    let mut counted = Socket::connected(&ably).await;
    counted.attach(json!({"params": {"rewind": 1}})).await;
    assert_eq!(counted.message_id().await, "3");
    publish(&ably, json!({"id": "4"})).await;
    assert_eq!(late.message_id().await, "4");
    assert_eq!(counted.message_id().await, "4");

    late.send(json!({"action": 12, "channel": CHANNEL})).await;
    assert_eq!(
        late.frame().await,
        json!({"action": 13, "channel": CHANNEL})
    );
    publish(&ably, json!({"id": "5"})).await;
    late.send(json!({"action": 0, "id": "ping"})).await;
    assert_eq!(late.frame().await, json!({"action": 0, "id": "ping"}));
    late.send(json!({"action": 7})).await;
    assert_eq!(late.frame().await, json!({"action": 8}));
    assert_eq!(late.frame().await, Value::Null);
}

#[tokio::test]
async fn a_subscriber_that_comes_back_misses_nothing() {
    let ably = start().await;
    let mut socket = Socket::connected(&ably).await;
    socket.attach(json!({})).await;
    publish(&ably, json!({"id": "1"})).await;
    let serial = socket.frame().await["channelSerial"].clone();
    ably.control(&Control {
        disconnect: Some(true),
        ..Control::default()
    });
    assert_eq!(socket.frame().await, Value::Null);
    publish(&ably, json!({"id": "2"})).await;

    let mut again = Socket::connected(&ably).await;
    let attached = again
        .attach(json!({"channelSerial": serial, "params": {"rewind": "2m"}}))
        .await;
    assert_eq!(attached["flags"], 786_432 + 4 + 2);
    assert_eq!(again.message_id().await, "2");
}

#[tokio::test]
async fn a_token_opens_its_own_channel_only() {
    let ably = start().await;
    let mut socket = Socket::connected(&ably).await;
    socket
        .send(json!({"action": 10, "channel": "ai:image:u2"}))
        .await;
    let refused = socket.frame().await;
    assert_eq!(
        (&refused["action"], &refused["channel"]),
        (&json!(9), &json!("ai:image:u2"))
    );
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["statusCode"]),
        (&json!(40160), &json!(401))
    );

    socket
        .send(
            json!({"action": 15, "channel": CHANNEL, "msgSerial": 7, "messages": [{"name": "a"}]}),
        )
        .await;
    let nack = socket.frame().await;
    assert_eq!(
        (&nack["action"], &nack["msgSerial"], &nack["error"]["code"]),
        (&json!(2), &json!(7), &json!(40160))
    );

    let mut owner = Socket::open(&ably, &format!("key={DEFAULT_KEY}")).await;
    assert_eq!(owner.frame().await["action"], 4);
    owner
        .send(
            json!({"action": 15, "channel": CHANNEL, "msgSerial": 0, "messages": [{"name": "a"}]}),
        )
        .await;
    assert_eq!(owner.frame().await["action"], 1);
    assert_eq!(ably.messages(CHANNEL).len(), 1);
}

#[tokio::test]
async fn a_token_that_runs_out_ends_the_connection_unless_renewed() {
    let ably = start().await;
    let capability = r#"{"ai:image:u1":["subscribe"]}"#;
    let expired = token_for(-1, capability);
    let mut refused = Socket::open(&ably, &format!("access_token={expired}")).await;
    let error = refused.frame().await;
    assert_eq!(
        (&error["action"], &error["error"]["code"]),
        (&json!(9), &json!(40142))
    );
    assert_eq!(refused.frame().await, Value::Null);

    let short = token_for(3, capability);
    let mut socket = Socket::open(&ably, &format!("access_token={short}")).await;
    assert_eq!(socket.frame().await["connectionDetails"]["clientId"], "u1");
    let mut renewed = Socket::open(&ably, &format!("access_token={short}")).await;
    renewed.frame().await;
    renewed.attach(json!({})).await;
    renewed
        .send(json!({"action": 17, "auth": {"accessToken": token_for(34, capability)}}))
        .await;
    assert_eq!(renewed.frame().await["action"], 4);

    let ended = socket.frame().await;
    assert_eq!(
        (&ended["action"], &ended["error"]["code"]),
        (&json!(6), &json!(40142))
    );
    assert_eq!(socket.frame().await, Value::Null);

    // Thirty seconds before the end a client is asked for a new token.
    assert_eq!(renewed.frame().await, json!({"action": 17}));
    let other = token_for(60, r#"{"ai:image:u9":["subscribe"]}"#);
    renewed
        .send(json!({"action": 17, "auth": {"accessToken": other}}))
        .await;
    assert_eq!(renewed.frame().await["action"], 4);
    let lost = renewed.frame().await;
    assert_eq!(
        (&lost["channel"], &lost["error"]["code"]),
        (&json!(CHANNEL), &json!(40160))
    );
}

/// Reads a stream until it holds `end`, or ends.
async fn read_stream(response: &mut Response, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let chunk = tokio::time::timeout(Duration::from_secs(10), response.chunk()).await;
        let Some(chunk) = chunk.expect("a chunk in time").unwrap() else {
            break;
        };
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

#[tokio::test]
async fn server_sent_events_rewind_resume_and_expire() {
    let ably = start().await;
    publish(
        &ably,
        json!({"id": "1", "name": "n", "data": "{\"a\":1}", "encoding": "json"}),
    )
    .await;
    let open = async |token: &str, more: &str| {
        let url = format!(
            "{}/event-stream?v=1.2&channels={CHANNEL}&accessToken={token}{more}",
            ably.url()
        );
        http().get(url).send().await.unwrap()
    };
    let mut first = open(&token(), "&rewind=2m").await;
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    let text = read_stream(&mut first, "\n\n").await;
    let (id, rest) = text.strip_prefix("id: ").unwrap().split_once('\n').unwrap();
    let data = rest
        .strip_prefix("event: message\ndata: ")
        .unwrap()
        .trim_end();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&data["id"], &data["channel"], &data["encoding"]),
        (&json!("1"), &json!(CHANNEL), &json!("json"))
    );
    assert_eq!(data["data"], "{\"a\":1}");

    publish(&ably, json!([{"id": "b:0"}, {"id": "b:1"}])).await;
    let text = read_stream(&mut first, "b:1").await;
    assert_eq!(text.matches("event: message").count(), 2);
    let after_b0 = text
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();

    let mut resumed = open(&token(), &format!("&lastEvent={id}")).await;
    let text = read_stream(&mut resumed, "b:1").await;
    assert!(
        text.contains("\"b:0\"") && !text.contains("\"id\":\"1\""),
        "{text}"
    );
    let mut midway = open(&token(), &format!("&lastEvent={after_b0}")).await;
    let text = read_stream(&mut midway, "b:1").await;
    assert!(!text.contains("\"b:0\""), "{text}");

    let mut short = open(&token_for(1, r#"{"*":["subscribe"]}"#), "").await;
    let text = read_stream(&mut short, "never").await;
    assert!(
        text.contains("event: error\ndata: {\"code\":40142"),
        "{text}"
    );
    let refused = open(&token_for(60, r#"{"other":["subscribe"]}"#), "").await;
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn token_requests_are_exchanged_for_tokens() {
    let ably = start().await;
    let url = format!("{}/keys/local.darkroom/requestToken", ably.url());
    let body = json!({"keyName": "local.darkroom", "capability": r#"{"ai:*":["subscribe"]}"#, "clientId": "u1"});
    let (name, secret) = DEFAULT_KEY.split_once(':').unwrap();
    let request = http().post(&url).basic_auth(name, Some(secret)).json(&body);
    let details: Value = request.send().await.unwrap().json().await.unwrap();
    let mut socket = Socket::open(
        &ably,
        &format!("access_token={}", details["token"].as_str().unwrap()),
    )
    .await;
    assert_eq!(socket.frame().await["connectionDetails"]["clientId"], "u1");
    assert_eq!(
        http().post(&url).json(&body).send().await.unwrap().status(),
        401
    );
}

#[tokio::test]
async fn ends_when_dropped() {
    let ably = start().await;
    let address = ably.address();
    let mut socket = Socket::connected(&ably).await;
    drop(ably);
    assert_eq!(socket.frame().await, Value::Null);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
