use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// Set for the process that is to die holding a server.
const DIRECTORY_VARIABLE: &str = "DARKROOM_TEST_SERVER_DIRECTORY";

fn options(directory: &Path) -> PostgresOptions {
    PostgresOptions {
        data_dir: directory.to_owned(),
        durable: false,
        port: None,
    }
}

async fn rows(url: &str) -> i64 {
    let client = connect(url).await.unwrap();
    let row = client
        .query_one("select count(*) from kept", &[])
        .await
        .unwrap();
    row.get(0)
}

async fn until_gone(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while connect(url).await.is_ok() {
        assert!(Instant::now() < deadline, "the server is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_keeps_its_data_over_stops_crashes_and_new_starts() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    let url = server.ready_database("kept").await.unwrap();
    execute(
        &url,
        "create table kept (); insert into kept default values",
    )
    .await
    .unwrap();

    server.restart().await.unwrap();
    assert_eq!(rows(&url).await, 1);

    server.stop().await.unwrap();
    until_gone(&url).await;
    server.resume().await.unwrap();
    assert_eq!(rows(&url).await, 1);

    drop(server);
    until_gone(&url).await;
    let server = Postgres::start(options(directory.path())).await.unwrap();
    let url = server.ready_database("kept").await.unwrap();
    assert_eq!(rows(&url).await, 1);
}

#[tokio::test]
async fn a_server_that_runs_already_is_used_and_not_stopped() {
    let directory = tempfile::tempdir().unwrap();
    // Both at once: one starts the server, the other finds it.
    let (one, other) = tokio::join!(
        Postgres::start(options(directory.path())),
        Postgres::start(options(directory.path()))
    );
    let (mut one, mut other) = (one.unwrap(), other.unwrap());
    if matches!(one.source, Source::Shared { .. }) {
        std::mem::swap(&mut one, &mut other);
    }
    assert!(matches!(other.source, Source::Shared { .. }));
    assert_eq!(one.url("postgres"), other.url("postgres"));

    other.stop().await.unwrap();
    assert!(other.restart().await.is_err());
    drop(other);
    one.create_database("still_there").await.unwrap();
}

#[tokio::test]
async fn what_a_crash_leaves_behind_does_not_hinder_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    let url = server.ready_database("kept").await.unwrap();
    execute(
        &url,
        "create table kept (); insert into kept default values",
    )
    .await
    .unwrap();
    let data = server.owned().unwrap().cluster.data();
    let pid_file = data.join("postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    server.stop().await.unwrap();

    // The number of the process belongs to something else by now: to ourselves.
    let stale = text.lines().skip(1).collect::<Vec<_>>().join("\n");
    fs::write(&pid_file, format!("{}\n{stale}\n", std::process::id())).unwrap();
    // And making another cluster was cut short.
    fs::create_dir(data.with_file_name("data.new")).unwrap();

    let server = Postgres::start(options(directory.path())).await.unwrap();
    assert_eq!(rows(&server.url("kept")).await, 1);
}

#[tokio::test]
async fn a_directory_that_the_servers_user_cannot_reach_is_stood_in_for() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let directory = parent.path().join("data");
    let tables = "select count(*) from pg_tables where tablename = 'kept'";

    // The third time somebody has deleted the directory to begin anew.
    for (round, expected) in [0, 1, 0].into_iter().enumerate() {
        if round == 2 {
            fs::remove_dir_all(&directory).unwrap();
        }
        let server = Postgres::start(options(&directory)).await.unwrap();
        let url = server.ready_database("kept").await.unwrap();
        let client = connect(&url).await.unwrap();
        let row = client.query_one(tables, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), expected, "round {round}");
        client
            .batch_execute("create table if not exists kept ()")
            .await
            .unwrap();
    }
    // Only root lends the server another user, who needs another directory then.
    if let Ok(stand_in) = fs::read_link(directory.join("postgres")) {
        fs::remove_dir_all(stand_in).unwrap();
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let error = Postgres::start(PostgresOptions {
        port: Some(taken.local_addr().unwrap().port()),
        ..options(directory.path())
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("could not bind"), "{error}");
}

#[tokio::test]
async fn a_server_ends_with_a_process_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "postgres::tests::hold_a_server_until_killed",
            "--nocapture",
        ])
        .env(DIRECTORY_VARIABLE, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let url_file = directory.path().join("url");
    let deadline = Instant::now() + START_LIMIT;
    while !url_file.exists() {
        assert!(Instant::now() < deadline, "no server was started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let url = fs::read_to_string(&url_file).unwrap();
    connect(&url).await.unwrap();

    holder.kill().unwrap();
    holder.wait().unwrap();

    until_gone(&url).await;
}

/// Not a test of its own: the process that the test above kills.
#[tokio::test]
async fn hold_a_server_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) else {
        return;
    };
    let directory = Path::new(&directory);
    let server = Postgres::start(options(directory)).await.unwrap();
    let unfinished = directory.join("url.new");
    fs::write(&unfinished, server.url("postgres")).unwrap();
    fs::rename(unfinished, directory.join("url")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_given_server_is_used_as_it_is() {
    let database = for_tests::TestDatabase::unmigrated().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let given = Postgres::find_or_start(Some(database.url()), options(directory.path()))
        .await
        .unwrap();
    assert!(given.is_given());
    assert_eq!(
        given.ready_database("ignored").await.unwrap(),
        database.url()
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn another_database_of_a_url_keeps_everything_else() {
    assert_eq!(
        with_database(
            "postgresql://me:p%40ss@db.example.com:6543/postgres?sslmode=require",
            "other"
        ),
        "postgresql://me:p%40ss@db.example.com:6543/other?sslmode=require"
    );
}
