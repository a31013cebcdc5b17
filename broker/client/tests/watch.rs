//! Watching groups at a broker in the same process, over QUIC and over TCP: as it happens, too
//! slowly, over a restart of the broker, and in the bytes of the protocol.

use bytes::Bytes;
use futures_util::StreamExt;
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use weir_client::{
    Client, ClientConfig, Profile, RebalanceListener, TopicPartition, TransportChoice,
    admin::{Admin, GroupWatch, HistoryQuery, NewTopic, WatchQuery},
};
use weir_net::{Channel, ConnectOptions, Connector};
use weir_server::{Broker, Config, Settings, settings::Origin};
use weir_types::ErrorCode;
use weir_wire::{
    Text, decode_response, encode_request,
    messages::{GroupWatchRequest, GroupWatchResponse},
};

const TOPIC: &str = "orders";

async fn start(folder: &Path, listen: &str) -> Broker {
    let mut settings = Settings::default();
    let data = folder.display().to_string();
    for (name, value) in [
        ("data", data.as_str()),
        ("listen", listen),
        ("shards", "2"),
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

fn port(broker: &Broker, way: &str) -> u16 {
    let mut all = broker.listeners().iter();
    let bound = all.find(|bound| bound.transport.scheme() == way);
    bound.expect("a listener").local.port()
}

async fn connect(broker: &Broker, way: &str) -> Client {
    let config = ClientConfig::new([format!("127.0.0.1:{}", port(broker, way))]);
    let config = match way {
        "quic" => config
            .with_profile(Profile::read(broker.profile()).expect("a profile"))
            .with_transport(TransportChoice::Quic),
        _ => config.with_transport(TransportChoice::Tcp),
    };
    Client::connect(config).await.expect("connects")
}

/// Says when the first partitions come.
struct Ear(mpsc::UnboundedSender<()>);

impl RebalanceListener for Ear {
    fn assigned(&mut self, _: &BTreeSet<TopicPartition>) {
        let _ = self.0.send(());
    }
}

/// A member joins the group, has its share, and leaves.
async fn rebalance(client: &Client, group: &str) {
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = client.group(group).topics([TOPIC]).listener(Ear(told));
    let mut consumer = builder.build().expect("builds");
    tokio::select! {
        record = consumer.next() => panic!("there are no records: {record:?}"),
        heard = heard.recv() => heard.expect("it has a share"),
    }
    consumer.close().await.expect("closed");
}

/// What a watch has told: groups with their events' numbers, in order, and how many are missed.
#[derive(Clone, Debug, Default)]
struct Seen {
    events: Vec<(String, i64)>,
    missed: i64,
}

impl Seen {
    async fn next(&mut self, watching: &mut GroupWatch) {
        let told = watching.next().await.expect("it goes on").expect("told");
        let events = told.changes.into_iter();
        self.events
            .extend(events.map(|change| (change.group, change.sequence)));
        self.missed += told.missed;
    }

    fn of(&self, group: &str) -> Vec<i64> {
        let of = self.events.iter().filter(|(name, _)| name == group);
        of.map(|(_, sequence)| *sequence).collect()
    }
}

/// Listens on a task of its own.
fn listen(mut watching: GroupWatch) -> watch::Receiver<Seen> {
    let (sender, receiver) = watch::channel(Seen::default());
    tokio::spawn(async move {
        let mut seen = Seen::default();
        while !sender.is_closed() {
            seen.next(&mut watching).await;
            let _ = sender.send(seen.clone());
        }
    });
    receiver
}

/// The number of a group's newest event.
async fn newest(admin: &Admin, group: &str) -> i64 {
    let query = HistoryQuery {
        groups: vec![group.to_owned()],
        newest_first: true,
        max_events: Some(1),
        ..HistoryQuery::default()
    };
    let page = admin.group_history(&query).await.expect("a history");
    page.changes.first().expect("an event").sequence
}

async fn until(seen: &mut watch::Receiver<Seen>, group: &str, sequence: i64) -> Seen {
    let there = seen.wait_for(|seen| seen.of(group).contains(&sequence));
    there.await.expect("it listens on").clone()
}

async fn in_time<T>(test: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(100), test).await;
    done.expect("the test came to its end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attentive_watchers_hear_everything_and_slow_ones_what_they_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "quic://127.0.0.1:0,plain://127.0.0.1:0").await;
    in_time(async {
        let quic = connect(&broker, "quic").await;
        let tcp = connect(&broker, "plain").await;
        let admin = tcp.admin();
        let made = admin.create_topic(NewTopic::new(TOPIC, 2)).await;
        made.expect("made");
        rebalance(&quic, "busy").await;
        let history = admin.group_history(&HistoryQuery::default()).await;
        let history = history.expect("a history");
        let begin = i64::try_from(history.changes.len()).expect("few");
        let all = WatchQuery {
            cursor: history.watch,
            ..WatchQuery::default()
        };
        let busy = WatchQuery {
            groups: vec!["busy".to_owned()],
            ..all.clone()
        };
        let mut attentive = Vec::new();
        for client in [&quic, &tcp] {
            for query in [&all, &busy] {
                let watching = client.admin().watch_groups(query).await;
                attentive.push(listen(watching.expect("watches")));
            }
        }
        let mut slow = tcp.admin().watch_groups(&all).await.expect("watches");
        for _ in 0..75 {
            rebalance(&quic, "busy").await;
        }
        rebalance(&tcp, "quiet").await;
        let last = newest(&admin, "busy").await;
        let quiet = newest(&admin, "quiet").await;
        let everything: Vec<i64> = (begin + 1..=last).collect();
        assert!(everything.len() > 64, "more than is kept");
        for (place, listening) in attentive.iter_mut().enumerate() {
            let mut seen = until(listening, "busy", last).await;
            assert_eq!(seen.missed, 0);
            assert_eq!(seen.of("busy"), everything);
            if place % 2 == 0 {
                seen = until(listening, "quiet", quiet).await;
            }
            let others = if place % 2 == 0 { quiet } else { 0 };
            assert_eq!(seen.of("quiet"), (1..=others).collect::<Vec<_>>());
        }
        // The first answers were there before it was too late.
        let mut late = Seen::default();
        while !(late.of("busy").contains(&last) && late.of("quiet").contains(&quiet)) {
            late.next(&mut slow).await;
        }
        assert!(late.missed > 0, "{late:?}");
        let told = i64::try_from(late.of("busy").len()).expect("few");
        assert_eq!(told + late.missed, last - begin);
        // Who was away for as long hears the same.
        let mut back = quic.admin().watch_groups(&busy).await.expect("watches");
        let mut seen = Seen::default();
        seen.next(&mut back).await;
        assert_eq!(seen.of("busy"), (last - 63..=last).collect::<Vec<_>>());
        assert_eq!(seen.missed, last - 64 - begin);
    })
    .await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_outlives_a_restart_of_the_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "quic://127.0.0.1:0,plain://127.0.0.1:0").await;
    let listen_on = format!(
        "quic://127.0.0.1:{},plain://127.0.0.1:{}",
        port(&broker, "quic"),
        port(&broker, "plain")
    );
    in_time(async {
        let clients = [
            connect(&broker, "quic").await,
            connect(&broker, "plain").await,
        ];
        let admin = clients[0].admin();
        let made = admin.create_topic(NewTopic::new(TOPIC, 2)).await;
        made.expect("made");
        rebalance(&clients[0], "first").await;
        let mut listening = Vec::new();
        for client in &clients {
            let watching = client.admin().watch_groups(&WatchQuery::default()).await;
            listening.push(listen(watching.expect("watches")));
        }
        rebalance(&clients[0], "before").await;
        let before = newest(&admin, "before").await;
        for seen in &mut listening {
            until(seen, "before", before).await;
        }
        // What is followed does not hold the shutdown up.
        broker.shutdown().await;
        let broker = start(folder.path(), &listen_on).await;
        rebalance(&clients[0], "after").await;
        rebalance(&clients[1], "before").await;
        let (after, again) = (
            newest(&admin, "after").await,
            newest(&admin, "before").await,
        );
        assert!(again > before);
        for seen in &mut listening {
            until(seen, "after", after).await;
            let seen = until(seen, "before", again).await;
            assert_eq!(seen.missed, 0);
            assert_eq!(seen.of("first"), [], "that was before the watch");
            assert_eq!(seen.of("before"), (1..=again).collect::<Vec<_>>());
            assert_eq!(seen.of("after"), (1..=after).collect::<Vec<_>>());
        }
        broker.shutdown().await;
    })
    .await;
}

/// A channel without the client's ways.
async fn raw(broker: &Broker, way: &str) -> Channel {
    let quic = way == "quic";
    let profile = quic.then(|| Profile::read(broker.profile()).expect("a profile"));
    let mut options = ConnectOptions::new(profile);
    options.transport = if quic {
        TransportChoice::Quic
    } else {
        TransportChoice::Tcp
    };
    let connector = Connector::new(options).expect("connects");
    let connection = connector.connect("127.0.0.1", port(broker, way)).await;
    let channel = connection.expect("connects").channel().await;
    channel.expect("a channel")
}

fn encoded(id: i32, request: &GroupWatchRequest) -> Vec<Bytes> {
    let client = Text::from_static("raw");
    encode_request(id, Some(&client), 0, request).expect("fits")
}

async fn received(channel: &mut Channel) -> (i32, GroupWatchResponse) {
    let frame = channel.recv().await.expect("a frame").expect("a frame");
    decode_response::<GroupWatchRequest>(frame, 0).expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_carry_the_number_of_their_request_and_need_a_stream_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path(), "quic://127.0.0.1:0,plain://127.0.0.1:0").await;
    in_time(async {
        let client = Arc::new(connect(&broker, "plain").await);
        let made = client.admin().create_topic(NewTopic::new(TOPIC, 2)).await;
        made.expect("made");
        rebalance(&client, "shop").await;
        let follow = GroupWatchRequest {
            cursor: Some("w1:".into()),
            max_wait_ms: 100,
            follow: true,
            ..GroupWatchRequest::default()
        };
        let mut channel = raw(&broker, "plain").await;
        channel.send(encoded(7, &follow)).await.expect("sent");
        let (id, refused) = received(&mut channel).await;
        assert_eq!((id, refused.error_code), (7, ErrorCode::InvalidRequest));
        let text = refused.error_message.expect("a reason");
        assert!(text.contains("QUIC"), "{text}");

        let mut channel = raw(&broker, "quic").await;
        channel.send(encoded(8, &follow)).await.expect("sent");
        let (id, first) = received(&mut channel).await;
        assert_eq!((id, first.error_code), (8, ErrorCode::None));
        assert!(!first.events.is_empty());
        // Nothing happens: an answer comes all the same, and nothing is told twice.
        let (id, idle) = received(&mut channel).await;
        assert_eq!((id, idle.events.len()), (8, 0));
        assert_eq!(idle.next_cursor, first.next_cursor);
        // Another request on the stream ends it.
        let once = GroupWatchRequest {
            follow: false,
            ..follow
        };
        channel.send(encoded(9, &once)).await.expect("sent");
        let again = loop {
            let (id, answer) = received(&mut channel).await;
            if id == 9 {
                break answer;
            }
        };
        assert_eq!(again.events, first.events);
    })
    .await;
    broker.shutdown().await;
}
