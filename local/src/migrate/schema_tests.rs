//! The rules of the tables themselves, on a real Postgres.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{apply, open};
use crate::postgres::for_tests::{MIGRATIONS, TestDatabase};

const ALICE: Uuid = Uuid::from_u128(0xa11ce);
const BOB: Uuid = Uuid::from_u128(0xb0b);

/// Two users with a dataset, an image and a run with an event each, and one image and run of nobody.
async fn populate(client: &Client) {
    client
        .batch_execute(&format!(
            "insert into auth.users (id, email) values ('{ALICE}', 'alice@example.com'), ('{BOB}', 'bob@example.com');
             insert into datasets (id, user_id, name) select id, id, 'brand' from auth.users;
             insert into dataset_images (dataset_id, image_url) select id, 'https://example.com/1.png' from datasets;
             insert into ai_image_runs (id, owner_user_id, mode, user_prompt, dataset_id)
                 select id, id, 'generate', 'a cup', id from auth.users;
             insert into ai_image_runs (id, mode, user_prompt) values ('{}', 'generate', 'a cup');
             insert into ai_image_run_events (run_id, sequence, name, data)
                 select id, 1, 'ai.image.run.started', '{{}}' from ai_image_runs;
             insert into generated_images (id, user_id, prompt, image_url, dataset_id, run_id)
                 select id, id, 'a cup', 'https://example.com/2.png', id, id from auth.users;
             insert into generated_images (prompt) values ('a cup of nobody');
             insert into image_quotas values ('user:{ALICE}', current_date, 1);",
            Uuid::nil()
        ))
        .await
        .unwrap();
}

async fn migrated() -> (TestDatabase, Client) {
    let database = TestDatabase::migrated().await.unwrap();
    let client = open(database.url(), None).await.unwrap();
    (database, client)
}

/// Makes what follows on this connection happen as PostgREST would have it for that caller.
async fn become_caller(client: &Client, role: &str, user: Option<Uuid>) {
    let claims = match user {
        Some(user) => json!({"role": role, "sub": user}),
        None => json!({"role": role}),
    };
    client
        .batch_execute(&format!(
            "reset role; select set_config('request.jwt.claims', '{claims}', false); set role {role};"
        ))
        .await
        .unwrap();
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The SQLSTATE with which `sql` is refused.
async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.unwrap_err();
    error.code().unwrap().code().to_owned()
}

const TABLES: [&str; 5] = [
    "datasets",
    "dataset_images",
    "generated_images",
    "ai_image_runs",
    "ai_image_run_events",
];

#[tokio::test]
async fn users_see_their_own_rows_and_anonymous_callers_none() {
    let (_database, client) = migrated().await;
    populate(&client).await;

    for user in [ALICE, BOB] {
        become_caller(&client, "authenticated", Some(user)).await;
        for table in TABLES {
            let count = number(&client, &format!("select count(*) from {table}")).await;
            assert_eq!(count, 1, "{table}");
        }
        let own = number(
            &client,
            &format!("select count(*) from generated_images where user_id = '{user}'"),
        )
        .await;
        assert_eq!(own, 1);
    }

    become_caller(&client, "authenticated", Some(Uuid::from_u128(1))).await;
    for table in TABLES {
        let count = number(&client, &format!("select count(*) from {table}")).await;
        assert_eq!(count, 0, "{table}");
    }

    become_caller(&client, "anon", None).await;
    for table in TABLES.into_iter().chain(["image_quotas"]) {
        let code = refusal(&client, &format!("select from {table}")).await;
        assert_eq!(code, "42501", "{table}");
    }

    become_caller(&client, "service_role", None).await;
    for (table, expected) in TABLES.into_iter().zip([2, 2, 3, 3, 3]) {
        let count = number(&client, &format!("select count(*) from {table}")).await;
        assert_eq!(count, expected, "{table}");
    }
}

