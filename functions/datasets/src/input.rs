//! What a dataset may be.

use serde_json::{Map, Value};
use shared::http::{FieldError, Problem, fields::Fields};

const FIELDS: [&str; 5] = [
    "name",
    "brand",
    "vibe",
    "style_guidelines",
    "unique_visual_elements",
];
/// Longest name and brand, in characters.
const NAME: usize = 200;
/// Longest vibe, in characters.
const VIBE: usize = 500;
/// Longest guidelines, in characters: together with the rest they must leave room for a prompt.
const GUIDELINES: usize = 8_000;
/// Most visual elements.
const ELEMENTS: usize = 50;
/// Longest visual element, in characters.
const ELEMENT: usize = 200;

/// Reads a new dataset.
pub(crate) fn new(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let mut fields = Fields::parse(body, &FIELDS)?;
    let name = fields.required_text("name", 1..=NAME);
    let mut dataset = read(&mut fields);
    dataset.insert("name".to_owned(), name.into());
    fields.finish()?;
    Ok(dataset)
}

/// Reads changes: what is left out stays, null empties.
pub(crate) fn changes(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let mut fields = Fields::parse(body, &FIELDS)?;
    let emptied: Vec<&str> = FIELDS
        .into_iter()
        .filter(|name| fields.is_null(name))
        .collect();
    if emptied.contains(&"name") {
        let allowed = format!("a string of 1 to {NAME} characters");
        fields.error(FieldError::new("name", "cannot be null.", allowed));
    }
    let name = fields.text("name", 1..=NAME);
    let mut changes = read(&mut fields);
    changes.extend(name.map(|name| ("name".to_owned(), name.into())));
    let emptied = emptied
        .into_iter()
        .map(|name| (name.to_owned(), Value::Null));
    changes.extend(emptied);
    fields.finish()?;
    Ok(changes)
}

/// The fields that are given, but for the name.
fn read(fields: &mut Fields) -> Map<String, Value> {
    let brand = fields.text("brand", 1..=NAME);
    let vibe = fields.text("vibe", 1..=VIBE);
    let style_guidelines = fields.text("style_guidelines", 1..=GUIDELINES);
    let elements = fields.texts("unique_visual_elements", ELEMENTS, 1..=ELEMENT);
    let given = [
        ("brand", brand.map(Value::from)),
        ("vibe", vibe.map(Value::from)),
        ("style_guidelines", style_guidelines.map(Value::from)),
        ("unique_visual_elements", elements.map(Value::from)),
    ];
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_given_is_read() {
        let body = json!({"name": " Coffee Co ", "brand": null, "vibe": "cozy", "unique_visual_elements": ["wooden tables"]});
        assert_eq!(
            Value::from(new(body.to_string().as_bytes()).unwrap()),
            json!({"name": "Coffee Co", "vibe": "cozy", "unique_visual_elements": ["wooden tables"]})
        );
        assert_eq!(
            Value::from(changes(body.to_string().as_bytes()).unwrap()),
            json!({"name": "Coffee Co", "brand": null, "vibe": "cozy", "unique_visual_elements": ["wooden tables"]})
        );
        assert_eq!(Value::from(changes(b"{}").unwrap()), json!({}));
    }

    #[test]
    fn each_mistake_names_its_field() {
        let long = "x".repeat(GUIDELINES + 1);
        let many = vec!["x"; ELEMENTS + 1];
        let table: [(Value, bool, &[&str]); 7] = [
            (json!({}), true, &["name"]),
            (json!({"name": ""}), true, &["name"]),
            (json!({"name": null}), false, &["name"]),
            (json!({"name": "a", "brnad": "b"}), true, &["brnad"]),
            (
                json!({"name": "a", "brand": 7, "vibe": ""}),
                true,
                &["brand", "vibe"],
            ),
            (
                json!({"style_guidelines": long, "unique_visual_elements": many}),
                false,
                &["style_guidelines", "unique_visual_elements"],
            ),
            (
                json!({"unique_visual_elements": ["a", 7]}),
                false,
                &["unique_visual_elements[1]"],
            ),
        ];
        for (body, is_new, named) in table {
            let text = body.to_string();
            let read = if is_new {
                new(text.as_bytes())
            } else {
                changes(text.as_bytes())
            };
            let problem = read.unwrap_err();
            let found: Vec<&str> = problem
                .errors()
                .iter()
                .map(|error| error.field.as_str())
                .collect();
            assert_eq!(found, named, "{body}");
        }
    }
}
