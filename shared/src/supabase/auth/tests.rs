//! Tokens made here, keys served over loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const USER: &str = "7f1c2b1e-0c57-4f0b-9a55-0d0f6e1f2a3b";
const SECRET: &str = "a-shared-secret-of-at-least-32-characters";

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self(pair.unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"], "kid": kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
        format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(signature.unwrap().as_ref())
        )
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

fn sign_hs256(secret: &str, claims: &Value) -> String {
    let message = message(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn header(kid: &str) -> Value {
    json!({"alg": "ES256", "typ": "JWT", "kid": kid})
}

/// A project's key endpoint, which counts requests and can be made to fail.
struct Project {
    url: String,
    endpoint: Arc<Endpoint>,
    task: tokio::task::JoinHandle<()>,
}

struct Endpoint {
    keys: std::sync::Mutex<Vec<Value>>,
    failing: AtomicBool,
    requests: AtomicU32,
}

impl Drop for Project {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Project {
    async fn start(keys: Vec<Value>) -> Self {
        let endpoint = Arc::new(Endpoint {
            keys: std::sync::Mutex::new(keys),
            failing: AtomicBool::new(false),
            requests: AtomicU32::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .route("/auth/v1/.well-known/jwks.json", get(serve_keys))
            .with_state(endpoint.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            endpoint,
            task,
        }
    }

    fn verifier(&self, secret: Option<&str>) -> TokenVerifier {
        TokenVerifier::new(AuthOptions {
            supabase_url: self.url.clone(),
            jwks_url: None,
            jwt_secret: secret.map(SecretString::from),
            service_key: None,
        })
    }

    fn claims(&self) -> Value {
        json!({
            "iss": format!("{}/auth/v1", self.url), "aud": "authenticated", "exp": 1_700_003_600, "iat": 1_700_000_000,
            "sub": USER, "role": "authenticated", "is_anonymous": false, "session_id": "s",
            "user_metadata": {"role": "service_role"},
        })
    }

    fn requests(&self) -> u32 {
        self.endpoint.requests.load(Ordering::SeqCst)
    }
}

async fn serve_keys(State(endpoint): State<Arc<Endpoint>>) -> Result<String, StatusCode> {
    endpoint.requests.fetch_add(1, Ordering::SeqCst);
    if endpoint.failing.load(Ordering::SeqCst) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(json!({"keys": *endpoint.keys.lock().unwrap()}).to_string())
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => {
            claims.as_object_mut().unwrap().remove(name);
        }
        value => claims[name] = value,
    }
    claims
}

#[track_caller]
fn assert_invalid(outcome: Result<Bearer, AuthError>, what: &str) {
    assert!(
        matches!(outcome, Err(AuthError::Invalid { .. })),
        "{what}: {outcome:?}"
    );
}

#[tokio::test]
async fn a_good_token_is_its_user() {
    let key = SigningKey::new();
    let project = Project::start(vec![
        json!({"kty": "new-kind", "kid": "other"}),
        key.jwk("k1"),
    ])
    .await;
    let verifier = project.verifier(None);
    assert_eq!(project.requests(), 0);
    let table = [
        (project.claims(), false),
        (
            with(project.claims(), "aud", json!(["x", "authenticated"])),
            false,
        ),
        (with(project.claims(), "is_anonymous", json!(true)), true),
        // Just expired: within what clocks may differ by.
        (with(project.claims(), "exp", json!(1_699_999_980)), false),
    ];
    for (claims, is_anonymous) in table {
        let token = key.sign(&header("k1"), &claims);
        match verifier.verify(&token, now()).await {
            Ok(Bearer::User(verified)) => {
                assert_eq!(verified.user_id.to_string(), USER);
                assert_eq!(verified.is_anonymous, is_anonymous);
            }
            other => panic!("{claims}: {other:?}"),
        }
    }
    assert_eq!(project.requests(), 1);
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_never_a_signed_out_caller() {
    let key = SigningKey::new();
    let project = Project::start(vec![key.jwk("k1")]).await;
    let verifier = project.verifier(None);
    let good = project.claims();
    let signed = |claims: Value| key.sign(&header("k1"), &claims);
    let changed = |name: &str, value: Value| signed(with(good.clone(), name, value));
    let genuine = signed(good.clone());
    let (head, tail) = genuine.split_once('.').unwrap();
    let (_, signature) = tail.split_once('.').unwrap();
    let other_payload = URL_SAFE_NO_PAD
        .encode(with(good.clone(), "sub", json!(uuid::Uuid::nil().to_string())).to_string());
    let public_point = good_point(&key);

    let table = [
        ("empty", String::new()),
        ("no token", "hello".to_owned()),
        ("a secret key", "sb_secret_abc".to_owned()),
        ("expired", changed("exp", json!(1_699_999_900))),
        ("no end", changed("exp", Value::Null)),
        ("not yet", changed("nbf", json!(1_700_000_600))),
        (
            "foreign issuer",
            changed("iss", json!("https://x.supabase.co/auth/v1")),
        ),
        ("no issuer", changed("iss", Value::Null)),
        (
            "issuer with a tail",
            changed("iss", json!(format!("{}/auth/v1/", project.url))),
        ),
        ("other audience", changed("aud", json!("anon"))),
        ("no audience", changed("aud", Value::Null)),
        ("no subject", changed("sub", Value::Null)),
        ("subject is no id", changed("sub", json!("root"))),
        ("role", changed("role", json!("service_role"))),
        ("no role", changed("role", Value::Null)),
        ("no key id", key.sign(&json!({"alg": "ES256"}), &good)),
        ("unknown key id", key.sign(&header("k2"), &good)),
        (
            "another key of the same id",
            SigningKey::new().sign(&header("k1"), &good),
        ),
        (
            "algorithm none",
            format!("{}.", message(&json!({"alg": "none"}), &good)),
        ),
        (
            "other algorithm than the key's",
            key.sign(&json!({"alg": "RS256", "kid": "k1"}), &good),
        ),
        (
            "critical header",
            key.sign(
                &json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}),
                &good,
            ),
        ),
        (
            "other payload",
            format!("{head}.{other_payload}.{signature}"),
        ),
        (
            "no signature",
            format!("{}.", message(&header("k1"), &good)),
        ),
        ("shared secret", sign_hs256(SECRET, &good)),
        (
            "the public key as a shared secret",
            sign_hs256(&public_point, &good),
        ),
        ("too long", "a".repeat(20_000)),
    ];
    for (what, token) in table {
        assert_invalid(verifier.verify(&token, now()).await, what);
    }
}

fn good_point(key: &SigningKey) -> String {
    String::from_utf8_lossy(key.0.public_key().as_ref()).into_owned()
}

#[tokio::test]
async fn a_shared_secret_serves_only_behind_its_setting() {
    let key = SigningKey::new();
    let project = Project::start(vec![key.jwk("k1")]).await;
    let token = sign_hs256(SECRET, &project.claims());
    assert_invalid(
        project.verifier(None).verify(&token, now()).await,
        "no setting",
    );

    let verifier = project.verifier(Some(SECRET));
    assert!(matches!(
        verifier.verify(&token, now()).await,
        Ok(Bearer::User(_))
    ));
    assert_invalid(
        verifier
            .verify(&sign_hs256("another", &project.claims()), now())
            .await,
        "another secret",
    );
    // A project that changes over has both kinds about for a while.
    let modern = key.sign(&header("k1"), &project.claims());
    assert!(matches!(
        verifier.verify(&modern, now()).await,
        Ok(Bearer::User(_))
    ));
}

#[tokio::test]
async fn a_key_that_every_page_carries_is_nobody() {
    let anon = json!({"iss": "supabase", "ref": "abcd", "role": "anon", "iat": 1_600_000_000, "exp": 1_900_000_000});
    let of = |url: &str, secret: Option<&str>| {
        TokenVerifier::new(AuthOptions {
            supabase_url: url.to_owned(),
            jwks_url: None,
            jwt_secret: secret.map(SecretString::from),
            service_key: None,
        })
    };
    let key = sign_hs256(SECRET, &anon);
    let signed_out = [
        (of("https://abcd.supabase.co", None), "sb_publishable_x_y"),
        (of("https://abcd.supabase.co", None), key.as_str()),
        (of("https://abcd.supabase.co/", Some(SECRET)), key.as_str()),
        (of("https://api.example.com", None), key.as_str()),
    ];
    for (verifier, bearer) in signed_out {
        assert_eq!(
            verifier.verify(bearer, now()).await.unwrap(),
            Bearer::SignedOut
        );
    }

    let project = of("https://abcd.supabase.co", None);
    let expired = sign_hs256(SECRET, &with(anon.clone(), "exp", json!(1_650_000_000)));
    assert_invalid(project.verify(&expired, now()).await, "expired");
    let service = sign_hs256(SECRET, &with(anon.clone(), "role", json!("service_role")));
    assert_invalid(project.verify(&service, now()).await, "service key");
    let with_subject = sign_hs256(SECRET, &with(anon.clone(), "sub", json!(USER)));
    assert_invalid(project.verify(&with_subject, now()).await, "a subject");
    let foreign = of("https://efgh.supabase.co", None);
    assert_invalid(foreign.verify(&key, now()).await, "another project");
    let other_secret = of("https://abcd.supabase.co", Some("another"));
    assert_invalid(other_secret.verify(&key, now()).await, "forged");
}

#[tokio::test]
async fn the_applications_backend_is_known_by_its_key_or_its_role() {
    let key = SigningKey::new();
    let project = Project::start(vec![key.jwk("k1")]).await;
    let of = |service_key: Option<&str>, secret: Option<&str>| {
        TokenVerifier::new(AuthOptions {
            supabase_url: project.url.clone(),
            jwks_url: None,
            jwt_secret: secret.map(SecretString::from),
            service_key: service_key.map(SecretString::from),
        })
    };
    let legacy = json!({"iss": "supabase", "ref": "abcd", "role": "service_role", "iat": 1_600_000_000, "exp": 1_900_000_000});
    let legacy_key = sign_hs256(SECRET, &legacy);
    let minted = json!({"iss": format!("{}/auth/v1", project.url), "role": "service_role", "exp": 1_700_003_600});
    let signed = |claims: &Value| key.sign(&header("k1"), claims);
    let own = "sb_secret_abc";

    let service = [
        ("the secret key", of(Some(own), None), own.to_owned()),
        (
            "a legacy key that is the setting",
            of(Some(&legacy_key), None),
            legacy_key.clone(),
        ),
        (
            "a legacy key, where the shared secret is known",
            of(None, Some(SECRET)),
            legacy_key.clone(),
        ),
        (
            "a token of the project's key",
            of(None, None),
            signed(&minted),
        ),
    ];
    for (what, verifier, bearer) in service {
        let outcome = verifier.verify(&bearer, now()).await;
        assert!(matches!(outcome, Ok(Bearer::Service)), "{what} {outcome:?}");
    }

    let changed = |name: &str, value: Value| signed(&with(minted.clone(), name, value));
    let refused = [
        ("no setting", of(None, None), own.to_owned()),
        (
            "another key",
            of(Some(own), None),
            "sb_secret_abd".to_owned(),
        ),
        (
            "the beginning of it",
            of(Some(own), None),
            "sb_secret_ab".to_owned(),
        ),
        (
            "more than it",
            of(Some(own), None),
            "sb_secret_abcd".to_owned(),
        ),
        ("an empty one", of(Some(own), None), String::new()),
        (
            "a legacy key nobody can check",
            of(Some(own), None),
            legacy_key.clone(),
        ),
        (
            "a legacy key of another project",
            of(None, Some("another")),
            legacy_key,
        ),
        (
            "a token of another key",
            of(None, None),
            SigningKey::new().sign(&header("k1"), &minted),
        ),
        (
            "an expired one",
            of(None, None),
            changed("exp", json!(1_699_999_900)),
        ),
        (
            "one without an end",
            of(None, None),
            changed("exp", Value::Null),
        ),
        (
            "one of another issuer",
            of(None, None),
            changed("iss", json!("https://x.supabase.co/auth/v1")),
        ),
        // The role of a user's row is no business of the service's.
        (
            "a user's token with that role",
            of(None, None),
            signed(&with(project.claims(), "role", json!("service_role"))),
        ),
        (
            "another role",
            of(None, None),
            changed("role", json!("supabase_admin")),
        ),
    ];
    for (what, verifier, bearer) in refused {
        assert_invalid(verifier.verify(&bearer, now()).await, what);
    }
}

#[tokio::test]
async fn keys_are_kept_and_renewed_with_a_cool_down() {
    let (old, new) = (SigningKey::new(), SigningKey::new());
    let project = Project::start(vec![old.jwk("k1")]).await;
    let verifier = project.verifier(None);
    let claims = project.claims();
    let by_old = old.sign(&header("k1"), &claims);
    let by_new = new.sign(&header("k2"), &claims);

    verifier.verify(&by_old, now()).await.unwrap();
    verifier.verify(&by_old, after(599)).await.unwrap();
    assert_eq!(project.requests(), 1, "kept for ten minutes");

    assert_invalid(verifier.verify(&by_new, after(40)).await, "not there yet");
    assert_eq!(project.requests(), 2, "an unknown key is asked for once");
    project.endpoint.keys.lock().unwrap().push(new.jwk("k2"));
    assert_invalid(verifier.verify(&by_new, after(50)).await, "cooling down");
    assert_eq!(project.requests(), 2);
    verifier.verify(&by_new, after(71)).await.unwrap();
    assert_eq!(project.requests(), 3);

    project.endpoint.failing.store(true, Ordering::SeqCst);
    verifier.verify(&by_new, after(700)).await.unwrap();
    verifier.verify(&by_old, after(701)).await.unwrap();
    assert_eq!(project.requests(), 4, "old keys serve on, asked for once");
}

#[tokio::test]
async fn without_any_keys_nothing_can_be_said() {
    let key = SigningKey::new();
    let project = Project::start(vec![key.jwk("k1")]).await;
    project.endpoint.failing.store(true, Ordering::SeqCst);
    let verifier = project.verifier(None);
    let token = key.sign(&header("k1"), &project.claims());
    for _ in 0..2 {
        let outcome = verifier.verify(&token, now()).await;
        assert!(
            matches!(outcome, Err(AuthError::Unavailable(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(project.requests(), 1);
    project.endpoint.failing.store(false, Ordering::SeqCst);
    verifier.verify(&token, after(2)).await.unwrap();
}
