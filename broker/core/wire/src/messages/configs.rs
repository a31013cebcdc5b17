//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs: configurations of topics and brokers.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::ErrorCode;

messages! {
    /// Asks for configurations.
    message DescribeConfigsRequest(key = 32, versions = 1..=4, flexible = 4) {
        /// Of what.
        resources: Vec<DescribeConfigsResource>;
        /// Whether each value's other sources are told.
        include_synonyms: bool;
        /// Whether each configuration is explained (KIP-569).
        include_documentation: bool [3..];
    }

    /// One resource to describe.
    part DescribeConfigsResource {
        /// What it is: 2 a topic, 4 a broker, 8 a broker's logger, 16 client metrics, 32 a group.
        resource_type: i8;
        /// Its name.
        resource_name: Text;
        /// Which configurations; null means all.
        configuration_keys: Option<Vec<Text>>, null(0..);
    }

    /// The configurations.
    message DescribeConfigsResponse(key = 32, versions = 1..=4, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The answer by resource.
        results: Vec<DescribeConfigsResult>;
    }

    /// One resource's configurations.
    part DescribeConfigsResult {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// What it is, as in the request.
        resource_type: i8;
        /// Its name.
        resource_name: Text;
        /// Its configurations.
        configs: Vec<DescribeConfigsResourceResult>;
    }

    /// One configuration.
    part DescribeConfigsResourceResult {
        /// Its name.
        name: Text;
        /// Its value; null where it is a secret or has none.
        value: Option<Text>, null(0..);
        /// Whether it cannot be changed.
        read_only: bool;
        /// Where the value comes from: 1 the topic, 2 a dynamic setting of the broker, 3 the
        /// dynamic default of all brokers, 4 the broker's file, 5 the default; -1 unknown.
        config_source: i8, ignorable = -1;
        /// Whether the value is a secret.
        is_sensitive: bool;
        /// The other places it may come from, in order.
        synonyms: Vec<DescribeConfigsSynonym>, ignorable;
        /// The kind of value: 1 boolean, 2 string, 3 i32, 4 i16, 5 i64, 6 double, 7 list, 8 class,
        /// 9 password; 0 unknown.
        config_type: i8 [3..], ignorable;
        /// What it does, in words.
        documentation: Option<Text> [3..], null(3..), ignorable;
    }

    /// One other source of a value.
    part DescribeConfigsSynonym {
        /// The configuration's name there.
        name: Text;
        /// Its value there.
        value: Option<Text>, null(0..);
        /// Which source, numbered as `config_source`.
        source: i8;
    }

    /// Replaces all configurations of resources.
    message AlterConfigsRequest(key = 33, versions = 0..=2, flexible = 2) {
        /// What to set.
        resources: Vec<AlterConfigsResource>;
        /// Whether only to check.
        validate_only: bool;
    }

    /// One resource to configure.
    part AlterConfigsResource {
        /// What it is, numbered as in DescribeConfigs.
        resource_type: i8;
        /// Its name.
        resource_name: Text;
        /// All its configurations from now on.
        configs: Vec<AlterableConfig>;
    }

    /// One configuration.
    part AlterableConfig {
        /// Its name.
        name: Text;
        /// Its value.
        value: Option<Text>, null(0..);
    }

    /// What became of the resources.
    message AlterConfigsResponse(key = 33, versions = 0..=2, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The outcome by resource.
        responses: Vec<AlterConfigsResourceResponse>;
    }

    /// What became of one resource; both ways of altering answer with it.
    part AlterConfigsResourceResponse {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// What it is, as in the request.
        resource_type: i8;
        /// Its name.
        resource_name: Text;
    }

    /// Changes single configurations of resources (KIP-339).
    message IncrementalAlterConfigsRequest(key = 44, versions = 0..=1, flexible = 1) {
        /// What to change.
        resources: Vec<IncrementalAlterConfigsResource>;
        /// Whether only to check.
        validate_only: bool;
    }

    /// One resource to change.
    part IncrementalAlterConfigsResource {
        /// What it is, numbered as in DescribeConfigs.
        resource_type: i8;
        /// Its name.
        resource_name: Text;
        /// The changes.
        configs: Vec<IncrementalAlterableConfig>;
    }

    /// One change.
    part IncrementalAlterableConfig {
        /// The configuration's name.
        name: Text;
        /// 0 sets it, 1 deletes it, 2 appends to a list, 3 takes out of a list.
        config_operation: i8;
        /// The value to set, append or take out.
        value: Option<Text>, null(0..);
    }

    /// What became of the resources.
    message IncrementalAlterConfigsResponse(key = 44, versions = 0..=1, flexible = 1) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The outcome by resource.
        responses: Vec<AlterConfigsResourceResponse>;
    }
}
