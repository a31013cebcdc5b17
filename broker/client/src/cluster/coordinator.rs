//! The broker that coordinates a group: found, remembered, and found anew when it moves (KIP-699).
//!
//! Only asking; what an answer means for a member is decided elsewhere.

use super::{
    broker::{Broker, Purpose},
    shared::{Attempts, Shared},
};
use crate::error::{AdminError, BrokerError};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use weir_types::{BrokerId, ErrorCode};
use weir_wire::{
    RequestBody, Text,
    messages::{Coordinator as Row, FindCoordinatorRequest},
};

/// The first version that asks for several keys.
const KEYS_VERSION: i16 = 4;

/// A group's coordinator.
pub(crate) struct Coordinator {
    shared: Arc<Shared>,
    group: Text,
    known: Mutex<Option<BrokerId>>,
}

impl Coordinator {
    pub(crate) fn new(shared: Arc<Shared>, group: &str) -> Self {
        Self {
            shared,
            group: Text::from(group),
            known: Mutex::default(),
        }
    }

    /// It is another one now.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// The broker, asked for where it is not known; once.
    pub(crate) async fn find(&self) -> Result<Arc<Broker>, AdminError> {
        let known = *self.lock();
        if let Some(id) = known
            && let Ok(broker) = self.shared.broker(id)
        {
            return Ok(broker);
        }
        let broker = self.shared.anybody().await?;
        let session = broker.session(Purpose::Control).await?;
        let version = session.version::<FindCoordinatorRequest>(i16::MAX)?;
        let mut request = FindCoordinatorRequest::default();
        if version < KEYS_VERSION {
            request.key = self.group.clone();
        } else {
            request.coordinator_keys = vec![self.group.clone()];
        }
        let response = self.shared.ask_on(&session, i16::MAX, &request).await?;
        let (code, message, id) = match response.coordinators.into_iter().next() {
            Some(Row {
                error_code,
                error_message,
                node_id,
                ..
            }) => (error_code, error_message, node_id),
            None if version < KEYS_VERSION => {
                let message = response.error_message;
                (response.error_code, message, response.node_id)
            }
            None => {
                return Err(AdminError::Missing {
                    what: format!("the coordinator of group {}", self.group),
                });
            }
        };
        BrokerError::check(code, message.as_ref()).map_err(AdminError::Broker)?;
        let broker = match self.shared.broker(id) {
            Ok(broker) => broker,
            Err(_) => {
                self.shared.refresh(Some(Vec::new())).await?;
                self.shared.broker(id)?
            }
        };
        *self.lock() = Some(id);
        Ok(broker)
    }

    /// Asks the coordinator; again while it moves or cannot be reached, until the deadline.
    /// `build` makes the request for a version and `verdict` finds the code in the answer that
    /// may be worth another attempt.
    pub(crate) async fn ask<B: RequestBody>(
        &self,
        purpose: Purpose,
        cap: i16,
        deadline: Instant,
        build: impl Fn(i16) -> B + Send + Sync,
        verdict: impl Fn(&B::Response) -> ErrorCode + Send + Sync,
    ) -> Result<B::Response, AdminError> {
        let mut attempts = Attempts::until(deadline);
        loop {
            let answer = self.ask_once(purpose, cap, &build).await;
            let is_again = match &answer {
                Ok(answer) => verdict(answer).is_retriable(),
                Err(error) => error.can_retry(),
            };
            if !is_again || !attempts.again().await {
                return answer;
            }
            self.forget();
        }
    }

    /// As [`Self::ask`], without a second attempt.
    pub(crate) async fn ask_once<B: RequestBody>(
        &self,
        purpose: Purpose,
        cap: i16,
        build: impl Fn(i16) -> B + Send + Sync,
    ) -> Result<B::Response, AdminError> {
        let broker = self.find().await?;
        let session = broker.session(purpose).await?;
        let version = session.version::<B>(cap)?;
        let timeout = self.shared.config.request_timeout;
        let body = build(version);
        let answer = session.call(version, &body, &self.shared.client_id, timeout);
        Ok(answer.await?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<BrokerId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
