//! The ports of one data directory, the same at each start where they are free: stored URLs stay good.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, bail};
use tokio::net::TcpListener;

#[derive(Debug)]
pub(super) struct Ports {
    file: PathBuf,
    known: Mutex<BTreeMap<String, u16>>,
}

impl Ports {
    /// Reads the ports of the last start.
    pub(super) fn open(data_dir: &Path) -> Self {
        let file = data_dir.join("ports.json");
        // Without the file, or with a damaged one, ports are new, which is all that is lost.
        let known = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            file,
            known: Mutex::new(known),
        }
    }

    /// Binds the port that this server had last time, or a free one.
    pub(super) async fn bind(&self, server: &str) -> anyhow::Result<TcpListener> {
        if let Some(port) = self.last(server)
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await
        {
            return Ok(listener);
        }
        let listener = bind(0).await?;
        let port = listener.local_addr()?.port();
        self.known().insert(server.to_owned(), port);
        Ok(listener)
    }

    /// The port that this server had last time, if it is free; for a server that binds by itself.
    pub(super) async fn free(&self, server: &str) -> Option<u16> {
        let port = self.last(server)?;
        let free = TcpListener::bind(("127.0.0.1", port)).await.is_ok();
        free.then_some(port)
    }

    /// Notes the port in a URL.
    pub(super) fn keep(&self, server: &str, url: &str) {
        let port = url::Url::parse(url).ok().and_then(|url| url.port());
        if let Some(port) = port {
            self.known().insert(server.to_owned(), port);
        }
    }

    pub(super) fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&*self.known())?;
        std::fs::write(&self.file, text)
            .with_context(|| format!("{} cannot be written", self.file.display()))
    }

    fn last(&self, server: &str) -> Option<u16> {
        self.known().get(server).copied()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, u16>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on this port of the loopback interface, 0 for a free one.
pub(super) async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken: stop what listens there, or name another with --port")
        }
        Err(error) => Err(error).with_context(|| format!("port {port} cannot be listened on")),
    }
}
