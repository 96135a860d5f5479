//! The message between the functions that accept a run and the worker.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::id::RunId;

/// The only version of the message so far. A worker refuses others, so that an older worker cannot half understand a newer message.
const VERSION: u32 = 1;

/// What a run asks the worker for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// Make an image from a prompt.
    Generate,
    /// Edit images by an instruction.
    Edit,
}

/// One message of the queue: a pointer to the run. Everything else is in its row, which may be newer than the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    v: u32,
    /// What is asked for.
    #[serde(rename = "type")]
    pub job_type: JobType,
    /// The run to work on.
    pub run_id: RunId,
}

/// A message that no worker of this version can act on: it belongs into the dead-letter queue.
#[derive(Debug, Error)]
pub enum JobError {
    /// Not the JSON of a job.
    #[error("the message is not a job: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A job of a version that this worker does not know.
    #[error("the message has version {0}, this worker knows version {VERSION}")]
    Version(u32),
}

impl Job {
    /// A job for a run.
    pub fn new(job_type: JobType, run_id: RunId) -> Self {
        Self {
            v: VERSION,
            job_type,
            run_id,
        }
    }

    /// Reads a message's body.
    ///
    /// # Errors
    /// [`JobError`] for anything that is not a job of this version.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let job: Self = serde_json::from_str(body)?;
        if job.v != VERSION {
            return Err(JobError::Version(job.v));
        }
        Ok(job)
    }

    /// The message's body.
    pub fn body(&self) -> String {
        serde_json::json!({"v": self.v, "type": self.job_type, "run_id": self.run_id}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_job_survives_its_own_text() {
        let job = Job::new(JobType::Generate, RunId(Uuid::from_u128(7)));
        assert_eq!(Job::parse(&job.body()).unwrap(), job);
    }

    #[test]
    fn what_is_no_job_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"v":1}"#,
            r#"{"v":1,"type":"generate","run_id":"x"}"#,
            r#"{"v":1,"type":"dance","run_id":"00000000-0000-0000-0000-000000000007"}"#,
        ] {
            assert!(
                matches!(Job::parse(body), Err(JobError::Malformed(_))),
                "{body}"
            );
        }
        let newer = r#"{"v":2,"type":"generate","run_id":"00000000-0000-0000-0000-000000000007"}"#;
        assert!(matches!(Job::parse(newer), Err(JobError::Version(2))));
    }
}
