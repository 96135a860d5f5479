//! `cargo migrate` as it is typed.

use std::fs;
use std::process::{Command, Output};

use local::postgres::for_tests::{MIGRATIONS, TestDatabase};

fn migrate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.args(arguments);
    for name in ["SUPABASE_DB_URL", "DATABASE_URL", "DATABASE_CA_CERT"] {
        command.env_remove(name);
    }
    command
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_lists_and_a_run_applies_once() {
    let database = TestDatabase::unmigrated().await.unwrap();
    // As people paste it.
    let url = format!("{}?pgbouncer=true&sslmode=prefer", database.url());
    let arguments = ["--url", &url, "--dir", MIGRATIONS];

    let mut dry = migrate(&arguments);
    let (code, listed, _) = outcome(&dry.arg("--dry-run").output().unwrap());
    assert_eq!(code, Some(0));
    assert!(
        listed.starts_with("would apply 202602021000_datasets.sql\n"),
        "{listed}"
    );
    assert!(
        listed.ends_with(" to apply, 0 already applied\n"),
        "{listed}"
    );

    let (code, applied, _) = outcome(&migrate(&arguments).output().unwrap());
    assert_eq!(code, Some(0));
    assert!(
        applied.starts_with("applied 202602021000_datasets.sql\n"),
        "{applied}"
    );

    let (code, again, _) = outcome(&migrate(&arguments).output().unwrap());
    assert_eq!(code, Some(0));
    assert!(again.starts_with("0 applied, "), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_applied_and_recorded_when_its_name_has_a_version() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let with_version = directory.path().join("202510221205_ai_image_runs.sql");
    let without = directory.path().join("grants.sql");
    fs::write(&with_version, "create table first ();").unwrap();
    fs::write(&without, "create table if not exists second ();").unwrap();

    for (file, expected) in [
        (
            &with_version,
            "applied 202510221205_ai_image_runs.sql\n1 applied, 0 already applied\n",
        ),
        (&with_version, "0 applied, 1 already applied\n"),
        (
            &without,
            "applied grants.sql\n1 applied, 0 already applied\n",
        ),
        (
            &without,
            "applied grants.sql\n1 applied, 0 already applied\n",
        ),
    ] {
        let mut command = migrate(&["--file", file.to_str().unwrap()]);
        let output = command
            .env("DATABASE_URL", database.url())
            .output()
            .unwrap();
        assert_eq!(
            outcome(&output),
            (Some(0), expected.to_owned(), String::new())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_what_went_wrong() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("202601010000_broken.sql");
    fs::write(&broken, "create table a ();\ncreat table b ();").unwrap();
    let broken = broken.to_str().unwrap();
    let url = database.url();

    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["--url", url, "--file", broken],
            1,
            "202601010000_broken.sql:2:1: syntax error",
        ),
        (
            &["--url", url, "--file", "/nowhere.sql"],
            2,
            "/nowhere.sql: ",
        ),
        (&["--url", url, "--dir", "/nowhere"], 2, "/nowhere: "),
        (
            &["--url", url, "--file", broken, "--dir", MIGRATIONS],
            2,
            "cannot be used with",
        ),
        (&["--file", broken], 2, "--url: is missing"),
        (
            &["--url", "mysql://x", "--file", broken],
            2,
            "must start with postgresql://",
        ),
        (
            &[
                "--url",
                "postgresql://me:secret@127.0.0.1:1/x",
                "--file",
                broken,
            ],
            3,
            "cannot be reached",
        ),
    ];
    for (arguments, expected, message) in cases {
        let (code, _, error) = outcome(&migrate(arguments).output().unwrap());
        assert_eq!(code, Some(expected), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
