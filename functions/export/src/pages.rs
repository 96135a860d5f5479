//! Reading the history page by page, each while the one before it is sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use shared::{
    domain::history::Listing,
    http::reply::ReplyBody,
    postgres::{
        Database,
        history::{Listed, list_history},
        runs::ReadError,
    },
};
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};

use crate::file::File;

/// Records of a page at most, and of the first one.
const MOST_RECORDS: i64 = 500;
const FIRST_RECORDS: i64 = 100;
/// What a page should come to: records with prompts of 32,000 characters come fewer at a time.
const PAGE_BYTES: usize = 512 * 1024;
/// API Gateway and Lambda end any answer after 15 minutes; this is a moment earlier, so that the log says why.
const LONGEST: Duration = Duration::from_secs(14 * 60 + 30);

/// Why there is no next page.
#[derive(Debug, Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the page was not read to its end")]
    Task(#[from] JoinError),
    #[error("a record cannot be written")]
    Write(#[from] serde_json::Error),
    #[error("the export takes too long")]
    TooLong,
}

/// The pages of an export, as the bytes of the file. At any time there are two at most: one that is sent, one that is read.
pub(crate) struct Pages {
    database: Database,
    listing: Listing,
    file: File,
    /// The page that is being read. Reading ends with this.
    coming: JoinSet<Result<Vec<Listed>, ReadError>>,
    head: Vec<u8>,
    records: usize,
    begun: Instant,
}

impl Pages {
    /// Begins to read the first page.
    pub(crate) fn begin(database: Database, listing: Listing, file: File) -> Self {
        let mut pages = Self {
            database,
            listing: Listing {
                limit: FIRST_RECORDS,
                ..listing
            },
            head: file.beginning(),
            file,
            coming: JoinSet::new(),
            records: 0,
            begun: Instant::now(),
        };
        pages.read_on();
        pages
    }

    /// The next page; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, PageError> {
        let Some(read) = self.coming.join_next().await else {
            tracing::info!(records = self.records, "exported");
            return Ok(None);
        };
        let page = read??;
        if self.begun.elapsed() > LONGEST {
            return Err(PageError::TooLong);
        }
        let mut out = std::mem::take(&mut self.head);
        for listed in &page {
            self.file.write(&listed.record, &mut out)?;
        }
        self.records += page.len();
        let is_full = i64::try_from(page.len()).is_ok_and(|length| length >= self.listing.limit);
        if let Some(last) = page.last().filter(|_| is_full) {
            self.listing.after = Some(last.place);
            self.listing.limit = records_in(PAGE_BYTES, out.len() / page.len());
            self.read_on();
        }
        Ok(Some(out.into()))
    }

    fn read_on(&mut self) {
        let (database, listing) = (self.database.clone(), self.listing.clone());
        self.coming
            .spawn(async move { list_history(&database, &listing).await });
    }

    /// The body of an answer: `first`, then every further page. Where one cannot be read the answer is broken off: it never looks whole.
    pub(crate) fn into_body(self, first: Option<Bytes>) -> ReplyBody {
        let rest = stream::unfold(Some(self), |pages| async {
            let mut pages = pages?;
            match pages.next().await {
                Ok(Some(page)) => Some((Ok(page), Some(pages))),
                Ok(None) => None,
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        let pages = stream::iter(first.map(Ok)).chain(rest);
        let frames = pages.map(|page| page.map(Frame::data));
        StreamBody::new(frames).boxed_unsync()
    }
}

fn records_in(bytes: usize, of_one: usize) -> i64 {
    let records = i64::try_from(bytes / of_one.max(1)).unwrap_or(MOST_RECORDS);
    records.clamp(1, MOST_RECORDS)
}
