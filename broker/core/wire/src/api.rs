//! The table of APIs, and whole requests and responses in and out of frames.
//!
//! An API is one line of the table. What the broker advertises, what it can read and what it can
//! answer all come from there, so that no two of them can disagree. A line that ends in
//! `unanswered` declares messages that the broker does not answer yet: it keeps them out of what
//! it advertises. Weir's own APIs take keys from [`WEIR_KEY_MIN`] on.

use crate::{
    codec::{DecodeError, EncodeError, EncodeFault, Message, Reader, Versions, Writer},
    frame::{self, HEAD_BYTES},
    header::{RequestHeader, ResponseHeader},
    limits::REQUEST_BYTES_MAX,
    messages::{self, ApiVersion, ApiVersionsResponse},
    text::Text,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use thiserror::Error;
use weir_types::{ErrorCode, limits::FRAME_BYTES_MAX};

/// The lowest key of Weir's own APIs, far above any that Kafka has given out.
pub const WEIR_KEY_MIN: i16 = 10_000;

/// A request body, tied to the response it is answered with.
pub trait RequestBody: Message {
    /// What answers it.
    type Response: Message;
    /// Its API.
    const API: ApiKey;
}

/// The flag of a line of the table.
macro_rules! answered {
    () => {
        true
    };
    (unanswered) => {
        false
    };
}

macro_rules! apis {
    ($($api:ident: $request:ident => $response:ident, $text:literal $(, $unanswered:ident)?;)*) => {
        /// An API that Weir speaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ApiKey {
            $(#[doc = $text] $api,)*
        }

        impl ApiKey {
            /// Every API, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$api,)*];

            /// The API of a number, if Weir speaks it.
            #[must_use]
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $(<messages::$request as Message>::KEY => Some(Self::$api),)*
                    _ => None,
                }
            }

            /// Its number.
            #[must_use]
            pub const fn key(self) -> i16 {
                match self { $(Self::$api => <messages::$request as Message>::KEY,)* }
            }

            /// Kafka's name of it, or Weir's for its own.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$api => stringify!($api),)* }
            }

            /// Whether the broker answers it: only then is it advertised.
            #[must_use]
            pub const fn is_answered(self) -> bool {
                match self { $(Self::$api => answered!($($unanswered)?),)* }
            }

            /// The versions that are spoken and, if it is answered, advertised.
            #[must_use]
            pub const fn supported(self) -> Versions {
                match self { $(Self::$api => <messages::$request as Message>::VERSIONS,)* }
            }

            /// Whether a version is flexible (KIP-482).
            #[must_use]
            pub const fn is_flexible(self, version: i16) -> bool {
                match self { $(Self::$api => version >= <messages::$request as Message>::FLEXIBLE_FROM,)* }
            }
        }

        /// A request body of any API.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Request {
            $(#[doc = $text] $api(messages::$request),)*
        }

        /// A response body of any API.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Response {
            $(#[doc = concat!("Answers `", stringify!($request), "`.")] $api(messages::$response),)*
        }

        impl Request {
            /// Its API.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $(Self::$api(_) => ApiKey::$api,)* }
            }

            fn decode(api: ApiKey, reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => Ok(Self::$api(Message::decode(reader, version)?)),)*
                }
            }
        }

        impl Response {
            /// Its API.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $(Self::$api(_) => ApiKey::$api,)* }
            }

            fn decode(api: ApiKey, reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => Ok(Self::$api(Message::decode(reader, version)?)),)*
                }
            }

            fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self { $(Self::$api(body) => body.encode(writer, version),)* }
            }
        }

        $(
            impl RequestBody for messages::$request {
                type Response = messages::$response;
                const API: ApiKey = ApiKey::$api;
            }

            impl From<messages::$request> for Request {
                fn from(body: messages::$request) -> Self {
                    Self::$api(body)
                }
            }

            impl From<messages::$response> for Response {
                fn from(body: messages::$response) -> Self {
                    Self::$api(body)
                }
            }

            const _: () = {
                let request = <messages::$request as Message>::VERSIONS;
                let response = <messages::$response as Message>::VERSIONS;
                assert!(<messages::$request as Message>::KEY == <messages::$response as Message>::KEY);
                assert!(request.min == response.min && request.max == response.max);
            };
        )*
    };
}

