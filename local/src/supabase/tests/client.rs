//! The product's own clients against the stand-in.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::json;
use shared::supabase::auth::{AuthError, AuthOptions, Bearer, TokenVerifier};
use shared::supabase::storage::{StorageClient, StorageError, StorageOptions};

use super::super::{BUCKET, SignedWith, Supabase, TokenClaims};
use super::{answer, control, start};

fn storage(supabase: &Supabase, key: &str, bucket: &str) -> StorageClient {
    StorageClient::new(StorageOptions {
        supabase_url: supabase.url().to_owned(),
        secret_key: key.into(),
        bucket: bucket.to_owned(),
        timeout: Duration::from_secs(10),
    })
}

fn verifier(supabase: &Supabase, jwt_secret: Option<&str>) -> TokenVerifier {
    TokenVerifier::new(AuthOptions {
        supabase_url: supabase.url().to_owned(),
        jwks_url: None,
        jwt_secret: jwt_secret.map(Into::into),
        service_key: None,
    })
}

#[tokio::test]
async fn an_image_goes_through_its_life() {
    let started = start().await;
    let client = storage(&started.supabase, started.supabase.secret_key(), BUCKET);
    let path = "generated/0b9e8f1a (1).png";
    let metadata = json!({"width": 1024, "usage": {"total": 3}, "caption": "Zoë"});
    let bytes = Bytes::from(vec![7; 300_000]);
    assert_eq!(client.info(path).await.unwrap(), None);
    for _ in 0..2 {
        client
            .upload(path, bytes.clone(), "image/png", &metadata)
            .await
            .unwrap();
    }

    let info = client.info(path).await.unwrap().unwrap();
    assert_eq!((info.size, info.metadata), (300_000, metadata));
    assert_eq!(info.content_type.as_deref(), Some("image/png"));
    assert!(info.created_at.is_some() && info.etag.is_some());

    let public = started.client.get(client.public_url(path));
    let public = public.send().await.unwrap();
    assert_eq!(
        public.headers()["cache-control"],
        "max-age=31536000, immutable"
    );
    assert_eq!(public.bytes().await.unwrap(), bytes);
    let parts: Vec<Bytes> = client
        .download(path)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(parts.concat(), bytes);

    let listed = client.list("generated", 10, 0).await.unwrap();
    assert_eq!(
        (
            listed[0].path.as_str(),
            listed[0].size,
            listed[0].created_at
        ),
        (path, Some(300_000), info.created_at)
    );
    assert_eq!(
        client.delete(&[path, "generated/none.png"]).await.unwrap(),
        1
    );
    assert_eq!(client.info(path).await.unwrap(), None);
    assert!(matches!(
        client.download(path).await.map(drop),
        Err(StorageError::NotFound)
    ));
}

#[tokio::test]
async fn a_browser_uploads_by_a_signed_url() {
    use secrecy::ExposeSecret as _;

    let started = start().await;
    let client = storage(&started.supabase, started.supabase.secret_key(), BUCKET);
    let signed = client.sign_upload("references/a b.png").await.unwrap();
    let put = started.client.put(signed.url.expose_secret());
    let put = put.header("content-type", "image/png").body("picture");
    assert_eq!(answer(put).await.0, 200);
    let info = client.info("references/a b.png").await.unwrap().unwrap();
    assert_eq!(info.size, 7);
}

