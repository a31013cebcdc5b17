//! Measures the store alone, in this process: lanes under a closed loop (every partition has one
//! batch in flight and appends the next when it is flushed), reading back, rewriting, restart.
//!
//! `cargo run --release -p weir-store --example store_bench -- FOLDER [SECONDS] [RESTART_MB]`

use bytes::Bytes;
use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use weir_store::{Disk, RealDisk, Store, StoreConfig};
use weir_types::{
    Batch, BatchHeader, BatchMeta, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, ShardId, StorePartition, TimestampMs, TopicId,
    batch::{self, HEADER_BYTES},
    log::{LogCommand, LogEvent, Token},
};

const ROUTE: ShardId = ShardId(0);

type Anything = Box<dyn std::error::Error>;

fn main() -> Result<(), Anything> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("name an empty folder to measure in")?;
    let seconds = args.next().map_or(Ok(5), |s| s.parse())?;
    let restart_mb: u64 = args.next().map_or(Ok(2048), |s| s.parse())?;
    let folder = Path::new(&folder);
    for (partitions, bytes) in [
        (1, 65_536),
        (12, 16_384),
        (12, 524_288),
        (200, 1024),
        (2000, 1024),
    ] {
        closed_loop(folder, partitions, bytes, seconds)?;
    }
    restart(folder, restart_mb)
}

/// A store with its events.
struct Bench {
    store: Store,
    events: mpsc::Receiver<Vec<LogEvent>>,
}

impl Bench {
    fn open(folder: &Path, held: bool) -> Result<Self, Anything> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder)?);
        let config = StoreConfig {
            rewriter_held: held,
            ..StoreConfig::default()
        };
        let (sender, events) = mpsc::channel();
        let (store, report) = Store::open(config, disk, move |_, events| {
            // The receiver is gone only when the measurement is over.
            let _ = sender.send(events);
        })?;
        if report.repaired > 0 {
            println!("  repaired {} files", report.repaired);
        }
        Ok(Self { store, events })
    }

    fn partitions(&self, count: i32) -> Result<Vec<StorePartition>, Anything> {
        let replicas = (0..count).map(|n| (TopicId([1; 16]), PartitionIndex(n)));
        self.store.submit(
            ROUTE,
            LogCommand::Open {
                replicas: replicas.collect(),
            },
        );
        let mut found = Vec::new();
        while found.len() < count as usize {
            for event in self.events.recv()? {
                match event {
                    LogEvent::Opened { partition, .. } => found.push(partition),
                    other => return Err(format!("{other:?}").into()),
                }
            }
        }
        Ok(found)
    }
}

fn batch_at(offset: i64, body: &Bytes, count: i32) -> Result<(Batch, BatchMeta), Anything> {
    let mut head = vec![0; HEADER_BYTES];
    let header = BatchHeader {
        base_offset: Offset(offset),
        size_bytes: HEADER_BYTES + body.len(),
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs(1),
        max_timestamp: TimestampMs(1),
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: Sequence(-1),
        record_count: count,
    };
    head.extend_from_slice(body);
    batch::write_header(&mut head, &header);
    let batch = Batch::parse(&Bytes::from(head))?;
    let meta = BatchMeta::of(&batch.header(), TimestampMs(1));
    Ok((batch, meta))
}

fn closed_loop(folder: &Path, count: usize, bytes: usize, seconds: u64) -> Result<(), Anything> {
    let _ = std::fs::remove_dir_all(folder);
    let bench = Bench::open(folder, true)?;
    let partitions = bench.partitions(i32::try_from(count)?)?;
    // One prepared batch whose offset is patched: making it anew would measure its CRC.
    let (template, meta) = batch_at(0, &Bytes::from(vec![7; bytes - HEADER_BYTES]), 1)?;
    let index_of = |p: StorePartition| (p.0 - partitions[0].0) as usize;
    let mut next = vec![0i64; count];
    let mut sent = vec![Instant::now(); count];
    let mut latencies = Vec::new();
    let append = |partition: StorePartition, offset: i64| {
        let mut batch = template.clone();
        batch.patch_offset(Offset(offset), LeaderEpoch(0));
        let meta = BatchMeta {
            base_offset: Offset(offset),
            last_offset: Offset(offset),
            ..meta
        };
        LogCommand::Append {
            partition,
            batch,
            meta,
        }
    };
    let cpu = cpu_seconds();
    let began = Instant::now();
    bench
        .store
        .submit_all(ROUTE, partitions.iter().map(|p| append(*p, 0)));
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut commands = Vec::new();
        for event in bench.events.recv()? {
            let LogEvent::Flushed { partition, .. } = event else {
                return Err(format!("{event:?}").into());
            };
            let at = index_of(partition);
            latencies.push(sent[at].elapsed().as_micros());
            next[at] += 1;
            sent[at] = Instant::now();
            commands.push(append(partition, next[at]));
        }
        bench.store.submit_all(ROUTE, commands);
    }
    let took = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    latencies.sort_unstable();
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    let gb = latencies.len() as f64 * bytes as f64 / 1e9;
    let stats = bench.store.stats();
    println!(
        "{count} x {} KB: {:.0} MB/s, p50 {:.2} p99 {:.2} p99.9 {:.2} max {:.1} ms, \
         CPU {:.2} s/GB, {:.0} commits/s, {} rolls",
        bytes / 1024,
        gb * 1000.0 / took,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        cpu / gb,
        stats.commits as f64 / took,
        stats.rolls
    );
    let closing = Instant::now();
    bench.store.close()?;
    println!("  close {:.2} s", closing.elapsed().as_secs_f64());
    Ok(())
}

