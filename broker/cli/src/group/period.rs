//! `--last`, `--from` and `--to`: which part of the past is meant. Only the flags; what happened
//! then is asked elsewhere.

use crate::failure::{Failure, Outcome};
use crate::range::time_ms;
use crate::span::Span;
use clap::Args;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_client::TimestampMs;

/// A part of the past.
#[derive(Args, Debug)]
pub(super) struct PeriodArgs {
    /// Only the last 30m, 6h or 7d
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    last: Option<Span>,
    /// From this time on (RFC 3339 or milliseconds since 1970)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl PeriodArgs {
    /// Whether any of it was said.
    pub(super) const fn is_given(&self) -> bool {
        self.last.is_some() || self.from.is_some() || self.to.is_some()
    }

    /// Its first millisecond and the one behind its last, where they are given.
    pub(super) fn bounds(&self) -> Outcome<(Option<TimestampMs>, Option<TimestampMs>)> {
        if let Some(last) = self.last {
            return Ok((Some(before_now(last)?), None));
        }
        let time = |text: &Option<String>| match text {
            Some(text) => time_ms(text).map(|ms| Some(TimestampMs(ms))),
            None => Ok(None),
        };
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            return Err(Failure::usage("--to lies before --from"));
        }
        Ok((from, to))
    }
}

/// The time that lies so long before now.
pub(super) fn before_now(span: Span) -> Outcome<TimestampMs> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Failure::failed("this machine's clock stands before 1970"))?;
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Ok(TimestampMs(now.saturating_sub(span.millis()).max(0)))
}
