//! Serves a stand-in over HTTP/1.1, and closes connections where the script says so.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service as _;

use super::delivery::CloseBeforeHeaders;

/// The connection was closed because the script said so.
#[derive(Debug, thiserror::Error)]
#[error("closed by the script")]
struct ClosedByScript;

/// Accepts connections until the future is dropped; then all of them are closed.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A slow answer is made of small writes, which must not wait for one another.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve_connection(TokioIo::new(stream), router.clone()));
                }
                // Too many open files, say: the others may end meanwhile.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(io: TokioIo<tokio::net::TcpStream>, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let Ok(response) = router.call(request.map(Body::new)).await;
            if response.extensions().get::<CloseBeforeHeaders>().is_some() {
                return Err(ClosedByScript);
            }
            Ok(response)
        }
    });
    // An error here is a client that went away, or a close that was asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(io, service)
        .await;
}
