//! Reading: versions, pages, and the id of every request.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, World, send};

/// Seven records and runs of the test user, five of them made in the same microsecond.
async fn fill(world: &World) {
    let user = &world.stack.ready().user.id;
    world
        .rows(&format!(
            "insert into generated_images (user_id, prompt, image_url, created_at)
             select '{user}', 'picture ' || n, 'https://images.example/' || n, timestamptz '2026-02-02 10:30:00.123456Z' + greatest(n - 5, 0) * interval '1 second'
             from generate_series(1, 7) n;
             insert into ai_image_runs (owner_user_id, mode, user_prompt, resolved_prompt, status, options, model, created_at)
             select '{user}', 'generate', 'picture ' || n, 'picture ' || n, 'failed', '{{}}', 'gpt-image-2', timestamptz '2026-02-02 10:30:00.123456Z' + greatest(n - 5, 0) * interval '1 second'
             from generate_series(1, 7) n"
        ))
        .await;
}

fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link");
    let (url, parameters) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(parameters, "; rel=\"next\"");
    Some(url.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_a_gap() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let api_url = world.stack.ready().api_url.clone();
    for (path, list) in [("/ai/generated-images", "images"), ("/ai/runs", "runs")] {
        let all = world.get(path).await;
        assert_eq!(all.status, 200, "{all:#?}");
        assert_eq!(all.body["count"], 7);
        assert_eq!((&all.body["next_cursor"], next(&all)), (&Value::Null, None));
        let ids = |answer: &Answer| {
            let rows = answer.body[list].as_array().unwrap();
            rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
        };
        for limit in [1, 3, 7] {
            let mut seen = Vec::new();
            let mut page = Some(format!("{path}?limit={limit}"));
            while let Some(path) = page {
                let answer = world.get(&path).await;
                assert_eq!(answer.status, 200, "{path} {answer:#?}");
                seen.extend(ids(&answer));
                page = next(&answer).map(|url| url.strip_prefix(&api_url).unwrap().to_owned());
                let cursor = answer.body["next_cursor"].as_str();
                assert_eq!(cursor.is_some(), page.is_some());
                assert!(cursor.is_none_or(|cursor| page.as_ref().unwrap().contains(cursor)));
                // What is made while somebody turns pages moves none of them.
                let user = &world.stack.ready().user.id;
                world.rows(&format!("insert into generated_images (user_id, prompt, image_url) values ('{user}', 'later', 'https://images.example/later')")).await;
            }
            assert_eq!(seen, ids(&all), "{path} by {limit}");
            world
                .rows("delete from generated_images where prompt = 'later'")
                .await;
        }
        let offset = world.get(&format!("{path}?limit=2&offset=6")).await;
        assert_eq!(ids(&offset), ids(&all)[6..]);
        assert_eq!(offset.body["offset"], 6);
    }
    let failed = world.get("/ai/runs?status=failed&limit=5").await;
    assert!(next(&failed).unwrap().contains("status=failed"));
    assert_eq!(world.get("/ai/runs?status=running").await.body["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_caller_has_is_not_sent_again() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let first = async |list: &str, path: &str| {
        let answer = world.get(&format!("{path}?limit=1")).await;
        answer.body[list][0]["id"].as_str().unwrap().to_owned()
    };
    let image = first("images", "/ai/generated-images").await;
    let run = first("runs", "/ai/runs").await;
    for path in [
        "/ai/generated-images".to_owned(),
        format!("/ai/generated-images/{image}"),
        "/ai/runs?limit=2".to_owned(),
        format!("/ai/runs/{run}"),
        format!("/ai/runs/{run}/events"),
    ] {
        let answer = world.get(&path).await;
        let etag = answer.header("etag").to_owned();
        assert!(
            etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10,
            "{etag}"
        );
        assert_eq!(world.get(&path).await.header("etag"), etag, "{path}");
        assert!(
            answer
                .header("vary")
                .to_lowercase()
                .contains("authorization")
        );
        for (tags, status) in [
            (etag.clone(), 304),
            (format!("\"other\", {etag}"), 304),
            (format!("W/{etag}"), 304),
            ("\"other\"".to_owned(), 200),
            ("nonsense".to_owned(), 200),
        ] {
            let request = world
                .user(Method::GET, &path)
                .header("if-none-match", &tags);
            let again = send(request).await;
            assert_eq!(again.status, status, "{path} {tags}");
            assert_eq!(again.header("etag"), etag, "{path} {tags}");
            assert_eq!(again.body.is_null(), status == 304, "{path} {tags}");
            assert_eq!(again.header("link"), answer.header("link"), "{path}");
        }
        // A version is its reader's own: nobody else learns from it that there is something.
        let request = world
            .other_user(Method::GET, &path)
            .header("if-none-match", &etag);
        assert_ne!(send(request).await.status, 304, "{path}");
    }
    world
        .rows(&format!(
            "update generated_images set prompt = 'other' where id = '{image}'"
        ))
        .await;
    let before = world.get(&format!("/ai/generated-images/{image}")).await;
    assert_eq!(before.body["prompt"], "other");

    // Each request has an id of its own, which failures repeat in their body.
    let one = world
        .get("/ai/runs")
        .await
        .header("x-request-id")
        .to_owned();
    let two = world
        .get("/ai/runs")
        .await
        .header("x-request-id")
        .to_owned();
    assert!(!one.is_empty() && one != two, "{one} {two}");
    world.get("/ai/runs/7").await.problem_fields(400);
}

/// Lambda refuses an answer of more than 6 MB, and the caller would see a 502 of the front that names nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_large_says_so_and_a_smaller_one_is_answered() {
    let world = World::start(&[]).await;
    let user = &world.stack.ready().user.id;
    world
        .rows(&format!(
            "insert into generated_images (user_id, prompt, full_prompt, image_url)
             select '{user}', repeat('a ', 15999) || n, repeat('a ', 15999) || n, 'https://images.example/' || n
             from generate_series(1, 150) n;
             insert into ai_image_runs (owner_user_id, mode, user_prompt, resolved_prompt, status, options, model)
             select '{user}', 'generate', repeat('a ', 15999) || n, repeat('a ', 15999) || n, 'failed', '{{}}', 'gpt-image-2'
             from generate_series(1, 150) n"
        ))
        .await;
    for path in ["/ai/generated-images", "/ai/runs"] {
        let whole = world.get(&format!("{path}?limit=150")).await;
        assert_eq!(whole.status, 422, "{}", whole.body);
        assert_eq!(whole.body["code"], "answer-too-large");
        let part = world.get(&format!("{path}?limit=50")).await;
        assert_eq!(part.status, 200, "{}", part.body);
        assert_eq!(part.body["count"], 50);
    }
    let some_fields = world
        .get("/ai/generated-images?limit=150&fields=id,image_url")
        .await;
    assert_eq!(some_fields.body["count"], 150);
}
