//! What `cargo lambda watch` serves is what API Gateway serves.

use std::collections::BTreeSet;

use serde_yaml_ng::Value as Yaml;
use toml::{Table, Value};

use crate::sources::{assert_kept, read};

/// `GET /ai/runs → runs`, for every route of every function of a template.
pub(crate) fn of_template(template: &str) -> BTreeSet<String> {
    let template: Yaml =
        serde_yaml_ng::from_str(template).unwrap_or_else(|error| panic!("template.yaml: {error}"));
    let mut routes = BTreeSet::new();
    let resources = template.get("Resources").and_then(Yaml::as_mapping);
    for resource in resources.into_iter().flat_map(|all| all.values()) {
        let Some(properties) = resource.get("Properties") else {
            continue;
        };
        let code = properties.get("CodeUri").and_then(Yaml::as_str);
        let function = code.and_then(|code| code.rsplit('/').next()).unwrap_or("?");
        let events = properties.get("Events").and_then(Yaml::as_mapping);
        for event in events.into_iter().flat_map(|all| all.values()) {
            let field = |name| event.get("Properties")?.get(name)?.as_str();
            if let (Some(path), Some(method)) = (field("Path"), field("Method")) {
                routes.insert(format!("{method} {path} → {function}"));
            }
        }
    }
    routes
}

/// The same, of the workspace's manifest. Preflights are left out: API Gateway answers them itself.
fn of_manifest(manifest: &str) -> BTreeSet<String> {
    let manifest: Table = manifest
        .parse()
        .unwrap_or_else(|error| panic!("Cargo.toml: {error}"));
    let router = manifest
        .get("workspace")
        .and_then(|at| {
            at.get("metadata")?
                .get("lambda")?
                .get("watch")?
                .get("router")
        })
        .and_then(Value::as_array);
    let text = |route: &Value, name| {
        let text = route.get(name).and_then(Value::as_str);
        text.unwrap_or("?").to_owned()
    };
    let mut routes = BTreeSet::new();
    for route in router.into_iter().flatten() {
        let methods = route.get("methods").and_then(Value::as_array);
        for method in methods.into_iter().flatten().filter_map(Value::as_str) {
            if method != "OPTIONS" {
                let (path, function) = (text(route, "path"), text(route, "function"));
                routes.insert(format!("{method} {path} → {function}"));
            }
        }
    }
    routes
}

#[test]
fn cargo_lambda_watch_serves_what_api_gateway_serves() {
    let template = of_template(&read("template.yaml"));
    let manifest = of_manifest(&read("Cargo.toml"));
    assert!(template.len() > 5, "{template:?}");
    let differ: Vec<String> = template.symmetric_difference(&manifest).cloned().collect();
    assert_kept(
        "template.yaml and the router in Cargo.toml differ:",
        &differ,
    );

    let template = "Resources: {A: {Properties: {CodeUri: target/lambda/a, Events: {B: {Properties: {Path: /b, Method: GET}}}}}}";
    assert_eq!(of_template(template), ["GET /b → a".to_owned()].into());
    let manifest = "[[workspace.metadata.lambda.watch.router]]\npath = \"/b\"\nmethods = [\"GET\", \"OPTIONS\"]\nfunction = \"a\"";
    assert_eq!(of_manifest(manifest), ["GET /b → a".to_owned()].into());
}
