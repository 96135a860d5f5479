//! Reading query parameters, with the same care as a body's fields.

use std::{ops::RangeInclusive, str::FromStr};

use http::header;
use lambda_http::{Request, RequestExt};

use super::{
    fields::{clip, unknown_name},
    problem::{FieldError, Problem},
    request::text,
};
use crate::domain::page::{Cursor, ListKey};

/// Parameters being read. [`Query::finish`] tells what was wrong.
#[derive(Debug)]
pub struct Query {
    parameters: Vec<(String, String)>,
    errors: Vec<FieldError>,
    /// Parameters that go by another name here: theirs, and the one that callers use.
    renamed: Vec<(&'static str, &'static str)>,
}

impl Query {
    /// Reads the parameters of a request. One that is not known, or comes twice, is a mistake that waits for [`Query::finish`].
    pub fn parse(request: &Request, known: &[&str]) -> Self {
        let parameters = request.query_string_parameters();
        Self::of(
            parameters
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            known,
        )
    }

    /// Reads the parameters of a request whose sender adds some of its own, such as a vendor's client, and may send them as a form:
    /// Ably's client leaves the query of its `authUrl` away when it renews a token with POST, and sends `authParams` as a form. A known one
    /// that comes with two values is a mistake.
    pub fn with_form_passing_over_unknown(request: &Request, known: &[&str]) -> Self {
        let in_query = request.query_string_parameters();
        let in_query = in_query
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let is_form = text(request.headers(), header::CONTENT_TYPE.as_str()).is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let form: &[u8] = if is_form {
            request.body().as_ref()
        } else {
            b""
        };
        let in_form = url::form_urlencoded::parse(form)
            .map(|(name, value)| (name.into_owned(), value.into_owned()));
        // A parameter without a value in one place may have one in the other.
        let parameters: Vec<(String, String)> = in_query
            .chain(in_form)
            .filter(|(name, value)| known.contains(&name.as_str()) && !value.is_empty())
            .collect();
        let mut errors = Vec::new();
        for name in known {
            let mut values = parameters
                .iter()
                .filter(|(parameter, _)| parameter == name)
                .map(|(_, value)| value);
            let first = values.next();
            if values.any(|value| Some(value) != first) {
                errors.push(FieldError::new(*name, "has two values.", "one value"));
            }
        }
        Self {
            parameters,
            errors,
            renamed: Vec::new(),
        }
    }

