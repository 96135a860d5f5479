//! The Supabase CLI and `cargo migrate` on one database: what either has applied, the other sees as applied.
//!
//! The CLI itself needs Docker, so it is played here: its history table, and what it asks and writes there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use local::{
    migrate::{self, MigrateError, file::MigrationFile},
    postgres::{
        connect,
        for_tests::{MIGRATIONS, TestDatabase},
    },
};
use tokio_postgres::Client;

/// What `supabase db push` sends before anything else.
const CLI_HISTORY: [&str; 4] = [
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
];

fn files() -> Vec<MigrationFile> {
    migrate::file::read_directory(Path::new(MIGRATIONS)).unwrap()
}

/// `supabase db push` of these files.
async fn cli_push(client: &Client, files: &[MigrationFile]) {
    for statement in CLI_HISTORY {
        client.execute(statement, &[]).await.unwrap();
    }
    for file in files {
        client.batch_execute(&file.sql).await.unwrap();
        client
            .execute(
                "insert into supabase_migrations.schema_migrations(version, name, statements) values ($1, $2, $3)",
                &[&file.version, &file.name, &vec![file.sql.as_str()]],
            )
            .await
            .unwrap();
    }
}

/// What `supabase migration list` and `db push` read, and whether that is these files in their order: only then would a push find
/// nothing to do, and no version that it does not know.
async fn cli_sees(client: &Client, files: &[MigrationFile]) -> bool {
    let select = "select version from supabase_migrations.schema_migrations order by version";
    let rows = client.query(select, &[]).await.unwrap();
    let applied: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    let local: Vec<Option<String>> = files.iter().map(|file| file.version.clone()).collect();
    applied == local
}

async fn apply(database: &TestDatabase) -> Result<Vec<String>, MigrateError> {
    migrate::apply(database.url(), Path::new(MIGRATIONS)).await
}

#[tokio::test]
async fn what_the_cli_applied_is_applied() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = connect(database.url()).await.unwrap();
    cli_push(&client, &files()).await;
    assert_eq!(migrate::pending(&client, files()).await.unwrap().len(), 0);
    assert_eq!(apply(&database).await.unwrap(), Vec::<String>::new());
    assert!(cli_sees(&client, &files()).await);
}

#[tokio::test]
async fn what_cargo_migrate_applied_the_cli_sees_as_applied() {
    let database = TestDatabase::unmigrated().await.unwrap();
    assert_eq!(apply(&database).await.unwrap().len(), files().len());
    let client = connect(database.url()).await.unwrap();
    assert!(cli_sees(&client, &files()).await);
    // The CLI's first statements find a table that is as they would have it, and its own next row fits in.
    cli_push(&client, &[]).await;
    let columns = "select string_agg(column_name || ' ' || udt_name || ' ' || is_nullable, ', ' order by ordinal_position)
        from information_schema.columns where table_schema = 'supabase_migrations'";
    let row = client.query_one(columns, &[]).await.unwrap();
    let expected = "version text NO, statements _text YES, name text YES";
    assert_eq!(row.get::<_, String>(0), expected);
    // The rows hold what `supabase migration fetch` makes files of.
    let rows =
        "select name, statements from supabase_migrations.schema_migrations order by version";
    for (row, file) in client.query(rows, &[]).await.unwrap().iter().zip(files()) {
        assert_eq!(row.get::<_, String>("name"), file.name);
        let statements: Vec<String> = row.get("statements");
        assert!(!statements.is_empty());
        for statement in statements {
            assert!(file.sql.contains(&statement), "{statement}");
        }
    }
}

#[tokio::test]
async fn either_goes_on_where_the_other_stopped() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let client = connect(database.url()).await.unwrap();
    let files = files();
    let (first, rest) = files.split_at(2);
    cli_push(&client, first).await;
    let applied = apply(&database).await.unwrap();
    let expected: Vec<String> = rest.iter().map(MigrationFile::file_name).collect();
    assert_eq!(applied, expected);
    assert!(cli_sees(&client, &files).await);
}