#[tokio::test]
async fn failures_are_what_the_client_takes_them_for() {
    let started = start().await;
    let supabase = &started.supabase;
    let upload = async |client: StorageClient, path: &str| {
        let outcome = client
            .upload(path, Bytes::from_static(b"x"), "image/png", &json!({}))
            .await;
        match outcome {
            Ok(()) => "stored",
            Err(StorageError::Retryable { .. }) => "retryable",
            Err(StorageError::MissingBucket) => "missing bucket",
            Err(StorageError::NotFound) => "not found",
            Err(StorageError::Misconfigured(_)) => "misconfigured",
            Err(StorageError::UnusableKey) => "unusable key",
            Err(StorageError::Rejected(_)) => "rejected",
        }
    };
    let secret = supabase.secret_key();
    let client = |key: &str, bucket: &str| storage(supabase, key, bucket);
    assert_eq!(upload(client(secret, "none"), "a").await, "missing bucket");
    assert_eq!(
        upload(client("sb_secret_x", BUCKET), "a").await,
        "misconfigured"
    );
    assert_eq!(
        upload(client(&supabase.anon_key(), BUCKET), "a").await,
        "misconfigured"
    );
    assert_eq!(upload(client(secret, BUCKET), "ä").await, "rejected");
    let table = [
        (json!({"status": 500}), "retryable"),
        (json!({"status": 503}), "retryable"),
        (json!({"status": 544}), "retryable"),
        (json!({"status": 429, "code": "SlowDown"}), "retryable"),
        (
            json!({"status": 400, "code": "NoSuchBucket"}),
            "missing bucket",
        ),
        (
            json!({"status": 400, "code": "AccessDenied"}),
            "misconfigured",
        ),
        (json!({"status": 400, "code": "EntityTooLarge"}), "rejected"),
        (json!({"body": "html"}), "retryable"),
        (json!({"body": "html", "status": 200}), "retryable"),
        (json!({"body": "truncated"}), "retryable"),
        (json!({"body": "empty_data"}), "retryable"),
        (json!({"drop": "before_headers"}), "retryable"),
        (json!({"drop": "after_headers"}), "retryable"),
        (json!({"drop": "mid_body"}), "retryable"),
        (json!({"delay_ms": 5}), "stored"),
    ];
    for (entry, expected) in table {
        control(&started, json!({"script": [entry]})).await;
        let outcome = upload(client(secret, BUCKET), "a.png").await;
        assert_eq!(outcome, expected, "{entry}");
    }
}

#[tokio::test]
async fn tokens_are_verified_by_the_served_keys() {
    let started = start().await;
    let supabase = &started.supabase;
    let user = supabase.user();
    let good = || TokenClaims::of(user);
    let with = |signed_with| TokenClaims {
        signed_with,
        ..good()
    };
    let issuer = Some("http://127.0.0.1:1/auth/v1".to_owned());
    let table = [
        (good(), true),
        (with(SignedWith::Rs256), true),
        (
            TokenClaims {
                is_anonymous: true,
                email: None,
                ..good()
            },
            true,
        ),
        (
            TokenClaims {
                audience: json!(["authenticated"]),
                ..good()
            },
            true,
        ),
        (TokenClaims::expired(user), false),
        (TokenClaims { issuer, ..good() }, false),
        (
            TokenClaims {
                audience: json!("other"),
                ..good()
            },
            false,
        ),
        (
            TokenClaims {
                role: "anon".to_owned(),
                ..good()
            },
            false,
        ),
        (
            TokenClaims {
                sub: Some("ada".to_owned()),
                ..good()
            },
            false,
        ),
        (
            TokenClaims {
                sub: None,
                ..good()
            },
            false,
        ),
        (with(SignedWith::Hs256), false),
        (with(SignedWith::ForeignKey), false),
        (with(SignedWith::ForgedKid), false),
        (with(SignedWith::PublicKeyAsSecret), false),
        (with(SignedWith::Nothing), false),
    ];
    // All are signed before the key set is fetched: the RS256 key is in it once it has signed something.
    let tokens = table.map(|(claims, is_good)| (supabase.token(&claims).unwrap(), claims, is_good));
    let verifying = verifier(supabase, None);
    for (token, claims, is_good) in tokens {
        match verifying.verify(&token, Timestamp::now()).await {
            Ok(Bearer::User(verified)) => {
                assert!(is_good, "{claims:?}");
                assert_eq!(verified.user_id, user.id);
                assert_eq!(verified.is_anonymous, claims.is_anonymous);
            }
            Err(AuthError::Invalid { .. }) => assert!(!is_good, "{claims:?}"),
            other => panic!("{other:?}: {claims:?}"),
        }
    }
    for key in [supabase.anon_key(), supabase.publishable_key().to_owned()] {
        let bearer = verifying.verify(&key, Timestamp::now()).await.unwrap();
        assert_eq!(bearer, Bearer::SignedOut);
    }
    let secret = supabase.secret_key();
    assert!(verifying.verify(secret, Timestamp::now()).await.is_err());

    let by_secret = verifier(supabase, Some(supabase.project().jwt_secret()));
    let token = supabase.token(&with(SignedWith::Hs256)).unwrap();
    assert!(matches!(
        by_secret.verify(&token, Timestamp::now()).await,
        Ok(Bearer::User(_))
    ));
    let anon_key = supabase.anon_key();
    let bearer = by_secret.verify(&anon_key, Timestamp::now()).await.unwrap();
    assert_eq!(bearer, Bearer::SignedOut);
}
