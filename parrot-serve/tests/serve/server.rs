//! A server on a thread of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parrot_infer::{Engine, EngineOptions, Parrot, device, tiny};
use parrot_serve::{Model, ServeOptions, Server, Stopped};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A running server. It stops when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Stopped>>,
}

impl Running {
    /// A server with a tiny model, whose context is 256 tokens of a byte each.
    pub(crate) fn new(options: ServeOptions) -> Self {
        Self::with(EngineOptions::default(), options)
    }

    pub(crate) fn with(engine_options: EngineOptions, options: ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), 0).unwrap();
        Self::of(folder.path(), engine_options, options)
    }

    pub(crate) fn of(folder: &Path, engine_options: EngineOptions, options: ServeOptions) -> Self {
        let parrot = Parrot::load(folder, &device::open("cpu").unwrap()).unwrap();
        let engine = Engine::start(parrot, engine_options).unwrap();
        let model = |name: &str| Model { name: name.into(), engine: engine.clone() };
        let models = vec![model("parrot"), model("org/other")];
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::bind(models, "127.0.0.1:0", options)).unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }))
        });
        Self { address, engine, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Tells it to stop, without waiting.
    pub(crate) fn begin_to_stop(&mut self) {
        self.stop = None;
    }

    /// Waits until it has stopped.
    pub(crate) fn stop(mut self) -> Stopped {
        self.begin_to_stop();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits until nothing is running or waiting; fails after ten seconds.
    pub(crate) fn wait_until_idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stats = self.engine.stats();
            if stats.running + stats.waiting == 0 && stats.cache_bytes == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{stats:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
