//! The key set, and tokens that are good or not.

use jiff::SignedDuration;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Project, SignedWith, TEST_PASSWORD, TokenClaims};
use super::{Started, answer, start};

/// The claims, if the token passes every check that the facts name, with the keys of the served set.
async fn checked(started: &Started, token: &str) -> Option<Value> {
    shared::jwt::install_provider();
    let (status, jwks) = auth(started, Method::GET, "/.well-known/jwks.json", json!({})).await;
    assert_eq!(status, 200);
    let jwks = serde_json::from_value::<JwkSet>(jwks).unwrap();
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let jwk = jwks.find(&kid)?;
    let algorithm = jwk.common.key_algorithm?.to_string().parse().ok()?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[started.supabase.project().issuer()]);
    validation.set_audience(&["authenticated"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_jwk(jwk).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation)
        .ok()
        .map(|token| token.claims)
}

async fn auth(started: &Started, method: Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/auth/v1{path}", started.supabase.url());
    answer(started.client.request(method, url).json(&body)).await
}

#[tokio::test]
async fn tokens_are_good_or_bad_as_asked() {
    let started = start().await;
    let user = started.supabase.user();
    let good = || TokenClaims::of(user);
    let table = [
        ("good", good(), true),
        (
            "rs256",
            TokenClaims {
                signed_with: SignedWith::Rs256,
                ..good()
            },
            true,
        ),
        (
            "list of audiences",
            TokenClaims {
                audience: json!(["x", "authenticated"]),
                ..good()
            },
            true,
        ),
        (
            "anonymous sign-in",
            TokenClaims {
                is_anonymous: true,
                email: None,
                ..good()
            },
            true,
        ),
        ("expired", TokenClaims::expired(user), false),
        (
            "issuer",
            TokenClaims {
                issuer: Some("http://elsewhere/auth/v1".to_owned()),
                ..good()
            },
            false,
        ),
        (
            "audience",
            TokenClaims {
                audience: json!("other"),
                ..good()
            },
            false,
        ),
        (
            "no sub",
            TokenClaims {
                sub: None,
                ..good()
            },
            false,
        ),
        (
            "no exp",
            TokenClaims {
                without: vec!["exp".to_owned()],
                ..good()
            },
            false,
        ),
        (
            "hs256",
            TokenClaims {
                signed_with: SignedWith::Hs256,
                ..good()
            },
            false,
        ),
        (
            "foreign key",
            TokenClaims {
                signed_with: SignedWith::ForeignKey,
                ..good()
            },
            false,
        ),
        (
            "forged kid",
            TokenClaims {
                signed_with: SignedWith::ForgedKid,
                ..good()
            },
            false,
        ),
        (
            "confused",
            TokenClaims {
                signed_with: SignedWith::PublicKeyAsSecret,
                ..good()
            },
            false,
        ),
        (
            "unsigned",
            TokenClaims {
                signed_with: SignedWith::Nothing,
                ..good()
            },
            false,
        ),
    ];
    for (name, claims, is_good) in table {
        let token = started.supabase.token(&claims).unwrap();
        assert_eq!(token.split('.').count(), 3, "{name}");
        assert_eq!(checked(&started, &token).await.is_some(), is_good, "{name}");
    }

    let token = started.supabase.token(&good()).unwrap();
    let claims = checked(&started, &token).await.unwrap();
    assert_eq!(
        (&claims["sub"], &claims["email"]),
        (&json!(user.id), &json!(user.email))
    );
    assert_eq!(
        (&claims["role"], &claims["is_anonymous"]),
        (&json!("authenticated"), &json!(false))
    );
    assert!(claims["app_metadata"].is_object() && claims["user_metadata"].is_object());
    let valid_for = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!(valid_for >= SignedDuration::from_hours(24).as_secs());
}

#[tokio::test]
async fn a_second_process_mints_tokens_of_the_same_project() {
    let started = start().await;
    let project = Project::open(started.data_dir.path(), started.supabase.url()).unwrap();
    assert_eq!(
        project.jwks().unwrap(),
        started.supabase.project().jwks().unwrap()
    );
    let token = project
        .token(&TokenClaims::of(project.other_user()))
        .unwrap();
    let claims = checked(&started, &token).await.unwrap();
    assert_eq!(claims["sub"], json!(started.supabase.other_user().id));
    assert_ne!(started.supabase.user().id, started.supabase.other_user().id);
}

#[tokio::test]
async fn a_person_signs_in() {
    let started = start().await;
    let user = started.supabase.other_user();
    let path = "/token?grant_type=password";
    let (status, body) = auth(
        &started,
        Method::POST,
        path,
        json!({"email": user.email, "password": TEST_PASSWORD}),
    )
    .await;
    assert_eq!(
        (status, &body["token_type"], &body["user"]["id"]),
        (200, &json!("bearer"), &json!(user.id))
    );
    let token = body["access_token"].as_str().unwrap();
    assert!(checked(&started, token).await.is_some());
    let (status, again) = auth(
        &started,
        Method::POST,
        "/token?grant_type=refresh_token",
        json!({"refresh_token": body["refresh_token"]}),
    )
    .await;
    assert_eq!((status, &again["user"]["id"]), (200, &json!(user.id)));
    for body in [
        json!({"email": user.email, "password": "x"}),
        json!({}),
        json!([]),
    ] {
        let (status, answer) = auth(&started, Method::POST, path, body).await;
        assert_eq!(
            (status, &answer["error_code"]),
            (400, &json!("invalid_credentials"))
        );
    }

    let url = format!("{}/auth/v1/user", started.supabase.url());
    let get = |token: &str| started.client.get(&url).bearer_auth(token);
    assert_eq!(answer(get(token)).await.1["email"], json!(user.email));
    assert_eq!(
        answer(get("nonsense")).await.1["error_code"],
        json!("bad_jwt")
    );
    assert_eq!(answer(get(&started.supabase.anon_key())).await.0, 403);
    assert_eq!(answer(started.client.get(&url)).await.0, 401);
    assert_eq!(
        auth(&started, Method::GET, "/health", json!({})).await.0,
        200
    );
}
