//! A request whose answers keep coming: a long poll after the other, each asked for once the
//! answer before it is written, so that nobody waits for a slow reader.
//!
//! What is asked next is the core's to say ([`Follow`]); no rule may live here.

use crate::inflate::Inflater;
use crate::metrics::ApiMetrics;
use crate::session::{Asked, Reply, Shared, ask, plan};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use weir_net::{Answered, Close, NextAnswer};
use weir_node::front::{Context, Follow, Front, Plan};
use weir_wire::{Request, Text};

/// What it takes to go on asking when its session has gone on to other things.
pub(crate) struct Followed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) context: Context,
    pub(crate) client_id: Text,
    pub(crate) metrics: Option<ApiMetrics>,
    pub(crate) correlation_id: i32,
    pub(crate) version: i16,
    pub(crate) follow: Follow,
    /// Its place among those that the broker allows.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Followed {
    /// The answer to what was asked, and the next one.
    pub(crate) async fn answer(mut self, asked: Asked) -> Result<Answered, Close> {
        let (reply, response) = asked.response().await?;
        let Some(response) = response else {
            return Ok(Answered::once(None));
        };
        let answer = reply.encode(&response)?;
        let next = self.follow.next(&response);
        Ok(Answered {
            answer,
            next: next.map(|request| self.ask(request)),
        })
    }

    fn ask(self, request: Request) -> NextAnswer {
        Box::pin(async move {
            let reply = Reply::now(self.metrics.clone(), self.correlation_id, self.version);
            // What is followed needs nothing that a session remembers.
            let mut front = Front::new(Arc::clone(&self.shared.front));
            let plan = plan(
                &self.shared,
                &mut front,
                &mut Inflater::default(),
                &self.context,
                self.version,
                &self.client_id,
                request,
            );
            let asked = match plan? {
                Plan::Answer(response) => Asked::Told(reply, response),
                Plan::Parts { parts, join } => {
                    Asked::Waits(ask(&self.shared, reply, parts, join, None))
                }
                Plan::Place(_) => {
                    reply.failed();
                    return Err(Close::new("no batch is followed"));
                }
                Plan::Silent => return Ok(Answered::once(None)),
                Plan::Close { reason } => {
                    reply.failed();
                    return Err(Close::new(reason));
                }
            };
            self.answer(asked).await
        })
    }
}
