//! Which route a request belongs to.

use std::collections::BTreeMap;

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::template::Route;

/// What was found for a path and a method.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match<'a> {
    Route(Matched<'a>),
    /// The path is known, with these methods.
    NoMethod(Vec<String>),
    NoPath,
}

/// A route with what stands in the path for its parameters, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    pub(super) parameters: BTreeMap<String, String>,
}

/// A segment that is written out wins over a parameter, and that over `{proxy+}`.
pub(super) fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Match<'a> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut candidates: Vec<_> = routes
        .iter()
        .filter_map(|route| Some((route, parameters(&route.path, path)?)))
        .collect();
    candidates.sort_by_key(|(route, _)| specificity(&route.path));
    let Some(best) = candidates.first().map(|(route, _)| route.path.as_str()) else {
        return Match::NoPath;
    };

    let mut allowed = Vec::new();
    for (route, parameters) in candidates.iter().filter(|(route, _)| route.path == best) {
        if route.method == "ANY" || route.method == method.as_str() {
            let parameters = parameters.clone();
            return Match::Route(Matched { route, parameters });
        }
        allowed.push(route.method.clone());
    }
    allowed.sort();
    Match::NoMethod(allowed)
}

/// What stands for the pattern's parameters, when the path is one of the pattern's.
fn parameters(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    let pattern = pattern.trim_matches('/');
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        if let Some(name) = name_in(segment, "+}") {
            if rest.is_empty() {
                return None;
            }
            parameters.insert(name.to_owned(), decoded(rest));
            return Some(parameters);
        }
        let (own, after) = match rest.split_once('/') {
            Some((own, after)) => (own, Some(after)),
            None => (rest, None),
        };
        match name_in(segment, "}") {
            Some(_) if own.is_empty() => return None,
            Some(name) => {
                parameters.insert(name.to_owned(), decoded(own));
            }
            None if segment != own => return None,
            None => {}
        }
        match (after, segments.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(parameters),
            _ => return None,
        }
    }
    None
}

fn name_in<'a>(segment: &'a str, end: &str) -> Option<&'a str> {
    segment.strip_prefix('{')?.strip_suffix(end)
}

fn decoded(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// Smaller is more specific, segment by segment.
fn specificity(pattern: &str) -> Vec<u8> {
    let rank = |segment: &str| match segment {
        segment if segment.ends_with("+}") => 2,
        segment if segment.starts_with('{') => 1,
        _ => 0,
    };
    pattern.split('/').map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        [
            ("/ai/runs", "GET"),
            ("/ai/runs", "POST"),
            ("/ai/runs/{run_id}", "GET"),
            ("/ai/runs/latest", "GET"),
            ("/ai/runs/{run_id}/cancel", "POST"),
            ("/files/{proxy+}", "ANY"),
        ]
        .map(|(path, method)| Route {
            function: format!("{method} {path}"),
            path: path.to_owned(),
            method: method.to_owned(),
            streaming: false,
        })
        .to_vec()
    }

    #[test]
    fn finds_the_most_specific_route() {
        let routes = routes();
        for (method, path, expected) in [
            (Method::GET, "/ai/runs", "GET /ai/runs "),
            (Method::GET, "/ai/runs/", "GET /ai/runs "),
            (Method::GET, "/ai/runs/7", "GET /ai/runs/{run_id} run_id=7"),
            (
                Method::GET,
                "/ai/runs/a%2Fb%20c",
                "GET /ai/runs/{run_id} run_id=a/b c",
            ),
            (Method::GET, "/ai/runs/latest", "GET /ai/runs/latest "),
            (
                Method::POST,
                "/ai/runs/7/cancel",
                "POST /ai/runs/{run_id}/cancel run_id=7",
            ),
            (
                Method::PUT,
                "/files/a/b.png",
                "ANY /files/{proxy+} proxy=a/b.png",
            ),
        ] {
            let Match::Route(matched) = find(&routes, &method, path) else {
                panic!("{method} {path} has no route");
            };
            let parameters: Vec<_> = matched
                .parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let found = format!("{} {}", matched.route.function, parameters.join("&"));
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn tells_an_unknown_path_from_an_unknown_method() {
        let routes = routes();
        for path in [
            "/",
            "/ai",
            "/ai/runs/7/other",
            "/ai//runs",
            "/files",
            "/ai/runs//cancel",
        ] {
            assert_eq!(find(&routes, &Method::GET, path), Match::NoPath, "{path}");
        }
        let methods = Match::NoMethod(vec!["GET".to_owned(), "POST".to_owned()]);
        assert_eq!(find(&routes, &Method::DELETE, "/ai/runs"), methods);
        let methods = Match::NoMethod(vec!["GET".to_owned()]);
        assert_eq!(find(&routes, &Method::HEAD, "/ai/runs/latest"), methods);
    }
}
