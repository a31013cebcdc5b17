//! `weir group lag --history`: how lag went, as a line of blocks for each group, as a table by time,
//! or as JSON. The broker has sampled; here it is only drawn.

use super::lag::{behind, ms};
use super::period::PeriodArgs;
use super::refusal;
use crate::args::JsonArg;
use crate::failure::{Failure, Outcome};
use crate::table::Table;
use crate::{human, names, output};
use clap::Args;
use serde_json::json;
use weir_client::admin::{LagHistory, LagHistoryQuery, LagSeries};
use weir_client::{Client, TimestampMs};

/// How many blocks a group's line has at most.
const BLOCKS_MAX: usize = 60;

/// The flags of `--history`.
#[derive(Args, Debug)]
#[command(next_help_heading = "History")]
pub(super) struct PastArgs {
    /// How it went instead of how it is; the last hour unless told otherwise
    #[arg(long)]
    history: bool,
    /// A row for each point instead of a line of blocks
    #[arg(long, requires = "history")]
    points: bool,
    #[command(flatten)]
    period: PeriodArgs,
}

impl PastArgs {
    /// Whether the past is asked for.
    pub(super) fn is_wanted(&self) -> Outcome<bool> {
        if self.period.is_given() && !self.history {
            return Err(Failure::usage("a time is given without --history")
                .advise("add --history, or leave the time out"));
        }
        Ok(self.history)
    }
}

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    args: &PastArgs,
    groups: &[String],
    topics: &[String],
    json: JsonArg,
) -> Outcome {
    let (from, to) = args.period.bounds()?;
    let query = LagHistoryQuery {
        group_totals: true,
        group_topics: false,
        traffic: false,
        groups: groups.to_vec(),
        topics: topics.to_vec(),
        from,
        to,
        resolution: None,
    };
    let about = groups.first().map_or("", String::as_str);
    let history = client.admin().lag_history(&query).await;
    let history = history.map_err(|error| refusal::admin(&error, about))?;
    for group in groups {
        if !history.groups.keys().any(|(name, _)| name == group) {
            super::live::described(client, group).await?;
        }
    }
    if history.groups.values().all(|series| series.lag.is_empty()) {
        for topic in topics {
            names::topic(client, topic).await?;
        }
    }
    if json.json {
        return print_json(&history);
    }
    if history.groups.values().all(|series| series.lag.is_empty()) {
        eprintln!("weir: nothing is kept of that time");
        return Ok(());
    }
    output::table(&if args.points {
        points(&history)
    } else {
        lines(&history)
    })
}

fn print_json(history: &LagHistory) -> Outcome {
    let rows = history.groups.iter().map(|((group, _), series)| {
        let points = series.lag.iter().map(|(at, lag)| {
            let behind = ms(series.time.get(at).copied());
            json!({ "time": at.0, "lag": lag, "behindMs": behind })
        });
        json!({
            "group": group,
            "resolutionMs": ms(Some(history.resolution)),
            "points": points.collect::<Vec<_>>(),
        })
    });
    output::json(&rows.collect::<Vec<_>>())
}

fn points(history: &LagHistory) -> Table {
    let mut table = Table::new(&["TIME", "GROUP", "LAG", "BEHIND"]);
    for ((group, _), series) in &history.groups {
        for (at, lag) in &series.lag {
            table.row([
                human::time(at.0),
                human::name(group),
                lag.to_string(),
                behind(series.time.get(at).copied(), None),
            ]);
        }
    }
    table
}

fn lines(history: &LagHistory) -> Table {
    let all = || history.groups.values().flat_map(|series| series.lag.keys());
    let first = all().min().copied().unwrap_or(TimestampMs(0));
    let last = all().max().copied().unwrap_or(first);
    let mut table = Table::new(&["GROUP", "LAG", "MOST", "LONGEST BEHIND", "LAG OVER TIME"]);
    for ((group, _), series) in &history.groups {
        let most = series.lag.values().copied().max();
        let now = series.lag.last_key_value().map(|(_, lag)| *lag);
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        table.row([
            human::name(group),
            number(now),
            number(most),
            behind(series.time.values().copied().max(), None),
            blocks(series, first.0, last.0),
        ]);
    }
    table
}

/// A line of blocks as high as the most of each part of the time; gaps stay empty, and nothing at
/// all is a line on the floor.
fn blocks(series: &LagSeries, first: i64, last: i64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let span = last.saturating_sub(first).saturating_add(1).max(1);
    let width = i64::try_from(BLOCKS_MAX).unwrap_or(1);
    let mut columns: Vec<Option<i64>> = vec![None; BLOCKS_MAX];
    for (at, lag) in &series.lag {
        let place = i128::from(at.0 - first) * i128::from(width) / i128::from(span);
        let place = usize::try_from(place).ok();
        if let Some(column) = place.and_then(|place| columns.get_mut(place)) {
            *column = Some(column.map_or(*lag, |most| most.max(*lag)));
        }
    }
    let top = columns.iter().flatten().copied().max().unwrap_or(0).max(1);
    let block = |column: &Option<i64>| {
        let Some(lag) = column else {
            return ' ';
        };
        let height = i128::from((*lag).max(0)) * 7 / i128::from(top);
        let height = usize::try_from(height).unwrap_or(0);
        HEIGHTS.get(height).copied().unwrap_or('█')
    };
    let line: String = columns.iter().map(block).collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, i64)]) -> LagSeries {
        LagSeries {
            lag: points
                .iter()
                .map(|(at, lag)| (TimestampMs(*at), *lag))
                .collect(),
            ..LagSeries::default()
        }
    }

    #[test]
    fn blocks_are_as_high_as_the_most_of_their_time() {
        let climb: Vec<_> = (0..60).map(|n| (n * 10, n)).collect();
        let drawn = blocks(&series(&climb), 0, 599);
        assert_eq!(drawn.chars().count(), 60);
        assert!(drawn.starts_with('▁') && drawn.ends_with('█'), "{drawn}");
        // Several points fall into one block: the largest counts.
        let many: Vec<_> = (0..600).map(|n| (n, i64::from(n % 10 == 3) * 7)).collect();
        assert_eq!(blocks(&series(&many), 0, 599), "█".repeat(60));
    }

    #[test]
    fn gaps_stay_empty_and_no_lag_lies_on_the_floor() {
        assert_eq!(blocks(&series(&[]), 0, 599), "");
        assert_eq!(blocks(&series(&[(0, 0)]), 0, 0), "▁");
        let gap = blocks(&series(&[(0, 5), (590, 0)]), 0, 599);
        assert_eq!(gap, format!("█{}▁", " ".repeat(58)));
    }
}
