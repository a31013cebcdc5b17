//! The broker's end of each connection: the real front, with the frames of the real codec on one
//! side and the shards on the other. Answers leave in the order of their requests.

use super::{ConnId, World, broker::Asked};
use crate::{
    checks::{panics, protocol},
    client::{Sent, link::joined},
    random::Random,
    violation::Checked,
};
use std::{collections::BTreeMap, sync::Arc};
use weir_node::{
    Answer, Ask, Event, RequestId, Sequences,
    front::{Call, Context, Finish, Front, FrontConfig, Join, Part, Plan},
    validate::Inflate,
};
use weir_types::{Principal, Role, ShardId, batch::Compression};
use weir_wire::{Response, decode_request, encode_response};

/// The listener that every simulated client uses.
pub(super) const LISTENER: &str = "plain";

/// One connection's session.
#[derive(Debug)]
pub(super) struct Session {
    front: Front,
    context: Context,
    open: BTreeMap<u64, Open>,
    /// Questions to shards: to which request they belong, and as which part.
    parts: BTreeMap<RequestId, (u64, usize)>,
    next: u64,
}

/// A request that shards work on.
#[derive(Debug)]
struct Open {
    correlation_id: i32,
    version: i16,
    join: Join,
    /// Parts that are not answered.
    left: BTreeMap<RequestId, ShardId>,
}

/// Simulated producers do not compress.
#[derive(Debug)]
struct NoCompression;

impl Inflate for NoCompression {
    fn inflate<'a>(
        &'a mut self,
        _: Compression,
        _: &'a [u8],
        _: usize,
    ) -> Result<&'a [u8], String> {
        Err("the simulator has no codecs".to_owned())
    }
}

/// Sequences of jobs ascend with gaps.
fn count_as_jobs(parts: &mut [Part]) {
    for part in parts {
        if let Ask::Produce(ask) = &mut part.ask {
            for part in &mut ask.partitions {
                part.sequences = Sequences::Ascending;
            }
        }
    }
}

fn sixteen(random: &mut Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.draw().to_be_bytes());
    bytes[8..].copy_from_slice(&random.draw().to_be_bytes());
    bytes
}

impl World {
    pub(super) fn session_opens(&mut self, id: ConnId, client: &Arc<str>) {
        let mut config = FrontConfig::new(self.params.shards, super::quorum::BROKER);
        config.auto_create_topics = false;
        config.offsets_partitions = self.params.group_partitions;
        let role = if &**client == "admin" || client.starts_with("steward") {
            Role::Admin
        } else if client.starts_with("job") {
            Role::Broker
        } else {
            Role::Client
        };
        let session = Session {
            front: Front::new(Arc::new(config)),
            context: Context {
                principal: Principal {
                    name: client.clone(),
                    role,
                },
                listener: Arc::from(LISTENER),
                host: Arc::from("/127.0.0.1"),
            },
            open: BTreeMap::new(),
            parts: BTreeMap::new(),
            next: 0,
        };
        if let Some(broker) = &mut self.broker {
            broker.sessions.insert(id, session);
        }
    }

    /// A connection is gone: whatever waits for it need not wait any longer.
    pub(super) fn session_gone(&mut self, id: ConnId) -> Checked {
        self.forget_conn(id);
        let session = self
            .broker
            .as_mut()
            .and_then(|broker| broker.sessions.remove(&id));
        let left = session
            .into_iter()
            .flat_map(|session| session.open.into_values());
        for (id, shard) in left.flat_map(|open| open.left) {
            self.ask_shard(shard, Event::Hurry { id });
        }
        Ok(())
    }

