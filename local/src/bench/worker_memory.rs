//! How much the worker's memory grows with the images that it has in hand.

use anyhow::{Context, ensure};
use tokio::time::Duration;

use super::{
    binaries::Binary,
    events,
    requests::{all_done, generate},
    surroundings::{QUEUE, Surroundings},
    warm_function::WarmFunction,
};
use crate::{postgres, script::Entry};

/// One batch of large images.
#[derive(Clone, Copy, Debug)]
pub struct WorkerMemory {
    /// Runs in the batch.
    pub in_hand: usize,
    /// All images of it together, in bytes.
    pub image_bytes: u64,
    /// By how much the peak was above that of a worker which had made one small image.
    pub growth: u64,
}

impl WorkerMemory {
    /// Growth for each byte of image.
    #[must_use]
    pub fn factor(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52 bytes")]
        let factor = self.growth as f64 / self.image_bytes as f64;
        factor
    }
}

/// Large enough that everything else in the process is small beside it; a 4K PNG of a photograph is like that.
const IMAGE_BYTES: u64 = 16_000_000;

/// Measures one batch of `in_hand` runs in a worker of its own. `None` where there is no `/proc`.
///
/// # Errors
/// A function fails.
pub async fn measure(
    surroundings: &Surroundings,
    generate_binary: &Binary,
    worker_binary: &Binary,
    in_hand: usize,
) -> anyhow::Result<Option<WorkerMemory>> {
    let mut generator = WarmFunction::start(generate_binary, surroundings).await?;
    let mut worker = WarmFunction::start(worker_binary, surroundings).await?;
    let script = surroundings.openai.script();

    run_batch(surroundings, &mut generator, &mut worker, 1).await?;
    let before = worker.process.peak_memory();
    let large = Entry {
        image_bytes: Some(IMAGE_BYTES),
        ..Entry::default()
    };
    script.set(Vec::new(), Some(large));
    let batch = run_batch(surroundings, &mut generator, &mut worker, in_hand).await;
    script.set(Vec::new(), Some(Entry::default()));
    batch?;
    let after = worker.process.peak_memory();

    let (Some(before), Some(after)) = (before, after) else {
        return Ok(None);
    };
    Ok(Some(WorkerMemory {
        in_hand,
        image_bytes: newest_images(surroundings, in_hand).await?,
        growth: after - before,
    }))
}

async fn run_batch(
    surroundings: &Surroundings,
    generator: &mut WarmFunction,
    worker: &mut WarmFunction,
    in_hand: usize,
) -> anyhow::Result<()> {
    let event = generate(&surroundings.token()?, &[("Prefer", "respond-async")]);
    for _ in 0..in_hand {
        generator.invoke(&event).await?.expect_status(202)?;
    }
    let sqs = &surroundings.sqs;
    let messages = sqs.receive(QUEUE, in_hand, Duration::ZERO, None).await;
    ensure!(
        messages.len() == in_hand,
        "{} messages of {in_hand}",
        messages.len()
    );
    all_done(&worker.invoke(&events::queue(QUEUE, &messages)).await?)?;
    for message in messages {
        sqs.delete(QUEUE, &message.receipt_handle)?;
    }
    Ok(())
}

async fn newest_images(surroundings: &Surroundings, count: usize) -> anyhow::Result<u64> {
    let client = postgres::connect(surroundings.database_url.as_str()).await?;
    let query = "
        select sum(bytes)::int8
        from (
            select bytes from generated_images where run_id is not null order by created_at desc limit $1
        ) as newest";
    let row = client.query_one(query, &[&i64::try_from(count)?]).await?;
    let sum: Option<i64> = row.get(0);
    u64::try_from(sum.context("no image was recorded")?).context("a sum of sizes")
}
