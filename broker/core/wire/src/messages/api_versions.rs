//! ApiVersions: which APIs and versions a broker speaks (KIP-35), and its features (KIP-584).

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::ErrorCode;

messages! {
    /// Asks what the broker speaks; the first request of most clients.
    message ApiVersionsRequest(key = 18, versions = 0..=4, flexible = 3) {
        /// What the client library calls itself.
        client_software_name: Text [3..], ignorable;
        /// The client library's version.
        client_software_version: Text [3..], ignorable;
    }

    /// What the broker speaks. Its response header is version 0 even where the body is flexible,
    /// so that a client which asked in too new a version can still read it.
    message ApiVersionsResponse(key = 18, versions = 0..=4, flexible = 3) {
        /// The outcome; `UnsupportedVersion` where the request's version is unknown.
        error_code: ErrorCode;
        /// Each API with its versions.
        api_keys: Vec<ApiVersion>;
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// Features the broker can run.
        supported_features: Vec<SupportedFeatureKey> [3..], tag(0), ignorable;
        /// Epoch of the finalized features, or -1 where it is unknown.
        finalized_features_epoch: i64 [3..], tag(1), ignorable = -1;
        /// Features switched on for the whole cluster.
        finalized_features: Vec<FinalizedFeatureKey> [3..], tag(2), ignorable;
        /// Whether a controller is ready to take over from ZooKeeper; never here.
        zk_migration_ready: bool [3..], tag(3), ignorable;
    }

    /// One API.
    part ApiVersion {
        /// The API's number.
        api_key: i16;
        /// Oldest version, included.
        min_version: i16;
        /// Newest version, included.
        max_version: i16;
    }

    /// One feature the broker can run.
    part SupportedFeatureKey {
        /// Its name.
        name: Text [3..];
        /// Lowest level.
        min_version: i16 [3..];
        /// Highest level.
        max_version: i16 [3..];
    }

    /// One feature of the cluster.
    part FinalizedFeatureKey {
        /// Its name.
        name: Text [3..];
        /// Highest level that is switched on.
        max_version_level: i16 [3..];
        /// Lowest level that is switched on.
        min_version_level: i16 [3..];
    }
}
