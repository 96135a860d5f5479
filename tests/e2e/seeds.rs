//! What the first version's documents promise, as they have it: their calls, their SQL, their field names.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    javascript::{Script, can_run},
};

/// The fields of an answer of generate, in their order.
const ANSWER: [&str; 11] = [
    "id",
    "image_url",
    "caption",
    "prompt_used",
    "dataset_id",
    "style",
    "aspect_ratio",
    "quality",
    "format",
    "resolution",
    "reference_images_count",
];

/// The fields of a record, in their order.
const RECORD: [&str; 15] = [
    "id",
    "user_id",
    "prompt",
    "full_prompt",
    "image_url",
    "dataset_id",
    "style",
    "aspect_ratio",
    "quality",
    "format",
    "resolution",
    "reference_images_count",
    "unique_visual_elements",
    "created_at",
    "run_id",
];

const MOST_USED_VISUAL_ELEMENTS: &str = "
SELECT 
  jsonb_array_elements_text(unique_visual_elements) as element,
  COUNT(*) as usage_count
FROM generated_images
WHERE unique_visual_elements IS NOT NULL
GROUP BY element
ORDER BY usage_count DESC
LIMIT 10;
";

/// The names of an object's fields in the order they were sent in.
fn in_order(text: &str, expected: &[&str]) {
    let mut rest = text;
    for name in expected {
        let quoted = format!("\"{name}\":");
        let Some((before, after)) = rest.split_once(&quoted) else {
            panic!("{name} is not where it should be in {text}");
        };
        // Nothing but the value of the field before comes in between.
        assert!(!before.contains("\":"), "{before} comes before {name}");
        rest = after;
    }
}