/// Fills a log, cuts it off as a kill would, and measures opening, cold reads and rewriting.
fn restart(folder: &Path, megabytes: u64) -> Result<(), Anything> {
    let _ = std::fs::remove_dir_all(folder);
    let bench = Bench::open(folder, true)?;
    let partitions = bench.partitions(200)?;
    let body = Bytes::from(vec![5; 4096]);
    let rounds = megabytes * 1024 * 1024 / 4157 / 200;
    for round in 0..rounds {
        let mut commands = Vec::new();
        for partition in &partitions {
            let (batch, meta) = batch_at(i64::try_from(round)?, &body, 1)?;
            commands.push(LogCommand::Append {
                partition: *partition,
                batch,
                meta,
            });
        }
        bench.store.submit_all(ROUTE, commands);
        while bench.store.is_full() {
            bench.events.recv()?;
        }
    }
    while bench.store.pending_bytes() > 0 {
        let _ = bench.events.recv_timeout(Duration::from_millis(20));
    }
    println!(
        "{megabytes} MB in 200 partitions: {:?}",
        bench.store.stats().lane
    );
    // As a kill: nothing is closed, and the lock goes with the last handle.
    std::mem::forget(bench);
    let copy = folder.with_extension("copy");
    let _ = std::fs::remove_dir_all(&copy);
    copy_folder(folder, &copy)?;
    let began = Instant::now();
    let bench = Bench::open(&copy, true)?;
    println!(
        "  opened after a kill in {:.2} s",
        began.elapsed().as_secs_f64()
    );
    cold_read(&bench, "before rewriting")?;
    let began = Instant::now();
    bench.store.hold_rewriter(false);
    while bench.store.stats().lane.files > 0 {
        let _ = bench.events.recv_timeout(Duration::from_millis(50));
    }
    let stats = bench.store.stats();
    println!(
        "  rewriting {:.0} MB/s: {:?}",
        stats.rewritten_bytes as f64 / 1e6 / began.elapsed().as_secs_f64(),
        stats.history
    );
    cold_read(&bench, "after rewriting")?;
    bench.store.close()?;
    let began = Instant::now();
    let bench = Bench::open(&copy, true)?;
    println!(
        "  opened after closing in {:.3} s",
        began.elapsed().as_secs_f64()
    );
    bench.store.close()?;
    std::fs::remove_dir_all(&copy)?;
    Ok(())
}

fn cold_read(bench: &Bench, when: &str) -> Result<(), Anything> {
    let partitions = bench.partitions(200)?;
    let began = Instant::now();
    let mut bytes = 0;
    let mut from = Offset(0);
    loop {
        bench.store.submit(
            ROUTE,
            LogCommand::Read {
                token: Token(1),
                partition: partitions[77],
                from,
                below: Offset(i64::MAX),
                bytes_max: 1024 * 1024,
            },
        );
        let mut got = 0;
        for event in bench.events.recv()? {
            let LogEvent::ReadDone { batches, .. } = event else {
                continue;
            };
            got += batches?.iter().map(|b| b.size_bytes()).sum::<usize>();
        }
        if got == 0 {
            break;
        }
        bytes += got;
        from = from.plus(i64::try_from(got / 4157)?);
    }
    let took = began.elapsed().as_secs_f64();
    let rate = bytes as f64 / 1e6 / took;
    println!(
        "  one partition {when}: {rate:.0} MB/s ({} MB)",
        bytes / 1_000_000
    );
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// User and system time of this process so far, where the system tells.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
