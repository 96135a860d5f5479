//! Answering one record.

use http::StatusCode;
use lambda_http::Request;
use serde::Serialize;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::id::ImageId,
    http::{Facts, FieldError, Problem, Reply, auth, query::Query, request::path_id},
    postgres::{
        Database,
        images::{ImageRecord, find_image},
        lineage::{Lineage, lineage},
    },
    submission::answer::scope_of,
    supabase::auth::TokenVerifier,
};

/// A record, with its family where it was asked for.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    image: &'a ImageRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
}

/// What the function holds between requests.
pub(crate) struct Records {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
}

impl Records {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "get", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
        })
    }

    pub(crate) async fn get(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let id: ImageId = path_id(&request, "image_id")?;
        let mut query = Query::parse(&request, &["lineage"]);
        let with_lineage = match query.text("lineage") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                query.error(FieldError::new(
                    "lineage",
                    "must be true or false.",
                    vec!["true", "false"],
                ));
                false
            }
        };
        query.finish()?;
        let image = find_image(&self.database, scope_of(&caller), id).await?;
        let image = image.ok_or_else(|| {
            Problem::not_found(
                "image_id",
                format!("There is no image {id} that you may see."),
            )
        })?;
        let lineage = match with_lineage {
            true => Some(lineage(&self.database, scope_of(&caller), id).await?),
            false => None,
        };
        let answer = Answer {
            image: &image,
            lineage,
        };
        Ok(Reply::json(StatusCode::OK, &answer)?.with_etag(facts.if_none_match.as_deref()))
    }
}
