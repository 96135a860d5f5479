//! Which paths a file names: in its `use` lines, taken apart, and in its code.

use crate::{
    sources::Source,
    tokens::{Piece, Token},
};

/// A path of at least two names, such as `crate::openai::client::OpenAiClient` or `Instant::now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Named {
    /// The module at the top of the own crate that this path leads to.
    pub(crate) fn own_module(&self) -> Option<&str> {
        match self.path.as_slice() {
            [root, module, ..] if root == "crate" => Some(module),
            _ => None,
        }
    }

    /// Whether these names follow each other in the path: `std::env::var` has `env::var`.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.path.windows(names.len()).any(|part| part == names)
    }

    pub(crate) fn text(&self) -> String {
        self.path.join("::")
    }
}

/// Every path that a file names. Paths that begin with `super` or `self` are given from the crate's root.
pub(crate) fn imports(source: &Source) -> Vec<Named> {
    let mut reading = Reading {
        tokens: &source.tokens,
        at: 0,
        found: Vec::new(),
    };
    let mut found = Vec::new();
    // Inline modules (`mod tests {`) that we are in, each with the depth of its brace.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    while let Some(token) = reading.tokens.get(reading.at) {
        if let (Some("mod"), Some(name)) = (token.word(), reading.word_at(reading.at + 1))
            && reading.is_at(reading.at + 2, '{')
        {
            inline.push((name.to_owned(), depth));
        }
        if token.is('{') {
            depth += 1;
        }
        if token.is('}') {
            depth -= 1;
            inline.retain(|(_, outside)| *outside < depth);
        }
        if token.word().is_none() {
            reading.at += 1;
            continue;
        }
        reading.path(Vec::new());
        let mut here = source.modules();
        here.extend(inline.iter().map(|(name, _)| name.clone()));
        found.extend(
            reading
                .found
                .drain(..)
                .filter(|named| named.path.len() > 1)
                .map(|named| from_root(named, &here)),
        );
    }
    found
}

struct Reading<'a> {
    tokens: &'a [Token],
    at: usize,
    found: Vec<Named>,
}

impl Reading<'_> {
    fn word_at(&self, at: usize) -> Option<&str> {
        self.tokens.get(at)?.word()
    }

    fn is_at(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(mark))
    }

    /// Reads a path that begins here, with its branches in braces, after the names that lead to it.
    fn path(&mut self, mut names: Vec<String>) {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        while let Some(word) = self.word_at(self.at) {
            names.push(word.to_owned());
            self.at += 1;
            if self.tokens.get(self.at).map(|token| &token.piece) != Some(&Piece::Colons) {
                break;
            }
            self.at += 1;
            if self.is_at(self.at, '{') {
                return self.branches(&names);
            }
        }
        self.found.push(Named { path: names, line });
    }

    fn branches(&mut self, names: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is_at(self.at, '}') {
            if self.word_at(self.at) == Some("as") {
                self.at += 2;
            } else if self.word_at(self.at).is_some() {
                self.path(names.to_vec());
            } else {
                self.at += 1;
            }
        }
        self.at += 1;
    }
}

fn from_root(named: Named, here: &[String]) -> Named {
    let ups = named
        .path
        .iter()
        .take_while(|name| *name == "super")
        .count();
    let relative = ups > 0 || named.path.first().is_some_and(|name| name == "self");
    if !relative {
        return named;
    }
    let kept = here.len().saturating_sub(ups);
    let rest = named.path.iter().skip(ups).filter(|name| *name != "self");
    let path = std::iter::once("crate".to_owned())
        .chain(here[..kept].iter().cloned())
        .chain(rest.cloned())
        .collect();
    Named { path, ..named }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let source = Source::of(
        "shared/src/openai/client.rs",
        "use std::{env, time::Duration as D, fmt::{self, Write}};
         use super::{super::http, error::OpenAiError};
         fn f() { let x = crate::domain::run::Run::new(); Instant::now() }
         mod tests { use super::super::answer; fn g() { self::h() } }
         fn i() { self::j() }",
    );
    let paths: Vec<String> = imports(&source).iter().map(Named::text).collect();
    assert_eq!(
        paths,
        [
            "std::env",
            "std::time::Duration",
            "std::fmt::self",
            "std::fmt::Write",
            "crate::http",
            "crate::openai::error::OpenAiError",
            "crate::domain::run::Run::new",
            "Instant::now",
            "crate::openai::answer",
            "crate::openai::client::tests::h",
            "crate::openai::client::j",
        ]
    );
}
