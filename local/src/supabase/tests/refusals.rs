//! What Storage refuses, and with which body.

use reqwest::Method;
use serde_json::json;

use super::super::{BUCKET, SignedWith, TokenClaims};
use super::{answer, expected, failure, start};

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
