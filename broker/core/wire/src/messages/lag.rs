//! Lag and LagHistory: how far every group is behind on every partition, and what flows through
//! every topic, now and over time; one call for all of them. Weir's own; Kafka has nothing like
//! them.
//!
//! Rates are told as counts within a time, so that no fractions have to be carried.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicId};

messages! {
    /// Asks for the lag of groups and the traffic of topics, page by page; or only for what changed.
    message LagRequest(key = 10002, versions = 0..=0, flexible = 0) {
        /// Which groups; none means all that the caller may describe.
        groups: Vec<Text>;
        /// Which topics; none means all that the caller may describe.
        topics: Vec<Text>;
        /// Whether members and partitions are told; otherwise only totals.
        include_partitions: bool = true;
        /// The most rows of one answer, a row being a partition of a group, a group without any or
        /// a topic; the broker may tell fewer.
        page_size: i32 = 2000;
        /// Where to go on: what the page before said; null begins.
        cursor: Option<Text>, null(0..);
        /// The generation of an earlier answer: only groups and topics that changed since then are
        /// told, each of them whole; -1 tells everything. That time goes by is no change: a lag in
        /// time that is above 0 and is not told again has grown by as much.
        changes_since: i64 = -1;
        /// How long to wait for a change before an answer comes without any, in milliseconds.
        max_wait_ms: i32;
        /// Whether further pages and changes keep coming on this stream until it is closed (QUIC
        /// only; over TCP `INVALID_REQUEST`); each carries the correlation id of the request.
        follow: bool;
    }

    /// One page.
    message LagResponse(key = 10002, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// What to give as `changes_since` once the last page is read: every page tells the
        /// first one's, so that nothing that changes between two pages is lost.
        generation: i64 = -1;
        /// Whether the pages hold everything, not only changes: nothing else was asked for, or the
        /// generation asked for is no longer known (too old, or from before a restart). The caller
        /// then drops what it had.
        complete: bool;
        /// When the lags were taken.
        time_ms: TimestampMs = TimestampMs(-1);
        /// The groups, by name; one with many rows may go on in the next page.
        groups: Vec<LagGroup>;
        /// The topics, by name; they come behind the groups.
        topics: Vec<LagTopic>;
        /// The time that the traffic of topics is counted over, in milliseconds.
        window_ms: i32;
        /// Groups that are gone since the generation asked for.
        removed_groups: Vec<Text>;
        /// Topics that are gone since the generation asked for.
        removed_topics: Vec<Text>;
        /// Where the next page begins; null ends.
        next_cursor: Option<Text>, null(0..);
    }

    /// One group.
    part LagGroup {
        /// Its id.
        group_id: Text;
        /// Its state, as ListGroups names it.
        group_state: Text;
        /// Which protocol it speaks, as ListGroups names it.
        group_type: Text;
        /// Its epoch (consumer protocol) or generation (classic protocol).
        group_epoch: i32;
        /// How many members it has.
        member_count: i32;
        /// How many records it is behind on all partitions asked for together, or -1 where nothing
        /// is committed.
        lag: i64 = -1;
        /// How long it is behind on the partition that is furthest behind, in milliseconds, or -1
        /// where that is not known.
        lag_ms: i64 = -1;
        /// Where it is behind and `lag_ms` is not known, since records were written before the
        /// broker watched: how long it has watched, so that it is behind for so long at least, in
        /// milliseconds; else -1.
        lag_ms_at_least: i64 = -1;
        /// The members that the partitions below refer to.
        members: Vec<LagMember>;
        /// The topics it reads or keeps offsets of.
        topics: Vec<LagGroupTopic>;
    }

    /// One member.
    part LagMember {
        /// Its id.
        member_id: Text;
        /// Its name, if it is a static member.
        instance_id: Option<Text>, null(0..);
        /// What its client calls itself.
        client_id: Text;
        /// Where it connects from.
        client_host: Text;
    }

    /// One topic of a group.
    part LagGroupTopic {
        /// Its name.
        topic: Text;
        /// Its id; zero where the topic is gone and only offsets are left.
        topic_id: TopicId;
        /// How many records the group is behind on it, or -1 where nothing is committed.
        lag: i64 = -1;
        /// How long it is behind on the partition that is furthest behind, in milliseconds, or -1
        /// where that is not known.
        lag_ms: i64 = -1;
        /// Where it is behind and `lag_ms` is not known, since records were written before the
        /// broker watched: how long it has watched, so that it is behind for so long at least, in
        /// milliseconds; else -1.
        lag_ms_at_least: i64 = -1;
        /// Its partitions.
        partitions: Vec<LagPartition>;
    }

    /// One partition of a group.
    part LagPartition {
        /// Its index.
        partition: PartitionIndex;
        /// The offset the group keeps, or -1 where it keeps none.
        committed_offset: Offset = Offset(-1);
        /// The partition's first offset, or -1 where its leader is not known.
        log_start_offset: Offset = Offset(-1);
        /// The partition's high watermark, or -1 likewise.
        high_watermark: Offset = Offset(-1);
        /// How many records the group is behind, or -1 where one of the two is not known.
        lag: i64 = -1;
        /// Now minus the moment when the high watermark passed the committed offset, in
        /// milliseconds; 0 where the group is not behind, and -1 where the moment is not known.
        lag_ms: i64 = -1;
        /// Where it is behind and `lag_ms` is not known, since records were written before the
        /// broker watched: how long it has watched, so that it is behind for so long at least, in
        /// milliseconds; else -1.
        lag_ms_at_least: i64 = -1;
        /// The member that owns it, as its place among the group's `members` in this page, or -1.
        member: i32 = -1;
    }

    /// The traffic of one topic within the answer's `window_ms`, or -1s where it is not known.
    part LagTopic {
        /// Its name.
        topic: Text;
        /// Its id.
        topic_id: TopicId;
        /// How many partitions it has.
        partition_count: i32;
        /// Records appended.
        records_in: i64 = -1;
        /// Bytes appended.
        bytes_in: i64 = -1;
        /// Records sent to consumers.
        records_out: i64 = -1;
        /// Bytes sent to consumers.
        bytes_out: i64 = -1;
    }

    /// Asks how lag and traffic went, for charts; page by page.
    message LagHistoryRequest(key = 10003, versions = 0..=0, flexible = 0) {
        /// Which series, as bits: 1 the total of each group, 2 each topic of each group, 4 the
        /// traffic of each topic.
        kinds: i8 = 7;
        /// Which groups; none means all that the caller may describe.
        groups: Vec<Text>;
        /// Which topics; none means all that the caller may describe.
        topics: Vec<Text>;
        /// The first time, or -1 for the oldest kept.
        from_ms: TimestampMs = TimestampMs(-1);
        /// The time behind the last, or -1 for now.
        to_ms: TimestampMs = TimestampMs(-1);
        /// How far apart the points are, in milliseconds; 0 leaves it to the broker, which takes a
        /// coarser one as well where it has no finer one.
        resolution_ms: i32;
        /// The most points of one answer, all series together; the broker may tell fewer.
        max_points: i32 = 100_000;
        /// Where to go on: what the page before said; null begins.
        cursor: Option<Text>, null(0..);
    }

    /// One page.
    message LagHistoryResponse(key = 10003, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// How far apart the points are, in milliseconds.
        resolution_ms: i32;
        /// How groups did.
        groups: Vec<LagHistoryGroup>;
        /// What went through topics.
        topics: Vec<LagHistoryTopic>;
        /// Where the next page begins; null ends.
        next_cursor: Option<Text>, null(0..);
    }

    /// One group's series. All lists are of one length; -1 fills gaps.
    part LagHistoryGroup {
        /// The group.
        group_id: Text;
        /// The topic, or null for all topics asked for together.
        topic: Option<Text>, null(0..);
        /// When the step of the first point ended; each of the others is one resolution later.
        start_ms: TimestampMs;
        /// How many records the group was behind at the end of each step.
        lag: Vec<i64>;
        /// How long it was behind then, in milliseconds.
        lag_ms: Vec<i64>;
    }

    /// One topic's series. All lists are of one length; -1 fills gaps.
    part LagHistoryTopic {
        /// The topic.
        topic: Text;
        /// When the step of the first point ended; each of the others is one resolution later.
        start_ms: TimestampMs;
        /// Records appended in each step.
        records_in: Vec<i64>;
        /// Bytes appended.
        bytes_in: Vec<i64>;
        /// Records sent to consumers.
        records_out: Vec<i64>;
        /// Bytes sent to consumers.
        bytes_out: Vec<i64>;
    }
}
