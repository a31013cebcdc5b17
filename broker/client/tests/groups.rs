//! Group consumers against a broker in the same process, by both protocols: shares, take-over,
//! offsets, and what administration says about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use weir_client::{
    ClassicAssignor, Client, ClientConfig, CommitOffset, ConsumeError, ErrorCode, GroupConsumer,
    GroupConsumerBuilder, GroupError, GroupProtocol, Offset, OffsetReset, RebalanceListener,
    Record, SeekTo, TopicPartition, TransportChoice,
    admin::{HistoryQuery, NewTopic},
    group::FinalCommit,
};
use weir_server::{Broker, Config, Settings, settings::Origin};

async fn start(folder: &std::path::Path, listen: &str) -> Broker {
    let mut settings = Settings::default();
    let data = folder.display().to_string();
    for (name, value) in [
        ("data", data.as_str()),
        ("listen", listen),
        ("shards", "2"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.consumer.heartbeat.interval.ms", "200"),
        ("group.consumer.assignment.interval.ms", "0"),
    ] {
        settings
            .lay(name, value, Origin::Flag(name.to_owned()))
            .expect("a setting");
    }
    let config = Config::from_settings(settings).expect("a configuration");
    Broker::start(config).await.expect("starts")
}

async fn connect(broker: &Broker) -> Client {
    connect_with(broker, |_| {}).await
}

async fn connect_with(broker: &Broker, change: impl FnOnce(&mut ClientConfig)) -> Client {
    let bound = broker.listeners().first().expect("a listener");
    let mut config = ClientConfig::new([bound.advertised.to_string()]);
    change(&mut config);
    Client::connect(config.with_transport(TransportChoice::Tcp))
        .await
        .expect("connects")
}

async fn with_client<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    with_client_of(|_| {}, test).await;
}

async fn with_client_of<F: Future<Output = ()>>(
    change: impl FnOnce(&mut ClientConfig),
    test: impl FnOnce(Client) -> F,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "plain://127.0.0.1:0").await;
    let client = connect_with(&broker, change).await;
    let done = tokio::time::timeout(Duration::from_secs(90), test(client)).await;
    done.expect("the test came to its end");
    broker.shutdown().await;
}

async fn write(client: &Client, topic: &str, partitions: i32, count: i32) {
    let producer = client.producer().build().expect("builds");
    for number in 0..count {
        let value = number.to_string();
        let record = Record::new(topic, value.as_bytes()).with_partition(number % partitions);
        producer.send(record).await.expect("taken");
    }
    producer.close().await.expect("flushed");
}

/// What members tell a test.
#[derive(Debug)]
enum Told {
    Has(&'static str, BTreeSet<TopicPartition>),
    Read(TopicPartition, Offset),
}

struct Ear {
    name: &'static str,
    has: BTreeSet<TopicPartition>,
    told: mpsc::UnboundedSender<Told>,
    /// Whether topics go away.
    may_lose: bool,
}

impl Ear {
    fn tell(&self) {
        let _ = self.told.send(Told::Has(self.name, self.has.clone()));
    }
}

impl RebalanceListener for Ear {
    fn assigned(&mut self, partitions: &BTreeSet<TopicPartition>) {
        assert!(self.has.is_disjoint(partitions), "nothing is given twice");
        self.has.extend(partitions.iter().cloned());
        self.tell();
    }

    fn revoked(&mut self, partitions: &BTreeSet<TopicPartition>, _: &mut FinalCommit) {
        assert!(self.has.is_superset(partitions), "only what it has goes");
        self.has.retain(|partition| !partitions.contains(partition));
        self.tell();
    }

    fn lost(&mut self, partitions: &BTreeSet<TopicPartition>) {
        assert!(self.may_lose, "nothing may be lost here");
        assert!(self.has.is_superset(partitions), "only what it has goes");
        self.has.retain(|partition| !partitions.contains(partition));
        self.tell();
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn run(
    builder: GroupConsumerBuilder,
    name: &'static str,
    told: &mpsc::UnboundedSender<Told>,
) -> Running {
    let ear = Ear {
        name,
        has: BTreeSet::new(),
        told: told.clone(),
        may_lose: name.ends_with('!'),
    };
    let mut consumer = builder.listener(ear).build().expect("builds");
    let (stop, mut stopped) = oneshot::channel();
    let told = told.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                record = consumer.next() => {
                    let record = record.expect("a record");
                    let partition = TopicPartition {
                        topic: record.topic,
                        partition: record.partition,
                    };
                    let _ = told.send(Told::Read(partition, record.offset));
                }
                _ = &mut stopped => break,
            }
        }
        consumer.close().await.expect("closed");
    });
    Running { stop, task }
}