    /// A request arrives at its session.
    pub(super) fn session_asks(&mut self, conn: ConnId, sent: &Sent) -> Checked {
        let (header, request) = match decode_request(sent.frame.clone()) {
            Ok(decoded) => decoded,
            Err(error) => return protocol::unexpected(error),
        };
        let now = self.clock.now();
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        let Some(session) = broker.sessions.get_mut(&conn) else {
            return Ok(());
        };
        let random = &mut self.random;
        let mut call = Call {
            now,
            image: &broker.image,
            context: &session.context,
            version: header.api_version,
            client_id: header.client_id.as_deref().unwrap_or_default(),
            inflate: &mut NoCompression,
            random: &mut || sixteen(random),
            volume: &mut || None,
        };
        match session.front.accept(&mut call, request) {
            Plan::Answer(response) => {
                self.respond(conn, header.correlation_id, header.api_version, &response)
            }
            Plan::Place(_) => panics::PROMISE.broken("no topic has a partitioner here"),
            Plan::Silent => Ok(()),
            Plan::Close { reason } => self.session_closes(conn, &reason),
            Plan::Parts { mut parts, join } => {
                if session.context.principal.role == Role::Broker {
                    count_as_jobs(&mut parts);
                }
                let slot = session.next;
                session.next += 1;
                let mut left = BTreeMap::new();
                let mut asks = Vec::new();
                for (place, part) in parts.into_iter().enumerate() {
                    self.next_request += 1;
                    let id = RequestId(self.next_request);
                    session.parts.insert(id, (slot, place));
                    left.insert(id, part.shard);
                    let asked = Asked {
                        conn,
                        ask: part.ask.clone(),
                    };
                    broker.asks.insert(id, asked);
                    asks.push((id, part));
                }
                let open = Open {
                    correlation_id: header.correlation_id,
                    version: header.api_version,
                    join,
                    left,
                };
                session.open.insert(slot, open);
                for (id, part) in asks {
                    let (seen, ask) = (part.seen, part.ask);
                    self.ask_shard(part.shard, Event::Ask { id, seen, ask });
                }
                Ok(())
            }
        }
    }

    /// A shard answered a part of a request.
    pub(super) fn session_answered(
        &mut self,
        conn: ConnId,
        id: RequestId,
        answer: Answer,
    ) -> Checked {
        let Some(broker) = &mut self.broker else {
            return Ok(());
        };
        let Some(session) = broker.sessions.get_mut(&conn) else {
            return Ok(());
        };
        let Some((slot, part)) = session.parts.remove(&id) else {
            return Ok(());
        };
        let Some(open) = session.open.get_mut(&slot) else {
            return Ok(());
        };
        open.left.remove(&id);
        let hurry = open.join.absorb(part, answer);
        if !open.left.is_empty() {
            let others = if hurry {
                open.left.clone()
            } else {
                BTreeMap::new()
            };
            for (id, shard) in others {
                self.ask_shard(shard, Event::Hurry { id });
            }
            return Ok(());
        }
        let Some(open) = session.open.remove(&slot) else {
            return Ok(());
        };
        match open.join.finish(&broker.image, &mut NoCompression) {
            Finish::Answer(response) => {
                self.respond(conn, open.correlation_id, open.version, &response)
            }
            // What every view's plugins do here: nothing.
            Finish::Views { response, .. } => {
                self.respond(conn, open.correlation_id, open.version, &response.into())
            }
            Finish::Silent => Ok(()),
            Finish::Close { reason } => self.session_closes(conn, &reason),
        }
    }

    fn respond(
        &mut self,
        conn: ConnId,
        correlation_id: i32,
        version: i16,
        response: &Response,
    ) -> Checked {
        match encode_response(correlation_id, version, response) {
            Ok(segments) => {
                self.answer_leaves(conn, correlation_id, joined(&segments));
                Ok(())
            }
            Err(error) => {
                protocol::unexpected(format!("an answer that cannot be written: {error}"))
            }
        }
    }

    fn session_closes(&mut self, conn: ConnId, reason: &str) -> Checked {
        self.trace
            .line(format_args!("the broker closes {conn:?}: {reason}"));
        self.session_gone(conn)
    }
}
