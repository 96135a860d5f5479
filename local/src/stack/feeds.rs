//! What calls functions besides the API: queues and schedules.

use anyhow::Context;

use crate::{
    lambda::{
        Lambda,
        queue_trigger::{QueueTrigger, QueueTriggerOptions},
        schedule::{self, Schedule, ScheduleOptions},
    },
    sqs::Sqs,
    template::Template,
};

#[derive(Debug, Default)]
pub(super) struct Feeds {
    triggers: Vec<QueueTrigger>,
    schedules: Vec<Schedule>,
}

impl Feeds {
    pub(super) fn start(
        template: &Template,
        lambda: &Lambda,
        sqs: &Sqs,
        schedules: bool,
    ) -> anyhow::Result<Self> {
        let function = |logical_id: &str| {
            let function = template.function(logical_id);
            function.map(|function| function.binary.clone())
        };
        let mut feeds = Self::default();
        for trigger in &template.queue_triggers {
            let queue = template
                .queue(&trigger.queue)
                .with_context(|| format!("the template has no queue {}", trigger.queue))?;
            let Some(function) = function(&trigger.function) else {
                continue;
            };
            let options = QueueTriggerOptions {
                queue: queue.name.clone(),
                function,
                batch_size: trigger.batch_size,
                batching_window: trigger.batching_window,
                maximum_concurrency: trigger.maximum_concurrency,
                reports_failures: trigger.reports_failures,
            };
            let trigger = QueueTrigger::start(lambda.clone(), sqs.clone(), options);
            feeds.triggers.push(trigger);
        }
        for rule in template.schedules.iter().filter(|_| schedules) {
            let Some(function) = function(&rule.function) else {
                continue;
            };
            let every = schedule::interval(&rule.expression)
                .with_context(|| format!("the schedule {} of {function}", rule.name))?;
            let options = ScheduleOptions {
                name: rule.name.clone(),
                function,
                every,
                input: rule.input.clone(),
            };
            feeds
                .schedules
                .push(Schedule::start(lambda.clone(), options));
        }
        Ok(feeds)
    }

    /// Nothing is called from now on; messages in hand are visible again.
    pub(super) fn stop(&mut self) {
        for trigger in &self.triggers {
            trigger.stop();
        }
        self.schedules.clear();
    }
}
