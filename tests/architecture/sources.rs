//! The project's files, read once.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::tokens::{Token, tokens};

/// A source file, or a piece of code that a test has made up.
pub(crate) struct Source {
    /// Relative to the workspace, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens: tokens(text),
        }
    }

    /// The package's folder: `shared`, `local`, `tests`, `functions/list`.
    pub(crate) fn package(&self) -> &str {
        let parts = if self.is_function() { 2 } else { 1 };
        let end = self.path.match_indices('/').nth(parts - 1);
        end.map_or(self.path.as_str(), |(at, _)| &self.path[..at])
    }

    pub(crate) fn is_function(&self) -> bool {
        self.path.starts_with("functions/")
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.path.starts_with("shared/src/")
    }

    /// What runs on AWS: the functions and what they share, without tests that have a file of their own.
    pub(crate) fn is_deployed(&self) -> bool {
        (self.is_shared() || self.is_function()) && !self.is_test()
    }

    /// A file that holds nothing but tests and what they need.
    pub(crate) fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "for_tests" | "for_tests.rs"))
            || self.path.ends_with("_tests.rs")
    }

    /// The modules that lead to this file: `shared/src/openai/client.rs` is `["openai", "client"]`.
    pub(crate) fn modules(&self) -> Vec<String> {
        let Some((_, inner)) = self.path.split_once("/src/") else {
            return Vec::new();
        };
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        if matches!(inner, "lib" | "main") {
            return Vec::new();
        }
        inner.split('/').map(str::to_owned).collect()
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads a file of the workspace.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the workspace's own, read once.
pub(crate) fn rust_sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_rust_sources);
    &SOURCES
}

fn read_rust_sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["functions", "shared", "local", "tests"] {
        found.extend(files_below(folder, "rs"));
    }
    let sources: Vec<Source> = found
        .iter()
        .map(|path| Source::of(path, &read(path)))
        .collect();
    for package in ["functions/generate", "shared", "local", "tests"] {
        assert!(
            sources.iter().any(|source| source.package() == package),
            "no source of {package} was found: the rules would hold for nothing"
        );
    }
    sources
}

/// Paths of the files in a folder of the workspace, and in those below it, that end like this; sorted.
pub(crate) fn files_below(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root().join(&folder))
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .map(|entry| entry.unwrap_or_else(|error| panic!("{folder}: {error}")));
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                // What was built or installed there is not ours.
                if !matches!(name.as_str(), "target" | "node_modules") {
                    folders.push(path);
                }
            } else if name.ends_with(&format!(".{extension}")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Fails with everything that breaks a rule, one line each.
pub(crate) fn assert_kept(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n  {}\n", breaches.join("\n  "));
}
