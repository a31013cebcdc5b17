//! Plugins, views and jobs: lines of commands in, lines of outcomes out.

use expect_test::{Expect, expect};
use std::fmt::Write;
use weir_meta::{
    Command, Image, Journal, MetaRecord, Reply,
    command::{
        AlterConfigs, AlterResource, ConfigChanges, ConfigEdit, ConfigOperation, ConfigResource,
        CreateJob, CreatePartitions, CreateTopics, CreateView, DeployPlugin, JobAction,
        NewPartitions, NewTopic, Outcome, RegisterBroker, TopicRef,
    },
    decide, decode_all, encode_all,
};
use weir_plugin::{Policy, World};
use weir_types::{BrokerId, Now, TimestampMs, TopicId};

/// Runs commands, one a line, each applied before the next is decided; a broker is there:
/// `topic NAME PARTITIONS [KEY=VALUE]`, `view[?] NAME SOURCE CHAIN [POLICY]`, `job NAME FROM TO
/// CHAIN [POLICY]` (topics with commas), `pause|resume|restart|drop JOB`, `deploy[?] NAME@VERSION
/// [WORLD] [DIGEST] [active]`, `activate NAME [VERSION]`, `remove NAME [VERSION]`, `delete NAME …`,
/// `grow NAME COUNT`, `set NAME KEY=VALUE`, `broker`, `show`, `plugins`.
fn run(script: &str) -> (Image, String) {
    let mut journal = Journal::default();
    let mut out = String::new();
    let mut made = 0;
    let script = format!("broker\n{script}");
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if matches!(line, "show" | "plugins") {
            show(journal.image(), line, &mut out);
            continue;
        }
        let command = parse(line, &mut made);
        let decided = decide(journal.image(), Now::default(), &command);
        if line != "broker" {
            writeln!(out, "{line}: {}", told(decided.as_ref())).unwrap();
        }
        if let Ok(decision) = decided {
            let entry = journal.entry(&decision.records).unwrap();
            assert_eq!(decode_all(&entry).as_ref(), Ok(&decision.records));
            journal.agreed(&decision.records);
            journal.image().check();
        }
    }
    // A snapshot says everything.
    let none: [&[u8]; 0] = [];
    let again = Journal::load(Some(&journal.snapshot()), &none).unwrap();
    assert_eq!(again.image(), journal.image());
    (journal.image().clone(), out)
}

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&run(script).1);
}

fn told(decided: Result<&weir_meta::Decision, &weir_meta::DecideError>) -> String {
    let one = |outcome: &Outcome| match &outcome.message {
        Some(message) => format!("{} {message}", outcome.error.name()),
        None => "ok".to_owned(),
    };
    let decision = match decided {
        Ok(decision) => decision,
        Err(error) => return format!("{} {error}", error.code().name()),
    };
    match &decision.reply {
        Reply::Registered => "ok".to_owned(),
        Reply::Created(all) => all.iter().map(|t| one(&t.outcome)).collect(),
        Reply::Deleted(all) => {
            let all: Vec<String> = all.iter().map(|t| one(&t.outcome)).collect();
            all.join(" / ")
        }
        Reply::Partitions(all) => all.iter().map(|t| one(&t.outcome)).collect(),
        Reply::Altered(all) => all.iter().map(|t| one(&t.outcome)).collect(),
        other => format!("{other:?} ({} records)", decision.records.len()),
    }
}

