//! Buckets and objects: each call's status and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::super::{BUCKET, SignedWith, TokenClaims};
use super::{answer, bucket, expected, failure, files_in, start, start_on};

#[tokio::test]
async fn buckets_are_made_shown_changed_and_removed() {
    let started = start().await;
    let call = |method, path: &str| started.call(method, path);
    let wanted = json!({"id": "b", "name": "b", "public": true, "file_size_limit": "1KB",
        "allowed_mime_types": ["image/*"]});

    assert_eq!(
        answer(call(Method::POST, "/bucket").json(&wanted)).await,
        (200, json!({"name": "b"}))
    );
    assert_eq!(
        answer(call(Method::POST, "/bucket").json(&wanted)).await,
        (
            400,
            json!({"statusCode": "409", "error": "Duplicate", "message": "The resource already exists",
            "code": "BucketAlreadyExists"})
        )
    );
    let (status, body) = answer(call(Method::GET, "/bucket/b")).await;
    assert_eq!(
        (status, &body["public"], &body["file_size_limit"]),
        (200, &json!(true), &json!(1024))
    );
    let (_, all) = answer(call(Method::GET, "/bucket")).await;
    let names = all
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].clone())
        .collect::<Vec<_>>();
    assert_eq!(names, [json!("b"), json!(BUCKET)]);

    assert_eq!(
        answer(call(Method::PUT, "/bucket/b").json(&json!({"public": false})))
            .await
            .0,
        200
    );
    assert_eq!(
        answer(call(Method::GET, "/bucket/b")).await.1["public"],
        json!(false)
    );
    let upload = call(Method::POST, "/object/b/a/b.png").header("content-type", "image/png");
    assert_eq!(answer(upload.body("x")).await.0, 200);
    assert_eq!(failure(call(Method::DELETE, "/bucket/b")).await.1, "409");
    assert_eq!(answer(call(Method::POST, "/bucket/b/empty")).await.0, 200);
    assert_eq!(answer(call(Method::DELETE, "/bucket/b")).await.0, 200);
    assert_eq!(
        answer(call(Method::GET, "/bucket/b")).await,
        (
            400,
            json!({"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found",
            "code": "NoSuchBucket"})
        )
    );
    for name in ["", "..", "a/b", "a\u{e4}"] {
        let request = call(Method::POST, "/bucket").json(&bucket(name));
        assert_eq!(
            failure(request).await,
            expected(400, "400", "InvalidBucketName"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_object_is_uploaded_described_and_read() {
    let started = start().await;
    let path = format!("/object/{BUCKET}/generated/a b.png");
    let metadata = json!({"run_id": "r", "width": 3});
    let upload = || {
        started
            .call(Method::POST, &path)
            .header("content-type", "image/png")
            .header("cache-control", "max-age=31536000, immutable")
            .header("x-metadata", STANDARD.encode(metadata.to_string()))
    };
    let (status, body) = answer(upload().body("0123456789")).await;
    assert_eq!(
        (status, &body["Key"]),
        (200, &json!("generated-images/generated/a b.png"))
    );
    assert_eq!(body["Id"].as_str().unwrap().len(), 36);
    assert_eq!(
        failure(upload().body("0123456789")).await,
        expected(400, "409", "KeyAlreadyExists")
    );
    let (status, again) = answer(upload().header("x-upsert", "true").body("0123456789")).await;
    assert_eq!((status, &again["Id"]), (200, &body["Id"]));

    let info_path = format!("/object/info/{BUCKET}/generated/a b.png");
    let (status, info) = answer(started.call(Method::GET, &info_path)).await;
    assert_eq!(status, 200);
    assert_eq!(info["metadata"], metadata);
    assert_eq!(
        (
            &info["name"],
            &info["size"],
            &info["content_type"],
            &info["id"]
        ),
        (
            &json!("generated/a b.png"),
            &json!(10),
            &json!("image/png"),
            &body["Id"]
        )
    );
    let head = started.call(Method::HEAD, &info_path).send().await.unwrap();
    assert_eq!(head.status(), 200);

    let public = format!("/object/public/{BUCKET}/generated/a%20b.png");
    let response = started.open(Method::GET, &public).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("cache-control"), "max-age=31536000, immutable");
    assert_eq!(header("content-length"), "10");
    assert_eq!(header("access-control-allow-origin"), "*");
    let etag = header("etag");
    assert_eq!(info["etag"], json!(etag));
    assert_eq!(response.text().await.unwrap(), "0123456789");

    let head = started.open(Method::HEAD, &public).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"10".parse().unwrap())
    );
    let known = started
        .open(Method::GET, &public)
        .header("if-none-match", etag);
    assert_eq!(known.send().await.unwrap().status(), 304);
    let part = started
        .open(Method::GET, &public)
        .header("range", "bytes=2-4");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 2-4/10".parse().unwrap())
    );
    assert_eq!(part.text().await.unwrap(), "234");
    let beyond = started
        .open(Method::GET, &public)
        .header("range", "bytes=10-");
    assert_eq!(failure(beyond).await, expected(400, "416", "InvalidRange"));
    assert_eq!(
        std::fs::read(started.supabase.object_file(BUCKET, "generated/a b.png")).unwrap(),
        b"0123456789"
    );
}

