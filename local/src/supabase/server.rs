//! The routes of the project.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use super::disk::Disk;
use super::project::Project;
use super::{auth, bucket, cors, download, faults, list, object, signed, upload};
use crate::script::{self, Script};

/// What every handler has.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) project: Arc<Project>,
    pub(super) disk: Arc<Disk>,
    pub(super) script: Script,
}

pub(super) fn router(server: Server) -> Router {
    let controls = script::routes(server.script.clone());
    Router::new()
        .nest(
            "/storage/v1",
            storage(server.clone()).merge(controls.clone()),
        )
        .nest("/auth/v1", auth::routes().with_state(server))
        .merge(controls)
        .layer(middleware::from_fn(cors::any_origin))
}

fn storage(server: Server) -> Router {
    Router::new()
        .route("/bucket", get(bucket::all).post(bucket::create))
        .route(
            "/bucket/{bucket}",
            get(bucket::one).put(bucket::update).delete(bucket::delete),
        )
        .route("/bucket/{bucket}/empty", post(bucket::empty))
        .route("/object/copy", post(object::copy))
        .route("/object/move", post(object::rename))
        .route(
            "/object/{bucket}",
            axum::routing::delete(object::delete_many),
        )
        .route(
            "/object/{bucket}/{*key}",
            get(download::authenticated)
                .post(upload::create)
                .put(upload::replace)
                .delete(object::delete),
        )
        .route(
            "/object/authenticated/{bucket}/{*key}",
            get(download::authenticated),
        )
        .route("/object/public/{bucket}/{*key}", get(download::public))
        .route("/object/info/{bucket}/{*key}", get(object::info))
        .route(
            "/object/info/authenticated/{bucket}/{*key}",
            get(object::info),
        )
        .route(
            "/object/info/public/{bucket}/{*key}",
            get(object::public_info),
        )
        .route("/object/list/{bucket}", post(list::list))
        .route("/object/sign/{bucket}", post(signed::create_many))
        .route(
            "/object/sign/{bucket}/{*key}",
            post(signed::create).get(signed::download),
        )
        .route(
            "/object/upload/sign/{bucket}/{*key}",
            post(signed::create_upload).put(signed::upload),
        )
        .layer(middleware::from_fn_with_state(
            server.clone(),
            faults::befall,
        ))
        .layer(DefaultBodyLimit::disable())
        .route("/status", get(|| async {}))
        .with_state(server)
}
