//! Fields that cannot be used, and what is said of each.

use super::*;
use crate::domain::image::Quality;

fn errors(body: &str) -> Vec<(String, String)> {
    let known = ["prompt", "quality", "metadata", "retry"];
    let mut fields = match Fields::parse(body.as_bytes(), &known) {
        Ok(fields) => fields,
        Err(problem) => return vec![(problem.code().to_owned(), String::new())],
    };
    fields.required_text("prompt", 1..=5);
    fields.word::<Quality>("quality", Quality::WORDS);
    fields.object("metadata", 20);
    fields.boolean("retry");
    fields
        .errors
        .into_iter()
        .map(|error| (error.field, error.message))
        .collect()
}

#[test]
fn lists_and_numbers_name_what_is_wrong_in_them() {
    let table: &[(&str, &[&str])] = &[
        (r#"{"list": [" a ", "b"], "count": 3}"#, &[]),
        (r#"{"list": [], "count": null}"#, &[]),
        (r#"{"list": "a"}"#, &["list"]),
        (r#"{"list": ["a", "b", "c"]}"#, &["list"]),
        (r#"{"list": ["", 7]}"#, &["list[0]", "list[1]"]),
        (r#"{"list": [null, "abcd"]}"#, &["list[0]", "list[1]"]),
        (r#"{"count": 0}"#, &["count"]),
        (r#"{"count": 4}"#, &["count"]),
        (r#"{"count": "3"}"#, &["count"]),
        (r#"{"count": 1.5}"#, &["count"]),
    ];
    for (body, named) in table {
        let mut fields = Fields::parse(body.as_bytes(), &["list", "count"]).unwrap();
        let list = fields.texts("list", 2, 1..=3);
        fields.number("count", 1..=3);
        let found: Vec<&str> = fields
            .errors
            .iter()
            .map(|error| error.field.as_str())
            .collect();
        assert_eq!(&found, named, "{body}");
        if body.contains(" a ") {
            assert_eq!(list.unwrap(), ["a", "b"]);
        }
    }
}

#[test]
fn saved_values_fill_what_was_left_out_and_say_so_where_they_are_wrong() {
    let known = ["prompt", "quality", "style"];
    let body = br#"{"prompt": "a dog", "style": null}"#;
    let mut fields = Fields::parse(body, &known).unwrap();
    let saved = serde_json::json!({"prompt": "a cat", "quality": "best", "style": "woodcut"});
    fields.fill(saved.as_object().unwrap().clone());
    assert_eq!(fields.required_text("prompt", 1..=9), "a dog");
    assert_eq!(fields.text("style", 1..=9), None);
    assert_eq!(fields.word::<Quality>("quality", Quality::WORDS), None);
    let problem = fields.finish().unwrap_err();
    assert_eq!(problem.errors().len(), 1);
    let error = &problem.errors()[0];
    assert_eq!(error.field, "quality");
    assert!(error.message.ends_with("max. This is the saved value."));
}

#[test]
fn each_mistake_names_its_field() {
    let table: &[(&str, &[(&str, &str)])] = &[
        (r#"{"prompt": " cat "}"#, &[]),
        (
            r#"{"prompt": "cat", "quality": null, "metadata": null}"#,
            &[],
        ),
        ("", &[("malformed-json", "")]),
        ("[1]", &[("invalid-request", "")]),
        ("{}", &[("prompt", "is required.")]),
        (r#"{"prompt": null}"#, &[("prompt", "is required.")]),
        (r#"{"prompt": "  "}"#, &[("prompt", "is empty.")]),
        (r#"{"prompt": 7}"#, &[("prompt", "must be a string.")]),
        (
            r#"{"prompt": "kitten"}"#,
            &[("prompt", "has 6 characters.")],
        ),
        (
            r#"{"prompt": "a\u0000"}"#,
            &[("prompt", "holds a NUL character.")],
        ),
        (
            r#"{"promt": "cat", "prompt": "cat"}"#,
            &[("promt", "is not a known field; did you mean prompt?")],
        ),
        (
            r#"{"zzzzzzzzzzzz": 1, "prompt": "cat"}"#,
            &[("zzzzzzzzzzzz", "is not a known field.")],
        ),
        (
            r#"{"prompt": "cat", "quality": "best", "metadata": [], "retry": "yes"}"#,
            &[
                (
                    "quality",
                    "\"best\" is none of standard, hd, low, medium, high, auto, xhigh, max.",
                ),
                ("metadata", "must be an object."),
                ("retry", "must be true or false."),
            ],
        ),
        (
            r#"{"prompt": "cat", "metadata": {"a": "0123456789abcdef"}}"#,
            &[("metadata", "has 24 bytes as JSON.")],
        ),
    ];
    for (body, expected) in table {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(field, message)| ((*field).to_owned(), (*message).to_owned()))
            .collect();
        assert_eq!(errors(body), expected, "{body}");
    }
}
