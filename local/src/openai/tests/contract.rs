//! Answers against OpenAI's own published document, where it lies beside the project.

use std::path::Path;

use serde_json::{Value, json};

use super::{control, generate, order, stand_in, with};

/// The part of JSON Schema that the document uses. Says where a value breaks it.
fn breach(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference}"));
        return breach(document, schema, value, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let breaches = choices
            .iter()
            .map(|choice| breach(document, choice, value, place))
            .collect::<Vec<_>>();
        if breaches.iter().all(Option::is_some) {
            return breaches.into_iter().flatten().next();
        }
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    if !types.is_empty() && !types.iter().any(|name| name.as_str().is_some_and(is)) {
        return Some(format!("{place} is {value}, not {types:?}"));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|allowed| !allowed.contains(value))
    {
        return Some(format!("{place} is {value}, not one of {}", schema["enum"]));
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap_or_default()).is_none() {
            return Some(format!("{place}.{required} is missing"));
        }
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            // Not all schemas forbid other fields, yet a stand-in should not invent any.
            let Some(schema) = properties.get(name) else {
                return Some(format!("{place} is unknown"));
            };
            if let Some(breach) = breach(document, schema, value, &place) {
                return Some(breach);
            }
        }
    }
    let items = value.as_array().into_iter().flatten();
    items.enumerate().find_map(|(index, item)| {
        breach(
            document,
            &schema["items"],
            item,
            &format!("{place}[{index}]"),
        )
    })
}

#[tokio::test]
async fn answers_have_the_shape_of_the_published_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/contracts/openai-images.openapi.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: OpenAI's document is not at {}", path.display());
        return;
    };
    let document = serde_yaml_ng::from_str::<Value>(&text).unwrap();
    let schema = |name: &str| document["components"]["schemas"][name].clone();
    let (_running, address) = stand_in().await;

    for order in [
        order(),
        with("background", json!("transparent")),
        with("safety_identifier", json!("someone")),
    ] {
        let answer = generate(address, &order).await.json();
        assert_eq!(
            breach(&document, &schema("ImagesResponse"), &answer, "answer"),
            None
        );
    }

    let mut order = with("stream", json!(true));
    order["partial_images"] = json!(1);
    let answer = generate(address, &order).await;
    let text = String::from_utf8(answer.body).unwrap();
    let events = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect::<Vec<_>>();
    for (data, name) in events
        .iter()
        .zip(["ImageGenPartialImageEvent", "ImageGenCompletedEvent"])
    {
        // The document does not have the newest details of usage in events; the answer without a stream has them.
        let mut event = serde_json::from_str::<Value>(data).unwrap();
        if let Some(usage) = event.get_mut("usage").and_then(Value::as_object_mut) {
            usage.remove("output_tokens_details");
        }
        assert_eq!(breach(&document, &schema(name), &event, name), None);
    }

    // Each error that the document shows by name: same status, type and code.
    let responses = document["components"]["responses"].as_object().unwrap();
    let statuses = [
        ("BadRequest", 400),
        ("Unauthorized", 401),
        ("Forbidden", 403),
        ("TooManyRequests", 429),
        ("ServerError", 500),
        ("Overloaded", 503),
    ];
    for (name, status) in statuses {
        let examples = responses[name]["content"]["application/json"]["examples"]
            .as_object()
            .unwrap();
        for (example, shown) in examples {
            let shown = &shown["value"]["error"];
            let mut entry = json!({"status": status});
            if let Some(code) = shown["code"].as_str() {
                entry["code"] = code.into();
            }
            control(address, &json!({"script": [entry]})).await;
            let answer = generate(address, &super::order()).await;
            let error = &answer.json()["error"];
            assert_eq!(
                breach(&document, &schema("ErrorResponse"), &answer.json(), example),
                None
            );
            assert_eq!(
                (answer.status, &error["type"], &error["code"]),
                (status, &shown["type"], &shown["code"]),
                "{example}"
            );
            assert_eq!(
                error["moderation_details"], shown["moderation_details"],
                "{example}"
            );
        }
    }
}