impl Running {
    async fn close(self) {
        let _ = self.stop.send(());
        self.task.await.expect("ended well");
    }
}

#[derive(Default)]
struct Seen {
    shares: BTreeMap<&'static str, BTreeSet<TopicPartition>>,
    reads: BTreeMap<(TopicPartition, Offset), usize>,
}

impl Seen {
    /// Listens until it is as it should be.
    async fn until(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<Told>,
        is_so: impl Fn(&Self) -> bool,
    ) {
        while !is_so(self) {
            match inbox.recv().await.expect("members tell") {
                Told::Has(name, share) => {
                    self.shares.insert(name, share);
                }
                Told::Read(partition, offset) => {
                    *self.reads.entry((partition, offset)).or_default() += 1;
                }
            }
        }
    }

    fn sizes(&self) -> Vec<usize> {
        self.shares.values().map(BTreeSet::len).collect()
    }
}

async fn shares_and_take_over(
    client: Client,
    group: &str,
    set: impl Fn(GroupConsumerBuilder) -> GroupConsumerBuilder,
) {
    let admin = client.admin();
    admin
        .create_topic(NewTopic::new(group, 4))
        .await
        .expect("made");
    write(&client, group, 4, 400).await;
    let build = || {
        let builder = client.group(group).topics([group]);
        set(builder.offset_reset(OffsetReset::Earliest))
    };
    let (told, mut inbox) = mpsc::unbounded_channel();
    let mut seen = Seen::default();
    let first = run(build(), "a", &told);
    seen.until(&mut inbox, |seen| seen.reads.len() == 400).await;
    let second = run(build(), "b", &told);
    seen.until(&mut inbox, |seen| seen.sizes() == [2, 2]).await;
    write(&client, group, 4, 400).await;
    seen.until(&mut inbox, |seen| seen.reads.len() == 800).await;
    let described = admin.describe_group(group).await.expect("described");
    assert_eq!(described.members.len(), 2, "{described:?}");
    first.close().await;
    seen.until(&mut inbox, |seen| seen.sizes() == [0, 4]).await;
    write(&client, group, 4, 400).await;
    seen.until(&mut inbox, |seen| seen.reads.len() == 1200)
        .await;
    second.close().await;
    assert!(
        seen.reads.values().all(|times| *times == 1),
        "who leaves in order leaves nothing to be read twice"
    );
    let kept = admin.group_offsets(group, None).await.expect("offsets");
    let kept: Vec<_> = kept.values().map(|offset| offset.offset.0).collect();
    assert_eq!(kept, [300; 4]);
    let query = HistoryQuery {
        groups: vec![group.to_owned()],
        ..HistoryQuery::default()
    };
    let history = admin.group_history(&query).await.expect("a history");
    assert!(history.changes.len() >= 3, "{history:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_consumer_protocol_share_and_take_over() {
    with_client(|client| shares_and_take_over(client, "modern", |builder| builder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cooperative_members_share_and_take_over() {
    with_client(|client| {
        shares_and_take_over(client, "sticky", |builder| {
            let quick = Duration::from_millis(200);
            builder
                .protocol(GroupProtocol::Classic)
                .heartbeat_interval(quick)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eager_members_share_and_take_over() {
    with_client(|client| {
        shares_and_take_over(client, "eager", |builder| {
            let builder = builder.protocol(GroupProtocol::Classic);
            builder
                .classic_assignor(ClassicAssignor::Range)
                .heartbeat_interval(Duration::from_millis(200))
        })
    })
    .await;
}

async fn read(consumer: &mut GroupConsumer, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    for _ in 0..count {
        offsets.push(consumer.next().await.expect("a record").offset.0);
    }
    offsets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_by_hand_is_where_the_next_begins() {
    with_client(|client| async move {
        let admin = client.admin();
        admin
            .create_topic(NewTopic::new("hand", 1))
            .await
            .expect("made");
        write(&client, "hand", 1, 20).await;
        let only = TopicPartition::new("hand", 0);
        let build = || {
            let builder = client.group("by-hand").pattern("ha.*").manual_commit();
            builder.offset_reset(OffsetReset::Earliest)
        };
        let mut consumer = build().build().expect("builds");
        assert_eq!(read(&mut consumer, 10).await, (0..10).collect::<Vec<_>>());
        let offset = CommitOffset::from(Offset(4)).with_metadata("half way");
        consumer
            .commit_offsets([(only.clone(), offset.clone())])
            .await
            .expect("committed");
        let kept = consumer.committed([only.clone()]).await.expect("kept");
        assert_eq!(kept[&only], offset);
        let refused = admin
            .alter_group_offsets("by-hand", BTreeMap::from([(only.clone(), offset)]))
            .await
            .expect("answered");
        let code = refused[&only].as_ref().expect_err("it lives").code();
        assert_eq!(code, Some(ErrorCode::UnknownMemberId));
        consumer.close().await.expect("closed");

        let mut consumer = build().build().expect("builds");
        assert_eq!(read(&mut consumer, 3).await, [4, 5, 6]);
        consumer.commit().await.expect("committed");
        assert_eq!(consumer.position(&only), Some(Offset(7)));
        consumer.close().await.expect("closed");
        let kept = admin.group_offsets("by-hand", None).await.expect("kept");
        assert_eq!(kept[&only].offset, Offset(7));

        let moved = BTreeMap::from([(only.clone(), CommitOffset::from(Offset(15)))]);
        let moved = admin.alter_group_offsets("by-hand", moved).await;
        assert!(moved.expect("answered")[&only].is_ok());
        let mut consumer = build().build().expect("builds");
        assert_eq!(read(&mut consumer, 1).await, [15]);
        consumer.close().await.expect("closed");

        let all = BTreeSet::from([only.clone()]);
        let gone = admin.delete_group_offsets("by-hand", &all).await;
        assert!(gone.expect("answered")[&only].is_ok());
        let listed = admin.list_groups().await.expect("listed");
        assert!(
            listed.iter().any(|group| group.group == "by-hand"),
            "{listed:?}"
        );
        assert!(admin.delete_groups(["by-hand"]).await["by-hand"].is_ok());
        let none = admin.describe_group("by-hand").await;
        let code = none.expect_err("it is gone").code();
        assert_eq!(code, Some(ErrorCode::GroupIdNotFound));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_offset_and_a_policy_the_program_decides() {
    with_client(|client| async move {
        let admin = client.admin();
        admin
            .create_topic(NewTopic::new("none", 1))
            .await
            .expect("made");
        write(&client, "none", 1, 5).await;
        let builder = client.group("undecided").topics(["none"]);
        let mut consumer = builder
            .offset_reset(OffsetReset::Error)
            .build()
            .expect("builds");
        let error = consumer.next().await.expect_err("nobody knows where");
        assert!(
            matches!(error, GroupError::Consume(ConsumeError::NoOffset { .. })),
            "{error}"
        );
        let only = TopicPartition::new("none", 0);
        let offset = SeekTo::Offset(Offset(3));
        consumer.seek(&only, offset).await.expect("there");
        assert_eq!(read(&mut consumer, 2).await, [3, 4]);
        consumer.close().await.expect("closed");
        let kept = admin.group_offsets("undecided", None).await.expect("kept");
        assert_eq!(kept[&only].offset, Offset(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_poll_loses_its_partitions_and_gets_them_again() {
    with_client(|client| async move {
        let admin = client.admin();
        admin
            .create_topic(NewTopic::new("slow", 1))
            .await
            .expect("made");
        write(&client, "slow", 1, 5).await;
        for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
            let group = format!("slow-{protocol:?}");
            let build = || {
                let builder = client.group(&group).topics(["slow"]).protocol(protocol);
                let builder = builder.offset_reset(OffsetReset::Earliest);
                builder.heartbeat_interval(Duration::from_millis(200))
            };
            let limit = Duration::from_secs(1);
            let mut slow = build().max_poll_interval(limit).build().expect("builds");
            assert_eq!(read(&mut slow, 2).await, [0, 1]);
            // Another one gets the partition only because the first does not poll.
            let mut quick = build().build().expect("builds");
            assert_eq!(read(&mut quick, 2).await, [0, 1]);
            quick.close().await.expect("closed");
            assert_eq!(read(&mut slow, 3).await, [2, 3, 4]);
            slow.close().await.expect("closed");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_comes_back_and_no_other_takes_its_name() {
    with_client(|client| async move {
        let admin = client.admin();
        admin
            .create_topic(NewTopic::new("named", 2))
            .await
            .expect("made");
        write(&client, "named", 2, 10).await;
        let build = || {
            let builder = client.group("static").topics(["named"]).instance_id("one");
            builder.offset_reset(OffsetReset::Earliest)
        };
        let mut first = build().build().expect("builds");
        read(&mut first, 10).await;
        let mut other = build().build().expect("builds");
        let error = other.next().await.expect_err("the name is taken");
        assert!(
            matches!(&error, GroupError::Refused { error, .. }
                if error.code == ErrorCode::UnreleasedInstanceId),
            "{error}"
        );
        assert!(other.next().await.is_err(), "it stays so");
        other.close().await.expect("there is nothing to leave");
        first.close().await.expect("closed");
        let members = admin.describe_group("static").await.expect("described");
        assert_eq!(members.members.len(), 1, "it is waited for");
        write(&client, "named", 2, 4).await;
        let mut again = build().build().expect("builds");
        read(&mut again, 4).await;
        again.close().await.expect("closed");
    })
    .await;
}

/// Tells when the coordinator of a member goes and comes.
struct Watchman(
    GroupProtocol,
    mpsc::UnboundedSender<(GroupProtocol, &'static str)>,
);

impl RebalanceListener for Watchman {
    fn coordinator_away(&mut self, reason: &str) {
        assert!(!reason.is_empty());
        self.1.send((self.0, "away")).expect("the test listens");
    }

    fn coordinator_back(&mut self, after: Duration) {
        assert!(after > Duration::ZERO);
        self.1.send((self.0, "back")).expect("the test listens");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_restarts_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "plain://127.0.0.1:0").await;
    let client = connect(&broker).await;
    let listen = format!("plain://{}", broker.listeners()[0].advertised);
    client
        .admin()
        .create_topic(NewTopic::new("back", 1))
        .await
        .expect("made");
    write(&client, "back", 1, 5).await;
    let mut members = Vec::new();
    let (told, mut heard) = mpsc::unbounded_channel();
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        let group = format!("back-{protocol:?}");
        let builder = client.group(&group).topics(["back"]).protocol(protocol);
        let builder = builder.offset_reset(OffsetReset::Earliest);
        let builder = builder.heartbeat_interval(Duration::from_millis(200));
        let builder = builder.listener(Watchman(protocol, told.clone()));
        let mut member = builder.build().expect("builds");
        assert_eq!(read(&mut member, 5).await, [0, 1, 2, 3, 4]);
        member.commit().await.expect("committed");
        members.push(member);
    }
    heard.try_recv().expect_err("nobody was away");
    broker.shutdown().await;
    let protocols = [GroupProtocol::Consumer, GroupProtocol::Classic];
    for (member, protocol) in members.iter_mut().zip(protocols) {
        tokio::select! {
            record = member.next() => panic!("nobody has written: {record:?}"),
            word = heard.recv() => assert_eq!(word, Some((protocol, "away"))),
        }
    }
    let broker = start(folder.path(), &listen).await;
    let rest = async {
        for (member, protocol) in members.iter_mut().zip(protocols) {
            tokio::select! {
                record = member.next() => panic!("nobody has written: {record:?}"),
                word = heard.recv() => assert_eq!(word, Some((protocol, "back"))),
            }
        }
        write(&client, "back", 1, 3).await;
        for member in &mut members {
            assert_eq!(read(member, 3).await, [5, 6, 7]);
            member.commit().await.expect("committed anew");
        }
        for member in members {
            member.close().await.expect("closed");
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), rest).await;
    done.expect("members go on");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_takes_in_every_topic_that_matches_and_no_other() {
    with_client(|client| async move {
        for topic in ["eu-orders", "us-orders", "eu-orders-old", "__orders"] {
            let new = NewTopic::new(topic, 2);
            client.admin().create_topic(new).await.expect("made");
            write(&client, topic, 2, 4).await;
        }
        for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
            let group = format!("pattern-{protocol:?}");
            // Of the names that begin so, only the broker's own match nothing.
            let builder = client.group(&group).pattern("((eu|us)-|__)orders|__c.*");
            let builder = builder.protocol(protocol);
            let mut consumer = builder
                .offset_reset(OffsetReset::Earliest)
                .build()
                .expect("builds");
            read(&mut consumer, 12).await;
            let has = consumer.assignment();
            let has: BTreeSet<_> = has.iter().map(ToString::to_string).collect();
            let all = ["eu-orders", "us-orders", "__orders"];
            let all = all
                .iter()
                .flat_map(|topic| [0, 1].map(|p| format!("{topic}-{p}")));
            assert_eq!(has, all.collect::<BTreeSet<_>>());
            consumer.close().await.expect("closed");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classic_member_finds_new_topics_that_match_its_pattern() {
    let change = |config: &mut ClientConfig| config.metadata_max_age = Duration::from_millis(100);
    with_client_of(change, |client| async move {
        let admin = client.admin();
        let new = |topic| admin.create_topic(NewTopic::new(topic, 1));
        new("eu-orders").await.expect("made");
        write(&client, "eu-orders", 1, 2).await;
        let builder = client.group("late").pattern("(eu|us)-orders");
        let mut consumer = builder
            .protocol(GroupProtocol::Classic)
            .offset_reset(OffsetReset::Earliest)
            .build()
            .expect("builds");
        read(&mut consumer, 2).await;
        new("us-orders").await.expect("made");
        write(&client, "us-orders", 1, 3).await;
        assert_eq!(read(&mut consumer, 3).await, [0, 1, 2]);
        assert_eq!(consumer.assignment().len(), 2);
        consumer.close().await.expect("closed");
    })
    .await;
}

/// Members of a topic that is deleted and made again with other records, and with as many
/// partitions as `counts` says.
async fn follow_a_topic_that_is_made_again(
    broker: &Broker,
    client: Client,
    group: &str,
    counts: &[i32],
    set: impl Fn(GroupConsumerBuilder) -> GroupConsumerBuilder,
) {
    let admin = client.admin();
    let build = || set(client.group(group)).offset_reset(OffsetReset::Earliest);
    let (told, mut inbox) = mpsc::unbounded_channel();
    let members = [run(build(), "a!", &told), run(build(), "b!", &told)];
    let mut seen = Seen::default();
    for (round, count) in counts.iter().enumerate() {
        if round > 0 {
            admin.delete_topic(group).await.expect("deleted");
        }
        if round > 1 {
            seen.until(&mut inbox, |seen| seen.sizes() == [0, 0]).await;
        }
        let new = NewTopic::new(group, *count);
        admin.create_topic(new).await.expect("made");
        seen.reads.clear();
        // One that has not heard of the topic before.
        write(&connect(broker).await, group, *count, 20).await;
        let all: BTreeSet<_> = (0..*count).map(|p| TopicPartition::new(group, p)).collect();
        let is_settled = |seen: &Seen| {
            let shares = seen.shares.values().flatten().cloned();
            let shared: usize = seen.sizes().iter().sum();
            shares.collect::<BTreeSet<_>>() == all && shared == all.len()
        };
        seen.until(&mut inbox, |seen| {
            seen.reads.len() == 20 && is_settled(seen)
        })
        .await;
    }
    for member in members {
        member.close().await;
    }
}

async fn of_topics_made_again(
    name: &'static str,
    metadata_max_age: Option<Duration>,
    set: impl Fn(GroupConsumerBuilder) -> GroupConsumerBuilder,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "plain://127.0.0.1:0").await;
    let change = |config: &mut ClientConfig| {
        config.allow_auto_create_topics = false;
        // Five minutes otherwise, and nobody waits so long for a topic by its name.
        config.metadata_max_age = metadata_max_age.unwrap_or(config.metadata_max_age);
    };
    let client = connect_with(&broker, change).await;
    let quick = Duration::from_millis(200);
    let set = |builder: GroupConsumerBuilder| set(builder.heartbeat_interval(quick));
    let test = follow_a_topic_that_is_made_again(&broker, client, name, &[4, 2, 2, 4], set);
    let done = tokio::time::timeout(Duration::from_secs(60), test).await;
    done.expect("the test came to its end");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cooperative_members_follow_a_topic_that_is_made_again() {
    of_topics_made_again("again", None, |builder| {
        builder.topics(["again"]).protocol(GroupProtocol::Classic)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eager_members_follow_a_topic_that_is_made_again() {
    of_topics_made_again("eagain", None, |builder| {
        let builder = builder.topics(["eagain"]).protocol(GroupProtocol::Classic);
        builder.classic_assignor(ClassicAssignor::Range)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_a_pattern_follow_a_topic_that_is_made_again() {
    of_topics_made_again("pagain", Some(Duration::from_secs(1)), |builder| {
        builder.pattern("pag.*").protocol(GroupProtocol::Classic)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_consumer_protocol_follow_a_topic_that_is_made_again() {
    of_topics_made_again("cagain", None, |builder| builder.topics(["cagain"])).await;
}

/// Tells of offsets that were dropped.
struct Gleaner(mpsc::UnboundedSender<BTreeSet<TopicPartition>>);

impl RebalanceListener for Gleaner {
    fn offsets_dropped(&mut self, partitions: &BTreeSet<TopicPartition>, reason: &str) {
        assert!(reason.contains("UNKNOWN_TOPIC"), "{reason}");
        self.0.send(partitions.clone()).expect("the test listens");
    }
}

/// A member that reads on where one of its topics is deleted before what it read there was
/// committed.
async fn outlives_a_topic(
    name: &str,
    set: impl FnOnce(GroupConsumerBuilder) -> GroupConsumerBuilder,
) {
    let change = |config: &mut ClientConfig| config.allow_auto_create_topics = false;
    with_client_of(change, |client| async move {
        let admin = client.admin();
        let (mini, rest) = (format!("{name}-mini"), format!("{name}-rest"));
        for topic in [&mini, &rest] {
            let new = NewTopic::new(topic, 1);
            admin.create_topic(new).await.expect("made");
        }
        let (told, mut dropped) = mpsc::unbounded_channel();
        let builder = client.group(name).offset_reset(OffsetReset::Earliest);
        let builder = set(builder).heartbeat_interval(Duration::from_millis(200));
        // Not before the topic is deleted.
        let builder = builder.auto_commit(Duration::from_secs(60));
        let mut member = builder.listener(Gleaner(told)).build().expect("builds");
        write(&client, &mini, 1, 1).await;
        assert_eq!(read(&mut member, 1).await, [0]);
        admin.delete_topic(mini.as_str()).await.expect("deleted");
        let gone = TopicPartition::new(mini.as_str(), 0);
        // What the program itself commits it hears of.
        let by_hand = member.commit_offsets([(gone.clone(), Offset(1).into())]);
        let error = tokio::select! {
            done = by_hand => done.expect_err("there is no such topic"),
            record = member.next() => panic!("there is no record: {record:?}"),
        };
        assert!(
            matches!(&error, GroupError::Commit { error, .. } if matches!(
                error.code,
                ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
            )),
            "{error}"
        );
        let partitions = tokio::select! {
            partitions = dropped.recv() => partitions.expect("the member lives"),
            record = member.next() => panic!("there is no record: {record:?}"),
        };
        assert_eq!(partitions, BTreeSet::from([gone]));
        write(&client, &rest, 1, 2).await;
        assert_eq!(read(&mut member, 2).await, [0, 1]);
        member.close().await.expect("closed");
        let kept = admin.group_offsets(name, None).await.expect("kept");
        assert_eq!(
            kept[&TopicPartition::new(rest.as_str(), 0)].offset,
            Offset(2)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_consumer_protocol_outlives_a_topic() {
    outlives_a_topic("cout", |builder| builder.topics(["cout-mini", "cout-rest"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classic_member_outlives_a_topic() {
    outlives_a_topic("out", |builder| {
        let builder = builder.topics(["out-mini", "out-rest"]);
        builder.protocol(GroupProtocol::Classic)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_pattern_outlives_a_topic() {
    outlives_a_topic("pout", |builder| {
        builder.pattern("pout-.*").protocol(GroupProtocol::Classic)
    })
    .await;
}
