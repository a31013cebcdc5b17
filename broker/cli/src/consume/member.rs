//! `weir consume --group`: reads as a member of a consumer group.
//!
//! An offset is committed only once the records before it are written out: what was not printed is
//! read again, by this program or by whoever takes the partition over. It never commits anything
//! else.

use super::printer::Printer;
use super::{ConsumeArgs, PATIENCE};
use crate::failure::{Exit, Failure, Outcome};
use crate::group::refusal;
use crate::interrupt::Interrupt;
use crate::output::{self, Out};
use crate::row::Row;
use crate::span::Span;
use crate::{human, names, waiting};
use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_client::admin::OffsetSpec;
use weir_client::group::{Commit, FinalCommit};
use weir_client::{
    ClassicAssignor, Client, CommitOffset, ErrorCode, FetchedBatch, GroupConsumer, GroupError,
    GroupProtocol, Offset, OffsetReset, RebalanceListener, RecordHeader, TopicPartition,
};

/// How often written records are committed unless told otherwise.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// Changes of the share between two looks at them; each poll makes a few at most.
const CHANGES_MAX: usize = 1024;

/// How often a member without a share looks whether it is to have none.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// The flags that only count with `--group`.
#[derive(Args, Debug)]
#[command(next_help_heading = "As a member of a consumer group")]
pub(crate) struct MemberArgs {
    /// Read a share of the topics as a member of this group, and commit what was printed
    #[arg(long, short, value_name = "GROUP", conflicts_with_all = ["offset", "partition"])]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) group: Option<String>,
    /// Every topic whose whole name matches this regular expression, also those made later
    #[arg(long, value_name = "REGEX", requires = "group", group = "what")]
    pub(super) pattern: Option<String>,
    /// How members find their shares: the broker shares out, or one of them does
    #[arg(
        long,
        value_name = "consumer|classic",
        requires = "group",
        default_value = "consumer"
    )]
    #[arg(hide_default_value = false)]
    group_protocol: GroupProtocol,
    /// How partitions are shared out: uniform or range by the broker (consumer protocol),
    /// cooperative-sticky or range by a member (classic protocol) [default: the broker's choice,
    /// or cooperative-sticky]
    #[arg(long, value_name = "NAME", requires = "group")]
    assignor: Option<Assignor>,
    /// A name for this member, which keeps its share over a quick restart (group.instance.id)
    #[arg(long, value_name = "NAME", requires = "group")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    instance_id: Option<String>,
    /// How often what was printed is committed [default: 5s]; also before partitions are given up
    /// and at the end
    #[arg(long, value_name = "TIME", requires = "group")]
    commit_interval: Option<Span>,
    /// A text that is kept beside each committed offset
    #[arg(long, value_name = "TEXT", requires = "group")]
    commit_metadata: Option<String>,
    /// Commit nothing: whoever reads next begins where this member did
    #[arg(long, requires = "group", conflicts_with_all = ["commit_interval", "commit_metadata"])]
    no_commit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Assignor {
    Uniform,
    Range,
    CooperativeSticky,
}

impl MemberArgs {
    /// What is committed, and how often; nothing with `--no-commit`.
    fn commits(&self) -> Option<Commits> {
        (!self.no_commit).then(|| Commits {
            every: self.commit_interval.map_or(COMMIT_INTERVAL, |span| span.0),
            metadata: self.commit_metadata.clone().unwrap_or_default(),
        })
    }
}

#[derive(Clone, Debug)]
struct Commits {
    every: Duration,
    metadata: String,
}

impl Commits {
    fn offset(&self, offset: Offset) -> CommitOffset {
        CommitOffset::from(offset).with_metadata(self.metadata.as_str())
    }
}

/// Runs the command.
pub(super) async fn run(
    args: ConsumeArgs,
    group: String,
    mut printer: Printer,
    verbose: u8,
    interrupt: Interrupt,
) -> Outcome {
    let client = args.connect(&interrupt).await?;
    interrupt.or(printer.prepare(&client)).await?;
    let looking = async {
        for topic in &args.topics {
            names::topic(&client, topic).await?;
        }
        Ok(())
    };
    let looking = waiting::saying("the broker's answer", looking);
    interrupt.or(looking).await?;
    let ledger = Shelf::default();
    let (told, changes) = mpsc::channel(CHANGES_MAX);
    let commits = args.member.commits();
    let ear = Ear {
        group: human::name(&group).to_string(),
        ledger: ledger.clone(),
        commits: commits.clone(),
        told,
        was_in: false,
        is_away: false,
    };
    let consumer = join(&client, &group, &args, ear)?;
    let reading = Reading {
        client,
        group: &group,
        printer,
        ledger: ledger.clone(),
        changes,
        left: args.max.unwrap_or(u64::MAX),
        ends: args.exit_at_end.then(BTreeMap::new),
        look_at: args.exit_at_end.then(|| Instant::now() + IDLE_LOOK),
        was_idle: false,
        is_chatty: verbose > 0 || std::io::stderr().is_terminal(),
        patience: Some(Instant::now() + PATIENCE),
        commit_at: commits
            .as_ref()
            .map(|commits| Instant::now() + commits.every),
        commits,
        under_way: None,
    };
    let is_bounded = args.max.is_some() || args.exit_at_end;
    end(consumer, reading, &interrupt, is_bounded).await
}