apis! {
    Produce: ProduceRequest => ProduceResponse, "Appends records.";
    Fetch: FetchRequest => FetchResponse, "Reads records.";
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse, "Finds offsets by time.";
    Metadata: MetadataRequest => MetadataResponse, "Tells brokers, topics and leaders.";
    OffsetCommit: OffsetCommitRequest => OffsetCommitResponse, "Keeps offsets for a group.";
    OffsetFetch: OffsetFetchRequest => OffsetFetchResponse, "Tells the offsets of groups.";
    FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse, "Tells which broker coordinates a group or a transaction.";
    JoinGroup: JoinGroupRequest => JoinGroupResponse, "Joins a group.";
    Heartbeat: HeartbeatRequest => HeartbeatResponse, "Tells that a member lives.";
    LeaveGroup: LeaveGroupRequest => LeaveGroupResponse, "Leaves a group.";
    SyncGroup: SyncGroupRequest => SyncGroupResponse, "Shares out partitions.";
    DescribeGroups: DescribeGroupsRequest => DescribeGroupsResponse, "Tells all about groups of the classic protocol.";
    ListGroups: ListGroupsRequest => ListGroupsResponse, "Tells the groups.";
    ApiVersions: ApiVersionsRequest => ApiVersionsResponse, "Tells which APIs are spoken.";
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse, "Makes topics.";
    DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse, "Deletes topics.";
    DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse, "Drops records below an offset.";
    InitProducerId: InitProducerIdRequest => InitProducerIdResponse, "Hands out a producer id.";
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, "Tells where leader epochs end.";
    DescribeConfigs: DescribeConfigsRequest => DescribeConfigsResponse, "Tells configurations.";
    AlterConfigs: AlterConfigsRequest => AlterConfigsResponse, "Replaces configurations.";
    DescribeLogDirs: DescribeLogDirsRequest => DescribeLogDirsResponse, "Tells where partitions are on disk.";
    CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse, "Adds partitions to topics.";
    DeleteGroups: DeleteGroupsRequest => DeleteGroupsResponse, "Deletes groups.";
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, "Changes single configurations.";
    OffsetDelete: OffsetDeleteRequest => OffsetDeleteResponse, "Forgets offsets of a group.";
    DescribeCluster: DescribeClusterRequest => DescribeClusterResponse, "Tells the brokers.";
    DescribeProducers: DescribeProducersRequest => DescribeProducersResponse, "Tells which producers write to partitions.";
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse, "Joins, stays in or leaves a group of the consumer protocol.";
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse, "Tells all about groups of the consumer protocol.";
    DescribeTopicPartitions: DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse, "Tells topics page by page.";
    GroupHistory: GroupHistoryRequest => GroupHistoryResponse, "Tells the rebalances of groups.";
    GroupWatch: GroupWatchRequest => GroupWatchResponse, "Waits for rebalances of groups.";
    Lag: LagRequest => LagResponse, "Tells how far groups are behind and what goes through topics.";
    LagHistory: LagHistoryRequest => LagHistoryResponse, "Tells how lag and traffic went.";
    DeployPlugin: DeployPluginRequest => DeployPluginResponse, "Uploads a plugin.";
    DescribePlugins: DescribePluginsRequest => DescribePluginsResponse, "Tells plugins and where they work.";
    ActivatePlugin: ActivatePluginRequest => ActivatePluginResponse, "Makes a version of a plugin the active one.";
    RemovePlugin: RemovePluginRequest => RemovePluginResponse, "Removes versions of a plugin.";
    GetPlugin: GetPluginRequest => GetPluginResponse, "Hands out a plugin's component.";
    PluginLogs: PluginLogsRequest => PluginLogsResponse, "Tells what plugins logged.";
    PluginFailures: PluginFailuresRequest => PluginFailuresResponse, "Tells what plugins failed on.";
    CreateView: CreateViewRequest => CreateViewResponse, "Makes a view of a topic.";
    DescribeViews: DescribeViewsRequest => DescribeViewsResponse, "Tells the views.";
    CreateJob: CreateJobRequest => CreateJobResponse, "Makes a router job.";
    DescribeJobs: DescribeJobsRequest => DescribeJobsResponse, "Tells the router jobs.";
    AlterJob: AlterJobRequest => AlterJobResponse, "Pauses, resumes, restarts or deletes a router job.";
    CheckChain: CheckChainRequest => CheckChainResponse, "Tells whether a chain of plugins would work.";
}

