//! Requests whose answers keep coming: in order, as slowly as they are read, and until the peer
//! wants something else or the server stops.
mod support;

use bytes::{BufMut, Bytes, BytesMut};
use std::sync::atomic::Ordering;
use support::*;
use weir_net::{Channel, Limits, Shutdown, Transport};

const EACH: [Transport; 3] = [Transport::Quic, Transport::Tls, Transport::Plain];

/// The answer to a `k` frame of that count.
fn counted(body: &[u8], count: u32) -> Bytes {
    let mut told = BytesMut::from(body);
    told.put_u32(count);
    told.freeze()
}

async fn next(channel: &mut Channel) -> Bytes {
    soon(channel.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn answers_keep_coming_until_another_request_comes() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"e before")).await.unwrap();
        channel.send(frame(b"k")).await.unwrap();
        assert_eq!(*next(&mut channel).await, *b"e before");
        for count in 0..3 {
            assert_eq!(next(&mut channel).await, counted(b"k", count));
            world.echo.gate.add_permits(1);
        }
        assert_eq!(next(&mut channel).await, counted(b"k", 3));
        channel.send(frame(b"e behind")).await.unwrap();
        assert_eq!(*next(&mut channel).await, *b"e behind", "{transport}");
        // Nobody waits for a permit any more.
        world.echo.gate.add_permits(1);
        channel.send(frame(b"w")).await.unwrap();
        assert_eq!(*next(&mut channel).await, *b"w", "{transport}");
        assert_eq!(world.echo.gate.available_permits(), 0);
    }
}

#[tokio::test]
async fn other_streams_do_not_wait_for_one_that_is_followed() {
    let world = start(&ALL, Limits::default());
    let port = world.address(Transport::Quic).port();
    let connector = world.connector(Transport::Quic);
    let connection = connector.connect("localhost", port).await.unwrap();
    let mut followed = connection.channel().await.unwrap();
    let mut other = connection.channel().await.unwrap();
    followed.send(frame(b"k")).await.unwrap();
    assert_eq!(next(&mut followed).await, counted(b"k", 0));
    for _ in 0..100 {
        other.send(frame(b"e")).await.unwrap();
        next(&mut other).await;
    }
    world.echo.gate.add_permits(1);
    assert_eq!(next(&mut followed).await, counted(b"k", 1));
}

#[tokio::test]
async fn a_peer_that_finishes_or_leaves_is_followed_no_more() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let (mut send, mut receive) = world.channel(transport).await.split();
        send.send(frame(b"k")).await.unwrap();
        let first = soon(receive.recv()).await.unwrap().unwrap();
        assert_eq!(first, counted(b"k", 0));
        send.finish().await;
        assert!(soon(receive.recv()).await.unwrap().is_none(), "{transport}");
        let mut leaving = world.channel(transport).await;
        leaving.send(frame(b"k")).await.unwrap();
        next(&mut leaving).await;
        drop(leaving);
        let counts = world.server.counters().transport(transport);
        until("its session is gone", || {
            counts.sessions_open.load(Ordering::Relaxed) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn who_reads_slowly_is_asked_for_slowly() {
    const ANSWERS: usize = 400;
    let world = start(&ALL, Limits::default());
    let mut channel = world.channel(Transport::Quic).await;
    let body = body(b'k', 1 << 20);
    channel.send(frame(&body)).await.unwrap();
    world.echo.gate.add_permits(ANSWERS);
    let asked = || ANSWERS - world.echo.gate.available_permits();
    until("some were asked for", || asked() > 1).await;
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
        // What the windows of the stream and of the connection hold, and no more.
        assert!(asked() < 40, "{} MB wait for a peer that sleeps", asked());
    }
    for count in 0..=u32::try_from(ANSWERS).unwrap() {
        assert!(next(&mut channel).await == counted(&body, count), "{count}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_what_is_followed() {
    let world = start(&ALL, Limits::default());
    let mut channels = Vec::new();
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"k")).await.unwrap();
        next(&mut channel).await;
        channels.push(channel);
    }
    let World { server, .. } = world;
    assert_eq!(soon(server.shutdown(LONG)).await, Shutdown::Complete);
}
