//! Logs: one JSON object a line on standard output, where CloudWatch takes them from.

use std::{error::Error, fmt::Write as _, io::Write as _};

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use crate::domain::{cost::CostUsd, run::Run};

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

/// The line that every run's end leaves in the log.
pub fn run_ended(run: &Run, status: &str, error_code: Option<&str>) {
    tracing::info!(
        run_id = %run.id,
        status,
        error_code,
        mode = run.mode.as_str(),
        asset_kind = run.asset_kind,
        style_preset = run.style_preset,
        model = run.model,
        attempts = run.attempts.len(),
        vendor_request_id = run.attempts.last().and_then(|last| last.request_id.as_deref()),
        cost_usd = run.attempts.iter().filter_map(|attempt| attempt.cost_usd).map(CostUsd::nanos).sum::<u64>() as f64 / 1e9,
        "a run ended"
    );
}

/// Writes counts as CloudWatch metrics: one line in the embedded metric format, under the namespace `Darkroom` and the dimension
/// `Function`. Such a line must be the whole object, so it does not go through the log's own format.
pub fn metrics(function: &str, counts: &Value) {
    let Some(counts) = counts.as_object() else {
        return;
    };
    let metrics: Vec<Value> = counts
        .keys()
        .map(|name| json!({"Name": name, "Unit": "Count"}))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": Timestamp::now().as_millisecond(),
            "CloudWatchMetrics": [{"Namespace": "Darkroom", "Dimensions": [["Function"]], "Metrics": metrics}],
        },
        "Function": function,
    });
    if let Some(line) = line.as_object_mut() {
        line.extend(counts.clone());
    }
    // A log that cannot be written to is not a reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}
