//! Metadata scripts: lines of commands in, lines of outcomes out.

use expect_test::{Expect, expect};
use std::fmt::Write;
use weir_meta::{
    Command, Image, Listener, Reply,
    command::{
        AlterConfigs, AlterResource, ConfigChanges, ConfigEdit, ConfigOperation, ConfigResource,
        CreatePartitions, CreateTopics, NewPartitions, NewTopic, Outcome, RegisterBroker, TopicRef,
    },
    decide,
};
use weir_types::{BrokerId, Now, PartitionIndex, Tick, TimestampMs, TopicId};

/// Runs commands, one a line, each applied before the next is decided:
/// `broker ID`, `create[?] NAME partitions=N factor=N assign=0:1+2,1:2+1 KEY=VALUE …`,
/// `delete NAME`, `delete-id N`, `grow[?] NAME COUNT`, `set|full|append|subtract|unset RESOURCE
/// KEY=VALUE …`, `ids`, `show`. A `?` only validates.
fn check(script: &str, expected: Expect) {
    let mut image = Image::default();
    let mut out = String::new();
    let mut made = 0u8;
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if line == "show" {
            show(&image, &mut out);
            continue;
        }
        let command = parse(line, &mut made);
        let now = Now {
            tick: Tick(0),
            wall: TimestampMs(1000),
        };
        match decide(&image, now, &command) {
            Err(error) => writeln!(out, "{line}: {error} [{}]", error.code().name()).unwrap(),
            Ok(decision) => {
                let count = decision.records.len();
                writeln!(out, "{line}: {count} records{}", outcomes(&decision.reply)).unwrap();
                image.apply_entry(image.applied() + 1, &decision.records);
                image.check();
            }
        }
    }
    expected.assert_eq(&out);
}

fn outcomes(reply: &Reply) -> String {
    let one = |name: &str, outcome: &Outcome| match &outcome.message {
        Some(message) => format!("\n    {name}: {} {message}", outcome.error.name()),
        None => format!("\n    {name}: ok"),
    };
    match reply {
        Reply::Registered => String::new(),
        Reply::Created(topics) => topics.iter().map(|t| one(&t.name, &t.outcome)).collect(),
        Reply::Deleted(topics) => {
            let name = |t: &weir_meta::command::DeletedTopic| t.name.clone().unwrap_or_default();
            topics.iter().map(|t| one(&name(t), &t.outcome)).collect()
        }
        Reply::Partitions(topics) => topics.iter().map(|t| one(&t.name, &t.outcome)).collect(),
        Reply::Altered(all) => all.iter().map(|r| one("altered", &r.outcome)).collect(),
        Reply::ProducerIds { first, count } => format!("\n    from {first}, {count} of them"),
        other => format!("\n    {other:?}"),
    }
}

fn show(image: &Image, out: &mut String) {
    for topic in image.topics() {
        writeln!(out, "  {} {:?}", topic.name, topic.overrides).unwrap();
        for (index, p) in topic.partitions.iter().enumerate() {
            let leader = p.leader.map_or(-1, |b| b.0);
            let replicas: Vec<i32> = p.replicas.iter().map(|b| b.0).collect();
            let epoch = p.leader_epoch;
            writeln!(
                out,
                "    {index}: leader {leader} epoch {epoch} replicas {replicas:?}"
            )
            .unwrap();
        }
    }
}

fn pairs(words: &[&str]) -> Vec<(String, Option<String>)> {
    let pair = |word: &&str| match word.split_once('=') {
        Some((key, value)) => (key.to_string(), Some(value.to_string())),
        None => (word.to_string(), None),
    };
    words.iter().map(pair).collect()
}

fn parse(line: &str, made: &mut u8) -> Command {
    let words: Vec<&str> = line.split_whitespace().collect();
    let validate_only = words[0].ends_with('?');
    match words[0].trim_end_matches('?') {
        "broker" => Command::RegisterBroker(RegisterBroker {
            id: BrokerId(words[1].parse().unwrap()),
            new_cluster_id: "cluster".into(),
            listeners: vec![Listener {
                name: "quic".into(),
                host: "localhost".into(),
                port: 9092,
            }],
            rack: None,
        }),
        "create" => {
            let topics = line[words[0].len()..]
                .split('/')
                .map(|t| new_topic(t, made));
            Command::CreateTopics(CreateTopics {
                topics: topics.collect(),
                validate_only,
                num_partitions_default: 2,
                replication_factor_default: 1,
            })
        }
        "delete" => {
            let names = words[1..]
                .iter()
                .map(|name| TopicRef::Name(name.to_string()));
            Command::DeleteTopics(names.collect())
        }
        "delete-id" => {
            let id = TopicId([words[1].parse().unwrap(); 16]);
            Command::DeleteTopics(vec![TopicRef::Id(id)])
        }
        "grow" => Command::CreatePartitions(CreatePartitions {
            topics: vec![NewPartitions {
                name: words[1].to_string(),
                count: words[2].parse().unwrap(),
                assignments: None,
            }],
            validate_only,
        }),
        "ids" => Command::AllocateProducerIds,
        verb => alter(verb, &words[1..], validate_only),
    }
}