fn show(image: &Image, what: &str, out: &mut String) {
    if what == "plugins" {
        for plugin in image.plugins() {
            let versions: Vec<&str> = plugin.versions.keys().map(|v| &**v).collect();
            let (name, active) = (&plugin.name, plugin.active.as_deref());
            let previous = plugin.previous.as_deref();
            writeln!(out, "  {name} {versions:?} {active:?} before {previous:?}").unwrap();
        }
        return;
    }
    for topic in image.topics() {
        let of = image.topic(topic.log()).unwrap();
        let epochs: Vec<i32> = topic.partitions.iter().map(|p| p.leader_epoch.0).collect();
        writeln!(out, "  {} of {} epochs {epochs:?}", topic.name, of.name).unwrap();
    }
    for job in image.jobs() {
        let (paused, generation) = (job.paused, job.generation);
        writeln!(out, "  job {} {paused} {generation}", job.name).unwrap();
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(String::from).collect()
}

fn parse(line: &str, made: &mut u8) -> Command {
    let words: Vec<&str> = line.split_whitespace().collect();
    let validate_only = words[0].ends_with('?');
    let name = words.get(1).map_or_else(String::new, ToString::to_string);
    let text = |at: usize| words.get(at).map_or_else(String::new, ToString::to_string);
    *made += 1;
    let id = TopicId([*made; 16]);
    match words[0].trim_end_matches('?') {
        "broker" => Command::RegisterBroker(RegisterBroker {
            id: BrokerId(0),
            new_cluster_id: "cluster".into(),
            listeners: Vec::new(),
            rack: None,
        }),
        "view" => Command::CreateView(Box::new(CreateView {
            id,
            name,
            source: text(2),
            chain: text(3),
            policy: text(4),
            readers: None,
            validate_only,
        })),
        "job" => Command::CreateJob(Box::new(CreateJob {
            name,
            from: names(words[2]),
            to: names(words[3]),
            chain: text(4),
            policy: text(5),
            paused: false,
            validate_only,
        })),
        "deploy" => deploy(&words, validate_only),
        "activate" => Command::ActivatePlugin {
            name,
            version: words.get(2).map(ToString::to_string),
            validate_only,
        },
        "remove" => Command::RemovePlugin {
            name,
            version: words.get(2).map(ToString::to_string),
            validate_only,
        },
        "pause" => alter(name, JobAction::Pause),
        "resume" => alter(name, JobAction::Resume),
        "restart" => alter(name, JobAction::Restart),
        "drop" => alter(name, JobAction::Delete),
        _ => topics(&words, id),
    }
}

const fn alter(name: String, action: JobAction) -> Command {
    Command::AlterJob { name, action }
}

fn deploy(words: &[&str], validate_only: bool) -> Command {
    let (name, version) = words[1].split_once('@').unwrap();
    let number = words.iter().find_map(|word| word.parse::<u8>().ok());
    let world = words.iter().find_map(|word| World::named(word));
    Command::DeployPlugin(Box::new(DeployPlugin {
        name: name.into(),
        version: version.into(),
        digest: [number.unwrap_or(1); 32],
        world: world.unwrap_or(World::Transform),
        size_bytes: 7,
        activate: words.contains(&"active"),
        validate_only,
    }))
}

/// The commands that change topics.
fn topics(words: &[&str], id: TopicId) -> Command {
    let name = words[1].to_owned();
    let validate_only = false;
    match words[0] {
        "topic" => Command::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                id,
                name,
                num_partitions: words[2].parse().unwrap(),
                replication_factor: 1,
                assignments: Vec::new(),
                configs: words[3..]
                    .iter()
                    .map(|word| word.split_once('=').unwrap())
                    .map(|(key, value)| (key.into(), Some(value.into())))
                    .collect(),
            }],
            validate_only,
            num_partitions_default: 1,
            replication_factor_default: 1,
        }),
        "delete" => {
            let names = words[1..].iter();
            Command::DeleteTopics(names.map(|n| TopicRef::Name(n.to_string())).collect())
        }
        "grow" => Command::CreatePartitions(CreatePartitions {
            topics: vec![NewPartitions {
                name,
                count: words[2].parse().unwrap(),
                assignments: None,
            }],
            validate_only,
        }),
        "set" => {
            let (key, value) = words[2].split_once('=').unwrap();
            Command::AlterConfigs(AlterConfigs {
                resources: vec![AlterResource {
                    resource: ConfigResource::Topic(name),
                    changes: ConfigChanges::Edit(vec![ConfigEdit {
                        name: key.into(),
                        operation: ConfigOperation::Set,
                        value: Some(value.into()),
                    }]),
                }],
                validate_only,
            })
        }
        other => panic!("no command '{other}'"),
    }
}

