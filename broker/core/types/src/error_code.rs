//! Kafka's error codes: the wire numbers, Kafka's names, whether a retry can help, and one plain
//! sentence each (source: Kafka's protocol guide, "Error Codes", 4.x).
//!
//! The table only grows; a retired number is never used again.

use core::fmt;

macro_rules! error_codes {
    ($($(#[$attribute:meta])* $variant:ident = $code:literal, $name:literal, $retriable:literal, $text:literal;)*) => {
        /// What went wrong with a request or a part of it, as the protocol numbers it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                #[doc = $text]
                $(#[$attribute])*
                $variant = $code,
            )*
        }

        impl ErrorCode {
            /// Every code, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code of a wire number; unknown numbers read as `UnknownServerError`.
            #[must_use]
            pub const fn from_code(code: i16) -> Self {
                match code { $($code => Self::$variant,)* _ => Self::UnknownServerError }
            }

            /// Kafka's name, such as `OFFSET_OUT_OF_RANGE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same request may succeed later, as Kafka's clients see it.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self { $(Self::$variant => $retriable,)* }
            }

            /// One plain sentence without a full stop.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", false, "the server met an error it did not expect";
    #[default]
    None = 0, "NONE", false, "no error";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false, "the offset is outside the range of the log";
    CorruptMessage = 2, "CORRUPT_MESSAGE", true, "the record batch is corrupt";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", true, "this broker has no such topic or partition";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", false, "the fetch size is invalid";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", true, "the partition has no leader at the moment";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", true, "this broker is neither leader nor follower of the partition";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true, "the request timed out";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", false, "the broker is not available";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", true, "the replica is not available";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false, "the record batch is larger than the topic's max.message.bytes";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", false, "the controller moved to another broker";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", false, "the metadata kept with the offset is too large";
    NetworkException = 13, "NETWORK_EXCEPTION", true, "the connection broke before an answer came";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", true, "the coordinator is still loading";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", true, "the coordinator is not available";
    NotCoordinator = 16, "NOT_COORDINATOR", true, "this broker is not the coordinator";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", false, "the topic name is not valid or not allowed here";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", false, "the request holds a batch larger than the log can take";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", true, "fewer in-sync replicas than min.insync.replicas";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true, "the records were appended but to fewer in-sync replicas than required";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", false, "acks must be 0, 1 or -1 (all)";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", false, "the group generation is not valid";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", false, "the member's protocols do not fit the group's";
    InvalidGroupId = 24, "INVALID_GROUP_ID", false, "the group id is not valid";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", false, "the coordinator does not know this member";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", false, "the session timeout is outside the allowed range";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", false, "the group is rebalancing";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", false, "the committed offset's data is too large";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", false, "this principal may not do this to the topic";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", false, "this principal may not do this to the group";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", false, "this principal may not do this to the cluster";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", false, "the record's timestamp is out of range";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", false, "the SASL mechanism is not supported";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", false, "the request does not fit the SASL state";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false, "this version of the API is not supported";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", false, "a topic of this name exists";
    InvalidPartitions = 37, "INVALID_PARTITIONS", false, "the number of partitions is not valid";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", false, "the replication factor is not valid or larger than the number of brokers";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", false, "the replica assignment is not valid";
    InvalidConfig = 40, "INVALID_CONFIG", false, "a configuration is not valid";
    NotController = 41, "NOT_CONTROLLER", true, "this broker is not the controller";
    InvalidRequest = 42, "INVALID_REQUEST", false, "the request is malformed or not supported here";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", false, "the message format does not support this";
    PolicyViolation = 44, "POLICY_VIOLATION", false, "the request breaks a policy";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false, "the producer's sequence number has a gap";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", false, "the producer's sequence number was used before";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false, "the producer's epoch is old: a newer one has taken over";
    InvalidTxnState = 48, "INVALID_TXN_STATE", false, "the transaction is not in a state that allows this";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", false, "the producer id does not belong to this transactional id";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", false, "the transaction timeout is larger than allowed";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", true, "another operation of this transaction is under way";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", false, "a newer transaction coordinator has taken over";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false, "not allowed on this transactional id";
    SecurityDisabled = 54, "SECURITY_DISABLED", false, "security features are off";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", false, "not attempted because another part of the request failed";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", true, "the disk failed while the log was read or written";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", false, "no such log directory";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", false, "SASL authentication failed";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", false, "the broker no longer knows this producer";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", false, "a reassignment of this partition is under way";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", false, "delegation tokens are off";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", false, "no such delegation token";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", false, "the delegation token has another owner";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", false, "delegation tokens are not allowed on this channel";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", false, "not allowed on delegation tokens";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", false, "the delegation token has expired";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", false, "the principal type is not supported";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", false, "the group still has members";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", false, "no such group";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", true, "no such fetch session";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", true, "the fetch session's epoch does not follow";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", true, "no listener of that name on the leader";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", false, "deleting topics is off";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", true, "the leader epoch in the request is older than the broker's";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", true, "the leader epoch in the request is newer than the broker's";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", false, "the compression is not supported";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", false, "the broker's epoch is old";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", true, "the leader does not know its high watermark yet";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", false, "the member must join again with the id it was given";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", true, "the preferred leader is not available";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", false, "the group is full";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", false, "another member uses this group.instance.id";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", true, "no eligible leader is available";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", true, "the partition has the wanted leader already";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", false, "no reassignment is under way";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", false, "the group is subscribed to the topic";
    InvalidRecord = 87, "INVALID_RECORD", false, "a record of the batch was refused";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", true, "offsets are not stable yet";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", true, "the quota is used up";
    ProducerFenced = 90, "PRODUCER_FENCED", false, "a newer producer with this transactional id has taken over";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", false, "no such resource";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", false, "the resource exists already";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", false, "the credential is not acceptable";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", false, "the voter set is inconsistent";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", false, "the update version is not valid";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", false, "a feature could not be updated";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", false, "the principal cannot be read";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", false, "no such snapshot";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", false, "the position is out of range";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", true, "this broker knows no topic of this id";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", false, "the broker id is registered already";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", false, "the broker id is not registered";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", true, "the topic id does not fit the topic";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", false, "the cluster id is another one";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", false, "no such transactional id";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", true, "the fetch session mixes topic ids and names";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", false, "the replica may not join the ISR";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", false, "a new leader was elected";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", false, "the offset was moved to tiered storage";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", false, "the member's epoch is old";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", false, "another member still uses the instance id";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", false, "the assignor is not supported";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", false, "the member's epoch is stale";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", false, "the request went to the wrong kind of endpoint";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", false, "the endpoint type is not supported";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", false, "no such controller";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", false, "no such telemetry subscription";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", false, "the telemetry is too large";
    InvalidRegistration = 119, "INVALID_REGISTRATION", false, "the broker's registration is not valid";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", false, "the transaction must be aborted";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", false, "the record is not in a state that allows this";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", true, "no such share session";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", true, "the share session's epoch does not follow";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", false, "the state epoch is old";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", false, "the voter's key is not valid";
    DuplicateVoter = 126, "DUPLICATE_VOTER", false, "the voter exists already";
    VoterNotFound = 127, "VOTER_NOT_FOUND", false, "no such voter";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", false, "the regular expression is not valid";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", false, "the client must bootstrap again";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", false, "the topology is not valid";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", false, "the topology epoch is not valid";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", false, "the topology epoch is old";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", true, "too many share sessions";
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is an error at all.
    #[must_use]
    pub const fn is_err(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}