fn new_topic(text: &str, made: &mut u8) -> NewTopic {
    let words: Vec<&str> = text.split_whitespace().collect();
    *made += 1;
    let mut topic = NewTopic {
        id: TopicId([*made; 16]),
        name: words[0].to_string(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    for (key, value) in pairs(&words[1..]) {
        match (key.as_str(), value) {
            ("partitions", Some(value)) => topic.num_partitions = value.parse().unwrap(),
            ("factor", Some(value)) => topic.replication_factor = value.parse().unwrap(),
            ("assign", Some(value)) => {
                let one = |part: &str| {
                    let (index, brokers) = part.split_once(':').unwrap();
                    let brokers = brokers.split('+').map(|b| BrokerId(b.parse().unwrap()));
                    (PartitionIndex(index.parse().unwrap()), brokers.collect())
                };
                topic.assignments = value.split(',').map(one).collect();
            }
            (_, value) => topic.configs.push((key, value)),
        }
    }
    topic
}

fn alter(verb: &str, words: &[&str], validate_only: bool) -> Command {
    let resource = match words[0].split_once(':') {
        Some(("broker", name)) => ConfigResource::Broker(name.to_string()),
        Some((_, name)) => ConfigResource::Other(8, name.to_string()),
        None => ConfigResource::Topic(words[0].to_string()),
    };
    let operation = match verb {
        "unset" => ConfigOperation::Delete,
        "append" => ConfigOperation::Append,
        "subtract" => ConfigOperation::Subtract,
        _ => ConfigOperation::Set,
    };
    let changes = if verb == "full" {
        ConfigChanges::Replace(pairs(&words[1..]))
    } else {
        let edit = |(name, value)| ConfigEdit {
            name,
            operation,
            value,
        };
        ConfigChanges::Edit(pairs(&words[1..]).into_iter().map(edit).collect())
    };
    Command::AlterConfigs(AlterConfigs {
        resources: vec![AlterResource { resource, changes }],
        validate_only,
    })
}

#[test]
fn topics_are_made_with_defaults_and_spread() {
    check(
        "broker 1
         broker 2
         create orders partitions=3 factor=2
         create clicks
         create? later
         show",
        expect![[r#"
            broker 1: 2 records
            broker 2: 1 records
            create orders partitions=3 factor=2: 4 records
                orders: ok
            create clicks: 3 records
                clicks: ok
            create? later: 0 records
                later: ok
              clicks {}
                0: leader 1 epoch 0 replicas [1]
                1: leader 2 epoch 0 replicas [2]
              orders {}
                0: leader 2 epoch 0 replicas [2, 1]
                1: leader 1 epoch 0 replicas [1, 2]
                2: leader 2 epoch 0 replicas [2, 1]
        "#]],
    );
}

#[test]
fn names_follow_kafkas_rules() {
    check(
        "broker 1
         create a.b
         create a_b
         create a.b
         create ..
         create no$dollar
         create __consumer_offsets
         create __mine
         create twice / twice / once",
        expect![[r#"
            broker 1: 2 records
            create a.b: 3 records
                a.b: ok
            create a_b: 0 records
                a_b: INVALID_TOPIC_EXCEPTION topic 'a_b' collides with topic 'a.b': names may not differ only in '.' and '_'
            create a.b: 0 records
                a.b: TOPIC_ALREADY_EXISTS topic 'a.b' exists already
            create ..: 0 records
                ..: INVALID_TOPIC_EXCEPTION a topic cannot be named '..'
            create no$dollar: 0 records
                no$dollar: INVALID_TOPIC_EXCEPTION topic name 'no$dollar' holds '$'; only letters, digits, '.', '_' and '-' are allowed
            create __consumer_offsets: 0 records
                __consumer_offsets: INVALID_TOPIC_EXCEPTION '__consumer_offsets' is an internal topic, which only the broker makes
            create __mine: 3 records
                __mine: ok
            create twice / twice / once: 3 records
                twice: INVALID_REQUEST topic 'twice' is named more than once
                twice: INVALID_REQUEST topic 'twice' is named more than once
                once: ok
        "#]],
    );
}

#[test]
fn counts_and_assignments_are_checked() {
    check(
        "broker 1
         broker 2
         create zero partitions=0
         create much partitions=10001
         create? most partitions=10000
         create wide factor=3
         create none factor=0
         create hand assign=0:1+2,1:2+1
         create both partitions=2 assign=0:1
         create gap assign=0:1,2:1
         create stranger assign=0:9
         create same assign=0:1+1
         create uneven assign=0:1,1:1+2
         show",
        expect![[r#"
            broker 1: 2 records
            broker 2: 1 records
            create zero partitions=0: 0 records
                zero: INVALID_PARTITIONS a topic has from 1 to 10000 partitions, not 0
            create much partitions=10001: 0 records
                much: INVALID_PARTITIONS a topic has from 1 to 10000 partitions, not 10001
            create? most partitions=10000: 0 records
                most: ok
            create wide factor=3: 0 records
                wide: INVALID_REPLICATION_FACTOR the replication factor is 3, but there are 2 brokers
            create none factor=0: 0 records
                none: INVALID_REPLICATION_FACTOR the replication factor must be from 1 to 32, not 0
            create hand assign=0:1+2,1:2+1: 3 records
                hand: ok
            create both partitions=2 assign=0:1: 0 records
                both: INVALID_REQUEST with a replica assignment the number of partitions and the replication factor must be -1
            create gap assign=0:1,2:1: 0 records
                gap: INVALID_REPLICA_ASSIGNMENT assigned partitions must be numbered 0, 1, 2 … without gaps
            create stranger assign=0:9: 0 records
                stranger: INVALID_REPLICA_ASSIGNMENT partition 0 names broker 9, which is not there
            create same assign=0:1+1: 0 records
                same: INVALID_REPLICA_ASSIGNMENT partition 0 names broker 1 twice
            create uneven assign=0:1,1:1+2: 0 records
                uneven: INVALID_REPLICA_ASSIGNMENT all partitions must have the same number of replicas
              hand {}
                0: leader 1 epoch 0 replicas [1, 2]
                1: leader 2 epoch 0 replicas [2, 1]
        "#]],
    );
}

#[test]
fn settings_are_checked_and_typos_named() {
    check(
        "broker 1
         create bad retention.mss=5
         create bad retention.ms=soon
         create bad retention.ms=-2
         create bad cleanup.policy=compact
         create bad cleanup.policy=compact,delete
         create bad cleanup.policy=shred
         create bad compression.type=zstd
         create bad retention.ms
         create good retention.ms=5 segment.bytes=100000 compression.type=producer
         show",
        expect![[r#"
            broker 1: 2 records
            create bad retention.mss=5: 0 records
                bad: INVALID_CONFIG there is no setting 'retention.mss'; did you mean 'retention.ms'?
            create bad retention.ms=soon: 0 records
                bad: INVALID_CONFIG retention.ms must be a whole number, not 'soon'
            create bad retention.ms=-2: 0 records
                bad: INVALID_CONFIG retention.ms must be at least -1, not -2
            create bad cleanup.policy=compact: 0 records
                bad: INVALID_CONFIG cleanup.policy=compact is not possible: log compaction is not there yet; use 'delete'
            create bad cleanup.policy=compact,delete: 0 records
                bad: INVALID_CONFIG cleanup.policy=compact,delete is not possible: log compaction is not there yet; use 'delete'
            create bad cleanup.policy=shred: 0 records
                bad: INVALID_CONFIG cleanup.policy must be delete, not 'shred'
            create bad compression.type=zstd: 0 records
                bad: INVALID_CONFIG compression.type=zstd is not possible: the broker does not recompress batches yet; use 'producer', which keeps each batch as its producer compressed it
            create bad retention.ms: 0 records
                bad: INVALID_CONFIG setting 'retention.ms' has no value
            create good retention.ms=5 segment.bytes=100000 compression.type=producer: 6 records
                good: ok
              good {"compression.type": "producer", "retention.ms": "5", "segment.bytes": "100000"}
                0: leader 1 epoch 0 replicas [1]
                1: leader 1 epoch 0 replicas [1]
        "#]],
    );
}

#[test]
fn settings_change_one_by_one_or_all_at_once() {
    check(
        "broker 1
         create t retention.ms=5
         set t retention.bytes=10 max.message.bytes=100
         set t retention.bytes=10
         set? t retention.bytes=11
         unset t retention.ms
         append t cleanup.policy=delete
         append t cleanup.policy=compact
         append t retention.ms=5
         set t retention.ms=1 retention.ms=2
         set u retention.ms=1
         full t retention.ms=7
         show
         set broker: log.retention.ms=100
         set broker: retention.ms=100
         set broker: log.retentoin.ms=100
         set broker:1 log.retention.ms=100
         set logger:x a=b",
        expect![[r#"
            broker 1: 2 records
            create t retention.ms=5: 4 records
                t: ok
            set t retention.bytes=10 max.message.bytes=100: 2 records
                altered: ok
            set t retention.bytes=10: 0 records
                altered: ok
            set? t retention.bytes=11: 0 records
                altered: ok
            unset t retention.ms: 1 records
                altered: ok
            append t cleanup.policy=delete: 1 records
                altered: ok
            append t cleanup.policy=compact: 0 records
                altered: INVALID_CONFIG cleanup.policy=delete,compact is not possible: log compaction is not there yet; use 'delete'
            append t retention.ms=5: 0 records
                altered: INVALID_CONFIG setting 'retention.ms' is not a list; it can only be set or deleted
            set t retention.ms=1 retention.ms=2: 0 records
                altered: INVALID_REQUEST setting 'retention.ms' is named more than once
            set u retention.ms=1: 0 records
                altered: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'u'
            full t retention.ms=7: 4 records
                altered: ok
              t {"retention.ms": "7"}
                0: leader 1 epoch 0 replicas [1]
                1: leader 1 epoch 0 replicas [1]
            set broker: log.retention.ms=100: 1 records
                altered: ok
            set broker: retention.ms=100: 0 records
                altered: INVALID_CONFIG there is no setting 'retention.ms'; did you mean 'log.retention.ms'? (only the defaults of topic settings can be changed while the broker runs)
            set broker: log.retentoin.ms=100: 0 records
                altered: INVALID_CONFIG there is no setting 'log.retentoin.ms'; did you mean 'log.retention.ms'? (only the defaults of topic settings can be changed while the broker runs)
            set broker:1 log.retention.ms=100: 0 records
                altered: INVALID_REQUEST broker 1's own settings change in its configuration file, with a restart; the defaults of all brokers can be changed while they run
            set logger:x a=b: 0 records
                altered: INVALID_REQUEST resources of type 8 have no settings here
        "#]],
    );
}

#[test]
fn topics_go_by_name_and_by_id() {
    check(
        "broker 1
         create a partitions=1
         create b partitions=1
         delete a a missing
         delete-id 2
         delete-id 2
         show",
        expect![[r#"
            broker 1: 2 records
            create a partitions=1: 2 records
                a: ok
            create b partitions=1: 2 records
                b: ok
            delete a a missing: 1 records
                a: ok
                a: INVALID_REQUEST the topic is named more than once
                missing: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'missing'
            delete-id 2: 1 records
                b: ok
            delete-id 2: 0 records
                : UNKNOWN_TOPIC_ID there is no topic of id AgICAgICAgICAgICAgICAg
        "#]],
    );
}

#[test]
fn partitions_only_grow() {
    check(
        "broker 1
         create t partitions=2
         grow t 2
         grow t 1
         grow? t 10001
         grow? t 10000
         grow? t 4
         grow t 4
         grow missing 4
         show",
        expect![[r#"
            broker 1: 2 records
            create t partitions=2: 3 records
                t: ok
            grow t 2: 0 records
                t: INVALID_PARTITIONS topic 't' already has 2 partitions
            grow t 1: 0 records
                t: INVALID_PARTITIONS topic 't' has 2 partitions; their number cannot be lowered to 1
            grow? t 10001: 0 records
                t: INVALID_PARTITIONS a topic has at most 10000 partitions, not 10001
            grow? t 10000: 0 records
                t: ok
            grow? t 4: 0 records
                t: ok
            grow t 4: 2 records
                t: ok
            grow missing 4: 0 records
                missing: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'missing'
              t {}
                0: leader 1 epoch 0 replicas [1]
                1: leader 1 epoch 0 replicas [1]
                2: leader 1 epoch 0 replicas [1]
                3: leader 1 epoch 0 replicas [1]
        "#]],
    );
}

#[test]
fn a_start_up_bumps_the_epochs_it_leads() {
    check(
        "broker 1
         create t partitions=1
         broker 1
         broker 2
         show
         broker -1
         ids
         ids",
        expect![[r#"
            broker 1: 2 records
            create t partitions=1: 2 records
                t: ok
            broker 1: 2 records
            broker 2: 1 records
              t {}
                0: leader 1 epoch 1 replicas [1]
            broker -1: broker -1 cannot register: a broker id is 0 or more [INVALID_REGISTRATION]
            ids: 1 records
                from 0, 1000 of them
            ids: 1 records
                from 1000, 1000 of them
        "#]],
    );
}
