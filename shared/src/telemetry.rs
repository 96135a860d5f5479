//! Logs: one JSON object a line on standard output, where CloudWatch takes them from.

use std::{error::Error, fmt::Write as _, io::Write as _, sync::OnceLock};

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use crate::domain::{cost::CostUsd, run::Run};

/// How the ends of runs are logged by this process.
static RUN_LOG: OnceLock<RunLog> = OnceLock::new();

/// How the ends of runs are logged.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// The function's name: the dimension of its metrics.
    pub function: String,
    /// `LOG_PROMPTS=on`: resolved prompts are part of the line.
    pub prompts: bool,
}

/// Says once, at start, how the ends of runs are logged; without it they are logged without prompts and metrics.
pub fn log_runs_as(log: RunLog) {
    // Said twice, the first holds.
    let _ = RUN_LOG.set(log);
}

/// Starts logging for this process. `level` is the setting `AWS_LAMBDA_LOG_LEVEL` (Lambda's own), `INFO` where it is missing or unknown, never more than `DEBUG`.
pub fn start(level: Option<&str>) {
    let level = level
        .and_then(|word| word.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::INFO)
        // At TRACE the runtime writes requests whole, callers' tokens included.
        .min(LevelFilter::DEBUG);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        // A span holds the trace that a request or a message belongs to.
        .with_current_span(true)
        .with_span_list(false)
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

/// The line that every run's end leaves in the log, and its metrics.
pub fn run_ended(run: &Run, status: &str, error_code: Option<&str>) {
    let log = RUN_LOG.get();
    let now = Timestamp::now();
    let since = |from: Timestamp| now.as_millisecond().saturating_sub(from.as_millisecond());
    let duration_ms = since(run.created_at);
    // Until a worker took it up: the time in the queue.
    let queued_ms = run.started_at.map(|started| {
        started
            .as_millisecond()
            .saturating_sub(run.created_at.as_millisecond())
    });
    let calls_ms: i64 = run
        .attempts
        .iter()
        .filter_map(|attempt| Some((attempt.started_at, attempt.completed_at?)))
        .map(|(from, to)| to.as_millisecond().saturating_sub(from.as_millisecond()))
        .sum();
    let request_ids: Vec<&str> = run
        .attempts
        .iter()
        .filter_map(|attempt| attempt.request_id.as_deref())
        .collect();
    let cost = run
        .attempts
        .iter()
        .filter_map(|attempt| attempt.cost_usd)
        .map(CostUsd::nanos)
        .sum::<u64>() as f64
        / 1e9;
    let resolved_prompt = log
        .filter(|log| log.prompts)
        .map(|_| run.resolved_prompt.as_str());
    tracing::info!(
        run_id = %run.id,
        status,
        error_code,
        mode = run.mode.as_str(),
        asset_kind = run.asset_kind,
        style_preset = run.style_preset,
        resolved_prompt,
        model = run.model,
        attempts = run.attempts.len(),
        vendor_request_ids = request_ids.join(" "),
        duration_ms,
        queued_ms,
        calls_ms,
        cost_usd = cost,
        traceparent = run.trace_parent,
        "a run ended"
    );
    let Some(log) = log else { return };
    let ended = match status {
        "succeeded" => "RunsSucceeded",
        "canceled" => "RunsCanceled",
        _ => "RunsFailed",
    };
    write_metrics(
        &log.function,
        &[
            (ended, "Count", json!(1)),
            ("Attempts", "Count", json!(run.attempts.len())),
            ("RunDuration", "Milliseconds", json!(duration_ms)),
            (
                "QueueDuration",
                "Milliseconds",
                json!(queued_ms.unwrap_or_default()),
            ),
            ("CallDuration", "Milliseconds", json!(calls_ms)),
            ("CostUsd", "None", json!(cost)),
        ],
        // In the log, where one line is looked for by its run; not a dimension, which would cost money for each.
        &json!({"runId": run.id, "traceparent": run.trace_parent}),
    );
}

/// Writes counts as CloudWatch metrics: one line in the embedded metric format, under the namespace `Darkroom` and the dimension
/// `Function`, the function's name.
pub fn metrics(function: &str, counts: &Value) {
    let Some(counts) = counts.as_object() else {
        return;
    };
    let metrics: Vec<(&str, &str, Value)> = counts
        .iter()
        .map(|(name, value)| (name.as_str(), "Count", value.clone()))
        .collect();
    write_metrics(function, &metrics, &Value::Null);
}

/// Such a line must be the whole object, so it does not go through the log's own format.
fn write_metrics(function: &str, metrics: &[(&str, &str, Value)], beside: &Value) {
    let line = metrics_line(function, metrics, beside, Timestamp::now());
    // A log that cannot be written to is not a reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn metrics_line(
    function: &str,
    metrics: &[(&str, &str, Value)],
    beside: &Value,
    now: Timestamp,
) -> Value {
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{"Namespace": "Darkroom", "Dimensions": [["Function"]], "Metrics": definitions}],
        },
        "Function": function,
    });
    if let Some(line) = line.as_object_mut() {
        let values = metrics
            .iter()
            .map(|(name, _, value)| ((*name).to_owned(), value.clone()));
        line.extend(values);
        line.extend(beside.as_object().cloned().unwrap_or_default());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_metrics_is_as_cloudwatch_reads_it() {
        let metrics = [
            ("RunsFailed", "Count", json!(1)),
            ("RunDuration", "Milliseconds", json!(1200)),
        ];
        let line = metrics_line(
            "darkroom-dev-worker",
            &metrics,
            &json!({"runId": "r"}),
            Timestamp::UNIX_EPOCH,
        );
        let expected = json!({
            "_aws": {
                "Timestamp": 0,
                "CloudWatchMetrics": [{
                    "Namespace": "Darkroom",
                    "Dimensions": [["Function"]],
                    "Metrics": [{"Name": "RunsFailed", "Unit": "Count"}, {"Name": "RunDuration", "Unit": "Milliseconds"}],
                }],
            },
            "Function": "darkroom-dev-worker",
            "RunsFailed": 1,
            "RunDuration": 1200,
            "runId": "r",
        });
        assert_eq!(line, expected);
    }
}
