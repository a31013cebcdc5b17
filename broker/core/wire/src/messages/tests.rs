//! Holds every message of Kafka in every version against the `kafka-protocol` crate, both ways;
//! and feeds every decoder with damaged bytes.

use super::sample::{Sample, Seed, Tree, parse_debug};
use crate::{
    ApiKey, Message, Reader, Request, Response, Text, Writer,
    api::RequestBody,
    decode_any_response, decode_request,
    embedded::Embedded,
    encode_request, encode_response,
    header::ResponseHeader,
    limits::{DECODED_GROWTH_MAX, DECODED_RESPONSE_GROWTH_MAX},
};
use bytes::{Bytes, BytesMut};
use core::fmt::Debug;
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, HeaderVersion},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, format, vec::Vec};

/// Values tried for each message and version.
const SAMPLES: u64 = 60;

fn joined(segments: &[Bytes]) -> Bytes {
    assert!(segments.iter().all(|segment| !segment.is_empty()));
    segments.concat().into()
}

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    let size = writer.len();
    if size == 0 {
        return Bytes::new();
    }
    let bytes = joined(&writer.finish());
    assert_eq!(bytes.len(), size);
    bytes
}

fn decoded<M: Message>(bytes: &Bytes, version: i16) -> M {
    let mut reader = Reader::new(bytes.clone());
    let message = M::decode(&mut reader, version).unwrap();
    reader.end().unwrap();
    message
}

/// Every field of ours is in theirs, by name and value (theirs has more: fields this version lacks;
/// ours has the tagged ones of Weir's own, which theirs keeps as bytes).
fn assert_within(ours: &Tree, theirs: &Tree, place: &str) {
    match (ours, theirs) {
        (Tree::Struct(ours), Tree::Struct(theirs)) => {
            for (name, value) in ours.iter().filter(|(name, _)| !name.starts_with("weir_")) {
                let place = format!("{place}.{name}");
                let other = theirs.iter().find(|(other, _)| other == name);
                let (_, other) = other.unwrap_or_else(|| panic!("{place} is not in theirs"));
                assert_within(value, other, &place);
            }
        }
        (Tree::List(ours), Tree::List(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_within(ours, theirs, place);
            }
        }
        (Tree::Leaf(ours), Tree::Leaf(theirs)) => assert_eq!(ours, theirs, "{place}"),
        _ => panic!("{place}: {ours:?} against {theirs:?}"),
    }
}

/// One message in one version: our bytes through their types and back, field by field, and their
/// own default through ours.
fn compare<O, T>(version: i16)
where
    O: Message + Sample + PartialEq,
    T: Decodable + Encodable + Debug + Default,
{
    for seed in 0..SAMPLES {
        let ours = O::sample(&mut Seed(seed), version);
        let bytes = encoded(&ours, version);
        assert_eq!(decoded::<O>(&bytes, version), ours);

        let mut rest = bytes.clone();
        let other = T::decode(&mut rest, version).unwrap();
        assert!(rest.is_empty(), "{} v{version}: they left bytes", O::NAME);
        let place = format!("{} v{version}", O::NAME);
        assert_within(
            &ours.tree(version),
            &parse_debug(&format!("{other:?}")),
            &place,
        );
        let mut back = BytesMut::new();
        other.encode(&mut back, version).unwrap();
        assert_eq!(back, bytes, "{place}");
    }
    let mut default = BytesMut::new();
    // Some of their defaults cannot be written in some of their versions.
    if T::default().encode(&mut default, version).is_ok() {
        let bytes = default.freeze();
        assert_eq!(encoded(&decoded::<O>(&bytes, version), version), bytes);
    }
}

