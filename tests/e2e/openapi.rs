//! That the running functions keep to `docs/openapi.yaml`. The harness holds every answer of every test against it; the tests here ask each
//! endpoint for each kind of success, and for the names that it knows.

use std::{collections::BTreeSet, sync::LazyLock};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tests::openapi::{Answered, Document, Operation};
use uuid::Uuid;

use crate::harness::{Answer, World, send};

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::read().unwrap());

/// What an answer has that the document does not. Nothing where the request was none to an endpoint.
pub(crate) fn mistakes(method: &str, path: &str, answer: &Answer) -> Vec<String> {
    let headers: Map<String, Value> = answer
        .headers
        .keys()
        .map(|name| (name.to_string(), answer.header(name.as_str()).into()))
        .collect();
    let answered = Answered {
        status: answer.status.as_u16(),
        headers: &headers,
        body: &answer.body,
    };
    let operation = DOCUMENT.operation(method, path);
    operation.map_or_else(Vec::new, |operation| operation.mistakes(answered))
}

/// A request by the test user that is right but for what the caller adds: ids are those of nothing.
fn request(world: &World, operation: &Operation<'_>, query: &str) -> reqwest::RequestBuilder {
    let nothing = Uuid::nil().to_string();
    let path: Vec<&str> = operation
        .path
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => &nothing,
            false => segment,
        })
        .collect();
    let method = operation.method.parse().unwrap();
    world.user(method, &format!("{}{query}", path.join("/")))
}

