//! A fetch session (KIP-227) as the client keeps it: after a full request only what changed is
//! said again.
//!
//! Pure: it turns what is wanted into what to say, and keeps in step with the broker.

use std::collections::BTreeMap;
use weir_types::{ErrorCode, LeaderEpoch, Offset, TopicId};

use crate::record::TopicPartition;

/// What is wanted of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of the topic of that name there is now: one that is deleted and made again is another one.
    pub(crate) topic_id: TopicId,
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) bytes_max: usize,
}

/// What the broker has been told.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    /// 0 where the broker keeps no session.
    id: i32,
    /// The epoch of the next request; 0 asks for a new session.
    epoch: i32,
    told: BTreeMap<TopicPartition, Wanted>,
}

/// What to say next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) changed: Vec<(TopicPartition, Wanted)>,
    /// With the ids under which the broker knows them.
    pub(crate) forgotten: Vec<(TopicPartition, TopicId)>,
}

impl FetchSession {
    /// What to say so that the broker knows that exactly `wanted` is wanted.
    pub(crate) fn say(&mut self, wanted: &BTreeMap<TopicPartition, Wanted>) -> Saying {
        if self.epoch == 0 {
            self.told.clone_from(wanted);
            return Saying {
                session_id: self.id,
                session_epoch: 0,
                changed: wanted.iter().map(|(p, w)| (p.clone(), *w)).collect(),
                forgotten: Vec::new(),
            };
        }
        let changed = wanted
            .iter()
            .filter(|(partition, wanted)| self.told.get(*partition) != Some(*wanted))
            .map(|(partition, wanted)| (partition.clone(), *wanted))
            .collect();
        let forgotten = self
            .told
            .iter()
            .filter(|(partition, told)| {
                let wanted = wanted.get(*partition);
                wanted.is_none_or(|wanted| wanted.topic_id != told.topic_id)
            })
            .map(|(partition, told)| (partition.clone(), told.topic_id))
            .collect();
        self.told.clone_from(wanted);
        Saying {
            session_id: self.id,
            session_epoch: self.epoch,
            changed,
            forgotten,
        }
    }

    /// The broker answered. Returns whether its answer counts; where it does not, the next request
    /// is a full one.
    pub(crate) fn answered(&mut self, code: ErrorCode, session_id: i32) -> bool {
        if code.is_err() {
            // The broker still knows a session whose epoch went astray; a full request under its
            // id replaces it.
            let keeps = code == ErrorCode::InvalidFetchSessionEpoch;
            self.reset(if keeps { self.id } else { 0 });
            return false;
        }
        if session_id == 0 {
            // It keeps none: every request is a full one.
            self.reset(0);
        } else if session_id == self.id && self.epoch > 0 {
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        } else {
            self.id = session_id;
            self.epoch = 1;
        }
        true
    }

    /// No answer came: nobody knows what the broker knows.
    pub(crate) fn broke(&mut self) {
        self.reset(0);
    }

    fn reset(&mut self, id: i32) {
        self.id = id;
        self.epoch = 0;
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(rows: &[(i32, i64)]) -> BTreeMap<TopicPartition, Wanted> {
        let row = |(partition, offset): &(i32, i64)| {
            let wanted = Wanted {
                topic_id: TopicId([1; 16]),
                offset: Offset(*offset),
                leader_epoch: LeaderEpoch(0),
                bytes_max: 10,
            };
            (TopicPartition::new("t", *partition), wanted)
        };
        rows.iter().map(row).collect()
    }

    fn said(saying: &Saying) -> (i32, i32, Vec<i32>, Vec<i32>) {
        (
            saying.session_id,
            saying.session_epoch,
            saying.changed.iter().map(|(p, _)| p.partition.0).collect(),
            saying
                .forgotten
                .iter()
                .map(|(p, _)| p.partition.0)
                .collect(),
        )
    }

    #[test]
    fn only_changes_are_said_again() {
        let mut session = FetchSession::default();
        let first = session.say(&wanted(&[(0, 0), (1, 0)]));
        assert_eq!(said(&first), (0, 0, vec![0, 1], vec![]));
        assert!(session.answered(ErrorCode::None, 7));
        let second = session.say(&wanted(&[(0, 5), (1, 0)]));
        assert_eq!(said(&second), (7, 1, vec![0], vec![]));
        assert!(session.answered(ErrorCode::None, 7));
        let third = session.say(&wanted(&[(1, 0), (2, 0)]));
        assert_eq!(said(&third), (7, 2, vec![2], vec![0]));
    }

    #[test]
    fn a_topic_that_was_made_again_takes_the_place_of_the_old_one() {
        let mut session = FetchSession::default();
        let mut now = wanted(&[(0, 0), (1, 0)]);
        session.say(&now);
        assert!(session.answered(ErrorCode::None, 7));
        let old = TopicId([1; 16]);
        let remade = TopicPartition::new("t", 0);
        now.retain(|partition, _| *partition == remade);
        now.values_mut().for_each(|w| w.topic_id = TopicId([2; 16]));
        let saying = session.say(&now);
        assert_eq!(said(&saying), (7, 1, vec![0], vec![0, 1]));
        assert!(saying.forgotten.iter().all(|(_, id)| *id == old));
    }

    #[test]
    fn a_lost_session_begins_anew() {
        let mut session = FetchSession::default();
        session.say(&wanted(&[(0, 0)]));
        session.answered(ErrorCode::None, 7);
        session.say(&wanted(&[(0, 0)]));
        assert!(!session.answered(ErrorCode::FetchSessionIdNotFound, 0));
        let again = session.say(&wanted(&[(0, 0)]));
        assert_eq!(said(&again), (0, 0, vec![0], vec![]));
        session.answered(ErrorCode::None, 8);
        session.say(&wanted(&[(0, 0)]));
        assert!(!session.answered(ErrorCode::InvalidFetchSessionEpoch, 0));
        let replaced = session.say(&wanted(&[(0, 0)]));
        assert_eq!(said(&replaced), (8, 0, vec![0], vec![]));
    }

    #[test]
    fn a_broker_without_sessions_is_told_everything() {
        let mut session = FetchSession::default();
        for _ in 0..3 {
            let saying = session.say(&wanted(&[(0, 1), (1, 1)]));
            assert_eq!(said(&saying), (0, 0, vec![0, 1], vec![]));
            assert!(session.answered(ErrorCode::None, 0));
        }
    }
}
