//! Logs: one JSON object a line on standard output, where CloudWatch takes them from.

use std::{error::Error, fmt::Write};

use tracing::level_filters::LevelFilter;

/// Starts logging for this process. `level` is the setting `AWS_LAMBDA_LOG_LEVEL` (Lambda's own), `INFO` where it is missing or unknown.
pub fn start(level: Option<&str>) {
    let level = level
        .and_then(|word| word.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        .with_current_span(false)
        .with_target(false)
        .init();
}

/// An error with all its causes, for a log line. Errors leave here and nowhere else; callers of the API never see this text.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
