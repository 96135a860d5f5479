//! Settings that belong together. A function reads the groups it needs, and no others.

use std::time::Duration;

use secrecy::SecretString;

use super::Reader;
use crate::{
    ably::publish::AblyOptions,
    domain::{caller::AnonymousHistory, model::Model, step::RetrySchedule},
    fetching::Reach,
    http::{cors::AllowedOrigins, serve::ResponseMode},
    openai::{client::OpenAiOptions, request::MOST_SOURCE_IMAGES},
    postgres::{Database, DatabaseOptions, tls::ExtraRoots},
    queue::{Queue, QueueOptions},
    supabase::{
        auth::{AuthOptions, TokenVerifier},
        storage::{StorageClient, StorageOptions},
    },
    telemetry::RunLog,
};

/// Lambda's own variable for the level of a function's log.
pub const LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";

/// A publish that takes longer is left to the next try: the page also reads the event log.
const ABLY_TIMEOUT: Duration = Duration::from_secs(5);
/// An image of 20 MB at 3 Mbit/s.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// A send takes some 20 ms; a caller waits for it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// The database: `DATABASE_URL`, `DATABASE_CA_CERT`. `function` names the connections in the database's own views.
pub fn database(
    reader: &mut Reader<'_>,
    function: &str,
    max_connections: usize,
) -> Option<Database> {
    database_with(reader, function, |options| {
        options.max_connections = max_connections;
    })
}

/// As [`database`], where the function's statements are of another kind.
pub fn database_with(
    reader: &mut Reader<'_>,
    function: &str,
    change: impl FnOnce(&mut DatabaseOptions),
) -> Option<Database> {
    let url = reader.secret("DATABASE_URL");
    let mut options = DatabaseOptions::new(url, format!("darkroom-{function}"));
    options.ca_cert = reader.optional("DATABASE_CA_CERT");
    change(&mut options);
    if let Ok(database) = Database::new(&options) {
        return Some(database);
    }
    // One or both of the settings cannot be used: each is looked at by itself.
    let ca_cert = options.ca_cert.take();
    if let Some(Err(error)) = ca_cert.as_deref().map(ExtraRoots::read) {
        let problem = format!("cannot be used: {}", crate::telemetry::chain(&error));
        reader.problem("DATABASE_CA_CERT", problem);
    }
    if reader.optional("DATABASE_URL").is_some()
        && let Err(error) = Database::new(&options)
    {
        let problem = format!("cannot be used: {}", crate::telemetry::chain(&error));
        reader.problem("DATABASE_URL", problem);
    }
    None
}

/// Access tokens: `SUPABASE_URL`, `SUPABASE_JWKS_URL`, `SUPABASE_JWT_SECRET`.
pub fn token_verifier(reader: &mut Reader<'_>) -> TokenVerifier {
    TokenVerifier::new(auth_options(reader, None))
}

/// As [`token_verifier`], and `SUPABASE_SECRET_KEY`, by which the application's own backend is known. It may be left out.
pub fn token_verifier_for_service(reader: &mut Reader<'_>) -> TokenVerifier {
    let service_key = reader.optional_secret("SUPABASE_SECRET_KEY");
    TokenVerifier::new(auth_options(reader, service_key))
}

fn auth_options(reader: &mut Reader<'_>, service_key: Option<SecretString>) -> AuthOptions {
    AuthOptions {
        supabase_url: reader.url("SUPABASE_URL"),
        jwks_url: reader.optional_url("SUPABASE_JWKS_URL"),
        jwt_secret: reader.optional_secret("SUPABASE_JWT_SECRET"),
        service_key,
    }
}

/// How answers are made: `CORS_ALLOW_ORIGINS`, `PUBLIC_URL`, `RESPONSE_MODE`.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Origins whose pages may call.
    pub origins: AllowedOrigins,
    /// What URLs in answers begin with.
    pub public_url: Option<String>,
    /// Whether the front streams.
    pub response_mode: ResponseMode,
}