impl ApiKey {
    /// Whether the response header of a version carries tagged fields: flexible ones do, except
    /// ApiVersions, which a client must be able to read before it knows any version.
    const fn has_tagged_response_header(self, version: i16) -> bool {
        !matches!(self, Self::ApiVersions) && self.is_flexible(version)
    }

    /// The largest request of this API, in bytes, head not counted: only those whose bytes are
    /// records or a component may fill a frame.
    #[must_use]
    pub const fn request_bytes_max(self) -> usize {
        match self {
            Self::Produce | Self::DeployPlugin => FRAME_BYTES_MAX,
            _ => REQUEST_BYTES_MAX,
        }
    }

    /// Whether it is one of Weir's own, which no Kafka client knows.
    #[must_use]
    pub const fn is_weirs(self) -> bool {
        self.key() >= WEIR_KEY_MIN
    }

    /// What an ApiVersions answer lists, in order of the keys: what is answered.
    #[must_use]
    pub fn advertised() -> Vec<ApiVersion> {
        let row = |api: &Self| ApiVersion {
            api_key: api.key(),
            min_version: api.supported().min,
            max_version: api.supported().max,
        };
        Self::ALL
            .iter()
            .filter(|api| api.is_answered())
            .map(row)
            .collect()
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a request cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No such API here.
    #[error("there is no API {key} (version {version} of it was asked for)")]
    UnknownApi {
        /// The API's number.
        key: i16,
        /// The version asked for.
        version: i16,
        /// The request's.
        correlation_id: i32,
    },
    /// The API is there, the version is not.
    #[error("{api} has no version {version} here, only {supported}")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// What there is.
        supported: Versions,
        /// The request's.
        correlation_id: i32,
    },
    /// The request is larger than this API's may be.
    #[error("{api} request of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The API.
        api: ApiKey,
        /// Bytes of the request.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are no request.
    #[error("malformed request: {error}")]
    Malformed {
        /// The header as far as it could be read.
        header: RequestHeader,
        /// What is wrong.
        error: DecodeError,
    },
}

impl RequestError {
    /// The answer that lets the connection live on: an ApiVersions request in a version that is
    /// too new is told the versions in a body of version 0 (KIP-511). Every other error ends the
    /// connection: nothing.
    #[must_use]
    pub fn answer(&self) -> Option<Vec<Bytes>> {
        let Self::UnsupportedVersion {
            api: ApiKey::ApiVersions,
            correlation_id,
            ..
        } = self
        else {
            return None;
        };
        let body = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion,
            api_keys: ApiKey::advertised(),
            ..ApiVersionsResponse::default()
        };
        encode_response(*correlation_id, 0, &body.into()).ok()
    }
}

