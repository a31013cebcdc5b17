//! Plugins: deploying, describing, activating and removing them, and looking at what they do.
//! Weir's own; Kafka has nothing like them.
//!
//! Worlds and kinds are the codes of `weir-plugin`: a world is 1 for `transform`, 2 for
//! `partitioner` and 3 for `decoder`; a failure is 1 where the plugin refused, 2 where it trapped, 3 where
//! it went over a budget and 4 where what it gave back breaks a rule. A place is 1 for a topic's
//! ingest, 2 for the shadow beside it, 3 for a view, 4 for a job and 5 for a topic's partitioner.

use crate::text::Text;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs};

messages! {
    /// Uploads a component; its name and version are those it describes itself with.
    message DeployPluginRequest(key = 10010, versions = 0..=0, flexible = 0) {
        /// The component's bytes.
        component: Bytes;
        /// Whether this version becomes the active one of its name.
        activate: bool;
        /// Whether to check and compile it only, and keep nothing.
        validate_only: bool;
        /// How long the broker may take, compiling included, in milliseconds.
        timeout_ms: i32 = 60_000;
    }

    /// What became of it.
    message DeployPluginResponse(key = 10010, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// What it calls itself.
        name: Text;
        /// The version as it describes itself, with its world, imports and parameters: one, or
        /// none with an error.
        versions: Vec<PluginVersion>;
        /// Whether the same bytes were there already under this name and version.
        already_deployed: bool;
        /// The version of the name that is active afterwards; null: none.
        active_version: Option<Text>, null(0..);
    }

    /// One version of a plugin.
    part PluginVersion {
        /// The version.
        version: Text;
        /// The world's code; others may come.
        world: i8;
        /// The SHA-256 of the component's bytes.
        digest: Bytes;
        /// How many bytes it has.
        size_bytes: i64;
        /// When it was deployed, or -1 where it is not.
        deployed_at_ms: TimestampMs = TimestampMs(-1);
        /// What it does, in its own words.
        summary: Text;
        /// The parameters it takes.
        parameters: Vec<PluginParameter>;
        /// What it imports, as `package:name/interface@version`.
        imports: Vec<Text>;
        /// Why this broker cannot run it; null: it can.
        failure: Option<Text>, null(0..);
    }

    /// A parameter that a plugin takes.
    part PluginParameter {
        /// Its name.
        name: Text;
        /// What it is for.
        summary: Text;
        /// Whether it must be given.
        required: bool;
        /// What holds where it is not given; null: nothing.
        default_value: Option<Text>, null(0..);
    }

    /// Asks for plugins.
    message DescribePluginsRequest(key = 10011, versions = 0..=0, flexible = 0) {
        /// Which, by name; none means all.
        names: Vec<Text>;
        /// Whether the places where they work are told, with what they did there.
        include_attachments: bool = true;
    }

    /// The plugins.
    message DescribePluginsResponse(key = 10011, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The plugins, by name.
        plugins: Vec<DescribedPlugin>;
        /// The places where they work, by place, name and link.
        attachments: Vec<PluginAttachment>;
    }

    /// One plugin.
    part DescribedPlugin {
        /// Its name.
        name: Text;
        /// The active version; null: none.
        active_version: Option<Text>, null(0..);
        /// The version that was active before, to which a rollback goes; null: none.
        previous_version: Option<Text>, null(0..);
        /// All versions, oldest deployment first.
        versions: Vec<PluginVersion>;
    }

    /// One plugin at one place.
    part PluginAttachment {
        /// The place and its name.
        place: PluginPlace;
        /// The plugin's name.
        plugin: Text;
        /// The version that works there now; null: none can.
        version: Option<Text>, null(0..);
        /// Whether the place names that version itself instead of following the active one.
        pinned: bool;
        /// The plugin and its parameters as a link of a chain.
        link: Text;
        /// What becomes of records that it fails on, as in `weir.ingest.policy`.
        policy: Text;
        /// What it did since the broker started.
        metrics: PluginMetrics;
        /// When it failed last, or -1.
        failed_at_ms: TimestampMs = TimestampMs(-1);
        /// How it failed last; null: it never did.
        failure: Option<Text>, null(0..);
    }

    /// Where a plugin works.
    part PluginPlace {
        /// The place's code; others may come.
        place: i8;
        /// The topic, view or job.
        name: Text;
        /// The plugin's place in the chain there, from 0.
        link_index: i32;
    }

    /// What a plugin did at one place.
    part PluginMetrics {
        /// Batches it was given.
        batches: i64;
        /// Records it was given.
        records_in: i64;
        /// Records it kept.
        records_out: i64;
        /// Bytes it was given.
        bytes_in: i64;
        /// Bytes it gave back.
        bytes_out: i64;
        /// Time it took, in microseconds.
        time_us: i64;
        /// Fuel it used, about an instruction each.
        fuel: i64;
        /// The most linear memory an instance had, in bytes.
        memory_bytes_max: i64;
        /// Records it refused.
        refused: i64;
        /// Calls that trapped.
        trapped: i64;
        /// Calls that went over a budget.
        over_budget: i64;
        /// Calls that gave back what breaks a rule.
        invalid: i64;
        /// Records the policy left out.
        skipped: i64;
        /// Records the policy sent to another topic.
        dead_lettered: i64;
        /// Records for which a shadow had another result than the chain it runs beside.
        differences: i64;
        /// Batches answered from what was kept of an earlier call (views).
        cached: i64;
    }

    /// Makes a version the active one: what follows the name changes between two batches.
    message ActivatePluginRequest(key = 10012, versions = 0..=0, flexible = 0) {
        /// The plugin.
        name: Text;
        /// The version; null: the one that was active before.
        version: Option<Text>, null(0..);
        /// Whether to say what would happen only.
        validate_only: bool;
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 = 30_000;
    }

    /// What became of it.
    message ActivatePluginResponse(key = 10012, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The version that is active now; null: none.
        active_version: Option<Text>, null(0..);
        /// The one that was before; null: none.
        previous_version: Option<Text>, null(0..);
        /// The places that follow it.
        followers: Vec<PluginPlace>;
    }

    /// Removes versions of a plugin that nothing uses.
    message RemovePluginRequest(key = 10013, versions = 0..=0, flexible = 0) {
        /// The plugin.
        name: Text;
        /// The version; null: all of them.
        version: Option<Text>, null(0..);
        /// Whether to say what would happen only.
        validate_only: bool;
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 = 30_000;
    }

    /// What became of it.
    message RemovePluginResponse(key = 10013, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The versions that are gone.
        removed_versions: Vec<Text>;
        /// The places that use them, for which they cannot go.
        users: Vec<PluginPlace>;
    }

    /// Asks for a component, to run it where the caller is.
    message GetPluginRequest(key = 10014, versions = 0..=0, flexible = 0) {
        /// The plugin.
        name: Text;
        /// The version; null: the active one.
        version: Option<Text>, null(0..);
        /// The SHA-256 of the component that the caller has; if it is the one, it is not sent again.
        known_digest: Option<Bytes>, null(0..);
    }

    /// The component.
    message GetPluginResponse(key = 10014, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// Its version.
        version: Text;
        /// Its world's code.
        world: i8;
        /// The SHA-256 of its bytes.
        digest: Bytes;
        /// Its bytes; null: the caller has them.
        component: Option<Bytes>, null(0..);
    }

    /// Asks for what plugins logged.
    message PluginLogsRequest(key = 10015, versions = 0..=0, flexible = 0) {
        /// Of which; none means all.
        names: Vec<Text>;
        /// The lowest level told: 0 trace, 1 debug, 2 info, 3 warn, 4 error.
        min_level: i8;
        /// Where to go on: what the answer before said; null begins with the oldest line kept.
        cursor: Option<Text>, null(0..);
        /// The most lines of one answer; the broker may tell fewer.
        max_lines: i32 = 1000;
        /// How long to wait for a line before an answer comes without any, in milliseconds.
        max_wait_ms: i32;
    }

    /// The lines.
    message PluginLogsResponse(key = 10015, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The lines, oldest first.
        lines: Vec<PluginLogLine>;
        /// How many lines are gone because the caller was too slow, or the plugin logged too fast.
        missed: i64;
        /// What to give as `cursor` next; null with an error.
        next_cursor: Option<Text>, null(0..);
    }

    /// One line.
    part PluginLogLine {
        /// When.
        time_ms: TimestampMs;
        /// Its level.
        level: i8;
        /// The plugin.
        plugin: Text;
        /// Its version.
        version: Text;
        /// Where it works.
        place: PluginPlace;
        /// The partition it worked on, or -1.
        partition: PartitionIndex = PartitionIndex(-1);
        /// What it says.
        message: Text;
    }

    /// Asks for what plugins failed on.
    message PluginFailuresRequest(key = 10016, versions = 0..=0, flexible = 0) {
        /// Of which; none means all.
        names: Vec<Text>;
        /// Only the failure of this number, with its batch; -1: the list, without batches.
        id: i64 = -1;
        /// The most failures of one answer, newest first; the broker may tell fewer.
        max_failures: i32 = 100;
    }

    /// The failures.
    message PluginFailuresResponse(key = 10016, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The failures, newest first.
        failures: Vec<PluginFailure>;
    }

    /// One failure.
    part PluginFailure {
        /// Its number.
        id: i64;
        /// When it happened.
        time_ms: TimestampMs;
        /// The plugin.
        plugin: Text;
        /// Its version.
        version: Text;
        /// The plugin and its parameters as a link of a chain.
        link: Text;
        /// Where it works.
        place: PluginPlace;
        /// The topic whose records it was given.
        topic: Text;
        /// The partition.
        partition: PartitionIndex;
        /// The offset of the batch's first record, or -1 where it had none yet.
        base_offset: Offset = Offset(-1);
        /// How many records the batch has.
        record_count: i32;
        /// The record it failed on, from 0, or -1 where it was none of them alone.
        row: i32 = -1;
        /// The failure's kind; others may come.
        kind: i8;
        /// What happened, in one sentence.
        message: Text;
        /// The batch as the plugin was given it, as a record batch of format 2; null in a list.
        batch: Option<Bytes>, null(0..);
    }

    /// Asks whether a chain would work: `configure` is run, nothing is kept.
    message CheckChainRequest(key = 10025, versions = 0..=0, flexible = 0) {
        /// The chain.
        chain: Text;
        /// The code of the world that all its plugins must have.
        world: i8 = 1;
    }

    /// Whether it would.
    message CheckChainResponse(key = 10025, versions = 0..=0, flexible = 0) {
        /// What failed; a parameter that is refused is `INVALID_CONFIG`.
        error_code: ErrorCode;
        /// Why, in one sentence: the plugin's own words where it refuses.
        error_message: Option<Text>, null(0..);
        /// The chain in the form in which it is kept.
        chain: Text;
        /// The versions that would work, one for each link.
        versions: Vec<Text>;
    }
}