#[tokio::test]
async fn users_write_their_datasets_and_nothing_else() {
    let (_database, client) = migrated().await;
    populate(&client).await;
    become_caller(&client, "authenticated", Some(ALICE)).await;

    client
        .batch_execute(&format!(
            "insert into datasets (user_id, name) values ('{ALICE}', 'second');
             update datasets set brand = 'Coffee Co.';
             insert into dataset_images (dataset_id, image_url) values ('{ALICE}', 'https://example.com/3.png');
             delete from datasets where name = 'second';"
        ))
        .await
        .unwrap();
    for sql in [
        format!("insert into datasets (user_id, name) values ('{BOB}', 'x')"),
        format!("update datasets set user_id = '{BOB}'"),
        format!("insert into dataset_images (dataset_id) values ('{BOB}')"),
        "update generated_images set prompt = 'x'".to_owned(),
        "delete from ai_image_runs".to_owned(),
        format!(
            "insert into ai_image_runs (owner_user_id, mode, user_prompt) values ('{ALICE}', 'edit', 'x')"
        ),
        "delete from ai_image_run_events".to_owned(),
        "select from image_quotas".to_owned(),
        "truncate datasets".to_owned(),
        format!("select await_run_end('{ALICE}', 0)"),
    ] {
        assert_eq!(refusal(&client, &sql).await, "42501", "{sql}");
    }

    client.batch_execute("reset role").await.unwrap();
    let foreign = number(
        &client,
        &format!("select count(*) from datasets where user_id = '{BOB}' and brand is null"),
    )
    .await;
    assert_eq!(foreign, 1);
}

#[tokio::test]
async fn a_deleted_dataset_leaves_its_history_and_a_deleted_user_takes_everything() {
    let (_database, client) = migrated().await;
    populate(&client).await;

    client
        .batch_execute(&format!("delete from datasets where id = '{ALICE}'"))
        .await
        .unwrap();
    for (table, owner) in [
        ("generated_images", "user_id"),
        ("ai_image_runs", "owner_user_id"),
    ] {
        let sql = format!(
            "select count(*) from {table} where {owner} = '{ALICE}' and dataset_id is null"
        );
        assert_eq!(number(&client, &sql).await, 1, "{table}");
    }
    assert_eq!(
        number(&client, "select count(*) from dataset_images").await,
        1
    );

    client
        .batch_execute(&format!("delete from auth.users where id = '{ALICE}'"))
        .await
        .unwrap();
    for (table, expected) in TABLES.into_iter().zip([1, 1, 2, 2, 2]) {
        let count = number(&client, &format!("select count(*) from {table}")).await;
        assert_eq!(count, expected, "{table}");
    }
    // Only what was anonymous from the start has no owner.
    for (table, owner) in [
        ("generated_images", "user_id"),
        ("ai_image_runs", "owner_user_id"),
    ] {
        let sql = format!("select count(*) from {table} where {owner} is null");
        assert_eq!(number(&client, &sql).await, 1, "{table}");
    }
}

#[tokio::test]
async fn a_deleted_image_leaves_what_was_edited_from_it() {
    let (_database, client) = migrated().await;
    populate(&client).await;
    client
        .batch_execute(&format!(
            "insert into generated_images (user_id, prompt, parent_image_id) values ('{ALICE}', 'edited', '{ALICE}');
             delete from generated_images where id = '{ALICE}';"
        ))
        .await
        .unwrap();
    let kept =
        "select count(*) from generated_images where prompt = 'edited' and parent_image_id is null";
    assert_eq!(number(&client, kept).await, 1);
}

#[tokio::test]
async fn an_end_state_never_changes() {
    let (_database, client) = migrated().await;
    for (number, state) in ["succeeded", "failed", "canceled"].into_iter().enumerate() {
        let id = Uuid::from_u128(number as u128 + 1);
        client
            .batch_execute(&format!(
                "insert into ai_image_runs (id, mode, user_prompt) values ('{id}', 'generate', 'x');
                 update ai_image_runs set status = 'running' where id = '{id}';
                 update ai_image_runs set status = '{state}', completed_at = now() where id = '{id}';
                 update ai_image_runs set status = '{state}', cost_usd = 0.04 where id = '{id}';"
            ))
            .await
            .unwrap();
        for other in ["pending", "running", "succeeded", "failed", "canceled"] {
            if other != state {
                let sql = format!("update ai_image_runs set status = '{other}' where id = '{id}'");
                assert_eq!(refusal(&client, &sql).await, "23514", "{state} to {other}");
            }
        }
    }
}

