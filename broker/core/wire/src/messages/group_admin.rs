//! ListGroups, DescribeGroups and DeleteGroups: groups as an administrator sees them.

use crate::text::Text;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_types::ErrorCode;

messages! {
    /// Asks for the groups this broker coordinates.
    message ListGroupsRequest(key = 16, versions = 0..=5, flexible = 3) {
        /// Groups in which states, such as `Stable`; none means all (KIP-518).
        states_filter: Vec<Text> [4..];
        /// Groups of which types, such as `classic`; none means all (KIP-848).
        types_filter: Vec<Text> [5..];
    }

    /// The groups.
    message ListGroupsResponse(key = 16, versions = 0..=5, flexible = 3) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// What failed.
        error_code: ErrorCode;
        /// Each group.
        groups: Vec<ListedGroup>;
    }

    /// One group.
    part ListedGroup {
        /// Its id.
        group_id: Text;
        /// What kind of group it is, such as `consumer`; empty where it only keeps offsets.
        protocol_type: Text;
        /// Its state (KIP-518).
        group_state: Text [4..], ignorable;
        /// Which protocol it speaks: `classic` or `consumer` (KIP-848).
        group_type: Text [5..], ignorable;
    }

    /// Asks for all about some groups of the classic protocol.
    message DescribeGroupsRequest(key = 15, versions = 0..=6, flexible = 5) {
        /// Which.
        groups: Vec<Text>;
        /// Whether the answer tells what the caller may do with them (KIP-430).
        include_authorized_operations: bool [3..];
    }

    /// The groups.
    message DescribeGroupsResponse(key = 15, versions = 0..=6, flexible = 5) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32 [1..], ignorable;
        /// Each group.
        groups: Vec<DescribedGroup>;
    }

    /// One group.
    part DescribedGroup {
        /// What failed; a group that nobody knows is `Dead` up to version 5 and
        /// `GROUP_ID_NOT_FOUND` from version 6 on (KIP-1043).
        error_code: ErrorCode;
        /// Why, in one sentence (KIP-1043).
        error_message: Option<Text> [6..], null(6..);
        /// Its id.
        group_id: Text;
        /// Its state, or empty.
        group_state: Text;
        /// What kind of group it is, or empty.
        protocol_type: Text;
        /// The assignor that was chosen, or empty while the group is not stable.
        protocol_data: Text;
        /// Its members.
        members: Vec<DescribedGroupMember>;
        /// What the caller may do with it, as bits; the lowest number: not asked.
        authorized_operations: i32 [3..] = i32::MIN;
    }

    /// One member.
    part DescribedGroupMember {
        /// Its id.
        member_id: Text;
        /// Its name, if it is a static member (KIP-345).
        group_instance_id: Option<Text> [4..], null(4..), ignorable;
        /// What its client calls itself.
        client_id: Text;
        /// Where it connects from.
        client_host: Text;
        /// What it told the assignor; no bytes while the group is not stable.
        member_metadata: Bytes;
        /// What it was given; no bytes while the group is not stable.
        member_assignment: Bytes;
    }

    /// Deletes groups without members (KIP-229).
    message DeleteGroupsRequest(key = 42, versions = 0..=2, flexible = 2) {
        /// Which.
        groups_names: Vec<Text>;
    }

    /// What became of them.
    message DeleteGroupsResponse(key = 42, versions = 0..=2, flexible = 2) {
        /// How long the client is asked to hold back, in milliseconds.
        throttle_time_ms: i32;
        /// The outcome of each.
        results: Vec<DeletableGroupResult>;
    }

    /// What became of one group.
    part DeletableGroupResult {
        /// Its id.
        group_id: Text;
        /// What failed.
        error_code: ErrorCode;
    }
}
