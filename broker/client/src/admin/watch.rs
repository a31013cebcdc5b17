//! The rebalances of groups as they happen, as a stream.

use super::{
    Admin, check,
    history::{GroupChange, change},
};
use crate::{
    cluster::{
        follow::{Answers, Followed, Told},
        shared::Attempts,
    },
    error::AdminError,
};
use futures_core::Stream;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use weir_types::ErrorCode;
use weir_wire::{
    Text,
    messages::{GroupWatchRequest, GroupWatchResponse},
};

/// What is watched, and from where; the default watches every group that the caller may describe,
/// from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchQuery {
    /// Which groups; none means all that the caller may describe.
    pub groups: Vec<String>,
    /// Where to go on: [`GroupWatch::cursor`], or [`HistoryPage::watch`](super::HistoryPage::watch)
    /// of the first page of a history. Nothing begins with what happens from now on.
    pub cursor: Option<String>,
}

/// What a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedChanges {
    /// Oldest first; perhaps none.
    pub changes: Vec<GroupChange>,
    /// How many are gone because the watch was too slow, or the broker for too long without it;
    /// they came before or between those told. Where groups are named it is the most that it can
    /// be.
    pub missed: i64,
    /// Where another watch can go on behind these.
    pub cursor: String,
    /// That brokers are out of reach, or back, which comes by itself, without changes.
    pub link: Option<WatchLink>,
}

/// How a watch is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchLink {
    /// No broker can be reached; the watch goes on from where it was once one can.
    Away {
        /// Why, in words.
        reason: String,
    },
    /// A broker is there again.
    Back,
}

/// The rebalances of groups as they happen ([`Admin::watch_groups`]).
///
/// It lives through lost connections and restarts of the broker and goes on where it was. Who
/// takes changes out too slowly is told how many are missed; nobody keeps them meanwhile.
pub struct GroupWatch {
    answers: Answers<GroupWatchRequest>,
    cursor: String,
}

impl std::fmt::Debug for GroupWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWatch")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl GroupWatch {
    /// Where another watch can go on behind what this one has told.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    fn link(&self, link: WatchLink) -> WatchedChanges {
        WatchedChanges {
            changes: Vec::new(),
            missed: 0,
            cursor: self.cursor.clone(),
            link: Some(link),
        }
    }
}

impl Stream for GroupWatch {
    type Item = Result<WatchedChanges, AdminError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let answer = match ready!(Pin::new(&mut self.answers).poll_next(context)) {
                Some(Ok(Told::Answer(answer))) => answer,
                Some(Ok(Told::Away(error))) => {
                    let reason = error.to_string();
                    return Poll::Ready(Some(Ok(self.link(WatchLink::Away { reason }))));
                }
                Some(Ok(Told::Back)) => {
                    return Poll::Ready(Some(Ok(self.link(WatchLink::Back))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            if let Some(cursor) = &answer.next_cursor {
                self.cursor = cursor.to_string();
            }
            // Where nothing happened, only the place has moved on.
            if !answer.events.is_empty() || answer.missed > 0 {
                return Poll::Ready(Some(Ok(WatchedChanges {
                    changes: answer.events.into_iter().map(change).collect(),
                    missed: answer.missed,
                    cursor: self.cursor.clone(),
                    link: None,
                })));
            }
        }
    }
}

impl Followed for GroupWatchRequest {
    fn follow(&mut self, follow: bool, max_wait_ms: i32) {
        self.follow = follow;
        self.max_wait_ms = max_wait_ms;
    }

    fn verdict(answer: &GroupWatchResponse) -> (ErrorCode, Option<&Text>) {
        (answer.error_code, answer.error_message.as_ref())
    }

    fn go_on(&mut self, answer: &GroupWatchResponse) {
        self.cursor.clone_from(&answer.next_cursor);
    }
}

impl Admin {
    /// Watches groups (GroupWatch). The place where it begins is known once this returns.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn watch_groups(&self, query: &WatchQuery) -> Result<GroupWatch, AdminError> {
        let groups = query.groups.iter().map(|group| Text::from(group.as_str()));
        let mut request = GroupWatchRequest {
            groups: groups.collect(),
            cursor: query.cursor.as_deref().map(Text::from),
            ..GroupWatchRequest::default()
        };
        if request.cursor.is_none() {
            request.cursor = self.watch_begins(&request).await?;
        }
        Ok(GroupWatch {
            cursor: request.cursor.as_deref().unwrap_or_default().to_owned(),
            answers: Answers::start(Arc::clone(&self.shared), request),
        })
    }

    /// Where a watch from now on begins, asked for until every coordinator is there to tell.
    async fn watch_begins(&self, request: &GroupWatchRequest) -> Result<Option<Text>, AdminError> {
        let mut attempts = Attempts::until(self.shared.deadline());
        loop {
            let answer = self.ask_any(request).await?;
            if !answer.error_code.is_retriable() || !attempts.again().await {
                check(answer.error_code, answer.error_message.as_ref())?;
                return Ok(answer.next_cursor);
            }
        }
    }
}