/// Reads a request from a frame (without its size).
///
/// # Errors
/// [`RequestError`]; see [`RequestError::answer`] for what to do then.
pub fn decode_request(frame: Bytes) -> Result<(RequestHeader, Request), RequestError> {
    let size = frame.len();
    let mut reader = Reader::new(frame);
    let mut header =
        RequestHeader::read_start(&mut reader).map_err(|error| RequestError::Malformed {
            header: RequestHeader::default(),
            error,
        })?;
    let (key, version, correlation_id) =
        (header.api_key, header.api_version, header.correlation_id);
    let Some(api) = ApiKey::from_key(key) else {
        return Err(RequestError::UnknownApi {
            key,
            version,
            correlation_id,
        });
    };
    let supported = api.supported();
    if !supported.contains(version) {
        return Err(RequestError::UnsupportedVersion {
            api,
            version,
            supported,
            correlation_id,
        });
    }
    let limit = api.request_bytes_max();
    if size > limit {
        return Err(RequestError::TooLarge { api, size, limit });
    }
    let body = header
        .read_rest(&mut reader, api.is_flexible(version))
        .and_then(|()| Request::decode(api, &mut reader, version))
        .and_then(|body| at_request_end(&reader, api).map(|()| body));
    match body {
        Ok(body) => Ok((header, body)),
        Err(error) => Err(RequestError::Malformed { header, error }),
    }
}

/// Writes a response with its size in front, as segments to be sent one after the other.
///
/// # Errors
/// Where the version cannot carry the body, or the frame is larger than its size can say.
pub fn encode_response(
    correlation_id: i32,
    version: i16,
    body: &Response,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = start();
    let tagged = body.api().has_tagged_response_header(version);
    ResponseHeader { correlation_id }.write(&mut writer, tagged)?;
    body.encode(&mut writer, version)?;
    finish(writer, body.api())
}

/// Writes a request with its size in front, as segments to be sent one after the other.
///
/// # Errors
/// Where the version cannot carry the body, or the frame is larger than its size can say.
pub fn encode_request<B: RequestBody>(
    correlation_id: i32,
    client_id: Option<&Text>,
    version: i16,
    body: &B,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = start();
    let header = RequestHeader {
        api_key: B::KEY,
        api_version: version,
        correlation_id,
        client_id: client_id.cloned(),
    };
    let header_version = if B::API.is_flexible(version) { 2 } else { 1 };
    header.write(&mut writer, header_version)?;
    body.encode(&mut writer, version)?;
    finish(writer, B::API)
}

/// Reads the response to a request of type `B` from a frame (without its size); with it comes the
/// correlation id.
///
/// # Errors
/// Where the bytes are no such response.
pub fn decode_response<B: RequestBody>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, B::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let tagged = B::API.has_tagged_response_header(version);
    let header = ResponseHeader::read(&mut reader, tagged)?;
    let body = B::Response::decode(&mut reader, version)?;
    at_end(&reader, B::API)?;
    Ok((header.correlation_id, body))
}

/// As [`decode_response`], for a caller that learns the API at run time (a proxy).
///
/// # Errors
/// Where the bytes are no such response.
pub fn decode_any_response(
    frame: Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::read(&mut reader, api.has_tagged_response_header(version))?;
    let body = Response::decode(api, &mut reader, version)?;
    at_end(&reader, api)?;
    Ok((header.correlation_id, body))
}

/// librdkafka 2.16 leaves three bytes behind a Metadata request for all topics, which it sends for
/// every subscription by pattern; Kafka does not look at them. Behind any other request they mean
/// that it was misread.
fn at_request_end(reader: &Reader, api: ApiKey) -> Result<(), DecodeError> {
    match api {
        ApiKey::Metadata => Ok(()),
        api => at_end(reader, api),
    }
}

fn at_end(reader: &Reader, api: ApiKey) -> Result<(), DecodeError> {
    reader.end().map_err(|error| error.at(api.name(), "end"))
}

/// A writer with room for the size in front.
fn start() -> Writer {
    let mut writer = Writer::new();
    writer.put_slice(&[0; HEAD_BYTES]);
    writer
}

/// Fills in the size of what [`start`] began.
fn finish(mut writer: Writer, api: ApiKey) -> Result<Vec<Bytes>, EncodeError> {
    let size = writer.len() - HEAD_BYTES;
    let head = frame::head(size)
        .map_err(|_| EncodeError::from(EncodeFault::TooLong { size }).at(api.name(), "size"))?;
    writer.overwrite(0, &head);
    Ok(writer.finish())
}
