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

#[tokio::test]
async fn bad_answers() {
    let text = STANDARD.encode(png(64, 32));
    let usage = r#""usage":{"input_tokens":1,"output_tokens":2}"#;
    let cases = [
        (
            answer_with(&STANDARD.encode("no image")).to_string(),
            "answer_not_an_image",
            Billed::Yes,
        ),
        (
            answer_with(&text[..40]).to_string(),
            "answer_not_an_image",
            Billed::Yes,
        ),
        (
            answer_with("%%%%").to_string(),
            "answer_not_an_image",
            Billed::Yes,
        ),
        (r#"{"data":[]}"#.to_owned(), "answer_empty", Billed::Unknown),
        (
            format!(r#"{{"data":[],{usage}}}"#),
            "answer_empty",
            Billed::Yes,
        ),
        (String::new(), "answer_empty", Billed::Unknown),
        (
            good_answer()[..90].to_owned(),
            "answer_truncated",
            Billed::Unknown,
        ),
        (
            format!(r#"{{{usage},"data":[{{"b64_json":"{}"#, &text[..40]),
            "answer_truncated",
            Billed::Yes,
        ),
        (
            "<html>hello</html>".to_owned(),
            "answer_not_json",
            Billed::Unknown,
        ),
        (
            r#"{"data" "x"}"#.to_owned(),
            "answer_not_json",
            Billed::Unknown,
        ),
        (
            format!(r#"{{"x":"{}"}}"#, "x".repeat(2 << 20)),
            "answer_too_large",
            Billed::Unknown,
        ),
    ];
    for (body, code, billed) in cases {
        let shown = body.chars().take(200).collect::<String>();
        let failure = failure(&answering(200, &[("x-request-id", "req_2")], body).await).await;
        assert_eq!(
            (failure.code.as_str(), failure.billed),
            (code, billed),
            "{shown}"
        );
        assert_eq!(failure.class, FailureClass::BadAnswer, "{shown}");
        assert_eq!(failure.http_status, Some(200));
        assert_eq!(failure.request_id.as_deref(), Some("req_2"));
    }
}

#[tokio::test]
async fn answers_that_say_no() {
    let error = |code: &str| {
        json!({"error": {"message": "No.", "type": "t", "param": null, "code": code}}).to_string()
    };
    let html = "<html>502</html>".to_owned();
    let after = |ms| Next::Repeat {
        wait: Some(Duration::from_millis(ms)),
    };
    let at_once = Next::Repeat { wait: None };
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(u16, Headers, String, &str, Next); 9] = [
        (
            429,
            &[("retry-after", "1")],
            error("rate_limit_exceeded"),
            "rate_limit_exceeded",
            after(1_000),
        ),
        (
            429,
            &[("retry-after-ms", "20")],
            error("slow_down"),
            "slow_down",
            after(20),
        ),
        (
            429,
            &[("x-should-retry", "false")],
            error("slow_down"),
            "slow_down",
            Next::NextModel,
        ),
        (
            429,
            &[],
            error("insufficient_quota"),
            "insufficient_quota",
            Next::NextModel,
        ),
        (
            400,
            &[],
            error("moderation_blocked"),
            "moderation_blocked",
            Next::End,
        ),
        (
            401,
            &[],
            error("invalid_api_key"),
            "invalid_api_key",
            Next::NextModel,
        ),
        (500, &[], error("server_error"), "server_error", at_once),
        (502, &[], html, "server_error", at_once),
        (
            302,
            &[("location", "http://127.0.0.1:9/")],
            String::new(),
            "unexpected_status",
            Next::NextModel,
        ),
    ];
    for (status, headers, body, code, next) in cases {
        let failure = failure(&answering(status, headers, body).await).await;
        assert_eq!(
            (failure.code.as_str(), failure.next(false)),
            (code, next),
            "{status}"
        );
        assert_eq!(failure.http_status, Some(status));
        assert_eq!(failure.billed, Billed::No);
    }
}

#[tokio::test]
async fn details_of_a_refusal_and_headers_are_kept() {
    let details = json!({"moderation_stage": "output", "categories": ["violence"]});
    let body = json!({"error": {"message": "Rejected.", "type": "image_generation_user_error", "param": null,
        "code": "moderation_blocked", "moderation_details": details}});
    let headers = [("x-request-id", "req_3"), ("openai-processing-ms", "7")];
    let failure = failure(&answering(400, &headers, body.to_string()).await).await;
    assert_eq!(failure.message, "Rejected.");
    assert_eq!(failure.request_id.as_deref(), Some("req_3"));
    assert_eq!(
        failure.meta,
        Some(
            json!({"type": "image_generation_user_error", "moderation_details": details, "processing_ms": 7})
        )
    );
}

#[tokio::test]
async fn what_never_arrived_is_not_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (url, cause) in [
        (format!("http://{address}/v1"), "refused"),
        ("http://nowhere.invalid/v1".to_owned(), "dns"),
    ] {
        let failure = failure(&client_of(url)).await;
        assert_eq!(
            (failure.class, failure.billed),
            (FailureClass::NotAccepted, Billed::No)
        );
        assert_eq!(failure.code, "connection_failed");
        assert_eq!(failure.meta, Some(json!({ "cause": cause })));
    }
    // A server that does not speak TLS.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let failure = failure(&client_of(format!("https://{address}/v1"))).await;
    assert_eq!(failure.class, FailureClass::NotAccepted);
    assert_eq!(failure.meta, Some(json!({ "cause": "tls" })));
}

#[tokio::test]
async fn settings_that_make_no_request() {
    let failures = [failure(&client_of("no url".to_owned())).await, {
        let options = OpenAiOptions {
            base_url: "http://127.0.0.1:9".to_owned(),
            api_key: "a\nb".into(),
            timeout: Duration::MAX,
        };
        failure(&OpenAiClient::new(options)).await
    }];
    for failure in failures {
        assert_eq!(
            (failure.class, failure.billed),
            (FailureClass::Config, Billed::No)
        );
    }
}

/// Each way in which an answer can be lost once the request is out: where, and what for a reason.
#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let head = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nx-request-id: req_4\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let part = format!("{}{}", head(good_answer().len()), &good_answer()[..60]);
    let chunked = "HTTP/1.1 200 OK\r\nx-request-id: req_4\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"dat\r\n".to_owned();
    // What is said before the end, whether the end is silence, a close or a reset, and what is recorded.
    enum End {
        Silence,
        Close,
        Reset,
    }
    let cases = [
        (String::new(), End::Reset, "before_headers", "reset"),
        (String::new(), End::Close, "before_headers", "reset"),
        (String::new(), End::Silence, "before_headers", "timeout"),
        (
            "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
            End::Close,
            "before_headers",
            "reset",
        ),
        (head(1000), End::Reset, "in_body", "reset"),
        (head(1000), End::Close, "in_body", "reset"),
        (part.clone(), End::Reset, "in_body", "reset"),
        (part.clone(), End::Close, "in_body", "reset"),
        (part, End::Silence, "in_body", "timeout"),
        (chunked, End::Close, "in_body", "reset"),
    ];
    for (said, end, at, cause) in cases {
        let end = Arc::new(end);
        let client = {
            let said = said.clone();
            speaking(move |mut stream| {
                let (said, end) = (said.clone(), Arc::clone(&end));
                async move {
                    stream.write_all(said.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    match *end {
                        End::Silence => {
                            // Until the client gives up.
                            let _ = stream.read_u8().await;
                        }
                        End::Close => {
                            let _ = stream.shutdown().await;
                        }
                        End::Reset => {
                            // A reset may overtake what was sent before it.
                            let mut nothing = [0];
                            let _ = tokio::time::timeout(
                                Duration::from_millis(100),
                                stream.read(&mut nothing),
                            )
                            .await;
                            reset(stream);
                        }
                    }
                }
            })
            .await
        };
        let failure = failure(&client).await;
        assert_eq!(
            (failure.class, failure.billed),
            (FailureClass::Unknown, Billed::Unknown),
            "{said:?} {failure:?}"
        );
        assert_eq!(failure.code, "answer_lost");
        assert_eq!(
            failure.meta,
            Some(json!({ "cause": cause, "at": at })),
            "{said:?}"
        );
        assert_eq!(
            failure.request_id.as_deref(),
            (at == "in_body").then_some("req_4"),
            "{said:?}"
        );
        assert_eq!(
            (failure.next(false), failure.next(true)),
            (Next::End, Next::Repeat { wait: None })
        );
    }
}

#[tokio::test]
async fn a_slow_drip_is_an_image_in_the_end_and_a_cut_after_the_image_does_no_harm() {
    let client = speaking(|mut stream| async move {
        let body = good_answer();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            body.len() + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in body.as_bytes().chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = generate(&client).await.unwrap();
    assert_eq!(answer.image, png(64, 32));
    assert_eq!(answer.usage.unwrap().output_tokens, Some(439));
}

#[tokio::test]
async fn an_error_status_counts_though_its_body_is_lost() {
    let client = speaking(|mut stream| async move {
        let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 500\r\n\r\n{\"error\":";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let failure = failure(&client).await;
    assert_eq!(
        failure.next(false),
        Next::Repeat {
            wait: Some(Duration::from_secs(2))
        }
    );
}

#[tokio::test]
async fn requests_that_would_be_refused_are_not_sent() {
    let client = client_of("http://127.0.0.1:9/v1".to_owned());
    let model: Model = "gpt-image-2".parse().unwrap();
    let impossible = [
        ImageRequest {
            quality: Quality::Max,
            ..request(&model)
        },
        ImageRequest {
            background: Background::Transparent,
            ..request(&model)
        },
    ];
    for request in impossible {
        let failure = client.generate(&request).await.unwrap_err().failure;
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "invalid_value")
        );
    }
    let source = |bytes: Vec<u8>| SourceImage {
        bytes: bytes.into(),
        format: ImageFormat::Png,
    };
    type Case = (Vec<SourceImage>, Option<Vec<u8>>, &'static str);
    let edits: [Case; 6] = [
        (vec![], None, "an edit needs an image"),
        (
            vec![source(png(1, 1)); 17],
            None,
            "an edit takes at most 16 images",
        ),
        (
            vec![source(png(8, 8))],
            Some(png(8, 9)),
            "a mask must have the dimensions of the image",
        ),
        (
            vec![source(png(8, 8))],
            Some(b"x".to_vec()),
            "the mask is not a whole PNG",
        ),
        (
            vec![source(png(8, 8))],
            Some(vec![0; 4_000_000]),
            "a mask must be smaller than 4 MB",
        ),
        (
            vec![source(vec![0; 50_000_000])],
            None,
            "an image to edit must be smaller than 50 MB",
        ),
    ];
    for (sources, mask, message) in edits {
        let edit = EditRequest {
            image: request(&model),
            sources,
            mask: mask.map(Into::into),
        };
        let failure = client.edit(&edit).await.unwrap_err().failure;
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "invalid_image_file")
        );
        assert_eq!(failure.message, message);
    }
}

#[tokio::test]
async fn edits_name_their_parts_as_the_api_wants_them() {
    type Parts = Vec<(String, Option<String>, Option<String>, Bytes)>;
    async fn take(log: Arc<Mutex<Parts>>, length: Option<String>, mut form: Multipart) -> Response {
        assert!(length.is_some(), "the form's length is known");
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.unwrap() {
            let name = field.name().unwrap().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let content_type = field.content_type().map(str::to_owned);
            parts.push((name, file_name, content_type, field.bytes().await.unwrap()));
        }
        *log.lock().unwrap() = parts;
        (StatusCode::OK, good_answer()).into_response()
    }
    let seen = Arc::new(Mutex::new(Parts::new()));
    let log = Arc::clone(&seen);
    let client = serve(Router::new().route(
        "/v1/images/edits",
        post(move |request: Request| async move {
            let length = request
                .headers()
                .get("content-length")
                .map(|l| l.to_str().unwrap().to_owned());
            let form = <Multipart as axum::extract::FromRequest<()>>::from_request(request, &())
                .await
                .unwrap();
            take(log, length, form).await
        }),
    ))
    .await;
    let model: Model = "gpt-image-2".parse().unwrap();
    let large: Bytes = vec![7; 300_000].into();
    let source = SourceImage {
        bytes: png(8, 8).into(),
        format: ImageFormat::Png,
    };
    let second = SourceImage {
        bytes: large.clone(),
        format: ImageFormat::Webp,
    };
    for (sources, name) in [
        (vec![source.clone()], "image"),
        (vec![source, second], "image[]"),
    ] {
        let count = sources.len();
        let edit = EditRequest {
            image: ImageRequest {
                format: ImageFormat::Png,
                background: Background::Transparent,
                ..request(&model)
            },
            sources,
            mask: Some(png(8, 8).into()),
        };
        assert_eq!(client.edit(&edit).await.unwrap().image, png(64, 32));
        let parts = std::mem::take(&mut *seen.lock().unwrap());
        let fields: Vec<(&str, &str)> = parts
            .iter()
            .filter(|part| part.1.is_none())
            .map(|part| (part.0.as_str(), std::str::from_utf8(&part.3).unwrap()))
            .collect();
        let expected = [
            ("model", "gpt-image-2"),
            ("prompt", "a cat"),
            ("size", "1024x1024"),
            ("quality", "medium"),
            ("output_format", "png"),
            ("background", "transparent"),
            ("safety_identifier", "hash"),
        ];
        assert_eq!(fields, expected);
        let files: Vec<_> = parts.iter().filter(|part| part.1.is_some()).collect();
        assert_eq!(files.len(), count + 1);
        assert!(files[..count].iter().all(|file| file.0 == name));
        assert_eq!(files[0].1.as_deref(), Some("image-1.png"));
        assert_eq!(files[0].2.as_deref(), Some("image/png"));
        assert_eq!(files[0].3, png(8, 8));
        if count == 2 {
            assert_eq!(
                (files[1].2.as_deref(), &files[1].3),
                (Some("image/webp"), &large)
            );
        }
        assert_eq!(
            (files[count].0.as_str(), files[count].2.as_deref()),
            ("mask", Some("image/png"))
        );
    }
}
