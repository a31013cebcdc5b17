//! Measures the transport alone on loopback: what goes in (`produce`), what comes out (`fetch`) and
//! the round trip of small requests, over QUIC, TLS and plain TCP, with the CPU time of both sides.
//!
//! `cargo run --release -p weir-net --example echo_bench -- [SECONDS] [THREADS] [TRANSPORT]`. Client and server
//! share this process, so the CPU time is that of both. It must not be taken for the broker's
//! figures: no request is decoded and nothing is stored.

use bytes::{BufMut, Bytes, BytesMut};
use std::{
    error::Error,
    future::Future,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};
use weir_net::{
    Answered, Certs, Channel, Close, ConnectOptions, Connector, Listener, Peer, ServerConfig,
    Service, Session, Transport, TransportChoice, certificate_names, serve,
};
use weir_types::Role;

/// As the broker's binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests that are under way at once when throughput is measured.
const IN_FLIGHT: usize = 8;
/// The size of a large request or answer, in bytes.
const LARGE: usize = 1 << 20;
/// The size of a small one.
const SMALL: usize = 1024;

/// Answers with as many bytes as the first four of a request say.
struct Answers {
    bytes: Bytes,
}

impl Service for Answers {
    type Session = AnswersSession;
    fn open(&self, _: Peer) -> AnswersSession {
        AnswersSession(self.bytes.clone())
    }
}

struct AnswersSession(Bytes);

impl Session for AnswersSession {
    fn call(
        &mut self,
        frame: Bytes,
    ) -> impl Future<Output = Result<Answered, Close>> + Send + 'static {
        let wanted = frame
            .first_chunk()
            .map_or(0, |size| u32::from_be_bytes(*size));
        let size = Bytes::copy_from_slice(&wanted.to_be_bytes());
        let body = self
            .0
            .slice(..usize::try_from(wanted).unwrap_or(0).min(self.0.len()));
        async move { Ok(Answered::once(Some(vec![size, body]))) }
    }
}

fn request(bytes: usize, answer_bytes: usize) -> Result<Vec<Bytes>, Box<dyn Error>> {
    let mut head = BytesMut::new();
    head.put_u32(u32::try_from(bytes)?);
    head.put_u32(u32::try_from(answer_bytes)?);
    Ok(vec![head.freeze(), Bytes::from(vec![7; bytes - 4])])
}

/// CPU seconds of this process, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Keeps requests in flight for a time; returns how many were answered and what it took.
async fn throughput(
    channel: Channel,
    request: Vec<Bytes>,
    time: Duration,
) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut send, mut receive) = channel.split();
    let places = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
    let begun = Instant::now();
    let cpu = cpu_seconds();
    let sender_places = places.clone();
    let sending = async move {
        let mut sent = 0_u64;
        while begun.elapsed() < time {
            sender_places.acquire().await?.forget();
            send.send(request.clone()).await?;
            sent += 1;
        }
        // The sending half lives on until the last answer is there.
        Ok::<_, Box<dyn Error>>((sent, send))
    };
    tokio::pin!(sending);
    let mut answered = 0_u64;
    let mut sent = None;
    while sent.as_ref().is_none_or(|(total, _)| answered < *total) {
        tokio::select! {
            done = &mut sending, if sent.is_none() => sent = Some(done?),
            answer = receive.recv() => {
                answer?.ok_or("the channel ended")?;
                answered += 1;
                places.add_permits(1);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = answered as f64 * LARGE as f64;
    Ok((bytes / seconds / 1e6, (cpu_seconds() - cpu) / (bytes / 1e9)))
}

async fn round_trips(
    mut channel: Channel,
    request: Vec<Bytes>,
    time: Duration,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut all = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let at = Instant::now();
        channel.send(request.clone()).await?;
        channel.recv().await?.ok_or("the channel ended")?;
        all.push(at.elapsed());
    }
    all.sort_unstable();
    let at = |share: f64| {
        let index = (all.len() as f64 * share) as usize;
        all.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Ok((at(0.5), at(0.99)))
}

async fn open(connector: &Connector, port: u16) -> Result<Channel, Box<dyn Error>> {
    Ok(connector
        .connect("127.0.0.1", port)
        .await?
        .channel()
        .await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let threads = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let only = arguments.next();
    let time = Duration::from_secs(seconds);
    let data = tempfile::tempdir()?;
    let listeners = Listener::parse_all([
        ("quic://127.0.0.1:0", None),
        ("tls://127.0.0.1:0", None),
        ("plain://127.0.0.1:0", None),
    ])?;
    let names = certificate_names(&listeners);
    let certs = Certs::open(data.path(), &names, &"127.0.0.1:9092".parse()?)?;
    let profile = certs.issue("bench", Role::Client, 1, &["127.0.0.1:9092".parse()?])?;
    let mut config = ServerConfig::new(listeners);
    config.threads = NonZeroUsize::new(threads);
    let bytes = Bytes::from(vec![9; LARGE]);
    let server = serve(config, &certs, Arc::new(Answers { bytes }))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!(
        "transport  produce MB/s (CPU s/GB)  fetch MB/s (CPU s/GB)  1 KB round trip p50/p99 us"
    );
    for bound in server.listeners() {
        let scheme = bound.transport.scheme();
        if only.as_ref().is_some_and(|only| only != scheme) {
            continue;
        }
        let plain = bound.transport == Transport::Plain;
        let mut options = ConnectOptions::new((!plain).then(|| profile.clone()));
        options.transport = match bound.transport {
            Transport::Quic => TransportChoice::Quic,
            Transport::Tls | Transport::Plain => TransportChoice::Tcp,
        };
        let connector = Connector::new(options)?;
        let port = bound.local.port();
        runtime.block_on(async {
            // Let the path's MTU be found and the windows open.
            let warm = open(&connector, port).await?;
            throughput(warm, request(LARGE, 8)?, time / 4).await?;
            let channel = open(&connector, port).await?;
            let (produce, produce_cpu) =
                throughput(channel, request(LARGE, 8)?, time).await?;
            let channel = open(&connector, port).await?;
            let (fetch, fetch_cpu) = throughput(channel, request(16, LARGE)?, time).await?;
            let channel = open(&connector, port).await?;
            let (p50, p99) = round_trips(channel, request(SMALL, SMALL)?, time).await?;
            println!(
                "{:<9}  {produce:>12.0} ({produce_cpu:.2})  {fetch:>16.0} ({fetch_cpu:.2})  {p50:>17.0} / {p99:.0}",
                bound.transport
            );
            Ok::<_, Box<dyn Error>>(())
        })?;
    }
    Ok(())
}