    fn of(parameters: Vec<(String, String)>, known: &[&str]) -> Self {
        let mut errors = Vec::new();
        for (at, (name, _)) in parameters.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                errors.push(unknown_name(name, known, "parameter"));
            } else if parameters[..at].iter().any(|(earlier, _)| earlier == name) {
                errors.push(FieldError::new(
                    name,
                    "is given more than once.",
                    "one value",
                ));
            }
        }
        Self {
            parameters,
            errors,
            renamed: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn of_pairs(parameters: &[(&str, &str)], known: &[&str]) -> Self {
        let owned = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::of(owned, known)
    }

    /// Notes a mistake found elsewhere.
    pub fn error(&mut self, mut error: FieldError) {
        error.field = self.name_here(&error.field).to_owned();
        self.errors.push(error);
    }

    /// From now on what is read as `name` is the parameter `here`: where another parameter has the name that lists use.
    pub fn rename(&mut self, name: &'static str, here: &'static str) {
        self.renamed.push((name, here));
    }

    fn name_here<'a>(&self, name: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(theirs, _)| *theirs == name);
        renamed.map_or(name, |(_, here)| here)
    }

    /// A parameter's text; an empty one counts as left out.
    pub fn text(&self, name: &str) -> Option<&str> {
        let name = self.name_here(name);
        self.parameters
            .iter()
            .find(|(parameter, _)| parameter == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some((_, text)) = self
            .parameters
            .iter()
            .find(|(parameter, _)| parameter == name)
        else {
            return default;
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let allowed = if *range.end() == i64::MAX {
                    format!("a whole number from {}", range.start())
                } else {
                    format!("a whole number from {} to {}", range.start(), range.end())
                };
                let message = format!("must be {allowed}.");
                self.error(FieldError::new(name, message, allowed));
                default
            }
        }
    }

    /// A text of a form of its own, such as an id.
    pub fn parsed<T: FromStr>(&mut self, name: &str, form: &str) -> Option<T> {
        let text = self.text(name)?;
        let read = text.parse().ok();
        if read.is_none() {
            self.error(FieldError::new(name, format!("is not {form}."), form));
        }
        read
    }

    /// One of a parameter's words.
    pub fn word<T>(
        &mut self,
        name: &str,
        words: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let read = read(text);
        if read.is_none() {
            let message = format!("{:?} is none of {}.", clip(text), words.join(", "));
            self.error(FieldError::new(name, message, words.to_vec()));
        }
        read
    }

    /// A text whose length after trimming, in characters, lies in a range.
    pub fn words(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let text = self.text(name)?;
        let trimmed = text.trim();
        let characters = trimmed.chars().count();
        let message = if text.contains('\0') {
            // Postgres keeps no NUL in text.
            "holds a NUL character.".to_owned()
        } else if characters == 0 {
            "is empty.".to_owned()
        } else if length.contains(&characters) {
            return Some(trimmed.to_owned());
        } else {
            format!("has {characters} characters.")
        };
        let (least, most) = (length.start(), length.end());
        let allowed = format!("a text of {least} to {most} characters");
        self.error(FieldError::new(name, message, allowed));
        None
    }

    /// Where the page before ended, in the list with this key.
    pub fn cursor(&mut self, list: ListKey) -> Option<Cursor> {
        match Cursor::from_text(self.text("cursor")?, list) {
            Ok(cursor) => Some(cursor),
            Err(error) => {
                let allowed = "the next_cursor of an answer of this list";
                self.error(FieldError::new("cursor", error.to_string(), allowed));
                None
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every mistake found.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_adds_to_the_query() {
        let table = [
            (
                "application/x-www-form-urlencoded",
                "a=1&run_id=7&a=2&run_id=7",
                Some("7"),
            ),
            (
                "Application/X-WWW-Form-Urlencoded; charset=utf-8",
                "run_id=%37",
                Some("7"),
            ),
            ("application/x-www-form-urlencoded", "a=1", None),
            ("application/json", "run_id=7", None),
        ];
        for (content_type, body, expected) in table {
            let mut request = Request::new(body.into());
            let value = http::HeaderValue::from_static(content_type);
            request.headers_mut().insert(header::CONTENT_TYPE, value);
            let query = Query::with_form_passing_over_unknown(&request, &["run_id"]);
            assert_eq!(query.text("run_id"), expected, "{content_type} {body}");
            assert!(query.finish().is_ok(), "{content_type} {body}");
        }
    }

    #[test]
    fn a_parameter_may_go_by_another_name() {
        let parameters = [("format", "csv"), ("image_format", "gif")];
        let mut query = Query::of_pairs(&parameters, &["format", "image_format"]);
        assert_eq!(query.text("format"), Some("csv"));
        query.rename("format", "image_format");
        let read = query.word("format", &["png"], |word| (word == "png").then_some(()));
        assert_eq!((read, query.text("format")), (None, Some("gif")));
        let problem = query.finish().unwrap_err();
        assert_eq!(problem.errors()[0].field, "image_format");
    }

    #[test]
    fn each_mistake_names_its_parameter() {
        type Parameters = &'static [(&'static str, &'static str)];
        let table: &[(Parameters, &[&str])] = &[
            (&[], &[]),
            (&[("limit", "20"), ("offset", "0")], &[]),
            (&[("limit", "0")], &["limit"]),
            (&[("limit", "201")], &["limit"]),
            (&[("limit", "")], &["limit"]),
            (&[("limit", "9999999999999999999999")], &["limit"]),
            (&[("offset", "-1")], &["offset"]),
            (&[("limit", "ten"), ("offset", "1.5")], &["limit", "offset"]),
            (&[("limit", "1"), ("limit", "2")], &["limit"]),
            (&[("limti", "1")], &["limti"]),
        ];
        for (parameters, fields) in table {
            let mut query = Query::of_pairs(parameters, &["limit", "offset"]);
            query.number("limit", 50, 1..=200);
            query.number("offset", 0, 0..=i64::MAX);
            let named: Vec<&str> = query
                .errors
                .iter()
                .map(|error| error.field.as_str())
                .collect();
            assert_eq!(&named, fields, "{parameters:?}");
        }
    }
}
