//! `weir group lag --watch`: how far groups are behind, as it changes. It draws what the broker tells;
//! where nobody looks at it as it is drawn, few lines tell as much.

use super::lag::{LagArgs, behind, group_json, refuse_unknown_topics, totals};
use super::refusal;
use crate::failure::{Exit, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::{human, output, waiting};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;
use weir_client::admin::{GroupLag, LagReport};
use weir_client::{AdminError, Client};

/// How long to wait before a broker that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// How long one question waits for a change; the broker and the client may shorten it.
const WAIT: Duration = Duration::from_secs(15);
/// How long a group's line stands before another tells of its lag.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells totals and what changes of them, until Ctrl-C.
pub(super) async fn run(client: &Client, args: LagArgs, interrupt: &Interrupt) -> Outcome {
    tokio::select! {
        biased;
        () = output::reader_gone() => Err(Failure::output_closed()),
        done = interrupt.or(follow(client, &args)) => match done {
            // Watching has no end of its own: Ctrl-C is how it is meant to end.
            Err(failure) if failure.exit == Exit::Interrupted => Ok(()),
            done => done,
        },
    }
}

/// How it is told.
enum Teller {
    /// Every change, for machines.
    Json,
    Table(Drawing),
    Lines(Lines),
}

async fn follow(client: &Client, args: &LagArgs) -> Outcome {
    let filter = args.filter();
    let about = |error| refusal::admin(&error, args.about());
    let first = waiting::saying("the broker's answer", client.admin().lag(&filter)).await;
    let mut report = first.map_err(about)?;
    refuse_unknown_topics(client, &report, args).await?;
    for group in &args.groups {
        if !report.groups.contains_key(group) {
            let group = human::name(group);
            eprintln!("weir: there is no group `{group}` yet; its first member makes it");
        }
    }
    let mut teller = match (args.json.json, std::io::stdout().is_terminal()) {
        (true, _) => Teller::Json,
        (false, true) => Teller::Table(Drawing::default()),
        (false, false) => Teller::Lines(Lines::default()),
    };
    let mut groups: BTreeMap<String, GroupLag> = BTreeMap::new();
    let mut is_away = false;
    loop {
        let gone = take_in(&mut groups, &report);
        teller.tell(&report, &groups, &gone)?;
        let generation = report.generation;
        report = loop {
            let wait = teller.wait(&groups);
            match client.admin().watch_lag(&filter, generation, wait).await {
                Ok(next) => break next,
                Err(error) if error.can_retry() => {
                    if !is_away {
                        teller.note(&away(&error), &groups)?;
                    }
                    is_away = true;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(about(error)),
            }
        };
        if std::mem::take(&mut is_away) {
            teller.note("the broker is back", &groups)?;
        }
    }
}

fn away(error: &AdminError) -> String {
    format!("{error}; watching goes on once it is back (Ctrl-C ends it)")
}

/// Puts what a report tells into what is known; answers which groups are gone.
fn take_in(groups: &mut BTreeMap<String, GroupLag>, report: &LagReport) -> Vec<String> {
    let is_gone = |name: &String| {
        report.removed_groups.contains(name)
            || (report.is_complete && !report.groups.contains_key(name))
    };
    let gone: Vec<String> = groups
        .keys()
        .filter(|name| is_gone(name))
        .cloned()
        .collect();
    for name in &gone {
        groups.remove(name);
    }
    let new = report.groups.iter();
    groups.extend(new.map(|(name, group)| (name.clone(), group.clone())));
    gone
}

impl Teller {
    fn tell(
        &mut self,
        report: &LagReport,
        groups: &BTreeMap<String, GroupLag>,
        gone: &[String],
    ) -> Outcome {
        let ms = report.time.map(|time| time.0);
        let time = human::time(ms.unwrap_or(0));
        match self {
            Self::Json => {
                for name in gone {
                    output::line(json!({ "time": ms, "group": name, "gone": true }))?;
                }
                for (name, group) in &report.groups {
                    let mut value = group_json(name, group, false);
                    value["time"] = json!(ms);
                    output::line(value)?;
                }
            }
            Self::Table(drawing) => {
                drawing.time = time;
                drawing.draw(groups)?;
            }
            Self::Lines(lines) => {
                for name in gone {
                    lines.told.remove(name);
                    output::line(format_args!("{time} {}: gone", human::name(name)))?;
                }
                for line in lines.due(groups, Instant::now()) {
                    output::line(format_args!("{time} {line}"))?;
                }
            }
        }
        Ok(())
    }

    /// Tells of the broker itself, on standard error unless a table is drawn.
    fn note(&mut self, note: &str, groups: &BTreeMap<String, GroupLag>) -> Outcome {
        if let Self::Table(drawing) = self {
            drawing.note = Some(note.to_owned());
            return drawing.draw(groups);
        }
        eprintln!("weir: {note}");
        Ok(())
    }

    /// How long the next question may wait.
    fn wait(&self, groups: &BTreeMap<String, GroupLag>) -> Duration {
        match self {
            Self::Lines(lines) => lines.wait(groups, Instant::now()),
            _ => WAIT,
        }
    }
}

/// A table on a terminal, drawn over the one before.
#[derive(Default)]
struct Drawing {
    time: String,
    note: Option<String>,
    /// How many lines of the terminal it takes.
    lines: usize,
}

impl Drawing {
    fn draw(&mut self, groups: &BTreeMap<String, GroupLag>) -> Outcome {
        let (columns, rows) = output::terminal().unwrap_or((80, 24));
        let mut table = Vec::new();
        totals(groups).write(Some(columns), &mut table)?;
        let table = String::from_utf8_lossy(&table).into_owned();
        let mut lines: Vec<String> = vec![self.time.clone()];
        lines.extend(table.lines().map(str::to_owned));
        if groups.is_empty() {
            lines.push("there are no groups yet".to_owned());
        }
        // The last line of a terminal is the cursor's, and one is for the note.
        let room = rows.saturating_sub(2).max(2);
        if lines.len() > room {
            let more = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(format!("… and {} more", human::counted(more, "group")));
        }
        lines.extend(self.note.take());
        let lines: Vec<String> = lines.iter().map(|line| cut(line, columns)).collect();
        let up = self.lines;
        self.lines = lines.len();
        output::line(over(up, &lines))
    }
}

/// What draws these lines over so many before.
fn over(up: usize, lines: &[String]) -> String {
    let text = lines.join("\n");
    match up {
        0 => text,
        // Up to the first of them, and everything from there on is wiped.
        up => format!("\u{1b}[{up}A\r\u{1b}[J{text}"),
    }
}

/// As much of a line as a terminal has room for, lest it takes two.
fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns).collect()
}

