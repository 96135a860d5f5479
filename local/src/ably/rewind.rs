//! The `rewind` parameter: how much of a channel's past a new subscriber is given.

use std::time::Duration;

use super::error::ErrorInfo;

/// Ably keeps messages this long where nothing more is paid for.
const LONGEST: Duration = Duration::from_secs(120);

/// Ably gives at most this many messages of the past.
pub(super) const MOST_MESSAGES: usize = 100;

/// How far back to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rewind {
    Messages(usize),
    Span(Duration),
}

impl Rewind {
    /// `15s` and `2m` are spans, a bare number is a count of messages.
    pub(super) fn parse(text: &str) -> Result<Self, ErrorInfo> {
        let invalid = || ErrorInfo::bad_request(format!("invalid rewind parameter: {text}"));
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| invalid());
        let seconds = if let Some(minutes) = text.strip_suffix('m') {
            number(minutes)?.saturating_mul(60)
        } else if let Some(seconds) = text.strip_suffix('s') {
            number(seconds)?
        } else {
            let count = usize::try_from(number(text)?).unwrap_or(MOST_MESSAGES);
            return Ok(Self::Messages(count.min(MOST_MESSAGES)));
        };
        Ok(Self::Span(Duration::from_secs(seconds).min(LONGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, expected) in [
            ("2m", Some(Rewind::Span(Duration::from_secs(120)))),
            ("15s", Some(Rewind::Span(Duration::from_secs(15)))),
            ("1000m", Some(Rewind::Span(Duration::from_secs(120)))),
            ("3", Some(Rewind::Messages(3))),
            ("1000", Some(Rewind::Messages(100))),
            ("", None),
            ("m", None),
            ("2h", None),
            ("-1", None),
        ] {
            assert_eq!(Rewind::parse(text).ok(), expected, "{text:?}");
        }
    }
}
