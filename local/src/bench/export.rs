//! What the export of a long history costs: time, and memory, which must not grow with it.

use std::time::Duration;

use anyhow::ensure;

use super::{
    binaries::Binary,
    events::{self, HttpRequest},
    surroundings::Surroundings,
    warm_function::WarmFunction,
};
use crate::postgres;

/// One export by an instance of its own.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// Records in the file.
    pub records: u32,
    /// The file's length.
    pub file_bytes: u64,
    /// From the request to the last byte.
    pub elapsed: Duration,
    /// The most memory that the function had.
    pub peak_memory: Option<u64>,
}

impl Export {
    /// How fast records come.
    #[must_use]
    pub fn records_a_second(&self) -> f64 {
        f64::from(self.records) / self.elapsed.as_secs_f64()
    }
}

/// Exports a history of so many records as CSV.
///
/// # Errors
/// The function fails, or the file is too short to hold them.
pub async fn measure(
    surroundings: &Surroundings,
    binary: &Binary,
    records: u32,
) -> anyhow::Result<Export> {
    let client = postgres::connect(surroundings.database_url.as_str()).await?;
    let owner = surroundings.supabase.other_user().id;
    client
        .execute("delete from generated_images where user_id = $1", &[&owner])
        .await?;
    let fill = "
        insert into generated_images (user_id, prompt, full_prompt, image_url, style, model, format, created_at)
        select $1, 'a lighthouse at dusk, number ' || n, repeat('a lighthouse at dusk, seen from the sea. ', 10),
            'https://images.example/generated/' || n || '.png', 'linocut', 'gpt-image-2', 'png', now() - n * interval '1 second'
        from generate_series(1, $2::bigint) n";
    client.execute(fill, &[&owner, &i64::from(records)]).await?;
    client.batch_execute("analyze generated_images").await?;

    let token = surroundings.other_token()?;
    let mut function = WarmFunction::start(binary, surroundings).await?;
    let request = events::http(&HttpRequest {
        method: "GET",
        path: "/ai/generated-images/export".to_owned(),
        resource: "/ai/generated-images/export",
        token: &token,
        ..HttpRequest::default()
    });
    let invocation = function.invoke(&request).await?;
    invocation.expect_status(200)?;
    let lines = invocation.answer.split(|byte| *byte == b'\n').count();
    ensure!(
        lines > records as usize,
        "{lines} lines for {records} records"
    );
    Ok(Export {
        records,
        file_bytes: invocation.answer.len() as u64,
        elapsed: invocation.elapsed,
        peak_memory: function.process.peak_memory(),
    })
}
