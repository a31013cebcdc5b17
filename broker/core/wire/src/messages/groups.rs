//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup: the classic group protocol, in which a member
//! that the coordinator picks shares out the partitions.
//!
//! What members say about themselves and what they are given travels as bytes; for consumers they
//! are the messages of `consumer_protocol.rs`.

use crate::text::Text;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::ErrorCode;

messages! {
    /// Joins a group, or joins it again for a rebalance. From version 4 on a new member is told
    /// its id with `MEMBER_ID_REQUIRED` first and joins again with it (KIP-394).
    message JoinGroupRequest(key = 11, versions = 0..=9, flexible = 6) {
        /// The group.
        group_id: Text;
        /// After how long without a heartbeat the member counts as gone, in milliseconds.
        session_timeout_ms: i32;
        /// How long a rebalance waits for the member, in milliseconds; -1 where version 0 does not
        /// tell: the session timeout counts (KIP-62).
        rebalance_timeout_ms: i32 [1..], ignorable = -1;
        /// The member, or empty for a new one.
        member_id: Text;
        /// The name of a static member, which it keeps over restarts (KIP-345).
        group_instance_id: Option<Text> [5..], null(5..);
        /// What kind of group it is, such as `consumer`.
        protocol_type: Text;
        /// The assignors the member can work with, the one it likes best first.
        protocols: Vec<JoinGroupRequestProtocol>;
        /// Why it joins, in words (KIP-800).
        reason: Option<Text> [8..], null(8..), ignorable;
    }

    /// One assignor a member can work with.
    part JoinGroupRequestProtocol {
        /// Its name.
        name: Text;
        /// What the member tells it, such as its subscription.
        metadata: Bytes;
    }

    /// The generation the member is in.
    message JoinGroupResponse(key = 11, versions = 0..=9, flexible = 6) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [2..], ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// The generation, or -1.
        generation_id: i32 = -1;
        /// What kind of group it is (KIP-559).
        protocol_type: Option<Text> [7..], null(7..), ignorable;
        /// The assignor that was chosen; empty, or from version 7 on null, where something failed.
        protocol_name: Option<Text>, null(7..) = Some(Text::EMPTY);
        /// The member that shares out the partitions.
        leader: Text;
        /// Whether the leader keeps the assignment as it is (KIP-814).
        skip_assignment: bool [9..];
        /// The member that asked.
        member_id: Text;
        /// Every member; only the leader is told.
        members: Vec<JoinGroupResponseMember>;
    }

    /// One member, as the leader sees it.
    part JoinGroupResponseMember {
        /// Its id.
        member_id: Text;
        /// Its name, if it is a static member (KIP-345).
        group_instance_id: Option<Text> [5..], null(5..), ignorable;
        /// What it told the assignor that was chosen.
        metadata: Bytes;
    }

    /// Hands in the assignments (the leader) and asks for one's own (every member).
    message SyncGroupRequest(key = 14, versions = 0..=5, flexible = 4) {
        /// The group.
        group_id: Text;
        /// The generation the member joined.
        generation_id: i32;
        /// The member.
        member_id: Text;
        /// Its name, if it is a static member (KIP-345).
        group_instance_id: Option<Text> [3..], null(3..);
        /// What kind of group the member takes it for; another one is refused (KIP-559).
        protocol_type: Option<Text> [5..], null(5..), ignorable;
        /// The assignor the member takes to be chosen; another one is refused (KIP-559).
        protocol_name: Option<Text> [5..], null(5..), ignorable;
        /// The assignments; only the leader sends any.
        assignments: Vec<SyncGroupRequestAssignment>;
    }

    /// One member's assignment.
    part SyncGroupRequestAssignment {
        /// The member.
        member_id: Text;
        /// What it is given.
        assignment: Bytes;
    }

    /// What the member is given.
    message SyncGroupResponse(key = 14, versions = 0..=5, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// What kind of group it is (KIP-559).
        protocol_type: Option<Text> [5..], null(5..), ignorable;
        /// The assignor that was chosen (KIP-559).
        protocol_name: Option<Text> [5..], null(5..), ignorable;
        /// The member's assignment; no bytes at all where the leader gave it none.
        assignment: Bytes;
    }

    /// Tells that a member lives.
    message HeartbeatRequest(key = 12, versions = 0..=4, flexible = 4) {
        /// The group.
        group_id: Text;
        /// The generation the member is in.
        generation_id: i32;
        /// The member.
        member_id: Text;
        /// Its name, if it is a static member (KIP-345).
        group_instance_id: Option<Text> [3..], null(3..);
    }

    /// Whether the member is still in; `REBALANCE_IN_PROGRESS` asks it to join again.
    message HeartbeatResponse(key = 12, versions = 0..=4, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// What failed.
        error_code: ErrorCode;
    }

    /// Leaves a group, or removes members from it (KIP-345).
    message LeaveGroupRequest(key = 13, versions = 0..=5, flexible = 4) {
        /// The group.
        group_id: Text;
        /// The member that leaves.
        member_id: Text [0..=2];
        /// The members that leave.
        members: Vec<MemberIdentity> [3..];
    }

    /// One member that leaves.
    part MemberIdentity {
        /// Its id; may be empty where its name says who it is.
        member_id: Text [3..];
        /// Its name, if it is a static member.
        group_instance_id: Option<Text> [3..], null(3..);
        /// Why it leaves, in words (KIP-800).
        reason: Option<Text> [5..], null(5..), ignorable;
    }

    /// What became of it.
    message LeaveGroupResponse(key = 13, versions = 0..=5, flexible = 4) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// What failed; for single members of version 3 and newer see there.
        error_code: ErrorCode;
        /// The outcome for each member.
        members: Vec<MemberResponse> [3..];
    }

    /// What became of one member.
    part MemberResponse {
        /// Its id, as in the request.
        member_id: Text [3..];
        /// Its name, as in the request.
        group_instance_id: Option<Text> [3..], null(3..);
        /// What failed.
        error_code: ErrorCode [3..];
    }
}
