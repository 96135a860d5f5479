//! What a round did, as its answer and as metrics.

use serde::Serialize;
use serde_json::json;
use shared::telemetry;

/// How a part of a round went; the counts are in the report.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Counts of one round. With `dry_run`, what would have been done.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    /// Runs that no worker had taken up and no message told of: sent again.
    pub(crate) runs_resent: usize,
    /// Runs whose worker died or gave them back: sent again.
    pub(crate) leases_expired: usize,
    /// Runs past their maximum age, their deadline, or to be canceled: ended.
    pub(crate) runs_ended: usize,
    /// Dead letters taken from the queue.
    pub(crate) dead_letters: usize,
    /// Runs that a dead letter told of and that were ended.
    pub(crate) dead_letter_runs_ended: usize,
    /// Events published.
    pub(crate) events_published: usize,
    /// Deletions done that storage had not done at once.
    pub(crate) deletions_repeated: usize,
    /// Objects in the bucket that no record owns.
    pub(crate) orphans_found: usize,
    /// Of these, deleted.
    pub(crate) orphans_deleted: usize,
    /// Paths of the first of them.
    pub(crate) orphans: Vec<String>,
    /// Parts that failed; the log says why.
    pub(crate) errors: Vec<&'static str>,
}

impl Report {
    /// Notes how a part went.
    pub(crate) fn note(&mut self, task: &'static str, outcome: Outcome) {
        if let Err(error) = outcome {
            tracing::error!(task, error = %telemetry::chain(error.as_ref()), "a part of the sweep failed");
            self.errors.push(task);
        }
    }

    /// Writes the counts as CloudWatch metrics (embedded metric format).
    pub(crate) fn emit(&self, function: &str) {
        if self.dry_run {
            return;
        }
        telemetry::metrics(
            function,
            &json!({
                "RunsResent": self.runs_resent,
                "LeasesExpired": self.leases_expired,
                "RunsEnded": self.runs_ended,
                "DeadLetters": self.dead_letters,
                "EventsPublished": self.events_published,
                "DeletionsRepeated": self.deletions_repeated,
                "OrphansFound": self.orphans_found,
                "OrphansDeleted": self.orphans_deleted,
                "Errors": self.errors.len(),
            }),
        );
    }
}
