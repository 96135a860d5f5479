//! Analytics: what the rows say, added up, for those who may see them.

use local::supabase::TokenClaims;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, World, send};

const FIRST: &str = "2026-02-02T10:00:00Z";

/// Runs of the test user in three days, one of the other user, one of nobody; what they used, took and cost is told by their numbers.
async fn fill(world: &World) {
    let (user, other) = (
        &world.stack.ready().user.id,
        &world.stack.ready().other_user.id,
    );
    let run = |owner: &str, at: &str, status: &str, rest: &str| {
        format!(
            "insert into ai_image_runs (owner_user_id, mode, user_prompt, created_at, status, asset_kind, model, style_preset, completed_at, cost_usd, attempts, response_metadata)
             select {owner}, 'generate', 'a cup', timestamptz '{at}', '{status}', {rest};"
        )
    };
    let owner = format!("'{user}'::uuid");
    let took = |ms: u32| format!("timestamptz '{FIRST}' + interval '{ms} ms'");
    let attempt =
        |billed: &str, usage: Value| json!({"attempt": 1, "billed": billed, "usage": usage});
    let used = |input, output| {
        json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output,
            "input_tokens_details": {"text_tokens": input - 1, "image_tokens": 1}})
    };
    let attempts = |list: Value| format!("'{list}'::jsonb");
    let statements = [
        run(&owner, FIRST, "succeeded", &format!("'avatar', 'gpt-image-2', 'watercolor', {}, 0.125, {}, null",
            took(1000), attempts(json!([attempt("yes", used(10, 100))])))),
        // Two calls were paid, and the first of them made nothing.
        run(&owner, FIRST, "succeeded", &format!("'avatar', 'gpt-image-2', 'watercolor', {}, 0.25, {}, null",
            took(2000), attempts(json!([attempt("yes", used(20, 200)), attempt("yes", used(20, 200))])))),
        // A model without a known price, which says nothing of tokens but in its answer.
        run(&owner, FIRST, "succeeded", &format!("'generic', 'gpt-image-9000', null, {}, null, {}, '{}'::jsonb",
            took(3000), attempts(json!([attempt("yes", Value::Null)])), json!({"usage": {"input_tokens": 5}}))),
        // An answer that was lost, one that was refused unpaid, and a run that was canceled in time.
        run(&owner, "2026-02-03T00:00:00Z", "failed", &format!("'generic', 'gpt-image-2', null, '2026-02-03T00:00:04Z', null, {}, null",
            attempts(json!([attempt("unknown", Value::Null)])))),
        run(&owner, "2026-02-03T23:59:59Z", "failed", &format!("'generic', 'gpt-image-2', 'line art', '2026-02-04T00:00:04Z', 0, {}, null",
            attempts(json!([attempt("no", Value::Null)])))),
        run(&owner, "2026-02-03T12:00:00Z", "canceled", "'generic', 'gpt-image-2', null, '2026-02-03T12:00:05Z', 0, '[]', null"),
        run(&owner, "2026-02-04T00:00:00Z", "pending", "'generic', 'gpt-image-2', null, null, null, '[]', null"),
        run(&owner, "2026-02-04T00:00:00Z", "running", &format!("'generic', 'gpt-image-2', null, null, null, {}, null",
            attempts(json!([attempt("unknown", Value::Null)])))),
        run(&format!("'{other}'::uuid"), FIRST, "succeeded", &format!("'generic', 'gpt-image-2', 'watercolor', {}, 1, {}, null",
            took(9000), attempts(json!([attempt("yes", used(30, 300))])))),
        run("null", FIRST, "failed", &format!("'generic', 'gpt-image-2', null, {}, 0, '[]', null", took(9000))),
        // What another writer has left in the table breaks nothing.
        run("null", "2026-03-01T00:00:00Z", "failed", "'generic', null, null, null, null, '[1, {\"usage\": {\"input_tokens\": \"many\"}}]', '7'"),
        format!("insert into generated_images (user_id, prompt, created_at, unique_visual_elements)
            values ('{user}', 'a', '{FIRST}', '[\"tables\", \"lights\"]'), ('{user}', 'a', '{FIRST}', '[\"lights\", \"tables\"]'),
                ('{user}', 'a', '{FIRST}', '[\"lights\"]'), ('{user}', 'a', '{FIRST}', '{{}}'), ('{user}', 'a', '{FIRST}', null),
                ('{user}', 'a', '{FIRST}', jsonb_build_array('lights', repeat('long ', 100))),
                ('{other}', 'a', '{FIRST}', '[\"cups\"]'), (null, 'a', '{FIRST}', '[\"cups\", \"tables\"]')"),
    ];
    world.rows(&statements.concat()).await;
}

async fn service(world: &World, path: &str) -> Answer {
    let key = world.stack.supabase().unwrap().secret_key().to_owned();
    send(world.bearer(Method::GET, path, &key)).await
}