/// A whole request and a whole response of one version, headers included.
fn compare_frames<Q, TQ, TR>(version: i16)
where
    Q: RequestBody + Sample + PartialEq + Clone + Into<Request>,
    Q::Response: Sample + Clone + Into<Response>,
    TQ: Decodable + HeaderVersion,
    TR: Encodable + Decodable + HeaderVersion,
{
    let request = Q::sample(&mut Seed(7), version);
    let client = Text::from("test");
    let frame = joined(&encode_request(9, Some(&client), version, &request).unwrap());
    let size = u32::try_from(frame.len() - 4).unwrap();
    assert_eq!(frame[..4], size.to_be_bytes());
    let (header, body) = decode_request(frame.slice(4..)).unwrap();
    assert_eq!((header.api_key, header.api_version), (Q::KEY, version));
    assert_eq!((header.correlation_id, header.client_id), (9, Some(client)));
    assert_eq!(body, request.into());
    let mut rest = frame.slice(4..);
    let header = theirs::RequestHeader::decode(&mut rest, TQ::header_version(version)).unwrap();
    assert_eq!(header.request_api_key, Q::KEY);
    assert_eq!(header.client_id.as_deref(), Some("test"));
    TQ::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty());

    let response = Q::Response::sample(&mut Seed(8), version);
    let frame = joined(&encode_response(9, version, &response.clone().into()).unwrap());
    let (correlation_id, body) = decode_any_response(frame.slice(4..), Q::API, version).unwrap();
    assert_eq!((correlation_id, body), (9, response.into()));
    let mut rest = frame.slice(4..);
    let header = theirs::ResponseHeader::decode(&mut rest, TR::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 9);
    TR::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty());
}

/// One of Weir's own messages in one version: round trips.
fn round_trip<M: Message + Sample + PartialEq>(version: i16) {
    for seed in 0..SAMPLES {
        let message = M::sample(&mut Seed(seed), version);
        assert_eq!(decoded::<M>(&encoded(&message, version), version), message);
    }
}

/// A whole request and a whole response of Weir's own, headers included.
fn round_trip_frames<Q>(version: i16)
where
    Q: RequestBody + Sample + Clone + Into<Request>,
    Q::Response: Sample + Clone + Into<Response>,
{
    let request = Q::sample(&mut Seed(7), version);
    let frame = joined(&encode_request(9, None, version, &request).unwrap());
    let (header, body) = decode_request(frame.slice(4..)).unwrap();
    assert_eq!((header.api_key, header.api_version), (Q::KEY, version));
    assert_eq!(body, request.into());
    let response = Q::Response::sample(&mut Seed(8), version);
    let frame = joined(&encode_response(9, version, &response.clone().into()).unwrap());
    let (correlation_id, body) = decode_any_response(frame.slice(4..), Q::API, version).unwrap();
    assert_eq!((correlation_id, body), (9, response.into()));
}

/// Bytes embedded in other messages, our own through their types and back.
fn compare_embedded<O, T>()
where
    O: Embedded + Sample + PartialEq + Debug,
    T: Decodable + Encodable + Debug,
{
    for version in O::VERSIONS.min..=O::VERSIONS.max {
        for seed in 0..SAMPLES {
            let ours = O::sample(&mut Seed(seed), version);
            let bytes = ours.to_bytes(version).unwrap();
            let mut rest = bytes.slice(2..);
            let other = T::decode(&mut rest, version).unwrap();
            assert!(rest.is_empty(), "{} v{version}: they left bytes", O::NAME);
            let place = format!("{} v{version}", O::NAME);
            let tree = parse_debug(&format!("{other:?}"));
            assert_within(&ours.tree(version), &tree, &place);
            let mut back = BytesMut::from(&version.to_be_bytes()[..]);
            other.encode(&mut back, version).unwrap();
            assert_eq!(back, bytes, "{place}");
            for end in 0..bytes.len() {
                let error = O::from_bytes(bytes.slice(..end)).unwrap_err();
                assert!(!error.message.is_empty() && !error.field.is_empty());
            }
            assert_eq!(O::from_bytes(bytes).unwrap(), (version, ours));
        }
    }
}

