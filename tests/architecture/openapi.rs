//! That `docs/openapi.yaml` says what the sources say.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use shared::{
    domain::{
        image::{AspectRatio, Background, ImageFormat, Quality, Resolution},
        prompt::LONGEST_PROMPT,
        run::RunStatus,
        style::PRESETS,
    },
    fetching::{FETCH_LIMIT, LONGEST_URL},
    openai::request::MOST_SOURCE_IMAGES,
    submission::input::OPTION_FIELDS,
};
use tests::openapi::{Answered, Document, schema};

use crate::{
    routes,
    sources::{assert_kept, read, rust_sources},
};

fn document() -> Document {
    Document::read().unwrap_or_else(|error| panic!("{error:#}"))
}

fn differences(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Vec<String> {
    ours.symmetric_difference(theirs).cloned().collect()
}

fn texts(value: &Value) -> BTreeSet<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `GET /ai/runs`, for every endpoint in the first column of the README's table: a method between backticks belongs to the path before it.
fn of_readme(readme: &str) -> BTreeSet<String> {
    let mut endpoints = BTreeSet::new();
    let table = readme.split("\n| endpoint |").nth(1).unwrap_or_default();
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let mut path = "";
        for code in cell.split('`').skip(1).step_by(2) {
            let (method, own_path) = code.split_once(' ').unwrap_or((code, path));
            path = own_path;
            endpoints.insert(format!("{method} {path}"));
        }
    }
    endpoints
}

/// The codes of problems that a Rust source makes: the text after the status.
fn problem_codes(text: &str) -> Vec<String> {
    let calls = text.split("::new(").skip(1);
    let codes = calls.filter_map(|call| {
        let (status, rest) = call.trim_start().split_once(',')?;
        let rest = rest.trim_start().strip_prefix('"')?;
        let is_status = status.starts_with("StatusCode::");
        is_status.then(|| rest.split('"').next().unwrap_or_default().to_owned())
    });
    codes.collect()
}

/// The codes with which runs and attempts end, as far as they stand where a failure is made.
fn failure_codes(text: &str) -> Vec<String> {
    let after = |start: &'static str| {
        let places = text.split(start).skip(1).filter_map(|rest| {
            let rest = rest.trim_start();
            // The class comes before the code.
            let rest = match start {
                "Failure::new(" => rest.split_once(',')?.1.trim_start(),
                _ => rest,
            };
            let code = rest.strip_prefix('"')?.split('"').next()?;
            Some(code.to_owned())
        });
        places.collect::<Vec<_>>()
    };
    let before_class = text.split(", FailureClass::").filter_map(|before| {
        let code = before.strip_suffix('"')?.rsplit('"').next()?;
        Some(code.to_owned())
    });
    ["code: ", "Failure::new(", "return Some(failed("]
        .into_iter()
        .flat_map(after)
        .chain(before_class)
        .collect()
}

#[test]
fn it_has_every_endpoint_and_no_other() {
    let document = document();
    let operations = document.operations();
    let ours: BTreeSet<String> = operations
        .iter()
        .map(|operation| {
            format!(
                "{} {} → {}",
                operation.method,
                operation.path,
                operation.function()
            )
        })
        .collect();
    let template = routes::of_template(&read("template.yaml"));
    assert!(template.len() > 5, "{template:?}");
    assert_kept(
        "docs/openapi.yaml and template.yaml differ (an operation names its function as x-function):",
        &differences(&ours, &template),
    );
    let ours = operations
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    assert_kept(
        "docs/openapi.yaml and the README's table of endpoints differ:",
        &differences(&ours, &of_readme(&read("README.md"))),
    );
    let names: BTreeSet<&str> = operations.iter().map(|operation| operation.id()).collect();
    assert_eq!(names.len(), operations.len(), "an operationId comes twice");

    let readme =
        "\n| endpoint | does |\n|---|---|\n| `GET /a` (and `PUT`), `GET /b` | x `c` |\n\n| `no` |";
    assert_eq!(of_readme(readme), words(&["GET /a", "PUT /a", "GET /b"]));
}

