//! What runs came to in a period, and what was used most: one statement over `ai_image_runs` and `generated_images`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::{
    caller::Scope,
    cost::CostUsd,
    figures::{Figures, GroupBy, Latency, Tokens, known_cost, success_rate},
};

/// Which runs are counted, and how.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose.
    pub scope: Scope,
    /// Only those accepted at this time or later.
    pub from: Timestamp,
    /// Only those accepted before this time.
    pub to: Timestamp,
    /// What they are put into groups by.
    pub group: GroupBy,
    /// How many groups are told at most.
    pub most_groups: i64,
    /// How many of the most used elements and styles are told.
    pub most_used: i64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Analytics {
    /// All runs together.
    pub totals: Figures,
    /// By day: the earliest first. By anything else: the largest first.
    pub groups: Vec<Group>,
    /// How many groups there are beside those that are told.
    pub groups_left_out: usize,
    /// Visual elements of datasets by the images that were made with them, the most used first.
    pub top_visual_elements: Vec<Used>,
    /// Styles by the images that were made in them, the most used first.
    pub top_styles: Vec<Used>,
}

/// Runs with one property in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The property; none where the runs have none.
    pub key: Option<String>,
    /// What they came to.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A word, and in how many images it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The word.
    pub word: String,
    /// In how many images.
    pub count: i64,
}

/// Counts runs.
///
/// # Errors
/// [`ReadError`].
pub async fn analyze(database: &Database, question: &Question) -> Result<Analytics, ReadError> {
    let owner = question.scope.owner().map(|owner| owner.0);
    let everything = question.scope == Scope::Everything;
    let rows = database
        .read(
            include_str!("analytics.sql"),
            &[
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
                (&question.from, Type::TIMESTAMPTZ),
                (&question.to, Type::TIMESTAMPTZ),
                (&question.group.as_str(), Type::TEXT),
                (&question.most_groups, Type::INT8),
                (&question.most_used, Type::INT8),
            ],
        )
        .await?;
    let mut analytics = Analytics {
        totals: Sums::default().into_figures()?,
        groups: Vec::new(),
        groups_left_out: 0,
        top_visual_elements: Vec::new(),
        top_styles: Vec::new(),
    };
    for row in &rows {
        analytics.take(row)?;
    }
    // The parts of a union come in any order.
    if question.group == GroupBy::Day {
        analytics.groups.sort_by(|a, b| a.key.cmp(&b.key));
    } else {
        analytics.groups.sort_by(|a, b| {
            let largest_first = b.figures.runs.cmp(&a.figures.runs);
            largest_first.then_with(|| a.key.cmp(&b.key))
        });
    }
    for used in [
        &mut analytics.top_visual_elements,
        &mut analytics.top_styles,
    ] {
        used.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
    }
    Ok(analytics)
}

impl Analytics {
    fn take(&mut self, row: &Row) -> Result<(), StoredDataError> {
        let kind: &str = row.try_get("kind").map_err(unreadable("kind"))?;
        let key: Option<String> = row.try_get("key").map_err(unreadable("key"))?;
        match (kind, key) {
            ("whole", _) => self.totals = parsed::<Sums>(row)?.into_figures()?,
            ("group", key) => {
                let sums: Sums = parsed(row)?;
                let all = usize::try_from(sums.all_groups).unwrap_or(0);
                self.groups.push(Group {
                    key,
                    figures: sums.into_figures()?,
                });
                self.groups_left_out = all.saturating_sub(self.groups.len());
            }
            ("element", Some(word)) => self.top_visual_elements.push(Used {
                word,
                count: parsed(row)?,
            }),
            ("style", Some(word)) => self.top_styles.push(Used {
                word,
                count: parsed(row)?,
            }),
            _ => {}
        }
        Ok(())
    }
}

/// The sums of some runs as the statement gives them.
#[derive(Debug, Default, Deserialize)]
struct Sums {
    runs: u64,
    pending: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    canceled: u64,
    attempts: u64,
    latency: Option<[f64; 2]>,
    cost: Option<String>,
    cost_unknown: u64,
    input_tokens: u64,
    input_text_tokens: u64,
    input_image_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    #[serde(default)]
    all_groups: u64,
}

impl Sums {
    fn into_figures(self) -> Result<Figures, StoredDataError> {
        let cost = self.cost.map(|text| text.parse::<CostUsd>()).transpose();
        let cost = cost.map_err(unreadable("cost_usd"))?;
        let [p50, p95] = match self.latency {
            Some(latency) => latency.map(|ms| Some(whole_ms(ms))),
            None => [None, None],
        };
        Ok(Figures {
            runs: self.runs,
            pending: self.pending,
            running: self.running,
            succeeded: self.succeeded,
            failed: self.failed,
            canceled: self.canceled,
            success_rate: success_rate(
                self.succeeded,
                self.succeeded + self.failed + self.canceled,
            ),
            attempts: self.attempts,
            images: self.succeeded,
            latency_ms: Latency { p50, p95 },
            cost_usd: known_cost(cost, self.cost_unknown),
            cost_unknown: self.cost_unknown,
            tokens: Tokens {
                input: self.input_tokens,
                input_text: self.input_text_tokens,
                input_image: self.input_image_tokens,
                output: self.output_tokens,
                total: self.total_tokens,
            },
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer saturates, and no run ends before it began"
)]
fn whole_ms(ms: f64) -> u64 {
    ms.round() as u64
}

fn parsed<T: DeserializeOwned>(row: &Row) -> Result<T, StoredDataError> {
    let Json(value) = row.try_get("row").map_err(unreadable("attempts"))?;
    Ok(value)
}

fn unreadable<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    column: &'static str,
) -> impl FnOnce(E) -> StoredDataError {
    StoredDataError::at("ai_image_runs", column, "of a sum".to_owned())
}
