//! Answering one record.

use http::StatusCode;
use lambda_http::Request;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::id::ImageId,
    http::{Facts, Problem, Reply, auth, query::Query, request::path_id},
    postgres::{Database, images::find_image},
    submission::answer::scope_of,
    supabase::auth::TokenVerifier,
};

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
        Query::parse(&request, &[]).finish()?;
        let image = find_image(&self.database, scope_of(&caller), id).await?;
        let image = image.ok_or_else(|| {
            Problem::not_found(
                "image_id",
                format!("There is no image {id} that you may see."),
            )
        })?;
        Ok(Reply::json(StatusCode::OK, &image)?.with_etag(facts.if_none_match.as_deref()))
    }
}
