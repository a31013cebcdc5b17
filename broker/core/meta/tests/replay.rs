//! Property tests: the records are all there is. Replaying them, through their bytes, gives the
//! live image; a snapshot with the records behind it gives it too.

use proptest::prelude::*;
use weir_meta::{
    Command, Image, Journal, JournalError, JournalFailed, MetaRecord, StaticDefaults, TopicConfig,
    command::{
        AlterConfigs, AlterResource, ConfigChanges, ConfigResource, CreateJob, CreatePartitions,
        CreateTopics, CreateView, DeployPlugin, JobAction, NewPartitions, NewTopic, RegisterBroker,
        TopicRef,
    },
    config::{TOPIC_CONFIGS, describe_topic, find},
    decide, decode_all,
    limits::ENTRIES_PER_SNAPSHOT,
    plugins::World,
};
use weir_types::{BrokerId, Now, TopicId};

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c.d", "c_d", "__x", "bad name"]).prop_map(String::from)
}

fn config() -> impl Strategy<Value = (String, Option<String>)> + Clone {
    let keys = vec![
        "retention.ms",
        "max.message.bytes",
        "cleanup.policy",
        "nope",
    ];
    let values = vec![None, Some("5"), Some("delete"), Some("-1")];
    (prop::sample::select(keys), prop::sample::select(values))
        .prop_map(|(key, value)| (key.to_string(), value.map(String::from)))
}

/// Plugins, views and jobs.
fn plugin_command() -> impl Strategy<Value = Command> {
    let plugin = prop::sample::select(vec!["mask", "route"]).prop_map(String::from);
    let version = prop::sample::select(vec!["1.0.0", "1.1.0"]).prop_map(String::from);
    let maybe = prop::option::of(version.clone());
    let deploy = (plugin.clone(), version, any::<bool>()).prop_map(|(name, version, activate)| {
        Command::DeployPlugin(Box::new(DeployPlugin {
            name,
            version,
            digest: [1; 32],
            world: World::Transform,
            size_bytes: 1,
            activate,
            validate_only: false,
        }))
    });
    let activate = (plugin.clone(), maybe.clone()).prop_map(|(name, version)| {
        let validate_only = false;
        Command::ActivatePlugin {
            name,
            version,
            validate_only,
        }
    });
    let remove = (plugin, maybe).prop_map(|(name, version)| {
        let validate_only = false;
        Command::RemovePlugin {
            name,
            version,
            validate_only,
        }
    });
    let chain = prop::sample::select(vec!["mask", "mask@1.0.0|route", "route(a=b)"]);
    let view = (100..110u8, name(), name(), chain.clone()).prop_map(|(id, name, source, chain)| {
        Command::CreateView(Box::new(CreateView {
            id: TopicId([id; 16]),
            name,
            source,
            chain: chain.into(),
            policy: "skip".into(),
            readers: Some("alice".into()),
            validate_only: false,
        }))
    });
    let job = (name(), name(), chain).prop_map(|(from, to, chain)| {
        Command::CreateJob(Box::new(CreateJob {
            name: "j".into(),
            from: vec![from],
            to: vec![to],
            chain: chain.into(),
            policy: String::new(),
            paused: true,
            validate_only: false,
        }))
    });
    let action = prop::sample::select(vec![
        JobAction::Resume,
        JobAction::Restart,
        JobAction::Delete,
    ]);
    let alter = action.prop_map(|action| Command::AlterJob {
        name: "j".into(),
        action,
    });
    prop_oneof![3 => deploy, 1 => activate, 1 => remove, 3 => view, 1 => job, 1 => alter]
}

fn command() -> impl Strategy<Value = Command> {
    let register = (0..3i32).prop_map(|id| {
        Command::RegisterBroker(RegisterBroker {
            id: BrokerId(id),
            new_cluster_id: "cluster".into(),
            listeners: Vec::new(),
            rack: Some("rack".into()),
        })
    });
    let configs = prop::collection::vec(config(), 0..3);
    let topic = (any::<u8>(), name(), -1..4i32, -1..3i16, configs.clone()).prop_map(
        |(id, name, num_partitions, replication_factor, configs)| NewTopic {
            id: TopicId([id; 16]),
            name,
            num_partitions,
            replication_factor,
            assignments: Vec::new(),
            configs,
        },
    );
    let create = (prop::collection::vec(topic, 0..3), any::<bool>()).prop_map(|(topics, only)| {
        Command::CreateTopics(CreateTopics {
            topics,
            validate_only: only,
            num_partitions_default: 2,
            replication_factor_default: 1,
        })
    });
    let delete = prop::collection::vec(name(), 0..3)
        .prop_map(|names| Command::DeleteTopics(names.into_iter().map(TopicRef::Name).collect()));
    let grow = (name(), -1..9i32).prop_map(|(name, count)| {
        Command::CreatePartitions(CreatePartitions {
            topics: vec![NewPartitions {
                name,
                count,
                assignments: None,
            }],
            validate_only: false,
        })
    });
    let alter = (name(), configs).prop_map(|(name, configs)| {
        Command::AlterConfigs(AlterConfigs {
            resources: vec![AlterResource {
                resource: ConfigResource::Topic(name),
                changes: ConfigChanges::Replace(configs),
            }],
            validate_only: false,
        })
    });
    prop_oneof![
        6 => plugin_command(),
        1 => register,
        3 => create,
        1 => delete,
        2 => grow,
        2 => alter,
        1 => Just(Command::AllocateProducerIds)
    ]
}

