//! The quorum of one: agrees on metadata by writing it to this broker's own metadata log.
//!
//! A cluster replaces this adapter and nothing else. It holds no rule: what the log is made of and
//! when it counts is [`Journal`]'s business, which the simulator drives as well. A log whose write
//! failed is never written or read again while the broker runs: the page cache then shows what the
//! disk may not have (I-STO-6).

use crate::health::{Health, Vital};
use crate::limits::PROPOSALS_MAX;
use crate::shard::{ShardSender, ToShard};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use thiserror::Error;
use tokio::sync::watch;
use weir_meta::{Image, Journal, JournalError, JournalFailed, MetaRecord};
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
    #[error(transparent)]
    Failed(#[from] JournalFailed),
    /// What the metadata log holds cannot be read.
    #[error(transparent)]
    Contents(#[from] JournalError),
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
    journal: Journal,
}

impl Quorum {
    /// Opens the metadata log and rebuilds the image from it.
    pub(crate) fn open(disk: &Arc<dyn Disk>) -> Result<Self, QuorumError> {
        let (log, (snapshot, entries)) = MetaLog::open(disk)?;
        let journal = Journal::load(snapshot.as_deref(), &entries)?;
        Ok(Self { log, journal })
    }

    /// What has been agreed so far.
    pub(crate) fn image(&self) -> &Image {
        self.journal.image()
    }

    /// Agrees on records: durable first, then applied. After a failed write, or a failed snapshot
    /// behind it, every further call fails until a restart.
    pub(crate) fn agree(&mut self, records: &[MetaRecord]) -> Result<(), QuorumError> {
        let entry = self.journal.entry(records)?;
        if let Err(error) = self.log.append(&[entry]) {
            self.journal.write_failed();
            return Err(error.into());
        }
        self.journal.agreed(records);
        if self.journal.snapshot_due() {
            self.snapshot();
        }
        Ok(())
    }

    /// Puts a snapshot in the place of the entries. If that fails the entries still count.
    fn snapshot(&mut self) {
        match self.log.snapshot(&self.journal.snapshot()) {
            Ok(()) => self.journal.snapshot_written(),
            Err(error) => {
                self.journal.write_failed();
                tracing::error!(%error, "the metadata's snapshot failed; no topic or setting can be changed until the broker is started again");
            }
        }
    }

    /// Starts the thread that agrees on what shards propose and tells every shard.
    pub(crate) fn start(
        mut self,
        health: &Arc<Health>,
        published: Arc<ArcSwap<Image>>,
        agreed: watch::Sender<u64>,
        shards: Vec<ShardSender>,
    ) -> std::io::Result<(Proposer, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(PROPOSALS_MAX);
        let vital = Vital(Arc::clone(health));
        let run = move || {
            let _vital = vital;
            self.run(&receiver, &published, &agreed, &shards);
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
        told: &watch::Sender<u64>,
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
            let image = Arc::new(self.image().clone());
            published.store(Arc::clone(&image));
            told.send_replace(image.applied());
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
                Err(QuorumError::Failed(_))
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
            Err(QuorumError::Failed(_))
        ));
        drop(quorum);
        mem.crash(Crash::Forget);
        assert_eq!(Quorum::open(&disk).unwrap().image().cluster_id(), "first");
    }
}
