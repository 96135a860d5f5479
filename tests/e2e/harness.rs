//! A stack for one test, and what tests ask of it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use local::{
    binaries::{self, Binaries, Profile},
    postgres::for_tests::TestDatabase,
    stack::{DatabaseChoice, Stack, StackOptions},
    template::Template,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::tls::HttpClientOptions;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::openapi;

/// How long a test waits for something that should happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The functions are built once for all tests.
pub(crate) async fn functions() -> anyhow::Result<Binaries> {
    static BUILT: OnceCell<Binaries> = OnceCell::const_new();
    let build = || async {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let template = Template::read(&workspace.join("template.yaml"))?;
        binaries::build(&workspace, &template.functions, Profile::Dev).await
    };
    BUILT.get_or_try_init(build).await.cloned()
}

/// A running stack with a database of its own.
pub(crate) struct World {
    pub(crate) stack: Stack,
    http: reqwest::Client,
    _database: Option<TestDatabase>,
    data: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Self {
            status,
            headers,
            body,
        }
    }

    /// A header's lines with commas between them, or the empty text.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter();
        let lines: Vec<_> = lines.filter_map(|value| value.to_str().ok()).collect();
        lines.join(", ")
    }

    /// Asserts that this is problem+json of a status, and gives the names of the fields it complains about.
    pub(crate) fn problem_fields(&self, status: u16) -> Vec<String> {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:#?}"
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(
            self.body["type"],
            format!(
                "urn:darkroom:problem:{}",
                self.body["code"].as_str().unwrap()
            )
        );
        assert_eq!(self.body["instance"], self.header("x-request-id"));
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for World {
    /// What the functions of a failed test had to say.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let logs = std::fs::read_dir(self.data.path().join("logs"));
        for file in logs.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(20)..];
            println!("{}:\n{}\n", file.file_name().display(), last.join("\n"));
        }
    }
}

