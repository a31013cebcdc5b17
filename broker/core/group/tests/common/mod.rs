//! A coordinator under a script: lines of events in, lines of outcomes out. Time moves only by
//! the script; what is written counts as replicated at once unless the script holds it back.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod fleet;
mod print;

use bytes::Bytes;
use expect_test::Expect;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use weir_group::{
    Assignment, Coordinator, GroupConfig, GroupEffect, GroupEvent, GroupRecord, Groups, Name,
    Reply, Request, RequestId, TopicInfo, TopicTable, WriteId, decode, encode,
    request::{
        Client, CommitPartition, ConsumerHeartbeat, Heartbeat, JoinGroup, LeaveGroup,
        LeavingMember, ListGroups, OffsetCommit, OffsetDelete, OffsetFetch, SyncGroup,
    },
};
use weir_types::{LeaderEpoch, Now, Offset, PartitionIndex, Tick, TimestampMs, TopicId};

use print::reply_text;

/// The wall clock at tick 0.
pub(crate) const WALL: i64 = 1_000_000;

/// What a script acts on.
pub(crate) struct World {
    pub(crate) coordinator: Coordinator,
    pub(crate) tick: u64,
    pub(crate) topics: Arc<TopicTable>,
    pub(crate) log: Vec<GroupRecord>,
    /// Members that were given their id.
    known: BTreeSet<String>,
    asked: BTreeMap<RequestId, String>,
    next_request: u64,
    wake_at: Option<Tick>,
    hold: bool,
    held: Vec<(WriteId, String)>,
    pub(crate) out: String,
    /// Answers of the last event, for drivers that are no scripts.
    pub(crate) answers: Vec<(RequestId, Reply)>,
    pub(crate) config: GroupConfig,
}

pub(crate) fn now(tick: u64) -> Now {
    Now {
        tick: Tick(tick),
        wall: TimestampMs(WALL + tick as i64),
    }
}

