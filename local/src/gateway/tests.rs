use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{CorsOptions, Gateway, GatewayOptions};
use crate::{
    lambda::{
        Lambda, LogOptions,
        for_tests::{echo, start},
    },
    template::Route,
};

struct Api {
    gateway: Gateway,
    lambda: Lambda,
    client: reqwest::Client,
}

impl Api {
    async fn start() -> Self {
        Self::start_with(CorsOptions::default()).await
    }

    async fn start_with(cors: CorsOptions) -> Self {
        let limit = Duration::from_secs(20);
        let lambda = start(
            vec![
                echo("buffered", "", limit).await,
                echo("streaming", "stream", limit).await,
            ],
            LogOptions::default(),
        )
        .await;
        let route = |function: &str, method: &str, path: &str, streaming| Route {
            function: function.to_owned(),
            path: path.to_owned(),
            method: method.to_owned(),
            streaming,
        };
        let options = GatewayOptions {
            routes: vec![
                route("buffered", "GET", "/ai/things/{thing_id}", false),
                route("buffered", "POST", "/ai/things/{thing_id}", false),
                route("streaming", "POST", "/ai/stream", true),
                route("streaming", "GET", "/ai/wrongly-buffered", false),
                route("missing", "GET", "/ai/missing", false),
            ],
            cors,
            buffered_limit: Some(Duration::from_secs(2)),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::start(listener, lambda.clone(), options)
            .await
            .unwrap();
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        Self {
            gateway,
            lambda,
            client,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.gateway.url()))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_request_reaches_the_function_as_the_runtime_crates_read_it() {
    let api = Api::start().await;
    let answer = api
        .request(Method::POST, "/ai/things/a%20b?a=1&a=x%26y&do=")
        .header("x-test", "told")
        .header("content-type", "application/json")
        .header("x-forwarded-for", "10.0.0.1")
        .body(r#"{"text": "ä"}"#)
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 201);
    let twice: Vec<_> = answer.headers().get_all("x-twice").iter().collect();
    assert_eq!(twice, ["one", "two"]);
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(answer.headers()["set-cookie"], "a=b");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["method"], "POST");
    assert_eq!(answer["path"], "/ai/things/a%20b");
    assert_eq!(answer["query"], json!(["1", "x&y"]));
    assert_eq!(answer["parameters"], json!(["thing_id=a b"]));
    assert_eq!(answer["header"], "told");
    assert_eq!(answer["forwarded_for"], "10.0.0.1, 127.0.0.1");
    assert_eq!(answer["body"], json!({"text": "ä"}));
    assert_eq!(answer["setting"], "its value");
    assert_eq!(
        answer["home_setting"],
        Value::Null,
        "our environment is not its"
    );
    let now = jiff::Timestamp::now().as_millisecond();
    let left = answer["deadline"].as_i64().unwrap() - now;
    assert!((10_000..=20_000).contains(&left), "{left} ms are left");
    api.lambda.stop().await;
}

#[tokio::test]
async fn a_streamed_answer_has_its_own_status_and_headers() {
    let api = Api::start().await;
    let answer = api
        .request(Method::POST, "/ai/stream")
        .body("plain")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let twice: Vec<_> = answer.headers().get_all("x-twice").iter().collect();
    assert_eq!(twice, ["one", "two"]);
    assert_eq!(answer.headers()["set-cookie"], "a=b");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["body"], "plain");
    // Longer than a buffered answer may take.
    let late = api
        .request(Method::POST, "/ai/stream?do=sleep:2500")
        .send()
        .await
        .unwrap();
    assert_eq!(late.status(), 201);
    api.lambda.stop().await;
}

async fn assert_problem(answer: Response, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{code}");
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert_eq!(body["instance"], headers["x-request-id"].to_str().unwrap());
}

#[tokio::test]
async fn answers_problems_of_its_own() {
    let api = Api::start().await;
    assert_problem(api.get("/ai/nothing").await, 404, "not-found").await;
    let wrong = api
        .request(Method::DELETE, "/ai/things/1")
        .send()
        .await
        .unwrap();
    assert_problem(wrong, 404, "not-found").await;
    let crashed = api.get("/ai/things/1?do=exit:1").await;
    assert_problem(crashed, 502, "internal").await;
    assert_problem(api.get("/ai/things/1?do=error:no").await, 502, "internal").await;
    assert_problem(api.get("/ai/wrongly-buffered").await, 502, "internal").await;
    assert_problem(api.get("/ai/missing").await, 502, "internal").await;
    assert_problem(api.get("/ai/things/1?do=sleep:9000").await, 504, "timeout").await;
    let large = api
        .request(Method::POST, "/ai/things/1")
        .body(vec![b'a'; 11 * 1024 * 1024])
        .send()
        .await
        .unwrap();
    assert_problem(large, 413, "body-too-large").await;
    api.lambda.stop().await;
}

#[tokio::test]
async fn answers_preflights_without_a_function() {
    let api = Api::start().await;
    let preflight = |path: &str| {
        api.request(Method::OPTIONS, path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .send()
    };
    let answer = preflight("/ai/things/1").await.unwrap();
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["access-control-allow-methods"], "GET,POST,OPTIONS");
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("Idempotency-Key"), "{allowed}");
    assert!(headers.contains_key("access-control-max-age"));
    assert_problem(preflight("/ai/nothing").await.unwrap(), 404, "not-found").await;
    assert!(api.lambda.instances().is_empty());
    api.lambda.stop().await;
}

#[tokio::test]
async fn names_only_an_origin_of_the_list() {
    let api = Api::start_with(CorsOptions {
        allow_origin: "https://one.example, https://two.example".to_owned(),
        ..CorsOptions::default()
    })
    .await;
    for (origin, expected) in [
        ("https://two.example", Some("https://two.example")),
        ("https://evil.example", None),
    ] {
        let answer = api
            .request(Method::OPTIONS, "/ai/stream")
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        let allowed = answer.headers().get("access-control-allow-origin");
        assert_eq!(allowed.map(|value| value.to_str().unwrap()), expected);
        assert_eq!(answer.headers()["vary"], "Origin");
    }
    api.lambda.stop().await;
}

#[tokio::test]
async fn the_invocation_goes_on_when_the_caller_has_gone() {
    let api = Api::start().await;
    let request = api.request(Method::POST, "/ai/stream?do=sleep:1500").send();
    let gone = tokio::time::timeout(Duration::from_millis(500), request).await;
    assert!(gone.is_err());
    let instance = &api.lambda.instances()[0];
    assert!(instance.busy);
    let again = api
        .request(Method::POST, "/ai/stream")
        .send()
        .await
        .unwrap();
    let again: Value = again.json().await.unwrap();
    assert_ne!(again["pid"], instance.pid, "that one is still at it");
    api.lambda.stop().await;
}
