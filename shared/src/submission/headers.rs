//! Headers of a request for a run, and the headers that tell of its quota.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::{
    http::{FieldError, Problem},
    recording::accept::QuotaState,
};

/// `RateLimit` (IETF draft): what is left of the day.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy` (IETF draft): what the day allows.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The longest idempotency key.
const LONGEST_KEY: usize = 255;
/// The latest deadline: a day, as long as a run may live.
const LATEST_DEADLINE: Duration = Duration::from_secs(86_400);

/// What the headers ask of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunHeaders {
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `Cancel-After`: no attempt begins later than this.
    pub cancel_after: Option<Duration>,
}

impl RunHeaders {
    /// Reads them.
    ///
    /// # Errors
    /// 400 naming the headers.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let (read, errors) = Self::read(headers);
        if errors.is_empty() {
            Ok(read)
        } else {
            Err(Problem::invalid(errors))
        }
    }

    /// What is wrong with them, for an answer that lists the mistakes of the body too.
    pub fn mistakes(headers: &HeaderMap) -> Vec<FieldError> {
        Self::read(headers).1
    }

    fn read(headers: &HeaderMap) -> (Self, Vec<FieldError>) {
        let mut errors = Vec::new();
        let mut take = |name: &str, allowed: &str| {
            errors.push(FieldError::new(
                name,
                format!("must be {allowed}."),
                allowed,
            ))
        };
        let idempotency_key = headers.get("idempotency-key").and_then(|value| {
            let key = idempotency_key(value.as_bytes());
            if key.is_none() {
                take("Idempotency-Key", "1 to 255 visible ASCII characters");
            }
            key
        });
        let cancel_after = headers.get("cancel-after").and_then(|value| {
            let after = cancel_after(value.as_bytes());
            if after.is_none() {
                take(
                    "Cancel-After",
                    "a time from 1s to 24h, such as 60s, 5m or 1h",
                );
            }
            after
        });
        let read = Self {
            idempotency_key,
            cancel_after,
        };
        (read, errors)
    }
}

fn idempotency_key(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    // The draft has a quoted string; most clients send the bare text. Both name the same key.
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let visible = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    (visible && !text.is_empty() && text.len() <= LONGEST_KEY).then(|| text.to_owned())
}

fn cancel_after(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    let after = Duration::from_secs(seconds);
    (!after.is_zero() && after <= LATEST_DEADLINE).then_some(after)
}

/// The value of `RateLimit`.
pub fn rate_limit(quota: QuotaState) -> String {
    format!(
        "\"daily\";r={};t={}",
        quota.limit.saturating_sub(quota.used),
        quota.resets_in
    )
}

/// The value of `RateLimit-Policy`.
pub fn rate_limit_policy(quota: QuotaState) -> String {
    format!("\"daily\";q={};w=86400", quota.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_with_their_unit() {
        let table = [
            ("60s", Some(60)),
            ("60", Some(60)),
            ("5m", Some(300)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("0s", None),
            ("-1s", None),
            ("soon", None),
            ("", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
        ];
        for (text, seconds) in table {
            assert_eq!(
                cancel_after(text.as_bytes()),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    #[test]
    fn idempotency_keys_are_visible_and_short() {
        let long = "k".repeat(256);
        let table = [
            ("order-7", Some("order-7")),
            ("\"order-7\"", Some("order-7")),
            ("", None),
            ("\"\"", None),
            ("schlüssel", None),
            (long.as_str(), None),
        ];
        for (text, key) in table {
            assert_eq!(idempotency_key(text.as_bytes()).as_deref(), key, "{text}");
        }
    }
}
