//! The wall clock, in the unit that SQS reports.

use std::time::Duration;

/// Milliseconds since 1970, as in `SentTimestamp`.
pub(super) type Millis = i64;

pub(super) fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

pub(super) fn after(now: Millis, duration: Duration) -> Millis {
    now.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(Millis::MAX))
}

/// How long from `now` to `then`; zero when it has passed.
pub(super) fn until(now: Millis, then: Millis) -> Duration {
    Duration::from_millis(u64::try_from(then.saturating_sub(now)).unwrap_or(0))
}
