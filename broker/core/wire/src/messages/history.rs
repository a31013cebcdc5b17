//! GroupHistory and GroupWatch: every rebalance of every group, told afterwards and as it happens.
//! Weir's own; Kafka has nothing like them.

use crate::text::Text;
use alloc::vec::Vec;
use weir_types::{ErrorCode, PartitionIndex, TimestampMs};

messages! {
    /// Asks what became of groups, page by page.
    message GroupHistoryRequest(key = 10000, versions = 0..=0, flexible = 0) {
        /// Which groups; none means all that the caller may describe.
        groups: Vec<Text>;
        /// Events from this time on, or -1 for the oldest kept.
        from_ms: TimestampMs = TimestampMs(-1);
        /// Events before this time, or -1 for the newest.
        to_ms: TimestampMs = TimestampMs(-1);
        /// Whether the newest come first.
        newest_first: bool;
        /// The most events of one answer; the broker may tell fewer.
        max_events: i32 = 1000;
        /// Where to go on: what the page before said; null begins.
        cursor: Option<Text>, null(0..);
    }

    /// One page.
    message GroupHistoryResponse(key = 10000, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The events in the order asked for.
        events: Vec<GroupEvent>;
        /// Where the next page begins; null ends.
        next_cursor: Option<Text>, null(0..);
        /// Where a watch goes on behind all that these pages can tell, without a gap and without
        /// telling anything again; only the first page says it. What happens after the first page
        /// was asked for stands on none of them.
        watch_cursor: Option<Text>, null(0..);
    }

    /// One change of a group, told once it is settled or overtaken by the next.
    part GroupEvent {
        /// The group.
        group_id: Text;
        /// The event's number in its group, from 1, without gaps; it goes on over restarts and
        /// begins anew with a group that was deleted.
        sequence: i64;
        /// When it began.
        time_ms: TimestampMs;
        /// What caused it, the trigger first; a broker may tell only the first few.
        causes: Vec<GroupEventCause>;
        /// How many causes there were, told or not.
        cause_count: i32;
        /// The group's epoch (consumer protocol) or generation (classic protocol) afterwards.
        group_epoch: i32;
        /// How many members there were before.
        members_before: i32;
        /// How many there are afterwards.
        members_after: i32;
        /// Which partitions changed hands; a broker may tell only the first few.
        moves: Vec<GroupEventMove>;
        /// How many partitions changed hands, told or not.
        partitions_moved: i32;
        /// How long it took until every member had its share, in milliseconds, or -1 where the next
        /// change came first.
        duration_ms: i64 = -1;
        /// Members that stood still meanwhile, longest first; a broker may tell only the first few.
        still: Vec<GroupEventStill>;
    }

    /// One cause.
    part GroupEventCause {
        /// A code of [`weir_types::CauseKind`]; others may come.
        cause: i8;
        /// The same in words, with the reason that a member gave (KIP-800).
        text: Text;
        /// The member it was about, if it was about one.
        member_id: Option<Text>, null(0..);
        /// What that member's client calls itself, also where it has left; null where that is not
        /// known.
        client_id: Option<Text>, null(0..);
    }

    /// Partitions of one topic that went from one member to another.
    part GroupEventMove {
        /// The topic.
        topic: Text;
        /// The partitions.
        partitions: Vec<PartitionIndex>;
        /// The member that had them; null where none had.
        from_member: Option<Text>, null(0..);
        /// The member that has them now; null where none has.
        to_member: Option<Text>, null(0..);
        /// What the former's client calls itself; null where that is not known.
        from_client: Option<Text>, null(0..);
        /// What the latter's client calls itself; null where that is not known.
        to_client: Option<Text>, null(0..);
    }

    /// One member that stood still.
    part GroupEventStill {
        /// Its id.
        member_id: Text;
        /// What its client calls itself; empty where that is not known.
        client_id: Text;
        /// How long it had nothing to read, in milliseconds.
        still_ms: i64;
    }

    /// Waits for events.
    message GroupWatchRequest(key = 10001, versions = 0..=0, flexible = 0) {
        /// Of which groups; none means all that the caller may describe.
        groups: Vec<Text>;
        /// Where to go on: what the answer before, or the first page of a history, said; null
        /// begins with what happens from now on. It goes on over restarts of the broker, and may be
        /// given with other groups than it was told for; what it does not know is told from the
        /// oldest event kept.
        cursor: Option<Text>, null(0..);
        /// The most events of one answer; the broker may tell fewer.
        max_events: i32 = 1000;
        /// How long to wait for an event before an answer comes without any, in milliseconds.
        max_wait_ms: i32;
        /// Whether answers keep coming on this stream (QUIC only; over TCP `INVALID_REQUEST`), each
        /// with the correlation id of the request, at the latest one in each `max_wait_ms`, until
        /// the caller finishes the stream or sends another request on it, or an answer tells an
        /// error. The next one is made only when the caller has taken the one before.
        follow: bool;
    }

    /// What happened.
    message GroupWatchResponse(key = 10001, versions = 0..=0, flexible = 0) {
        /// What failed.
        error_code: ErrorCode;
        /// Why, in one sentence.
        error_message: Option<Text>, null(0..);
        /// The events, oldest first.
        events: Vec<GroupEvent>;
        /// How many events are gone because the caller was too slow: the broker keeps only the last
        /// ones of each group, and none of a group that was deleted. They came before or between the
        /// events told. Where groups are named it is the most that it can be: which group an event
        /// was of is gone with it.
        missed: i64;
        /// What to give as `cursor` next; null with an error.
        next_cursor: Option<Text>, null(0..);
    }
}
