//! Stands between a function and Postgres and counts how often one waits for the other.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A TCP proxy that counts round trips: what the client sends, however many packets it takes, and an answer to it.
#[derive(Debug)]
pub struct CountingProxy {
    address: SocketAddr,
    round_trips: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl CountingProxy {
    /// Listens on a port of its own and passes everything on to `target`, a host and port.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let round_trips = Arc::<AtomicU64>::default();
        let server = tokio::spawn(accept(listener, target, Arc::clone(&round_trips)));
        Ok(Self {
            address,
            round_trips,
            server,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Round trips so far, of all connections together.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, target: String, round_trips: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(pass(client, target.clone(), Arc::clone(&round_trips)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(
    client: TcpStream,
    target: String,
    round_trips: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    // Small messages go back and forth; waiting to fill packets would be measured too.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let asked = AtomicBool::new(false);
    let asking = copy(client_reads, server_writes, || {
        asked.store(true, Ordering::SeqCst)
    });
    let answering = copy(server_reads, client_writes, || {
        if asked.swap(false, Ordering::SeqCst) {
            round_trips.fetch_add(1, Ordering::SeqCst);
        }
    });
    tokio::try_join!(asking, answering).map(|_| ())
}

/// Passes everything on, and tells of each piece before it is passed: a reader of the figures that has seen the answer
/// finds it counted.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut on_piece: impl FnMut(),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        on_piece();
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each `.` with three bytes, in two writes.
    async fn answer_dots(listener: TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Ok(byte) = stream.read_u8().await {
            if byte == b'.' {
                stream.write_all(b"o").await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(b"k\n").await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn questions_with_an_answer_are_counted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(answer_dots(listener));
        let proxy = CountingProxy::start(target).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut answer = [0; 3];
        for count in 1..=3 {
            // Two pieces, one question.
            client.write_all(b"abc").await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(b"def.").await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(proxy.round_trips(), count);
        }
        client.write_all(b"no answer").await.unwrap();
        drop(client);
        server.await.unwrap();
        assert_eq!(proxy.round_trips(), 3);
    }
}
