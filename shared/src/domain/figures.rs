//! What many runs came to: counts, time, cost, tokens.

use serde::Serialize;

use super::cost::CostUsd;

/// The property by which runs are put into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The day (UTC) on which they were accepted.
    Day,
    /// The model that was asked last.
    Model,
    /// The style.
    Style,
    /// The dataset.
    Dataset,
    /// The category that the caller gave.
    AssetKind,
    /// The status.
    Status,
    /// The owner.
    User,
}

impl GroupBy {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Model,
        Self::Style,
        Self::Dataset,
        Self::AssetKind,
        Self::Status,
        Self::User,
    ];

    /// Its word in requests, answers and statements.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Style => "style",
            Self::Dataset => "dataset",
            Self::AssetKind => "asset_kind",
            Self::Status => "status",
            Self::User => "user",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == word)
    }
}

/// What some runs came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many there are.
    pub runs: u64,
    /// How many wait for a worker.
    pub pending: u64,
    /// How many are worked on.
    pub running: u64,
    /// How many made an image.
    pub succeeded: u64,
    /// How many made none.
    pub failed: u64,
    /// How many were canceled.
    pub canceled: u64,
    /// The share of those that have ended which made an image, from 0 to 1; none where none has ended.
    pub success_rate: Option<f64>,
    /// How often the vendor was asked.
    pub attempts: u64,
    /// Images that were made. One that was deleted since is still counted.
    pub images: u64,
    /// The time from acceptance to end, of the runs that have ended.
    pub latency_ms: Latency,
    /// What is known to have been paid; none where nothing is known and something was, or may have been, billed.
    pub cost_usd: Option<CostUsd>,
    /// Runs that are missing in `cost_usd`: something was, or may have been, billed, and the amount is not known.
    pub cost_unknown: u64,
    /// What the vendor counted.
    pub tokens: Tokens,
}

/// Percentiles in whole milliseconds; none where no run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of the runs were faster.
    pub p50: Option<u64>,
    /// One in twenty was slower.
    pub p95: Option<u64>,
}

/// Tokens of all attempts together, as far as the vendor reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Prompts and source images.
    pub input: u64,
    /// Prompts.
    pub input_text: u64,
    /// Source images.
    pub input_image: u64,
    /// What was made.
    pub output: u64,
    /// Input and output.
    pub total: u64,
}

/// The share of successes among runs that have ended, to four places.
pub fn success_rate(succeeded: u64, ended: u64) -> Option<f64> {
    let in_ten_thousand = |part: u64| part.saturating_mul(10_000).saturating_add(ended / 2) / ended;
    let share = (ended > 0).then(|| in_ten_thousand(succeeded))?;
    u32::try_from(share)
        .ok()
        .map(|share| f64::from(share) / 10_000.0)
}

/// What is known of a cost: nothing was paid where nothing is missing, and nothing is known where all of it is.
pub fn known_cost(sum: Option<CostUsd>, unknown: u64) -> Option<CostUsd> {
    sum.or_else(|| (unknown == 0).then_some(CostUsd::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_share_of_what_has_ended() {
        let table = [
            (0, 0, None),
            (0, 3, Some(0.0)),
            (1, 1, Some(1.0)),
            (1, 3, Some(0.3333)),
            (2, 3, Some(0.6667)),
            (999_999, 1_000_000, Some(1.0)),
        ];
        for (succeeded, ended, rate) in table {
            assert_eq!(
                success_rate(succeeded, ended),
                rate,
                "{succeeded} of {ended}"
            );
        }
    }

    #[test]
    fn a_cost_that_is_missing_is_never_zero() {
        let cost = Some(CostUsd::from_nanos(5));
        let table = [
            (None, 0, Some(CostUsd::ZERO)),
            (None, 2, None),
            (cost, 0, cost),
            (cost, 2, cost),
        ];
        for (sum, unknown, known) in table {
            assert_eq!(known_cost(sum, unknown), known, "{sum:?} {unknown}");
        }
    }
}
