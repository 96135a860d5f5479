//! First and later requests of every function that answers HTTP, and runs of the worker.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

pub use super::warm_function::Requests;
use super::{
    binaries::Binary,
    events::{self, HttpRequest},
    runtime_api::Invocation,
    surroundings::{QUEUE, Surroundings},
    warm_function::WarmFunction,
};
use crate::postgres;

/// The functions that could be built, and what surrounds them.
#[derive(Debug)]
pub struct Bench<'a> {
    /// What they talk to.
    pub surroundings: &'a Surroundings,
    /// Their executables.
    pub binaries: &'a [Binary],
    /// How many requests of each kind.
    pub requests: usize,
    /// How many images are made.
    pub images: usize,
}

impl Bench<'_> {
    fn binary(&self, name: &str) -> Option<&Binary> {
        self.binaries.iter().find(|binary| binary.name == name)
    }

    /// Measures what there are binaries for. Writers come first: they make the history that readers read.
    ///
    /// # Errors
    /// A function fails, or answers something else than it should.
    pub async fn measure(&self, progress: &dyn Fn(&str)) -> anyhow::Result<Vec<Requests>> {
        let token = self.surroundings.token()?;
        let mut measured = Vec::new();
        if let Some(binary) = self.binary("generate") {
            progress("requests to generate");
            let mut function = WarmFunction::start(binary, self.surroundings).await?;
            let event = generate(&token, &[("Prefer", "respond-async")]);
            let events = std::iter::repeat_n(event, self.requests + 1);
            measured.push(
                function
                    .measure("generate (async)", events, expect(202))
                    .await?,
            );
        }
        if let Some(binary) = self.binary("worker") {
            progress("runs of the worker");
            measured.extend(self.worker(binary).await?);
        }
        // The rest of the messages is of no use.
        self.surroundings.sqs.purge(QUEUE)?;
        let ids = self.history().await?;

        for (name, label, request) in reads(&token, &ids) {
            let Some(binary) = self.binary(name) else {
                continue;
            };
            progress(&format!("requests to {label}"));
            let mut function = WarmFunction::start(binary, self.surroundings).await?;
            let events = std::iter::repeat_n(events::http(&request), self.requests + 1);
            measured.push(function.measure(label, events, expect(200)).await?);
        }
        if let Some(binary) = self.binary("cancel")
            && ids.pending.len() > 1
        {
            progress("requests to cancel");
            let mut function = WarmFunction::start(binary, self.surroundings).await?;
            let events = ids.pending.iter().map(|id| cancel(&token, id));
            measured.push(
                function
                    .measure("cancel (pending)", events, expect(200))
                    .await?,
            );
        }
        if let Some(binary) = self.binary("sweep") {
            progress("rounds of the sweep");
            let mut function = WarmFunction::start(binary, self.surroundings).await?;
            let events = std::iter::repeat_n(json!({ "dry_run": true }), self.images + 1);
            measured.push(
                function
                    .measure("sweep (dry run)", events, |_| Ok(()))
                    .await?,
            );
        }
        Ok(measured)
    }

    /// One run an invocation, from messages that generate sent.
    async fn worker(&self, binary: &Binary) -> anyhow::Result<Option<Requests>> {
        let sqs = &self.surroundings.sqs;
        let messages = sqs
            .receive(QUEUE, self.images + 1, std::time::Duration::ZERO, None)
            .await;
        if messages.len() < 2 {
            return Ok(None);
        }
        let mut function = WarmFunction::start(binary, self.surroundings).await?;
        let events = messages.chunks(1).map(|batch| events::queue(QUEUE, batch));
        let requests = function
            .measure("worker (one run)", events, all_done)
            .await?;
        Ok(Some(requests))
    }

    /// Fills the tables with copies of what was made, so that a page is full, and answers the ids of one image and
    /// one run.
    async fn history(&self) -> anyhow::Result<Ids> {
        let client = postgres::connect(self.surroundings.database_url.as_str()).await?;
        let copies = "
            create temp table images as
                select image.* from generated_images image, generate_series(1, 50);
            update images set id = gen_random_uuid(), run_id = null, created_at = created_at - random() * interval '90 days';
            create temp table runs as
                select run.* from ai_image_runs run, generate_series(1, 50) where run.status = 'succeeded';
            update runs set id = gen_random_uuid(), image_id = null, created_at = created_at - random() * interval '90 days';
            -- Columns that the database generates are not to be given.
            do $$
            declare
                copied record;
            begin
                for copied in
                    select of_table, source, string_agg(quote_ident(attname), ', ') as columns
                    from (values ('generated_images', 'images'), ('ai_image_runs', 'runs')) as copy (of_table, source)
                    join pg_attribute on attrelid = of_table::regclass and attnum > 0 and not attisdropped and attgenerated = ''
                    group by of_table, source
                loop
                    execute format('insert into %I (%s) select %s from %I', copied.of_table, copied.columns, copied.columns, copied.source);
                end loop;
            end
            $$;
            analyze;";
        client.batch_execute(copies).await?;
        let image = "select id::text from generated_images where run_id is not null limit 1";
        let run = "select id::text from ai_image_runs where image_id is not null limit 1";
        let id =
            async |query| anyhow::Ok(client.query_opt(query, &[]).await?.map(|row| row.get(0)));
        let pending = "select id::text from ai_image_runs where status = 'pending' limit $1";
        let limit = i64::try_from(self.requests + 1)?;
        let pending = client.query(pending, &[&limit]).await?;
        Ok(Ids {
            image: id(image).await?,
            run: id(run).await?,
            pending: pending.iter().map(|row| row.get(0)).collect(),
        })
    }
}

