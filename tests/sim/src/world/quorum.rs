//! The quorum of one: the broker's own journal in the real metadata log, with delays and lost
//! proposals, and what it must hold after a crash.

use super::{Todo, World, broker::Source};
use crate::{checks::metadata, violation::Checked};
use std::sync::Arc;
use weir_meta::{Command, Image, Journal, MetaRecord, command::RegisterBroker, decide};
use weir_node::{Event, ProposalId};
use weir_store::{MetaLog, MetaLogContents};
use weir_types::BrokerId;

/// The simulated broker's id.
pub(super) const BROKER: BrokerId = BrokerId(0);

/// What the metadata log must hold.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    /// Everything that was agreed.
    image: Image,
    /// What also may have been written when the broker died.
    maybe: Option<Image>,
}

impl World {
    /// The journal that a metadata log holds, which must say what was agreed.
    pub(super) fn recovered_journal(&mut self, contents: &MetaLogContents) -> Checked<Journal> {
        let (snapshot, entries) = contents;
        let journal = match Journal::load(snapshot.as_deref(), entries) {
            Ok(journal) => journal,
            Err(error) => return metadata::PROMISE.broken(error.to_string()),
        };
        let image = journal.image();
        image.check();
        let maybe = self.agreed.maybe.take();
        let mut possible = vec![&self.agreed.image];
        possible.extend(&maybe);
        metadata::recovered(&possible, image)?;
        self.agreed.image = image.clone();
        Ok(journal)
    }

    /// The records by which the broker makes itself known.
    pub(super) fn registration(&self, image: &Image) -> Vec<MetaRecord> {
        let command = Command::RegisterBroker(RegisterBroker {
            id: BROKER,
            new_cluster_id: Arc::from("simulated-cluster-0000"),
            listeners: vec![weir_meta::Listener {
                name: Arc::from(super::session::LISTENER),
                host: Arc::from("broker.sim"),
                port: 9092,
            }],
            rack: None,
        });
        let decision = decide(image, self.clock.now(), &command);
        decision.expect("a broker may register").records
    }

    /// Writes an entry and tells whether the disk took it.
    pub(super) fn agree_on(
        &mut self,
        meta: &mut MetaLog,
        journal: &mut Journal,
        records: &[MetaRecord],
    ) -> bool {
        let entry = journal.entry(records);
        let entry = entry.expect("a broker whose write failed is gone");
        let index = journal.image().applied() + 1;
        let mut after = journal.image().clone();
        after.apply_entry(index, records);
        after.check();
        self.agreed.maybe = Some(after);
        let written = meta.append(&[entry]);
        self.trace.line(format_args!(
            "entry {index}: {} records, {written:?}",
            records.len()
        ));
        if written.is_err() {
            journal.write_failed();
            return false;
        }
        journal.agreed(records);
        self.agreed.image = journal.image().clone();
        self.agreed.maybe = None;
        true
    }

    /// A shard proposes.
    pub(super) fn propose(&mut self, shard: u16, proposal: ProposalId, records: Vec<MetaRecord>) {
        let delay = self.random.between(0, self.params.quorum_ms_max);
        let at = self.clock.tick() + delay;
        if let Some(broker) = &mut self.broker {
            broker.agree_at = broker.agree_at.max(at);
            let todo = Todo::Agree(self.incarnation, shard, proposal, records);
            self.clock.at(broker.agree_at, todo);
        }
    }

    /// The quorum decides.
    pub(super) fn agree(
        &mut self,
        shard: u16,
        proposal: ProposalId,
        records: &[MetaRecord],
    ) -> Checked {
        let faults = self.stage == super::Stage::Faults;
        if faults && self.random.percent(self.params.proposal_lost_percent) {
            self.trace
                .line(format_args!("{proposal:?} of shard {shard} is lost"));
            let at = self.arrival(shard, Source::Quorum, 20);
            let event = Event::Refused { proposal };
            self.clock
                .at(at, Todo::Shard(self.incarnation, shard, event));
            return Ok(());
        }
        let Some(mut broker) = self.broker.take() else {
            return Ok(());
        };
        let agreed = self.agree_on(&mut broker.meta, &mut broker.journal, records);
        let shards = broker.nodes.len();
        let image = Arc::new(broker.journal.image().clone());
        if agreed {
            broker.image = image.clone();
        }
        self.broker = Some(broker);
        if !agreed {
            // Whether the entry counts will be known after the next start.
            self.crash();
            return Ok(());
        }
        for to in 0..shards {
            let to = u16::try_from(to).expect("shards are few");
            let event = Event::Agreed {
                image: image.clone(),
                proposal: (to == shard).then_some(proposal),
            };
            let at = self.arrival(to, Source::Quorum, 20);
            self.clock.at(at, Todo::Shard(self.incarnation, to, event));
        }
        self.maybe_snapshot();
        Ok(())
    }

    /// At times the metadata log begins anew with a snapshot.
    fn maybe_snapshot(&mut self) {
        let snapshot = self.random.percent(15);
        let Some(broker) = self.broker.as_mut().filter(|_| snapshot) else {
            return;
        };
        let written = broker.meta.snapshot(&broker.journal.snapshot());
        match &written {
            Ok(()) => broker.journal.snapshot_written(),
            Err(_) => broker.journal.write_failed(),
        }
        self.trace
            .line(format_args!("snapshot of the metadata: {written:?}"));
        if written.is_err() {
            self.crash();
        }
    }
}
