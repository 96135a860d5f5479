//! Through Supabase's transaction pooler, or what behaves like it: migrations, every statement, the main job.

use std::time::Duration;

use local::{
    migrate,
    postgres::{
        connect,
        for_tests::{MIGRATIONS, TestDatabase},
    },
    stack::{DatabaseChoice, StackOptions},
};
use reqwest::Method;
use serde_json::json;
use shared::{
    postgres::{Database, DatabaseOptions},
    telemetry::chain,
};
use tokio::task::JoinSet;
use tokio_postgres::{error::SqlState, types::Type};

use crate::{
    certificates::Authority,
    harness::{World, send},
    pgbouncer::{PgBouncer, SESSIONS},
};

const INSTANCES: i64 = 8;
const STATEMENTS: i64 = 100;

fn database(url: &str, connections: usize) -> Database {
    let options = DatabaseOptions {
        max_connections: connections,
        // Not how fast it is, but whether it works.
        statement_timeout: Duration::from_secs(60),
        ..DatabaseOptions::new(url.into(), "pooler-test")
    };
    Database::new(&options).unwrap()
}

/// Without this the tests below would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn it_forgets_what_was_prepared() {
    let plain = TestDatabase::unmigrated().await.unwrap();
    let Some(pooler) = PgBouncer::start(plain.url(), None).await else {
        return;
    };
    let first = connect(&pooler.url(plain.url())).await.unwrap();
    let prepared = first.prepare("select 1").await.unwrap();
    // The only session so far is somebody else's for as long as this lasts.
    let second = connect(&pooler.url(plain.url())).await.unwrap();
    second.batch_execute("begin").await.unwrap();
    let error = first.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hundred_statements_at_once_are_answered_each_with_its_own() {
    let plain = TestDatabase::unmigrated().await.unwrap();
    let Some(pooler) = PgBouncer::start(plain.url(), None).await else {
        return;
    };
    let url = pooler.url(plain.url()) + "&connect_timeout=60";
    let create = "create table written (number bigint primary key)";
    database(&url, 1).write(create, &[]).await.unwrap();
    let mut tasks = JoinSet::new();
    for instance in 0..INSTANCES {
        let database = database(&url, 10);
        for statement in 0..STATEMENTS {
            let database = database.clone();
            let number = instance * STATEMENTS + statement;
            tasks.spawn(async move { read_and_write(&database, number).await });
        }
    }
    tasks.join_all().await;
    let count = "select count(*) as count from written";
    let rows = database(&url, 1).read(count, &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, i64>("count"), INSTANCES * STATEMENTS);
}

