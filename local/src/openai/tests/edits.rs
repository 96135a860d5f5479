//! Edits: multipart and JSON, and parts that are wrong.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Answer, control, png, send, stand_in};

/// A part: name, content type of a file (none: it is text), and bytes.
type Part<'a> = (&'a str, Option<&'a str>, Vec<u8>);

async fn edit(address: SocketAddr, parts: &[Part<'_>]) -> Answer {
    let mut body = Vec::new();
    for (name, content_type, bytes) in parts {
        body.extend_from_slice(
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"").as_bytes(),
        );
        if let Some(content_type) = content_type {
            body.extend_from_slice(
                format!("; filename=\"{name}.file\"\r\ncontent-type: {content_type}").as_bytes(),
            );
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    let headers = [
        ("authorization", "Bearer sk-test"),
        ("content-type", "multipart/form-data; boundary=edge"),
    ];
    send(address, "POST", "/v1/images/edits", &headers, &body)
        .await
        .unwrap()
}

async fn json_edit(address: SocketAddr, body: &serde_json::Value) -> Answer {
    let headers = [
        ("authorization", "Bearer sk-test"),
        ("content-type", "application/json"),
    ];
    send(
        address,
        "POST",
        "/v1/images/edits",
        &headers,
        body.to_string().as_bytes(),
    )
    .await
    .unwrap()
}

fn text<'a>(name: &'a str, value: &str) -> Part<'a> {
    (name, None, value.as_bytes().to_vec())
}

fn picture(name: &str) -> Part<'_> {
    (name, Some("image/png"), png(64, 48, [200, 30, 30, 255]))
}

fn basic() -> Vec<Part<'static>> {
    vec![
        text("model", "gpt-image-2"),
        text("prompt", "make it blue"),
        text("size", "1024x640"),
    ]
}

