//! The shard loop: one thread that owns one `Node`, feeds it events in the order in which they
//! arrive and carries its effects out. Nothing in it is locked, and it holds no rule of its own.

use crate::clock::Clock;
use crate::limits::{SHARD_QUEUE_MAX, SHARD_TURN_MAX};
use crate::plugins::ingest::IngestJob;
use crate::room::{Charge, OnWay, Rooms};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SendError, Sender, SyncSender, TrySendError, sync_channel,
};
use std::time::Duration;
use tokio::sync::oneshot;
use weir_meta::Image;
use weir_node::Node;
use weir_node::event::{
    Effect, Event, Notice, ProposalId, RequestId, ShardMessage, TransformId, TransformRefusal,
};
use weir_node::request::{Answer, Ask};
use weir_store::{Store, TailCache};
use weir_types::log::{LogCommand, LogEvent, Token};
use weir_types::{Batch, BatchHeader, ErrorCode, Now, ShardId};

/// What a shard is told.
pub(crate) enum ToShard {
    /// A session asks.
    Ask {
        /// The session's number for it.
        id: RequestId,
        /// The entry of the image by which it was split.
        seen: u64,
        /// What.
        ask: Ask,
        /// Where the answer goes; gone when the session is.
        reply: oneshot::Sender<Answer>,
        /// What it brings to the log, until the log's queue counts it.
        on_way: Option<Arc<OnWay>>,
    },
    /// A session no longer wants to wait.
    Hurry(RequestId),
    /// The store answers.
    Log(Vec<LogEvent>),
    /// Metadata was agreed.
    Agreed {
        /// What holds now.
        image: Arc<Image>,
        /// This shard's own proposal, if it was.
        proposal: Option<ProposalId>,
    },
    /// Another shard says something.
    Told(ShardMessage),
    /// This shard's proposal failed.
    Refused(ProposalId),
    /// A batch went through its topic's plugins, or did not.
    Transformed {
        /// Which.
        ticket: TransformId,
        /// What became of it.
        result: Box<Result<(Batch, BatchHeader), TransformRefusal>>,
    },
    /// Leave.
    Stop,
}

/// A shard as others see it.
#[derive(Clone, Debug)]
pub(crate) struct ShardSender(SyncSender<ToShard>);

impl ShardSender {
    /// Hands a session's message over without waiting; a full queue gives it back.
    pub(crate) fn offer(&self, message: ToShard) -> Result<(), TrySendError<ToShard>> {
        self.0.try_send(message)
    }

    /// Hands over what must not get lost, waiting for room. A shard that has left needs nothing.
    pub(crate) fn deliver(&self, message: ToShard) {
        let _left = self.0.send(message);
    }
}

/// Makes a shard's queue.
pub(crate) fn queue() -> (ShardSender, Receiver<ToShard>) {
    let (sender, receiver) = sync_channel(SHARD_QUEUE_MAX);
    (ShardSender(sender), receiver)
}

/// Where a shard's proposals go.
pub(crate) type Propose = Box<dyn Fn(ShardId, ProposalId, Vec<weir_meta::MetaRecord>) + Send>;

/// Everything one shard thread owns.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
    pub(crate) tail: TailCache,
    pub(crate) inbox: Receiver<ToShard>,
    /// All shards of the broker, by number.
    pub(crate) shards: Vec<ShardSender>,
    pub(crate) propose: Propose,
    pub(crate) replies: HashMap<RequestId, oneshot::Sender<Answer>>,
    /// Commands of this turn, for the store.
    pub(crate) commands: Vec<LogCommand>,
    /// Requests of this turn on their way to the store.
    pub(crate) on_way: Vec<Arc<OnWay>>,
    pub(crate) rooms: Rooms,
    /// The worker that runs plugins.
    pub(crate) transforms: Sender<IngestJob>,
    /// Room set aside for reads under way.
    pub(crate) reads: HashMap<Token, Charge>,
    /// Room for effects, kept from step to step.
    pub(crate) effects: Vec<Effect>,
}

