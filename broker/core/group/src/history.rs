//! The history of a group (design decision D13): each rebalance as one event with its causes,
//! members, moved partitions, duration, and how long each member stood still.
//!
//! Here are the events and the notebook in which a rebalance is followed while it lasts. The
//! notebook is volatile, but the causes that a consumer group has acted upon are written down: a
//! rebalance that a crash cuts short goes on with them, and the coordinator's move is one more. What
//! changed hands and who stood still before the crash is told by nobody.
//! Clients' names are kept with the events, since members are forgotten when they leave.

use crate::{
    Assignment, Name, TopicTable,
    limits::{
        HISTORY_CAUSES_MAX, HISTORY_CLIENT_BYTES_MAX, HISTORY_EVENT_BYTES_MAX, HISTORY_MEMBERS_MAX,
        HISTORY_MOVES_MAX, HISTORY_REASON_BYTES_MAX,
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec::Vec,
};
use weir_types::{CauseKind, Now, PartitionIndex, Tick, TimestampMs, TopicId};

/// One rebalance, from its first cause to the moment when everybody had its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Its running number in its group, from 1, without gaps.
    pub sequence: u64,
    /// Its running number among the events of all groups of its coordinator, from 1, without gaps:
    /// what a watch goes on after.
    pub number: u64,
    /// That number of the event of its group before it; 0: it is the first.
    pub previous: u64,
    /// When it began.
    pub at: TimestampMs,
    /// How long it took, in ms.
    pub duration_ms: u64,
    /// The generation or group epoch it led to.
    pub epoch: i32,
    /// Why, in the order in which it came.
    pub causes: Vec<Cause>,
    /// How many further causes there were.
    pub causes_left_off: u32,
    /// Who was in the group before; perhaps not all.
    pub members_before: Vec<Name>,
    /// How many they were.
    pub members_before_count: u32,
    /// Who was in it after; perhaps not all.
    pub members_after: Vec<Name>,
    /// How many they were.
    pub members_after_count: u32,
    /// The partitions that changed hands; perhaps not all.
    pub moved: Vec<Moved>,
    /// How many they were.
    pub moved_count: u32,
    /// How long each member had nothing to read though it was to get something, in ms; members
    /// that never stopped are not named.
    pub still_ms: Vec<(Name, u64)>,
    /// What the clients of members call themselves: of those of the causes, then of those who stood
    /// still, then of those in moves; perhaps not of all.
    pub clients: Vec<(Name, Name)>,
}

impl HistoryEvent {
    /// What a member's client calls itself, as far as it is kept.
    #[must_use]
    pub fn client(&self, member: &str) -> Option<&Name> {
        let known = self.clients.iter().find(|(known, _)| **known == *member);
        known.map(|(_, client)| client)
    }

    /// How many bytes its causes, moves and members are, about, and a little for itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let causes = self.causes.iter().map(Cause::bytes);
        let moved = self.moved.iter().map(Moved::bytes);
        let still = self.still_ms.iter().map(|(member, _)| named_bytes(member));
        let before = self.members_before.iter().map(named_bytes);
        let after = self.members_after.iter().map(named_bytes);
        let clients = self.clients.iter().map(client_bytes);
        let names = causes.chain(moved).chain(still).chain(before).chain(after);
        let names = names.chain(clients);
        ROW_BYTES + names.sum::<usize>()
    }
}

/// What a row takes beside its names, about.
const ROW_BYTES: usize = 32;

fn named_bytes(member: &Name) -> usize {
    ROW_BYTES + member.len()
}

fn client_bytes((member, client): &(Name, Name)) -> usize {
    named_bytes(member) + client.len()
}

impl Cause {
    fn bytes(&self) -> usize {
        let texts = self.member.iter().chain(&self.reason);
        ROW_BYTES + texts.map(|text| text.len()).sum::<usize>()
    }
}

impl Moved {
    fn bytes(&self) -> usize {
        let members = self.from.iter().chain(&self.to);
        named_bytes(&self.topic) + members.map(|member| member.len()).sum::<usize>()
    }
}

/// What an event may still hold.
struct Room {
    bytes: usize,
}

impl Room {
    /// The first of the rows, as many as fit.
    fn take<T>(&mut self, rows: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
        let fits = |row: &T| match self.bytes.checked_sub(bytes(row)) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        };
        rows.into_iter().take_while(fits).collect()
    }
}

/// One cause of a rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// When.
    pub at: TimestampMs,
    /// What.
    pub kind: CauseKind,
    /// Whose doing, where it was a member's.
    pub member: Option<Name>,
    /// In the client's words (KIP-800), or a pattern, or a topic.
    pub reason: Option<Name>,
}

/// A cause of a rebalance that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCause {
    /// The cause.
    pub cause: Cause,
    /// What the client of its member calls itself.
    pub client: Option<Name>,
}

impl OpenCause {
    pub(crate) fn bytes(&self) -> usize {
        self.cause.bytes() + self.client.as_ref().map_or(0, |client| client.len())
    }
}