struct Ids {
    image: Option<String>,
    run: Option<String>,
    pending: Vec<String>,
}

/// The event of a request for an image.
#[must_use]
pub fn generate(token: &str, headers: &[(&str, &str)]) -> Value {
    events::http(&HttpRequest {
        method: "POST",
        path: "/ai/generate".to_owned(),
        resource: "/ai/generate",
        token,
        headers,
        body: json!({
            "prompt": "A lighthouse at dusk, seen from the sea, in the style of a linocut",
            "resolution": "1K",
        }),
        ..HttpRequest::default()
    })
}

fn cancel(token: &str, id: &str) -> Value {
    events::http(&HttpRequest {
        method: "POST",
        path: format!("/ai/runs/{id}/cancel"),
        resource: "/ai/runs/{run_id}/cancel",
        parameter: Some(("run_id", id)),
        token,
        ..HttpRequest::default()
    })
}

fn reads<'a>(token: &'a str, ids: &'a Ids) -> Vec<(&'static str, &'static str, HttpRequest<'a>)> {
    let read = |resource: &'a str, parameter: Option<(&'a str, &'a str)>| HttpRequest {
        method: "GET",
        path: parameter.map_or(resource.to_owned(), |(name, value)| {
            resource.replace(&format!("{{{name}}}"), value)
        }),
        resource,
        parameter,
        token,
        ..HttpRequest::default()
    };
    let mut reads = vec![
        (
            "list",
            "list (50 records)",
            read("/ai/generated-images", None),
        ),
        ("runs", "runs (many)", read("/ai/runs", None)),
        ("analytics", "analytics", read("/ai/analytics", None)),
    ];
    if let Some(id) = &ids.image {
        let request = read("/ai/generated-images/{image_id}", Some(("image_id", id)));
        reads.push(("get", "get", request));
    }
    if let Some(id) = &ids.run {
        let request = read("/ai/runs/{run_id}", Some(("run_id", id)));
        reads.push(("runs", "runs (one)", request));
        let request = read("/ai/runs/{run_id}/events", Some(("run_id", id)));
        reads.push(("events", "events (JSON)", request));
    }
    let mut realtime = read("/api/realtime/token", None);
    realtime.method = "POST";
    reads.push(("realtime-token", "realtime-token", realtime));
    reads
}

fn expect(status: u64) -> impl Fn(&Invocation) -> anyhow::Result<()> {
    move |invocation| invocation.expect_status(status).map(|_| ())
}

/// Whether the worker reports every message as done.
///
/// # Errors
/// It does not.
pub fn all_done(invocation: &Invocation) -> anyhow::Result<()> {
    let answer: Value =
        serde_json::from_slice(&invocation.answer).context("the worker's answer")?;
    let failures = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
    ensure!(failures == 0, "the worker reports failures: {answer}");
    Ok(())
}