#[test]
fn it_has_the_workspaces_version() {
    assert_eq!(
        document().root()["info"]["version"],
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn it_has_every_field_word_and_limit() {
    let document = document();
    let fields_of = |name: &str| {
        let fields = document.schema(name)["properties"].as_object();
        let names = fields.into_iter().flatten().map(|(field, _)| field.clone());
        names.collect::<BTreeSet<_>>()
    };
    let mut options = words(&OPTION_FIELDS);
    assert!(fields_of("EditRequest").is_superset(&options));
    options.insert("prompt".to_owned());
    assert_eq!(fields_of("GenerateRequest"), options);

    let mut formats = words(ImageFormat::WORDS);
    assert_eq!(
        texts(&document.schema("MadeImage")["properties"]["format"]["enum"]),
        formats
    );
    formats.insert("jpeg".to_owned());
    let statuses = RunStatus::ALL.map(RunStatus::as_str);
    let with_words = [
        (
            "AspectRatio",
            words(AspectRatio::WORDS),
            AspectRatio::default().as_str(),
        ),
        (
            "Quality",
            words(Quality::WORDS),
            Quality::default().as_str(),
        ),
        ("Format", formats, ImageFormat::default().as_str()),
        (
            "Resolution",
            words(Resolution::WORDS),
            Resolution::default().as_str(),
        ),
        (
            "Background",
            words(Background::WORDS),
            Background::default().as_str(),
        ),
        ("RunStatus", words(&statuses), ""),
    ];
    for (name, words, default) in with_words {
        let schema = document.schema(name);
        assert_eq!(texts(&schema["enum"]), words, "{name}");
        assert_eq!(
            schema["default"].as_str().unwrap_or_default(),
            default,
            "{name}"
        );
        // What is answered is one of the same words, without what is only read.
        for answer in ["MadeImage", "RunOptions"] {
            let field = name.to_lowercase().replace("aspectratio", "aspect_ratio");
            let answered = texts(&document.schema(answer)["properties"][field]["enum"]);
            let more: Vec<_> = words
                .difference(&answered)
                .filter(|word| *word != "jpeg")
                .collect();
            assert!(
                answered.is_empty() || more.is_empty(),
                "{answer} {name} {more:?}"
            );
        }
    }
    let styles = document.schema("Style")["description"]
        .as_str()
        .unwrap_or_default();
    for preset in PRESETS {
        assert!(
            styles.contains(&format!("`{}`", preset.name)),
            "{}",
            preset.name
        );
    }
    let limits = [
        ("Prompt", "/maxLength", LONGEST_PROMPT),
        ("ImageUrl", "/maxLength", LONGEST_URL),
        (
            "EditRequest",
            "/properties/images/maxItems",
            MOST_SOURCE_IMAGES,
        ),
        ("NewDatasetImage", "/properties/bytes/maximum", FETCH_LIMIT),
    ];
    for (name, place, limit) in limits {
        let written = document.schema(name).pointer(place).and_then(Value::as_u64);
        assert_eq!(written, u64::try_from(limit).ok(), "{name}{place}");
    }
}

#[test]
fn it_has_every_problem_code_and_no_other() {
    let document = document();
    let written = texts(&document.schema("ProblemCode")["enum"]);
    let sources = rust_sources().iter().filter(|source| source.is_deployed());
    let mut found: BTreeSet<String> = sources
        .flat_map(|source| problem_codes(&source.text))
        .collect();
    assert!(found.len() > 8, "{found:?}");
    let template = read("template.yaml");
    let of_gateway = template.split("\"code\":\"").skip(1);
    found.extend(of_gateway.filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
    assert_kept(
        "docs/openapi.yaml (ProblemCode), the functions and API Gateway's own answers in template.yaml differ:",
        &differences(&written, &found),
    );
    let table = document.schema("ProblemCode")["description"]
        .as_str()
        .unwrap_or_default();
    for code in &written {
        assert!(
            table.contains(&format!("\n| `{code}` |")),
            "{code} is not in the table"
        );
    }
    let text = "Self::new(\n StatusCode::CONFLICT,\n \"too-bad\",\n \"Bad\")";
    assert_eq!(problem_codes(text), ["too-bad"]);
}

#[test]
fn it_has_every_failure_code_of_our_own() {
    let document = document();
    let written = texts(&document.schema("RunErrorCode")["anyOf"][0]["enum"]);
    let mut quoted = BTreeSet::new();
    let mut missing = Vec::new();
    for source in rust_sources().iter().filter(|source| source.is_deployed()) {
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        quoted.extend(code.split('"').map(str::to_owned));
        missing.extend(
            failure_codes(code)
                .into_iter()
                .filter(|code| !written.contains(code)),
        );
    }
    assert_kept("Not in docs/openapi.yaml (RunErrorCode):", &missing);
    let stale: Vec<String> = written.difference(&quoted).cloned().collect();
    assert_kept(
        "In docs/openapi.yaml (RunErrorCode) and nowhere else:",
        &stale,
    );
    let text = "code: \"a\".into(), Failure::new(Class::B, \"b\", m) return Some(failed(\n\"c\", (\"d\", FailureClass::E)";
    assert_eq!(failure_codes(text), ["a", "b", "c", "d"]);
}

#[test]
fn its_references_lead_somewhere_and_its_examples_are_true() {
    let document = document();
    let mut mistakes = Vec::new();
    check(&document, document.root(), "", &mut mistakes);
    assert_kept("docs/openapi.yaml:", &mistakes);

    let text = "{content: {json: {schema: {type: integer, maximum: 3}, examples: {four: {value: 4}}}}, a: {$ref: '#/b'}}";
    let broken = Document::of(text).unwrap_or_else(|error| panic!("{error:#}"));
    let mut mistakes = Vec::new();
    check(&broken, broken.root(), "", &mut mistakes);
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
}

/// Looks at every node: a reference must lead somewhere, and the examples beside a schema must be what that says.
fn check(document: &Document, node: &Value, place: &str, mistakes: &mut Vec<String>) {
    if node["$ref"].is_string() && document.resolve(node).is_null() {
        mistakes.push(format!("{place}: {} leads nowhere", node["$ref"]));
    }
    let examples = node["examples"].as_object().into_iter().flatten();
    for (name, example) in examples.filter(|_| node.get("schema").is_some()) {
        let place = format!("{place}/examples/{name}");
        mistakes.extend(schema::mistakes(
            document,
            &node["schema"],
            &example["value"],
            &place,
        ));
    }
    match node {
        Value::Object(fields) => {
            for (name, below) in fields {
                check(document, below, &format!("{place}/{name}"), mistakes);
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                check(document, below, &format!("{place}/{index}"), mistakes);
            }
        }
        _ => {}
    }
}

#[test]
fn an_answer_outside_the_document_is_noticed() {
    let text = r##"
paths:
  /a/{id}:
    get:
      responses:
        "200":
          headers: {ETag: {required: true, schema: {pattern: "^x"}}}
          content: {application/json: {schema: {type: object, required: [b], properties: {b: {type: [integer, "null"], minimum: 1}}}}}
        "204": {description: Nothing.}
  /a/b: {post: {responses: {}}}
"##;
    let document = Document::of(text).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(
        document.operation("GET", "/a/b").is_none(),
        "that path has no GET"
    );
    let operation = document.operation("GET", "/a/7");
    let operation = operation.unwrap_or_else(|| panic!("that path has a GET"));
    let json = "application/json";
    let table = [
        (200, json, "x", json!({"b": 1}), 0),
        (200, json, "x", json!({"b": null}), 0),
        (200, json, "y", json!({"b": 1}), 1),
        (200, json, "x", json!({"b": 0}), 1),
        (200, json, "x", json!({"b": "1", "c": 1}), 2),
        (200, json, "x", json!({}), 1),
        (200, json, "x", json!([]), 1),
        (200, "text/html", "x", json!("<html>"), 1),
        (204, json, "x", Value::Null, 0),
        (204, json, "x", json!({}), 1),
        (500, json, "x", json!({}), 1),
    ];
    for (status, media_type, etag, body, count) in table {
        let headers = [("content-type", media_type), ("etag", etag)];
        let headers = headers.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let headers = Map::from_iter(headers);
        let answer = Answered {
            status,
            headers: &headers,
            body: &body,
        };
        let mistakes = operation.mistakes(answer);
        assert_eq!(mistakes.len(), count, "{status} {etag} {body} {mistakes:?}");
    }
}
