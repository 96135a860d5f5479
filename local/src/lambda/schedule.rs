//! Invokes a function at a rate, as EventBridge does.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::{ACCOUNT, Lambda, Outcome, REGION};

/// What is called when.
#[derive(Clone, Debug)]
pub struct ScheduleOptions {
    /// The rule's name.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// Time from one invocation to the next; the first comes after it too.
    pub every: Duration,
    /// What the function gets in place of EventBridge's own event.
    pub input: Option<String>,
}

/// A schedule that runs until it is dropped.
#[derive(Debug)]
pub struct Schedule {
    ticking: tokio::task::JoinHandle<()>,
}

impl Schedule {
    /// Begins to count.
    #[must_use]
    pub fn start(lambda: Lambda, options: ScheduleOptions) -> Self {
        Self {
            ticking: tokio::spawn(tick(lambda, options)),
        }
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

async fn tick(lambda: Lambda, options: ScheduleOptions) {
    let mut ticks = tokio::time::interval_at(Instant::now() + options.every, options.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let event = options.input.clone().unwrap_or_else(|| event(&options));
        let (lambda, function) = (lambda.clone(), options.function.clone());
        // The next one comes at its time even if this one takes longer.
        tokio::spawn(async move {
            match lambda.invoke(&function, event.into()).await {
                Ok(Outcome::Failure(failure)) => {
                    tracing::warn!(
                        function,
                        error = failure.message(),
                        "a scheduled call failed"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a schedule calls nobody"),
            }
        });
    }
}

fn event(options: &ScheduleOptions) -> String {
    let now = jiff::Timestamp::now();
    json!({
        "version": "0",
        "id": Uuid::new_v4(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", options.name)],
        "detail": {},
    })
    .to_string()
}

/// The time between two calls of `rate(5 minutes)`, or of a cron expression that is no more than a rate: `cron(* …)`,
/// `cron(*/5 …)`, `cron(0 * …)`, `cron(0 */6 …)`, and once a day for every other.
///
/// # Errors
/// It is neither.
pub fn interval(expression: &str) -> anyhow::Result<Duration> {
    let inside = |name: &str| {
        let rest = expression.trim().strip_prefix(name)?;
        rest.trim().strip_prefix('(')?.strip_suffix(')')
    };
    if let Some(rate) = inside("rate") {
        let (count, unit) = rate.trim().split_once(' ').context("a rate has a unit")?;
        let seconds = match unit.trim().trim_end_matches('s') {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            other => bail!("{other} is no unit of a rate"),
        };
        let count: u64 = count.parse().context("a rate has a number")?;
        return Ok(Duration::from_secs(seconds * count.max(1)));
    }
    let Some(cron) = inside("cron") else {
        bail!("{expression} is neither rate(…) nor cron(…)");
    };
    let mut fields = cron.split_whitespace();
    let (minutes, hours) = (fields.next(), fields.next());
    let (Some(minutes), Some(hours)) = (minutes, hours) else {
        bail!("{expression} has no minutes and hours");
    };
    let step = |field: &str| {
        field
            .split_once('/')
            .and_then(|(_, step)| step.parse().ok())
    };
    let seconds = match (minutes, hours) {
        ("*", _) => 60,
        (minutes, _) if minutes.contains('/') => 60 * step(minutes).unwrap_or(1),
        (_, "*") => 3_600,
        (_, hours) if hours.contains('/') => 3_600 * step(hours).unwrap_or(1),
        _ => 86_400,
    };
    Ok(Duration::from_secs(seconds.max(60)))
}
