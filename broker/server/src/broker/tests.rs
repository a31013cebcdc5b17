//! A broker on a disk whose syncs can be held: what clients send meanwhile must not pile up. And one
//! whose shard is busy: it must end all the same.

use super::*;
use crate::settings::Origin;
use bytes::Bytes;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_client::admin::NewTopic;
use weir_client::{Client, ClientConfig};
use weir_store::{DiskFile, MemDisk};
use weir_types::{PartitionIndex, TimestampMs};
use weir_wire::build::{BatchBuilder, Stamp};
use weir_wire::messages::{PartitionProduceData, ProduceRequest, TopicProduceData};

/// Syncs of the log's lane files wait while it is closed.
#[derive(Debug, Default)]
struct Barrier {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Barrier {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.opened.wait_while(closed, |closed| *closed);
        drop(passed.unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug)]
struct HeldDisk {
    disk: MemDisk,
    barrier: Arc<Barrier>,
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    barrier: Option<Arc<Barrier>>,
}

impl HeldDisk {
    fn hold(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let barrier = name.starts_with("lane").then(|| Arc::clone(&self.barrier));
        Arc::new(HeldFile { file, barrier })
    }
}

impl Disk for HeldDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.hold(name, self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.hold(name, self.disk.open(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl DiskFile for HeldFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if let Some(barrier) = &self.barrier {
            barrier.pass();
        }
        self.file.sync()
    }
}

/// Requests sent.
const REQUESTS: usize = 40;
/// Bytes of each one's records.
const RECORD_BYTES: usize = 256 * 1024;
/// Beyond so many bytes of them the log is full.
const FULL_BYTES: usize = 1024 * 1024;

/// A request that wants no waiting: its answer is there before its records are on the disk.
fn impatient(number: usize) -> Vec<Bytes> {
    let mut batch = BatchBuilder::new(TimestampMs(1));
    batch.push(TimestampMs(1), None, Some(&[7; RECORD_BYTES]), &[]);
    let data = PartitionProduceData {
        index: PartitionIndex(0),
        records: Some(batch.finish(Stamp::default()).into()),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        name: "orders".into(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 0,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    let number = i32::try_from(number).expect("few");
    weir_wire::encode_request(number, None, 9, &request).expect("encoded")
}

async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) {
    let size = stream.read_u32().await.expect("an answer");
    let mut answer = vec![0; usize::try_from(size).expect("small")];
    stream.read_exact(&mut answer).await.expect("whole");
}

/// A producer with a time-out of 0 is answered before the disk has its records, so neither its
/// window nor the bytes of its requests hold it back; the log itself must.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_slows_producers_that_do_not_wait_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = crate::Settings::default();
    let data = folder.path().display().to_string();
    for (name, value) in [("data", &*data), ("listen", "plain://127.0.0.1:0")] {
        let origin = Origin::Flag("test".to_owned());
        settings.lay(name, value, origin).expect("a setting");
    }
    let mut config = Config::from_settings(settings).expect("a configuration");
    choose_ports(&mut config.listeners);
    config.store.pending_bytes_max = FULL_BYTES;
    let barrier = Arc::new(Barrier::default());
    let disk: Arc<dyn Disk> = Arc::new(HeldDisk {
        disk: MemDisk::new(),
        barrier: Arc::clone(&barrier),
    });
    let opened = open_store_on(&config, disk).expect("a log");
    let store = Arc::downgrade(&opened.1);
    let broker = Broker::start_on(config, opened).await.expect("a broker");
    let address = broker.listeners()[0].local;
    let client = Client::connect(ClientConfig::new([address.to_string()]))
        .await
        .expect("a client");
    let topic = NewTopic::new("orders", 1);
    client.admin().create_topic(topic).await.expect("made");
    client.close();

    barrier.set(true);
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    let (mut answers, mut requests) = stream.into_split();
    let sending = tokio::spawn(async move {
        for number in 0..REQUESTS {
            for segment in impatient(number) {
                requests.write_all(&segment).await.expect("sent");
            }
        }
        requests
    });
    let mut answered = 0;
    let silence = Duration::from_millis(500);
    while tokio::time::timeout(silence, read_answer(&mut answers))
        .await
        .is_ok()
    {
        answered += 1;
    }
    let pending = store.upgrade().expect("open").pending_bytes();
    barrier.set(false);
    assert!(
        pending <= FULL_BYTES + 2 * RECORD_BYTES,
        "{pending} bytes wait"
    );
    assert!((1..REQUESTS).contains(&answered), "{answered} answered");
    for _ in answered..REQUESTS {
        read_answer(&mut answers).await;
    }
    drop(sending.await.expect("all sent"));
    broker.shutdown().await;
}

/// A shard that is busy, whose queue is full: it can be told nothing.
#[tokio::test]
async fn a_busy_shard_does_not_keep_a_broker_from_ending() {
    let (sender, inbox) = shard::queue();
    while sender.offer(ToShard::Stop).is_ok() {}
    let (free, busy) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while busy.recv().is_ok() {}
        drop(inbox);
    });
    let threads = Threads {
        shards: vec![sender],
        shard_threads: vec![thread],
        proposer: None,
        quorum_thread: None,
        store: None,
    };
    assert!(!threads.end_within(Duration::from_millis(20)).await);
    drop(free);

    let (sender, inbox) = shard::queue();
    let thread = std::thread::spawn(move || assert!(inbox.recv().is_ok()));
    let threads = Threads {
        shards: vec![sender],
        shard_threads: vec![thread],
        proposer: None,
        quorum_thread: None,
        store: None,
    };
    assert!(threads.end_within(Duration::from_secs(60)).await);
}
