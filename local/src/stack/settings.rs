//! The settings of functions: where everything is here, what the template says, and what the caller wants otherwise.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{ready, vendors::Vendors};
use crate::{
    sqs::{self, QueueSettings, Redrive},
    template::{Function, Queue, Template},
};

/// The queue of runs.
pub const QUEUE_URL: &str = "GENERATION_QUEUE_URL";

/// The queue of messages that were given up.
const DEAD_LETTER_QUEUE_URL: &str = "GENERATION_DEAD_LETTER_QUEUE_URL";

/// Whether images may be fetched from this machine, where the stand-ins are.
const FETCH_ALLOW_LOCAL: &str = "FETCH_ALLOW_LOCAL";

/// The origins whose pages may call.
pub(super) const CORS_ORIGINS: &str = "CORS_ALLOW_ORIGINS";

/// The key that the stand-in for OpenAI gets; it takes any.
const OPENAI_STAND_IN_KEY: &str = "sk-local-stand-in";

/// Settings that a function gets beside another: where to find what the other is the key of. In AWS they have defaults.
const COMPANIONS: [(&str, &[&str]); 5] = [
    ("OPENAI_API_KEY", &["OPENAI_BASE_URL"]),
    ("ABLY_API_KEY", &["ABLY_BASE_URL"]),
    (
        "SUPABASE_URL",
        &["SUPABASE_JWKS_URL", "SUPABASE_JWT_SECRET"],
    ),
    (QUEUE_URL, &["AWS_ENDPOINT_URL_SQS"]),
    ("DATABASE_URL", &["DATABASE_CA_CERT"]),
];

/// What every function gets.
const FOR_ALL: [&str; 3] = ["PUBLIC_URL", "AWS_LAMBDA_LOG_LEVEL", "RUST_LOG"];

/// Settings that a developer's environment may hold and that are passed on; those that only the template names are
/// passed on too.
const KNOWN: [&str; 20] = [
    "STORAGE_BUCKET",
    "OPENAI_IMAGE_MODELS",
    "OPENAI_TIMEOUT_MS",
    "RETRY_DELAYS_MS",
    "RUN_MAX_AGE_S",
    "UPLOAD_PATIENCE_S",
    "ORPHANS",
    "ORPHAN_GRACE_S",
    "LEASE_S",
    VISIBILITY,
    "REALTIME",
    "ANONYMOUS_GENERATION",
    "ANONYMOUS_HISTORY",
    "USER_DAILY_IMAGES",
    "ANONYMOUS_DAILY_IMAGES",
    "WAIT_MAX_S",
    "PUBLIC_URL",
    "RESPONSE_MODE",
    "LOG_PROMPTS",
    CORS_ORIGINS,
];

/// Settings of a vendor, which are passed on only where the real one answers.
pub const OPENAI: [&str; 2] = ["OPENAI_API_KEY", "OPENAI_BASE_URL"];
/// As [`OPENAI`].
pub const SUPABASE: [&str; 4] = [
    "SUPABASE_URL",
    "SUPABASE_SECRET_KEY",
    "SUPABASE_JWKS_URL",
    "SUPABASE_JWT_SECRET",
];
/// As [`OPENAI`].
pub const ABLY: [&str; 2] = ["ABLY_API_KEY", "ABLY_BASE_URL"];

/// Settings that are the stack's own matter.
const OURS: [&str; 4] = [
    "DATABASE_URL",
    QUEUE_URL,
    DEAD_LETTER_QUEUE_URL,
    "AWS_ENDPOINT_URL_SQS",
];

/// How long a received message is hidden, in place of what the template says; only here.
const VISIBILITY: &str = "VISIBILITY_TIMEOUT_S";

/// Where the stack's own parts are.
pub(super) struct Places<'a> {
    pub(super) database_url: &'a str,
    pub(super) api_url: &'a str,
    pub(super) sqs_url: &'a str,
}

