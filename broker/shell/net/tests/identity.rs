//! Who gets in and who does not, and what a client is told when it cannot connect.
mod support;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_net::{
    Certs, ClientRefusal, ConnectError, ConnectOptions, Connection, Connector, Limits, Listener,
    Profile, Rejected, Transport, TransportChoice,
};
use weir_types::Role;

const SECURE: [Transport; 2] = [Transport::Quic, Transport::Tls];

async fn connect(
    profile: Option<Profile>,
    choice: TransportChoice,
    host: &str,
    port: u16,
) -> Result<Connection, ConnectError> {
    let mut options = ConnectOptions::new(profile);
    options.transport = choice;
    options.connect_timeout = Duration::from_secs(3);
    soon(Connector::new(options)?.connect(host, port)).await
}

async fn connect_as(
    world: &World,
    transport: Transport,
    profile: Profile,
) -> Result<Connection, ConnectError> {
    let choice = match transport {
        Transport::Quic => TransportChoice::Quic,
        _ => TransportChoice::Tcp,
    };
    let port = world.address(transport).port();
    connect(Some(profile), choice, "127.0.0.1", port).await
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused() {
    let world = start(&ALL, Limits::default());
    let elsewhere = start(&["quic://127.0.0.1:0"], Limits::default());
    let stranger = elsewhere.profile("mallory", Role::Admin);
    for transport in SECURE {
        // It does not trust this broker ...
        match connect_as(&world, transport, stranger.clone()).await {
            Err(error @ ConnectError::ServerUntrusted { .. }) => assert!(!error.can_retry()),
            other => panic!("{transport}: {other:?}"),
        }
        // ... and when it does, this broker does not trust it.
        let trusting = Profile {
            ca: world.certs.ca_pem().to_owned(),
            ..stranger.clone()
        };
        match connect_as(&world, transport, trusting).await {
            Err(ConnectError::ClientRefused { why, .. }) => {
                assert_eq!(why, ClientRefusal::Untrusted, "{transport}");
            }
            other => panic!("{transport}: {other:?}"),
        }
    }
    let counters = world.server.counters();
    until("both are counted", || {
        counters.rejected_for(Rejected::UntrustedCertificate) == 2
    })
    .await;
    assert!(world.echo.peers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let world = start(&ALL, Limits::default());
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let old = world
        .certs
        .issue_between("old", Role::Client, now - 7200, now - 3600, &[any()])
        .unwrap();
    for transport in SECURE {
        match connect_as(&world, transport, old.clone()).await {
            Err(ConnectError::ClientRefused { why, .. }) => {
                assert_eq!(why, ClientRefusal::Expired, "{transport}");
            }
            other => panic!("{transport}: {other:?}"),
        }
    }
    let counters = world.server.counters();
    until("both are counted", || {
        counters.rejected_for(Rejected::ExpiredCertificate) == 2
    })
    .await;
}

fn without_certificate(world: &World) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(world.certs.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate() {
    let world = start(&ALL, Limits::default());
    let counters = world.server.counters();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(without_certificate(&world)));
    let stream = TcpStream::connect(world.address(Transport::Tls))
        .await
        .unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let mut got = Vec::new();
    let told = soon(stream.read_to_end(&mut got)).await.unwrap_err();
    assert!(told.to_string().contains("CertificateRequired"), "{told}");

    let mut config = without_certificate(&world);
    config.alpn_protocols = vec![b"weir".to_vec()];
    let config = QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let address = world.address(Transport::Quic);
    let connecting = endpoint.connect_with(config, address, "127.0.0.1").unwrap();
    let refused = async {
        let connection = connecting.await?;
        connection.open_bi().await?;
        Ok::<_, quinn::ConnectionError>(())
    };
    soon(refused).await.unwrap_err();
    until("both are counted", || {
        counters.rejected_for(Rejected::NoCertificate) == 2
    })
    .await;
    assert!(world.echo.peers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn garbage_on_every_port_ends_only_itself() {
    let world = start(&ALL, Limits::default());
    let counters = world.server.counters();
    let mut stream = TcpStream::connect(world.address(Transport::Tls))
        .await
        .unwrap();
    stream.write_all(&[0; 64]).await.unwrap();
    let mut got = Vec::new();
    let _ = soon(stream.read_to_end(&mut got)).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let quic = world.address(Transport::Quic);
    for garbage in [
        vec![0; 1200],
        vec![0xff; 1200],
        b"hello".to_vec(),
        vec![0x40; 30],
    ] {
        socket.send_to(&garbage, quic).await.unwrap();
    }
    until("it is counted", || {
        counters.rejected_for(Rejected::Foreign) >= 3
    })
    .await;
    for transport in [Transport::Quic, Transport::Tls, Transport::Plain] {
        let mut channel = world.channel(transport).await;
        channel.send(frame(b"fine")).await.unwrap();
        assert_eq!(*soon(channel.recv()).await.unwrap().unwrap(), *b"fine");
    }
}

#[tokio::test]
async fn a_broker_under_another_name_is_not_trusted() {
    let data = tempfile::tempdir().unwrap();
    let listeners = listeners(&["quic://127.0.0.1:0", "tls://127.0.0.1:0"]);
    let certs = Certs::open(data.path(), &["broker.example".to_owned()], &any()).unwrap();
    let world = start_with(data, certs, listeners, Limits::default());
    for transport in SECURE {
        let profile = world.profile("alice", Role::Client);
        match connect_as(&world, transport, profile).await {
            Err(error @ ConnectError::ServerName { .. }) => {
                let text = error.to_string();
                assert!(
                    text.contains("broker.example") && text.contains("--advertise"),
                    "{text}"
                );
            }
            other => panic!("{transport}: {other:?}"),
        }
    }
}

fn listeners(listen: &[&str]) -> Vec<Listener> {
    Listener::parse_all(listen.iter().map(|text| (*text, None))).unwrap()
}

/// Puts a server certificate that expired an hour ago in place of the one that is there.
fn expire_server(folder: &Path) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let ca_key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).unwrap();
    let key = rcgen::KeyPair::from_pem(&read("server-key.pem")).unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(2);
    params.not_after = now - time::Duration::hours(1);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
}

#[tokio::test]
async fn an_expired_broker_is_told_and_a_restart_renews_it() {
    let data = tempfile::tempdir().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certs = Certs::open(data.path(), &names, &any()).unwrap();
    expire_server(certs.folder());
    let certs = Certs::load(data.path()).unwrap();
    let listening = listeners(&["quic://127.0.0.1:0", "tls://127.0.0.1:0"]);
    let world = start_with(data, certs, listening.clone(), Limits::default());
    for transport in SECURE {
        let profile = world.profile("alice", Role::Client);
        match connect_as(&world, transport, profile).await {
            Err(ConnectError::ServerExpired { .. }) => {}
            other => panic!("{transport}: {other:?}"),
        }
    }
    let World { data, server, .. } = world;
    drop(server);
    let certs = Certs::open(data.path(), &names, &any()).unwrap();
    let world = start_with(data, certs, listening, Limits::default());
    for transport in SECURE {
        let profile = world.profile("alice", Role::Client);
        connect_as(&world, transport, profile).await.unwrap();
    }
}

async fn free_port() -> u16 {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn silence_is_told_from_nobody_there_and_from_blocked_udp() {
    let world = start(&["tls://127.0.0.1:0"], Limits::default());
    let profile = || Some(world.profile("alice", Role::Client));
    let free = free_port().await;
    let begun = Instant::now();
    for choice in [
        TransportChoice::Quic,
        TransportChoice::Tcp,
        TransportChoice::Auto,
    ] {
        match connect(profile(), choice, "127.0.0.1", free).await {
            Err(error @ ConnectError::NobodyListens { .. }) => assert!(error.can_retry()),
            other => panic!("{choice}: {other:?}"),
        }
    }
    // The system says so; nobody had to wait for a time-out.
    assert!(begun.elapsed() < Duration::from_secs(2));

    // UDP datagrams go nowhere: a socket that nobody reads stands for a firewall.
    let port = world.address(Transport::Tls).port();
    let _silent = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
    match connect(profile(), TransportChoice::Quic, "127.0.0.1", port).await {
        Err(error @ ConnectError::UdpBlocked { .. }) => {
            assert!(error.to_string().contains("--transport tcp"));
        }
        other => panic!("{other:?}"),
    }
    let connection = connect(profile(), TransportChoice::Auto, "127.0.0.1", port).await;
    assert_eq!(connection.unwrap().transport(), Transport::Tls);

    let nowhere = connect(profile(), TransportChoice::Auto, "no-such-host.invalid", 1).await;
    assert!(
        matches!(nowhere, Err(ConnectError::Name { .. })),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn a_client_without_profile_reaches_loopback_only() {
    let world = start(&ALL, Limits::default());
    let port = world.address(Transport::Plain).port();
    let connection = connect(None, TransportChoice::Auto, "localhost", port).await;
    assert_eq!(connection.unwrap().transport(), Transport::Plain);
    let quic = connect(None, TransportChoice::Quic, "localhost", port).await;
    assert!(
        matches!(quic, Err(ConnectError::NoProfile { .. })),
        "{quic:?}"
    );
    // 192.0.2.0/24 is for documents: nothing is sent there.
    let away = connect(None, TransportChoice::Auto, "192.0.2.1", 9092).await;
    assert!(
        matches!(away, Err(ConnectError::PlainNotOnLoopback { .. })),
        "{away:?}"
    );
    // With a profile, TCP takes what a loopback listener offers.
    let profile = world.profile("alice", Role::Client);
    let tcp = connect(Some(profile), TransportChoice::Tcp, "localhost", port).await;
    let tcp = tcp.unwrap();
    assert_eq!(tcp.transport(), Transport::Plain);
    // It tried TLS before, which is no misdeed; who only speaks TLS is told, as ever.
    let counters = world.server.counters();
    assert_eq!(counters.rejected_for(Rejected::Foreign), 0);
    let mut stranger = TcpStream::connect(world.address(Transport::Plain))
        .await
        .unwrap();
    let hello = [&b"\x16\x03\x01\x00\x09"[..], b"a record "].concat();
    stranger.write_all(&hello).await.unwrap();
    let mut got = Vec::new();
    let _ = soon(stranger.read_to_end(&mut got)).await;
    assert_eq!(counters.rejected_for(Rejected::Foreign), 1);
    let mut further = [tcp.channel().await.unwrap(), tcp.channel().await.unwrap()];
    for channel in &mut further {
        channel.send(frame(b"fine")).await.unwrap();
        assert_eq!(*soon(channel.recv()).await.unwrap().unwrap(), *b"fine");
    }
}

#[tokio::test]
async fn ipv6_works_by_address() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6 loopback: nothing to see");
        return;
    }
    let world = start(&["[::1]:0", "tls://[::1]:0"], Limits::default());
    let quic = world.address(Transport::Quic);
    assert_eq!(quic.port(), world.address(Transport::Plain).port());
    for (choice, port) in [
        (TransportChoice::Quic, quic.port()),
        (TransportChoice::Tcp, quic.port()),
        (TransportChoice::Tcp, world.address(Transport::Tls).port()),
    ] {
        let profile = world.profile("alice", Role::Client);
        let connection = connect(Some(profile), choice, "::1", port).await.unwrap();
        let mut channel = connection.channel().await.unwrap();
        channel.send(frame(b"fine")).await.unwrap();
        assert_eq!(*soon(channel.recv()).await.unwrap().unwrap(), *b"fine");
    }
}

#[tokio::test]
async fn a_restarted_broker_ends_the_connections_of_the_one_before() {
    let world = start(&["quic://127.0.0.1:0"], Limits::default());
    let address = world.address(Transport::Quic);
    let mut options = ConnectOptions::new(Some(world.profile("alice", Role::Client)));
    options.transport = TransportChoice::Quic;
    // Long enough that silence alone would not end this test in time.
    options.idle_timeout = Duration::from_secs(30);
    let connector = Connector::new(options).unwrap();
    let connection = connector
        .connect("127.0.0.1", address.port())
        .await
        .unwrap();
    let World {
        data,
        certs,
        server,
        ..
    } = world;
    drop(server);
    let begun = Instant::now();
    let again = listeners(&[&format!("quic://{address}")]);
    let _world = start_with(data, certs, again, Limits::default());
    let ended = soon(connection.closed()).await;
    assert!(ended.to_string().contains("was restarted"), "{ended}");
    assert!(ended.can_retry());
    assert!(begun.elapsed() < Duration::from_secs(5));
    connector
        .connect("127.0.0.1", address.port())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_broker_that_dies_is_missed_soon() {
    let world = start(&["quic://127.0.0.1:0"], Limits::default());
    let port = world.address(Transport::Quic).port();
    let mut options = ConnectOptions::new(Some(world.profile("alice", Role::Client)));
    options.idle_timeout = Duration::from_millis(2_000);
    let connector = Connector::new(options).unwrap();
    let connection = connector.connect("127.0.0.1", port).await.unwrap();
    // Kept alive for longer than the idle time, ...
    let mut channel = connection.channel().await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(4_000), channel.recv()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    // ... and given up soon after nobody answers.
    drop(world.server);
    let ended = soon(connection.closed()).await;
    assert!(ended.to_string().contains("fallen silent"), "{ended}");
}

#[tokio::test]
async fn many_handshakes_at_once_all_get_in() {
    let limits = Limits {
        handshakes_before_retry: 2,
        ..Limits::default()
    };
    let world = start(&["quic://127.0.0.1:0"], limits);
    let address: SocketAddr = world.address(Transport::Quic);
    let profile = world.profile("alice", Role::Client);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let connector = connector(Some(profile.clone()), Transport::Quic);
        all.spawn(async move {
            let connection = connector.connect("127.0.0.1", address.port()).await?;
            connection
                .channel()
                .await
                .map(|channel| (connection, channel))
        });
    }
    while let Some(done) = soon(all.join_next()).await {
        done.unwrap().unwrap();
    }
}
