//! The figures of many runs: the statement that is sent reads the indexes made for it and neither of the tables.
//! `DARKROOM_PLAN_ROWS` says how many runs; a million take some minutes to make.

#![expect(clippy::unwrap_used, reason = "a test")]

use local::postgres::{self, for_tests::TestDatabase};
use serde_json::Value;
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

const STATEMENT: &str = include_str!("../../shared/src/postgres/analytics.sql");
/// Enough for plans to differ from those of a small table, and made within seconds.
const DEFAULT_ROWS: u32 = 20_000;
/// The owner of a hundredth of all runs.
const OWNER: Uuid = Uuid::from_u128(1);

/// Runs of a month by a hundred owners, nearly all of them over, and the images they made, two thirds of them of a dataset.
const FILL: &str = "
    insert into auth.users (id, email) select lpad(to_hex(n), 32, '0')::uuid, n || '@example.com' from generate_series(1, 100) n;
    insert into ai_image_runs (id, owner_user_id, mode, asset_kind, user_prompt, resolved_prompt, model, style_preset, status, created_at, completed_at, cost_usd, attempts)
    select gen_random_uuid(), lpad(to_hex(1 + n % 100), 32, '0')::uuid, 'generate', (array['generic', 'avatar'])[1 + n % 2],
        repeat('a lighthouse at dusk ', 20), repeat('a lighthouse at dusk ', 40), 'gpt-image-2', (array['oil', 'watercolor', null])[1 + n % 3],
        state.status, state.created_at, case when state.status <> 'running' then state.created_at + (5000 + n * 7919::bigint % 60000) * interval '1 ms' end,
        case when state.status <> 'running' then 0.05 end,
        jsonb_build_array(jsonb_build_object('attempt', 1, 'model', 'gpt-image-2', 'status', state.status, 'billed', 'yes', 'requestId', md5(n::text),
            'usage', jsonb_build_object('input_tokens', 50 + n % 30, 'output_tokens', 1000, 'total_tokens', 1050 + n % 30,
                'input_tokens_details', jsonb_build_object('text_tokens', 50 + n % 30, 'image_tokens', 0))))
    from generate_series(1, {rows}) n
    cross join lateral (
        select case when n % 1000 = 0 then 'running' when n % 20 = 7 then 'failed' else 'succeeded' end as status,
            timestamptz '2026-11-30 00:00Z' - n * interval '30 days' / {rows} as created_at
    ) state;
    insert into generated_images (id, user_id, prompt, full_prompt, image_url, style, created_at, unique_visual_elements)
    select gen_random_uuid(), owner_user_id, user_prompt, resolved_prompt, 'https://images.example/' || id, style_preset, created_at,
        case when style_preset is not null then jsonb_build_array('wooden tables', 'element ' || length(id::text) || left(id::text, 1)) end
    from ai_image_runs where status = 'succeeded';
";

async fn plan(client: &Client, owner: Option<Uuid>) -> Value {
    let sql = format!("explain (analyze, buffers, format json) {STATEMENT}");
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let (from, to) = (time("2026-10-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
    let rows = client
        .query_typed(
            &sql,
            &[
                (&owner, Type::UUID),
                (&owner.is_none(), Type::BOOL),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
                (&"model", Type::TEXT),
                (&1000_i64, Type::INT8),
                (&10_i64, Type::INT8),
            ],
        )
        .await
        .unwrap();
    rows[0].get::<_, Value>(0)[0].clone()
}

/// How the tables are read: the kind of scan, the index, and the rows that were found.
fn scans(node: &Value, found: &mut Vec<(String, String, u64)>) {
    if node["Relation Name"].is_string() {
        let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
        let count = |name: &str| node[name].as_u64().unwrap_or(0);
        let rows = count("Actual Rows") * count("Actual Loops");
        found.push((text("Node Type"), text("Index Name"), rows));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        scans(child, found);
    }
}

#[tokio::test]
async fn figures_are_read_off_indexes_alone() {
    let database = TestDatabase::migrated().await.unwrap();
    let client = postgres::connect(database.url()).await.unwrap();
    let asked = std::env::var("DARKROOM_PLAN_ROWS").ok();
    let rows: u32 = asked.map_or(DEFAULT_ROWS, |text| text.parse().unwrap());
    let fill = FILL.replace("{rows}", &rows.to_string());
    client.batch_execute(&fill).await.unwrap();
    // As tables are that grew: visible to index-only scans, and known to the planner.
    for table in ["ai_image_runs", "generated_images"] {
        let vacuum = format!("vacuum analyze {table}");
        client.batch_execute(&vacuum).await.unwrap();
    }

    for (whose, owner, runs) in [
        ("an owner", Some(OWNER), rows / 100),
        ("everybody", None, rows),
    ] {
        let plan = plan(&client, owner).await;
        let mut found = Vec::new();
        scans(&plan["Plan"], &mut found);
        for (kind, index, read) in &found {
            let is_whole_index = kind == "Index Only Scan"
                && ["idx_ai_image_runs_figures", "idx_generated_images_elements"]
                    .contains(&index.as_str());
            // What has not ended, and elements too long for an index, are few, and read from the tables.
            let is_few = *read <= u64::from(rows / 1000);
            assert!(
                is_whole_index || (is_few && kind != "Seq Scan"),
                "{whose}: {kind} {index} {read}: {plan:#}"
            );
        }
        let pages = |name: &str| plan["Plan"][name].as_u64().unwrap();
        let pages = pages("Shared Hit Blocks") + pages("Shared Read Blocks");
        // Some 40 entries of the index stand on a page, fewer where owners take turns, and it is read twice. Out of the table it would be a
        // page for each run.
        assert!(
            pages < u64::from(runs) / 4 + 100,
            "{whose}: {pages} pages for {runs} runs"
        );
        println!(
            "{whose}: {runs} runs, {pages} pages, {:.1} ms",
            plan["Execution Time"].as_f64().unwrap()
        );
    }
}
