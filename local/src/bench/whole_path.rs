//! One image after the other, from the request to its answer: generate waits while the worker works.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use shared::tls::{HttpClientOptions, http_client};

use super::{
    binaries::Binary,
    events,
    figures::Times,
    requests::{all_done, generate},
    surroundings::{QUEUE, Surroundings},
    warm_function::WarmFunction,
};
use crate::script::Entry;

/// What one image costs beside the vendor's own time.
#[derive(Clone, Debug)]
pub struct WholePath {
    /// From handing the request to generate until its answer.
    pub total: Times,
    /// Of that, what the vendor did not take: everything of ours, and storing the image.
    pub added: Times,
    /// From the worker's end until the waiting caller had its answer.
    pub answered_after: Times,
    /// Processor time of generate and worker together, for one image; `None` where there is no `/proc`.
    pub processor_time: Option<Duration>,
    /// Round trips to the database that generate made for one request, waiting among them.
    pub generate_round_trips: f64,
    /// Round trips to the database that the worker made for one run.
    pub worker_round_trips: f64,
}

/// Makes `images` images, one at a time.
///
/// # Errors
/// A function fails.
pub async fn measure(
    surroundings: &Surroundings,
    generate_binary: &Binary,
    worker_binary: &Binary,
    images: usize,
) -> anyhow::Result<WholePath> {
    let mut generator = WarmFunction::start(generate_binary, surroundings).await?;
    let mut worker = WarmFunction::start(worker_binary, surroundings).await?;
    // The first run connects everything.
    one_image(surroundings, &mut generator, &mut worker, Duration::ZERO).await?;
    let drawing = drawing_time(surroundings, images).await?;

    let processor_before = processor_time(&generator, &worker);
    let trips_before = (generator.round_trips(), worker.round_trips());
    let mut totals = Vec::new();
    let mut added = Vec::new();
    let mut answered_after = Vec::new();
    for index in 0..images {
        let delay = vendor_delay(index);
        let image = one_image(surroundings, &mut generator, &mut worker, delay).await?;
        totals.push(image.total);
        added.push(image.total.saturating_sub(delay + drawing));
        answered_after.push(image.answered_after);
    }
    surroundings
        .openai
        .script()
        .set(Vec::new(), Some(Entry::default()));

    let count = u32::try_from(images)?;
    let used = processor_time(&generator, &worker)
        .zip(processor_before)
        .map(|(after, before)| (after - before) / count);
    let each = |after: u64, before: u64| {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let trips = (after - before) as f64;
        trips / f64::from(count)
    };
    Ok(WholePath {
        total: Times::of(totals).context("no image was asked for")?,
        added: Times::of(added).context("no image was asked for")?,
        answered_after: Times::of(answered_after).context("no image was asked for")?,
        processor_time: used,
        generate_round_trips: each(generator.round_trips(), trips_before.0),
        worker_round_trips: each(worker.round_trips(), trips_before.1),
    })
}

struct OneImage {
    total: Duration,
    answered_after: Duration,
}

/// Long enough that generate really waits, and different each time: a waiting caller's questions must not fall in step
/// with the vendor.
fn vendor_delay(index: usize) -> Duration {
    let step = u64::try_from(index % 13).unwrap_or(0);
    Duration::from_millis(600 + 71 * step)
}

async fn one_image(
    surroundings: &Surroundings,
    generator: &mut WarmFunction,
    worker: &mut WarmFunction,
    delay: Duration,
) -> anyhow::Result<OneImage> {
    let entry = Entry {
        delay_ms: u64::try_from(delay.as_millis())?,
        ..Entry::default()
    };
    surroundings.openai.script().set(Vec::new(), Some(entry));
    let event = generate(&surroundings.token()?, &[("Prefer", "wait=60")]);
    let asking = async {
        let answer = generator.invoke(&event).await?;
        answer.expect_status(200)?;
        anyhow::Ok((answer.elapsed, Instant::now()))
    };
    let (asked, ended) = tokio::try_join!(asking, work(surroundings, worker))?;
    let (total, answered) = asked;
    Ok(OneImage {
        total,
        answered_after: answered.saturating_duration_since(ended),
    })
}

/// What the event source mapping does with one message. Answers when the worker ended.
async fn work(surroundings: &Surroundings, worker: &mut WarmFunction) -> anyhow::Result<Instant> {
    let wait = Duration::from_secs(20);
    let messages = surroundings.sqs.receive(QUEUE, 1, wait, None).await;
    ensure!(messages.len() == 1, "generate sent no message");
    all_done(&worker.invoke(&events::queue(QUEUE, &messages)).await?)?;
    let ended = Instant::now();
    surroundings
        .sqs
        .delete(QUEUE, &messages[0].receipt_handle)?;
    Ok(ended)
}

/// How long the stand-in takes to draw and send the picture that the worker asked for last.
async fn drawing_time(surroundings: &Surroundings, count: usize) -> anyhow::Result<Duration> {
    let script = surroundings.openai.script();
    let fields = script
        .calls()
        .pop()
        .context("the worker asked for nothing")?
        .fields;
    script.set(Vec::new(), Some(Entry::default()));
    let client = http_client(HttpClientOptions::default())?;
    let url = format!("{}/v1/images/generations", surroundings.openai.url());
    let mut series = Vec::new();
    for _ in 0..count.clamp(1, 10) {
        let began = Instant::now();
        let request = client.post(&url).bearer_auth("sk-bench").json(&fields);
        request.send().await?.error_for_status()?.bytes().await?;
        series.push(began.elapsed());
    }
    series.sort_unstable();
    Ok(series[series.len() / 2])
}

fn processor_time(generator: &WarmFunction, worker: &WarmFunction) -> Option<Duration> {
    Some(generator.process.processor_time()? + worker.process.processor_time()?)
}
