//! Who may do what (design decision D14): the one place that knows what a role is allowed.
//!
//! Every path of the front asks here, for every listener. Kafka's ACLs slot in here later; nobody
//! else may look at a role.

use weir_meta::{Topic, name::is_internal};
use weir_types::{Principal, Role};

/// What someone wants to do, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Fetch records, commit offsets.
    Read = 3,
    /// Produce records.
    Write = 4,
    /// Make topics.
    Create = 5,
    /// Delete topics or records.
    Delete = 6,
    /// Add partitions.
    Alter = 7,
    /// Look.
    Describe = 8,
    /// What brokers do among each other.
    ClusterAction = 9,
    /// Look at settings.
    DescribeConfigs = 10,
    /// Change settings.
    AlterConfigs = 11,
    /// Produce with a producer id.
    IdempotentWrite = 12,
}

/// On what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The cluster as a whole.
    Cluster,
    /// A topic, by name.
    Topic(&'a str),
    /// A consumer group, by id.
    Group(&'a str),
    /// The settings of brokers.
    Brokers,
}

/// Whether `principal` may do `operation` on `resource`.
///
/// Admins may do what a person can do; clients produce, fetch and describe, and use groups;
/// brokers may do everything. Internal topics are written by brokers only. A group belongs to
/// nobody: a client may join any, remove members from it and commit for it, as in Kafka whoever may
/// `Read` it; deleting it, or its offsets, is for admins.
#[must_use]
pub fn authorize(principal: &Principal, operation: Operation, resource: Resource<'_>) -> bool {
    if let (Resource::Topic(name), Operation::Write) = (resource, operation)
        && is_internal(name)
    {
        return principal.role == Role::Broker;
    }
    match principal.role {
        Role::Broker => true,
        Role::Admin => operation != Operation::ClusterAction,
        Role::Client => match resource {
            Resource::Topic(_) => matches!(
                operation,
                Operation::Read
                    | Operation::Write
                    | Operation::Describe
                    | Operation::DescribeConfigs
            ),
            Resource::Group(_) => matches!(operation, Operation::Read | Operation::Describe),
            Resource::Cluster => {
                matches!(operation, Operation::Describe | Operation::IdempotentWrite)
            }
            Resource::Brokers => false,
        },
    }
}

/// Whether `principal` may read that topic's records: their role lets them, and so does
/// `weir.readers`, which does not concern admins and brokers. A view's readers are its own, not its
/// source's.
#[must_use]
pub fn may_read(principal: &Principal, topic: &Topic) -> bool {
    authorize(principal, Operation::Read, Resource::Topic(&topic.name))
        && (principal.role != Role::Client || topic.lets_read(&principal.name))
}

/// The operations of `principal` on a topic, as [`authorized_operations`]; nobody writes a view or
/// counts its partitions.
#[must_use]
pub fn topic_operations(principal: &Principal, topic: &Topic) -> i32 {
    let bit = |operation: Operation| 1 << (operation as u8);
    let mut bits = authorized_operations(principal, Resource::Topic(&topic.name));
    if !may_read(principal, topic) {
        bits &= !bit(Operation::Read);
    }
    if topic.view.is_some() {
        bits &= !(bit(Operation::Write) | bit(Operation::Alter));
    }
    bits
}

/// The operations of `principal` on `resource`, as the bit field that Metadata and DescribeCluster
/// answer (KIP-430).
#[must_use]
pub fn authorized_operations(principal: &Principal, resource: Resource<'_>) -> i32 {
    const TOPIC: &[Operation] = &[
        Operation::Read,
        Operation::Write,
        Operation::Create,
        Operation::Delete,
        Operation::Alter,
        Operation::Describe,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
    ];
    const CLUSTER: &[Operation] = &[
        Operation::Create,
        Operation::ClusterAction,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
        Operation::IdempotentWrite,
        Operation::Alter,
        Operation::Describe,
    ];
    const GROUP: &[Operation] = &[Operation::Read, Operation::Delete, Operation::Describe];
    let possible = match resource {
        Resource::Topic(_) => TOPIC,
        Resource::Group(_) => GROUP,
        Resource::Cluster | Resource::Brokers => CLUSTER,
    };
    possible
        .iter()
        .filter(|operation| authorize(principal, **operation, resource))
        .fold(0, |bits, operation| bits | 1 << (*operation as u8))
}
