//! [`Server`]: from a list of models to a socket that answers, and back.

mod busy;
mod connections;
mod socket;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::http::router;
use crate::models::Model;
use crate::options::ServeOptions;
use crate::service::{Service, Shared};
use connections::Connections;

/// How long connections may take to end once their answers are complete.
const FAREWELL: Duration = Duration::from_secs(5);

/// A server that listens, and answers once it is [`run`](Self::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    service: Shared,
}

/// What a server did when it was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Answers that were not complete by [`ServeOptions::shutdown_timeout`].
    pub dropped: usize,
}

impl Server {
    /// Listens on `address`, of which port 0 is any that is free.
    ///
    /// On an address of this machine alone and without keys, requests have to call it by a local name.
    ///
    /// # Errors
    ///
    /// When the address cannot be had; [`io::ErrorKind::InvalidInput`] for no model, two of one name, or an option that
    /// cannot be.
    pub async fn bind(
        models: Vec<Model>,
        address: impl ToSocketAddrs,
        options: ServeOptions,
    ) -> io::Result<Self> {
        let invalid = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let only_local_names = address.ip().is_loopback() && options.api_keys.is_empty();
        let service = Arc::new(Service::new(models, options).map_err(invalid)?);
        let router = router(&service, only_local_names).map_err(invalid)?;
        Ok(Self { listener, address, router, service })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is ready; then takes no more questions, lets those that run go on for
    /// [`ServeOptions::shutdown_timeout`], and ends. Meanwhile `/ready` says 503, for balancers to send no more.
    ///
    /// Work that a request has begun on a thread (reading an image, say) cannot be interrupted, and a [runtime that is
    /// dropped](tokio::runtime::Runtime) waits for it; one that is shut down in the background does not.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let Self { listener, router, service, .. } = self;
        let connections = Connections::new(&service.options);
        let mut accepting = Box::pin(connections.accept(&listener, router));
        tokio::select! {
            never = &mut accepting => match never {},
            () = stop => {}
        }
        service.stop();
        let dropped = tokio::select! {
            never = &mut accepting => match never {},
            dropped = shut_down(&service) => dropped,
        };
        // From here on whoever connects is refused by the system.
        drop(accepting);
        drop(listener);
        connections.say_goodbye();
        if tokio::time::timeout(FAREWELL, connections.closed()).await.is_err() {
            tracing::warn!("connections were cut that did not read their answers");
        }
        Stopped { dropped }
    }
}

/// Shuts all engines down, within one limit; returns how many answers were dropped.
async fn shut_down(service: &Shared) -> usize {
    let deadline = Instant::now() + service.options.shutdown_timeout;
    let engines: Vec<_> = service.models.all().map(|model| model.engine.clone()).collect();
    let waiting = engines.into_iter().map(|engine| {
        tokio::task::spawn_blocking(move || {
            engine.shut_down(deadline.saturating_duration_since(Instant::now()))
        })
    });
    let mut dropped = 0;
    // All wait already; this only collects.
    for engine in waiting.collect::<Vec<_>>() {
        dropped += engine.await.unwrap_or(0);
    }
    dropped
}
