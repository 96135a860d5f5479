//! Names and sizes of files, and what `lib.rs`, `main.rs` and the migrations look like.

use std::collections::BTreeSet;

use crate::sources::{Source, assert_kept, files_below, rust_sources};

/// Lines of code in a file at most, without blank lines and without tests: a file past that wants to be two.
const LONGEST_FILE: usize = 400;
/// Lines of a function's `main.rs` at most: it wires, and does nothing else.
const LONGEST_MAIN: usize = 40;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 12] = [
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "managers",
    "common",
    "misc",
    "service",
    "services",
    "lib_utils",
    "mod",
];

/// The modules that a `lib.rs` lists, in order; whatever else stands there is left out.
pub(crate) fn modules_of(lib: &str) -> Vec<String> {
    let tokens = crate::tokens::tokens(lib);
    tokens
        .windows(2)
        .filter(|pair| pair[0].word() == Some("mod"))
        .filter_map(|pair| pair[1].word().map(str::to_owned))
        .collect()
}

/// `lib.rs` files that hold anything but `mod` lines and docs.
fn code_in_lib(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        if !source.path.ends_with("/lib.rs") {
            continue;
        }
        let mut rest = source.tokens.as_slice();
        while let Some(token) = rest.first() {
            rest = match rest {
                [public, keyword, name, end, ..]
                    if public.word() == Some("pub")
                        && keyword.word() == Some("mod")
                        && name.word().is_some()
                        && end.is(';') =>
                {
                    &rest[4..]
                }
                [keyword, name, end, ..]
                    if keyword.word() == Some("mod") && name.word().is_some() && end.is(';') =>
                {
                    &rest[3..]
                }
                _ => {
                    breaches.push(format!("{}:{}", source.path, token.line));
                    break;
                }
            };
        }
    }
    breaches
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let says_nothing = |path: &str| {
        path.trim_end_matches(".rs")
            .split('/')
            .any(|part| EMPTY_NAMES.contains(&part))
    };
    sources
        .iter()
        .filter(|source| says_nothing(&source.path))
        .map(|source| source.path.clone())
        .collect()
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let lines: Vec<&str> = source.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        let code = &lines[..tests.unwrap_or(lines.len())];
        let count = code.iter().filter(|line| !line.trim().is_empty()).count();
        if count > LONGEST_FILE {
            breaches.push(format!("{}: {count} lines", source.path));
        }
    }
    breaches
}

fn long_mains(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.is_function() && source.path.ends_with("/src/main.rs"))
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_MAIN)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect()
}

/// Migrations whose name is not twelve digits and a name, or whose digits another one has.
fn bad_migrations(paths: &[String]) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut versions = BTreeSet::new();
    for path in paths {
        let file = path.rsplit('/').next().unwrap_or(path);
        let parts = file
            .strip_suffix(".sql")
            .and_then(|name| name.split_once('_'));
        let well_named = parts.filter(|(version, name)| {
            version.len() == 12
                && version.bytes().all(|byte| byte.is_ascii_digit())
                && !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        });
        match well_named {
            None => breaches.push(format!("{path}: is not named <12 digits>_<name>.sql")),
            Some((version, _)) if !versions.insert(version.to_owned()) => {
                breaches.push(format!("{path}: another migration has this version"));
            }
            Some(_) => {}
        }
    }
    breaches
}

#[test]
fn lib_files_only_list_modules() {
    assert_kept(
        "A lib.rs holds `mod` lines and docs:",
        &code_in_lib(rust_sources()),
    );
    for text in [
        "pub mod a; pub use a::B;",
        "fn f() {}",
        "mod a { fn f() {} }",
        "use std::fmt;",
    ] {
        let wrong = Source::of("shared/src/lib.rs", text);
        assert_eq!(code_in_lib(&[wrong]).len(), 1, "{text}");
    }
    let fine = Source::of(
        "shared/src/lib.rs",
        "//! What it is.\n\npub mod a;\n/// B.\nmod b;\n",
    );
    assert_eq!(code_in_lib(&[fine]), Vec::<String>::new());
}

#[test]
fn names_say_what_is_inside() {
    assert_kept(
        "These names say nothing (and a folder's module is beside it, not in a mod.rs):",
        &empty_names(rust_sources()),
    );
    for path in [
        "shared/src/utils.rs",
        "shared/src/openai/mod.rs",
        "local/src/helpers/time.rs",
        "functions/list/src/service.rs",
    ] {
        assert_eq!(empty_names(&[Source::of(path, "")]).len(), 1, "{path}");
    }
}

#[test]
fn files_are_short() {
    let sources = rust_sources();
    assert_kept(
        "Too long: one subject a file.",
        &[long_files(sources), long_mains(sources)].concat(),
    );
    let lines = |count: usize| "fn f() {}\n".repeat(count);
    let long = |path: &str, text: String| long_files(&[Source::of(path, &text)]).len();
    assert_eq!(long("shared/src/a.rs", lines(401)), 1);
    assert_eq!(long("shared/src/a.rs", lines(400) + "\n\n"), 0);
    assert_eq!(long("shared/src/a/tests.rs", lines(401)), 0);
    let with_tests = format!(
        "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        lines(400),
        lines(100)
    );
    assert_eq!(long("shared/src/a.rs", with_tests), 0);
    let main = Source::of("functions/list/src/main.rs", &lines(41));
    assert_eq!(long_mains(&[main]).len(), 1);
}

#[test]
fn migrations_have_names_that_sort() {
    let paths = files_below("migrations", "sql");
    assert!(!paths.is_empty(), "no migrations were found");
    assert_kept(
        "The Supabase CLI and `cargo migrate` go by these names:",
        &bad_migrations(&paths),
    );
    let breaches = |names: &[&str]| {
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("migrations/{name}"))
            .collect();
        bad_migrations(&names).len()
    };
    assert_eq!(breaches(&["202602021000_a.sql", "202602021005_b.sql"]), 0);
    assert_eq!(breaches(&["202602021000_a.sql", "202602021000_b.sql"]), 1);
    assert_eq!(breaches(&["2026020210_a.sql"]), 1);
    assert_eq!(breaches(&["20260202100000_a.sql"]), 1);
    assert_eq!(breaches(&["202602021000-a.sql"]), 1);
    assert_eq!(breaches(&["202602021000_.sql"]), 1);
}
