//! Frames over all three transports: order, size, silence, limits, back-pressure, shutdown.
mod support;

use bytes::Bytes;
use std::time::Duration;
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_net::{ChannelError, ConnectError, Limits, Rejected, Shutdown, Transport};
use weir_types::Role;

const EACH: [Transport; 3] = [Transport::Quic, Transport::Tls, Transport::Plain];

fn small_limits() -> Limits {
    Limits {
        frame_bytes_max: 1 << 20,
        ..Limits::default()
    }
}

#[tokio::test]
async fn echoes_and_knows_who_asks() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"hello")).await.unwrap();
        let answer = soon(channel.recv()).await.unwrap().unwrap();
        assert_eq!(answer, Bytes::from_static(b"hello"));
        let peer = world.echo.peers.lock().unwrap().last().unwrap().clone();
        assert_eq!(peer.transport, transport);
        let (name, role) = match transport {
            Transport::Plain => ("local", Role::Admin),
            _ => ("alice", Role::Client),
        };
        assert_eq!((&*peer.principal.name, peer.principal.role), (name, role));
        let bound = &world.server.listeners()[usize::from(peer.listener.0)];
        assert_eq!(bound.transport, transport);
    }
}

#[tokio::test]
async fn large_frames_come_whole() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let (mut send, mut receive) = world.channel(transport).await.split();
        let bodies: Vec<_> = [1, 3, 70_000, 12_000_000, 5, 1_048_588]
            .into_iter()
            .map(|bytes| body(b'e', bytes))
            .collect();
        let all = bodies.iter().flat_map(|body| frame(body)).collect();
        let sending = tokio::spawn(async move { send.send(all).await.map(|()| send) });
        for body in &bodies {
            let answer = soon(receive.recv()).await.unwrap().unwrap();
            assert!(answer == body, "{transport}: {} bytes", body.len());
        }
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn frames_come_however_the_bytes_are_cut() {
    let world = start(&ALL, Limits::default());
    let mut stream = TcpStream::connect(world.address(Transport::Plain))
        .await
        .unwrap();
    stream.set_nodelay(true).unwrap();
    let sent = [
        frame(b"one").concat(),
        frame(b"").concat(),
        frame(b"two").concat(),
    ]
    .concat();
    for byte in &sent {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut got = vec![0; sent.len()];
    soon(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn answers_keep_the_order_of_requests() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        let kinds = b"wel0e0lw0e";
        for (index, kind) in kinds.iter().enumerate() {
            let body = [*kind, u8::try_from(index).unwrap()];
            channel.send(frame(&body)).await.unwrap();
        }
        world.echo.gate.add_permits(2);
        for (index, kind) in kinds.iter().enumerate() {
            if *kind != b'0' {
                let answer = soon(channel.recv()).await.unwrap().unwrap();
                assert_eq!(
                    *answer,
                    [*kind, u8::try_from(index).unwrap()],
                    "{transport}"
                );
            }
        }
    }
}

#[tokio::test]
async fn channels_of_one_quic_connection_do_not_wait_for_one_another() {
    let world = start(&ALL, Limits::default());
    let port = world.address(Transport::Quic).port();
    let connector = world.connector(Transport::Quic);
    let connection = connector.connect("localhost", port).await.unwrap();
    let mut slow = connection.channel().await.unwrap();
    let mut fast = connection.channel().await.unwrap();
    slow.send(frame(b"w")).await.unwrap();
    for _ in 0..100 {
        fast.send(frame(b"e")).await.unwrap();
        soon(fast.recv()).await.unwrap().unwrap();
    }
    world.echo.gate.add_permits(1);
    soon(slow.recv()).await.unwrap().unwrap();
    let counts = world.server.counters().transport(Transport::Quic);
    let open = counts
        .connections_open
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(open, 1);
}

#[tokio::test]
async fn a_session_that_closes_ends_its_connection_only() {
    let world = start(&ALL, Limits::default());
    for transport in EACH {
        let mut other = world.channel(transport).await;
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"x")).await.unwrap();
        match soon(channel.recv()).await {
            Ok(None) | Err(ChannelError::Connection(ConnectError::Lost { .. })) => {}
            other => panic!("{transport}: {other:?}"),
        }
        other.send(frame(b"e")).await.unwrap();
        soon(other.recv()).await.unwrap().unwrap();
    }
    assert_eq!(world.server.counters().rejected_for(Rejected::Session), 3);
}