fn join(client: &Client, group: &str, args: &ConsumeArgs, ear: Ear) -> Outcome<GroupConsumer> {
    let member = &args.member;
    let reset = if args.from_beginning {
        OffsetReset::Earliest
    } else {
        OffsetReset::Latest
    };
    let mut builder = client
        .group(group)
        .topics(&args.topics)
        .protocol(member.group_protocol)
        .offset_reset(reset)
        .manual_commit()
        .listener(ear);
    if let Some(pattern) = &member.pattern {
        builder = builder.pattern(pattern);
    }
    if let Some(name) = &member.instance_id {
        builder = builder.instance_id(name);
    }
    builder = match (member.group_protocol, member.assignor) {
        (_, None) => builder,
        (GroupProtocol::Consumer, Some(Assignor::Uniform)) => builder.server_assignor("uniform"),
        (GroupProtocol::Consumer, Some(Assignor::Range)) => builder.server_assignor("range"),
        (GroupProtocol::Classic, Some(Assignor::Range)) => {
            builder.classic_assignor(ClassicAssignor::Range)
        }
        (GroupProtocol::Classic, Some(Assignor::CooperativeSticky)) => {
            builder.classic_assignor(ClassicAssignor::CooperativeSticky)
        }
        (GroupProtocol::Consumer, Some(Assignor::CooperativeSticky)) => {
            return Err(
                Failure::usage("cooperative-sticky is of the classic protocol")
                    .advise("give --group-protocol classic, or --assignor uniform|range"),
            );
        }
        (GroupProtocol::Classic, Some(Assignor::Uniform)) => {
            return Err(
                Failure::usage("uniform is of the consumer protocol").advise(
                    "leave --group-protocol out, or give --assignor cooperative-sticky|range",
                ),
            );
        }
    };
    builder
        .build()
        .map_err(|error| refusal::member(error, group))
}

/// Reads, and whatever ends it: commits what was written and leaves.
async fn end(
    mut consumer: GroupConsumer,
    mut reading: Reading<'_>,
    interrupt: &Interrupt,
    is_bounded: bool,
) -> Outcome {
    let ended = reading.all(&mut consumer, interrupt).await;
    let flushed = reading.ledger.lock().flush();
    // A commit under way is older than the last one; they are carried out in order.
    drop(reading.under_way.take());
    let closing = waiting::saying("the group to take the last offsets", consumer.close());
    let closed = closing
        .await
        .map_err(|error| refusal::member(error, reading.group));
    match ended {
        // Following has no end of its own: Ctrl-C is how it is meant to end.
        Err(failure) if failure.exit == Exit::Interrupted && !is_bounded => flushed.and(closed),
        Err(failure) => {
            if let Err(second) = closed {
                // The first failure is the one to tell; this one must not pass in silence.
                eprintln!("weir: {second}");
            }
            Err(failure)
        }
        Ok(()) => flushed.and(closed),
    }
}

/// What was printed and how far it got.
#[derive(Debug, Default)]
struct Ledger {
    out: Out,
    /// Behind the last record of each partition that was handed to `out`.
    printed: BTreeMap<TopicPartition, Offset>,
    /// Behind the last record of each partition that is written out.
    written: BTreeMap<TopicPartition, Offset>,
    /// What the group has.
    committed: BTreeMap<TopicPartition, Offset>,
    /// Why something could not be written while partitions were given up.
    failed: Option<Failure>,
}

impl Ledger {
    /// Writes everything out; only then it counts as written.
    fn flush(&mut self) -> Outcome {
        let flushed = self.out.flush();
        self.settle(flushed)
    }

