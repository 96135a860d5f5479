//! Answering with the history as a file.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use lambda_http::{Error, Request};
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::{AnonymousHistory, Scope},
        history::{Listing, Order},
    },
    http::{
        Facts, FieldError, Problem, Reply, auth, history,
        query::Query,
        reply::{ReplyBody, WHOLE_LIMIT, size_in_json},
        serve::ResponseMode,
    },
    postgres::{Database, images::RECORD_FIELDS},
    supabase::auth::TokenVerifier,
};

use crate::{
    file::{File, Format},
    pages::{PageError, Pages},
};

/// Beside the list's, of which `format`, that of images, is `image_format` here.
const PARAMETERS: [&str; 4] = ["image_format", "bom", "fields", "user_id"];
/// What the function holds between requests.
pub(crate) struct Exports {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    anonymous: AnonymousHistory,
}

impl Exports {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "export", 1);
        let verifier = groups::token_verifier_for_service(reader);
        let http = groups::http(reader);
        let anonymous = groups::anonymous_history(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
            anonymous,
        })
    }

    pub(crate) async fn answer(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller_or_service(&request, &facts, &self.verifier).await?;
        let scope = Scope::of_history(&caller, self.anonymous).ok_or_else(|| {
            Problem::unauthorized("authorization: sign in to export the history.")
        })?;
        let mut query = Query::parse(&request, &[&PARAMETERS, history::PARAMETERS].concat());
        let user = auth::user_asked_about(&caller, &mut query);
        let format = format(&mut query);
        query.rename("format", "image_format");
        let (filter, mut order) = history::read(&mut query);
        if query.text("order").is_none() {
            // A search is listed by relevance, which ends after a thousand records. A file holds all of them.
            order = Order::Newest;
        }
        let fields = history::fields(&mut query, RECORD_FIELDS);
        query.finish()?;
        let fields = fields.unwrap_or_else(|| RECORD_FIELDS.to_vec());
        let listing = Listing {
            scope: user.map_or(scope, Scope::Owner),
            filter,
            order,
            after: None,
            limit: 0,
            offset: 0,
        };
        let mut pages = Pages::begin(self.database.clone(), listing, File { format, fields });
        let content_type = HeaderValue::from_static(format.content_type());
        // Where not even the first page can be read there is still time to say so.
        let first = pages.next().await?;
        let body = match self.http.response_mode {
            ResponseMode::Stream => pages.into_body(first),
            ResponseMode::Buffered => whole(pages, first).await?,
        };
        let name = format!("generated-images-{}.{}", today(), format.extension());
        let disposition = format!("attachment; filename=\"{name}\"");
        Ok(Reply::stream(StatusCode::OK, content_type, body)
            .with_text_header(header::CONTENT_DISPOSITION, &disposition)
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_header(header::VARY, HeaderValue::from_static("authorization")))
    }
}

fn format(query: &mut Query) -> Format {
    let bom = query.word("bom", &["true", "false"], |word| word.parse().ok());
    let format = query.word("format", &Format::WORDS, Format::parse);
    match (format.unwrap_or(Format::Csv { bom: false }), bom) {
        (Format::Csv { .. }, bom) => Format::Csv {
            bom: bom.unwrap_or(false),
        },
        (Format::Ndjson, Some(true)) => {
            let message = "is for csv only: JSON begins with no byte order mark.";
            query.error(FieldError::new("bom", message, "false"));
            Format::Ndjson
        }
        (Format::Ndjson, _) => Format::Ndjson,
    }
}

/// For a front that takes whole answers only: all of it, or that it is too much, which is found out before anything is sent.
async fn whole(mut pages: Pages, first: Option<Bytes>) -> Result<ReplyBody, Problem> {
    let (mut file, mut size) = (Vec::new(), 0);
    let mut next = first;
    while let Some(page) = next {
        size += size_in_json(&page);
        if size > WHOLE_LIMIT {
            return Err(Problem::answer_too_large(
                "This server sends whole answers only, of at most 6 MB. Narrow the export, for example by from and to, and put the parts together.",
            ));
        }
        file.extend_from_slice(&page);
        next = pages.next().await?;
    }
    Ok(Full::new(Bytes::from(file))
        .map_err(Error::from)
        .boxed_unsync())
}

fn today() -> String {
    let now = Timestamp::now().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Read(error) => error.into(),
            PageError::Task(_) | PageError::Write(_) | PageError::TooLong => {
                Self::internal().caused_by(error)
            }
        }
    }
}
