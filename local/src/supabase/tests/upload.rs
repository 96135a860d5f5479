//! The ways that bytes come in.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::super::BUCKET;
use super::{answer, expected, failure, files_in, start};

#[tokio::test]
async fn signed_urls_read_and_upload_one_object() {
    let started = start().await;
    assert_eq!(
        answer(
            started
                .call(Method::POST, "/bucket")
                .json(&json!({"name": "private"}))
        )
        .await
        .0,
        200
    );
    let sign = started.call(Method::POST, "/object/upload/sign/private/in/a b.png");
    let (status, signed) = answer(sign).await;
    assert_eq!(status, 200);
    let url = signed["url"].as_str().unwrap();
    assert!(
        url.starts_with("/object/upload/sign/private/in/a%20b.png?token="),
        "{url}"
    );
    assert!(url.ends_with(signed["token"].as_str().unwrap()));

    let preflight = started
        .open(Method::OPTIONS, url)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type,x-upsert");
    let preflight = preflight.send().await.unwrap();
    assert!(preflight.status().is_success());
    assert_eq!(
        preflight.headers()["access-control-allow-headers"],
        "content-type,x-upsert"
    );

    let put = |url: &str| {
        started
            .open(Method::PUT, url)
            .header("content-type", "image/png")
            .body("picture")
    };
    assert_eq!(
        answer(put(url)).await,
        (200, json!({"Key": "private/in/a b.png"}))
    );
    assert_eq!(
        failure(put(url)).await,
        expected(400, "409", "KeyAlreadyExists")
    );
    let elsewhere = url.replace("a%20b", "c");
    assert_eq!(
        failure(put(&elsewhere)).await,
        expected(400, "400", "InvalidSignature")
    );
    assert_eq!(
        failure(put("/object/upload/sign/private/x?token=x")).await,
        expected(400, "400", "InvalidJWT")
    );

    let path = "/object/sign/private/in/a b.png";
    let request = started
        .call(Method::POST, path)
        .json(&json!({"expiresIn": 60}));
    let (_, body) = answer(request).await;
    let url = body["signedURL"].as_str().unwrap();
    assert!(
        url.starts_with("/object/sign/private/in/a%20b.png?token="),
        "{url}"
    );
    assert_eq!(
        answer(started.open(Method::GET, url)).await,
        (200, json!("picture"))
    );
    let as_upload = url.replace("/sign/", "/upload/sign/");
    assert_eq!(
        failure(put(&as_upload)).await,
        expected(400, "400", "InvalidSignature")
    );
    let request = started
        .call(Method::POST, path)
        .json(&json!({"expiresIn": -1}));
    let (_, body) = answer(request).await;
    let late = started.open(Method::GET, body["signedURL"].as_str().unwrap());
    assert_eq!(failure(late).await, expected(400, "400", "InvalidJWT"));
    let none = started
        .call(Method::POST, "/object/sign/private/none")
        .json(&json!({"expiresIn": 60}));
    assert_eq!(failure(none).await, expected(400, "404", "NoSuchKey"));
}

#[tokio::test]
async fn forms_and_chunked_bodies_are_taken() {
    let started = start().await;
    let limits = json!({"name": "small", "public": true, "file_size_limit": 4});
    assert_eq!(
        answer(started.call(Method::POST, "/bucket").json(&limits))
            .await
            .0,
        200
    );
    let form = |bytes: &'static str| {
        let file = Part::text(bytes)
            .file_name("a.webp")
            .mime_str("image/webp")
            .unwrap();
        Form::new()
            .text("cacheControl", "60")
            .text("metadata", r#"{"a":1}"#)
            .part("", file)
    };
    let upload = started
        .call(Method::POST, "/object/small/a.webp")
        .multipart(form("1234"));
    assert_eq!(answer(upload).await.0, 200);
    let (_, info) = answer(started.call(Method::GET, "/object/info/small/a.webp")).await;
    assert_eq!(
        (
            &info["size"],
            &info["content_type"],
            &info["cache_control"],
            &info["metadata"]
        ),
        (
            &json!(4),
            &json!("image/webp"),
            &json!("max-age=60"),
            &json!({"a": 1})
        )
    );
    let upload = started
        .call(Method::POST, "/object/small/b.webp")
        .multipart(form("12345"));
    assert_eq!(
        failure(upload).await,
        expected(400, "413", "EntityTooLarge")
    );

    // Nobody knows the size of a chunked body beforehand, and the real server lets it pass.
    let parts = futures_util::stream::iter(["1234", "5678"].map(Ok::<_, std::io::Error>));
    let upload = started
        .call(Method::POST, "/object/small/c.png")
        .body(reqwest::Body::wrap_stream(parts));
    assert_eq!(answer(upload).await.0, 200);
    assert_eq!(
        answer(started.open(Method::GET, "/object/public/small/c.png"))
            .await
            .1,
        json!(12_345_678)
    );
    assert_eq!(
        answer(started.call(Method::POST, "/object/small/empty"))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let started = start().await;
    let incoming = started.data_dir.path().join("storage-incoming");
    let address = started
        .supabase
        .url()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /storage/v1/object/{BUCKET}/a.png HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\
         authorization: Bearer {}\r\n\r\nthe beginning",
        started.supabase.secret_key()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    while files_in(&incoming) == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while files_in(&incoming) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!started.supabase.object_file(BUCKET, "a.png").exists());
    let info = started.call(Method::GET, &format!("/object/info/{BUCKET}/a.png"));
    assert_eq!(failure(info).await, expected(400, "404", "NoSuchKey"));
}

#[tokio::test]
async fn one_of_many_writers_of_a_key_wins() {
    let started = start().await;
    let uploads = (0..8).map(|index| started.upload("same.png", "x".repeat(100_000 + index)));
    let answers = futures_util::future::join_all(uploads).await;
    let won = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1, "{answers:?}");
}
