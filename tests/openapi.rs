//! `docs/openapi.yaml`, and what it says of requests and answers.

pub mod schema;

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

/// The methods that an operation may have.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The document.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

/// A method of a path.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    document: &'a Document,
    /// In capitals.
    pub method: &'a str,
    /// With its parameters in braces.
    pub path: &'a str,
    of_path: &'a Value,
    node: &'a Value,
}

/// An answer, as far as the document says something of it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, with names in lower case.
    pub headers: &'a Map<String, Value>,
    /// Its body, null where it has none.
    pub body: &'a Value,
}

impl Document {
    /// Reads it.
    ///
    /// # Errors
    /// It is not there, or no YAML.
    pub fn read() -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.yaml");
        let text = std::fs::read_to_string(path).context("docs/openapi.yaml")?;
        Self::of(&text)
    }

    /// Reads a document from its text.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn of(text: &str) -> anyhow::Result<Self> {
        let root = serde_yaml_ng::from_str(text).context("the document is no YAML")?;
        Ok(Self { root })
    }

    /// The whole of it.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// One of its schemas by name; null where there is none.
    pub fn schema(&self, name: &str) -> &Value {
        &self.root["components"]["schemas"][name]
    }

    /// What a node stands for: itself, or what its `$ref` leads to.
    pub fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str().and_then(|at| at.strip_prefix('#')) {
            Some(at) => self
                .root
                .pointer(at)
                .map_or(&Value::Null, |found| self.resolve(found)),
            None => node,
        }
    }

    /// Every operation.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.root["paths"].as_object().into_iter().flatten();
        let operations = paths.flat_map(|(path, of_path)| {
            let methods = of_path.as_object().into_iter().flatten();
            methods.filter_map(move |(method, node)| {
                let method = METHODS.iter().find(|known| **known == method)?;
                Some(Operation {
                    document: self,
                    method: capitals(method),
                    path,
                    of_path,
                    node,
                })
            })
        });
        operations.collect()
    }

    /// The operation that a request is one of. A segment that is written out wins over a parameter.
    pub fn operation(&self, method: &str, path: &str) -> Option<Operation<'_>> {
        let fits = |template: &str| {
            let (own, given) = (template.split('/'), path.split('/'));
            own.clone().count() == given.clone().count()
                && own
                    .zip(given)
                    .all(|(own, given)| own == given || own.starts_with('{'))
        };
        let mut found: Vec<_> = self.operations();
        found.retain(|operation| fits(operation.path));
        let parameters = |operation: &Operation<'_>| operation.path.matches('{').count();
        let most_specific = found.iter().map(parameters).min();
        found.into_iter().find(|operation| {
            Some(parameters(operation)) == most_specific && operation.method == method
        })
    }
}

impl<'a> Operation<'a> {
    /// The name of the function that answers.
    pub fn function(&self) -> &'a str {
        self.node["x-function"].as_str().unwrap_or("?")
    }

    /// Its name in the document.
    pub fn id(&self) -> &'a str {
        self.node["operationId"].as_str().unwrap_or("?")
    }

    /// The names of its parameters in one place: `query`, `path` or `header`.
    pub fn parameters(&self, place: &str) -> Vec<&'a str> {
        let lists = [self.of_path, self.node].map(|node| node["parameters"].as_array());
        let all = lists.into_iter().flatten().flatten();
        all.map(|parameter| self.document.resolve(parameter))
            .filter(|parameter| parameter["in"] == place)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect()
    }

    /// The schema of its body where that is JSON.
    pub fn json_body(&self) -> Option<&'a Value> {
        let schema = self
            .node
            .pointer("/requestBody/content/application~1json/schema")?;
        Some(self.document.resolve(schema))
    }

    /// The statuses that it may answer with.
    pub fn statuses(&self) -> Vec<&'a str> {
        let responses = self.node["responses"].as_object().into_iter().flatten();
        responses.map(|(status, _)| status.as_str()).collect()
    }

    /// What is wrong with an answer: a status, header, media type or field that the document does not have, or has otherwise.
    pub fn mistakes(&self, answer: Answered<'_>) -> Vec<String> {
        let document = self.document;
        let response = &self.node["responses"][answer.status.to_string()];
        let response = document.resolve(response);
        if response.is_null() {
            return vec![format!("the status {} is not listed", answer.status)];
        }
        let mut mistakes = Vec::new();
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = document.resolve(header);
            match answer.headers.get(&name.to_lowercase()) {
                None if header["required"] == true => mistakes.push(format!("{name} is missing")),
                None => {}
                Some(value) => {
                    let number = value.as_str().and_then(|text| text.parse().ok());
                    let is_number = header["schema"]["type"] == "integer";
                    let value = number
                        .filter(|_| is_number)
                        .map_or_else(|| value.clone(), |number: i64| number.into());
                    mistakes.extend(schema::mistakes(document, &header["schema"], &value, name));
                }
            }
        }
        let media_type = answer.headers.get("content-type").and_then(Value::as_str);
        let media_type = media_type.map(|full| full.split(';').next().unwrap_or(full).trim());
        let content = response["content"].as_object();
        match (content, media_type) {
            (None, _) if answer.body.is_null() => {}
            (None, _) => mistakes.push("it has a body".to_owned()),
            (Some(content), Some(media_type)) => match content.get(media_type) {
                None => mistakes.push(format!("it is {media_type}")),
                // A stream, of which the schema says what one event is.
                Some(_) if !media_type.ends_with("json") => {}
                Some(media) => {
                    let found = schema::mistakes(document, &media["schema"], answer.body, "body");
                    mistakes.extend(found);
                }
            },
            (Some(_), None) => mistakes.push("it has no media type".to_owned()),
        }
        mistakes
    }
}

fn capitals(method: &'static str) -> &'static str {
    match method {
        "get" => "GET",
        "post" => "POST",
        "put" => "PUT",
        "patch" => "PATCH",
        _ => "DELETE",
    }
}