/// What was told of a group, and when.
struct Told {
    at: Instant,
    group: GroupLag,
}

/// Lines for files and pipes: few, and each tells something.
#[derive(Default)]
struct Lines {
    told: BTreeMap<String, Told>,
}

impl Lines {
    /// When a group is to be told of; never, as long as it stays as it is.
    fn when(&self, name: &str, group: &GroupLag, now: Instant) -> Option<Instant> {
        let Some(told) = self.told.get(name) else {
            return Some(now);
        };
        let before = &told.group;
        if before.state != group.state
            || before.members != group.members
            || before.lag.is_some() != group.lag.is_some()
        {
            return Some(now);
        }
        let is_alike = is_alike_lag(before.lag, group.lag) && is_alike_time(before, group);
        (!is_alike).then(|| told.at + LINE_EVERY)
    }

    /// The lines that are due, after which they are told.
    fn due(&mut self, groups: &BTreeMap<String, GroupLag>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, group) in groups {
            if self.when(name, group, now).is_some_and(|at| at <= now) {
                let group = group.clone();
                lines.push(line(name, &group));
                self.told.insert(name.clone(), Told { at: now, group });
            }
        }
        lines
    }

    /// How long until a line is due, if nothing else happens.
    fn wait(&self, groups: &BTreeMap<String, GroupLag>, now: Instant) -> Duration {
        let all = groups.iter();
        let due = all.filter_map(|(name, group)| self.when(name, group, now));
        let soonest = due.min().map(|at| at.saturating_duration_since(now));
        soonest.map_or(WAIT, |wait| wait.min(WAIT))
    }
}

/// Whether two lags differ by a tenth at most, and neither or both are none at all.
fn is_alike_lag(one: Option<i64>, other: Option<i64>) -> bool {
    let (one, other) = (one.unwrap_or(0), other.unwrap_or(0));
    let apart = one.abs_diff(other);
    (one == 0) == (other == 0) && apart.saturating_mul(10) <= one.max(other).unsigned_abs()
}