/// What the answer says is accepted in place of the field `nonsense`.
fn known(answer: &Answer) -> BTreeSet<&str> {
    answer.problem_fields(400);
    let errors = answer.body["errors"].as_array().unwrap();
    let error = errors.iter().find(|error| error["field"] == "nonsense");
    let allowed = error.unwrap_or_else(|| panic!("{answer:#?}"))["allowed"].as_array();
    allowed
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_knows_the_fields_and_parameters_of_the_document_and_no_others() {
    let world = World::start(&[]).await;
    for operation in DOCUMENT.operations() {
        // Ably's client adds parameters of its own.
        if operation.function() != "realtime-token" {
            let answer = send(request(&world, &operation, "?nonsense=1")).await;
            let written: BTreeSet<&str> = operation.parameters("query").into_iter().collect();
            assert_eq!(
                known(&answer),
                written,
                "{} {}",
                operation.method,
                operation.path
            );
        }
        let Some(schema) = operation.json_body() else {
            continue;
        };
        let answer = send(request(&world, &operation, "").body(r#"{"nonsense": 1}"#)).await;
        let fields = schema["properties"].as_object().unwrap();
        let written: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(
            known(&answer),
            written,
            "{} {}",
            operation.method,
            operation.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_succeeds_as_the_document_says() {
    let world = World::start(&[]).await;
    let mut seen = Seen::default();
    let image = seen
        .post(
            &world,
            "/ai/generate",
            json!({"prompt": "a lighthouse", "resolution": "1K"}),
        )
        .await;
    let (image_id, run_id) = (text(&image, "id"), text(&image, "run_id"));
    let dataset = seen
        .post(
            &world,
            "/ai/datasets",
            json!({"name": "Coffee Co", "unique_visual_elements": ["a red door"]}),
        )
        .await;
    let dataset = format!("/ai/datasets/{}", text(&dataset, "id"));
    let images = format!("{dataset}/images");
    let by_url = json!({"image_url": image["image_url"]});
    let reference = seen.post(&world, &images, by_url.clone()).await;
    let upload = json!({"content_type": "image/png", "bytes": 70});
    seen.post(&world, &images, upload).await;
    let edit = json!({"instruction": "add a boat", "image_id": image_id, "dataset_id": dataset.rsplit('/').next(), "resolution": "1K"});
    seen.post(&world, "/ai/edit", edit.clone()).await;
    let again = format!("/ai/generated-images/{image_id}/regenerate");
    let other = seen.post(&world, &again, json!({})).await;
    let favorite = format!("/ai/generated-images/{image_id}/favorite");
    for method in [Method::PUT, Method::DELETE] {
        seen.answer(&favorite, world.user(method, &favorite)).await;
    }
    seen.post(&world, "/api/realtime/token", json!({})).await;
    for path in [
        "/ai/generated-images?limit=1",
        &format!("/ai/generated-images/{image_id}?lineage=true"),
        "/ai/runs?limit=1",
        &format!("/ai/runs/{run_id}"),
        &format!("/ai/runs/{run_id}/events"),
        "/ai/generated-images/export",
        "/ai/analytics?group=model",
        "/ai/datasets",
        &dataset,
        &images,
        "/api/realtime/token",
    ] {
        seen.get(&world, path).await;
    }
    let stream = |after: &str| {
        let request = world.user(
            Method::GET,
            &format!("/ai/runs/{run_id}/events?after={after}"),
        );
        request.header("accept", "text/event-stream")
    };
    seen.answer("/ai/runs/{run_id}/events", stream("0")).await;
    seen.answer("/ai/runs/{run_id}/events", stream("99")).await;

    // Runs that stay as they are: the vendor takes long, and then there is no worker left.
    world
        .openai(json!({"script": [{"delay_ms": 60_000}]}))
        .await;
    for (path, body) in [
        (
            "/ai/generate",
            json!({"prompt": "a lake", "resolution": "1K"}),
        ),
        ("/ai/edit", edit),
        (&again, json!({"quality": "low"})),
    ] {
        let request = world
            .user(Method::POST, path)
            .header("prefer", "respond-async");
        let run = seen.answer(path, request.body(body.to_string())).await;
        let run = format!("/ai/runs/{}", text(&run, "run_id"));
        let started =
            || async { (world.get(&run).await.body["status"] == "running").then_some(()) };
        if path == "/ai/generate" {
            world.until("the run's start", started).await;
        }
        seen.post(&world, &format!("{run}/cancel"), json!({})).await;
    }

    let change = world
        .user(Method::PATCH, &dataset)
        .body(r#"{"vibe": "busy"}"#);
    seen.answer(&dataset, change).await;
    let one = format!("{images}/{}", text(&reference, "id"));
    let other = format!("/ai/generated-images/{}", text(&other, "id"));
    for path in [&one, &images, &dataset, &other] {
        seen.answer(path, world.user(Method::DELETE, path)).await;
    }
    let missing = seen.missing();
    assert!(missing.is_empty(), "not answered with: {missing:#?}");
}

/// What has been answered.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    async fn answer(&mut self, path: &str, request: reqwest::RequestBuilder) -> Value {
        let (client, request) = request.build_split();
        let method = request.as_ref().unwrap().method().to_string();
        let request = reqwest::RequestBuilder::from_parts(client, request.unwrap());
        let answer = send(request).await;
        let operation = DOCUMENT.operation(&method, path.split('?').next().unwrap());
        let template = operation.unwrap().path;
        self.0
            .insert(format!("{method} {template} {}", answer.status.as_u16()));
        answer.body
    }

    async fn post(&mut self, world: &World, path: &str, body: Value) -> Value {
        let request = world.user(Method::POST, path).body(body.to_string());
        self.answer(path, request).await
    }

    /// Gets twice where the answer has a version.
    async fn get(&mut self, world: &World, path: &str) {
        let first = send(world.user(Method::GET, path)).await;
        self.answer(path, world.user(Method::GET, path)).await;
        let etag = first.header("etag");
        if !etag.is_empty() {
            let again = world.user(Method::GET, path).header("if-none-match", etag);
            self.answer(path, again).await;
        }
    }

    /// The kinds of success in the document that have not been seen.
    fn missing(&self) -> Vec<String> {
        let operations = DOCUMENT.operations();
        let all = operations.iter().flat_map(|operation| {
            let statuses = operation.statuses().into_iter();
            let good = statuses.filter(|status| status.starts_with(['2', '3']));
            good.map(|status| format!("{} {} {status}", operation.method, operation.path))
        });
        all.filter(|kind| !self.0.contains(kind)).collect()
    }
}

fn text(answer: &Value, field: &str) -> String {
    let text = answer[field].as_str();
    text.unwrap_or_else(|| panic!("{field} {answer:#}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_application_left_empty_is_shown_as_null() {
    let world = World::start(&[]).await;
    let user = world.stack.ready().user.id.clone();
    let mut paths = Vec::new();
    for (table, owner, needed, value, path) in [
        (
            "generated_images",
            "user_id",
            "prompt",
            "'a lake'",
            "/ai/generated-images",
        ),
        (
            "ai_image_runs",
            "owner_user_id",
            "mode, user_prompt",
            "'generate', 'a lake'",
            "/ai/runs",
        ),
        ("datasets", "user_id", "name", "'Coffee Co'", "/ai/datasets"),
    ] {
        let columns = format!(
            "select string_agg(format('%I = null', column_name), ', ') from information_schema.columns
             where table_schema = 'public' and table_name = '{table}' and is_nullable = 'YES' and is_generated = 'NEVER'
               and column_name <> '{owner}'"
        );
        let columns = world.value(&columns).await.unwrap();
        let insert = format!(
            "insert into {table} ({owner}, {needed}) values ('{user}', {value}) returning id"
        );
        let id = world.value(&insert).await.unwrap();
        world
            .rows(&format!("update {table} set {columns} where id = '{id}'"))
            .await;
        paths.extend([path.to_owned(), format!("{path}/{id}")]);
        if table == "datasets" {
            let insert = format!("insert into dataset_images (dataset_id) values ('{id}')");
            world.rows(&insert).await;
            paths.push(format!("{path}/{id}/images"));
        }
    }
    for path in paths {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 200, "{path} {answer:#?}");
    }
}
