//! The listening side: binds every listener, spreads connections over threads, and ends them in
//! good order.
//!
//! It knows bytes and certificates, never what a request means; no peer, whatever it sends, may
//! end more than its own connection.

mod bind;
mod places;
mod quic;
mod tcp;

pub use bind::{ServeError, check_listeners};

use crate::{
    certs::Certs,
    counters::Counters,
    crypto,
    limits::Limits,
    listen::{HostPort, Listener},
    service::{ListenerId, Service, Transport},
    session::Core,
};
use bind::Socket;
use places::Places;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fmt, io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weir_types::{Principal, Role};

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The listeners; the index of each is its [`ListenerId`].
    pub listeners: Vec<Listener>,
    /// Every limit.
    pub limits: Limits,
    /// Threads, each with a runtime of its own; `None`: one a core.
    pub threads: Option<NonZeroUsize>,
    /// The role of `local`, the principal of plaintext listeners.
    pub local_role: Role,
}

impl ServerConfig {
    /// The defaults for these listeners.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            limits: Limits::default(),
            threads: None,
            local_role: Role::Admin,
        }
    }
}

/// A listener that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its index in the configuration.
    pub id: ListenerId,
    /// What carries it.
    pub transport: Transport,
    /// Where it listens, the port as the system chose it.
    pub local: SocketAddr,
    /// What clients are told.
    pub advertised: HostPort,
}

/// What all connections of a server share.
pub(crate) struct Shared<S> {
    pub(crate) service: Arc<S>,
    pub(crate) core: Core,
    pub(crate) local: Principal,
    pub(crate) places: Arc<Places>,
    pub(crate) tracker: TaskTracker,
    workers: Vec<Handle>,
    next_worker: AtomicUsize,
}

impl<S> Shared<S> {
    /// The thread whose turn it is.
    pub(crate) fn worker(&self) -> Option<&Handle> {
        let turn = self.next_worker.fetch_add(1, Ordering::Relaxed);
        self.workers.get(turn % self.workers.len().max(1))
    }
}

/// The TLS settings of both kinds of listeners.
struct Tls {
    tcp: Arc<rustls::ServerConfig>,
    quic: Arc<QuicServerConfig>,
}