/// Sends raw bytes to the plaintext port and waits until the broker has closed.
async fn raw(world: &World, bytes: &[u8], then_finish: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.address(Transport::Plain))
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    if then_finish {
        stream.shutdown().await.unwrap();
    }
    let mut got = Vec::new();
    // A reset is an end as well.
    let _ = soon(stream.read_to_end(&mut got)).await;
    got
}

#[tokio::test]
async fn bad_frames_end_their_connection_and_are_told_apart() {
    let world = start(&ALL, small_limits());
    let counters = world.server.counters().clone();
    let two_gigabytes = 0x7fff_ffff_u32.to_be_bytes();
    assert!(raw(&world, &two_gigabytes, false).await.is_empty());
    assert!(raw(&world, &(-5_i32).to_be_bytes(), false).await.is_empty());
    assert_eq!(counters.rejected_for(Rejected::FrameTooLarge), 2);
    raw(&world, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", false).await;
    raw(&world, b"GET / HTTP/1.1\r\n\r\n", false).await;
    assert_eq!(counters.rejected_for(Rejected::Foreign), 2);
    // What came whole before the cut is answered.
    let cut = [frame(b"entire").concat(), vec![0, 0, 0, 9, 1, 2]].concat();
    assert_eq!(raw(&world, &cut, true).await, frame(b"entire").concat());
    raw(&world, &[0, 0], true).await;
    assert_eq!(counters.rejected_for(Rejected::FrameCut), 2);
    // The same on QUIC; there the connection's other streams live on.
    let port = world.address(Transport::Quic).port();
    let connector = world.connector(Transport::Quic);
    let connection = connector.connect("127.0.0.1", port).await.unwrap();
    let mut bad = connection.channel().await.unwrap();
    bad.send(vec![Bytes::copy_from_slice(&two_gigabytes)])
        .await
        .unwrap();
    assert!(soon(bad.recv()).await.unwrap().is_none());
    assert_eq!(counters.rejected_for(Rejected::FrameTooLarge), 3);
    let mut good = connection.channel().await.unwrap();
    good.send(frame(b"fine")).await.unwrap();
    assert_eq!(*soon(good.recv()).await.unwrap().unwrap(), *b"fine");
}

#[tokio::test]
async fn promised_bytes_take_no_memory_and_a_stalled_frame_is_cut_off() {
    let limits = Limits {
        frame_stall: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = start(&ALL, limits);
    let before = resident_bytes();
    let mut streams = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(world.address(Transport::Plain))
            .await
            .unwrap();
        // 99 MB, of which 3 bytes come.
        stream
            .write_all(&99_000_000_u32.to_be_bytes())
            .await
            .unwrap();
        stream.write_all(b"abc").await.unwrap();
        streams.push(stream);
    }
    for mut stream in streams {
        let mut got = Vec::new();
        let _ = soon(stream.read_to_end(&mut got)).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for promises");
    assert_eq!(
        world.server.counters().rejected_for(Rejected::FrameStalled),
        40
    );
    assert_eq!(world.server.request_bytes_in_flight(), 0);
    let mut channel = world.channel(Transport::Plain).await;
    channel.send(frame(b"still here")).await.unwrap();
    soon(channel.recv()).await.unwrap().unwrap();
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0) * 4096
}

#[tokio::test]
async fn a_slow_service_slows_the_sender_and_not_the_memory() {
    let limits = Limits {
        frame_bytes_max: 1 << 20,
        request_bytes_in_flight_max: 4 << 20,
        ..Limits::default()
    };
    for transport in EACH {
        let world = start(&ALL, limits.clone());
        let (mut send, mut receive) = world.channel(transport).await.split();
        let count = 64;
        let sending = tokio::spawn(async move {
            for _ in 0..count {
                send.send(frame(&body(b'w', 1 << 20))).await.unwrap();
            }
            send
        });
        let held = || world.server.request_bytes_in_flight();
        until("the budget is spent", || held() == 4 << 20).await;
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
            assert!(held() <= 4 << 20);
        }
        assert!(!sending.is_finished(), "{transport}: nothing held it up");
        world.echo.gate.add_permits(count);
        for _ in 0..count {
            assert_eq!(soon(receive.recv()).await.unwrap().unwrap().len(), 1 << 20);
        }
        sending.await.unwrap();
        until("all is given back", || held() == 0).await;
    }
}