#[tokio::test]
async fn failures_have_the_bodies_of_the_real_server() {
    let started = start().await;
    let small = json!({"id": "small", "name": "small", "public": false, "file_size_limit": 4,
        "allowed_mime_types": ["image/png"]});
    assert_eq!(
        answer(started.call(Method::POST, "/bucket").json(&small))
            .await
            .0,
        200
    );
    let png = |path: &str| {
        started
            .call(Method::POST, path)
            .header("content-type", "image/png")
            .body("12345")
    };
    let html = |path: &str| {
        started
            .call(Method::POST, path)
            .header("content-type", "text/html")
            .body("1234")
    };
    let get = |path: &str| started.call(Method::GET, path);
    let open = |path: &str| started.open(Method::GET, path);
    let table = [
        (png("/object/none/a.png"), "404", "NoSuchBucket"),
        (png("/object/small/a.png"), "413", "EntityTooLarge"),
        (html("/object/small/a.png"), "415", "InvalidMimeType"),
        (png("/object/small/%C3%A4.png"), "400", "InvalidKey"),
        (png("/object/small/a%23b.png"), "400", "InvalidKey"),
        (
            png("/object/small/..%2F..%2Fproject.json"),
            "400",
            "InvalidKey",
        ),
        (png("/object/small/%2Fetc%2Fpasswd"), "400", "InvalidKey"),
        (get("/object/info/small/a.png"), "404", "NoSuchKey"),
        (get("/object/info/none/a.png"), "404", "NoSuchKey"),
        (get("/object/small/a.png"), "404", "NoSuchKey"),
        (
            get("/object/small/..%2F..%2Fproject.json"),
            "404",
            "NoSuchKey",
        ),
        (get("/object/..%2F/project.json"), "404", "NoSuchKey"),
        (
            open("/object/public/generated-images/a.png"),
            "404",
            "NoSuchKey",
        ),
        (
            open("/object/public/generated-images/..%2F..%2Fproject.json"),
            "404",
            "NoSuchKey",
        ),
        (open("/object/public/none/a.png"), "404", "NoSuchKey"),
        (open("/object/public/small/a.png"), "404", "NoSuchKey"),
        (open("/object/info/small/a.png"), "400", "InvalidRequest"),
        (
            started.call(Method::DELETE, "/object/small/a.png"),
            "404",
            "NoSuchKey",
        ),
        (
            started.call(Method::POST, "/object/list/small").body("{"),
            "400",
            "InvalidRequest",
        ),
    ];
    for (index, (request, status_code, code)) in table.into_iter().enumerate() {
        assert_eq!(
            failure(request).await,
            expected(400, status_code, code),
            "row {index}"
        );
    }
    let (_, body) = answer(html("/object/small/a.png")).await;
    assert_eq!(
        &body["message"],
        &json!("mime type text/html is not supported")
    );
}

#[tokio::test]
async fn keys_decide_who_may_do_what() {
    let started = start().await;
    let supabase = &started.supabase;
    assert_eq!(started.upload("a.png", "x").await.0, 200);
    let other = start().await;
    let user = supabase.token(&TokenClaims::of(supabase.user())).unwrap();
    let expired = supabase
        .token(&TokenClaims::expired(supabase.user()))
        .unwrap();
    let forged = supabase
        .token(&TokenClaims {
            role: "service_role".to_owned(),
            signed_with: SignedWith::ForgedKid,
            ..TokenClaims::of(supabase.user())
        })
        .unwrap();
    let denied = expected(400, "403", "AccessDenied");

    let path = format!("/object/{BUCKET}/b.png");
    let write = |key: &str| {
        started
            .open(Method::POST, &path)
            .bearer_auth(key)
            .header("x-upsert", "true")
            .body("x")
    };
    for key in [
        supabase.secret_key().to_owned(),
        supabase.project().service_role_key(),
    ] {
        assert_eq!(answer(write(&key)).await.0, 200);
        let by_apikey = started
            .open(Method::POST, &path)
            .header("apikey", &key)
            .header("x-upsert", "true");
        assert_eq!(answer(by_apikey.body("x")).await.0, 200);
    }
    for key in [
        supabase.anon_key(),
        supabase.publishable_key().to_owned(),
        user.clone(),
        expired,
        forged,
        "sb_secret_local_wrong".to_owned(),
        "nonsense".to_owned(),
        other.supabase.project().service_role_key(),
    ] {
        assert_eq!(failure(write(&key)).await, denied, "{key}");
    }
    let (_, body) = answer(write(&other.supabase.project().service_role_key())).await;
    assert_eq!(
        body,
        json!({"statusCode": "403", "error": "Unauthorized", "message": "signature verification failed",
            "code": "AccessDenied"})
    );
    for key in [supabase.anon_key(), user] {
        let read = started
            .open(Method::GET, &format!("/object/{BUCKET}/a.png"))
            .bearer_auth(&key);
        assert_eq!(answer(read).await.0, 200);
        let list = started
            .open(Method::POST, &format!("/object/list/{BUCKET}"))
            .bearer_auth(&key);
        assert_eq!(
            answer(list.json(&json!({"prefix": ""}))).await,
            (200, json!([]))
        );
        let delete = started
            .open(Method::DELETE, &format!("/object/{BUCKET}/a.png"))
            .bearer_auth(&key);
        assert_eq!(failure(delete).await, expected(400, "404", "NoSuchKey"));
    }
    let browser = started
        .call(Method::GET, "/bucket")
        .header("user-agent", "Mozilla/5.0 (X11)");
    assert_eq!(answer(browser).await.0, 401);
}

