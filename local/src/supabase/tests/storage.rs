//! Buckets and objects: each call's status and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use super::super::BUCKET;
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
