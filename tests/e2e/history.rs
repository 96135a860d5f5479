//! The history narrowed, searched and turned page by page, over HTTP.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, World, send};

const LIST: &str = "/ai/generated-images";
const DATASET: &str = "0b0b7a52-54a7-4c0e-8f60-7f0a3b7a8d11";

/// Forty records each of the test user, of another and of nobody, an hour apart, every second pair made in the same moment.
async fn fill(world: &World) {
    let ready = world.stack.ready();
    let (user, other) = (&ready.user.id, &ready.other_user.id);
    world
        .rows(&format!(
            "insert into datasets (id, user_id, name) values ('{DATASET}', '{user}', 'brand');
             insert into generated_images (
               user_id, prompt, full_prompt, image_url, dataset_id, style, model, format, aspect_ratio, resolution, asset_kind, mode,
               favorite, created_at)
             select
               owner.id, 'picture ' || n, 'Brand: Coffee Co. SCENE: picture ' || n, 'https://images.example/' || n,
               case when n % 4 = 0 and owner.id = '{user}' then '{DATASET}'::uuid end,
               case when n % 3 = 0 then 'oil & tempera' end,
               case when n % 5 = 0 then 'gpt-image-1' else 'gpt-image-2' end,
               case when n % 6 = 0 then 'jpg' else 'png' end,
               case when n % 7 = 0 then '16:9' else '1:1' end,
               case when n % 8 = 0 then '4K' else '2K' end,
               case when n % 9 = 0 then 'hero' else 'generic' end,
               case when n % 10 = 0 then 'edit' else 'generate' end,
               n % 11 = 0,
               timestamptz '2026-02-02 10:30:00.123456Z' + n / 2 * interval '1 hour'
             from generate_series(1, 40) n, (values ('{user}'::uuid), ('{other}'::uuid), (null)) as owner (id)"
        ))
        .await;
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:#?}");
    let rows = answer.body["images"].as_array().unwrap();
    assert_eq!(answer.body["count"], rows.len());
    rows.iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The path of the next page, as the header has it.
fn next(world: &World, answer: &Answer) -> Option<String> {
    let link = answer.header("link");
    let (url, _) = link.strip_prefix('<')?.split_once('>')?;
    let path = url.strip_prefix(&world.stack.ready().api_url).unwrap();
    Some(path.to_owned())
}

/// Turns all pages.
async fn all_pages(world: &World, path: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = Some(path.to_owned());
    while let Some(path) = page {
        let answer = world.get(&path).await;
        seen.extend(ids(&answer));
        page = next(world, &answer);
        assert_eq!(answer.body["next_cursor"].is_string(), page.is_some());
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_lists_what_it_says_in_both_orders() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let user = world.stack.ready().user.id.clone();
    let cases = [
        ("", "true"),
        (
            "&dataset_id=0b0b7a52-54a7-4c0e-8f60-7f0a3b7a8d11",
            "dataset_id is not null",
        ),
        ("&style=oil%20%26%20tempera", "style is not null"),
        ("&style=oil", "false"),
        ("&model=gpt-image-1", "model = 'gpt-image-1'"),
        ("&format=jpeg", "format = 'jpg'"),
        ("&aspect_ratio=16:9", "aspect_ratio = '16:9'"),
        ("&resolution=4K", "resolution = '4K'"),
        ("&asset_kind=hero", "asset_kind = 'hero'"),
        ("&mode=edit", "mode = 'edit'"),
        ("&favorite=true", "favorite"),
        (
            "&favorite=false&format=png",
            "not favorite and format = 'png'",
        ),
        ("&from=2026-02-03", "created_at >= '2026-02-03'"),
        ("&to=2026-02-02", "created_at < '2026-02-03'"),
        (
            "&from=2026-02-02T11:30:00.123456Z&to=2026-02-02T15:30:00.123456%2B02:00&resolution=2K",
            "created_at >= '2026-02-02 11:30:00.123456Z' and created_at < '2026-02-02 13:30:00.123456Z' and resolution = '2K'",
        ),
        (
            "&q=coffee&style=oil%20%26%20tempera&order=newest",
            "style is not null",
        ),
        ("&q=cofee&model=gpt-image-1&order=newest", "false"),
        (
            "&q=pictrue&model=gpt-image-1&order=newest",
            "model = 'gpt-image-1'",
        ),
    ];
    for (parameters, condition) in cases {
        for (whose, owned) in [
            (Some(()), format!("user_id = '{user}'")),
            (None, "user_id is null".to_owned()),
        ] {
            let sql = format!(
                "select id::text from generated_images where {owned} and {condition} order by created_at desc, id desc"
            );
            let mut expected: Vec<String> = world
                .rows(&sql)
                .await
                .into_iter()
                .map(|row| row[0].clone().unwrap())
                .collect();
            let list = format!("{LIST}?limit=200{parameters}");
            if whose.is_none() {
                let answer = send(world.anonymous(Method::GET, &list)).await;
                assert_eq!(ids(&answer), expected, "{parameters} of nobody");
                continue;
            }
            assert_eq!(ids(&world.get(&list).await), expected, "{parameters}");
            let pages = format!("{LIST}?limit=3{parameters}");
            assert_eq!(all_pages(&world, &pages).await, expected, "{parameters}");
            let offset = world
                .get(&format!("{LIST}?limit=3&offset=2{parameters}"))
                .await;
            let part: Vec<_> = expected.iter().skip(2).take(3).cloned().collect();
            assert_eq!(ids(&offset), part, "{parameters}");
            if !parameters.contains("order") {
                expected.reverse();
                let pages = format!("{LIST}?limit=3{parameters}&order=oldest");
                assert_eq!(
                    all_pages(&world, &pages).await,
                    expected,
                    "{parameters} oldest"
                );
            }
        }
    }
    // Found, and ranked: pages in the order of relevance hold all of it, once.
    let pages = all_pages(&world, &format!("{LIST}?limit=7&q=picture")).await;
    let whole = ids(&world.get(&format!("{LIST}?limit=200&q=picture")).await);
    assert_eq!(pages, whole);
    assert_eq!(pages.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let user = &world.stack.ready().user.id;
    world
        .rows(&format!(
            "insert into ai_image_runs (owner_user_id, mode, user_prompt, status, model)
             select '{user}', 'generate', 'picture', 'failed', 'gpt-image-2' from generate_series(1, 3);
             insert into datasets (user_id, name) values ('{user}', 'second'), ('{user}', 'third')"
        ))
        .await;
    let lists = [
        "/ai/generated-images?limit=1",
        "/ai/generated-images?limit=1&order=oldest",
        "/ai/generated-images?limit=1&format=png",
        "/ai/generated-images?limit=1&model=gpt-image-2",
        "/ai/generated-images?limit=1&from=2026-02-02",
        "/ai/generated-images?limit=1&q=picture",
        "/ai/generated-images?limit=1&q=picture&order=newest",
        "/ai/generated-images?limit=1&q=coffee",
        "/ai/runs?limit=1",
        "/ai/runs?limit=1&status=failed",
        "/ai/datasets?limit=1",
    ];
    let mut cursors = Vec::new();
    for list in lists {
        let answer = world.get(list).await;
        cursors.push(answer.body["next_cursor"].as_str().unwrap().to_owned());
    }
    for (at, list) in lists.iter().enumerate() {
        for (of, cursor) in cursors.iter().enumerate() {
            let answer = world.get(&format!("{list}&cursor={cursor}")).await;
            if at == of {
                assert_eq!(answer.status, 200, "{list} {answer:#?}");
                continue;
            }
            assert_eq!(
                answer.problem_fields(400),
                ["cursor"],
                "{list} {}",
                lists[of]
            );
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains("another list"), "{detail}");
        }
    }
    // How long a page is, and what it shows of a record, makes no other list.
    let path = format!(
        "{}&fields=id&cursor={}",
        lists[0].replace("limit=1", "limit=5"),
        cursors[0]
    );
    assert_eq!(ids(&world.get(&path).await).len(), 5);
    // Nor is it good for somebody else.
    let path = format!("{}&cursor={}", lists[0], cursors[0]);
    for request in [
        world.other_user(Method::GET, &path),
        world.anonymous(Method::GET, &path),
    ] {
        assert_eq!(send(request).await.problem_fields(400), ["cursor"]);
    }
    // A changed letter makes it no cursor at all.
    let changed = cursors[0].replace(&cursors[0][..1], "_");
    let answer = world.get(&format!("{}&cursor={changed}", lists[0])).await;
    assert_eq!(answer.problem_fields(400), ["cursor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_fields_that_are_asked_for_are_shown() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let whole = world.get(&format!("{LIST}?limit=2")).await;
    let some = world
        .get(&format!("{LIST}?limit=2&fields=favorite,image_url,id"))
        .await;
    for (whole, some) in whole.body["images"]
        .as_array()
        .unwrap()
        .iter()
        .zip(some.body["images"].as_array().unwrap())
    {
        assert_eq!(some.as_object().unwrap().len(), 3);
        for (field, value) in some.as_object().unwrap() {
            assert_eq!(*value, whole[field], "{field}");
        }
    }
    assert_ne!(some.header("etag"), whole.header("etag"));
    let next = next(&world, &some).unwrap();
    let following = world.get(&next).await;
    assert_eq!(following.body["images"][0].as_object().unwrap().len(), 3);
    let wrong = world.get(&format!("{LIST}?fields=id,imageurl")).await;
    assert_eq!(wrong.problem_fields(400), ["fields"]);
    let detail = wrong.body["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean image_url?"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_filter_or_a_search_is_named() {
    let world = World::start(&[]).await;
    fill(&world).await;
    let long = format!("q={}", "a".repeat(10_000));
    for (parameters, field) in [
        ("colour=red", "colour"),
        ("format=gif", "format"),
        ("aspect_ratio=2:1", "aspect_ratio"),
        ("resolution=8K", "resolution"),
        ("mode=draw", "mode"),
        ("favorite=yes", "favorite"),
        ("model=gpt%20image", "model"),
        ("asset_kind=Hero", "asset_kind"),
        ("style=%00", "style"),
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-02-03&to=2026-02-01", "from"),
        ("order=best", "order"),
        ("order=relevance", "order"),
        ("q=%20", "q"),
        ("q=a%00b", "q"),
        (&long, "q"),
        ("fields=,", "fields"),
    ] {
        let answer = world.get(&format!("{LIST}?{parameters}")).await;
        assert_eq!(answer.problem_fields(400)[0], field, "{parameters}");
    }
    // Odd, and no mistake.
    for q in [
        "...",
        "%22",
        "%22%22",
        "-",
        "--",
        "or",
        "or%20or",
        "%27%3B--",
        "%26%7C!%3A*()%3C-%3E",
        "%5C",
        "-picture",
        "%F0%9F%9A%B2",
        "the",
        "a%E2%80%8Bb",
        "%25%5F",
    ] {
        for order in ["relevance", "newest", "oldest"] {
            let answer = world.get(&format!("{LIST}?q={q}&order={order}")).await;
            assert_eq!(answer.status, 200, "{q} {answer:#?}");
            let none = Value::Array(Vec::new());
            assert_eq!(answer.body["images"], none, "{q}");
        }
    }
    // Only a search that says what must be absent has everything else.
    let without = world.get(&format!("{LIST}?q=-zeppelin")).await;
    assert_eq!(ids(&without).len(), 40);
}