macro_rules! oracle {
    (
        kafka { $($api:ident: $request:ident, $response:ident, $versions:expr;)* }
        weir { $($own:ident: $own_request:ident, $own_response:ident;)* }
    ) => {
        $(
            #[allow(non_snake_case)]
            #[test]
            fn $api() {
                for version in $versions {
                    compare::<super::$request, theirs::$request>(version);
                    compare::<super::$response, theirs::$response>(version);
                    compare_frames::<super::$request, theirs::$request, theirs::$response>(version);
                }
            }
        )*

        $(
            #[allow(non_snake_case)]
            #[test]
            fn $own() {
                for version in <super::$own_request>::VERSIONS.min..=<super::$own_request>::VERSIONS.max {
                    round_trip::<super::$own_request>(version);
                    round_trip::<super::$own_response>(version);
                    round_trip_frames::<super::$own_request>(version);
                }
            }
        )*

        /// Versions no oracle reaches; each has golden bytes in `tests/golden.rs`.
        #[test]
        fn only_golden_versions_go_without_an_oracle() {
            let mut missing = Vec::new();
            let compared = [$((ApiKey::$api, $versions),)*];
            for api in ApiKey::ALL {
                let reached: BTreeSet<i16> = compared
                    .iter()
                    .filter(|(other, _)| other == api)
                    .flat_map(|(_, versions)| versions.clone())
                    .collect();
                let supported = api.supported();
                let unreached = (supported.min..=supported.max).filter(|v| !reached.contains(v));
                missing.extend(unreached.map(|version| (api.name(), version)));
            }
            let own = [$((ApiKey::$own.name(), 0),)*];
            let kafkas = [("Produce", 0), ("Produce", 1), ("Produce", 2), ("OffsetCommit", 10), ("OffsetFetch", 10)];
            assert_eq!(missing, [&kafkas[..], &own[..]].concat());
        }

        fn decode_anything(bytes: &Bytes) {
            $(decode_both::<super::$request>(bytes);)*
            $(decode_both::<super::$own_request>(bytes);)*
            let _ = super::ConsumerProtocolSubscription::from_bytes(bytes.clone());
            let _ = super::ConsumerProtocolAssignment::from_bytes(bytes.clone());
        }

        /// No message, whatever it claims, makes more of its bytes than the limit says.
        #[test]
        fn memory_grows_with_the_bytes() {
            $(check_growth::<super::$request>();)*
            $(check_growth::<super::$own_request>();)*
        }

        /// Every message cut short anywhere is refused, and so is one with a byte too many.
        #[test]
        fn truncated_messages_are_refused() {
            $(refuse_truncated_both::<super::$request>();)*
            $(refuse_truncated_both::<super::$own_request>();)*
        }
    };
}

fn decode_both<Q: RequestBody>(bytes: &Bytes) {
    for version in Q::VERSIONS.min..=Q::VERSIONS.max {
        let _ = Q::decode(&mut Reader::new(bytes.clone()), version);
        let _ = Q::Response::decode(&mut Reader::new(bytes.clone()), version);
    }
}

fn check_growth<Q>()
where
    Q: RequestBody + Sample,
    Q::Response: Sample,
{
    for version in Q::VERSIONS.min..=Q::VERSIONS.max {
        let growth = Q::growth(Q::form(version));
        assert!(
            growth <= DECODED_GROWTH_MAX,
            "{} v{version}: {growth}",
            Q::NAME
        );
        let growth = Q::Response::growth(Q::Response::form(version));
        let name = Q::Response::NAME;
        assert!(
            growth <= DECODED_RESPONSE_GROWTH_MAX,
            "{name} v{version}: {growth}"
        );
    }
}

fn refuse_truncated_both<Q>()
where
    Q: RequestBody + Sample,
    Q::Response: Sample,
{
    for version in Q::VERSIONS.min..=Q::VERSIONS.max {
        refuse_truncated::<Q>(version);
        refuse_truncated::<Q::Response>(version);
    }
}

fn refuse_truncated<M: Message + Sample>(version: i16) {
    for seed in 0..4 {
        let bytes = encoded(&M::sample(&mut Seed(seed), version), version);
        for end in 0..bytes.len() {
            let mut reader = Reader::new(bytes.slice(..end));
            let error = M::decode(&mut reader, version).unwrap_err();
            assert!(
                !error.message.is_empty() && !error.field.is_empty(),
                "{error}"
            );
        }
    }
}