#[tokio::test]
async fn folders_are_listed_and_objects_deleted() {
    let started = start().await;
    for key in [
        "generated/b.png",
        "generated/a.png",
        "generated/deep/c.png",
        "top.png",
    ] {
        assert_eq!(started.upload(key, key.to_owned()).await.0, 200);
    }
    let list = async |body| {
        let path = format!("/object/list/{BUCKET}");
        let (status, rows) = answer(started.call(Method::POST, &path).json(&body)).await;
        assert_eq!(status, 200, "{rows}");
        rows.as_array().unwrap().clone()
    };
    let names = async |body| {
        list(body)
            .await
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"prefix": ""})).await, ["generated", "top.png"]);
    assert_eq!(
        names(json!({"prefix": "generated/"})).await,
        ["a.png", "b.png", "deep"]
    );
    assert_eq!(
        names(json!({"prefix": "generated", "limit": 1, "offset": 1})).await,
        ["b.png"]
    );
    assert_eq!(
        names(json!({"prefix": "generated", "search": "A"})).await,
        ["a.png"]
    );
    let newest =
        json!({"prefix": "generated", "sortBy": {"column": "created_at", "order": "desc"}});
    assert_eq!(names(newest).await, ["a.png", "b.png", "deep"]);
    assert_eq!(names(json!({"prefix": "../.."})).await.len(), 0);
    let rows = list(json!({"prefix": "generated"})).await;
    assert_eq!(rows[0]["metadata"]["size"], json!("generated/a.png".len()));
    assert_eq!(
        (&rows[2]["id"], &rows[2]["metadata"]),
        (&json!(null), &json!(null))
    );

    let one = started.call(Method::DELETE, &format!("/object/{BUCKET}/top.png"));
    assert_eq!(
        answer(one).await,
        (200, json!({"message": "Successfully deleted"}))
    );
    let many = started
        .call(Method::DELETE, &format!("/object/{BUCKET}"))
        .json(
            &json!({"prefixes": ["generated/a.png", "generated/none.png", "generated/deep/c.png"]}),
        );
    let (status, rows) = answer(many).await;
    let deleted = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect::<Vec<_>>();
    assert_eq!(
        (status, deleted),
        (
            200,
            vec![json!("generated/a.png"), json!("generated/deep/c.png")]
        )
    );
    assert_eq!(names(json!({"prefix": "generated"})).await, ["b.png"]);

    let copy =
        json!({"bucketId": BUCKET, "sourceKey": "generated/b.png", "destinationKey": "copy.png"});
    assert_eq!(
        answer(started.call(Method::POST, "/object/copy").json(&copy))
            .await
            .0,
        200
    );
    let rename =
        json!({"bucketId": BUCKET, "sourceKey": "copy.png", "destinationKey": "moved.png"});
    assert_eq!(
        answer(started.call(Method::POST, "/object/move").json(&rename))
            .await
            .0,
        200
    );
    assert_eq!(
        names(json!({"prefix": ""})).await,
        ["generated", "moved.png"]
    );
}

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
async fn a_restart_loses_nothing() {
    let mut started = start().await;
    assert_eq!(started.upload("a.png", "kept").await.0, 200);
    let (secret, user) = (
        started.supabase.secret_key().to_owned(),
        started.supabase.user().id,
    );
    std::fs::write(
        started.data_dir.path().join("storage-incoming/left"),
        "half of it",
    )
    .unwrap();

    started.supabase = start_on(started.data_dir.path()).await;
    assert_eq!(
        (started.supabase.secret_key(), started.supabase.user().id),
        (secret.as_str(), user)
    );
    let public = format!("/object/public/{BUCKET}/a.png");
    assert_eq!(
        answer(started.open(Method::GET, &public)).await,
        (200, json!("kept"))
    );
    assert_eq!(
        files_in(&started.data_dir.path().join("storage-incoming")),
        0
    );
}

#[tokio::test]
async fn one_of_many_writers_of_a_key_wins() {
    let started = start().await;
    let uploads = (0..8).map(|index| started.upload("same.png", "x".repeat(100_000 + index)));
    let answers = futures_util::future::join_all(uploads).await;
    let won = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1, "{answers:?}");
}
