//! The quorum of one: agrees on metadata by writing it to this broker's own metadata log.
//!
//! A cluster replaces this adapter and nothing else. It holds no rule: what the records mean is
//! `weir-meta`'s business. A log whose write failed is never written or read again while the
//! broker runs: the page cache then shows what the disk may not have (I-STO-6).

use crate::health::{Health, Vital};
use crate::limits::{PROPOSALS_MAX, SNAPSHOT_ENTRIES};
use crate::shard::{ShardSender, ToShard};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use thiserror::Error;
use weir_meta::{Image, MetaRecord, decode_all, encode_all};
use weir_node::event::ProposalId;
use weir_store::{Disk, MetaLog};
use weir_types::ShardId;

/// Why the metadata cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// The metadata log cannot be opened.
    #[error(transparent)]
    Open(#[from] weir_store::OpenError),
    /// The metadata log cannot be written.
    #[error(transparent)]
    Write(#[from] weir_store::MetaLogError),
    /// An earlier write failed, so that nobody knows what the disk holds.
    #[error("the metadata log failed before; start the broker again")]
    Failed,
    /// The snapshot is too short to be one.
    #[error("the metadata snapshot is cut short; restore the data folder from a backup")]
    Snapshot,
    /// A record cannot be read.
    #[error("metadata entry {index} cannot be read: {source}")]
    Record {
        /// Its index in the agreed log.
        index: u64,
        /// What is wrong.
        source: weir_meta::DecodeError,
    },
}

enum Message {
    Propose {
        shard: ShardId,
        proposal: ProposalId,
        records: Vec<MetaRecord>,
    },
    Stop,
}

/// The way to propose.
#[derive(Clone, Debug)]
pub(crate) struct Proposer(SyncSender<Message>);

impl Proposer {
    /// Proposes records on behalf of a shard, which is told what becomes of them.
    pub(crate) fn propose(&self, shard: ShardId, proposal: ProposalId, records: Vec<MetaRecord>) {
        let _stopped = self.0.send(Message::Propose {
            shard,
            proposal,
            records,
        });
    }

    /// Ends the adapter's thread when what was proposed before is done.
    pub(crate) fn stop(&self) {
        let _stopped = self.0.send(Message::Stop);
    }
}

/// The adapter, before its thread runs.
pub(crate) struct Quorum {
    log: MetaLog,
    image: Image,
    entries_since_snapshot: usize,
    failed: bool,
}

impl Quorum {
    /// Opens the metadata log and rebuilds the image from it.
    pub(crate) fn open(disk: &Arc<dyn Disk>) -> Result<Self, QuorumError> {
        let (log, image, entries_since_snapshot) = load(disk)?;
        Ok(Self {
            log,
            image,
            entries_since_snapshot,
            failed: false,
        })
    }

    /// What has been agreed so far.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Agrees on records: durable first, then applied. After a failed write, or a failed snapshot
    /// behind it, every further call fails until a restart.
    pub(crate) fn agree(&mut self, records: &[MetaRecord]) -> Result<(), QuorumError> {
        if self.failed {
            return Err(QuorumError::Failed);
        }
        let written = self.log.append(&[encode_all(records)]);
        self.failed = written.is_err();
        written?;
        self.image.apply_entry(self.image.applied() + 1, records);
        self.entries_since_snapshot += 1;
        if self.entries_since_snapshot >= SNAPSHOT_ENTRIES {
            self.snapshot();
        }
        Ok(())
    }

    /// Puts a snapshot in the place of the entries. If that fails the entries still count.
    fn snapshot(&mut self) {
        let mut snapshot = self.image.applied().to_be_bytes().to_vec();
        snapshot.extend_from_slice(&encode_all(&self.image.to_records()));
        match self.log.snapshot(&snapshot) {
            Ok(()) => self.entries_since_snapshot = 0,
            Err(error) => {
                self.failed = true;
                tracing::error!(%error, "the metadata's snapshot failed; no topic or setting can be changed until the broker is started again");
            }
        }
    }

    /// Starts the thread that agrees on what shards propose and tells every shard.
    pub(crate) fn start(
        mut self,
        health: &Arc<Health>,
        published: Arc<ArcSwap<Image>>,
        shards: Vec<ShardSender>,
    ) -> std::io::Result<(Proposer, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(PROPOSALS_MAX);
        let vital = Vital(Arc::clone(health));
        let run = move || {
            let _vital = vital;
            self.run(&receiver, &published, &shards);
        };
        let thread = std::thread::Builder::new()
            .name("weir-quorum".into())
            .spawn(run)?;
        Ok((Proposer(sender), thread))
    }

    fn run(
        &mut self,
        inbox: &Receiver<Message>,
        published: &ArcSwap<Image>,
        shards: &[ShardSender],
    ) {
        while let Ok(Message::Propose {
            shard,
            proposal,
            records,
        }) = inbox.recv()
        {
            let agreed = self.agree(&records);
            if let Err(error) = &agreed {
                tracing::error!(%error, "metadata was not written; no topic or setting can be changed until the broker is started again");
                if let Some(to) = shards.get(usize::from(shard.0)) {
                    to.deliver(ToShard::Refused(proposal));
                }
                continue;
            }
            let image = Arc::new(self.image.clone());
            published.store(Arc::clone(&image));
            for (index, to) in shards.iter().enumerate() {
                let proposal = (index == usize::from(shard.0)).then_some(proposal);
                to.deliver(ToShard::Agreed {
                    image: Arc::clone(&image),
                    proposal,
                });
            }
        }
    }
}

fn load(disk: &Arc<dyn Disk>) -> Result<(MetaLog, Image, usize), QuorumError> {
    let (log, (snapshot, entries)) = MetaLog::open(disk)?;
    let mut image = match snapshot {
        None => Image::default(),
        Some(snapshot) => {
            let Some((applied, records)) = snapshot.split_first_chunk() else {
                return Err(QuorumError::Snapshot);
            };
            let records = decode_all(records).map_err(|source| QuorumError::Record {
                index: u64::from_be_bytes(*applied),
                source,
            })?;
            Image::from_records(u64::from_be_bytes(*applied), &records)
        }
    };
    for bytes in &entries {
        let index = image.applied() + 1;
        let records = decode_all(bytes).map_err(|source| QuorumError::Record { index, source })?;
        image.apply_entry(index, &records);
    }
    Ok((log, image, entries.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_store::{Crash, MemDisk};

    fn named(name: &str) -> Vec<MetaRecord> {
        vec![MetaRecord::Cluster { id: name.into() }]
    }

    /// I-STO-6 for the metadata: once a sync failed, nothing is agreed before a restart.
    #[test]
    fn after_a_failed_sync_nothing_is_agreed_until_a_restart() {
        let mem = MemDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(mem.clone());
        let mut quorum = Quorum::open(&disk).unwrap();
        quorum.agree(&named("first")).unwrap();
        mem.fail_sync(1);
        assert!(matches!(
            quorum.agree(&named("second")),
            Err(QuorumError::Write(_))
        ));
        assert_eq!(quorum.image().cluster_id(), "first");
        let syncs = mem.counts();
        for _ in 0..3 {
            assert!(matches!(
                quorum.agree(&named("third")),
                Err(QuorumError::Failed)
            ));
        }
        assert_eq!(mem.counts(), syncs, "the disk is left alone");
        drop(quorum);
        mem.crash(Crash::Forget);
        let mut quorum = Quorum::open(&disk).unwrap();
        assert_eq!(quorum.image().cluster_id(), "first");
        quorum.agree(&named("fourth")).unwrap();
    }

    /// A snapshot that fails takes nothing back, and is the last thing that is written.
    #[test]
    fn a_failed_snapshot_leaves_what_was_agreed_and_ends_writing() {
        let mem = MemDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(mem.clone());
        let mut quorum = Quorum::open(&disk).unwrap();
        quorum.agree(&named("first")).unwrap();
        mem.fail_sync(1);
        quorum.snapshot();
        assert!(matches!(
            quorum.agree(&named("second")),
            Err(QuorumError::Failed)
        ));
        drop(quorum);
        mem.crash(Crash::Forget);
        assert_eq!(Quorum::open(&disk).unwrap().image().cluster_id(), "first");
    }
}