oracle! {
    kafka {
        Produce: ProduceRequest, ProduceResponse, 3..=13;
        Fetch: FetchRequest, FetchResponse, 4..=18;
        ListOffsets: ListOffsetsRequest, ListOffsetsResponse, 1..=10;
        Metadata: MetadataRequest, MetadataResponse, 0..=13;
        OffsetCommit: OffsetCommitRequest, OffsetCommitResponse, 2..=9;
        OffsetFetch: OffsetFetchRequest, OffsetFetchResponse, 1..=9;
        FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse, 0..=6;
        JoinGroup: JoinGroupRequest, JoinGroupResponse, 0..=9;
        Heartbeat: HeartbeatRequest, HeartbeatResponse, 0..=4;
        LeaveGroup: LeaveGroupRequest, LeaveGroupResponse, 0..=5;
        SyncGroup: SyncGroupRequest, SyncGroupResponse, 0..=5;
        DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse, 0..=6;
        ListGroups: ListGroupsRequest, ListGroupsResponse, 0..=5;
        ApiVersions: ApiVersionsRequest, ApiVersionsResponse, 0..=4;
        CreateTopics: CreateTopicsRequest, CreateTopicsResponse, 2..=7;
        DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse, 1..=6;
        DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse, 0..=2;
        InitProducerId: InitProducerIdRequest, InitProducerIdResponse, 0..=5;
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, 2..=4;
        DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse, 1..=4;
        AlterConfigs: AlterConfigsRequest, AlterConfigsResponse, 0..=2;
        DescribeLogDirs: DescribeLogDirsRequest, DescribeLogDirsResponse, 1..=4;
        CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse, 0..=3;
        DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse, 0..=2;
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, 0..=1;
        OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse, 0..=0;
        DescribeCluster: DescribeClusterRequest, DescribeClusterResponse, 0..=2;
        DescribeProducers: DescribeProducersRequest, DescribeProducersResponse, 0..=0;
        ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, 0..=1;
        ConsumerGroupDescribe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, 0..=1;
        DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, 0..=0;
    }
    weir {
        GroupHistory: GroupHistoryRequest, GroupHistoryResponse;
        GroupWatch: GroupWatchRequest, GroupWatchResponse;
        Lag: LagRequest, LagResponse;
        LagHistory: LagHistoryRequest, LagHistoryResponse;
        DeployPlugin: DeployPluginRequest, DeployPluginResponse;
        DescribePlugins: DescribePluginsRequest, DescribePluginsResponse;
        ActivatePlugin: ActivatePluginRequest, ActivatePluginResponse;
        RemovePlugin: RemovePluginRequest, RemovePluginResponse;
        GetPlugin: GetPluginRequest, GetPluginResponse;
        PluginLogs: PluginLogsRequest, PluginLogsResponse;
        PluginFailures: PluginFailuresRequest, PluginFailuresResponse;
        CreateView: CreateViewRequest, CreateViewResponse;
        DescribeViews: DescribeViewsRequest, DescribeViewsResponse;
        CreateJob: CreateJobRequest, CreateJobResponse;
        DescribeJobs: DescribeJobsRequest, DescribeJobsResponse;
        AlterJob: AlterJobRequest, AlterJobResponse;
        CheckChain: CheckChainRequest, CheckChainResponse;
    }
}

/// The oracle has version 10 of these in responses only.
#[test]
fn responses_with_topic_ids() {
    compare::<super::OffsetCommitResponse, theirs::OffsetCommitResponse>(10);
    compare::<super::OffsetFetchResponse, theirs::OffsetFetchResponse>(10);
}

#[test]
fn the_consumer_protocol() {
    compare_embedded::<super::ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>();
    compare_embedded::<super::ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>();
}