proptest! {
    #[test]
    fn records_are_all_there_is(commands in prop::collection::vec(command(), 0..40), cut in 0..40usize) {
        let mut live = Journal::default();
        let mut all = Vec::new();
        let mut entries = Vec::new();
        let mut snapshot = None;
        for (at, command) in commands.iter().enumerate() {
            let before = live.image().clone();
            let decided = decide(live.image(), Now::default(), command);
            prop_assert_eq!(&before, live.image(), "decide changes nothing");
            if let Ok(decision) = decided {
                let entry = live.entry(&decision.records).unwrap();
                prop_assert_eq!(&before, live.image(), "nothing counts before it is durable");
                live.agreed(&decision.records);
                live.image().check();
                all.push(entry.clone());
                entries.push(entry);
            }
            if at == cut {
                snapshot = Some(live.snapshot());
                entries.clear();
            }
        }
        let replayed = Journal::load(None, &all).unwrap();
        prop_assert_eq!(replayed.image(), live.image());
        let restored = Journal::load(snapshot.as_deref(), &entries).unwrap();
        prop_assert_eq!(restored.image(), live.image());
        prop_assert_eq!(restored.snapshot(), live.snapshot());
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = decode_all(&bytes);
    }

    #[test]
    fn cut_records_are_refused(commands in prop::collection::vec(command(), 1..10), cut in any::<prop::sample::Index>()) {
        let mut image = Image::default();
        for command in &commands {
            if let Ok(decision) = decide(&image, Now::default(), command) {
                image.apply_entry(image.applied() + 1, &decision.records);
            }
        }
        for record in image.to_records() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(bytes.is_empty() || decode_all(&bytes).is_err());
        }
    }
}

#[test]
fn unknown_records_are_named() {
    let error = decode_all(&[200, 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metadata record type 200 version 3 is not known to this version of Weir"
    );
}

#[test]
fn the_table_is_in_order_and_takes_its_own_defaults() {
    assert!(TOPIC_CONFIGS.is_sorted_by(|a, b| a.name < b.name));
    for key in TOPIC_CONFIGS {
        assert!(find(key.name).is_some());
        key.check(key.default).unwrap();
        assert!(key.doc.ends_with('.'), "{}", key.name);
    }
}

#[test]
fn nearer_settings_count() {
    let mut statics = StaticDefaults::default();
    statics.set("log.retention.ms", "100").unwrap();
    statics.set("max.message.bytes", "7").unwrap();
    assert_eq!(
        statics.set("log.retention.m", "1").unwrap_err(),
        "there is no setting 'log.retention.m'; did you mean 'log.retention.ms'?"
    );
    let mut image = Image::default();
    let id = TopicId([1; 16]);
    let set = |value: &str| Some(value.to_string());
    image.apply_entry(
        1,
        &[
            MetaRecord::Topic {
                id,
                name: "t".into(),
                created_at: weir_types::TimestampMs(0),
            },
            MetaRecord::DefaultConfig {
                name: "retention.ms".into(),
                value: set("200"),
            },
            MetaRecord::TopicConfig {
                topic: id,
                name: "retention.bytes".into(),
                value: set("300"),
            },
        ],
    );
    let topic = image.topic(id).unwrap();
    let config = TopicConfig::resolve(&statics, &image, topic);
    assert_eq!(config.retention_ms, Some(200));
    assert_eq!(config.retention_bytes, Some(300));
    assert_eq!(config.batch_bytes_max, 7);
    let described = describe_topic(&statics, &image, &topic.overrides);
    let retention = described
        .iter()
        .find(|e| e.key.name == "retention.ms")
        .unwrap();
    let values: Vec<&str> = retention.synonyms.iter().map(|s| s.1.as_str()).collect();
    assert_eq!(values, ["200", "100", "604800000"]);
}

/// I-STO-6: behind a write that failed there is nothing to write and no snapshot to take.
#[test]
fn a_journal_ends_with_a_failed_write() {
    let records = [MetaRecord::Cluster { id: "one".into() }];
    let mut journal = Journal::default();
    for _ in 0..ENTRIES_PER_SNAPSHOT {
        assert!(!journal.snapshot_due());
        journal.agreed(&records);
    }
    assert!(journal.snapshot_due());
    journal.snapshot_written();
    assert!(!journal.snapshot_due());
    journal.write_failed();
    assert_eq!(journal.entry(&records), Err(JournalFailed));
    assert!(!journal.snapshot_due());
}

#[test]
fn what_cannot_be_read_is_named() {
    let none: [&[u8]; 0] = [];
    let error = Journal::load(Some(&[0; 7]), &none).unwrap_err();
    assert_eq!(error, JournalError::Snapshot);
    let good = Journal::default().entry(&[MetaRecord::Cluster { id: "one".into() }]);
    let entries = [good.unwrap(), vec![200, 3]];
    let error = Journal::load(Some(&[0, 0, 0, 0, 0, 0, 0, 7]), &entries).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metadata entry 9 cannot be read: metadata record type 200 version 3 is not known to this version of Weir"
    );
}