pub(crate) fn topic_id(name: &str) -> TopicId {
    let mut id = [0; 16];
    id[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
    TopicId(id)
}

pub(crate) fn table(topics: &[(&str, i32)]) -> Arc<TopicTable> {
    Arc::new(TopicTable::new(topics.iter().map(|(name, partitions)| {
        let info = TopicInfo {
            id: topic_id(name),
            partitions: *partitions,
        };
        (Name::from(*name), info)
    })))
}

/// Plays a script and holds what comes out against it: lines at the margin are played, what each
/// led to stands below it, indented.
pub(crate) fn check(expected: Expect) {
    check_with(GroupConfig::default(), expected);
}

pub(crate) fn check_with(config: GroupConfig, expected: Expect) {
    let mut world = World::new(config);
    let lines: Vec<&str> = expected
        .data
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let margin = lines.iter().map(|line| indent(line)).min().unwrap_or(0);
    for line in lines.into_iter().filter(|line| indent(line) == margin) {
        let line = line.trim();
        writeln!(world.out, "{line}").unwrap();
        world.line(line);
    }
    expected.assert_eq(&world.out);
}

impl World {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let topics = table(&[("t", 4), ("u", 2)]);
        let mut effects = Vec::new();
        let coordinator = Coordinator::start(
            config.clone(),
            Groups::default(),
            topics.clone(),
            WriteId(1),
            now(0),
            &mut effects,
        );
        let mut world = Self {
            coordinator,
            tick: 0,
            topics,
            log: Vec::new(),
            known: BTreeSet::new(),
            asked: BTreeMap::new(),
            next_request: 1,
            wake_at: None,
            hold: false,
            held: Vec::new(),
            out: String::new(),
            answers: Vec::new(),
            config,
        };
        world.effects(effects);
        world
    }

    /// One event; everything that must hold is checked after it.
    pub(crate) fn event(&mut self, event: GroupEvent) {
        let mut effects = Vec::new();
        self.coordinator.step(now(self.tick), event, &mut effects);
        self.coordinator.check();
        self.effects(effects);
    }

    pub(crate) fn ask(&mut self, who: &str, request: Request) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, who.to_owned());
        self.answers.clear();
        self.event(GroupEvent::Request { id, request });
        id
    }

    fn effects(&mut self, effects: Vec<GroupEffect>) {
        let mut last = None;
        let mut resolve = Vec::new();
        for effect in effects {
            match effect {
                GroupEffect::Write { write, records } => {
                    assert!(last < Some(write), "writes ascend");
                    last = Some(write);
                    for record in &records {
                        let (key, value) = encode(record).unwrap();
                        let back = decode(&key, value.as_deref()).unwrap();
                        assert_eq!(*record, back, "I-GRP-14: bytes tell the record");
                    }
                    self.log.extend(records);
                }
                GroupEffect::Answer {
                    request,
                    after,
                    reply,
                } => {
                    let who = self
                        .asked
                        .remove(&request)
                        .expect("a request is answered once");
                    let text = reply_text(&reply, &self.topics);
                    if let Reply::Joined(joined) = &reply {
                        self.known.insert(joined.member_id.to_string());
                    }
                    self.answers.push((request, reply));
                    match after {
                        Some(write) if self.hold => {
                            self.held.push((write, format!("{who}: {text}")))
                        }
                        _ => writeln!(self.out, "  {who}: {text}").unwrap(),
                    }
                }
                GroupEffect::ResolvePattern { pattern } => resolve.push(pattern),
                GroupEffect::WakeAt(tick) => self.wake_at = Some(tick),
                GroupEffect::HistoryGrew { .. } => {}
                GroupEffect::SnapshotWritten { begin, end } => {
                    writeln!(self.out, "  snapshot in writes {begin:?} to {end:?}").unwrap();
                }
            }
        }
        for pattern in resolve {
            // The driver's part: here a pattern is a prefix.
            let topics = self
                .topics
                .names()
                .filter(|name| name.starts_with(&*pattern));
            let topics = topics.cloned().collect();
            self.event(GroupEvent::PatternResolved { pattern, topics });
        }
    }

    /// Moves time on, with a tick whenever one was asked for.
    pub(crate) fn until(&mut self, tick: u64) {
        while let Some(wake) = self.wake_at.filter(|wake| wake.0 <= tick) {
            self.wake_at = None;
            self.tick = self.tick.max(wake.0);
            self.event(GroupEvent::Tick);
        }
        self.tick = tick;
    }

    /// What the log tells is what is, by way of its bytes and by way of a snapshot.
    pub(crate) fn check_log(&self) {
        let mut replayed = Groups::default();
        for record in &self.log {
            let (key, value) = encode(record).unwrap();
            replayed.apply(&decode(&key, value.as_deref()).unwrap());
        }
        assert_eq!(
            replayed,
            *self.coordinator.groups(),
            "I-GRP-15: records are all there is"
        );
        let bytes = |groups: &Groups| {
            groups
                .snapshot()
                .map(|r| encode(&r).unwrap())
                .collect::<Vec<_>>()
        };
        let mut restored = Groups::default();
        for (key, value) in bytes(&replayed) {
            restored.apply(&decode(&key, value.as_deref()).unwrap());
        }
        assert_eq!(
            bytes(&restored),
            bytes(&replayed),
            "I-GRP-16: a snapshot tells everything"
        );
    }

    /// Another coordinator takes over from the log.
    pub(crate) fn restart(&mut self) {
        self.check_log();
        let mut groups = Groups::default();
        self.log.iter().for_each(|record| groups.apply(record));
        let mut effects = Vec::new();
        let next = self.coordinator.next_write();
        self.coordinator.clone().resign(&mut effects);
        self.effects(effects);
        let mut effects = Vec::new();
        self.coordinator = Coordinator::start(
            self.config.clone(),
            groups,
            self.topics.clone(),
            next,
            now(self.tick),
            &mut effects,
        );
        self.coordinator.check();
        self.wake_at = None;
        self.effects(effects);
    }

    pub(crate) fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = Line { words: &words };
        match words[0] {
            "at" => self.until(words[1].parse().unwrap()),
            "topics" => {
                let topics: Vec<(&str, i32)> = words[1..]
                    .iter()
                    .map(|word| word.split_once('=').unwrap())
                    .map(|(name, count)| (name, count.parse().unwrap()))
                    .collect();
                let gone: Vec<_> = self
                    .topics
                    .names()
                    .filter(|name| !topics.iter().any(|(other, _)| *other == &***name))
                    .map(|name| (name.clone(), topic_id(name)))
                    .collect();
                if !gone.is_empty() {
                    self.event(GroupEvent::TopicsDeleted(gone));
                }
                self.topics = table(&topics);
                self.event(GroupEvent::Topics(self.topics.clone()));
            }
            "hold" => self.hold = true,
            "release" => {
                self.hold = false;
                for (_, text) in std::mem::take(&mut self.held) {
                    writeln!(self.out, "  {text}").unwrap();
                }
            }
            "restart" => self.restart(),
            "snapshot" => self.event(GroupEvent::TakeSnapshot),
            "show" => print::show(self, words[1]),
            "history" => print::history(self, words[1]),
            word => {
                let who = words
                    .get(2)
                    .copied()
                    .unwrap_or(words.get(1).copied().unwrap_or("-"));
                let request = self.request(word, &line);
                self.ask(who, request);
            }
        }
    }

    fn request(&self, word: &str, line: &Line<'_>) -> Request {
        let group = line.words.get(1).copied().unwrap_or("");
        let group = Name::from(if group == "''" { "" } else { group });
        let name = line.words.get(2).copied().unwrap_or("");
        let member: Name = line.option("as").unwrap_or(name).into();
        let instance_id = line.option("instance").map(Name::from);
        let generation = line.number("gen").unwrap_or(-1) as i32;
        match word {
            "join" => Request::JoinGroup(self.join(group, name, line)),
            "sync" => Request::SyncGroup(SyncGroup {
                group,
                member_id: member,
                instance_id,
                generation,
                protocol_type: None,
                protocol: None,
                assignments: given(line.option("give").unwrap_or("")),
            }),
            "beat" => Request::Heartbeat(Heartbeat {
                group,
                member_id: member,
                instance_id,
                generation,
            }),
            "leave" => Request::LeaveGroup(LeaveGroup {
                group,
                members: line.words[2..]
                    .iter()
                    .filter(|word| **word != "by-hand")
                    .map(|word| {
                        let (id, instance) = word.split_once('/').unwrap_or((word, ""));
                        LeavingMember {
                            member_id: id.into(),
                            instance_id: Some(instance).filter(|i| !i.is_empty()).map(Name::from),
                            reason: None,
                        }
                    })
                    .collect(),
                by_hand: line.words.contains(&"by-hand"),
            }),
            "hb" => Request::ConsumerHeartbeat(heartbeat(group, member, line)),
            word => self.request_about_offsets(word, group, member, line),
        }
    }

    fn request_about_offsets(
        &self,
        word: &str,
        group: Name,
        member: Name,
        line: &Line<'_>,
    ) -> Request {
        let name = line.words.get(2).copied().unwrap_or("");
        match word {
            "commit" => Request::OffsetCommit(OffsetCommit {
                group,
                member_id: if name == "-" { "".into() } else { member },
                instance_id: line.option("instance").map(Name::from),
                generation: line.number("gen").unwrap_or(-1) as i32,
                retention_ms: -1,
                offsets: committed(line),
            }),
            "fetch" => Request::OffsetFetch(OffsetFetch {
                group,
                member_id: line.number("epoch").map(|_| member),
                member_epoch: line.number("epoch").unwrap_or(-1) as i32,
                partitions: line.option("of").map(|of| {
                    let (topic, partition) = of.split_once('-').unwrap();
                    let partition = PartitionIndex(partition.parse().unwrap());
                    vec![(topic.into(), topic_id(topic), partition)]
                }),
            }),
            "delete-offset" => {
                let (topic, partition) = name.split_once('-').unwrap();
                let partition = PartitionIndex(partition.parse().unwrap());
                Request::OffsetDelete(OffsetDelete {
                    group,
                    partitions: vec![(topic.into(), partition)],
                })
            }
            "list" => Request::ListGroups(ListGroups::default()),
            "describe" => Request::DescribeGroups(vec![group]),
            "describe-consumer" => Request::ConsumerDescribe(vec![group]),
            "delete" => Request::DeleteGroups(vec![group]),
            other => panic!("no such line: {other}"),
        }
    }

    fn join(&self, group: Name, name: &str, line: &Line<'_>) -> JoinGroup {
        let id = line.option("as").unwrap_or(name);
        let first = !self.known.contains(id) || line.words.contains(&"new");
        let topics: Vec<&str> = line.option("topics").unwrap_or("t").split(',').collect();
        let owned = line.option("owned").map(partitions_of).unwrap_or_default();
        let blob = subscription(&topics, &owned);
        let protocols = line.option("protocols").unwrap_or("range").split(',');
        JoinGroup {
            group,
            member_id: if first { "".into() } else { id.into() },
            new_member_id: id.into(),
            instance_id: line.option("instance").map(Name::from),
            client: client(line.option("client").unwrap_or(name)),
            session_timeout_ms: line.number("session").unwrap_or(10_000) as i32,
            rebalance_timeout_ms: line.number("rebalance").unwrap_or(60_000) as i32,
            protocol_type: line.option("type").unwrap_or("consumer").into(),
            protocols: protocols.map(|name| (name.into(), blob.clone())).collect(),
            require_known_member_id: line.words.contains(&"strict"),
            supports_skipping_assignment: !line.words.contains(&"old"),
            reason: line.option("reason").map(Name::from),
        }
    }
}

