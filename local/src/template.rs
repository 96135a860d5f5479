//! Reads what the local stack needs of `template.yaml`: functions, routes, queues, what feeds functions, schedules.
//!
//! Everything else that the template describes (alarms, roles, outputs) is left unread.

mod intrinsics;
mod resources;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::Context;

/// What the local stack runs, as `template.yaml` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The functions, by the order of their logical ids.
    pub functions: Vec<Function>,
    /// The API's routes.
    pub routes: Vec<Route>,
    /// Which function takes messages from which queue.
    pub queue_triggers: Vec<QueueTrigger>,
    /// Which function is called at which times.
    pub schedules: Vec<Schedule>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// What the API answers to preflights.
    pub cors: Cors,
}

/// One Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The name of the package and of its binary; also the function's name here.
    pub binary: String,
    /// The folder of what is deployed, relative to the template: its last part is the binary's name.
    pub code_uri: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// In MB.
    pub memory_mb: u32,
    /// The settings that it gets. Values that only AWS can know (secrets, attributes of resources) are not resolved.
    pub environment: BTreeMap<String, String>,
}

/// One route of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The logical id of the function that answers.
    pub function: String,
    /// As in the template, `/ai/runs/{run_id}`.
    pub path: String,
    /// Upper-case, or `ANY`.
    pub method: String,
    /// The answer is passed on while it is made, and may take minutes.
    pub streaming: bool,
}

/// Messages of a queue go to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueTrigger {
    /// The logical id of the function.
    pub function: String,
    /// The logical id of the queue.
    pub queue: String,
    /// At most so many messages an invocation.
    pub batch_size: usize,
    /// How long to wait for a batch to fill.
    pub batching_window: Duration,
    /// At most so many invocations at once.
    pub maximum_concurrency: Option<usize>,
    /// The function says which messages of a batch failed.
    pub reports_failures: bool,
}

/// A function called again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The logical id of the function.
    pub function: String,
    /// The event's key in the template.
    pub name: String,
    /// `rate(1 minute)` or `cron(…)`.
    pub expression: String,
    /// What the function gets in place of the scheduler's own event.
    pub input: Option<String>,
}

/// One SQS queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// `QueueName`, or the logical id.
    pub name: String,
    /// How long a received message is hidden.
    pub visibility_timeout: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// How long a new message is hidden.
    pub delay: Duration,
    /// The logical id of the queue for dead letters, and after how many receives a message goes there.
    pub redrive: Option<(String, u32)>,
}

/// What a preflight is answered with. `None` where the template says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// One origin, or `*`.
    pub allow_origin: Option<String>,
    /// Names of request headers, with commas between them.
    pub allow_headers: Option<String>,
    /// In seconds.
    pub max_age: Option<String>,
}

impl Template {
    /// Reads the template's file.
    ///
    /// # Errors
    /// It cannot be read, or is no template.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be understood", path.display()))
    }

    /// Reads the template from its text. Parameters have their defaults.
    ///
    /// # Errors
    /// The text is no YAML, or no template.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)?;
        let document = intrinsics::resolve(&document)?;
        resources::read(&document)
    }

    /// What is left when the functions run elsewhere: queues, and what preflights are told.
    #[must_use]
    pub fn without_functions(self) -> Self {
        Self {
            queues: self.queues,
            cors: self.cors,
            ..Self::default()
        }
    }

    /// The function with this logical id.
    #[must_use]
    pub fn function(&self, logical_id: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| function.logical_id == logical_id)
    }

    /// The queue with this logical id.
    #[must_use]
    pub fn queue(&self, logical_id: &str) -> Option<&Queue> {
        self.queues
            .iter()
            .find(|queue| queue.logical_id == logical_id)
    }
}