#[tokio::test]
async fn rows_that_make_no_sense_are_refused() {
    let (_database, client) = migrated().await;
    let run = "insert into ai_image_runs (mode, user_prompt";
    for sql in [
        format!("{run}) values ('paint', 'x')"),
        format!("{run}, status) values ('edit', 'x', 'done')"),
        format!("{run}, attempts) values ('edit', 'x', '{{}}')"),
        format!("{run}, options) values ('edit', 'x', '[]')"),
        format!("{run}, completed_at) values ('edit', 'x', now())"),
        format!("{run}, lease_token) values ('edit', 'x', gen_random_uuid())"),
        format!("{run}, quota_state) values ('edit', 'x', 'reserved')"),
        format!("{run}, idempotency_key) values ('edit', 'x', 'key')"),
        "insert into image_quotas values ('user:x', current_date, -1)".to_owned(),
        "insert into generated_images (prompt, width) values ('x', 0)".to_owned(),
    ] {
        assert_eq!(refusal(&client, &sql).await, "23514", "{sql}");
    }

    let with_key =
        "insert into ai_image_runs (mode, user_prompt, caller_key, idempotency_key, request_hash)
        values ('edit', 'x', 'user:x', 'key', 'hash')";
    client.batch_execute(with_key).await.unwrap();
    assert_eq!(refusal(&client, with_key).await, "23505");
    let of_run = format!("insert into generated_images (prompt, run_id) values ('x', '{ALICE}')");
    client.batch_execute(&of_run).await.unwrap();
    assert_eq!(refusal(&client, &of_run).await, "23505");
}

#[tokio::test]
async fn the_analytics_of_the_documentation_run_as_they_are() {
    let (_database, client) = migrated().await;
    client
        .batch_execute(
            r#"insert into generated_images (prompt, unique_visual_elements)
               values ('a', '["wooden tables", "pendant lights"]'), ('b', '["wooden tables"]'), ('c', null), ('d', '[]')"#,
        )
        .await
        .unwrap();
    let rows = client
        .query(
            "SELECT
  jsonb_array_elements_text(unique_visual_elements) as element,
  COUNT(*) as usage_count
FROM generated_images
WHERE unique_visual_elements IS NOT NULL
GROUP BY element
ORDER BY usage_count DESC
LIMIT 10;",
            &[],
        )
        .await
        .unwrap();
    let counts: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        counts,
        [
            ("wooden tables".to_owned(), 2),
            ("pendant lights".to_owned(), 1)
        ]
    );
}