/// A partition that changed hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The topic's name, or its id where the name is gone.
    pub topic: Name,
    /// The partition.
    pub partition: PartitionIndex,
    /// Who had it.
    pub from: Option<Name>,
    /// Who has it.
    pub to: Option<Name>,
}

/// Which event it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) number: u64,
    pub(crate) previous: u64,
}

/// Who has which partitions; everybody in the group is in it, also with nothing.
pub(crate) type Shares = BTreeMap<Name, Assignment>;

/// A rebalance that is not over.
#[derive(Clone, Debug)]
pub(crate) struct Notebook {
    began: Now,
    causes: Vec<Cause>,
    causes_left_off: u32,
    before: Shares,
    /// Who stands still, since when.
    still_since: BTreeMap<Name, Tick>,
    still_ms: BTreeMap<Name, u64>,
    clients: BTreeMap<Name, Name>,
}

impl Notebook {
    /// Begins, with who had what.
    pub(crate) const fn new(now: Now, before: Shares) -> Self {
        Self {
            began: now,
            causes: Vec::new(),
            causes_left_off: 0,
            before,
            still_since: BTreeMap::new(),
            still_ms: BTreeMap::new(),
            clients: BTreeMap::new(),
        }
    }

    /// Goes on with what a coordinator before had written down.
    pub(crate) fn resumed(now: Now, before: Shares, open: &[OpenCause]) -> Self {
        let mut notebook = Self::new(now, before);
        if let Some(first) = open.first() {
            // The tick of another process means nothing here.
            let wall = first.cause.at;
            let ago = now.wall.0.saturating_sub(wall.0);
            let tick = now.tick.0.saturating_sub(u64::try_from(ago).unwrap_or(0));
            notebook.began = Now {
                tick: Tick(tick),
                wall,
            };
        }
        for open in open {
            if let (Some(member), Some(client)) = (&open.cause.member, &open.client) {
                notebook.client(member, client);
            }
            notebook.causes.push(open.cause.clone());
        }
        notebook
    }

    /// What a member's client calls itself.
    pub(crate) fn client(&mut self, member: &Name, client: &Name) {
        let entry = self.clients.entry(member.clone());
        entry.or_insert_with(|| brief(client));
    }

    /// Whether a cause is of this member.
    pub(crate) fn names(&self, member: &Name) -> bool {
        let mut causes = self.causes.iter();
        causes.any(|cause| cause.member.as_ref() == Some(member))
    }

    /// The causes from a place on, to be written down.
    pub(crate) fn causes_from(&self, first: usize) -> impl Iterator<Item = OpenCause> {
        self.causes.iter().skip(first).map(|cause| {
            let client = cause.member.as_ref().and_then(|m| self.clients.get(m));
            OpenCause {
                cause: cause.clone(),
                client: client.cloned(),
            }
        })
    }

    /// Another cause.
    pub(crate) fn cause(
        &mut self,
        now: Now,
        kind: CauseKind,
        member: Option<Name>,
        reason: Option<Name>,
    ) {
        if self.causes.len() == HISTORY_CAUSES_MAX {
            self.causes_left_off = self.causes_left_off.saturating_add(1);
            return;
        }
        self.causes.push(Cause {
            at: now.wall,
            kind,
            member,
            reason: reason.map(|reason| cut(&reason, HISTORY_REASON_BYTES_MAX)),
        });
    }

    /// Who had what when it began.
    pub(crate) const fn before(&self) -> &Shares {
        &self.before
    }

    /// A member has nothing to read from now on.
    pub(crate) fn stands(&mut self, member: &Name, now: Now) {
        self.still_since.entry(member.clone()).or_insert(now.tick);
    }

    /// A member reads again.
    pub(crate) fn moves(&mut self, member: &Name, now: Now) {
        if let Some(since) = self.still_since.remove(member) {
            let ms = now.tick.0.saturating_sub(since.0);
            *self.still_ms.entry(member.clone()).or_default() += ms;
        }
    }

    /// A member is gone; whether it stood still is no one's concern any more.
    pub(crate) fn forget(&mut self, member: &Name) {
        self.still_since.remove(member);
        self.still_ms.remove(member);
    }