/// Each group's key and the value at a pointer within it.
fn by_key(answer: &Answer, pointer: &str) -> Vec<(Value, Value)> {
    assert_eq!(answer.status, 200, "{answer:#?}");
    let groups = answer.body["groups"].as_array().unwrap().iter();
    groups
        .map(|group| {
            (
                group["key"].clone(),
                group.pointer(pointer).unwrap().clone(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_what_their_own_runs_came_to() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let period = "from=2026-02-02&to=2026-02-04";
    let answer = world.get(&format!("/ai/analytics?{period}")).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["from"], "2026-02-02T00:00:00Z");
    assert_eq!(answer.body["to"], "2026-02-05T00:00:00Z");
    assert_eq!(answer.body["group"], "day");
    let totals = json!({
        "runs": 8, "pending": 1, "running": 1, "succeeded": 3, "failed": 2, "canceled": 1, "success_rate": 0.5,
        "attempts": 7, "images": 3, "latency_ms": {"p50": 3500, "p95": 5000}, "cost_usd": 0.375, "cost_unknown": 3,
        "tokens": {"input": 55, "input_text": 47, "input_image": 3, "output": 500, "total": 550},
    });
    assert_eq!(answer.body["totals"], totals);
    let days = [("2026-02-02", 3), ("2026-02-03", 3), ("2026-02-04", 2)];
    let days = days.map(|(day, runs)| (json!(day), json!(runs)));
    assert_eq!(by_key(&answer, "/runs"), days);
    let rates = by_key(&answer, "/success_rate")
        .into_iter()
        .map(|(_, rate)| rate);
    assert!(rates.eq([json!(1.0), json!(0.0), Value::Null]));
    let costs = by_key(&answer, "/cost_usd")
        .into_iter()
        .map(|(_, cost)| cost);
    assert!(costs.eq([json!(0.375), json!(0.0), Value::Null]));
    let medians = by_key(&answer, "/latency_ms/p50")
        .into_iter()
        .map(|(_, p50)| p50);
    assert!(medians.eq([json!(2000), json!(5000), Value::Null]));
    assert_eq!(answer.body["groups_left_out"], 0);
    assert_eq!(
        answer.body["top_styles"],
        json!([{"style": "watercolor", "usage_count": 2}])
    );
    let long = "long ".repeat(100);
    let elements = json!([
        {"element": "lights", "usage_count": 4}, {"element": "tables", "usage_count": 2}, {"element": long, "usage_count": 1},
    ]);
    assert_eq!(answer.body["top_visual_elements"], elements);

    for (group, expected) in [
        ("model", json!([["gpt-image-2", 7], ["gpt-image-9000", 1]])),
        (
            "style",
            json!([[null, 5], ["watercolor", 2], ["line art", 1]]),
        ),
        ("asset_kind", json!([["generic", 6], ["avatar", 2]])),
        (
            "status",
            json!([
                ["succeeded", 3],
                ["failed", 2],
                ["canceled", 1],
                ["pending", 1],
                ["running", 1]
            ]),
        ),
        ("dataset", json!([[null, 8]])),
    ] {
        let answer = world
            .get(&format!("/ai/analytics?{period}&group={group}"))
            .await;
        let groups: Vec<_> = by_key(&answer, "/runs")
            .into_iter()
            .map(|(key, runs)| json!([key, runs]))
            .collect();
        assert_eq!(json!(groups), expected, "{group}");
        assert_eq!(answer.body["group"], group);
        assert_eq!(answer.body["totals"], totals);
    }

    // The beginning belongs to the period, the end does not; a day is whole.
    for (period, runs) in [
        ("from=2026-02-03&to=2026-02-03", 3),
        ("from=2026-02-03T00:00:00Z&to=2026-02-03T23:59:59Z", 2),
        ("from=2026-02-03T00:00:00Z&to=2026-02-03T00:00:00Z", 0),
        (
            "from=2026-02-03T01:00:00%2B01:00&to=2026-02-03T12:00:00Z",
            1,
        ),
        ("to=2026-02-03", 6),
        ("from=2026-02-02", 8),
        ("", 0),
    ] {
        let answer = world.get(&format!("/ai/analytics?{period}")).await;
        assert_eq!(answer.body["totals"]["runs"], runs, "{period} {answer:#?}");
        if runs == 0 {
            let nothing = &answer.body["totals"];
            assert_eq!(nothing["latency_ms"], json!({"p50": null, "p95": null}));
            assert_eq!(
                (&nothing["success_rate"], &nothing["cost_usd"]),
                (&Value::Null, &json!(0.0))
            );
            assert_eq!(answer.body["groups"], json!([]));
        }
    }
    let other = send(world.other_user(Method::GET, &format!("/ai/analytics?{period}"))).await;
    assert_eq!(other.body["totals"]["runs"], 1);
    assert_eq!(
        other.body["top_visual_elements"],
        json!([{"element": "cups", "usage_count": 1}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_backend_sees_everybodys_and_nobody_else_does() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let period = "/ai/analytics?from=2026-02-01&to=2026-03-01";
    let (user, other) = (
        &world.stack.ready().user.id,
        &world.stack.ready().other_user.id,
    );
    let all = service(&world, &format!("{period}&group=user")).await;
    let users = [
        (json!(user), json!(8)),
        (Value::Null, json!(2)),
        (json!(other), json!(1)),
    ];
    assert_eq!(by_key(&all, "/runs"), users);
    assert_eq!(all.body["totals"]["runs"], 11);
    assert_eq!(all.body["totals"]["cost_usd"], 1.375);

    // The seed's own statement says the same.
    let seed = "SELECT jsonb_array_elements_text(unique_visual_elements) as element, COUNT(*) as usage_count
        FROM generated_images WHERE unique_visual_elements IS NOT NULL AND jsonb_typeof(unique_visual_elements) = 'array'
        GROUP BY element ORDER BY usage_count DESC, element LIMIT 10";
    let told = all.body["top_visual_elements"].as_array().unwrap().iter();
    let told: Vec<Vec<Option<String>>> = told
        .map(|used| {
            vec![
                used["element"].as_str().map(str::to_owned),
                Some(used["usage_count"].to_string()),
            ]
        })
        .collect();
    assert_eq!(told.len(), 4);
    assert_eq!(world.rows(seed).await, told);

    let one = service(&world, &format!("{period}&user_id={user}&group=user")).await;
    assert_eq!(by_key(&one, "/runs"), [(json!(user), json!(8))]);
    let nobody = service(&world, &format!("{period}&user_id={}", uuid::Uuid::nil())).await;
    assert_eq!(nobody.body["totals"]["runs"], 0);

    // Every form of the service role, and what is none.
    let supabase = world.stack.supabase().unwrap();
    let legacy = supabase.project().service_role_key();
    let minted = TokenClaims {
        sub: None,
        role: "service_role".to_owned(),
        ..TokenClaims::of(supabase.user())
    };
    let minted = supabase.token(&minted).unwrap();
    let with_subject = TokenClaims {
        role: "service_role".to_owned(),
        ..TokenClaims::of(supabase.user())
    };
    let with_subject = supabase.token(&with_subject).unwrap();
    let secret = supabase.secret_key().to_owned();
    for (token, status) in [
        (&minted, 200),
        (&secret, 200),
        (&with_subject, 401),
        (&legacy, 401),
        (&format!("{secret}x"), 401),
        (&supabase.anon_key(), 401),
    ] {
        let answer = send(world.bearer(Method::GET, period, token)).await;
        assert_eq!(answer.status, status, "{token} {answer:#?}");
    }
    send(world.anonymous(Method::GET, period))
        .await
        .problem_fields(401);

    // No other endpoint takes it, and each says so.
    for (method, path) in [
        (Method::GET, "/ai/generated-images"),
        (
            Method::GET,
            "/ai/generated-images/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e",
        ),
        (Method::GET, "/ai/runs"),
        (Method::POST, "/ai/generate"),
        (Method::GET, "/ai/datasets"),
        (Method::POST, "/api/realtime/token"),
    ] {
        for (token, words) in [(&minted, "service role"), (&secret, "secret key")] {
            let request = world.bearer(method.clone(), path, token);
            let answer = send(request.body(r#"{"prompt": "a cup"}"#)).await;
            answer.problem_fields(401);
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains(words), "{path} {detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_named() {
    let world = World::start(&[]).await;
    let user = world.stack.ready().user.id.clone();
    let own = format!("user_id={user}");
    for (query, field, words) in [
        ("from=yesterday", "from", "2026-02-02"),
        ("to=2026-02-30", "to", "2026-02-02"),
        ("from=2026-02-02T10:30:00", "from", "2026-02-02T10:30:00Z"),
        ("from=2026-02-03&to=2026-02-01", "from", "later"),
        ("from=2126-01-01", "from", "later"),
        ("group=colour", "group", "asset_kind"),
        ("group=", "", ""),
        ("group=user", "group", "service role"),
        (own.as_str(), "user_id", "service role"),
        ("grup=day", "grup", "group?"),
        ("limit=5", "limit", "not a known"),
        ("group=day&group=model", "group", "more than once"),
    ] {
        let answer = world.get(&format!("/ai/analytics?{query}")).await;
        if field.is_empty() {
            assert_eq!(answer.status, 200, "{query} {answer:#?}");
            continue;
        }
        assert_eq!(answer.problem_fields(400), [field], "{query}");
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{query} {message}");
    }
    let answer = service(&world, "/ai/analytics?user_id=7&group=colour").await;
    assert_eq!(answer.problem_fields(400), ["user_id", "group"]);
    let post = send(world.user(Method::POST, "/ai/analytics").body("{}")).await;
    assert!(post.status.is_client_error(), "{post:#?}");
}
