//! What is left of a run, as every place tells it: the row, the log, the stream, the channel, the history and the bucket.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{SOON, World};

impl World {
    /// A run's row, whole.
    pub(crate) async fn row(&self, run_id: &str) -> Value {
        let sql = format!("select to_jsonb(run) from ai_image_runs run where id = '{run_id}'");
        let text = self.value(&sql).await;
        let text = text.unwrap_or_else(|| panic!("there is no run {run_id}"));
        serde_json::from_str(&text).unwrap()
    }

    /// The data of a run's events, in the order of their numbers.
    pub(crate) async fn log(&self, run_id: &str) -> Vec<Value> {
        let sql = format!(
            "select data from ai_image_run_events where run_id = '{run_id}' order by sequence"
        );
        json_column(self.rows(&sql).await)
    }

    /// The records of a run's image: one, or none.
    pub(crate) async fn records(&self, run_id: &str) -> Vec<Value> {
        let sql =
            format!("select to_jsonb(image) from generated_images image where run_id = '{run_id}'");
        json_column(self.rows(&sql).await)
    }

    /// What the channel was told about a run, in the order it was told.
    pub(crate) fn told(&self, row: &Value) -> Vec<Value> {
        let mut heard = self.heard_by_run(std::slice::from_ref(row));
        heard
            .remove(row["id"].as_str().unwrap())
            .unwrap_or_default()
    }

    /// What the channels of these runs were told, each run's in the order it was told.
    pub(crate) fn heard_by_run(&self, rows: &[Value]) -> BTreeMap<String, Vec<Value>> {
        let channels: BTreeSet<_> = rows
            .iter()
            .map(|row| match row["owner_user_id"].as_str() {
                Some(owner) => format!("ai:image:{owner}"),
                None => format!("ai:image:run:{}", row["id"].as_str().unwrap()),
            })
            .collect();
        let mut heard = BTreeMap::<String, Vec<Value>>::new();
        for channel in channels {
            for message in self.stack.ably().unwrap().messages(&channel) {
                let text = message.data.unwrap();
                let data: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
                assert_eq!(message.name.as_deref(), data["type"].as_str());
                let run = data["runId"].as_str().unwrap().to_owned();
                heard.entry(run).or_default().push(data);
            }
        }
        heard
    }

    /// The object at a run's path in the bucket.
    pub(crate) fn object(&self, run_id: &str) -> Option<Vec<u8>> {
        let supabase = self.stack.supabase().unwrap();
        let bucket = self.stack.settings().get("STORAGE_BUCKET");
        let bucket = bucket.map_or(local::supabase::BUCKET, String::as_str);
        let key = format!("generated/{run_id}.png");
        std::fs::read(supabase.object_file(bucket, &key)).ok()
    }

    /// How many calls the vendor would have charged for.
    pub(crate) async fn billed_calls(&self) -> usize {
        let calls = self.openai_calls().await;
        calls.iter().filter(|call| call["billed"] == true).count()
    }

    /// Waits until a run has ended, with the sweep's help, and until everybody was told; then checks that all places tell the same
    /// story. Answers the run's row.
    pub(crate) async fn settled(&self, run_id: &str) -> Value {
        let begun = std::time::Instant::now();
        for round in 1.. {
            let unpublished = self
                .value(&format!(
                    "select count(*) from ai_image_run_events where run_id = '{run_id}' and published_at is null"
                ))
                .await;
            let row = self.row(run_id).await;
            if is_over(&row) && unpublished.as_deref() == Some("0") {
                break;
            }
            assert!(
                begun.elapsed() < SOON,
                "run {run_id} does not settle: {row:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            if round % 6 == 0 {
                let report = self.sweep().await;
                assert!(report["errors"].is_array(), "{report:#}");
            }
        }
        self.consistent(run_id).await
    }

