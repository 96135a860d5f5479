//! Deleting a record with its image.

use http::StatusCode;
use lambda_http::Request;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    deleting::delete_now,
    domain::id::ImageId,
    http::{Facts, Problem, Reply, auth, query::Query, request::path_id},
    postgres::Database,
    recording::deletion::{Deleted, delete_image},
    supabase::{auth::TokenVerifier, storage::StorageClient},
};

/// What the function holds between requests.
pub(crate) struct Deletion {
    database: Database,
    verifier: TokenVerifier,
    storage: StorageClient,
    pub(crate) http: HttpSettings,
}

impl Deletion {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "delete", 1);
        let verifier = groups::token_verifier(reader);
        let storage = groups::storage(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            storage,
            http,
        })
    }

    /// 204 where the record was there. Its image is gone from storage then too, or is as soon as storage can be reached.
    pub(crate) async fn delete(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let owner = caller
            .owner()
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to delete images."))?;
        let id: ImageId = path_id(&request, "image_id")?;
        Query::parse(&request, &[]).finish()?;
        match delete_image(&self.database, owner, id).await? {
            Deleted::Gone { path } => {
                delete_now(&self.database, &self.storage, path.as_slice()).await;
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            }
            Deleted::Ownerless => Err(Problem::ownerless("image_id")),
            Deleted::NotFound => Err(Problem::not_found(
                "image_id",
                format!("You have no image {id}."),
            )),
        }
    }
}
