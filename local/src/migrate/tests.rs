use std::fs;

use tempfile::TempDir;

use super::*;
use crate::postgres::for_tests::{MIGRATIONS, TestDatabase};

async fn versions(client: &Client) -> Vec<String> {
    client
        .query(
            "select version from supabase_migrations.schema_migrations order by 1",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, sql) in files {
        fs::write(directory.path().join(name), sql).unwrap();
    }
    directory
}

#[tokio::test]
async fn a_fresh_database_gets_all_migrations_once() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let applied = apply(database.url(), Path::new(MIGRATIONS)).await.unwrap();
    assert!(applied.contains(&"202602021000_datasets.sql".to_owned()));

    let client = open(database.url(), None).await.unwrap();
    let recorded = versions(&client).await;
    assert_eq!(recorded.len(), applied.len());
    let row = client
        .query_one(
            "select name, statements[1] from supabase_migrations.schema_migrations where version = '202602021005'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "generated_images");
    assert!(
        row.get::<_, &str>(1)
            .starts_with("create table if not exists public.generated_images")
    );

    let again = apply(database.url(), Path::new(MIGRATIONS)).await.unwrap();
    assert_eq!(again, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_supabase_cli_applied_is_not_applied_again() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = open(database.url(), None).await.unwrap();
    // As the CLI makes it: with a column of a later version, which the runner must not mind.
    client
        .batch_execute(
            "create schema supabase_migrations;
             create table supabase_migrations.schema_migrations
                 (version text not null primary key, statements text[], name text, created_by text);
             insert into supabase_migrations.schema_migrations (version, name)
                 values ('202601010000', 'a'), ('20260101000000', 'application');",
        )
        .await
        .unwrap();
    let files = directory(&[
        ("202601010000_a.sql", "create table a ();"),
        ("202601010001_b.sql", "create table b ();"),
    ]);

    let applied = apply(database.url(), files.path()).await.unwrap();

    assert_eq!(applied, ["202601010001_b.sql"]);
    assert_eq!(
        versions(&client).await,
        ["202601010000", "20260101000000", "202601010001"]
    );
}

#[tokio::test]
async fn a_history_of_the_first_cli_gets_its_columns() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = open(database.url(), None).await.unwrap();
    client
        .batch_execute(
            "create schema supabase_migrations;
             create table supabase_migrations.schema_migrations (version text not null primary key);",
        )
        .await
        .unwrap();
    let files = directory(&[("202601010000_a.sql", "create table a ();")]);
    assert_eq!(apply(database.url(), files.path()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn four_runners_at_once_apply_everything_once() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let mut runners = Vec::new();
    for _ in 0..4 {
        let url = database.url().to_owned();
        runners.push(tokio::spawn(async move {
            apply(&url, Path::new(MIGRATIONS)).await
        }));
    }
    let mut applied = Vec::new();
    for runner in runners {
        applied.extend(runner.await.unwrap().unwrap());
    }
    applied.sort();
    let names: Vec<String> = file::read_directory(Path::new(MIGRATIONS))
        .unwrap()
        .iter()
        .map(MigrationFile::file_name)
        .collect();
    assert_eq!(applied, names);
}

#[tokio::test]
async fn a_failing_file_leaves_nothing_and_names_its_line() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let cases = [
        // An error with a position.
        ("create table b ();\nselect 'ü',\n  nothing;", ":3:3"),
        // One of a statement that ran: no position, so the statement's line.
        (
            "create table b (x int);\n\n\ninsert into b values (1 / (select 0));",
            ":4",
        ),
        // The file's own commit must not keep what came before the error.
        (
            "begin;\ncreate table b (x int);\ncommit;\nselect 1 / (select 0);",
            ":4",
        ),
        ("create table b (x int);\nrollback;", ":2"),
    ];
    for (sql, place) in cases {
        let files = directory(&[
            ("202601010000_a.sql", "create table if not exists a ();"),
            ("202601010001_b.sql", sql),
        ]);
        let error = apply(database.url(), files.path()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, MigrateError::Failed { .. }), "{text}");
        assert!(
            text.contains(&format!("202601010001_b.sql{place}: ")),
            "{text}"
        );

        let client = open(database.url(), None).await.unwrap();
        assert_eq!(versions(&client).await, ["202601010000"]);
        let row = client
            .query_one("select to_regclass('b') is null", &[])
            .await
            .unwrap();
        assert!(row.get::<_, bool>(0), "{sql}");
    }
}

#[tokio::test]
async fn a_file_does_not_change_the_session_of_the_next() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let files = directory(&[
        (
            "202601010000_a.sql",
            "select set_config('search_path', '', false);",
        ),
        ("202601010001_b.sql", "create table b ();"),
        ("202601010002_c.sql", "-- nothing to do"),
    ]);
    assert_eq!(apply(database.url(), files.path()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn pending_changes_nothing() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = open(database.url(), None).await.unwrap();
    let files = file::read_directory(Path::new(MIGRATIONS)).unwrap();
    let count = files.len();
    assert_eq!(pending(&client, files).await.unwrap().len(), count);
    let row = client
        .query_one("select to_regnamespace('supabase_migrations') is null", &[])
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unreachable() {
    let error = open("postgresql://nobody:secret@127.0.0.1:1/none", None)
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::Unreachable(_)));
    assert!(!error.to_string().contains("secret"), "{error}");
}