impl Shard {
    /// Runs until told to stop or until nobody can tell it anything.
    pub(crate) fn run(mut self) {
        loop {
            let Some(message) = self.wait() else { return };
            let now = self.clock.now();
            if !self.take(now, message) {
                return;
            }
            // What has piled up meanwhile is taken in one turn, but never so much that timers
            // would wait for long; the log gets the commands of the whole turn at once.
            for _ in 1..SHARD_TURN_MAX {
                let Ok(message) = self.inbox.try_recv() else {
                    break;
                };
                if !self.take(now, Some(message)) {
                    return;
                }
            }
            self.store.submit_all(self.id, self.commands.drain(..));
            if !self.on_way.is_empty() {
                self.rooms.log.look();
                self.on_way.clear();
            }
        }
    }

    /// The next message, or `Some(None)` when a timer is due; nothing when there are no more.
    fn wait(&self) -> Option<Option<ToShard>> {
        let left = self
            .node
            .next_wake()
            .0
            .saturating_sub(self.clock.now().tick.0);
        match self.inbox.recv_timeout(Duration::from_millis(left)) {
            Ok(message) => Some(Some(message)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Takes one message; `false` means "leave".
    fn take(&mut self, now: Now, message: Option<ToShard>) -> bool {
        let event = match message {
            None => Event::Wake,
            Some(ToShard::Ask {
                id,
                seen,
                ask,
                reply,
                on_way,
            }) => {
                self.replies.insert(id, reply);
                self.on_way.extend(on_way);
                Event::Ask { id, seen, ask }
            }
            Some(ToShard::Hurry(id)) => Event::Hurry { id },
            Some(ToShard::Log(events)) => {
                for event in events {
                    heed(&mut self.tail, &event);
                    let event = self.account(event);
                    self.step(now, Event::Log(event));
                }
                return true;
            }
            Some(ToShard::Agreed { image, proposal }) => Event::Agreed { image, proposal },
            Some(ToShard::Told(message)) => Event::Told { message },
            Some(ToShard::Refused(proposal)) => Event::Refused { proposal },
            Some(ToShard::Transformed { ticket, result }) => Event::Transformed {
                ticket,
                result: *result,
            },
            Some(ToShard::Stop) => return false,
        };
        self.step(now, event);
        true
    }

    /// One event, and whatever it leads to at once: a read that the tail cache answers is an
    /// event of its own.
    fn step(&mut self, now: Now, event: Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.node.step(now, event, &mut effects);
        let mut answered = VecDeque::new();
        loop {
            for effect in effects.drain(..) {
                answered.extend(self.carry_out(effect));
            }
            let Some(event) = answered.pop_front() else {
                break;
            };
            self.node.step(now, event, &mut effects);
        }
        self.effects = effects;
    }

    /// Carries out one effect; a read that the tail cache can answer gives its event, and so does
    /// a message for which another shard has no room.
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Answer { id, answer } => {
                if let Some(reply) = self.replies.remove(&id) {
                    // A session that is gone wants no answer.
                    let _gone = reply.send(answer);
                }
            }
            Effect::Propose { proposal, records } => (self.propose)(self.id, proposal, records),
            Effect::Notice(notice) => tell(&notice),
            Effect::Tell { to, message } => return self.say(to, message),
            Effect::Log(command) => return self.command(command).map(Event::Log),
            Effect::Transform {
                ticket,
                key,
                batch,
                header,
            } => {
                let job = IngestJob {
                    ticket,
                    key,
                    batch,
                    header,
                };
                return self.transform(job);
            }
        }
        None
    }

    /// Hands a batch to the worker that runs plugins; if that is gone, the batch is refused.
    fn transform(&self, job: IngestJob) -> Option<Event> {
        let SendError(job) = self.transforms.send(job).err()?;
        let result = Err(TransformRefusal {
            error: ErrorCode::UnknownServerError,
            message: "the thread that runs plugins is gone".to_owned(),
        });
        Some(Event::Transformed {
            ticket: job.ticket,
            result,
        })
    }

    /// Hands a message to another shard, never waiting: two shards that wait for one another would
    /// do so for ever. A shard that has left needs nothing.
    fn say(&self, to: ShardId, message: ShardMessage) -> Option<Event> {
        let shard = self.shards.get(usize::from(to.0))?;
        match shard.offer(ToShard::Told(message)) {
            Err(TrySendError::Full(ToShard::Told(message))) => Some(Event::Untold { message }),
            _ => None,
        }
    }

    /// Hands a command to the store, unless the tail cache answers it or there is no room for the
    /// answer.
    fn command(&mut self, mut command: LogCommand) -> Option<LogEvent> {
        match &mut command {
            LogCommand::Read {
                token,
                partition,
                from,
                below,
                bytes_max,
            } => {
                let cached = self.tail.lookup(*partition, *from, *below, *bytes_max);
                let granted = self.rooms.answers.grant(*bytes_max);
                // A read of one batch answers a question about offsets: it is never refused.
                let refused = granted.is_none() && *bytes_max > 1;
                if let Some(batches) = cached.or_else(|| refused.then(Vec::new)) {
                    return Some(LogEvent::ReadDone {
                        token: *token,
                        batches: Ok(batches),
                    });
                }
                *bytes_max = granted.unwrap_or(0);
                self.reads
                    .insert(*token, self.rooms.answers.charge(*bytes_max));
            }
            LogCommand::Append {
                partition, batch, ..
            } => self.tail.insert(*partition, batch.clone()),
            LogCommand::Delete { partitions } => {
                for partition in partitions {
                    self.tail.remove(*partition);
                }
            }
            _ => {}
        }
        self.commands.push(command);
        None
    }

    /// What a read brought counts instead of what was set aside for it.
    fn account(&mut self, event: LogEvent) -> LogEvent {
        match event {
            LogEvent::ReadDone { token, batches } => {
                let _set_aside = self.reads.remove(&token);
                let batches = batches.map(|batches| self.rooms.answers.charge_read(batches));
                LogEvent::ReadDone { token, batches }
            }
            other => other,
        }
    }
}

/// What the cache must no longer serve: batches that the log has lost.
fn heed(tail: &mut TailCache, event: &LogEvent) {
    match event {
        LogEvent::Truncated { partition, state } => tail.truncate(*partition, state.end),
        LogEvent::Failed { partition, .. } | LogEvent::Offline { partition, .. } => {
            tail.remove(*partition);
        }
        _ => {}
    }
}

fn tell(notice: &Notice) {
    match notice {
        Notice::Offline { partition, reason } => {
            tracing::error!(
                topic = %partition.topic, partition = partition.index.0, reason,
                "a partition is offline"
            );
        }
        Notice::GroupsDamaged { partition, reason } => {
            tracing::error!(
                partition = partition.index.0,
                reason,
                "the consumer groups of a partition of `__consumer_offsets` cannot be read; \
                 that is tried again, at least once a minute"
            );
        }
        Notice::GroupsLoaded {
            partition,
            failures,
        } => {
            tracing::info!(
                partition = partition.index.0,
                failures,
                "the consumer groups of a partition of `__consumer_offsets` are read after all"
            );
        }
        Notice::LagDamaged { partition, reason } => {
            tracing::error!(
                partition = partition.index.0,
                reason,
                "what is kept of lag cannot be read"
            );
        }
        Notice::DiskFailed {
            partition,
            from,
            lost_acknowledged,
            reason,
        } => {
            tracing::error!(
                topic = %partition.topic, partition = partition.index.0, from = from.0,
                lost_acknowledged, reason,
                "the disk failed under a partition; its log goes on from the last flushed offset"
            );
        }
    }
}