/// The names that are passed on from a developer's environment, but for those of vendors.
#[must_use]
pub fn passed_on(template: &Template) -> Vec<String> {
    let of_template = template
        .functions
        .iter()
        .flat_map(|function| function.environment.keys().map(String::as_str));
    let mut names: Vec<_> = of_template
        .chain(KNOWN)
        .chain(FOR_ALL)
        .chain(["DATABASE_CA_CERT"])
        .filter(|name| !OURS.contains(name))
        .filter(|name| !OPENAI.contains(name) && !SUPABASE.contains(name) && !ABLY.contains(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(super) fn of_stack(
    places: &Places<'_>,
    template: &Template,
    vendors: &Vendors,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("DATABASE_URL", places.database_url.to_owned());
    set("PUBLIC_URL", places.api_url.to_owned());
    set("AWS_ENDPOINT_URL_SQS", places.sqs_url.to_owned());
    set(FETCH_ALLOW_LOCAL, "on".to_owned());
    let runs = template.queue_triggers.first();
    if let Some(queue) = runs.and_then(|trigger| template.queue(&trigger.queue)) {
        set(QUEUE_URL, sqs::queue_url(places.sqs_url, &queue.name));
        let dead_letters = queue.redrive.as_ref();
        if let Some(queue) = dead_letters.and_then(|(queue, _)| template.queue(queue)) {
            let url = sqs::queue_url(places.sqs_url, &queue.name);
            set(DEAD_LETTER_QUEUE_URL, url);
        }
    }
    if let Some(openai) = &vendors.openai {
        set("OPENAI_API_KEY", OPENAI_STAND_IN_KEY.to_owned());
        set("OPENAI_BASE_URL", format!("{}/v1", openai.url()));
    }
    if let Some(supabase) = &vendors.supabase {
        set("SUPABASE_URL", supabase.url().to_owned());
        set("SUPABASE_SECRET_KEY", supabase.secret_key().to_owned());
    }
    if let Some(ably) = &vendors.ably {
        set("ABLY_API_KEY", ably.key());
        set("ABLY_BASE_URL", ably.url());
    }
    settings
}

/// What each function gets, by its name.
pub(super) fn of_functions(
    template: &Template,
    all: &BTreeMap<String, String>,
    sqs_url: &str,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let functions = template.functions.iter();
    functions
        .map(|function| {
            let settings = of_function(template, function, all, sqs_url);
            (function.binary.clone(), settings)
        })
        .collect()
}

/// What the template lists for the function, and where to find it; everything, where the template lists nothing.
fn of_function(
    template: &Template,
    function: &Function,
    all: &BTreeMap<String, String>,
    sqs_url: &str,
) -> BTreeMap<String, String> {
    if function.environment.is_empty() {
        return all.clone();
    }
    let mut settings = BTreeMap::new();
    for (name, value) in &function.environment {
        let value = match all.get(name) {
            Some(value) => Some(value.clone()),
            None => value_of_template(template, value, sqs_url),
        };
        if let Some(value) = value {
            settings.insert(name.clone(), value);
        }
    }
    let companions = COMPANIONS
        .iter()
        .filter(|(name, _)| function.environment.contains_key(*name))
        .flat_map(|(_, companions)| companions.iter())
        .chain(&FOR_ALL);
    for name in companions {
        if let Some(value) = all.get(*name) {
            settings.insert((*name).to_owned(), value.clone());
        }
    }
    settings
}

/// A reference to a queue is its URL. What only AWS can resolve, and what is empty, is no value.
fn value_of_template(template: &Template, value: &str, sqs_url: &str) -> Option<String> {
    let logical_id = value.strip_suffix(".QueueUrl").unwrap_or(value);
    if let Some(queue) = template.queue(logical_id) {
        return Some(sqs::queue_url(sqs_url, &queue.name));
    }
    let is_known = !value.is_empty() && !value.contains("{{resolve:");
    is_known.then(|| value.to_owned())
}

/// The template's queues. A worker that was killed gets its message back when its visibility ends: where leases are
/// short, as in tests, that is short too.
pub(super) fn queues(
    template: &Template,
    settings: &BTreeMap<String, String>,
) -> Vec<QueueSettings> {
    let seconds = |name: &str| {
        let seconds: f64 = settings.get(name)?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let visibility = |queue: &Queue| match (seconds(VISIBILITY), seconds("LEASE_S")) {
        (Some(visibility), _) => visibility,
        (None, Some(lease)) => {
            let short = (lease * 3).max(Duration::from_secs(2));
            queue.visibility_timeout.min(short)
        }
        (None, None) => queue.visibility_timeout,
    };
    let redrive = |queue: &Queue| {
        let (dead_letter_queue, max_receive_count) = queue.redrive.as_ref()?;
        Some(Redrive {
            dead_letter_queue: template.queue(dead_letter_queue)?.name.clone(),
            max_receive_count: *max_receive_count,
        })
    };
    let mut queues: Vec<_> = template
        .queues
        .iter()
        .map(|queue| QueueSettings {
            name: queue.name.clone(),
            visibility_timeout: visibility(queue),
            retention: queue.retention,
            delay: queue.delay,
            redrive: redrive(queue),
        })
        .collect();
    // A queue for dead letters is there before the queue that refers to it.
    queues.sort_by_key(|queue| queue.redrive.is_some());
    queues
}

/// Writes the settings for `cargo lambda watch --env-file`, whose front does not stream.
///
/// # Errors
/// The file cannot be written.
pub fn write_env(settings: &BTreeMap<String, String>, path: &Path) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    // It has an address of its own, which functions learn from the request.
    settings.remove("PUBLIC_URL");
    for (name, value) in [
        ("RESPONSE_MODE", "buffered"),
        ("AWS_REGION", crate::lambda::REGION),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ] {
        settings.insert(name.to_owned(), value.to_owned());
    }
    let lines: String = settings
        .iter()
        .map(|(name, value)| format!("{name}={}\n", value.replace('\n', "\\n")))
        .collect();
    ready::write_whole(path, lines.as_bytes())
}