pub(crate) fn client(name: &str) -> Client {
    Client {
        id: name.into(),
        host: "/127.0.0.1".into(),
    }
}

fn heartbeat(group: Name, member: Name, line: &Line<'_>) -> ConsumerHeartbeat {
    let member_epoch = line.number("epoch").unwrap_or(0) as i32;
    let joins = member_epoch == 0;
    let topics = line.option("topics").map(|list| {
        list.split(',')
            .filter(|t| !t.is_empty())
            .map(Name::from)
            .collect()
    });
    let pattern = line.option("pattern").map(Name::from);
    let default = || joins.then(|| BTreeSet::from([Name::from("t")]));
    ConsumerHeartbeat {
        group,
        new_member_id: member.clone(),
        client: client(line.option("client").unwrap_or(&member)),
        member_id: member,
        member_epoch,
        instance_id: line.option("instance").map(Name::from),
        rack: None,
        rebalance_timeout_ms: line
            .number("rebalance")
            .unwrap_or(if joins { 30_000 } else { -1 }) as i32,
        topics: if pattern.is_some() {
            topics
        } else {
            topics.or_else(default)
        },
        pattern,
        assignor: line.option("assignor").map(Name::from),
        owned: match line.option("own") {
            Some(list) => Some(partitions_of(list)),
            None => joins.then(Assignment::new),
        },
    }
}

