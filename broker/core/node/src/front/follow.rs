//! Requests whose answers keep coming: what is asked next after each answer.
//!
//! The front and the shards know one question and one answer. The driver asks what
//! [`Follow::next`] says once the answer before it has gone out, so a slow reader is asked for
//! slowly and nothing waits for it anywhere.

use crate::limits::FOLLOW_WAIT_MS_MIN;
use weir_types::ErrorCode;
use weir_wire::{
    Request, Response, Text,
    messages::{GroupWatchRequest, GroupWatchResponse, LagRequest, LagResponse},
};

/// A request that is followed.
#[derive(Clone, Debug)]
pub struct Follow(Followed);

#[derive(Clone, Debug)]
enum Followed {
    Watch(GroupWatchRequest),
    Lag(LagRequest),
}

impl Follow {
    /// What follows from a request; nothing where one answer is wanted.
    ///
    /// # Errors
    /// The response that says why answers cannot keep coming; `can_stream` tells whether they have
    /// a stream of their own, as over QUIC.
    #[allow(clippy::result_large_err, reason = "the error is the answer")]
    pub fn of(request: &Request, can_stream: bool) -> Result<Option<Self>, Response> {
        let follow = match request {
            Request::GroupWatch(body) if body.follow => Followed::Watch(body.clone()),
            Request::Lag(body) if body.follow => Followed::Lag(body.clone()),
            _ => return Ok(None),
        };
        let follow = Self(follow);
        if can_stream {
            return Ok(Some(follow));
        }
        let text = "answers keep coming over QUIC only: here, ask again after each one";
        Err(follow.refuse(ErrorCode::InvalidRequest, text))
    }

    /// The response where there is no room for another one.
    #[must_use]
    pub fn no_room(&self) -> Response {
        let text = "too many requests are followed on this broker: ask again after each answer";
        self.refuse(ErrorCode::ThrottlingQuotaExceeded, text)
    }

    /// What is to be asked after a response; nothing ends it.
    pub fn next(&mut self, response: &Response) -> Option<Request> {
        match (&mut self.0, response) {
            (Followed::Watch(request), Response::GroupWatch(response)) => {
                if response.error_code.is_err() {
                    return None;
                }
                request.cursor.clone_from(&response.next_cursor);
                request.max_wait_ms = request.max_wait_ms.max(FOLLOW_WAIT_MS_MIN);
                Some(request.clone().into())
            }
            (Followed::Lag(request), Response::Lag(response)) => {
                if response.error_code.is_err() {
                    return None;
                }
                request.cursor.clone_from(&response.next_cursor);
                if response.next_cursor.is_none() {
                    // Without a generation everything would be told again, and at once.
                    request.changes_since = Some(response.generation).filter(|g| *g >= 0)?;
                    request.max_wait_ms = request.max_wait_ms.max(FOLLOW_WAIT_MS_MIN);
                }
                Some(request.clone().into())
            }
            _ => None,
        }
    }

    fn refuse(&self, error_code: ErrorCode, text: &'static str) -> Response {
        let error_message = Some(Text::from_static(text));
        match &self.0 {
            Followed::Watch(_) => GroupWatchResponse {
                error_code,
                error_message,
                ..Default::default()
            }
            .into(),
            Followed::Lag(_) => LagResponse {
                error_code,
                error_message,
                ..Default::default()
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn follow(request: impl Into<Request>) -> Follow {
        Follow::of(&request.into(), true).unwrap().unwrap()
    }

    #[test]
    fn one_answer_is_not_followed() {
        let requests: [Request; 2] = [
            GroupWatchRequest::default().into(),
            LagRequest::default().into(),
        ];
        for request in requests {
            assert!(Follow::of(&request, true).unwrap().is_none());
            assert!(Follow::of(&request, false).unwrap().is_none());
        }
    }

    #[test]
    fn without_a_stream_it_is_refused() {
        let request = LagRequest {
            follow: true,
            ..Default::default()
        };
        let Err(Response::Lag(refused)) = Follow::of(&request.into(), false) else {
            panic!("it was not refused");
        };
        assert_eq!(refused.error_code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn a_watch_goes_on_where_it_was_and_ends_with_an_error() {
        let mut follow = follow(GroupWatchRequest {
            groups: Vec::from(["g".into()]),
            follow: true,
            ..Default::default()
        });
        let mut told = GroupWatchResponse {
            next_cursor: Some("w1:3=7".into()),
            ..Default::default()
        };
        let Some(Request::GroupWatch(next)) = follow.next(&told.clone().into()) else {
            panic!("it ended");
        };
        assert_eq!(next.cursor.as_deref(), Some("w1:3=7"));
        assert_eq!(next.max_wait_ms, FOLLOW_WAIT_MS_MIN, "no hot loop");
        told.error_code = ErrorCode::NotCoordinator;
        assert_eq!(follow.next(&told.into()), None);
    }

    #[test]
    fn lag_goes_through_the_pages_and_then_from_change_to_change() {
        let mut follow = follow(LagRequest {
            follow: true,
            ..Default::default()
        });
        let mut ask = |generation, cursor: Option<&'static str>| {
            let told = LagResponse {
                generation,
                next_cursor: cursor.map(Text::from_static),
                ..Default::default()
            };
            match follow.next(&told.into()) {
                Some(Request::Lag(next)) => Some(next),
                _ => None,
            }
        };
        let second = ask(5, Some("two")).unwrap();
        assert_eq!(
            (second.cursor.as_deref(), second.changes_since),
            (Some("two"), -1)
        );
        assert_eq!(second.max_wait_ms, 0, "a page is there at once");
        let changes = ask(5, None).unwrap();
        assert_eq!((changes.cursor, changes.changes_since), (None, 5));
        assert_eq!(changes.max_wait_ms, FOLLOW_WAIT_MS_MIN);
        let second = ask(9, Some("two")).unwrap();
        assert_eq!(
            (second.cursor.as_deref(), second.changes_since),
            (Some("two"), 5)
        );
        assert_eq!(ask(9, None).unwrap().changes_since, 9);
        assert_eq!(ask(-1, None), None, "nothing to go on after");
    }
}