#[tokio::test]
async fn one_session_has_only_so_many_requests_under_way() {
    let limits = Limits {
        requests_in_flight_max: 3,
        ..Limits::default()
    };
    let world = start(&ALL, limits);
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        let counts = world.server.counters().transport(transport);
        let requests = || counts.requests.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..20 {
            channel.send(frame(b"w")).await.unwrap();
        }
        until("three are under way", || requests() == 3).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            assert_eq!(requests(), 3);
        }
        world.echo.gate.add_permits(20);
        for _ in 0..20 {
            soon(channel.recv()).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn further_connections_are_turned_away_and_places_come_back() {
    let limits = Limits {
        connections_per_ip_max: 2,
        ..Limits::default()
    };
    let world = start(&ALL, limits);
    let first = world.channel(Transport::Quic).await;
    let _second = world.channel(Transport::Tls).await;
    let port = world.address(Transport::Quic).port();
    let refused = world
        .connector(Transport::Quic)
        .connect("127.0.0.1", port)
        .await;
    match refused {
        Err(error @ ConnectError::Busy { .. }) => assert!(error.can_retry()),
        other => panic!("{other:?}"),
    }
    assert!(raw(&world, b"", false).await.is_empty());
    let turned_away = world
        .server
        .counters()
        .rejected_for(Rejected::ConnectionsPerIp);
    assert_eq!(turned_away, 2);
    drop(first);
    let counts = world.server.counters().transport(Transport::Quic);
    until("the place is free", || {
        counts
            .connections_open
            .load(std::sync::atomic::Ordering::Relaxed)
            == 0
    })
    .await;
    // The gauge falls a moment before the place does.
    let connector = world.connector(Transport::Quic);
    let again = async {
        while connector.connect("127.0.0.1", port).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn idle_tcp_connections_are_closed_but_not_waiting_ones() {
    let limits = Limits {
        tcp_idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let world = start(&ALL, limits);
    let mut idle = world.channel(Transport::Plain).await;
    let mut waiting = world.channel(Transport::Tls).await;
    waiting.send(frame(b"w")).await.unwrap();
    assert!(soon(idle.recv()).await.unwrap().is_none());
    world.echo.gate.add_permits(1);
    assert_eq!(*soon(waiting.recv()).await.unwrap().unwrap(), *b"w");
}

#[tokio::test]
async fn shutdown_answers_what_was_accepted_and_nothing_more() {
    let world = start(&ALL, Limits::default());
    let mut channels = Vec::new();
    for transport in EACH {
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"w accepted")).await.unwrap();
        let counts = world.server.counters().transport(transport);
        until("it is accepted", || {
            counts.requests.load(std::sync::atomic::Ordering::Relaxed) == 1
        })
        .await;
        channels.push(channel);
    }
    let quic = world.address(Transport::Quic).port();
    let plain = world.address(Transport::Plain);
    let connector = world.connector(Transport::Quic);
    let World { server, echo, .. } = world;
    let ending = tokio::spawn(server.shutdown(LONG));
    // Once nobody listens any more, the shutdown has begun.
    let closed = async { while TcpStream::connect(plain).await.is_ok() {} };
    soon(closed).await;
    assert!(connector.connect("127.0.0.1", quic).await.is_err());
    echo.gate.add_permits(3);
    for mut channel in channels {
        let answer = soon(channel.recv()).await.unwrap().unwrap();
        assert_eq!(*answer, *b"w accepted");
        match soon(channel.recv()).await {
            Ok(None) | Err(ChannelError::Connection(ConnectError::Lost { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(soon(ending).await.unwrap(), Shutdown::Complete);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let world = start(&ALL, Limits::default());
    let mut channel = world.channel(Transport::Plain).await;
    channel.send(frame(b"w")).await.unwrap();
    let counts = world.server.counters().clone();
    let requests = &counts.transport(Transport::Plain).requests;
    until("it is accepted", || {
        requests.load(std::sync::atomic::Ordering::Relaxed) == 1
    })
    .await;
    let World { server, .. } = world;
    let ended = soon(server.shutdown(Duration::from_millis(50))).await;
    assert_eq!(ended, Shutdown::CutShort);
}