/// A consumer of a later Kafka is understood as far as Weir knows; one that cannot exist is not.
#[test]
fn versions_of_the_consumer_protocol() {
    let assignment = super::ConsumerProtocolAssignment {
        assigned_partitions: Vec::new(),
        user_data: Some(Bytes::from_static(b"u")),
    };
    let mut bytes = assignment.to_bytes(3).unwrap().to_vec();
    bytes[1] = 9;
    bytes.extend_from_slice(b"more");
    let read = super::ConsumerProtocolAssignment::from_bytes(bytes.into()).unwrap();
    assert_eq!(read, (9, assignment.clone()));
    let error = super::ConsumerProtocolAssignment::from_bytes(Bytes::from_static(&[0xff; 20]));
    let error = error.unwrap_err();
    assert_eq!(
        format!("{error}"),
        "ConsumerProtocolAssignment.version: version -1 does not exist"
    );
    assert!(assignment.to_bytes(4).is_err());
}

/// What is declared but not answered yet is never advertised, and is read all the same.
#[test]
fn only_what_is_answered_is_advertised() {
    let advertised: BTreeSet<i16> = ApiKey::advertised().iter().map(|row| row.api_key).collect();
    for api in ApiKey::ALL {
        assert_eq!(advertised.contains(&api.key()), api.is_answered(), "{api}");
    }
    assert!(ApiKey::Fetch.is_answered());
}

#[test]
fn keys_and_names_are_kafkas() {
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_key(api.key()), Some(*api));
        if api.is_weirs() {
            continue;
        }
        let other = theirs::ApiKey::try_from(api.key()).unwrap();
        assert_eq!(format!("{other:?}"), api.name());
    }
    assert!(ApiKey::ALL.is_sorted_by_key(|api| api.key()));
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    let message = super::InitProducerIdRequest::default();
    let plain = encoded(&message, 2);
    let mut bytes = plain.to_vec();
    assert_eq!(bytes.pop(), Some(0));
    bytes.extend_from_slice(&[2, 5, 1, 0xff, 0x80, 1, 2, 3, 4]);
    assert_eq!(
        decoded::<super::InitProducerIdRequest>(&bytes.into(), 2),
        message
    );
}

#[test]
fn a_field_the_version_lacks_is_refused_unless_ignorable() {
    let mut request = super::MetadataRequest {
        topics: Some(Vec::new()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let mut writer = Writer::new();
    let error = request.encode(&mut writer, 1).unwrap_err();
    assert_eq!(
        (error.message, error.field),
        ("MetadataRequest", "allow_auto_topic_creation")
    );
    request.allow_auto_topic_creation = true;
    request.topics = None;
    request.encode(&mut writer, 1).unwrap();
    let error = request.encode(&mut writer, 0).unwrap_err();
    assert_eq!(
        format!("{}", error.fault),
        "null, which version 0 does not allow"
    );
}

#[test]
fn only_produce_may_fill_a_frame() {
    let mut frame = std::vec![0; crate::limits::REQUEST_BYTES_MAX + 1];
    frame[..4].copy_from_slice(&[0, 1, 0, 12]);
    let error = decode_request(frame.clone().into()).unwrap_err();
    assert!(matches!(
        error,
        crate::RequestError::TooLarge {
            api: ApiKey::Fetch,
            ..
        }
    ));
    frame[..4].copy_from_slice(&[0, 0, 0, 9]);
    let error = decode_request(frame.into()).unwrap_err();
    assert!(matches!(error, crate::RequestError::Malformed { .. }));
}

#[test]
fn response_headers_of_api_versions_stay_plain() {
    let body = super::ApiVersionsResponse::default();
    let frame = joined(&encode_response(5, 3, &body.into()).unwrap());
    let header = ResponseHeader::read(&mut Reader::new(frame.slice(4..)), false).unwrap();
    assert_eq!(header.correlation_id, 5);
    assert_eq!(frame.len(), 4 + 4 + 2 + 1 + 4 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        decode_anything(&bytes);
        let _ = decode_request(bytes);
    }

    /// Valid messages with a few bytes changed reach much deeper than arbitrary bytes do.
    #[test]
    fn damaged_messages_never_panic(
        seed in any::<u64>(),
        version in 4i16..=18,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded(&super::FetchResponse::sample(&mut Seed(seed), version), version).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_anything(&bytes.into());
    }
}