fn committed(line: &Line<'_>) -> Vec<CommitPartition> {
    let places = line.words[3..].iter().filter_map(|word| {
        let (place, rest) = word.split_once('=')?;
        let (topic, partition) = place.split_once('-')?;
        let (offset, metadata) = rest.split_once('/').unwrap_or((rest, ""));
        Some(CommitPartition {
            topic: topic.into(),
            topic_id: topic_id(topic),
            partition: PartitionIndex(partition.parse().unwrap()),
            offset: Offset(offset.parse().unwrap()),
            leader_epoch: LeaderEpoch(0),
            metadata: Some(metadata.into()),
        })
    });
    places.collect()
}

/// `t:0,1;u:0` as partitions; `none` as none.
pub(crate) fn partitions_of(list: &str) -> Assignment {
    let topics = list
        .split(';')
        .filter(|part| !part.is_empty() && *part != "none");
    topics
        .map(|part| {
            let (topic, partitions) = part.split_once(':').unwrap();
            let set = partitions
                .split(',')
                .map(|p| PartitionIndex(p.parse().unwrap()));
            (topic_id(topic), set.collect())
        })
        .collect()
}

/// `a=t:0,1|b=t:2` as what the leader sends.
fn given(list: &str) -> Vec<(Name, Bytes)> {
    list.split('|')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (member, partitions) = part.split_once('=').unwrap();
            let mut topics = BTreeMap::new();
            for part in partitions.split(';').filter(|part| *part != "none") {
                let (topic, list) = part.split_once(':').unwrap();
                let list: Vec<i32> = list.split(',').map(|p| p.parse().unwrap()).collect();
                topics.insert(topic.to_owned(), list);
            }
            (Name::from(member), assignment(&topics))
        })
        .collect()
}

/// A consumer's assignment, version 0.
pub(crate) fn assignment(topics: &BTreeMap<String, Vec<i32>>) -> Bytes {
    let mut out = 0i16.to_be_bytes().to_vec();
    put_partitions(&mut out, topics);
    out.extend((-1i32).to_be_bytes());
    out.into()
}

fn put_partitions(out: &mut Vec<u8>, topics: &BTreeMap<String, Vec<i32>>) {
    out.extend((topics.len() as i32).to_be_bytes());
    for (topic, partitions) in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
        out.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|p| out.extend(p.to_be_bytes()));
    }
}

/// A consumer's subscription, version 1.
pub(crate) fn subscription(topics: &[&str], owned: &Assignment) -> Bytes {
    let mut out = 1i16.to_be_bytes().to_vec();
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend((-1i32).to_be_bytes());
    let named = owned.iter().map(|(id, partitions)| {
        let name = String::from_utf8_lossy(&id.0)
            .trim_end_matches('\0')
            .to_owned();
        (name, partitions.iter().map(|p| p.0).collect())
    });
    put_partitions(&mut out, &named.collect());
    out.into()
}

struct Line<'a> {
    words: &'a [&'a str],
}

impl Line<'_> {
    fn option(&self, key: &str) -> Option<&str> {
        self.words
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.option(key).map(|value| value.parse().unwrap())
    }
}