async fn read_and_write(database: &Database, number: i64) {
    let double = "select $1 * 2 as double, $2 || '!' as text";
    let text = number.to_string();
    let params = [
        (
            &number as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::INT8,
        ),
        (&text, Type::TEXT),
    ];
    let rows = database.read(double, &params).await.unwrap();
    assert_eq!(rows[0].get::<_, i64>("double"), number * 2);
    assert_eq!(rows[0].get::<_, String>("text"), format!("{number}!"));
    let insert = "insert into written (number) values ($1) returning number";
    let rows = database
        .write(insert, &[(&number, Type::INT8)])
        .await
        .unwrap();
    assert_eq!(rows[0].get::<_, i64>("number"), number);
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_as_people_paste_them() {
    let plain = TestDatabase::unmigrated().await.unwrap();
    let Some(authority) = Authority::new("darkroom") else {
        return;
    };
    let Some(pooler) = PgBouncer::start(plain.url(), Some(&authority)).await else {
        return;
    };
    let url = pooler.url(plain.url());
    let ca = format!("sslrootcert={}", authority.certificate().display());
    let read = async |url: String| database(&url, 2).read("select 1", &[]).await;
    for url in [
        format!("{url}&sslmode=verify-full&{ca}"),
        format!("{url}&connection_limit=1&pool_timeout=20&sslmode=require&{ca}"),
        // The password with what may stand there as it is.
        format!("{url}&sslmode=verify-ca&{ca}").replace("p%40ss%2Fw%3Ard", "p@ss%2Fw:rd"),
        format!("  {url}&sslmode=VERIFY-FULL&{ca}\n").replace("postgresql://", "postgres://"),
    ] {
        read(url.clone())
            .await
            .unwrap_or_else(|error| panic!("{url}: {}", chain(&error)));
    }
    let wrong = format!("{url}&sslmode=require&{ca}").replace("p%40ss", "pass");
    let error = chain(&read(wrong).await.unwrap_err());
    assert!(
        error.contains("SASL") || error.contains("password"),
        "{error}"
    );
    assert!(!error.contains("w:rd"), "{error}");
    // On the loopback interface no mode means no TLS, and this pooler insists on it.
    let error = chain(&read(url).await.unwrap_err());
    assert!(error.contains("required"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_through_it() {
    let plain = TestDatabase::unmigrated().await.unwrap();
    let Some(authority) = Authority::new("darkroom") else {
        return;
    };
    let Some(pooler) = PgBouncer::start(plain.url(), Some(&authority)).await else {
        return;
    };
    let pooled = format!("{}&sslmode=verify-full", pooler.url(plain.url()));
    let with_ca = format!("{pooled}&sslrootcert={}", authority.certificate().display());
    let applied = migrate::apply(&with_ca, MIGRATIONS.as_ref()).await.unwrap();
    assert!(applied.len() > 5, "{applied:?}");
    let again = migrate::apply(&with_ca, MIGRATIONS.as_ref()).await.unwrap();
    assert_eq!(again, Vec::<String>::new());

    let settings = [
        ("DATABASE_URL", pooled.as_str()),
        ("DATABASE_CA_CERT", &authority.on_one_line()),
    ];
    let url = plain.url().to_owned();
    let world = World::start_with(&settings, Some(plain), |options: &mut StackOptions| {
        options.database = DatabaseChoice::Migrated(url);
    })
    .await;
    images_are_made_and_listed(&world).await;
    runs_are_canceled_and_swept(&world).await;
    datasets_are_kept(&world).await;
    images_are_changed_and_added_up(&world).await;

    // Many instances, few sessions: they did go through the pooler.
    let sessions = world
        .value("select count(*) from pg_stat_activity where application_name like 'darkroom-%' and application_name <> 'darkroom-local' and datname = current_database()")
        .await;
    let sessions: usize = sessions.unwrap().parse().unwrap();
    assert!((1..=SESSIONS).contains(&sessions), "{sessions}");
    let logs = world.logs() + &pooler.log();
    assert!(!logs.contains("prepared statement"), "{logs}");
}

async fn images_are_made_and_listed(world: &World) {
    let body = json!({"prompt": "a weir", "resolution": "1K"}).to_string();
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let request = world.user(Method::POST, "/ai/generate");
        callers.spawn(send(request.body(body.clone())));
    }
    for answer in callers.join_all().await {
        assert_eq!(answer.status, 200, "{answer:#?}");
        let (id, run) = (&answer.body["id"], &answer.body["run_id"]);
        let path = format!("/ai/generated-images/{}", id.as_str().unwrap());
        assert_eq!(world.get(&path).await.body["id"], *id);
        let run = format!("/ai/runs/{}", run.as_str().unwrap());
        assert_eq!(world.get(&run).await.body["status"], "succeeded");
        let events = world.get(&format!("{run}/events")).await.body;
        assert_eq!(events["events"].as_array().unwrap().len(), 4, "{events:#}");
    }
    assert_eq!(world.get("/ai/generated-images").await.body["count"], 8);

    let twice = || {
        let request = world.user(Method::POST, "/ai/generate");
        let request = request.header("idempotency-key", "once");
        send(request.body(body.clone()))
    };
    let (one, other) = tokio::join!(twice(), twice());
    assert_eq!(
        one.body["run_id"], other.body["run_id"],
        "{one:#?} {other:#?}"
    );
}

async fn runs_are_canceled_and_swept(world: &World) {
    let run = world.begin_unsent(json!({"prompt": "a lock gate"})).await;
    let cancel = world.user(Method::POST, &format!("/ai/runs/{run}/cancel"));
    let answer = send(cancel).await;
    assert_eq!(answer.body["status"], "canceled", "{answer:#?}");
    let swept = world.sweep().await;
    assert_eq!(swept["errors"], json!([]), "{swept:#}");
}

async fn datasets_are_kept(world: &World) {
    let add = world.user(Method::POST, "/ai/datasets");
    let added = send(add.body(json!({"name": "harbour"}).to_string())).await;
    assert_eq!(added.status, 201, "{added:#?}");
    let id = added.body["id"].as_str().unwrap();
    let answer = world
        .generate(json!({"prompt": "a pier", "dataset_id": id, "resolution": "1K"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let listed = format!("/ai/generated-images?dataset_id={id}");
    assert_eq!(world.get(&listed).await.body["count"], 1);
}

async fn images_are_changed_and_added_up(world: &World) {
    let image = &world.get("/ai/generated-images?limit=1").await.body["images"][0];
    let id = image["id"].as_str().unwrap();
    let path = format!("/ai/generated-images/{id}");
    let edit = json!({"instruction": "at night", "image_id": id}).to_string();
    for (method, path, body) in [
        (Method::POST, "/ai/edit".to_owned(), edit.as_str()),
        (Method::POST, format!("{path}/regenerate"), "{}"),
        (Method::PUT, format!("{path}/favorite"), ""),
        (Method::DELETE, format!("{path}/favorite"), ""),
        (Method::GET, format!("{path}?lineage=true"), ""),
        (Method::GET, "/ai/runs".to_owned(), ""),
        (Method::GET, "/ai/analytics".to_owned(), ""),
        (Method::POST, "/api/realtime/token".to_owned(), ""),
        (Method::DELETE, path, ""),
    ] {
        let request = world.user(method.clone(), &path).body(body.to_owned());
        let answer = send(request).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:#?}");
    }
    let left = world.get("/ai/generated-images").await.body["count"].clone();
    let export = world.user(Method::GET, "/ai/generated-images/export?format=ndjson");
    let export = export.send().await.unwrap().text().await.unwrap();
    assert_eq!(left, export.lines().count(), "{export}");
}