#[tokio::test]
async fn one_picture_or_several_are_edited() {
    let (running, address) = stand_in().await;
    let mut one = basic();
    one.extend([
        picture("image"),
        text("n", "2"),
        ("mask", Some("image/png"), png(64, 48, [0, 0, 0, 0])),
    ]);
    let answer = edit(address, &one).await;
    assert_eq!(
        (answer.picture(1).1.width(), answer.picture(1).1.height()),
        (1024, 640)
    );
    // The source is what is seen where nothing is written.
    assert_eq!(
        answer.json()["usage"]["input_tokens_details"],
        json!({"text_tokens": 3, "image_tokens": 194})
    );

    let mut several = basic();
    several.extend([picture("image[]"), picture("image[]")]);
    assert_eq!(edit(address, &several).await.status, 200);

    let calls = running.script().calls();
    assert!(calls.iter().all(|call| call.billed));
    let file = &calls[0].fields["image"];
    assert_eq!(
        (&file["width"], &file["content_type"], &file["filename"]),
        (&json!(64), &json!("image/png"), &json!("image.file"))
    );
    assert_eq!(file["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(calls[0].fields["prompt"], "make it blue");
    assert_eq!(calls[1].fields["image[]"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_source_picture_is_seen_in_the_result() {
    let (_running, address) = stand_in().await;
    let mut parts = basic();
    parts.push(picture("image"));
    let edited = edit(address, &parts).await.picture(0).1.to_rgb8();
    assert_eq!(edited.get_pixel(512, 40).0, [200, 30, 30]);
}

#[tokio::test]
async fn parts_are_checked() {
    let (running, address) = stand_in().await;
    let good = || png(64, 48, [1, 2, 3, 255]);
    let mut large = good();
    large.resize(50 * 1024 * 1024, 0);
    let mut large_mask = png(64, 48, [0, 0, 0, 0]);
    large_mask.resize(4 * 1024 * 1024, 0);
    let mut opaque_mask = Vec::new();
    image::RgbImage::new(64, 48)
        .write_to(
            &mut std::io::Cursor::new(&mut opaque_mask),
            image::ImageFormat::Png,
        )
        .unwrap();
    let as_png = Some("image/png");
    let mut cut = good();
    cut.truncate(cut.len() / 2);

    let table: Vec<(&str, Vec<Part<'_>>, &str, &str)> = vec![
        ("no picture", vec![], "missing_required_parameter", "image"),
        (
            "image twice",
            vec![picture("image"), picture("image")],
            "duplicate_parameter",
            "image",
        ),
        (
            "image and image[]",
            vec![picture("image"), picture("image[]")],
            "duplicate_parameter",
            "image",
        ),
        (
            "prompt twice",
            vec![picture("image"), text("prompt", "b")],
            "duplicate_parameter",
            "prompt",
        ),
        (
            "mask twice",
            vec![picture("image"), picture("mask"), picture("mask")],
            "duplicate_parameter",
            "mask",
        ),
        (
            "17 pictures",
            vec![picture("image[]"); 17],
            "invalid_value",
            "image",
        ),
        (
            "picture as text",
            vec![text("image", "https://example.com/a.png")],
            "invalid_type",
            "image",
        ),
        (
            "unknown MIME type",
            vec![("image", Some("application/octet-stream"), good())],
            "invalid_image_file",
            "image",
        ),
        (
            "GIF",
            vec![("image", Some("image/gif"), good())],
            "invalid_image_file",
            "image",
        ),
        (
            "no picture in it",
            vec![("image", as_png, b"hello".to_vec())],
            "invalid_image_file",
            "image",
        ),
        (
            "cut off",
            vec![("image", as_png, cut)],
            "invalid_image_file",
            "image",
        ),
        (
            "50 MB",
            vec![("image", as_png, large)],
            "invalid_image_file",
            "image",
        ),
        (
            "mask of another size",
            vec![picture("image"), ("mask", as_png, png(48, 64, [0; 4]))],
            "invalid_image_file",
            "mask",
        ),
        (
            "mask without alpha",
            vec![picture("image"), ("mask", as_png, opaque_mask)],
            "invalid_image_file",
            "mask",
        ),
        (
            "mask of 4 MB",
            vec![picture("image"), ("mask", as_png, large_mask)],
            "invalid_image_file",
            "mask",
        ),
        (
            "mask as JPEG",
            vec![picture("image"), ("mask", Some("image/jpeg"), good())],
            "invalid_image_file",
            "mask",
        ),
        (
            "moderation",
            vec![picture("image"), text("moderation", "low")],
            "unknown_parameter",
            "moderation",
        ),
        (
            "response_format",
            vec![picture("image"), text("response_format", "url")],
            "unknown_parameter",
            "response_format",
        ),
        (
            "n as a word",
            vec![picture("image"), text("n", "two")],
            "invalid_type",
            "n",
        ),
        (
            "n too many",
            vec![picture("image"), text("n", "11")],
            "invalid_value",
            "n",
        ),
    ];
    for (what, parts, code, param) in table {
        let all = basic().into_iter().chain(parts).collect::<Vec<_>>();
        let answer = edit(address, &all).await;
        assert_eq!(
            answer.error(),
            (400, Some(code.to_owned()), Some(param.to_owned())),
            "{what}: {}",
            answer.json()
        );
    }
    assert!(running.script().calls().iter().all(|call| !call.billed));
}

#[tokio::test]
async fn json_edits_take_data_urls_and_urls_of_this_machine() {
    let (running, address) = stand_in().await;
    let file = png(64, 48, [30, 200, 30, 255]);
    let data_url = format!("data:image/png;base64,{}", STANDARD.encode(&file));
    let order = |images: serde_json::Value| json!({"model": "gpt-image-2", "prompt": "bluer", "size": "1024x640", "images": images});

    let answer = json_edit(address, &order(json!([{"image_url": data_url}]))).await;
    assert_eq!(
        answer.picture(0).1.to_rgb8().get_pixel(512, 40).0,
        [30, 200, 30]
    );
    let kept = &running.script().calls()[0].fields["images"][0]["image_url"];
    assert_eq!(
        (&kept["bytes"], &kept["height"]),
        (&json!(file.len()), &json!(48))
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/some.png", listener.local_addr().unwrap());
    let serve_file = axum::routing::get(move || {
        let file = file.clone();
        async move { ([("content-type", "image/png")], file) }
    });
    let router = axum::Router::new().route("/some.png", serve_file);
    let files = tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(
        json_edit(address, &order(json!([{"image_url": url}])))
            .await
            .status,
        200
    );
    files.abort();

    let table = [
        (json!([]), "invalid_value", "images"),
        (json!({}), "invalid_type", "images"),
        (json!([{"file_id": "file-1"}]), "invalid_value", "images[0]"),
        (json!([{}]), "invalid_value", "images[0]"),
        (json!([{"url": "x"}]), "unknown_parameter", "images[0].url"),
        (
            json!([{"image_url": "https://example.com/a.png"}]),
            "invalid_value",
            "images[0].image_url",
        ),
        (
            json!([{"image_url": "data:image/png;base64,aGVsbG8="}]),
            "invalid_image_file",
            "images",
        ),
    ];
    for (images, code, param) in table {
        let answer = json_edit(address, &order(images.clone())).await;
        assert_eq!(
            answer.error(),
            (400, Some(code.to_owned()), Some(param.to_owned())),
            "{images}"
        );
    }
}

#[tokio::test]
async fn the_script_is_for_edits_too() {
    let (running, address) = stand_in().await;
    control(
        address,
        &json!({"script": [{"status": 400, "code": "moderation_blocked"}]}),
    )
    .await;
    let mut parts = basic();
    parts.push(picture("image"));
    assert_eq!(
        edit(address, &parts).await.error().1.as_deref(),
        Some("moderation_blocked")
    );
    assert_eq!(edit(address, &parts).await.status, 200);
    let mut streamed = parts.clone();
    streamed.push(text("stream", "true"));
    let answer = edit(address, &streamed).await;
    assert!(
        answer
            .body
            .starts_with(b"event: image_edit.completed\ndata: {")
    );
    assert_eq!(
        running
            .script()
            .calls()
            .iter()
            .filter(|call| call.billed)
            .count(),
        2
    );
}
