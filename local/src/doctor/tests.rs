use std::{collections::BTreeMap, path::Path};

use super::{Finding, examine};
use crate::{
    binaries::Binaries,
    postgres::for_tests::TestDatabase,
    stack::{DatabaseChoice, Stack, StackOptions},
};

fn migrations() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))
}

/// The settings of a stack whose functions run elsewhere, with the credentials that Lambda would set.
async fn world() -> (
    Stack,
    TestDatabase,
    tempfile::TempDir,
    BTreeMap<String, String>,
) {
    let database = TestDatabase::migrated().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut options = StackOptions::new(data.path());
    options.database = DatabaseChoice::Migrated(database.url().to_owned());
    options.binaries = Some(Binaries::default());
    options.stand_ins_only = true;
    let stack = Stack::start(options).await.unwrap();
    let mut settings = stack.settings().clone();
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        settings.insert(name.to_owned(), "us-east-1".to_owned());
    }
    (stack, database, data, settings)
}

fn complaints(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter_map(|finding| {
            let wrong = finding.outcome.as_ref().err()?;
            Some(format!("{}: {wrong}", finding.subject))
        })
        .collect()
}

#[tokio::test]
async fn a_deployment_that_works_gets_no_complaint_and_nothing_is_written() {
    let (stack, _database, _data, settings) = world().await;
    let findings = examine(&settings, migrations()).await.unwrap();
    assert_eq!(complaints(&findings), Vec::<String>::new());
    let subjects: Vec<&str> = findings.iter().map(|one| one.subject.as_str()).collect();
    for subject in [
        "database",
        "migrations",
        "storage",
        "tokens",
        "openai",
        "queue",
        "ably",
    ] {
        assert!(
            subjects.contains(&subject),
            "{subject} is not in {subjects:?}"
        );
    }
    let client = super::http_client(super::HttpClientOptions::default()).unwrap();
    for url in [&stack.ready().openai_url, &stack.ready().storage_url] {
        let calls = client.get(format!("{url}/_calls")).send().await.unwrap();
        let calls = calls.text().await.unwrap();
        for method in ["POST", "PUT", "DELETE"] {
            assert!(!calls.contains(&format!("\"{method}\"")), "{url}: {calls}");
        }
    }
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn each_setting_that_is_wrong_is_named_in_one_line() {
    let (stack, _database, _data, settings) = world().await;
    let cases: [(&str, &str, &str); 12] = [
        ("DATABASE_URL", "", "DATABASE_URL is missing"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none", "database: "),
        (
            "DATABASE_CA_CERT",
            "/no/such.crt",
            "DATABASE_CA_CERT cannot be used",
        ),
        ("STORAGE_BUCKET", "other", "there is no bucket other"),
        (
            "SUPABASE_SECRET_KEY",
            "sb_secret_wrong",
            "SUPABASE_SECRET_KEY is not",
        ),
        (
            "SUPABASE_JWKS_URL",
            "http://127.0.0.1:1/jwks",
            "cannot be reached",
        ),
        ("OPENAI_API_KEY", "sk-invalid", "OPENAI_API_KEY is refused"),
        (
            "OPENAI_IMAGE_MODELS",
            "gpt-image-2,no-such-model",
            "no model no-such-model",
        ),
        (
            "GENERATION_QUEUE_URL",
            "",
            "GENERATION_QUEUE_URL is missing",
        ),
        (
            "AWS_ENDPOINT_URL_SQS",
            "http://127.0.0.1:1",
            "the queue cannot be reached",
        ),
        ("ABLY_API_KEY", "not a key", "ABLY_API_KEY cannot be used"),
        ("ABLY_API_KEY", "an.app:wrong", "ABLY_API_KEY is refused"),
    ];
    for (name, value, expected) in cases {
        let mut settings = settings.clone();
        settings.insert(name.to_owned(), value.to_owned());
        let findings = examine(&settings, migrations()).await.unwrap();
        let complaints = complaints(&findings);
        assert!(
            complaints.iter().any(|one| one.contains(expected)),
            "{name}={value}: {complaints:?}"
        );
        for line in &complaints {
            assert!(
                !line.contains('\n') && !line.contains("sb_secret"),
                "{line}"
            );
        }
    }

    let empty = TestDatabase::unmigrated().await.unwrap();
    let mut unmigrated = settings.clone();
    unmigrated.insert("DATABASE_URL".to_owned(), empty.url().to_owned());
    let findings = examine(&unmigrated, migrations()).await.unwrap();
    let complaints = complaints(&findings);
    assert!(
        complaints
            .iter()
            .any(|one| one.contains("run cargo migrate")),
        "{complaints:?}"
    );
    stack.stop().await.unwrap();
}