#[tokio::test]
async fn a_waiting_caller_sees_the_end_that_comes_while_it_waits() {
    let (database, client) = migrated().await;
    populate(&client).await;
    let other = open(database.url(), None).await.unwrap();
    let run = Uuid::nil();

    let status = |sql: &'static str, after: f64| {
        let client = &client;
        async move {
            let row = client.query_one(sql, &[&run, &after]).await.unwrap();
            row.get::<_, Option<String>>(0)
        }
    };
    const AWAIT: &str = "select await_run_end($1, $2)";
    assert_eq!(status(AWAIT, 0.0).await.as_deref(), Some("pending"));

    let ending = async {
        // Until the first look is done and the function sleeps.
        while number(
            &other,
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
        )
        .await
            == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        other
            .batch_execute(&format!(
                "update ai_image_runs set status = 'failed', completed_at = now() where id = '{run}'"
            ))
            .await
            .unwrap();
    };
    let (seen, ()) = tokio::join!(status(AWAIT, 1.0), ending);
    assert_eq!(seen.as_deref(), Some("failed"));

    // What has ended is not waited for, and neither is what is not there.
    let started = Instant::now();
    assert_eq!(status(AWAIT, 4.0).await.as_deref(), Some("failed"));
    let none = client
        .query_one(AWAIT, &[&Uuid::from_u128(9), &4.0])
        .await
        .unwrap();
    assert_eq!(none.get::<_, Option<String>>(0), None);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn the_tables_of_an_application_keep_their_rows_and_get_what_they_lack() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = open(database.url(), None).await.unwrap();
    client
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{ALICE}');
             create table datasets (id uuid primary key, user_id uuid, name text);
             grant select on datasets to anon;
             create table generated_images (
                 id uuid primary key default gen_random_uuid(),
                 user_id uuid references auth.users (id) on delete set null,
                 prompt text not null, full_prompt text not null, image_url text not null,
                 dataset_id uuid, style text, aspect_ratio text, quality text, format text, resolution text,
                 reference_images_count integer default 0, unique_visual_elements jsonb,
                 created_at timestamptz default now());
             create index idx_generated_images_user_id on generated_images (user_id);
             create table ai_image_runs (
                 id uuid primary key, owner_user_id uuid, mode text, user_prompt text,
                 status text check (status in ('running', 'succeeded', 'failed')), started_at timestamptz);
             insert into datasets values ('{ALICE}', '{ALICE}', 'old');
             insert into generated_images (user_id, prompt, full_prompt, image_url, dataset_id)
                 values ('{ALICE}', 'old', 'old', 'https://example.com/old.png', '{ALICE}');
             insert into ai_image_runs values ('{ALICE}', '{ALICE}', 'generate', 'old', 'succeeded', '2025-10-22T12:05:00Z');"
        ))
        .await
        .unwrap();

    apply(database.url(), Path::new(MIGRATIONS)).await.unwrap();

    let row = client
        .query_one(
            "select to_jsonb(g) || jsonb_build_object('run_created', r.created_at, 'attempts', r.attempts)
             from generated_images g, ai_image_runs r",
            &[],
        )
        .await
        .unwrap();
    let old: Value = row.get(0);
    assert_eq!(old["prompt"], "old");
    assert_eq!(old["cost_usd"], Value::Null);
    assert_eq!(old["run_created"], "2025-10-22T12:05:00+00:00");
    assert_eq!(old["attempts"], json!([]));
    // What the application lets its own clients do is the application's business.
    let readable = "select has_table_privilege('anon', 'datasets', 'select')::int::bigint";
    assert_eq!(number(&client, readable).await, 1);
    client
        .batch_execute("insert into ai_image_runs (mode, user_prompt, status) values ('edit', 'new', 'pending')")
        .await
        .unwrap();

    // The rules of deletion hold for the old rows too.
    client.batch_execute("delete from datasets").await.unwrap();
    let kept = "select count(*) from generated_images where dataset_id is null";
    assert_eq!(number(&client, kept).await, 1);
    client
        .batch_execute("delete from auth.users")
        .await
        .unwrap();
    assert_eq!(
        number(&client, "select count(*) from generated_images").await,
        0
    );
    assert_eq!(
        number(&client, "select count(*) from ai_image_runs").await,
        1
    );
}

#[tokio::test]
async fn every_table_has_row_level_security_and_every_column_a_known_type() {
    let (_database, client) = migrated().await;
    let open_tables = number(
        &client,
        "select count(*) from pg_class
         where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity",
    )
    .await;
    assert_eq!(open_tables, 0);
    // Types of our own cost a client more round trips, and image bytes belong into storage.
    let odd = number(
        &client,
        "select count(*) from information_schema.columns
         where table_schema = 'public' and data_type in ('USER-DEFINED', 'bytea')",
    )
    .await;
    assert_eq!(odd, 0);
}

#[tokio::test]
async fn the_migrations_can_be_run_again_by_hand() {
    let (_database, client) = migrated().await;
    populate(&client).await;
    for file in super::file::read_directory(Path::new(MIGRATIONS)).unwrap() {
        client
            .batch_execute(&file.sql)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", file.file_name()));
    }
    assert_eq!(
        number(&client, "select count(*) from generated_images").await,
        3
    );
}
