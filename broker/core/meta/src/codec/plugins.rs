//! The records of plugins, views and jobs as bytes. A chain and a policy are written as people
//! write them, in the one form that each has.

use super::{DecodeError, Reader, head, kind, put_i64, put_len, put_str};
use crate::{limits::JOB_TOPICS_MAX, record::MetaRecord};
use alloc::{string::ToString, vec::Vec};
use core::str::FromStr;
use weir_plugin::{Chain, Policy, World};
use weir_types::{TimestampMs, TopicId};

/// Appends the bytes of a record of plugins, views or jobs.
pub(super) fn encode(record: &MetaRecord, out: &mut Vec<u8>) {
    match record {
        MetaRecord::Plugin {
            name,
            version,
            digest,
            world,
            size_bytes,
            deployed_at,
        } => {
            head(out, kind::PLUGIN);
            put_str(out, name);
            put_str(out, version);
            out.extend_from_slice(digest);
            out.push(world.code().cast_unsigned());
            out.extend_from_slice(&size_bytes.to_be_bytes());
            put_i64(out, deployed_at.0);
        }
        MetaRecord::PluginActive { name, version } => {
            head(out, kind::PLUGIN_ACTIVE);
            put_str(out, name);
            put_str(out, version);
        }
        MetaRecord::PluginRemoved { name, version } => {
            head(out, kind::PLUGIN_REMOVED);
            put_str(out, name);
            put_str(out, version);
        }
        MetaRecord::View {
            id,
            name,
            source,
            chain,
            policy,
            created_at,
        } => {
            head(out, kind::VIEW);
            out.extend_from_slice(&id.0);
            put_str(out, name);
            out.extend_from_slice(&source.0);
            put_chain(out, chain, policy);
            put_i64(out, created_at.0);
        }
        MetaRecord::Job {
            name,
            from,
            to,
            chain,
            policy,
            paused,
            generation,
            created_at,
        } => {
            head(out, kind::JOB);
            put_str(out, name);
            put_topics(out, from);
            put_topics(out, to);
            put_chain(out, chain, policy);
            out.push(u8::from(*paused));
            out.extend_from_slice(&generation.to_be_bytes());
            put_i64(out, created_at.0);
        }
        MetaRecord::JobDeleted { name } => {
            head(out, kind::JOB_DELETED);
            put_str(out, name);
        }
        other => unreachable!("written elsewhere: {other:?}"),
    }
}

fn put_chain(out: &mut Vec<u8>, chain: &Chain, policy: &Policy) {
    put_str(out, &chain.to_string());
    put_str(out, &policy.to_string());
}

fn put_topics(out: &mut Vec<u8>, topics: &[TopicId]) {
    put_len(out, topics.len());
    for topic in topics {
        out.extend_from_slice(&topic.0);
    }
}

impl Reader<'_> {
    /// Reads a record of plugins, views or jobs behind its head.
    pub(super) fn plugins(&mut self, kind: u8, version: u8) -> Result<MetaRecord, DecodeError> {
        Ok(match kind {
            kind::PLUGIN => MetaRecord::Plugin {
                name: self.str()?,
                version: self.str()?,
                digest: self.take()?,
                world: self.world()?,
                size_bytes: u64::from_be_bytes(self.take()?),
                deployed_at: TimestampMs(self.i64()?),
            },
            kind::PLUGIN_ACTIVE => MetaRecord::PluginActive {
                name: self.str()?,
                version: self.str()?,
            },
            kind::PLUGIN_REMOVED => MetaRecord::PluginRemoved {
                name: self.str()?,
                version: self.str()?,
            },
            kind::VIEW => MetaRecord::View {
                id: self.topic()?,
                name: self.str()?,
                source: self.topic()?,
                chain: self.parsed("chain")?,
                policy: self.parsed("policy")?,
                created_at: TimestampMs(self.i64()?),
            },
            kind::JOB => MetaRecord::Job {
                name: self.str()?,
                from: self.topics()?,
                to: self.topics()?,
                chain: self.parsed("chain")?,
                policy: self.parsed("policy")?,
                paused: self.u8()? != 0,
                generation: u32::from_be_bytes(self.take()?),
                created_at: TimestampMs(self.i64()?),
            },
            kind::JOB_DELETED => MetaRecord::JobDeleted { name: self.str()? },
            kind => return Err(DecodeError::Unknown { kind, version }),
        })
    }

    fn world(&mut self) -> Result<World, DecodeError> {
        let code = self.u8()?.cast_signed();
        World::from_code(code).ok_or(DecodeError::Field {
            kind: self.kind,
            what: "world",
        })
    }

    fn parsed<T: FromStr>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let kind = self.kind;
        self.str()?
            .parse()
            .map_err(|_| DecodeError::Field { kind, what })
    }

    fn topics(&mut self) -> Result<Vec<TopicId>, DecodeError> {
        let count = self.len(JOB_TOPICS_MAX, "topic count")?;
        (0..count).map(|_| self.topic()).collect()
    }
}