/// Whether a group is not twice as long behind as before, nor half as long; it falls behind by a
/// second each second while it stands still, and that needs no line each time.
fn is_alike_time(one: &GroupLag, other: &GroupLag) -> bool {
    if one.time.is_some() != other.time.is_some() {
        return false;
    }
    let time = |group: &GroupLag| group.time.or(group.time_at_least).unwrap_or_default();
    let (one, other) = (time(one), time(other));
    let (less, more) = (one.min(other), one.max(other));
    more < LINE_EVERY || more < less * 2
}

/// One group in a line.
fn line(name: &str, group: &GroupLag) -> String {
    let lag = group.lag.map_or_else(
        || "nothing committed".to_owned(),
        |lag| format!("{} behind", human::records(lag)),
    );
    let time = group.time.or(group.time_at_least).unwrap_or_default();
    let time = match time {
        Duration::ZERO => String::new(),
        _ => format!(", {}", behind(group.time, group.time_at_least)),
    };
    let members = human::counted(group.members, "member");
    let (name, state) = (human::name(name), human::name(&group.state));
    format!("{name}: {state}, {members}, {lag}{time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(members: i32, lag: i64, seconds: u64) -> BTreeMap<String, GroupLag> {
        let group = GroupLag {
            state: "Stable".to_owned(),
            members,
            lag: Some(lag),
            time: Some(Duration::from_secs(seconds)),
            ..GroupLag::default()
        };
        BTreeMap::from([("g".to_owned(), group)])
    }

    #[test]
    fn a_steady_feed_makes_a_line_in_ten_seconds_at_most() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            // Caught up and behind by a few, in turn.
            let groups = group(1, i64::from(second % 2 == 0) * 5, second % 2);
            told.extend(lines.due(&groups, now).into_iter().map(|_| second));
            assert!(lines.wait(&groups, now) <= LINE_EVERY.max(WAIT));
        }
        assert!(told.len() <= 6, "{told:?}");
        let apart = told.windows(2).all(|pair| pair[1] - pair[0] >= 10);
        assert!(apart, "{told:?}");
    }

    #[test]
    fn members_and_states_are_told_at_once() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let first = lines.due(&group(1, 5, 0), start);
        assert_eq!(first, ["g: Stable, 1 member, 5 records behind"]);
        assert_eq!(lines.due(&group(1, 500, 0), start), [""; 0]);
        assert_eq!(lines.wait(&group(1, 500, 0), start), LINE_EVERY);
        let second = lines.due(&group(2, 500, 3), start);
        assert_eq!(second, ["g: Stable, 2 members, 500 records behind, 3.0 s"]);
        let mut empty = group(2, 500, 3);
        if let Some(group) = empty.get_mut("g") {
            group.state = "Empty".to_owned();
        }
        assert_eq!(lines.due(&empty, start).len(), 1);
    }

    #[test]
    fn a_group_that_stands_still_is_told_of_ever_more_seldom() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            told.extend(
                lines
                    .due(&group(0, 100, second), now)
                    .iter()
                    .map(|_| second),
            );
        }
        assert_eq!(told, [0, 10, 20, 40, 80, 160, 320, 640]);
    }

    #[test]
    fn a_group_that_nobody_knows_since_when_is_behind_is_told_of_as_seldom() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for second in 0..400 {
            let mut groups = group(0, 100, 0);
            if let Some(group) = groups.get_mut("g") {
                (group.time, group.time_at_least) = (None, Some(Duration::from_secs(second)));
            }
            let lines = lines.due(&groups, start + Duration::from_secs(second));
            told.extend(lines.into_iter().map(|line| (second, line)));
        }
        let seconds: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 320]);
        let last = "g: Stable, 0 members, 100 records behind, >= 5 min";
        assert_eq!(told.last().map(|(_, line)| line.as_str()), Some(last));
        // What is known again is told.
        let known = lines.when("g", &group(0, 100, 320)["g"], start);
        assert!(known.is_some());
    }

    #[test]
    fn a_drawing_goes_over_the_one_before() {
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(over(0, &lines), "one\ntwo");
        assert_eq!(over(3, &lines), "\u{1b}[3A\r\u{1b}[Jone\ntwo");
        assert_eq!(cut("größer", 3), "grö");
    }
}
