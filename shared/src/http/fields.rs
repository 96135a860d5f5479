//! Reading a JSON body field by field: every mistake is found in one pass, and each names its field and what would be accepted.

use std::{collections::BTreeSet, ops::RangeInclusive, str::FromStr};

use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};

/// A JSON object being read. [`Fields::finish`] tells what was wrong.
#[derive(Debug)]
pub struct Fields {
    fields: Map<String, Value>,
    saved: BTreeSet<String>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads a body that must be an object with none but the known fields.
    ///
    /// # Errors
    /// 400 where the body is no JSON or no object. An unknown field is an error like any other, and waits for [`Fields::finish`].
    pub fn parse(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            let place = format!(
                "body: line {}, column {}: this is not JSON.",
                error.line(),
                error.column()
            );
            Problem::malformed_json(place)
        })?;
        let Value::Object(fields) = value else {
            return Err(Problem::invalid_field(
                "body",
                "must be a JSON object.",
                "a JSON object",
            ));
        };
        let unknown = fields.keys().filter(|name| !known.contains(&name.as_str()));
        let errors = unknown
            .map(|name| unknown_name(name, known, "field"))
            .collect();
        Ok(Self {
            fields,
            saved: BTreeSet::new(),
            errors,
        })
    }

    /// Gives fields that were left out the values that were saved with an earlier request. Null is not left out. A mistake in a saved
    /// value is named as any other, and said to be a saved one.
    pub fn fill(&mut self, saved: Map<String, Value>) {
        for (name, value) in saved {
            if !self.fields.contains_key(&name) {
                self.saved.insert(name.clone());
                self.fields.insert(name, value);
            }
        }
    }

    /// Notes a mistake found elsewhere.
    pub fn error(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// Whether a field is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is there and null.
    pub fn is_null(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_null)
    }

    /// Takes a field as it is; null counts as left out.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// A text whose length after trimming, in characters, lies in a range.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let allowed = format!(
            "a string of {} to {} characters",
            length.start(),
            length.end()
        );
        let Some(Value::String(text)) =
            self.typed(name, "must be a string.", allowed.clone(), Value::is_string)?
        else {
            return None;
        };
        // Postgres keeps no NUL in text, and no prompt means one.
        if text.contains('\0') {
            self.error(FieldError::new(name, "holds a NUL character.", allowed));
            return None;
        }
        let trimmed = text.trim();
        let characters = trimmed.chars().count();
        if !length.contains(&characters) {
            let message = if characters == 0 {
                "is empty.".to_owned()
            } else {
                format!("has {characters} characters.")
            };
            self.error(FieldError::new(name, message, allowed));
            return None;
        }
        Some(trimmed.to_owned())
    }

    /// A text that must be there.
    pub fn required_text(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        if !self.has(name) {
            self.error(FieldError::new(
                name,
                "is required.",
                format!(
                    "a string of {} to {} characters",
                    length.start(),
                    length.end()
                ),
            ));
            return String::new();
        }
        self.text(name, length).unwrap_or_default()
    }

    /// One of a field's words.
    pub fn word<T: FromStr>(&mut self, name: &str, words: &[&str]) -> Option<T> {
        let allowed = Value::from(words.to_vec());
        let Some(Value::String(text)) =
            self.typed(name, "must be a string.", allowed.clone(), Value::is_string)?
        else {
            return None;
        };
        let read = text.parse().ok();
        if read.is_none() {
            self.error(FieldError::new(
                name,
                format!("{:?} is none of {}.", clip(&text), words.join(", ")),
                allowed,
            ));
        }
        read
    }

    /// A text of a form of its own, such as an id.
    pub fn parsed<T: FromStr>(&mut self, name: &str, form: &str) -> Option<T> {
        let Some(Value::String(text)) =
            self.typed(name, "must be a string.", form, Value::is_string)?
        else {
            return None;
        };
        let read = text.parse().ok();
        if read.is_none() {
            self.error(FieldError::new(
                name,
                format!("{:?} is not {form}.", clip(&text)),
                form,
            ));
        }
        read
    }

    /// A switch.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.typed(
            name,
            "must be true or false.",
            Value::from(vec![true, false]),
            Value::is_boolean,
        )??
        .as_bool()
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.value(name)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(FieldError::new(
                name,
                format!("must be {allowed}."),
                allowed,
            ));
        }
        number
    }

    /// A list of at most so many texts, each of a length after trimming, in characters. Their mistakes name them as `name[0]`.
    pub fn texts(
        &mut self,
        name: &str,
        most: usize,
        length: RangeInclusive<usize>,
    ) -> Option<Vec<String>> {
        let allowed = format!(
            "at most {most} strings of {} to {} characters",
            length.start(),
            length.end()
        );
        let Some(Value::Array(items)) =
            self.typed(name, "must be a list.", allowed.clone(), Value::is_array)?
        else {
            return None;
        };
        if items.len() > most {
            let message = format!("has {} elements.", items.len());
            self.error(FieldError::new(name, message, allowed));
            return None;
        }
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{name}[{index}]");
            // Null is no text, where it would be no field.
            if item.is_null() {
                self.error(FieldError::new(place, "must be a string.", allowed.clone()));
                continue;
            }
            self.fields.insert(place.clone(), item);
            texts.extend(self.text(&place, length.clone()));
        }
        Some(texts)
    }

    /// An object of at most so many bytes as JSON.
    pub fn object(&mut self, name: &str, bytes: usize) -> Option<Map<String, Value>> {
        let allowed = format!("a JSON object of at most {bytes} bytes");
        let value = self.typed(
            name,
            "must be an object.",
            allowed.clone(),
            Value::is_object,
        )??;
        let text = value.to_string();
        if text.len() > bytes {
            self.error(FieldError::new(
                name,
                format!("has {} bytes as JSON.", text.len()),
                allowed,
            ));
            return None;
        }
        // jsonb keeps no NUL either.
        if holds_nul(&value) {
            self.error(FieldError::new(name, "holds a NUL character.", allowed));
            return None;
        }
        match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every mistake found.
    pub fn finish(mut self) -> Result<(), Problem> {
        for error in &mut self.errors {
            if self.saved.contains(&error.field) {
                error.message.push_str(" This is the saved value.");
            }
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.errors))
        }
    }

    /// Takes a field and checks its type. `None`: left out; `Some(None)`: of another type, noted.
    #[expect(
        clippy::option_option,
        reason = "left out and wrong are different, and both are no value"
    )]
    fn typed(
        &mut self,
        name: &str,
        message: &str,
        allowed: impl Into<Value>,
        check: fn(&Value) -> bool,
    ) -> Option<Option<Value>> {
        let value = self.value(name)?;
        if check(&value) {
            return Some(Some(value));
        }
        self.error(FieldError::new(name, message, allowed));
        Some(None)
    }
}

/// The mistake of an unknown field or parameter, with the nearest known one.
pub fn unknown_name(name: &str, known: &[&str], kind: &str) -> FieldError {
    let nearest = known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&clip(name).to_lowercase(), candidate),
                *candidate,
            )
        })
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(4) / 2);
    let message = match nearest {
        Some((_, nearest)) => format!("is not a known {kind}; did you mean {nearest}?"),
        None => format!("is not a known {kind}."),
    };
    FieldError::new(clip(name), message, known.to_vec())
}

/// Whether a text or a key within a value holds a NUL character. The depth is the parser's, 128 at most.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// A value as an error message quotes it: short.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