impl World {
    /// A stack with these settings beside the usual ones.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let url = database.url().to_owned();
        let change = move |options: &mut StackOptions| {
            options.database = DatabaseChoice::Migrated(url);
        };
        Self::start_with(settings, Some(database), change).await
    }

    /// A stack with a Postgres server of its own, which the test may stop.
    pub(crate) async fn start_with_own_server(settings: &[(&str, &str)]) -> Self {
        let change = |options: &mut StackOptions| {
            options.database = DatabaseChoice::Own { durable: false };
        };
        Self::start_with(settings, None, change).await
    }

    /// A stack whose options a test changes.
    pub(crate) async fn start_with(
        settings: &[(&str, &str)],
        database: Option<TestDatabase>,
        change: impl FnOnce(&mut StackOptions),
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = StackOptions::new(data.path());
        options.binaries = Some(functions().await.unwrap());
        options.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>();
        change(&mut options);
        let stack = Stack::start(options).await.unwrap();
        Self {
            stack,
            http: http_client(),
            _database: database,
            data,
        }
    }

    /// A request to the API by nobody in particular.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.stack.ready().api_url))
    }

    /// A request to the API with this token or key.
    pub(crate) fn bearer(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(token)
    }

    /// A request to the API by the test user.
    pub(crate) fn user(&self, method: Method, path: &str) -> RequestBuilder {
        self.bearer(method, path, &self.stack.ready().user.token)
    }

    /// A request to the API by the other test user.
    pub(crate) fn other_user(&self, method: Method, path: &str) -> RequestBuilder {
        self.bearer(method, path, &self.stack.ready().other_user.token)
    }

    /// `POST /ai/generate` by the test user.
    pub(crate) async fn generate(&self, body: Value) -> Answer {
        send(
            self.user(Method::POST, "/ai/generate")
                .body(body.to_string()),
        )
        .await
    }

    /// `POST /ai/generate` by the test user, without waiting; the run's id.
    pub(crate) async fn begin(&self, body: Value) -> String {
        let answer = send(
            self.user(Method::POST, "/ai/generate")
                .header("prefer", "respond-async")
                .body(body.to_string()),
        )
        .await;
        assert_eq!(answer.status, 202, "{answer:#?}");
        answer.body["run_id"].as_str().unwrap().to_owned()
    }

    /// `GET` by the test user.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.user(Method::GET, path)).await
    }

    /// Waits for a run of the test user to end; its record.
    pub(crate) async fn ended(&self, run_id: &str) -> Value {
        self.until(&format!("the end of run {run_id}"), || async {
            let run = self.get(&format!("/ai/runs/{run_id}")).await.body;
            ["succeeded", "failed", "canceled"]
                .contains(&run["status"].as_str()?)
                .then_some(run)
        })
        .await
    }

    /// Waits until something is there.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begun.elapsed() < SOON, "waited {SOON:?} for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says what the OpenAI stand-in does next.
    pub(crate) async fn openai(&self, script: Value) {
        self.control(&self.stack.ready().openai_url, script).await;
    }

    /// Says what the storage stand-in does next.
    pub(crate) async fn storage(&self, script: Value) {
        self.control(&self.stack.ready().storage_url, script).await;
    }

    /// Says how the Ably stand-in fails.
    pub(crate) async fn ably(&self, faults: Value) {
        self.control(&self.stack.ready().ably_url, faults).await;
    }

    /// Waits until the OpenAI stand-in was asked so often.
    pub(crate) async fn calls(&self, count: usize) {
        self.until(&format!("{count} calls"), || async {
            (self.openai_calls().await.len() >= count).then_some(())
        })
        .await;
    }

    /// Says what a stand-in does next.
    pub(crate) async fn control(&self, url: &str, script: Value) {
        let answer = send(self.http.post(format!("{url}/_control")).json(&script)).await;
        assert!(answer.status.is_success(), "{answer:#?}");
    }

    /// What the OpenAI stand-in was asked.
    pub(crate) async fn openai_calls(&self) -> Vec<Value> {
        let url = format!("{}/_calls", self.stack.ready().openai_url);
        send(self.http.get(url))
            .await
            .body
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Calls a function by Lambda's Invoke API.
    pub(crate) async fn invoke(&self, function: &str, event: Value) -> Value {
        let url = format!(
            "{}/2015-03-31/functions/{function}/invocations",
            self.stack.ready().lambda_url
        );
        send(self.http.post(url).json(&event)).await.body
    }

    /// What a function has written so far.
    pub(crate) fn function_log(&self, function: &str) -> String {
        std::fs::read_to_string(self.data.path().join(format!("logs/{function}.log")))
            .unwrap_or_default()
    }

    /// One round of the sweep.
    pub(crate) async fn sweep(&self) -> Value {
        self.invoke("sweep", json!({})).await
    }

    /// The running instances of a function: process ids.
    pub(crate) async fn instances(&self, function: &str) -> Vec<u32> {
        let instances = send(
            self.http
                .get(format!("{}/_instances", self.stack.ready().lambda_url)),
        )
        .await
        .body;
        let of_function = instances
            .as_array()
            .unwrap()
            .iter()
            .filter(|instance| instance["function"] == function);
        of_function
            .map(|instance| u32::try_from(instance["pid"].as_u64().unwrap()).unwrap())
            .collect()
    }

    /// The rows of a query, as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.try_rows(sql).await.unwrap()
    }

    /// As [`World::rows`], where the database may be down.
    pub(crate) async fn try_rows(&self, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let client = local::postgres::connect(&self.stack.ready().database_url).await?;
        let messages = client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let texts = rows.map(|row| {
            (0..row.len())
                .map(|column| row.get(column).map(str::to_owned))
                .collect()
        });
        Ok(texts.collect())
    }

    /// The first column of a query's only row.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        self.rows(sql)
            .await
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
    }

    /// Everything that the functions have logged.
    pub(crate) fn logs(&self) -> String {
        let files = std::fs::read_dir(self.data.path().join("logs")).unwrap();
        files
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }

    /// Fetches a public URL.
    pub(crate) async fn fetch(&self, url: &str) -> Vec<u8> {
        let response = self.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
        response.bytes().await.unwrap().to_vec()
    }
}

/// Where a program is installed. Where it is not, a test says so and is passed over; in CI it has to be there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian has servers, which is not in the PATH of users.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "{name} is not installed"
    );
    if found.is_none() {
        println!("skipped: {name} is not installed");
    }
    found
}

/// A client that waits as long as generate may.
pub(crate) fn http_client() -> reqwest::Client {
    shared::tls::http_client(HttpClientOptions::with_timeout(Duration::from_secs(300))).unwrap()
}

/// Sends a request and reads the answer whole. What an endpoint answers must be as `docs/openapi.yaml` says.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let request = request.header("content-type", "application/json");
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, url) = (request.method().clone(), request.url().clone());
    let answer = Answer::of(client.execute(request).await.unwrap()).await;
    let mistakes = openapi::mistakes(method.as_str(), url.path(), &answer);
    assert!(
        mistakes.is_empty(),
        "{method} {url} is not as docs/openapi.yaml says: {mistakes:#?} {answer:#?}"
    );
    answer
}
