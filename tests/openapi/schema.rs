//! As much of JSON Schema as the document uses. A keyword that is not known here is a mistake, so that none is passed over.

use serde_json::Value;

use super::Document;

/// What says nothing about values.
const NOTES: [&str; 5] = [
    "description",
    "default",
    "examples",
    "contentMediaType",
    "$ref",
];

/// What is wrong with a value. An object (`type: object`) may have no field but those that its schema lists, unless that says
/// `additionalProperties` or lists none: what is not in the document is not to be answered.
pub fn mistakes(document: &Document, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut check = Check {
        document,
        mistakes: Vec::new(),
    };
    check.value(schema, value, place);
    check.mistakes
}

struct Check<'a> {
    document: &'a Document,
    mistakes: Vec<String>,
}

impl Check<'_> {
    fn wrong(&mut self, place: &str, what: impl std::fmt::Display) {
        self.mistakes.push(format!("{place}: {what}"));
    }

    fn value(&mut self, schema: &Value, value: &Value, place: &str) {
        if let Some(at) = schema["$ref"].as_str() {
            let target = self.document.resolve(schema);
            match target.is_null() {
                true => self.wrong(place, format!("{at} leads nowhere")),
                false => self.value(target, value, place),
            }
        }
        let Some(keywords) = schema.as_object() else {
            self.wrong(place, "has no schema");
            return;
        };
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                note if NOTES.contains(&note) => {}
                "type" if is_of_type(rule, value) => {}
                "type" => self.wrong(place, format!("{value} is no {rule}")),
                "enum" if rule.as_array().is_some_and(|words| words.contains(value)) => {}
                "enum" => self.wrong(place, format!("{value} is none of {rule}")),
                "const" if rule == value => {}
                "const" => self.wrong(place, format!("{value} is not {rule}")),
                "anyOf" => self.some_of(rule, value, place, |fitting| fitting > 0),
                "oneOf" => self.some_of(rule, value, place, |fitting| fitting == 1),
                "not" => self.some_of(&Value::from(vec![rule.clone()]), value, place, |fitting| {
                    fitting == 0
                }),
                "required" | "properties" | "additionalProperties" => {}
                "items" => self.items(rule, value, place),
                _ => self.bound(keyword, rule, value, place),
            }
        }
        self.fields(schema, value, place);
    }

    fn some_of(
        &mut self,
        schemas: &Value,
        value: &Value,
        place: &str,
        is_right: fn(usize) -> bool,
    ) {
        let schemas: Vec<&Value> = schemas.as_array().into_iter().flatten().collect();
        let found: Vec<Vec<String>> = schemas
            .iter()
            .map(|schema| mistakes(self.document, schema, value, place))
            .collect();
        let fitting = found.iter().filter(|mistakes| mistakes.is_empty()).count();
        if !is_right(fitting) {
            let reasons: Vec<String> = found.into_iter().flatten().collect();
            self.wrong(
                place,
                format!(
                    "fits {fitting} of {} ({})",
                    schemas.len(),
                    reasons.join("; ")
                ),
            );
        }
    }

    fn fields(&mut self, schema: &Value, value: &Value, place: &str) {
        let Some(fields) = value.as_object() else {
            return;
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !fields.contains_key(name) {
                self.wrong(place, format!("{name} is missing"));
            }
        }
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            match properties.get(name) {
                Some(schema) => self.value(schema, value, &place),
                None if schema["type"] != "object" || schema["additionalProperties"] == true => {}
                None => self.wrong(&place, "is not in the document"),
            }
        }
    }

    fn items(&mut self, schema: &Value, value: &Value, place: &str) {
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.value(schema, item, &format!("{place}[{index}]"));
        }
    }

    fn bound(&mut self, keyword: &str, rule: &Value, value: &Value, place: &str) {
        let count = |length: usize| length as f64;
        let characters = value.as_str().map(|text| count(text.chars().count()));
        let elements = value.as_array().map(|items| count(items.len()));
        let (size, is_least) = match keyword {
            "minLength" => (characters, true),
            "maxLength" => (characters, false),
            "minItems" => (elements, true),
            "maxItems" => (elements, false),
            "minimum" => (value.as_f64(), true),
            "maximum" => (value.as_f64(), false),
            "pattern" | "format" => return self.form(keyword, rule, value, place),
            _ => return self.wrong(place, format!("{keyword} is not known to this check")),
        };
        let limit = rule.as_f64().unwrap_or(f64::NAN);
        let is_kept = size.is_none_or(|size| match is_least {
            true => size >= limit,
            false => size <= limit,
        });
        if !is_kept {
            self.wrong(place, format!("{value} breaks {keyword} {rule}"));
        }
    }

    fn form(&mut self, keyword: &str, rule: &Value, value: &Value, place: &str) {
        let (Some(text), Some(rule)) = (value.as_str(), rule.as_str()) else {
            return;
        };
        let fits = match (keyword, rule) {
            ("pattern", pattern) => {
                regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
            }
            (_, "uuid") => uuid::Uuid::parse_str(text).is_ok(),
            (_, "date-time") => text.parse::<jiff::Timestamp>().is_ok(),
            (_, "date") => text.parse::<jiff::civil::Date>().is_ok(),
            (_, "uri") => text.contains("://"),
            _ => false,
        };
        if !fits {
            self.wrong(place, format!("{text:?} breaks {keyword} {rule}"));
        }
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is_one = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    match rule.as_array() {
        Some(names) => names.iter().any(is_one),
        None => is_one(rule),
    }
}