/// A running server. Dropping it ends it at once, without a word to its peers; see
/// [`ServerHandle::shutdown`] for the polite way.
pub struct ServerHandle {
    bound: Vec<Bound>,
    counters: Arc<Counters>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    stop: CancellationToken,
    quit: CancellationToken,
    tracker: TaskTracker,
    endpoints: Vec<quinn::Endpoint>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Whether a shutdown was done in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Shutdown {
    /// Every accepted request was answered.
    Complete,
    /// Time was up before the last answer.
    CutShort,
}

/// Binds all listeners and serves on threads of its own.
///
/// # Errors
/// [`ServeError`] names the listener and what stands in the way.
pub fn serve<S: Service>(
    config: ServerConfig,
    certs: &Certs,
    service: Arc<S>,
) -> Result<ServerHandle, ServeError> {
    let tls = tls(certs)?;
    let sockets = bind::bind_all(&config.listeners)?;
    let quit = CancellationToken::new();
    let count = config
        .threads
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let (workers, threads) = start_threads(count, &quit)?;
    let budget_bytes = config
        .limits
        .request_bytes_in_flight_max
        .max(config.limits.frame_bytes_max)
        .min(Semaphore::MAX_PERMITS);
    let core = Core {
        counters: Arc::new(Counters::default()),
        budget: Arc::new(Semaphore::new(budget_bytes)),
        stop: CancellationToken::new(),
        limits: config.limits,
    };
    let mut handle = ServerHandle {
        bound: Vec::new(),
        counters: core.counters.clone(),
        budget: core.budget.clone(),
        budget_bytes,
        stop: core.stop.clone(),
        quit,
        tracker: TaskTracker::new(),
        endpoints: Vec::new(),
        threads,
    };
    let shared = Arc::new(Shared {
        service,
        local: Principal {
            name: "local".into(),
            role: config.local_role,
        },
        places: Places::new(
            core.limits.connections_max,
            core.limits.connections_per_ip_max,
        ),
        tracker: handle.tracker.clone(),
        core,
        workers,
        next_worker: AtomicUsize::new(0),
    });
    for (index, (listener, socket)) in config.listeners.iter().zip(sockets).enumerate() {
        let id = ListenerId(u16::try_from(index).unwrap_or(u16::MAX));
        let bound = Bound {
            id,
            transport: listener.spec.transport,
            local: socket.local(),
            advertised: listener.advertised(socket.local().port()),
        };
        let endpoint = start(&shared, id, socket, &tls, listener, certs).map_err(|source| {
            ServeError::Start {
                listener: listener.spec.to_string(),
                source,
            }
        })?;
        handle.endpoints.extend(endpoint);
        tracing::info!(listener = %listener.spec, local = %bound.local, advertised = %bound.advertised, "listening");
        handle.bound.push(bound);
    }
    Ok(handle)
}

fn start<S: Service>(
    shared: &Arc<Shared<S>>,
    id: ListenerId,
    socket: Socket,
    tls: &Tls,
    listener: &Listener,
    certs: &Certs,
) -> io::Result<Option<quinn::Endpoint>> {
    match socket {
        Socket::Udp(socket, _) => quic::start(shared, id, socket, &tls.quic, certs).map(Some),
        Socket::Tcp(socket, _) => {
            let secure = listener.spec.transport == Transport::Tls;
            tcp::start(shared, id, socket, secure.then(|| tls.tcp.clone()))?;
            Ok(None)
        }
    }
}

fn tls(certs: &Certs) -> Result<Tls, ServeError> {
    let broken = |why| ServeError::Tls { why };
    let ca = CertificateDer::pem_slice_iter(certs.ca_pem().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| broken(error.to_string()))?;
    let chain = certs.server_chain()?;
    let tcp = crypto::tls_server(&ca, chain.clone(), certs.server_key()?).map_err(broken)?;
    let quic = crypto::quic_server(&ca, chain, certs.server_key()?).map_err(broken)?;
    Ok(Tls { tcp, quic })
}

fn start_threads(
    count: usize,
    quit: &CancellationToken,
) -> Result<(Vec<Handle>, Vec<JoinHandle<()>>), ServeError> {
    let mut handles = Vec::with_capacity(count);
    let mut threads = Vec::with_capacity(count);
    for index in 0..count {
        let failed = |source| ServeError::Threads { source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        handles.push(runtime.handle().clone());
        let quit = quit.clone();
        let thread = std::thread::Builder::new()
            .name(format!("weir-net-{index}"))
            .spawn(move || {
                runtime.block_on(quit.cancelled());
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        threads.push(thread);
    }
    Ok((handles, threads))
}

impl ServerHandle {
    /// The listeners, with the ports and addresses they came to have.
    #[must_use]
    pub fn listeners(&self) -> &[Bound] {
        &self.bound
    }

    /// The counts, for metrics.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Bytes of request frames that are held now.
    #[must_use]
    pub fn request_bytes_in_flight(&self) -> usize {
        self.budget_bytes
            .saturating_sub(self.budget.available_permits())
    }

    /// Accepts nothing more, answers what was accepted, and tells the peers. Takes at most about
    /// `grace`.
    pub async fn shutdown(mut self, grace: Duration) -> Shutdown {
        self.stop.cancel();
        for endpoint in &self.endpoints {
            endpoint.set_server_config(None);
        }
        self.tracker.close();
        let ended = async {
            self.tracker.wait().await;
            for endpoint in &self.endpoints {
                endpoint.close(crate::quic::CODE_SHUTDOWN.into(), b"the broker shuts down");
            }
            for endpoint in &self.endpoints {
                endpoint.wait_idle().await;
            }
        };
        let outcome = match timeout(grace, ended).await {
            Ok(()) => Shutdown::Complete,
            Err(_) => Shutdown::CutShort,
        };
        self.end();
        outcome
    }

    fn end(&mut self) {
        self.quit.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the transport had panicked");
            }
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end();
    }
}
