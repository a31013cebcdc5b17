//! The network: connections that keep order, delay everything and break. A frame that was sent
//! arrives unless its connection broke; some arrive all the same.

use super::{Todo, World};
use crate::{
    checks::protocol,
    client::{Act, Input, Sent},
    violation::Checked,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use weir_wire::decode_any_response;

/// A connection; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Net {
    conns: BTreeMap<ConnId, Conn>,
    next: u64,
}

/// One connection.
#[derive(Debug)]
struct Conn {
    client: usize,
    /// The client's end is open.
    client_open: bool,
    /// The broker's end is open.
    broker_open: bool,
    /// Nothing arrives before what was sent before it.
    broker_at: u64,
    client_at: u64,
    /// Requests in order, each with its answer once there is one.
    open: VecDeque<(Sent, Option<Bytes>)>,
}

impl World {
    /// Does what a client wants.
    pub(super) fn act(&mut self, index: usize, act: Act) {
        match act {
            Act::Connect => {
                let delay = self.delay();
                self.clock.after(delay, Todo::Connect(index));
            }
            Act::Close => {
                if let Some(conn) = self.clients[index].conn.take() {
                    let name = self.name(index);
                    self.trace.line(format_args!("{name} gives up {conn:?}"));
                    self.break_conn(conn);
                }
            }
            Act::Send(sent) => self.send(index, sent),
            Act::WakeIn(ms) => self.clock.after(ms, Todo::ClientWake(index)),
        }
    }

    fn delay(&mut self) -> u64 {
        self.random.between(0, self.params.delay_ms_max)
    }

    pub(super) fn connect(&mut self, index: usize) -> Checked {
        if self.broker.is_none() {
            return self.step_client(index, Input::Disconnected);
        }
        let id = ConnId(self.net.next);
        self.net.next += 1;
        let conn = Conn {
            client: index,
            client_open: true,
            broker_open: true,
            broker_at: 0,
            client_at: 0,
            open: VecDeque::new(),
        };
        self.net.conns.insert(id, conn);
        self.clients[index].conn = Some(id);
        let name = self.name(index);
        self.session_opens(id, &name);
        self.trace.line(format_args!("{name} has {id:?}"));
        self.step_client(index, Input::Connected)
    }

    fn send(&mut self, index: usize, sent: Sent) {
        let Some(id) = self.clients[index].conn else {
            return;
        };
        let name = self.name(index);
        self.trace.line(format_args!(
            "{name} {id:?} sends {} v{} #{} ({} bytes)",
            sent.api,
            sent.version,
            sent.correlation_id,
            sent.frame.len()
        ));
        let arrives = self.clock.tick() + self.delay();
        let Some(conn) = self.net.conns.get_mut(&id) else {
            // The broker is gone, which the client does not know yet.
            return;
        };
        conn.broker_at = conn.broker_at.max(arrives);
        let at = conn.broker_at;
        self.clock.at(at, Todo::Request(id, sent));
        self.maybe_cut(id);
    }

    /// A frame passed a connection: at times it is the last.
    fn maybe_cut(&mut self, id: ConnId) {
        let faults = self.stage == super::Stage::Faults;
        let conn = self.net.conns.get(&id);
        // What is inside the broker has no network to it.
        if conn.is_some_and(|conn| self.clients[conn.client].name.starts_with("job")) {
            return;
        }
        if faults && self.random.permille(self.params.cut_permille) {
            self.break_conn(id);
        }
    }

    /// The connection breaks; both ends hear of it, each in its time.
    pub(super) fn break_conn(&mut self, id: ConnId) {
        let late = self.params.late_frames && self.random.percent(50);
        let (sooner, later) = (self.delay(), self.delay() + self.random.between(0, 300));
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        conn.client_open = false;
        let index = conn.client;
        self.clock.after(sooner, Todo::ClientLost(index, id));
        if late {
            self.clock.after(later, Todo::BrokerLost(id));
        } else {
            conn.broker_open = false;
            self.clock.after(sooner, Todo::BrokerLost(id));
        }
    }

    /// Every connection breaks: the broker is gone.
    pub(super) fn break_all(&mut self) {
        let ids: Vec<ConnId> = self.net.conns.keys().copied().collect();
        for id in ids {
            let delay = self.delay();
            if let Some(conn) = self.net.conns.remove(&id) {
                self.clock.after(delay, Todo::ClientLost(conn.client, id));
            }
        }
    }

    /// The broker's end of a connection is closed.
    pub(super) fn forget_conn(&mut self, id: ConnId) {
        if let Some(conn) = self.net.conns.remove(&id)
            && conn.client_open
        {
            self.clock.after(0, Todo::ClientLost(conn.client, id));
        }
    }

    pub(super) fn request_arrives(&mut self, id: ConnId, sent: Sent) -> Checked {
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return Ok(());
        };
        if !conn.broker_open {
            return Ok(());
        }
        if sent.answered {
            conn.open.push_back((sent.clone(), None));
        }
        self.session_asks(id, &sent)
    }

    /// The broker has an answer; it leaves when those before it have.
    pub(super) fn answer_leaves(&mut self, id: ConnId, correlation_id: i32, frame: Bytes) {
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        let place = conn
            .open
            .iter_mut()
            .find(|(sent, _)| sent.correlation_id == correlation_id);
        if let Some((_, answer)) = place {
            *answer = Some(frame);
        }
        loop {
            let Some(conn) = self.net.conns.get_mut(&id) else {
                return;
            };
            if !conn
                .open
                .front()
                .is_some_and(|(_, answer)| answer.is_some())
            {
                return;
            }
            let Some((sent, Some(frame))) = conn.open.pop_front() else {
                return;
            };
            let arrives = self.clock.tick() + self.random.between(0, self.params.delay_ms_max);
            conn.client_at = conn.client_at.max(arrives);
            self.clock.at(conn.client_at, Todo::Answer(id, sent, frame));
            self.maybe_cut(id);
        }
    }

    pub(super) fn answer_arrives(&mut self, id: ConnId, sent: &Sent, frame: Bytes) -> Checked {
        let Some(conn) = self.net.conns.get(&id).filter(|conn| conn.client_open) else {
            return Ok(());
        };
        let index = conn.client;
        if self.clients[index].conn != Some(id) {
            return Ok(());
        }
        let (correlation_id, response) = match decode_any_response(frame, sent.api, sent.version) {
            Ok(decoded) => decoded,
            Err(error) => {
                return protocol::unexpected(format!("{} v{}: {error}", sent.api, sent.version));
            }
        };
        if correlation_id != sent.correlation_id {
            return protocol::unexpected("an answer with another request's number");
        }
        let name = self.name(index);
        let shown = super::show::response(&response);
        self.trace
            .line(format_args!("{name} gets #{correlation_id} {shown}"));
        self.step_client(
            index,
            Input::Answer {
                correlation_id,
                response,
            },
        )
    }
}