    /// Ends, with who has what.
    pub(crate) fn close(
        mut self,
        now: Now,
        place: Place,
        epoch: i32,
        after: &Shares,
        topics: &TopicTable,
    ) -> HistoryEvent {
        let standing: Vec<Name> = self.still_since.keys().cloned().collect();
        for member in standing {
            self.moves(&member, now);
        }
        let (moved, moved_count) = moved(&self.before, after, topics);
        let still = self.still_ms.into_iter().filter(|(_, ms)| *ms > 0);
        let still: Vec<_> = still.take(HISTORY_MEMBERS_MAX).collect();
        // Half of the room is the causes', so that they leave some to the others.
        let mut room = Room {
            bytes: HISTORY_EVENT_BYTES_MAX / 2,
        };
        let causes_count = self.causes.len();
        let causes = room.take(self.causes, Cause::bytes);
        room.bytes += HISTORY_EVENT_BYTES_MAX / 2;
        let causes_left_off = count(causes_count - causes.len());
        let moved = room.take(moved, Moved::bytes);
        let still_ms = room.take(still, |(member, _)| named_bytes(member));
        let clients = named_clients(&self.clients, &causes, &still_ms, &moved);
        let clients = room.take(clients, client_bytes);
        HistoryEvent {
            sequence: place.sequence,
            number: place.number,
            previous: place.previous,
            at: self.began.wall,
            duration_ms: now.tick.0.saturating_sub(self.began.tick.0),
            epoch,
            causes,
            causes_left_off: self.causes_left_off.saturating_add(causes_left_off),
            moved,
            moved_count,
            still_ms,
            clients,
            members_before: room.take(named(&self.before), named_bytes),
            members_before_count: count(self.before.len()),
            members_after: room.take(named(after), named_bytes),
            members_after_count: count(after.len()),
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn named(shares: &Shares) -> Vec<Name> {
    shares.keys().take(HISTORY_MEMBERS_MAX).cloned().collect()
}

/// The clients of those who are named, in that order and once.
fn named_clients(
    clients: &BTreeMap<Name, Name>,
    causes: &[Cause],
    still: &[(Name, u64)],
    moved: &[Moved],
) -> Vec<(Name, Name)> {
    let causes = causes.iter().filter_map(|cause| cause.member.as_ref());
    let still = still.iter().map(|(member, _)| member);
    let moved = moved
        .iter()
        .flat_map(|moved| moved.from.iter().chain(&moved.to));
    let mut seen = BTreeSet::new();
    let named = causes.chain(still).chain(moved);
    named
        .filter(|member| seen.insert(*member))
        .filter_map(|member| Some((member.clone(), clients.get(member)?.clone())))
        .collect()
}

/// The beginning of a client's name.
pub(crate) fn brief(client: &Name) -> Name {
    cut(client, HISTORY_CLIENT_BYTES_MAX)
}

/// The beginning of a client's words.
fn cut(words: &Name, bytes_max: usize) -> Name {
    if words.len() <= bytes_max {
        return words.clone();
    }
    let mut end = bytes_max;
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    Name::from(&words[..end])
}

fn owners(shares: &Shares) -> BTreeMap<(TopicId, PartitionIndex), &Name> {
    shares
        .iter()
        .flat_map(|(member, share)| {
            share.iter().flat_map(move |(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |index| ((*topic, *index), member))
            })
        })
        .collect()
}

fn moved(before: &Shares, after: &Shares, topics: &TopicTable) -> (Vec<Moved>, u32) {
    let (from, to) = (owners(before), owners(after));
    let all: BTreeSet<_> = from.keys().chain(to.keys()).copied().collect();
    let mut moves = Vec::new();
    let mut total = 0;
    for place in all {
        let (from, to) = (from.get(&place).copied(), to.get(&place).copied());
        if from == to {
            continue;
        }
        total += 1;
        if moves.len() < HISTORY_MOVES_MAX {
            let (topic, partition) = place;
            moves.push(Moved {
                topic: topics
                    .name(topic)
                    .cloned()
                    .unwrap_or_else(|| Name::from(topic.to_string())),
                partition,
                from: from.cloned(),
                to: to.cloned(),
            });
        }
    }
    (moves, count(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn an_event_of_members_with_long_names_is_bounded() {
        let now = Now {
            tick: Tick(0),
            wall: TimestampMs(0),
        };
        let topic = TopicId([1; 16]);
        let share = |name: &str, count: i32| -> Shares {
            let member = |n: i32| {
                let partitions = BTreeSet::from([PartitionIndex(n)]);
                let id = Name::from(format!("{name}{n:x>4000}"));
                (id, Assignment::from([(topic, partitions)]))
            };
            (0..count).map(member).collect()
        };
        let (before, after) = (share("a", 900), share("b", 800));
        let mut notebook = Notebook::new(now, before);
        for member in after.keys() {
            notebook.cause(now, CauseKind::Joined, Some(member.clone()), None);
            notebook.stands(member, now);
        }
        let later = Now {
            tick: Tick(5),
            ..now
        };
        let place = Place {
            sequence: 1,
            number: 1,
            previous: 0,
        };
        let event = notebook.close(later, place, 1, &after, &TopicTable::default());
        let bytes = event.bytes();
        assert!(bytes <= HISTORY_EVENT_BYTES_MAX + ROW_BYTES, "{bytes}");
        assert!(bytes > HISTORY_EVENT_BYTES_MAX / 2, "{bytes}");
        let named = count(event.causes.len());
        assert_eq!(named + event.causes_left_off, 800);
        assert_eq!(event.members_before_count, 900);
        assert_eq!(event.members_after_count, 800);
        assert_eq!(event.moved_count, 900);
    }
}
