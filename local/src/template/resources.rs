//! From the resolved document to functions, routes, queues and what feeds functions.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};

use super::{Cors, Function, Queue, QueueTrigger, Route, Schedule, Template, intrinsics::text};

/// Lambda's own default.
const DEFAULT_TIMEOUT_S: u64 = 3;
/// Lambda's own default.
const DEFAULT_MEMORY_MB: u64 = 128;
/// The default of an SQS event source mapping.
const DEFAULT_BATCH_SIZE: u64 = 10;

pub(super) fn read(document: &Value) -> anyhow::Result<Template> {
    let resources = document
        .get("Resources")
        .and_then(Value::as_object)
        .context("a template has Resources")?;
    let globals = &document["Globals"];

    let mut template = Template::default();
    read_cors(&globals["Api"]["Cors"], &mut template.cors);
    for (logical_id, resource) in resources {
        let properties = &resource["Properties"];
        match resource["Type"].as_str().unwrap_or_default() {
            "AWS::Serverless::Function" => {
                read_function(logical_id, resource, &globals["Function"], &mut template)
                    .with_context(|| format!("the function {logical_id}"))?;
            }
            "AWS::SQS::Queue" => template.queues.push(queue(logical_id, properties)),
            "AWS::Serverless::Api" => read_cors(&properties["Cors"], &mut template.cors),
            _ => {}
        }
    }
    Ok(template)
}

fn read_function(
    logical_id: &str,
    resource: &Value,
    globals: &Value,
    template: &mut Template,
) -> anyhow::Result<()> {
    let properties = &resource["Properties"];
    let code_uri = text(&properties["CodeUri"]);
    let folder = code_uri.trim_end_matches('/').rsplit('/').next();
    let binary = resource["Metadata"]["BuildProperties"]["Binary"]
        .as_str()
        .or(folder.filter(|folder| !folder.is_empty()))
        .context("has neither Metadata.BuildProperties.Binary nor CodeUri")?;

    let mut environment = Map::new();
    for source in [globals, properties] {
        if let Some(variables) = source["Environment"]["Variables"].as_object() {
            environment.extend(variables.clone());
        }
    }

    let setting = |name: &str| {
        let own = number(&properties[name]);
        own.or_else(|| number(&globals[name]))
    };
    template.functions.push(Function {
        logical_id: logical_id.to_owned(),
        binary: binary.to_owned(),
        timeout: Duration::from_secs(setting("Timeout").unwrap_or(DEFAULT_TIMEOUT_S)),
        memory_mb: u32::try_from(setting("MemorySize").unwrap_or(DEFAULT_MEMORY_MB))?,
        environment: environment
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        code_uri,
    });

    for (name, event) in properties["Events"].as_object().into_iter().flatten() {
        read_event(logical_id, name, event, template)
            .with_context(|| format!("its event {name}"))?;
    }
    Ok(())
}

fn read_event(
    function: &str,
    name: &str,
    event: &Value,
    template: &mut Template,
) -> anyhow::Result<()> {
    let properties = &event["Properties"];
    if is_false(&properties["Enabled"]) || properties["State"] == "DISABLED" {
        return Ok(());
    }
    match event["Type"].as_str().unwrap_or_default() {
        "Api" | "HttpApi" => template.routes.push(Route {
            function: function.to_owned(),
            path: properties["Path"]
                .as_str()
                .context("has no Path")?
                .to_owned(),
            method: properties["Method"]
                .as_str()
                .context("has no Method")?
                .to_ascii_uppercase(),
            streaming: properties["ResponseTransferMode"] == "RESPONSE_STREAM",
        }),
        "SQS" => template.queue_triggers.push(QueueTrigger {
            function: function.to_owned(),
            queue: resource_of(&properties["Queue"]),
            batch_size: usize::try_from(
                number(&properties["BatchSize"]).unwrap_or(DEFAULT_BATCH_SIZE),
            )?,
            batching_window: seconds(&properties["MaximumBatchingWindowInSeconds"], 0),
            maximum_concurrency: number(&properties["ScalingConfig"]["MaximumConcurrency"])
                .map(usize::try_from)
                .transpose()?,
            reports_failures: properties["FunctionResponseTypes"]
                .as_array()
                .is_some_and(|types| types.contains(&"ReportBatchItemFailures".into())),
        }),
        "Schedule" | "ScheduleV2" => template.schedules.push(Schedule {
            function: function.to_owned(),
            name: name.to_owned(),
            expression: properties["Schedule"]
                .as_str()
                .or(properties["ScheduleExpression"].as_str())
                .context("has no Schedule")?
                .to_owned(),
            input: properties["Input"].as_str().map(str::to_owned),
        }),
        _ => {}
    }
    Ok(())
}

fn queue(logical_id: &str, properties: &Value) -> Queue {
    let name = properties["QueueName"].as_str().unwrap_or(logical_id);
    let policy = &properties["RedrivePolicy"];
    let redrive = policy.is_object().then(|| {
        let receives = number(&policy["maxReceiveCount"]).unwrap_or(10);
        (
            resource_of(&policy["deadLetterTargetArn"]),
            u32::try_from(receives).unwrap_or(u32::MAX),
        )
    });
    Queue {
        logical_id: logical_id.to_owned(),
        name: name.to_owned(),
        visibility_timeout: seconds(&properties["VisibilityTimeout"], 30),
        retention: seconds(&properties["MessageRetentionPeriod"], 345_600),
        delay: seconds(&properties["DelaySeconds"], 0),
        redrive,
    }
}

/// SAM wants these values quoted twice (`"'*'"`), or as a plain text, or as a map.
fn read_cors(cors: &Value, into: &mut Cors) {
    let plain = |value: &Value| {
        let text = text(value);
        let text = text.trim_matches('\'').to_owned();
        (!text.is_empty()).then_some(text)
    };
    if cors.is_string() {
        into.allow_origin = plain(cors);
    } else if cors.is_object() {
        into.allow_origin = plain(&cors["AllowOrigin"]);
        into.allow_headers = plain(&cors["AllowHeaders"]);
        into.max_age = plain(&cors["MaxAge"]);
    }
}

/// The logical id in `LogicalId` or `LogicalId.Arn`.
fn resource_of(reference: &Value) -> String {
    let reference = text(reference);
    let logical_id = reference.split('.').next().unwrap_or_default();
    logical_id.to_owned()
}

fn seconds(value: &Value, default: u64) -> Duration {
    Duration::from_secs(number(value).unwrap_or(default))
}

/// Parameters of type Number may well be texts.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false) || *value == "false"
}
