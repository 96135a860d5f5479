//! Over real loopback connections.

mod faults;
mod requests;

use std::future::Future;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::domain::cost::CostUsd;
use crate::domain::failure::{Billed, Failure, FailureClass, Next};
use crate::domain::image::{Background, ImageFormat, PixelSize, Quality};
use crate::domain::model::Model;
use crate::openai::answer::ImageAnswer;
use crate::openai::client::{OpenAiClient, OpenAiOptions};
use crate::openai::error::CallError;
use crate::openai::request::{EditRequest, ImageRequest, SourceImage};

const KEY: &str = "sk-test-key-that-must-not-be-seen";

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::new(width, height)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn answer_with(b64_json: &str) -> Value {
    json!({
        "created": 1_789_000_000, "background": "opaque", "output_format": "png", "quality": "medium", "size": "64x32",
        "data": [{ "b64_json": b64_json }],
        "usage": {"total_tokens": 450, "input_tokens": 11, "output_tokens": 439,
            "input_tokens_details": {"text_tokens": 11, "image_tokens": 0}},
    })
}

fn good_answer() -> String {
    answer_with(&STANDARD.encode(png(64, 32))).to_string()
}

fn client_of(base_url: String) -> OpenAiClient {
    OpenAiClient::new(OpenAiOptions {
        base_url,
        api_key: KEY.into(),
        timeout: Duration::from_secs(5),
    })
}

async fn serve(router: Router) -> OpenAiClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    client_of(format!("http://{address}/v1"))
}

/// Answers every generation with this.
async fn answering(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Bytes>,
) -> OpenAiClient {
    let (body, headers) = (body.into(), headers.to_vec());
    serve(Router::new().route(
        "/v1/images/generations",
        post(move || async move {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }),
    ))
    .await
}

/// Hands every connection to a function once the request's headers and body have been read.
async fn speaking<F>(speak: impl Fn(TcpStream) -> F + Send + 'static) -> OpenAiClient
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let read = stream.read_buf(&mut request).await;
                if !matches!(read, Ok(1..)) {
                    break;
                }
            }
            speak(stream).await;
        }
    });
    client_of(format!("http://{address}/v1"))
}

/// Ends a connection with a reset instead of a goodbye.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

async fn generate(client: &OpenAiClient) -> Result<ImageAnswer, CallError> {
    let model: Model = "gpt-image-2".parse().unwrap();
    client.generate(&request(&model)).await
}

fn request(model: &Model) -> ImageRequest<'_> {
    ImageRequest {
        model,
        prompt: "a cat",
        size: Some(PixelSize::new(1024, 1024)),
        quality: Quality::Standard,
        format: ImageFormat::Jpg,
        background: Background::Auto,
        safety_identifier: Some("hash"),
        timeout: Some(Duration::from_millis(1_500)),
    }
}

async fn failure(client: &OpenAiClient) -> Failure {
    let error = generate(client).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(KEY));
    *error.failure
}

#[tokio::test]
async fn an_image_comes_with_all_that_is_worth_recording() {
    let seen = Arc::new(Mutex::new(None));
    let log = Arc::clone(&seen);
    let client = serve(Router::new().route(
        "/v1/images/generations",
        post(move |headers: HeaderMap, body: String| async move {
            *log.lock().unwrap() = Some((headers, body));
            let headers = [
                ("x-request-id", "req_1"),
                ("openai-processing-ms", "21342"),
                ("x-ratelimit-remaining-requests", "19"),
            ];
            (headers, good_answer())
        }),
    ))
    .await;
    let answer = generate(&client).await.unwrap();
    assert_eq!(answer.image, png(64, 32));
    assert_eq!(answer.inspected.size(), PixelSize::new(64, 32));
    assert_eq!(answer.inspected.format, ImageFormat::Png);
    let model: Model = "gpt-image-2".parse().unwrap();
    assert_eq!(
        CostUsd::of(&model, &answer.usage.unwrap())
            .unwrap()
            .to_string(),
        "0.013225"
    );
    assert_eq!(
        answer.metadata(),
        json!({"request_id": "req_1", "processing_ms": 21_342, "rate_limits": {"remaining-requests": "19"},
            "created": 1_789_000_000, "size": "64x32", "quality": "medium", "output_format": "png", "background": "opaque",
            "status": 200, "usage": {"total_tokens": 450, "input_tokens": 11, "output_tokens": 439,
                "input_tokens_details": {"text_tokens": 11, "image_tokens": 0}}})
    );
    assert_eq!(answer.sha256_hex().len(), 64);
    assert!(
        !format!("{answer:?}").contains("137, 80"),
        "no image bytes in debug output"
    );

    let (headers, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024", "quality": "medium", "output_format": "jpeg",
            "safety_identifier": "hash"})
    );
}

#[tokio::test]
async fn a_usage_without_details_is_all_text_for_a_generation() {
    let mut answer = answer_with(&STANDARD.encode(png(1, 1)));
    answer["usage"] = json!({"input_tokens": 11, "output_tokens": 439});
    let usage = generate(&answering(200, &[], answer.to_string()).await)
        .await
        .unwrap()
        .usage
        .unwrap();
    assert_eq!(
        CostUsd::of(&"gpt-image-2".parse().unwrap(), &usage)
            .unwrap()
            .to_string(),
        "0.013225"
    );
}

#[tokio::test]
async fn a_paid_image_is_kept_though_its_answer_goes_wrong_afterwards() {
    let text = STANDARD.encode(png(64, 32));
    let bodies = [
        format!(r#"{{"data":[{{"b64_json":"{text}"}}],"usage":{{"input_"#),
        format!(r#"{{"data":[{{"b64_json":"{text}"}}]}} and more"#),
        format!(r#"{{"data":[{{"b64_json":"{text}"}}],"usage":"none"}}"#),
    ];
    for body in bodies {
        let answer = generate(&answering(200, &[], body).await).await.unwrap();
        assert_eq!(answer.image, png(64, 32));
        assert_eq!(answer.usage, None);
    }
}