    /// Checks that all places tell the same story of a run that has ended. Answers its row.
    pub(crate) async fn consistent(&self, run_id: &str) -> Value {
        let row = self.row(run_id).await;
        assert!(is_over(&row), "{row:#}");
        assert_eq!(row["lease_token"], Value::Null, "{row:#}");
        let log = self.log(run_id).await;
        let numbers: Vec<_> = log
            .iter()
            .map(|event| event["sequence"].as_u64().unwrap())
            .collect();
        let expected: Vec<u64> = (1..=row["sequence"].as_u64().unwrap()).collect();
        assert_eq!(numbers, expected, "the numbers of the events: {log:#?}");
        let ends: Vec<_> = log
            .iter()
            .filter(|event| event["type"] == "ai.image.run.completed")
            .collect();
        assert_eq!(ends, [log.last().unwrap()], "one end, the last: {log:#?}");
        assert_eq!(self.told(&row), log, "the channel and the log");
        if row["owner_user_id"] == self.stack.ready().user.id.as_str() {
            assert_eq!(self.log_as_json(run_id).await, log, "the log over HTTP");
            assert_eq!(self.log_as_stream(run_id).await, log, "the event stream");
        }
        let attempts = row["attempts"].as_array().unwrap();
        for (index, attempt) in attempts.iter().enumerate() {
            assert_eq!(attempt["attempt"], index + 1, "{attempts:#?}");
            assert_ne!(attempt["status"], "started", "{attempts:#?}");
        }
        self.check_image(run_id, &row).await;
        row
    }

    async fn check_image(&self, run_id: &str, row: &Value) {
        let records = self.records(run_id).await;
        if row["status"] != "succeeded" {
            assert_eq!(records, Vec::<Value>::new(), "{row:#}");
            return;
        }
        assert_eq!(records.len(), 1, "one record of run {run_id}");
        let object = self.object(run_id).unwrap();
        let digest = Sha256::digest(&object);
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(records[0]["sha256"], sha256);
        assert_eq!(records[0]["bytes"], object.len());
        assert_eq!(records[0]["id"], row["image_id"]);
        assert_eq!(records[0]["image_url"], row["image_url"]);
    }

    /// The log as `GET /ai/runs/{id}/events` gives it.
    pub(crate) async fn log_as_json(&self, run_id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/ai/runs/{run_id}/events")).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        let events = answer.body["events"].as_array().unwrap();
        for event in events {
            assert_eq!(event["name"], event["data"]["type"]);
            assert_eq!(event["sequence"], event["data"]["sequence"]);
        }
        events.iter().map(|event| event["data"].clone()).collect()
    }

    /// The log as the same address streams it.
    pub(crate) async fn log_as_stream(&self, run_id: &str) -> Vec<Value> {
        let request = self
            .user(
                reqwest::Method::GET,
                &format!("/ai/runs/{run_id}/events?after=0"),
            )
            .header("accept", "text/event-stream");
        let text = request.send().await.unwrap().text().await.unwrap();
        events_of_stream(&text)
            .into_iter()
            .map(|(_, data)| data)
            .collect()
    }

    /// Waits until the queue of runs holds nothing and nobody has a message in hand.
    pub(crate) async fn queue_is_empty(&self) {
        self.until("an empty queue", || async {
            let depth = self.stack.sqs().depth(&self.queue());
            (depth.visible + depth.in_flight + depth.delayed == 0).then_some(())
        })
        .await;
    }

    /// The name of the queue of runs.
    pub(crate) fn queue(&self) -> String {
        last_part(&self.stack.ready().queue_url)
    }

    /// The name of the queue of dead letters.
    pub(crate) fn dead_letters(&self) -> String {
        last_part(&self.stack.settings()["GENERATION_DEAD_LETTER_QUEUE_URL"])
    }
}

/// Number and data of each event of an event stream.
pub(crate) fn events_of_stream(text: &str) -> Vec<(u64, Value)> {
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        if let (Some(id), Some(name), Some(data)) = (field("id"), field("event"), field("data")) {
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            events.push((id.parse().unwrap(), data));
        }
    }
    events
}

/// Whether a row says that the run has ended.
pub(crate) fn is_over(row: &Value) -> bool {
    ["succeeded", "failed", "canceled"].contains(&row["status"].as_str().unwrap())
}

fn json_column(rows: Vec<Vec<Option<String>>>) -> Vec<Value> {
    rows.into_iter()
        .map(|row| serde_json::from_str(row[0].as_deref().unwrap()).unwrap())
        .collect()
}

/// `status` and `billed` of each attempt.
pub(crate) fn attempts(row: &Value) -> Vec<(&str, &str)> {
    let attempts = row["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| {
            (
                attempt["status"].as_str().unwrap(),
                attempt["billed"].as_str().unwrap(),
            )
        })
        .collect()
}

fn last_part(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}