/// I-META-7: what is active, or was before, is deployed; a version that is in use stays.
#[test]
fn versions_are_deployed_activated_and_removed() {
    check(
        "deploy? mask@1.0.0
        plugins
        deploy mask@1.0.0
        deploy mask@1.0.0
        deploy mask@1.0.0 2
        deploy mask@1.1.0 2
        deploy mask@2.0.0 3 partitioner
        deploy Mask@2.0.0
        deploy mask@2
        plugins
        activate mask
        activate mask 1.1.0
        activate mask 1.1.0
        plugins
        activate mask
        activate mask 3.0.0
        activate nobody 3.0.0
        plugins
        remove mask 1.0.0
        topic orders 1 weir.ingest=mask@1.1.0
        remove mask 1.1.0
        remove mask
        set orders weir.ingest=mask
        remove mask 1.1.0
        remove mask
        plugins
        set orders weir.ingest=
        remove mask
        plugins",
        expect![[r#"
            deploy? mask@1.0.0: Deployed { active: true, known: false } (0 records)
            deploy mask@1.0.0: Deployed { active: true, known: false } (2 records)
            deploy mask@1.0.0: Deployed { active: true, known: true } (0 records)
            deploy mask@1.0.0 2: DUPLICATE_RESOURCE mask@1.0.0 is deployed with other bytes; a version never changes: raise it
            deploy mask@1.1.0 2: Deployed { active: false, known: false } (1 records)
            deploy mask@2.0.0 3 partitioner: INVALID_REQUEST plugin 'mask' is a transform; its version 2.0.0 is a partitioner: give it another name
            deploy Mask@2.0.0: INVALID_REQUEST 'Mask' is no plugin name: a lower-case letter, then up to 62 lower-case letters, digits or hyphens
            deploy mask@2: INVALID_REQUEST '2' is no version: write three numbers, such as 1.2.0
              mask ["1.0.0", "1.1.0"] Some("1.0.0") before None
            activate mask: INVALID_REQUEST plugin 'mask' has no version to go back to
            activate mask 1.1.0: Activated { version: "1.1.0", previous: Some("1.0.0") } (1 records)
            activate mask 1.1.0: Activated { version: "1.1.0", previous: Some("1.0.0") } (0 records)
              mask ["1.0.0", "1.1.0"] Some("1.1.0") before Some("1.0.0")
            activate mask: Activated { version: "1.0.0", previous: Some("1.1.0") } (1 records)
            activate mask 3.0.0: RESOURCE_NOT_FOUND plugin 'mask' has no version 3.0.0; deployed are 1.0.0, 1.1.0
            activate nobody 3.0.0: RESOURCE_NOT_FOUND there is no plugin 'nobody'; deployed are mask
              mask ["1.0.0", "1.1.0"] Some("1.0.0") before Some("1.1.0")
            remove mask 1.0.0: INVALID_REQUEST this is the active version of 'mask'; activate another one before it goes
            topic orders 1 weir.ingest=mask@1.1.0: ok
            remove mask 1.1.0: INVALID_REQUEST mask@1.1.0 is in use by topic 'orders' (weir.ingest): detach it there first
            remove mask: INVALID_REQUEST mask is in use by topic 'orders' (weir.ingest): detach it there first
            set orders weir.ingest=mask: ok
            remove mask 1.1.0: PluginRemoved(["1.1.0"]) (1 records)
            remove mask: INVALID_REQUEST mask is in use by topic 'orders' (weir.ingest): detach it there first
              mask ["1.0.0"] Some("1.0.0") before None
            set orders weir.ingest=: ok
            remove mask: PluginRemoved(["1.0.0"]) (1 records)
        "#]],
    );
}

/// I-META-6: a view has its source's partitions, whatever becomes of them.
#[test]
fn views_follow_their_source() {
    check(
        "deploy mask@1.0.0
        deploy region@1.0.0 partitioner
        topic orders 2
        view? masked orders mask
        view masked orders mask(fields=card) skip
        show
        grow orders 3
        broker
        show
        grow masked 4
        set masked retention.ms=5
        set masked weir.readers=alice,bob
        set masked weir.readers=alice,*
        set orders weir.ingest=region
        set orders weir.partitioner=mask
        set orders weir.partitioner=region|region
        set orders weir.partitioner=region
        view masked orders mask
        topic masked 1
        view again masked mask
        view again nothing mask
        view again orders
        view again orders nothing
        view again orders region
        view again orders mask dead-letter:orders
        view a.b orders mask
        topic a_b 1
        remove mask
        delete orders
        delete orders masked a.b
        delete masked a.b orders
        show",
        expect![[r#"
            deploy mask@1.0.0: Deployed { active: true, known: false } (2 records)
            deploy region@1.0.0 partitioner: Deployed { active: true, known: false } (2 records)
            topic orders 2: ok
            view? masked orders mask: ViewCreated { partitions: 2, chain: "mask" } (0 records)
            view masked orders mask(fields=card) skip: ViewCreated { partitions: 2, chain: "mask(fields=\"card\")" } (1 records)
              masked of orders epochs [0, 0]
              orders of orders epochs [0, 0]
            grow orders 3: ok
              masked of orders epochs [1, 1, 1]
              orders of orders epochs [1, 1, 1]
            grow masked 4: INVALID_TOPIC_EXCEPTION 'masked' is a view: it gets its partitions from its source
            set masked retention.ms=5: INVALID_CONFIG 'masked' is a view: it has its source's settings, and of its own only weir.readers
            set masked weir.readers=alice,bob: ok
            set masked weir.readers=alice,*: INVALID_CONFIG weir.readers must be '*' or names with commas between, not 'alice,*'
            set orders weir.ingest=region: INVALID_CONFIG weir.ingest: plugin 'region' is a partitioner, not a transform
            set orders weir.partitioner=mask: INVALID_CONFIG weir.partitioner: plugin 'mask' is a transform, not a partitioner
            set orders weir.partitioner=region|region: INVALID_CONFIG weir.partitioner takes one plugin, not a chain of 2
            set orders weir.partitioner=region: ok
            view masked orders mask: TOPIC_ALREADY_EXISTS view 'masked' exists already
            topic masked 1: TOPIC_ALREADY_EXISTS view 'masked' exists already
            view again masked mask: INVALID_TOPIC_EXCEPTION 'masked' is a view and cannot be the source of a view
            view again nothing mask: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'nothing'
            view again orders: INVALID_CONFIG a view needs a plugin that its records go through
            view again orders nothing: INVALID_CONFIG there is no plugin 'nothing'; deployed are mask, region
            view again orders region: INVALID_CONFIG plugin 'region' is a partitioner, not a transform
            view again orders mask dead-letter:orders: INVALID_CONFIG a view writes nothing, dead letters neither: its policy is stop or skip
            view a.b orders mask: ViewCreated { partitions: 3, chain: "mask" } (1 records)
            topic a_b 1: INVALID_TOPIC_EXCEPTION topic 'a_b' collides with topic 'a.b': names may not differ only in '.' and '_'
            remove mask: INVALID_REQUEST mask is in use by view 'a.b', view 'masked': detach it there first
            delete orders: INVALID_REQUEST topic 'orders' is in use by view 'masked', view 'a.b': delete or change that first
            delete orders masked a.b: INVALID_REQUEST topic 'orders' is in use by view 'masked', view 'a.b': delete or change that first / ok / ok
            delete masked a.b orders: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'masked' / UNKNOWN_TOPIC_OR_PARTITION there is no topic 'a.b' / ok
        "#]],
    );
}

#[test]
fn jobs_hold_on_to_their_topics() {
    check(
        "deploy route@1.0.0
        topic a 1
        topic b 1
        topic c 1
        topic dead 1
        view v a route
        job j a b,c
        job j a a route
        job j a v route
        job j a,a b route
        job j a b,c route dead-letter:nothing
        job j a b,c route dead-letter:dead
        job j a b
        job k a b
        show
        pause j
        restart j
        pause j
        resume j
        resume j
        drop nobody
        show
        delete a b c dead v
        remove route
        drop j
        drop k
        delete a b c dead",
        expect![[r#"
            deploy route@1.0.0: Deployed { active: true, known: false } (2 records)
            topic a 1: ok
            topic b 1: ok
            topic c 1: ok
            topic dead 1: ok
            view v a route: ViewCreated { partitions: 1, chain: "route" } (1 records)
            job j a b,c: INVALID_CONFIG a job with several outputs needs a plugin that tells them apart
            job j a a route: INVALID_REQUEST a job that reads and writes topic 'a' would never end
            job j a v route: INVALID_TOPIC_EXCEPTION 'v' is a view and cannot be written by a job
            job j a,a b route: INVALID_REQUEST topic 'a' is named twice
            job j a b,c route dead-letter:nothing: UNKNOWN_TOPIC_OR_PARTITION there is no topic 'nothing'
            job j a b,c route dead-letter:dead: Job { chain: "route", generation: 1, paused: false } (1 records)
            job j a b: DUPLICATE_RESOURCE job 'j' exists already
            job k a b: Job { chain: "", generation: 1, paused: false } (1 records)
              a of a epochs [0]
              b of b epochs [0]
              c of c epochs [0]
              dead of dead epochs [0]
              v of a epochs [0]
              job j false 1
              job k false 1
            pause j: Job { chain: "route", generation: 1, paused: true } (1 records)
            restart j: Job { chain: "route", generation: 2, paused: false } (1 records)
            pause j: Job { chain: "route", generation: 2, paused: true } (1 records)
            resume j: Job { chain: "route", generation: 2, paused: false } (1 records)
            resume j: Job { chain: "route", generation: 2, paused: false } (0 records)
            drop nobody: RESOURCE_NOT_FOUND there is no job 'nobody'
              a of a epochs [0]
              b of b epochs [0]
              c of c epochs [0]
              dead of dead epochs [0]
              v of a epochs [0]
              job j false 2
              job k false 1
            delete a b c dead v: INVALID_REQUEST topic 'a' is in use by view 'v', job 'j', job 'k': delete or change that first / INVALID_REQUEST topic 'b' is in use by job 'j', job 'k': delete or change that first / INVALID_REQUEST topic 'c' is in use by job 'j': delete or change that first / INVALID_REQUEST topic 'dead' is in use by job 'j' (dead letters): delete or change that first / ok
            remove route: INVALID_REQUEST route is in use by job 'j': detach it there first
            drop j: Job { chain: "route", generation: 2, paused: false } (1 records)
            drop k: Job { chain: "", generation: 1, paused: false } (1 records)
            delete a b c dead: ok / ok / ok / ok
        "#]],
    );
}

#[test]
fn dead_letters_hold_on_to_their_topic() {
    check(
        "topic dead 1
        topic a 1 weir.ingest.policy=dead-letter:dead
        topic b 1 weir.ingest.policy=dead-letter:b
        topic b 1 weir.ingest.policy=dead-letter:nothing
        topic b 1 weir.ingest.policy=perhaps
        delete dead
        delete a
        delete dead",
        expect![[r#"
            topic dead 1: ok
            topic a 1 weir.ingest.policy=dead-letter:dead: ok
            topic b 1 weir.ingest.policy=dead-letter:b: INVALID_CONFIG weir.ingest.policy: topic 'b' cannot be its own dead-letter topic
            topic b 1 weir.ingest.policy=dead-letter:nothing: INVALID_CONFIG weir.ingest.policy: there is no topic 'nothing'
            topic b 1 weir.ingest.policy=perhaps: INVALID_CONFIG weir.ingest.policy: 'perhaps' is no policy: use stop, skip or dead-letter:TOPIC
            delete dead: INVALID_REQUEST topic 'dead' is in use by topic 'a' (dead letters): delete or change that first
            delete a: ok
            delete dead: ok
        "#]],
    );
}

#[test]
fn references_lead_to_components() {
    let (image, _) = run("deploy mask@1.0.0 1
        deploy mask@1.1.0 2
        topic orders 1 weir.ingest=mask|mask@1.1.0
        view masked orders mask");
    let digest = |text: &str| Some(image.digest_of(&text.parse().unwrap())?[0]);
    assert_eq!(digest("mask"), Some(1));
    assert_eq!(digest("mask@1.1.0"), Some(2));
    assert_eq!(digest("mask@1.2.0"), None);
    assert_eq!(digest("other"), None);
    let places: Vec<String> = image
        .attachments()
        .iter()
        .map(|a| format!("{}: {}", a.place, a.chain))
        .collect();
    assert_eq!(
        places,
        [
            "view 'masked': mask",
            "topic 'orders' (weir.ingest): mask|mask@1.1.0"
        ]
    );
    let orders = image.topic_named("orders").unwrap();
    let views: Vec<&str> = image.views_of(orders.id).map(|v| &*v.name).collect();
    assert_eq!(views, ["masked"]);
}

/// The bytes of these records are on disks: they never change.
#[test]
fn records_keep_their_bytes() {
    let (one, two) = (TopicId([1; 16]), TopicId([2; 16]));
    let records = [
        MetaRecord::Plugin {
            name: "mask".into(),
            version: "1.0.0".into(),
            digest: [7; 32],
            world: World::Transform,
            size_bytes: 5,
            deployed_at: TimestampMs(9),
        },
        MetaRecord::PluginActive {
            name: "mask".into(),
            version: "1.0.0".into(),
        },
        MetaRecord::PluginRemoved {
            name: "mask".into(),
            version: "1.0.0".into(),
        },
        MetaRecord::View {
            id: one,
            name: "v".into(),
            source: two,
            chain: "mask(a=b)".parse().unwrap(),
            policy: Policy::Skip,
            created_at: TimestampMs(9),
        },
        MetaRecord::Job {
            name: "j".into(),
            from: vec![one],
            to: vec![two],
            chain: "mask".parse().unwrap(),
            policy: Policy::DeadLetter("d".into()),
            paused: true,
            generation: 3,
            created_at: TimestampMs(9),
        },
        MetaRecord::JobDeleted { name: "j".into() },
    ];
    let mut text = String::new();
    for record in &records {
        let bytes = encode_all(std::slice::from_ref(record));
        assert_eq!(decode_all(&bytes).unwrap(), std::slice::from_ref(record));
        for cut in 1..bytes.len() {
            assert!(decode_all(&bytes[..cut]).is_err());
        }
        for byte in bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    expect![[r#"
        0900000000046d61736b00000005312e302e3007070707070707070707070707070707070707070707070707070707070707070100000000000000050000000000000009
        0a00000000046d61736b00000005312e302e30
        0b00000000046d61736b00000005312e302e30
        0c00010101010101010101010101010101010000000176020202020202020202020202020202020000000b6d61736b28613d2262222900000004736b69700000000000000009
        0d00000000016a00000001010101010101010101010101010101010000000102020202020202020202020202020202000000046d61736b0000000d646561642d6c65747465723a6401000000030000000000000009
        0e00000000016a
    "#]].assert_eq(&text);
}
