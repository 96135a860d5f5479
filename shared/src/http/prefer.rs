//! How long a caller wants to wait for its image: `Prefer` of RFC 7240.

use std::time::Duration;

use http::{HeaderMap, header::HeaderName};

/// The request's header.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The answer's header that says which preference was followed.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The wait of a caller that says nothing, in seconds: longer than 19 of 20 images take.
pub const DEFAULT_WAIT_S: u64 = 180;

/// What the caller prefers, within what the setting allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing was said.
    Unsaid(Duration),
    /// `wait=N`, cut to the longest wait.
    For(Duration),
    /// `respond-async`.
    Not,
}

impl Waiting {
    /// Reads the header. An unknown preference is passed over, as RFC 7240 asks; so is a wait that is no number. Where both are
    /// given, `wait` says how long to wait before the answer becomes asynchronous.
    pub fn of(headers: &HeaderMap, longest: Duration) -> Self {
        let lines = headers.get_all(PREFER);
        let preferences = lines
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        let mut asynchronous = false;
        let mut wait = None;
        for preference in preferences {
            // Parameters of a preference come after a semicolon; none is known.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => asynchronous = true,
                // The first of several counts.
                "wait" if wait.is_none() => wait = value.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        match (wait, asynchronous) {
            (Some(wait), _) => Self::For(wait.min(longest)),
            (None, true) => Self::Not,
            (None, false) => Self::Unsaid(Duration::from_secs(DEFAULT_WAIT_S).min(longest)),
        }
    }

    /// How long to wait.
    pub fn duration(self) -> Duration {
        match self {
            Self::Unsaid(wait) | Self::For(wait) => wait,
            Self::Not => Duration::ZERO,
        }
    }

    /// The value of `Preference-Applied`; none where nothing was preferred. `over` says that the answer holds the result.
    pub fn applied(self, over: bool) -> Option<String> {
        match self {
            Self::Unsaid(_) => (!over).then(|| "respond-async".to_owned()),
            Self::For(wait) => Some(format!("wait={}", wait.as_secs())),
            Self::Not => Some("respond-async".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_header_is_read_as_the_standard_says() {
        let seconds = Duration::from_secs;
        let table: &[(&[&str], Waiting)] = &[
            (&[], Waiting::Unsaid(seconds(180))),
            (&["wait=10"], Waiting::For(seconds(10))),
            (&["Wait = 10"], Waiting::For(seconds(10))),
            (&["wait=\"10\""], Waiting::For(seconds(10))),
            (&["wait=9999"], Waiting::For(seconds(280))),
            (&["wait=0"], Waiting::For(seconds(0))),
            (&["respond-async"], Waiting::Not),
            (&["Respond-Async; x=1"], Waiting::Not),
            (&["respond-async, wait=5"], Waiting::For(seconds(5))),
            (&["respond-async", "wait=5"], Waiting::For(seconds(5))),
            (&["wait=5, wait=7"], Waiting::For(seconds(5))),
            (&["wait=soon"], Waiting::Unsaid(seconds(180))),
            (&["return=minimal"], Waiting::Unsaid(seconds(180))),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(PREFER, HeaderValue::from_static(line));
            }
            assert_eq!(Waiting::of(&headers, seconds(280)), *expected, "{lines:?}");
        }
    }
}
