//! Open connections: no more than there may be, none for longer than it has something to say.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tower::ServiceExt;

use super::busy::{Busy, BusyBody};
use super::socket::ImpatientSocket;
use crate::options::ServeOptions;

/// How long to wait when the system has no file descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Open connections.
pub(super) struct Connections {
    open: Arc<Mutex<BTreeMap<u64, Arc<Connection>>>>,
    limit: usize,
    client_timeout: Duration,
    goodbye: watch::Sender<bool>,
}

/// One of them.
#[derive(Default)]
struct Connection {
    /// Requests that have come and whose responses are not complete.
    requests: Arc<AtomicUsize>,
    /// Told to close at once.
    cut: Notify,
}

/// Takes a connection off the list, however it ends.
struct Listed {
    open: Arc<Mutex<BTreeMap<u64, Arc<Connection>>>>,
    number: u64,
    /// Alive as long as a connection is: [`Connections::closed`].
    goodbye: watch::Receiver<bool>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.number);
    }
}

fn lock(open: &Mutex<BTreeMap<u64, Arc<Connection>>>) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub(super) fn new(options: &ServeOptions) -> Self {
        Self {
            open: Arc::default(),
            limit: options.max_connections.max(1),
            client_timeout: options.client_timeout,
            goodbye: watch::Sender::new(false),
        }
    }

    /// Takes connections in, for ever.
    pub(super) async fn accept(&self, listener: &TcpListener, router: Router) -> Infallible {
        let mut number = 0;
        loop {
            let socket = loop {
                match listener.accept().await {
                    Ok((socket, _)) => break socket,
                    // Mostly "too many open files": those who have one will close it.
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    }
                }
            };
            number += 1;
            let Some(listed) = self.list(number) else { continue };
            tokio::spawn(serve(socket, router.clone(), listed, self.client_timeout));
        }
    }

    /// Lists a new connection; `None` when there is no room, all others being answered.
    fn list(&self, number: u64) -> Option<(Listed, Arc<Connection>)> {
        let mut open = lock(&self.open);
        if open.len() >= self.limit {
            // The oldest of those that were opened and left, or that have got what they asked for.
            let idle = open.iter().find(|(_, connection)| connection.requests.load(Ordering::Relaxed) == 0);
            let number = *idle?.0;
            open.remove(&number)?.cut.notify_one();
        }
        let connection = Arc::new(Connection::default());
        open.insert(number, connection.clone());
        let goodbye = self.goodbye.subscribe();
        Some((Listed { open: self.open.clone(), number, goodbye }, connection))
    }

    /// Asks all to end after the response that they are at.
    pub(super) fn say_goodbye(&self) {
        self.goodbye.send_replace(true);
    }

    /// Waits until all have ended.
    pub(super) async fn closed(&self) {
        self.goodbye.closed().await;
    }
}

async fn serve(
    socket: TcpStream,
    router: Router,
    (mut listed, connection): (Listed, Arc<Connection>),
    client_timeout: Duration,
) {
    // Pieces of an answer are small, and wanted at once.
    let _ = socket.set_nodelay(true);
    let socket = TokioIo::new(ImpatientSocket::new(socket, client_timeout));
    let requests = connection.requests.clone();
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let busy = Busy::new(&requests);
        let responding = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<_, Infallible>(responding.await?.map(|body| BusyBody::new(body, busy))) }
    });
    let mut http = http1::Builder::new();
    // Also the time that a connection may idle between two requests.
    http.timer(TokioTimer::new()).header_read_timeout(client_timeout);
    let served = http.serve_connection(socket, TowerToHyperService::new(service));
    tokio::pin!(served);
    loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            Ok(()) = listed.goodbye.changed() => served.as_mut().graceful_shutdown(),
            () = connection.cut.notified() => return,
        }
    }
}