async fn text(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_and_the_sql_are_those_of_the_first_version() {
    let world = World::start(&[]).await;
    let user = &world.stack.ready().user.id;
    let dataset = "0b0b7a52-54a7-4c0e-8f60-7f0a3b7a8d11";
    world
        .rows(&format!(
            "insert into datasets (id, user_id, name, brand, vibe, unique_visual_elements) values
             ('{dataset}', '{user}', 'Coffee', 'Coffee Co', 'cozy', '[\"wooden tables\", \"pendant lights\"]')"
        ))
        .await;
    let body = json!({"prompt": "A modern coffee shop interior", "dataset_id": dataset, "resolution": "1K", "quality": "low", "style": "photorealistic"});
    let made = text(
        world
            .user(Method::POST, "/ai/generate")
            .body(body.to_string()),
    )
    .await;
    in_order(&made, &ANSWER);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["dataset_id"], dataset);
    assert_eq!(made["style"], "photorealistic");
    let prompt = made["prompt_used"].as_str().unwrap();
    for part in [
        "Coffee Co",
        "cozy",
        "wooden tables",
        "pendant lights",
        "A modern coffee shop interior",
    ] {
        assert!(prompt.contains(part), "{prompt}");
    }
    world
        .generate(json!({"prompt": "a red bicycle", "resolution": "1K", "quality": "low"}))
        .await;

    let id = made["id"].as_str().unwrap();
    let record = text(world.user(Method::GET, &format!("/ai/generated-images/{id}"))).await;
    let (before, after) = record
        .split_once("[\"wooden tables\",\"pendant lights\"]")
        .unwrap();
    in_order(&format!("{before}null{after}"), &RECORD);
    let filtered = world
        .get(&format!("/ai/generated-images?dataset_id={dataset}"))
        .await
        .body;
    assert_eq!(
        filtered["images"],
        json!([serde_json::from_str::<Value>(&record).unwrap()])
    );
    let page = text(world.user(Method::GET, "/ai/generated-images?limit=1&offset=1")).await;
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(
        (&page["count"], &page["offset"], &page["limit"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(page["images"][0]["id"], id);

    let usage = world.rows(MOST_USED_VISUAL_ELEMENTS).await;
    let mut usage: Vec<_> = usage
        .into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
        .collect();
    usage.sort();
    let one = |element: &str| (element.to_owned(), "1".to_owned());
    assert_eq!(usage, [one("pendant lights"), one("wooden tables")]);

    // A dataset of somebody else is not there.
    let body = json!({"prompt": "a", "dataset_id": dataset}).to_string();
    for foreign in [
        world.other_user(Method::POST, "/ai/generate"),
        world.anonymous(Method::POST, "/ai/generate"),
    ] {
        let answer = send(foreign.body(body.clone())).await;
        assert_eq!(answer.problem_fields(404), ["dataset_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_another_origin_call_as_documented() {
    let world = World::start(&[]).await;
    check_cors(&world, "*", "http://app.example").await;
    if !can_run(None) {
        return;
    }
    let ready = world.stack.ready();
    let settings = [
        ("API_URL", ready.api_url.as_str()),
        ("TOKEN", &ready.user.token),
        ("DATASET_ID", "0b0b7a52-54a7-4c0e-8f60-7f0a3b7a8d11"),
        ("PROMPT", "a red bicycle"),
    ];
    let (lines, status) = Script::start("fetch.mjs", &settings).rest().await;
    assert_eq!(status, Some(0), "{lines:#?}");
    let result = |example: &str| {
        let is_it = |line: &&Value| line["event"] == "result" && line["example"] == example;
        lines.iter().find(is_it).unwrap()
    };
    let made = result("generate");
    assert_eq!(made["status"], 200);
    let names: Vec<_> = made["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header[0].clone())
        .collect();
    for name in ["preference-applied", "x-request-id", "content-type"] {
        assert!(names.contains(&json!(name)), "{name} {names:?}");
    }
    let history = result("history");
    let image = &history["images"][0];
    assert_eq!(image["id"], made["image"]["id"]);
    let logged = [
        "Prompt: a red bicycle".to_owned(),
        format!("Image: {}", made["image"]["image_url"].as_str().unwrap()),
        format!("Generated: {}", image["created_at"].as_str().unwrap()),
    ];
    assert_eq!(history["logged"], json!(logged));
    assert_eq!(
        (&result("dataset")["status"], &result("dataset")["images"]),
        (&json!(200), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_names_the_origins_that_may_call() {
    let world = World::start(&[(
        "CORS_ALLOW_ORIGINS",
        "https://a.example, http://app.example/",
    )])
    .await;
    check_cors(&world, "http://app.example", "http://app.example").await;
    let answer = send(
        world
            .anonymous(Method::GET, "/ai/generated-images")
            .header("origin", "https://evil.example"),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert!(answer.header("vary").to_lowercase().contains("origin"));
}

/// Every route's preflight, answers and errors say who may read them; those of the gateway itself too.
async fn check_cors(world: &World, allowed: &str, origin: &str) {
    let run = "/ai/runs/5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    let cases = [
        (Method::POST, "/ai/generate", 400),
        (Method::GET, "/ai/generated-images", 200),
        (Method::GET, "/ai/generated-images/7", 400),
        (Method::GET, "/ai/runs", 200),
        (Method::GET, run, 404),
        (Method::GET, &format!("{run}/events"), 404),
        (Method::POST, &format!("{run}/cancel"), 404),
        (Method::POST, "/api/realtime/token", 401),
        (Method::GET, "/api/realtime/token", 401),
        (Method::GET, "/nothing", 404),
        (Method::PUT, "/ai/generate", 404),
    ];
    for (method, path, status) in cases {
        let request = world
            .anonymous(method.clone(), path)
            .header("origin", origin);
        let answer = send(request.body("{}")).await;
        assert_eq!(answer.status, status, "{path} {answer:#?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed,
            "{method} {path}"
        );
        let by_function = path != "/nothing" && method != Method::PUT;
        if path.starts_with("/ai/g") && by_function {
            let exposed = answer
                .header("access-control-expose-headers")
                .to_lowercase();
            for name in [
                "location",
                "link",
                "etag",
                "retry-after",
                "preference-applied",
                "x-request-id",
            ] {
                assert!(exposed.contains(name), "{path} {exposed}");
            }
        }
        assert!(!answer.header("x-request-id").is_empty());
        if !by_function {
            continue;
        }
        let preflight = world
            .anonymous(Method::OPTIONS, path)
            .header("origin", origin)
            .header("access-control-request-method", method.as_str())
            .header(
                "access-control-request-headers",
                "authorization,content-type,idempotency-key,prefer",
            );
        let preflight = Answer::of(preflight.send().await.unwrap()).await;
        assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            allowed,
            "{path}"
        );
        let methods = preflight.header("access-control-allow-methods");
        assert!(methods.contains(method.as_str()), "{path} {methods}");
        let headers = preflight
            .header("access-control-allow-headers")
            .to_lowercase();
        for name in [
            "authorization",
            "content-type",
            "idempotency-key",
            "prefer",
            "if-none-match",
            "last-event-id",
            "cancel-after",
        ] {
            assert!(headers.contains(name), "{path} {headers}");
        }
    }
}
