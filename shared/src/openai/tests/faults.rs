//! Every way in which a call can fail.

use super::*;

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
