//! Marking a record.

use http::{Method, StatusCode};
use lambda_http::Request;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::id::ImageId,
    http::{Facts, Problem, Reply, auth, query::Query, request::path_id},
    postgres::{
        Database,
        favorites::{Marked, mark_favorite},
    },
    supabase::auth::TokenVerifier,
};

/// What the function holds between requests.
pub(crate) struct Favorites {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
}

impl Favorites {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "favorite", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
        })
    }

    /// 200 with the record as it is now, whether it was so before or not.
    pub(crate) async fn mark(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let owner = caller
            .owner()
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to have favourites."))?;
        let id: ImageId = path_id(&request, "image_id")?;
        Query::parse(&request, &[]).finish()?;
        let favorite = match *request.method() {
            Method::PUT => true,
            Method::DELETE => false,
            ref method => return Err(Problem::method_not_allowed(method)),
        };
        match mark_favorite(&self.database, owner, id, favorite).await? {
            Marked::Now(image) => Ok(Reply::json(StatusCode::OK, &image)?),
            Marked::Ownerless => Err(Problem::ownerless("image_id")),
            Marked::NotFound => Err(Problem::not_found(
                "image_id",
                format!("You have no image {id}."),
            )),
        }
    }
}
