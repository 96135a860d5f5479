//! Answering for reference images.

use http::{Method, StatusCode};
use lambda_http::{Request, RequestExt};
use secrecy::ExposeSecret;
use serde_json::json;
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    deleting::delete_now,
    domain::{
        id::{DatasetId, DatasetImageId, UserId},
        image::ImageFormat,
        source::REFERENCES_FOLDER,
    },
    fetching::Reach,
    http::{Facts, Problem, Reply, auth, query::Query, request},
    postgres::{
        Database,
        dataset_images::{NewDatasetImage, delete_images, insert_image, list_images},
        datasets::find_dataset,
    },
    supabase::{
        auth::TokenVerifier,
        storage::{SignedUpload, StorageClient, StorageError},
    },
};
use uuid::Uuid;

use crate::input::{self, Given};

/// How long an upload may begin after it was allowed, in seconds: Supabase's own two hours.
const UPLOAD_EXPIRES_IN_S: u32 = 7_200;

/// What the function holds between requests.
pub(crate) struct DatasetImages {
    database: Database,
    verifier: TokenVerifier,
    storage: StorageClient,
    reach: Reach,
    pub(crate) http: HttpSettings,
}

impl DatasetImages {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "dataset-images", 1);
        let verifier = groups::token_verifier(reader);
        let storage = groups::storage(reader);
        let reach = groups::reach(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            storage,
            reach,
            http,
        })
    }

    pub(crate) async fn answer(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let owner = caller
            .owner()
            .ok_or_else(|| Problem::unauthorized("authorization: sign in to have datasets."))?;
        let dataset_id: DatasetId = request::path_id(&request, "dataset_id")?;
        let one = request.path_parameters().first("image_id").is_some();
        match (request.method(), one) {
            (&Method::POST, false) => self.add(&request, owner, dataset_id).await,
            (&Method::GET, false) => self.list(&request, &facts, owner, dataset_id).await,
            (&Method::DELETE, false) => self.delete(&request, owner, dataset_id, None).await,
            (&Method::DELETE, true) => {
                let id = request::path_id(&request, "image_id")?;
                self.delete(&request, owner, dataset_id, Some(id)).await
            }
            (method, _) => Err(Problem::method_not_allowed(method)),
        }
    }

    async fn add(
        &self,
        request: &Request,
        owner: UserId,
        dataset_id: DatasetId,
    ) -> Result<Reply, Problem> {
        Query::parse(request, &[]).finish()?;
        let given = input::read(request::body(request)?, self.reach)?;
        let id = DatasetImageId(Uuid::new_v4());
        let (format, bytes) = match given {
            Given::Url(image_url) => {
                let new = NewDatasetImage {
                    id,
                    dataset_id,
                    image_url,
                    storage_path: None,
                    content_type: None,
                    bytes: None,
                };
                let image = insert_image(&self.database, owner, &new).await?;
                let image = image.ok_or_else(|| not_found(dataset_id))?;
                return Ok(Reply::json(StatusCode::CREATED, &image)?);
            }
            Given::Upload { format, bytes } => (format, bytes),
        };
        // Nobody gets a place in the bucket for a dataset that is not theirs.
        let dataset = find_dataset(&self.database, owner, dataset_id).await?;
        dataset.ok_or_else(|| not_found(dataset_id))?;
        let path = path_of(id, format);
        let upload = self.allow_upload(&path).await?;
        let new = NewDatasetImage {
            id,
            dataset_id,
            image_url: self.storage.public_url(&path),
            storage_path: Some(path),
            content_type: Some(format.content_type().to_owned()),
            bytes: bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        };
        let image = insert_image(&self.database, owner, &new).await?;
        let image = image.ok_or_else(|| not_found(dataset_id))?;
        let mut answer = serde_json::to_value(&image)?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("upload_url".to_owned(), upload.url.expose_secret().into());
            fields.insert("upload_method".to_owned(), "PUT".into());
            fields.insert(
                "upload_headers".to_owned(),
                json!({"content-type": format.content_type()}),
            );
            fields.insert("upload_expires_in".to_owned(), UPLOAD_EXPIRES_IN_S.into());
        }
        Ok(Reply::json_value(StatusCode::CREATED, &answer))
    }

    /// A place to upload to, in a bucket that is made where it is missing.
    async fn allow_upload(&self, path: &str) -> Result<SignedUpload, StorageError> {
        match self.storage.sign_upload(path).await {
            Err(StorageError::MissingBucket) => {
                self.storage.create_bucket().await?;
                self.storage.sign_upload(path).await
            }
            outcome => outcome,
        }
    }

    async fn list(
        &self,
        request: &Request,
        facts: &Facts,
        owner: UserId,
        dataset_id: DatasetId,
    ) -> Result<Reply, Problem> {
        let mut query = Query::parse(request, &["limit", "offset"]);
        let limit = query.number("limit", 50, 1..=200);
        let offset = query.number("offset", 0, 0..=i64::MAX);
        query.finish()?;
        let images = list_images(&self.database, owner, dataset_id, limit, offset).await?;
        let images = images.ok_or_else(|| not_found(dataset_id))?;
        let page =
            json!({"images": images, "count": images.len(), "offset": offset, "limit": limit});
        Ok(Reply::json_value(StatusCode::OK, &page).with_etag(facts.if_none_match.as_deref()))
    }

    async fn delete(
        &self,
        request: &Request,
        owner: UserId,
        dataset_id: DatasetId,
        only: Option<DatasetImageId>,
    ) -> Result<Reply, Problem> {
        Query::parse(request, &[]).finish()?;
        let deleted = delete_images(&self.database, owner, dataset_id, only).await?;
        let (count, paths) = deleted.ok_or_else(|| not_found(dataset_id))?;
        if let Some(id) = only.filter(|_| count == 0) {
            let detail = format!("The dataset has no image {id}.");
            return Err(Problem::not_found("image_id", detail));
        }
        delete_now(&self.database, &self.storage, &paths).await;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }
}

/// Where an image is uploaded to: a path of its own, which nothing else is ever written to.
fn path_of(id: DatasetImageId, format: ImageFormat) -> String {
    format!("{REFERENCES_FOLDER}/{id}.{}", format.extension())
}

fn not_found(id: DatasetId) -> Problem {
    Problem::not_found("dataset_id", format!("You have no dataset {id}."))
}
