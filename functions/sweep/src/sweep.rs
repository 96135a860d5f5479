//! One round of the sweep.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;
use serde_json::Value;
use shared::{
    ably::publish::AblyClient,
    config::{Reader, groups},
    fetching::Reach,
    generation::{Clients, WorkSettings},
    queue::Queue,
    telemetry::RunLog,
};

use crate::{dead_letters, deletions, events, orphans, report::Report, runs};

/// How much of each kind one round takes at most; the next round goes on.
pub(crate) const AT_ONCE: i64 = 500;
/// The sweep does not wait long for a vendor that is down: it comes again in a minute.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the function holds between rounds.
pub(crate) struct Sweep {
    pub(crate) clients: Clients,
    pub(crate) settings: WorkSettings,
    pub(crate) queue: Queue,
    pub(crate) dead_letters_url: Option<String>,
    pub(crate) delete_orphans: bool,
    pub(crate) orphan_grace: Duration,
    pub(crate) log: RunLog,
}

/// What a round is to do. A schedule's own event has none of these fields and does everything.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Order {
    /// Only report.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Only these; everything where it is left out.
    #[serde(default)]
    tasks: Option<Vec<Task>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    Runs,
    DeadLetters,
    Events,
    Deletions,
    Orphans,
}

impl Order {
    fn has(&self, task: Task) -> bool {
        self.tasks
            .as_ref()
            .is_none_or(|tasks| tasks.contains(&task))
    }
}

impl Sweep {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "sweep", 2);
        let queue = groups::queue(reader);
        let storage = groups::storage(reader);
        let realtime = groups::ably(reader).map(AblyClient::new);
        // The schedule tells a run that has no attempt left from one that was stopped before its next.
        let runs = groups::runs(reader);
        let settings = WorkSettings {
            schedule: runs.schedule,
            lease: runs.lease,
            call_timeout: Duration::ZERO,
            upload_patience: PATIENCE,
            database_patience: PATIENCE,
        };
        let dead_letters_url = reader.optional_url("GENERATION_DEAD_LETTER_QUEUE_URL");
        let delete_orphans =
            reader.choice("ORPHANS", &[("report", false), ("delete", true)], false);
        let orphan_grace =
            Duration::from_secs(reader.number("ORPHAN_GRACE_S", 86_400, 0..=31_536_000));
        let log = groups::run_log(reader, "sweep");
        // No client of the image vendor: the sweep ends what others began, and begins nothing.
        let clients = Clients {
            database: database?,
            openai: None,
            storage,
            realtime,
            reach: Reach::Public,
        };
        Some(Self {
            clients,
            settings,
            queue,
            dead_letters_url,
            delete_orphans,
            orphan_grace,
            log,
        })
    }

    /// One round. What fails is named in the report and does not keep the rest from being done.
    pub(crate) async fn run(&self, event: LambdaEvent<Value>) -> Result<Report, Error> {
        let order = match event.payload {
            Value::Null => Order::default(),
            payload => serde_json::from_value(payload)
                .map_err(|error| format!("the event is no order for the sweep: {error}"))?,
        };
        let mut report = Report {
            dry_run: order.dry_run,
            ..Report::default()
        };
        if order.has(Task::Runs) {
            let outcome = runs::end_overdue(self, &order, &mut report).await;
            report.note("runs", outcome);
        }
        // Before the runs without a message: a run that its dead letter ends is not to be sent again.
        if order.has(Task::DeadLetters) {
            let outcome = dead_letters::conclude_letters(self, &order, &mut report).await;
            report.note("dead_letters", outcome);
        }
        if order.has(Task::Runs) {
            let outcome = runs::send_unsent(self, &order, &mut report).await;
            report.note("runs", outcome);
        }
        if order.has(Task::Events) {
            let outcome = events::publish(self, &order, &mut report).await;
            report.note("events", outcome);
        }
        if order.has(Task::Deletions) {
            let outcome = deletions::repeat(self, &order, &mut report).await;
            report.note("deletions", outcome);
        }
        if order.has(Task::Orphans) {
            let outcome = orphans::look(self, &order, &mut report).await;
            report.note("orphans", outcome);
        }
        report.emit(&self.log.function);
        Ok(report)
    }
}
