//! The quorum of one: a log of metadata records in the real metadata log, with delays and lost
//! proposals, and what it must hold after a crash.

use super::{Todo, World, broker::Source};
use crate::{checks::metadata, violation::Checked};
use std::sync::Arc;
use weir_meta::{Command, Image, MetaRecord, command::RegisterBroker, decide};
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

/// A record of the metadata log: the entry's number, then its records.
fn entry(index: u64, records: &[MetaRecord]) -> Vec<u8> {
    let mut bytes = index.to_be_bytes().to_vec();
    bytes.extend_from_slice(&weir_meta::encode_all(records));
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<MetaRecord>)> {
    let (index, records) = bytes.split_first_chunk::<8>()?;
    let records = weir_meta::decode_all(records).ok()?;
    Some((u64::from_be_bytes(*index), records))
}

impl World {
    /// The image that a metadata log holds, which must be what was agreed.
    pub(super) fn recovered_image(&mut self, contents: &MetaLogContents) -> Checked<Image> {
        let (snapshot, records) = contents;
        let mut image = match snapshot.as_deref().map(decode) {
            None => Image::default(),
            Some(Some((applied, records))) => Image::from_records(applied, &records),
            Some(None) => return metadata::PROMISE.broken("the snapshot cannot be read"),
        };
        for record in records {
            let Some((index, records)) = decode(record) else {
                return metadata::PROMISE.broken("an entry cannot be read");
            };
            image.apply_entry(index, &records);
        }
        image.check();
        let maybe = self.agreed.maybe.take();
        let mut possible = vec![&self.agreed.image];
        possible.extend(&maybe);
        metadata::recovered(&possible, &image)?;
        self.agreed.image = image.clone();
        Ok(image)
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

    /// Writes an entry; nothing: the disk failed.
    pub(super) fn agree_on(
        &mut self,
        meta: &mut MetaLog,
        image: &Image,
        records: &[MetaRecord],
    ) -> Option<Image> {
        let mut after = image.clone();
        let index = image.applied() + 1;
        after.apply_entry(index, records);
        after.check();
        self.agreed.maybe = Some(after.clone());
        let written = meta.append(&[entry(index, records)]);
        self.trace.line(format_args!(
            "entry {index}: {} records, {written:?}",
            records.len()
        ));
        written.ok()?;
        self.agreed.image = after.clone();
        self.agreed.maybe = None;
        Some(after)
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
        let image = broker.image.clone();
        let agreed = self.agree_on(&mut broker.meta, &image, records);
        let shards = broker.nodes.len();
        self.broker = Some(broker);
        let Some(image) = agreed else {
            // Whether the entry counts will be known after the next start.
            self.crash();
            return Ok(());
        };
        let image = Arc::new(image);
        if let Some(broker) = &mut self.broker {
            broker.image = image.clone();
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
        let whole = entry(broker.image.applied(), &broker.image.to_records());
        let written = broker.meta.snapshot(&whole);
        self.trace
            .line(format_args!("snapshot of the metadata: {written:?}"));
        if written.is_err() {
            self.crash();
        }
    }
}
