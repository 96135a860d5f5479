//! Who sees which records, and whose token is good.

use jiff::SignedDuration;
use local::supabase::{SignedWith, TokenClaims};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, World, send};

async fn make(request: RequestBuilder) -> Value {
    let body = json!({"prompt": "a red bicycle", "quality": "low", "resolution": "1K"});
    let answer = send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    answer.body
}

/// The ids in a list of images or runs, newest first.
fn ids(answer: &Answer, list: &str) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:#?}");
    let rows = answer.body[list].as_array().unwrap();
    assert_eq!(answer.body["count"], rows.len());
    rows.iter().map(|row| row["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_their_own_records() {
    let world = World::start(&[]).await;
    let generate = "/ai/generate";
    let of_user = make(world.user(Method::POST, generate)).await;
    let of_other = make(world.other_user(Method::POST, generate)).await;
    let of_nobody = make(world.anonymous(Method::POST, generate)).await;
    let supabase = world.stack.supabase().unwrap();
    let keys = [
        supabase.anon_key(),
        supabase.publishable_key().to_owned(),
        supabase.anon_key(),
    ];
    let with_anon_key = make(world.bearer(Method::POST, generate, &keys[0])).await;

    // A list shows the caller's own, with the token of another page's anonymous key as without any.
    for list in ["images", "runs"] {
        let path = match list {
            "images" => "/ai/generated-images",
            _ => "/ai/runs",
        };
        let field = if list == "images" { "id" } else { "run_id" };
        let user = send(world.user(Method::GET, path)).await;
        assert_eq!(ids(&user, list), [of_user[field].clone()]);
        let other = send(world.other_user(Method::GET, path)).await;
        assert_eq!(ids(&other, list), [of_other[field].clone()]);
        let ownerless = [with_anon_key[field].clone(), of_nobody[field].clone()];
        let nobody = send(world.anonymous(Method::GET, path)).await;
        assert_eq!(ids(&nobody, list), ownerless);
        for key in &keys {
            let answer = send(world.bearer(Method::GET, path, key)).await;
            assert_eq!(ids(&answer, list), ownerless);
        }
    }

    // One record: its owner's, or one without an owner for anybody who has the id; else there is none.
    let of = |made: &Value| {
        let (image, run) = (
            made["id"].as_str().unwrap(),
            made["run_id"].as_str().unwrap(),
        );
        [
            (
                Method::GET,
                format!("/ai/generated-images/{image}"),
                "image_id",
            ),
            (Method::GET, format!("/ai/runs/{run}"), "run_id"),
            (Method::GET, format!("/ai/runs/{run}/events"), "run_id"),
            (Method::POST, format!("/ai/runs/{run}/cancel"), "run_id"),
        ]
    };
    let status = |method: &Method| if *method == Method::GET { 200 } else { 409 };
    for (method, path, field) in of(&of_user) {
        let own = send(world.user(method.clone(), &path)).await;
        assert_eq!(own.status, status(&method), "{path} {own:#?}");
        for foreign in [
            world.other_user(method.clone(), &path),
            world.anonymous(method.clone(), &path),
            world.bearer(method.clone(), &path, &keys[0]),
            world.bearer(method.clone(), &path, &keys[1]),
        ] {
            let answer = send(foreign).await;
            assert_eq!(answer.problem_fields(404), [field], "{path}");
            // Nothing tells it from a record that was never there.
            assert!(!answer.body.to_string().contains("bicycle"));
        }
    }
    for (method, path, _) in of(&of_nobody) {
        for anybody in [
            world.anonymous(method.clone(), &path),
            world.user(method.clone(), &path),
        ] {
            let answer = send(anybody).await;
            assert_eq!(answer.status, status(&method), "{path} {answer:#?}");
        }
    }
    let record = world.get(&of(&of_nobody)[0].1).await;
    assert_eq!(record.body["user_id"], Value::Null);

    // The rows say the same.
    let owners = world
        .rows("select user_id::text from generated_images order by created_at")
        .await;
    let ready = world.stack.ready();
    let expected = [Some(&ready.user.id), Some(&ready.other_user.id), None, None];
    assert_eq!(owners, expected.map(|owner| vec![owner.cloned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_verify_is_refused_and_never_anonymous() {
    let world = World::start(&[]).await;
    let supabase = world.stack.supabase().unwrap();
    let claims = || TokenClaims::of(supabase.user());
    let signed = |claims: TokenClaims| supabase.token(&claims).unwrap();
    let signed_with = |signed_with| {
        signed(TokenClaims {
            signed_with,
            ..claims()
        })
    };
    let without = |claim: &str| {
        signed(TokenClaims {
            without: vec![claim.to_owned()],
            ..claims()
        })
    };
    // What is good, and first, before the keys are looked for that are not there: both keys of the project, a list of audiences, an anonymous sign-in, which is a user.
    let in_a_moment = SignedDuration::from_secs(20);
    for (what, token) in [
        ("another key", signed_with(SignedWith::Rs256)),
        (
            "audiences",
            signed(TokenClaims {
                audience: json!(["other", "authenticated"]),
                ..claims()
            }),
        ),
        (
            "an anonymous sign-in",
            signed(TokenClaims {
                is_anonymous: true,
                ..claims()
            }),
        ),
        (
            "nearly expired",
            signed(TokenClaims {
                valid_for: in_a_moment,
                ..claims()
            }),
        ),
    ] {
        let answer = send(world.bearer(Method::POST, "/api/realtime/token", &token)).await;
        assert_eq!(answer.status, 200, "{what} {answer:#?}");
        assert_eq!(
            answer.body["clientId"],
            world.stack.ready().user.id,
            "{what}"
        );
        let request = world.anonymous(Method::GET, "/ai/generated-images");
        let answer = send(request.header("authorization", format!("bearer  {token}"))).await;
        assert_eq!(answer.status, 200, "{what} {answer:#?}");
    }

    let good = signed(claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let wrong = [
        ("expired", signed(TokenClaims::expired(supabase.user()))),
        (
            "another issuer",
            signed(TokenClaims {
                issuer: Some("https://other.supabase.co/auth/v1".to_owned()),
                ..claims()
            }),
        ),
        (
            "another audience",
            signed(TokenClaims {
                audience: json!("other"),
                ..claims()
            }),
        ),
        ("no audience", without("aud")),
        ("no issuer", without("iss")),
        ("no end", without("exp")),
        (
            "no subject",
            signed(TokenClaims {
                sub: None,
                ..claims()
            }),
        ),
        (
            "a subject that is no user's id",
            signed(TokenClaims {
                sub: Some("admin".to_owned()),
                ..claims()
            }),
        ),
        (
            "the role of a server",
            signed(TokenClaims {
                role: "service_role".to_owned(),
                ..claims()
            }),
        ),
        (
            "the role anon",
            signed(TokenClaims {
                role: "anon".to_owned(),
                ..claims()
            }),
        ),
        ("another project's key", signed_with(SignedWith::ForeignKey)),
        (
            "another project's key under our key's name",
            signed_with(SignedWith::ForgedKid),
        ),
        (
            "the public key as a secret",
            signed_with(SignedWith::PublicKeyAsSecret),
        ),
        (
            "a shared secret where none is set",
            signed_with(SignedWith::Hs256),
        ),
        ("no signature", signed_with(SignedWith::Nothing)),
        (
            "a changed signature",
            format!("{head}.{}", signature.chars().rev().collect::<String>()),
        ),
        ("a signature cut off", format!("{head}.")),
        ("a secret key", supabase.secret_key().to_owned()),
        ("a word", "abc".to_owned()),
        ("a long word", "a".repeat(6_000)),
    ];
    let run = "/ai/runs/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    let routes = [
        (Method::POST, "/ai/generate".to_owned()),
        (Method::GET, "/ai/generated-images".to_owned()),
        (
            Method::GET,
            "/ai/generated-images/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e".to_owned(),
        ),
        (
            Method::DELETE,
            "/ai/generated-images/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e".to_owned(),
        ),
        (
            Method::PUT,
            "/ai/generated-images/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e/favorite".to_owned(),
        ),
        (
            Method::POST,
            "/ai/generated-images/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e/regenerate".to_owned(),
        ),
        (Method::GET, "/ai/runs".to_owned()),
        (Method::GET, run.to_owned()),
        (Method::GET, format!("{run}/events")),
        (Method::POST, format!("{run}/cancel")),
        (Method::POST, "/api/realtime/token".to_owned()),
        (Method::GET, "/api/realtime/token".to_owned()),
    ];
    let refused = async |what: &str, method: &Method, path: &str, authorization: &str| {
        let request = world
            .anonymous(method.clone(), path)
            .header("authorization", authorization)
            .body(json!({"prompt": "a"}).to_string());
        let answer = send(request).await;
        assert_eq!(answer.status, 401, "{what} {path} {answer:#?}");
        answer.problem_fields(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("authorization"), "{detail}");
        if let Some((_, token)) = authorization.split_once(' ')
            && token.len() > 5
        {
            assert!(!answer.body.to_string().contains(token), "{what}");
        }
    };
    for (what, token) in &wrong {
        for (method, path) in &routes {
            refused(what, method, path, &format!("Bearer {token}")).await;
        }
    }
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        &good,
        &format!("Token {good}"),
    ] {
        for (method, path) in &routes {
            refused(header, method, path, header).await;
        }
    }
    assert_eq!(
        world
            .value("select count(*) from ai_image_runs")
            .await
            .as_deref(),
        Some("0")
    );

    // A good token of a user who is gone: there is nobody to own what would be made.
    let gone = signed(TokenClaims {
        sub: Some("5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e".to_owned()),
        ..claims()
    });
    let body = json!({"prompt": "a"}).to_string();
    let answer = send(world.bearer(Method::POST, "/ai/generate", &gone).body(body)).await;
    answer.problem_fields(401);
    let answer = send(world.bearer(Method::GET, "/ai/generated-images", &gone)).await;
    assert_eq!(ids(&answer, "images"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_what_anonymous_callers_see() {
    let world = World::start(&[("ANONYMOUS_HISTORY", "all")]).await;
    let of_user = make(world.user(Method::POST, "/ai/generate")).await;
    let of_nobody = make(world.anonymous(Method::POST, "/ai/generate")).await;
    let all = send(world.anonymous(Method::GET, "/ai/generated-images")).await;
    assert_eq!(
        ids(&all, "images"),
        [of_nobody["id"].clone(), of_user["id"].clone()]
    );
    // The setting is about the list: one record is its owner's all the same, and users see their own.
    let path = format!("/ai/generated-images/{}", of_user["id"].as_str().unwrap());
    let one = send(world.anonymous(Method::GET, &path)).await;
    assert_eq!(one.problem_fields(404), ["image_id"]);
    let own = send(world.user(Method::GET, "/ai/generated-images")).await;
    assert_eq!(ids(&own, "images"), [of_user["id"].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_can_shut_anonymous_callers_out() {
    let settings = [
        ("ANONYMOUS_HISTORY", "none"),
        ("ANONYMOUS_GENERATION", "off"),
        // What the log says of prompts is for the operator to decide, too.
        ("LOG_PROMPTS", "on"),
    ];
    let world = World::start(&settings).await;
    let supabase = world.stack.supabase().unwrap();
    let keys = [supabase.anon_key(), supabase.publishable_key().to_owned()];
    for (method, path) in [
        (Method::POST, "/ai/generate"),
        (Method::GET, "/ai/generated-images"),
        (Method::GET, "/ai/runs"),
    ] {
        let body = json!({"prompt": "a"}).to_string();
        let anonymous = world.anonymous(method.clone(), path).body(body.clone());
        send(anonymous).await.problem_fields(401);
        for key in &keys {
            let with_key = world.bearer(method.clone(), path, key).body(body.clone());
            send(with_key).await.problem_fields(401);
        }
    }
    make(world.user(Method::POST, "/ai/generate")).await;
    let own = send(world.user(Method::GET, "/ai/generated-images")).await;
    assert_eq!(ids(&own, "images").len(), 1);
    let logged = "\"resolved_prompt\":\"a red bicycle\"";
    world
        .until("the log of the run's end", || async {
            world.logs().contains(logged).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_had_are_no_fault_of_the_token() {
    let nowhere = ("SUPABASE_JWKS_URL", "http://127.0.0.1:9/jwks.json");
    let world = World::start(&[nowhere]).await;
    for (method, path) in [
        (Method::POST, "/ai/generate"),
        (Method::GET, "/ai/generated-images"),
        (Method::POST, "/api/realtime/token"),
    ] {
        let body = json!({"prompt": "a"}).to_string();
        let answer = send(world.user(method, path).body(body)).await;
        assert!(answer.problem_fields(503).is_empty());
        assert_eq!(answer.body["retryable"], true);
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    make(world.anonymous(Method::POST, "/ai/generate")).await;
}