    /// Notes what is written if nothing waits in memory any more.
    fn note(&mut self) -> Outcome {
        match self.out.is_written() {
            Ok(true) => self.settle(Ok(())),
            Ok(false) => Ok(()),
            Err(failure) => self.settle(Err(failure)),
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Outcome {
        let printed = std::mem::take(&mut self.printed);
        if outcome.is_ok() {
            self.written.extend(printed);
        }
        outcome
    }

    /// What is written and not yet committed.
    fn open(&self) -> BTreeMap<TopicPartition, Offset> {
        let open = self.written.iter();
        open.filter(|(partition, offset)| self.committed.get(*partition) != Some(offset))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect()
    }

    /// These need not be committed again: the group has them, or nobody wants them any more.
    fn settle_commit(&mut self, offsets: BTreeMap<TopicPartition, Offset>) {
        for (partition, offset) in offsets {
            // What was given up meanwhile is no longer of interest.
            if self.written.contains_key(&partition) {
                self.committed.insert(partition, offset);
            }
        }
    }

    fn forget(&mut self, partition: &TopicPartition) {
        self.printed.remove(partition);
        self.written.remove(partition);
        self.committed.remove(partition);
    }
}

/// The ledger, shared by the loop that prints and the listener, which hears of partitions that are
/// given up while the loop polls.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<Ledger>>);

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a member hears of its share.
#[derive(Debug)]
enum Change {
    Got(BTreeSet<TopicPartition>),
    GaveUp(BTreeSet<TopicPartition>),
    Lost(BTreeSet<TopicPartition>),
}

struct Ear {
    group: String,
    ledger: Shelf,
    commits: Option<Commits>,
    told: mpsc::Sender<Change>,
    /// Whether there was ever a share. Before, `waiting for a share` says all there is to say.
    was_in: bool,
    /// Whether it was said that the coordinator is away.
    is_away: bool,
}

impl Ear {
    fn tell(&self, change: Change) {
        // Nobody listens any more once the command is ending.
        if let Err(mpsc::error::TrySendError::Full(change)) = self.told.try_send(change) {
            let failure = Failure::failed(format!("the share changed too often: {change:?}"));
            self.ledger.lock().failed.get_or_insert(failure);
        }
    }
}

impl RebalanceListener for Ear {
    fn assigned(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.was_in = true;
        self.tell(Change::Got(partitions.clone()));
    }

    fn revoked(&mut self, partitions: &BTreeSet<TopicPartition>, commit: &mut FinalCommit) {
        let mut ledger = self.ledger.lock();
        if let Err(failure) = ledger.flush() {
            ledger.failed.get_or_insert(failure);
        }
        let open = ledger.open();
        for partition in partitions {
            if let (Some(commits), Some(offset)) = (&self.commits, open.get(partition)) {
                commit.commit(partition.clone(), commits.offset(*offset));
            }
            ledger.forget(partition);
        }
        drop(ledger);
        self.tell(Change::GaveUp(partitions.clone()));
    }

    fn lost(&mut self, partitions: &BTreeSet<TopicPartition>) {
        let mut ledger = self.ledger.lock();
        for partition in partitions {
            ledger.forget(partition);
        }
        drop(ledger);
        self.tell(Change::Lost(partitions.clone()));
    }

    fn offsets_dropped(&mut self, partitions: &BTreeSet<TopicPartition>, reason: &str) {
        let all = human::partitions(partitions);
        eprintln!("weir: the offsets of {all} were not committed: {reason}");
    }

    fn coordinator_away(&mut self, reason: &str) {
        if self.was_in {
            self.is_away = true;
            eprintln!(
                "weir: the coordinator of group `{}` is away ({reason}); commits wait for it",
                self.group
            );
        }
    }

    fn coordinator_back(&mut self, after: Duration) {
        if std::mem::take(&mut self.is_away) {
            eprintln!(
                "weir: the coordinator of group `{}` is back after {}",
                self.group,
                human::duration(after)
            );
        }
    }
}

/// The topic of an offset that was not committed since the coordinator knows no such topic (any
/// more): no reason to end, others may still have records.
fn gone_topic(error: &GroupError) -> Option<&str> {
    match error {
        GroupError::Commit { partition, error } => matches!(
            error.code,
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
        )
        .then_some(&*partition.topic),
        _ => None,
    }
}

/// A commit whose answer is still to come, and what it commits.
struct UnderWay {
    commit: Commit,
    offsets: BTreeMap<TopicPartition, Offset>,
}

struct Reading<'a> {
    client: Client,
    group: &'a str,
    printer: Printer,
    ledger: Shelf,
    changes: mpsc::Receiver<Change>,
    /// Records that may still be printed.
    left: u64,
    /// Where the partitions ended when they came, if that is where to end.
    ends: Option<BTreeMap<TopicPartition, i64>>,
    /// When it looks whether it is to have no share, if that is an end.
    look_at: Option<Instant>,
    /// Whether the last look found so.
    was_idle: bool,
    /// Whether people want to see partitions come and go.
    is_chatty: bool,
    /// When it says what it waits for.
    patience: Option<Instant>,
    commits: Option<Commits>,
    commit_at: Option<Instant>,
    under_way: Option<UnderWay>,
}

impl Reading<'_> {
    async fn all(&mut self, consumer: &mut GroupConsumer, interrupt: &Interrupt) -> Outcome {
        while self.left > 0 {
            while let Ok(change) = self.changes.try_recv() {
                self.hear(change, consumer).await?;
            }
            if let Some(failure) = self.ledger.lock().failed.take() {
                return Err(failure);
            }
            if interrupt.is_raised() {
                return Err(Failure::interrupted());
            }
            if self.is_at_end(consumer) || self.is_idle(consumer, interrupt).await? {
                return Ok(());
            }
            self.commit_if_due(consumer)?;
            let batch = match consumer.next_batch().now_or_never() {
                Some(batch) => Some(batch),
                None => {
                    // Nothing more at the moment: what is there should be seen.
                    self.ledger.lock().flush()?;
                    self.wait(consumer, interrupt).await?
                }
            };
            match batch {
                Some(Ok(batch)) => self.print(&batch)?,
                Some(Err(error)) => self.complain(error)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Waits for a batch or for anything else that has to be looked at.
    async fn wait(
        &mut self,
        consumer: &mut GroupConsumer,
        interrupt: &Interrupt,
    ) -> Outcome<Option<Result<FetchedBatch, GroupError>>> {
        let is_share = !consumer.assignment().is_empty();
        let due = self.commit_at;
        let look = self.look_at.filter(|_| !is_share);
        let at = |at: Option<Instant>| async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = output::reader_gone() => Err(Failure::output_closed()),
            () = interrupt.raised() => Err(Failure::interrupted()),
            change = self.changes.recv() => {
                if let Some(change) = change {
                    self.hear(change, consumer).await?;
                }
                Ok(None)
            }
            batch = consumer.next_batch() => Ok(Some(batch)),
            () = at(due) => Ok(None),
            () = at(look) => Ok(None),
            () = at(self.patience) => {
                self.patience = None;
                self.say_what_for(is_share);
                Ok(None)
            }
        }
    }

    fn say_what_for(&self, has_share: bool) {
        let group = human::name(self.group);
        let what = if has_share { "new records" } else { "a share" };
        eprintln!("weir: waiting for {what} as a member of group `{group}` (Ctrl-C ends it)");
    }

    async fn hear(&mut self, change: Change, consumer: &GroupConsumer) -> Outcome {
        let (what, partitions) = match &change {
            Change::Got(partitions) => ("got", partitions),
            Change::GaveUp(partitions) => ("gave up", partitions),
            Change::Lost(partitions) => ("lost, as others may have them by now,", partitions),
        };
        if self.is_chatty {
            let now = consumer.assignment().len();
            let all = human::partitions(partitions);
            eprintln!(
                "weir: {what} {all} ({} now)",
                human::counted(now, "partition")
            );
        }
        let Some(ends) = &mut self.ends else {
            return Ok(());
        };
        if !matches!(change, Change::Got(_)) {
            ends.retain(|partition, _| !partitions.contains(partition));
            return Ok(());
        }
        let latest = partitions.iter().map(|p| (p.clone(), OffsetSpec::Latest));
        let latest: Vec<_> = latest.collect();
        for (partition, found) in self.client.admin().list_offsets(latest).await {
            let found = found.map_err(|error| names::failure(&error, &partition.topic))?;
            ends.insert(partition, found.offset.map_or(0, |offset| offset.0));
        }
        Ok(())
    }

    /// Whether everything was read that its partitions held when it got them.
    fn is_at_end(&self, consumer: &GroupConsumer) -> bool {
        let Some(ends) = &self.ends else {
            return false;
        };
        let share = consumer.assignment();
        !share.is_empty()
            && share.iter().all(|partition| {
                let at = consumer.position(partition);
                let end = ends.get(partition);
                end.zip(at).is_some_and(|(end, at)| at.0 >= *end)
            })
    }

    /// Whether the others have everything, so that nothing comes by waiting. Two looks in a row have
    /// to find the group settled: the broker may just be about to look at what this member wants.
    async fn is_idle(&mut self, consumer: &GroupConsumer, interrupt: &Interrupt) -> Outcome<bool> {
        let Some(at) = self.look_at else {
            return Ok(false);
        };
        if !consumer.assignment().is_empty() {
            self.was_idle = false;
            return Ok(false);
        }
        if Instant::now() < at {
            return Ok(false);
        }
        let (admin, id) = (self.client.admin(), consumer.member_id());
        let described = async { Ok(admin.describe_group(self.group).await) };
        let is_idle = match interrupt.or(described).await? {
            Ok(group) => {
                let me = group.members.iter().find(|member| member.member_id == id);
                let has_none = me.is_some_and(|me| {
                    let target = me.target.as_ref();
                    me.assignment.is_empty() && target.is_none_or(BTreeSet::is_empty)
                });
                has_none && group.state == "Stable"
            }
            // Not in it yet, or the coordinator moves.
            Err(error) if error.can_retry() => false,
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => false,
            Err(error) => return Err(refusal::admin(&error, self.group)),
        };
        self.look_at = Some(Instant::now() + IDLE_LOOK);
        let is_over = is_idle && self.was_idle;
        self.was_idle = is_idle;
        if is_over {
            let group = human::name(self.group);
            eprintln!("weir: the other members of group `{group}` have all partitions");
        }
        Ok(is_over)
    }

    /// Begins a commit of what is written, if it is time and the one before is answered.
    fn commit_if_due(&mut self, consumer: &mut GroupConsumer) -> Outcome {
        let (Some(at), Some(commits)) = (self.commit_at, self.commits.clone()) else {
            return Ok(());
        };
        if Instant::now() < at {
            return Ok(());
        }
        self.commit_at = Some(Instant::now() + commits.every);
        if !self.is_answered()? {
            return Ok(());
        }
        let mut ledger = self.ledger.lock();
        ledger.flush()?;
        let offsets = ledger.open();
        drop(ledger);
        if !offsets.is_empty() {
            let wanted = offsets.iter();
            let wanted = wanted.map(|(p, offset)| (p.clone(), commits.offset(*offset)));
            let commit = consumer.commit_offsets(wanted.collect::<Vec<_>>());
            self.under_way = Some(UnderWay { commit, offsets });
        }
        Ok(())
    }

    /// Whether no commit waits for its answer.
    fn is_answered(&mut self) -> Outcome<bool> {
        let Some(mut under_way) = self.under_way.take() else {
            return Ok(true);
        };
        match Pin::new(&mut under_way.commit).now_or_never() {
            None => self.under_way = Some(under_way),
            Some(Ok(())) => self.ledger.lock().settle_commit(under_way.offsets),
            Some(Err(error)) => {
                if let Some(topic) = gone_topic(&error) {
                    let mut offsets = under_way.offsets;
                    offsets.retain(|partition, _| *partition.topic == *topic);
                    self.ledger.lock().settle_commit(offsets);
                }
                self.complain(error)?;
            }
        }
        Ok(self.under_way.is_none())
    }

    /// Passes over what a member gets over by itself, not without a word.
    fn complain(&self, error: GroupError) -> Outcome {
        use weir_client::ErrorCode::{
            FencedMemberEpoch, IllegalGeneration, StaleMemberEpoch, UnknownMemberId,
        };
        let is_passing = match &error {
            _ if gone_topic(&error).is_some() => true,
            GroupError::Commit { error, .. } => matches!(
                error.code,
                FencedMemberEpoch | IllegalGeneration | StaleMemberEpoch | UnknownMemberId
            ),
            other => other.can_retry(),
        };
        let failure = refusal::member(error, self.group);
        if !is_passing {
            return Err(failure);
        }
        eprintln!("weir: {failure}");
        Ok(())
    }

    fn print(&mut self, batch: &FetchedBatch) -> Outcome {
        let texts = self.printer.read(batch)?;
        let mut ledger = self.ledger.lock();
        let mut next = batch.next_offset();
        let mut headers: Vec<RecordHeader<'_>> = Vec::new();
        for (place, record) in batch.raw_records().enumerate() {
            let (offset, timestamp, record) = record?;
            if self.left == 0 {
                next = offset;
                break;
            }
            headers.clear();
            headers.extend(record.headers());
            let row = Row::new(batch, (offset.0, timestamp.0, &record), &headers);
            let row = texts.over(place, row);
            if !self.printer.wants(&row) {
                continue;
            }
            self.left -= 1;
            let appended = ledger.out.append(|out| self.printer.write(&row, out));
            if appended.is_err() {
                return ledger.settle(appended);
            }
        }
        ledger.printed.insert(batch.partition().clone(), next);
        ledger.note()
    }
}
