//! A function whose settings cannot be used ends at start and says why, once and whole.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use crate::harness::functions;

const DATABASE: &str = "DATABASE_URL";
const SUPABASE: &str = "SUPABASE_URL";
const QUEUE: [&str; 4] = [
    "GENERATION_QUEUE_URL",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
];

/// What each function must have.
fn required(function: &str) -> Vec<&'static str> {
    let mut names = vec![DATABASE, SUPABASE];
    match function {
        "list" | "get" | "favorite" | "runs" | "events" | "analytics" | "export" => {}
        "cancel" | "realtime-token" => names.push("ABLY_API_KEY"),
        "generate" | "edit" | "regenerate" => names.extend(QUEUE),
        "delete" | "datasets" | "dataset-images" => names.push("SUPABASE_SECRET_KEY"),
        "sweep" => {
            names.extend(QUEUE);
            names.extend(["SUPABASE_SECRET_KEY", "ABLY_API_KEY"]);
        }
        "worker" => {
            names.extend(QUEUE);
            names.extend(["SUPABASE_SECRET_KEY", "ABLY_API_KEY", "OPENAI_API_KEY"]);
        }
        // A function that is not listed here still needs its database.
        _ => names.truncate(1),
    }
    names
}

/// Everything that can be wrong, with a word in each value that must not be repeated where the value is a secret.
const MALFORMED: [(&str, &str); 31] = [
    (DATABASE, "postgres://hunter2@:x/?sslmode=perhaps"),
    ("DATABASE_CA_CERT", "/nowhere/ca.crt"),
    (SUPABASE, "hunter2.supabase.co"),
    ("SUPABASE_JWKS_URL", "ftp://hunter2/jwks.json"),
    ("SUPABASE_SECRET_KEY", "hunter2"),
    ("OPENAI_API_KEY", "hunter2"),
    ("OPENAI_BASE_URL", "/v1"),
    ("OPENAI_IMAGE_MODELS", "dall-e-3"),
    ("OPENAI_TIMEOUT_MS", "soon"),
    ("RETRY_DELAYS_MS", "0;1500"),
    ("RUN_MAX_AGE_S", "-1"),
    ("LEASE_S", "0"),
    ("ABLY_API_KEY", "hunter2"),
    ("ABLY_BASE_URL", "rest.ably.io"),
    ("REALTIME", "yes"),
    ("GENERATION_QUEUE_URL", "queue"),
    ("AWS_ENDPOINT_URL_SQS", "localhost"),
    ("ANONYMOUS_GENERATION", "maybe"),
    ("ANONYMOUS_HISTORY", "some"),
    ("USER_DAILY_IMAGES", "many"),
    ("ANONYMOUS_DAILY_IMAGES", "1.5"),
    ("WAIT_MAX_S", "900000"),
    ("PUBLIC_URL", "images.example"),
    ("RESPONSE_MODE", "chunked"),
    ("LOG_PROMPTS", "some"),
    ("MAX_REFERENCE_IMAGES", "17"),
    ("FETCH_ALLOW_LOCAL", "sometimes"),
    ("UPLOAD_PATIENCE_S", "long"),
    ("GENERATION_DEAD_LETTER_QUEUE_URL", "queue"),
    ("ORPHANS", "adopt"),
    ("ORPHAN_GRACE_S", "none"),
];

/// Secrets whose form nobody knows.
const OF_ANY_FORM: [&str; 2] = ["SUPABASE_SECRET_KEY", "OPENAI_API_KEY"];

/// What Lambda sets and this test does not.
const OF_LAMBDA: [&str; 3] = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Runs a function with these settings and none else; the one line that it writes before it ends.
fn last_words(binary: &Path, settings: &[(&str, &str)]) -> Value {
    let output = Command::new(binary)
        .env_clear()
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The settings that a message complains about.
fn complaints(message: &Value) -> Vec<String> {
    assert_eq!(message["level"], "ERROR", "{message}");
    let problems = message["problems"].as_str().unwrap().split("; ");
    problems
        .map(|problem| {
            let (name, what) = problem.split_once(' ').unwrap();
            assert!(!what.is_empty(), "{problem}");
            name.to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_settings_names_all_that_it_misses() {
    let binaries = functions().await.unwrap();
    assert!(binaries.paths.len() >= 9, "{binaries:?}");
    for (function, binary) in &binaries.paths {
        let empty: Vec<_> = MALFORMED.iter().map(|(name, _)| (*name, " ")).collect();
        for settings in [&[][..], &empty] {
            let mut missing = complaints(&last_words(binary, settings));
            let mut required = required(function);
            missing.sort();
            required.sort();
            if required.len() == 1 {
                assert!(missing.iter().any(|name| name == DATABASE), "{function}");
            } else {
                assert_eq!(missing, required, "{function}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_malformed_settings_names_them_all_and_no_secret() {
    let binaries = functions().await.unwrap();
    let mut complained = BTreeSet::new();
    for (function, binary) in &binaries.paths {
        let read = Command::new(binary)
            .arg(shared::config::LIST_ARGUMENT)
            .env_clear()
            .output()
            .unwrap();
        let read = String::from_utf8(read.stdout).unwrap();
        let malformed = MALFORMED.iter().map(|(name, _)| (*name).to_owned());
        let mut expected: Vec<_> = malformed
            .filter(|name| read.lines().any(|read| read == name))
            .filter(|name| !OF_ANY_FORM.contains(&name.as_str()))
            .chain(
                OF_LAMBDA
                    .map(str::to_owned)
                    .into_iter()
                    .filter(|name| read.contains(name)),
            )
            .collect();
        let message = last_words(binary, &MALFORMED);
        let mut names = complaints(&message);
        names.sort();
        expected.sort();
        assert_eq!(names, expected, "{function}: {message}");
        complained.extend(names);
    }
    for (name, _) in MALFORMED {
        let is_named = complained.contains(name);
        assert_eq!(is_named, !OF_ANY_FORM.contains(&name), "{name}");
    }
}
