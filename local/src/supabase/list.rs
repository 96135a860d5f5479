//! `POST /object/list/{bucket}`: what lies in a folder.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access;
use super::bucket::{existing, read_json};
use super::error::StorageError;
use super::faults::Logged;
use super::rows::Listed;
use super::server::Server;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    prefix: String,
    #[serde(default = "default_limit")]
    limit: usize,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    search: String,
    #[serde(default)]
    sort_by: SortBy,
}

#[derive(Deserialize)]
#[serde(default)]
struct SortBy {
    column: String,
    order: String,
}

/// As the real server has it where the call says nothing.
fn default_limit() -> usize {
    100
}

impl Default for SortBy {
    fn default() -> SortBy {
        SortBy {
            column: "name".to_owned(),
            order: "asc".to_owned(),
        }
    }
}

/// One page of a folder. A bucket that is not there, or not for this caller, is an empty one.
pub(super) async fn list(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    Extension(logged): Extension<Logged>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, StorageError> {
    let access = access::identify(&server.project, &headers)?;
    let wanted = read_json::<Wanted>(&body)?;
    logged.fields(read_json(&body)?);
    if access.must_read().is_err() || existing(&server, &bucket).is_err() {
        return Ok(Json(json!([])));
    }
    let search = wanted.search.to_lowercase();
    let mut listed = server.disk.list(&bucket, wanted.prefix.trim_matches('/'))?;
    listed.retain(|row| row.name().to_lowercase().starts_with(&search));
    sort(&mut listed, &wanted.sort_by);
    let page = listed.iter().skip(wanted.offset).take(wanted.limit);
    Ok(Json(page.map(Listed::to_json).collect()))
}

fn sort(listed: &mut [Listed], by: &SortBy) {
    listed.sort_by(|a, b| {
        let order = match by.column.as_str() {
            "created_at" | "updated_at" | "last_accessed_at" => {
                a.time(&by.column).cmp(&b.time(&by.column))
            }
            _ => std::cmp::Ordering::Equal,
        };
        let order = order.then_with(|| a.name().cmp(b.name()));
        if by.order == "desc" {
            order.reverse()
        } else {
            order
        }
    });
}
