//! What the domain does not do, who reads the environment, and how the database is asked.

use crate::{
    imports::{Named, imports},
    sources::{Source, assert_kept, rust_sources},
    tokens::Piece,
};

/// Packages that do I/O.
const IO: [&str; 9] = [
    "tokio",
    "reqwest",
    "tokio_postgres",
    "deadpool_postgres",
    "aws_sdk_sqs",
    "lambda_http",
    "lambda_runtime",
    "rand",
    "tracing",
];

/// The world outside: clocks, chance, files, the network, the environment.
const OUTSIDE: [&[&str]; 12] = [
    &["std", "env"],
    &["std", "fs"],
    &["io", "stdout"],
    &["io", "stdin"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["env", "var"],
    &["SystemTime", "now"],
    &["Timestamp", "now"],
    &["Instant", "now"],
    &["Uuid", "new_v4"],
];

/// Methods of a Postgres client that prepare a statement by name, or send one without types. `query_typed` is the way.
const UNTYPED: [&str; 16] = [
    "query",
    "query_one",
    "query_opt",
    "query_raw",
    "execute",
    "execute_raw",
    "prepare",
    "prepare_cached",
    "prepare_typed",
    "prepare_typed_cached",
    "simple_query",
    "batch_execute",
    "copy_in",
    "copy_out",
    "transaction",
    "build_transaction",
];

fn named_by(source: &Source, unwanted: impl Fn(&Named) -> bool) -> Vec<String> {
    imports(source)
        .iter()
        .filter(|named| unwanted(named))
        .map(|named| format!("{}:{}: {}", source.path, named.line, named.text()))
        .collect()
}

fn impure_domain(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.path.starts_with("shared/src/domain"))
        .flat_map(|source| {
            named_by(source, |named| {
                IO.contains(&named.path[0].as_str()) || OUTSIDE.iter().any(|names| named.has(names))
            })
        })
        .collect()
}

fn environment_read_elsewhere(sources: &[Source]) -> Vec<String> {
    let reads_it = |named: &Named| named.has(&["std", "env"]) || named.path[0] == "env";
    sources
        .iter()
        .filter(|source| source.is_deployed())
        .filter(|source| !source.path.starts_with("shared/src/config"))
        .flat_map(|source| {
            let found = named_by(source, reads_it);
            // A function's main reads the level of its log, before anything else could report a problem.
            let allowed = usize::from(source.path.ends_with("/src/main.rs"));
            found.into_iter().skip(allowed)
        })
        .collect()
}

/// Untyped statements in what is deployed: in any file that names the Postgres crates.
fn untyped_statements(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_deployed()) {
        let knows_postgres = imports(source).iter().any(|named| {
            matches!(
                named.path[0].as_str(),
                "tokio_postgres" | "deadpool_postgres"
            )
        });
        if !knows_postgres {
            continue;
        }
        for window in source.tokens.windows(3) {
            let [dot, method, next] = window else {
                continue;
            };
            let called = next.is('(') || next.piece == Piece::Colons;
            let Some(name) = method.word().filter(|_| dot.is('.') && called) else {
                continue;
            };
            if UNTYPED.contains(&name) {
                breaches.push(format!("{}:{}: .{name}(", source.path, method.line));
            }
        }
    }
    breaches
}

/// Who talks to Postgres: `postgres` and `recording`, nobody else.
fn postgres_elsewhere(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.is_deployed())
        .filter(|source| {
            !["shared/src/postgres", "shared/src/recording"]
                .iter()
                .any(|start| source.path.starts_with(start))
        })
        .flat_map(|source| {
            named_by(source, |named| {
                matches!(
                    named.path[0].as_str(),
                    "tokio_postgres" | "deadpool_postgres"
                )
            })
        })
        .collect()
}

#[test]
fn the_domain_does_no_io_and_has_no_clock() {
    assert_kept(
        "Times, ids and answers come into the domain as arguments:",
        &impure_domain(rust_sources()),
    );
    for text in [
        "use tokio::time;",
        "use std::{env, fmt};",
        "use jiff::Timestamp; fn f() { Timestamp::now() }",
        "fn f() { jiff::Timestamp::now() }",
        "fn f() { std::time::Instant::now() }",
        "fn f() { SystemTime::now() }",
        "fn f() { let id = uuid::Uuid::new_v4(); }",
        "use tokio_postgres::Row;",
    ] {
        let wrong = Source::of("shared/src/domain/run.rs", text);
        assert_eq!(impure_domain(&[wrong]).len(), 1, "{text}");
    }
    let fine = Source::of(
        "shared/src/domain/run.rs",
        "/// [`tokio::time`] use jiff::Timestamp; fn f(now: Timestamp) { now.duration_since(now) }",
    );
    assert_eq!(impure_domain(&[fine]), Vec::<String>::new());
}

#[test]
fn only_config_reads_the_environment() {
    assert_kept(
        "Settings are read in `shared::config`; a main reads the level of its log and nothing else:",
        &environment_read_elsewhere(rust_sources()),
    );
    let once = "fn main() { std::env::var(LOG_LEVEL); }";
    let twice = "use std::env; fn main() { env::var(LOG_LEVEL); }";
    let breaches =
        |path: &str, text: &str| environment_read_elsewhere(&[Source::of(path, text)]).len();
    assert_eq!(breaches("functions/list/src/main.rs", once), 0);
    assert_eq!(breaches("functions/list/src/main.rs", twice), 1);
    assert_eq!(breaches("functions/list/src/list.rs", once), 1);
    assert_eq!(breaches("shared/src/http/reply.rs", twice), 2);
    assert_eq!(breaches("shared/src/config/reader.rs", twice), 0);
    // The macro is the compiler's environment, not the process's.
    assert_eq!(
        breaches(
            "shared/src/http/reply.rs",
            "fn f() { env!(\"CARGO_PKG_VERSION\"); }"
        ),
        0
    );
}

#[test]
fn statements_are_typed_and_unnamed() {
    assert_kept(
        "A named statement fails behind a transaction pooler; use `query_typed`:",
        &untyped_statements(rust_sources()),
    );
    let postgres = "use tokio_postgres::Client; async fn f(client: &Client) { client";
    for (call, breaches) in [
        (".query(\"\", &[])", 1),
        (".execute(\"\", &[])", 1),
        (".prepare(\"\")", 1),
        (".prepare_cached(\"\")", 1),
        (".query_raw::<str, _, _>(\"\")", 1),
        (".query_typed(\"\", &[])", 0),
        (".query", 0),
    ] {
        let source = Source::of(
            "shared/src/postgres/runs.rs",
            &format!("{postgres}{call}; }}"),
        );
        assert_eq!(untyped_statements(&[source]).len(), breaches, "{call}");
    }
}

#[test]
fn only_postgres_and_recording_talk_to_the_database() {
    assert_kept(
        "SQL stands in `shared::postgres` (reading) and `shared::recording` (transitions):",
        &postgres_elsewhere(rust_sources()),
    );
    let wrong = Source::of("functions/list/src/list.rs", "use tokio_postgres::Row;");
    assert_eq!(postgres_elsewhere(&[wrong]).len(), 1);
}