/// Reads [`HttpSettings`].
pub fn http(reader: &mut Reader<'_>) -> HttpSettings {
    HttpSettings {
        origins: AllowedOrigins::parse(&reader.optional("CORS_ALLOW_ORIGINS").unwrap_or_default()),
        public_url: reader.optional_url("PUBLIC_URL"),
        response_mode: reader.choice(
            "RESPONSE_MODE",
            &[
                ("stream", ResponseMode::Stream),
                ("buffered", ResponseMode::Buffered),
            ],
            ResponseMode::Stream,
        ),
    }
}

/// `ANONYMOUS_HISTORY`: what anonymous callers see of the history.
pub fn anonymous_history(reader: &mut Reader<'_>) -> AnonymousHistory {
    let words = [
        ("anonymous", AnonymousHistory::Anonymous),
        ("all", AnonymousHistory::All),
        ("none", AnonymousHistory::None),
    ];
    reader.choice("ANONYMOUS_HISTORY", &words, AnonymousHistory::Anonymous)
}

/// Realtime: `ABLY_API_KEY` and `ABLY_BASE_URL`; none where `REALTIME=off`, or where the key cannot be used (the reader then holds
/// the problem).
pub fn ably(reader: &mut Reader<'_>) -> Option<AblyOptions> {
    if !reader.switch("REALTIME", true) {
        return None;
    }
    let base_url = reader.optional_url("ABLY_BASE_URL");
    let key = reader.required("ABLY_API_KEY");
    if key.is_empty() {
        return None;
    }
    match key.parse() {
        Ok(key) => Some(AblyOptions {
            base_url,
            key,
            timeout: ABLY_TIMEOUT,
        }),
        Err(error) => {
            reader.problem("ABLY_API_KEY", format!("cannot be used: {error}"));
            None
        }
    }
}

/// The vendor's models: the first asked, and those asked after it.
#[derive(Clone, Debug)]
pub struct Models(pub Model, pub Vec<Model>);

/// Reads `OPENAI_IMAGE_MODELS`, the first asked first. None where the setting cannot be used; the reader then holds the problem.
pub fn models(reader: &mut Reader<'_>) -> Option<Models> {
    let text = reader
        .optional("OPENAI_IMAGE_MODELS")
        .unwrap_or_else(|| "gpt-image-2".to_owned());
    let models: Result<Vec<Model>, _> = text
        .split(',')
        .map(|name| Model::try_from(name.trim().to_owned()))
        .collect();
    match models {
        Ok(models) if models.iter().any(Model::is_retired) => {
            reader.problem("OPENAI_IMAGE_MODELS", "names a model that is retired")
        }
        Ok(models) => {
            let mut models = models.into_iter();
            return models.next().map(|first| Models(first, models.collect()));
        }
        Err(error) => reader.problem(
            "OPENAI_IMAGE_MODELS",
            format!("is not a list of models, separated by commas: {error}"),
        ),
    }
    None
}

/// Storage: `SUPABASE_URL`, `SUPABASE_SECRET_KEY`, `STORAGE_BUCKET`.
pub fn storage(reader: &mut Reader<'_>) -> StorageClient {
    StorageClient::new(StorageOptions {
        supabase_url: reader.url("SUPABASE_URL"),
        secret_key: reader.secret("SUPABASE_SECRET_KEY"),
        bucket: reader
            .optional("STORAGE_BUCKET")
            .unwrap_or_else(|| "generated-images".to_owned()),
        timeout: STORAGE_TIMEOUT,
    })
}

/// `FETCH_ALLOW_LOCAL`: whether URLs that callers write may lead to this machine, by http too. On for a local stack only.
pub fn reach(reader: &mut Reader<'_>) -> Reach {
    if reader.switch("FETCH_ALLOW_LOCAL", false) {
        Reach::PublicAndLoopback
    } else {
        Reach::Public
    }
}

