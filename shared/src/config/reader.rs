//! Reading one setting at a time, and keeping what is wrong for the end.

use std::{fmt, ops::RangeInclusive};

use secrecy::SecretString;
use url::Url;

/// One setting that cannot be used. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The variable.
    pub name: &'static str,
    /// What is wrong, and what would be accepted.
    pub message: String,
}

/// Everything that is wrong with a function's settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(pub Vec<SettingProblem>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

/// Reads settings; a problem is noted and a placeholder returned, so that reading goes on to the last.
pub struct Reader<'a> {
    source: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<SettingProblem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            problems: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(SettingsError(self.problems))
        }
    }

    /// Notes a problem that a group found by itself; once, also where two groups read the same setting.
    pub fn problem(&mut self, name: &'static str, message: impl Into<String>) {
        let problem = SettingProblem {
            name,
            message: message.into(),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A setting that may be left out. An empty one counts as left out: templates write empty strings for parameters without value.
    pub fn optional(&self, name: &'static str) -> Option<String> {
        (self.source)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// A setting that must be there.
    pub fn required(&mut self, name: &'static str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(name, "is missing");
            String::new()
        })
    }

    /// A secret that must be there.
    pub fn secret(&mut self, name: &'static str) -> SecretString {
        self.required(name).into()
    }

    /// A secret that may be left out.
    pub fn optional_secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.optional(name).map(Into::into)
    }

    /// An absolute http(s) URL that may be left out, without a slash at its end.
    pub fn optional_url(&mut self, name: &'static str) -> Option<String> {
        let text = self.optional(name)?;
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
            _ => self.problem(name, "is not an absolute http or https URL"),
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    /// An absolute http(s) URL that must be there, without a slash at its end.
    pub fn url(&mut self, name: &'static str) -> String {
        match self.optional_url(name) {
            Some(url) => url,
            None => self.required(name),
        }
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(text) = self.optional(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.problem(
                    name,
                    format!(
                        "is not a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                );
                default
            }
        }
    }

    /// A whole number within a range that may be left out.
    pub fn optional_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.optional(name)?;
        Some(self.number(name, *range.start(), range))
    }

    /// A list of whole numbers, separated by commas.
    pub fn numbers(
        &mut self,
        name: &'static str,
        default: &[u64],
        range: RangeInclusive<u64>,
    ) -> Vec<u64> {
        let Some(text) = self.optional(name) else {
            return default.to_vec();
        };
        let numbers: Result<Vec<u64>, _> =
            text.split(',').map(|word| word.trim().parse()).collect();
        match numbers {
            Ok(numbers) if numbers.iter().all(|number| range.contains(number)) => numbers,
            _ => {
                self.problem(
                    name,
                    format!(
                        "is not a list of whole numbers from {} to {}, separated by commas",
                        range.start(),
                        range.end()
                    ),
                );
                default.to_vec()
            }
        }
    }

    /// One of a few words; the first is the default.
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.optional(name) else {
            return default;
        };
        if let Some((_, value)) = words
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word))
        {
            return *value;
        }
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.problem(name, format!("is none of {}", allowed.join(", ")));
        default
    }

    /// A switch: on or off.
    pub fn switch(&mut self, name: &'static str, default: bool) -> bool {
        self.choice(name, &[("on", true), ("off", false)], default)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_problem_is_reported_at_once_and_no_secret_is() {
        let source = |name: &str| match name {
            "A_URL" => Some("postgres:/nowhere?password=hunter2".to_owned()),
            "A_NUMBER" => Some("7.5".to_owned()),
            "A_LIST" => Some("1,zwei".to_owned()),
            "A_SWITCH" => Some("perhaps".to_owned()),
            "EMPTY" => Some("  ".to_owned()),
            _ => None,
        };
        let error = super::super::from(&source, |reader| {
            reader.required("MISSING");
            reader.secret("EMPTY");
            reader.url("A_URL");
            reader.number("A_NUMBER", 1, 1..=9);
            reader.numbers("A_LIST", &[0], 0..=9);
            Some(reader.switch("A_SWITCH", true))
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "MISSING is missing; EMPTY is missing; A_URL is not an absolute http or https URL; \
             A_NUMBER is not a whole number from 1 to 9; A_LIST is not a list of whole numbers from 0 to 9, separated by commas; \
             A_SWITCH is none of on, off"
        );
    }

    #[test]
    fn what_is_right_is_taken() {
        let source = |name: &str| {
            Some(match name {
                "URL" => " https://example.com/base/ ".to_owned(),
                "LIST" => "0, 1500,4000".to_owned(),
                "SWITCH" => "OFF".to_owned(),
                _ => return None,
            })
        };
        let read = super::super::from(&source, |reader| {
            Some((
                reader.url("URL"),
                reader.numbers("LIST", &[], 0..=9_000),
                reader.switch("SWITCH", true),
                reader.number("ABSENT", 5, 1..=9),
            ))
        });
        assert_eq!(
            read.unwrap(),
            (
                "https://example.com/base".to_owned(),
                vec![0, 1500, 4000],
                false,
                5
            )
        );
    }
}
