//! The direction of the imports within `shared`, and between the packages.

use crate::{
    imports::imports,
    sources::{Source, assert_kept, rust_sources},
};

/// The modules of `shared`, from the lowest. A module imports those of lower rows and never one of its own row, so that no vendor's
/// client knows another vendor, and neither HTTP nor a setting is known to what makes images.
const LAYERS: &[&[&str]] = &[
    &["domain", "tls", "jwt"],
    &["telemetry"],
    &[
        "openai", "supabase", "ably", "queue", "postgres", "fetching",
    ],
    &["recording"],
    &["generation", "http", "deleting"],
    &["config"],
    &["submission"],
];

/// Where Lambda's own types may be named in `shared`.
const KNOW_LAMBDA: [&str; 2] = ["http", "submission"];
const LAMBDA: [&str; 3] = ["lambda_http", "lambda_runtime", "aws_lambda_events"];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// Files of `shared` that import upwards or sideways. Tests in files of their own are held to it too: a vendor's test that needs
/// another vendor belongs into `local`.
fn wrong_directions(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_shared()) {
        let Some(own) = source.modules().first().cloned() else {
            continue;
        };
        let Some(height) = layer(&own) else {
            breaches.push(format!("{}: `{own}` has no row in LAYERS", source.path));
            continue;
        };
        for named in imports(source) {
            let Some(module) = named.own_module().filter(|module| *module != own) else {
                continue;
            };
            // What is no module of the top is a macro or a mistake that the compiler finds.
            if layer(module).is_some_and(|other| other >= height) {
                breaches.push(format!("{}:{}: {}", source.path, named.line, named.text()));
            }
        }
    }
    breaches
}

fn lambda_where_it_does_not_belong(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.is_shared()) {
        let knows = source
            .modules()
            .first()
            .is_some_and(|module| KNOW_LAMBDA.contains(&module.as_str()));
        if knows {
            continue;
        }
        for named in imports(source) {
            if LAMBDA.contains(&named.path[0].as_str()) {
                breaches.push(format!("{}:{}: {}", source.path, named.line, named.text()));
            }
        }
    }
    breaches
}

/// What is deployed names nothing of `local`.
fn local_in_what_is_deployed(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        if !(source.is_shared() || source.is_function()) {
            continue;
        }
        for named in imports(source) {
            if named.path[0] == "local" {
                breaches.push(format!("{}:{}: {}", source.path, named.line, named.text()));
            }
        }
    }
    breaches
}

#[test]
fn imports_point_one_way() {
    assert_kept(
        "A module of `shared` imports lower layers only (LAYERS in this file):",
        &wrong_directions(rust_sources()),
    );
}

#[test]
fn every_module_of_shared_has_its_place() {
    let modules = crate::files::modules_of(&crate::sources::read("shared/src/lib.rs"));
    let unplaced: Vec<String> = modules
        .iter()
        .filter(|module| layer(module).is_none())
        .cloned()
        .collect();
    assert!(modules.len() > 10, "{modules:?}");
    assert_kept("Modules of `shared` without a row in LAYERS:", &unplaced);
}

#[test]
fn an_import_the_wrong_way_is_noticed() {
    let table = [
        ("shared/src/openai/client.rs", "use crate::http::Problem;"),
        (
            "shared/src/openai/client.rs",
            "use crate::{domain::run::Run, supabase::storage};",
        ),
        (
            "shared/src/supabase/storage.rs",
            "fn f() { crate::ably::key::parse() }",
        ),
        (
            "shared/src/ably/publish.rs",
            "use super::super::queue::Queue;",
        ),
        (
            "shared/src/ably/publish.rs",
            "mod tests { use super::super::super::queue::Queue; }",
        ),
        (
            "shared/src/postgres/runs.rs",
            "use crate::recording::RecordingError;",
        ),
        ("shared/src/recording/lease.rs", "use crate::http::Reply;"),
        ("shared/src/domain/run.rs", "use crate::telemetry;"),
        (
            "shared/src/generation/work.rs",
            "use crate::config::groups;",
        ),
        ("shared/src/odds_and_ends.rs", ""),
    ];
    for (path, text) in table {
        let found = wrong_directions(&[Source::of(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
    }
    let fine = Source::of(
        "shared/src/openai/client.rs",
        "use super::answer; use crate::{domain::run::Run, openai::error, tls}; use http::Method; //! [`crate::http`]",
    );
    assert_eq!(wrong_directions(&[fine]), Vec::<String>::new());
}

#[test]
fn only_the_http_side_knows_lambda() {
    assert_kept(
        "Lambda's types are named where HTTP is spoken, and in the functions:",
        &lambda_where_it_does_not_belong(rust_sources()),
    );
    let wrong = Source::of("shared/src/queue.rs", "use lambda_runtime::Context;");
    assert_eq!(lambda_where_it_does_not_belong(&[wrong]).len(), 1);
}

#[test]
fn nothing_deployed_knows_the_local_stack() {
    assert_kept(
        "Stand-ins are chosen by address, never from code:",
        &local_in_what_is_deployed(rust_sources()),
    );
    for path in [
        "shared/src/openai/client.rs",
        "functions/worker/src/batch.rs",
    ] {
        let wrong = Source::of(path, "use local::openai::serve;");
        assert_eq!(local_in_what_is_deployed(&[wrong]).len(), 1, "{path}");
    }
}