/// `MAX_REFERENCE_IMAGES`: how many images of a dataset go with a request.
pub fn max_references(reader: &mut Reader<'_>) -> usize {
    let most = MOST_SOURCE_IMAGES as u64;
    usize::try_from(reader.number("MAX_REFERENCE_IMAGES", 5, 0..=most)).unwrap_or(0)
}

/// The vendor: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_TIMEOUT_MS`. A call may take 300 s: high quality at 2K takes up to 250.
pub fn openai(reader: &mut Reader<'_>) -> OpenAiOptions {
    OpenAiOptions {
        api_key: reader.secret("OPENAI_API_KEY"),
        base_url: reader
            .optional_url("OPENAI_BASE_URL")
            .unwrap_or_else(|| "https://api.openai.com/v1".to_owned()),
        timeout: Duration::from_millis(reader.number("OPENAI_TIMEOUT_MS", 300_000, 1..=840_000)),
    }
}

/// How runs are worked on: `RETRY_DELAYS_MS`, `RUN_MAX_AGE_S`, `LEASE_S`, and the models.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// When attempts are made, with which models, and until when.
    pub schedule: RetrySchedule,
    /// How long a worker holds a run without renewing.
    pub lease: Duration,
}

/// `LEASE_S`: how long a lease lasts unless it is renewed. Longer than a call of the vendor (300 s), shorter than the worker's timeout.
pub fn lease(reader: &mut Reader<'_>) -> Duration {
    Duration::from_secs(reader.number("LEASE_S", 360, 1..=43_200))
}

/// `RUN_MAX_AGE_S`: a run that is older ends as failed. A day, as long as messages may take to become dead letters and be replayed.
pub fn run_max_age(reader: &mut Reader<'_>) -> Duration {
    Duration::from_secs(reader.number("RUN_MAX_AGE_S", 86_400, 1..=1_209_600))
}

/// Reads [`RunSettings`].
pub fn runs(reader: &mut Reader<'_>) -> RunSettings {
    let delays_ms = reader.numbers("RETRY_DELAYS_MS", &[0, 1500, 4000], 0..=900_000);
    let models = models(reader).map(|Models(first, rest)| {
        std::iter::once(first)
            .chain(rest)
            .map(|model| model.as_str().to_owned())
            .collect()
    });
    RunSettings {
        schedule: RetrySchedule {
            delays_ms,
            models: models.unwrap_or_default(),
            max_age: run_max_age(reader),
        },
        lease: lease(reader),
    }
}

/// The queue between acceptance and work: `GENERATION_QUEUE_URL`, and AWS's own variables, which Lambda sets.
pub fn queue(reader: &mut Reader<'_>) -> Queue {
    Queue::new(QueueOptions {
        queue_url: reader.url("GENERATION_QUEUE_URL"),
        region: reader.required("AWS_REGION"),
        endpoint_url: reader.optional_url("AWS_ENDPOINT_URL_SQS"),
        access_key_id: reader.required("AWS_ACCESS_KEY_ID"),
        secret_access_key: reader.secret("AWS_SECRET_ACCESS_KEY"),
        session_token: reader.optional_secret("AWS_SESSION_TOKEN"),
        timeout: QUEUE_TIMEOUT,
    })
}

/// The function's name, which Lambda sets, or what it is called elsewhere: `AWS_LAMBDA_FUNCTION_NAME`.
pub fn function_name(reader: &Reader<'_>, elsewhere: &str) -> String {
    reader
        .optional("AWS_LAMBDA_FUNCTION_NAME")
        .unwrap_or_else(|| elsewhere.to_owned())
}

/// How ends of runs are logged: `LOG_PROMPTS`.
pub fn run_log(reader: &mut Reader<'_>, function: &str) -> RunLog {
    RunLog {
        function: function_name(reader, function),
        prompts: reader.switch("LOG_PROMPTS", false),
    }
}
