//! The settings of a group consumer and their checks.

use super::{
    GroupConsumer,
    classic::ClassicMember,
    desk::Desk,
    driver::Driver,
    listener::{Deaf, RebalanceListener},
    member::{Member, Profile},
    modern::ModernMember,
    work::Desktop,
};
use crate::{
    Client, ConsumerBuilder,
    cluster::{backoff::random, coordinator::Coordinator, metadata::TopicMetadata, shared::Shared},
    consumer::OffsetReset,
    error::GroupError,
    limits::{
        AUTO_COMMIT_INTERVAL_MS, HEARTBEAT_INTERVAL_MS, MAX_POLL_INTERVAL_MS, SESSION_TIMEOUT_MS,
    },
};
use regex::bytes::{Regex, RegexBuilder};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use weir_types::{
    TopicId,
    limits::{PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX, PATTERN_DEPTH_MAX},
};
use weir_wire::Text;

/// How members find their shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The coordinator shares partitions out (KIP-848; Kafka's `group.protocol=consumer`).
    #[default]
    Consumer,
    /// A member shares partitions out (Kafka's `group.protocol=classic`).
    Classic,
}

impl std::str::FromStr for GroupProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "consumer" => Ok(Self::Consumer),
            "classic" => Ok(Self::Classic),
            other => Err(format!(
                "`{other}` is no group protocol; use consumer or classic"
            )),
        }
    }
}

/// How a group of the classic protocol shares partitions out; all its members must use the same
/// (Kafka's `partition.assignment.strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassicAssignor {
    /// Evenly, with as few moves as can be; members that keep partitions never stop (KIP-429).
    #[default]
    CooperativeSticky,
    /// Each topic in runs; every member gives everything up first.
    Range,
}

impl ClassicAssignor {
    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
        }
    }
}

/// An expression over names of topics; the whole name must match. Within the same limits as in a
/// broker, so that both protocols subscribe to the same topics.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    regex: Regex,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, GroupError> {
        if text.len() > PATTERN_BYTES_MAX {
            return wrong(&format!(
                "the pattern has {} bytes, more than the limit of {PATTERN_BYTES_MAX}",
                text.len()
            ));
        }
        let build = |text: &str| {
            RegexBuilder::new(text)
                .unicode(false)
                .size_limit(PATTERN_COMPILED_BYTES_MAX)
                .nest_limit(PATTERN_DEPTH_MAX)
                .build()
        };
        // By itself first: `a)(b` must not pass for what it becomes inside the brackets.
        let built = build(text).and_then(|_| build(&format!("^(?:{text})$")));
        let regex = built.map_err(|error| {
            let what = match &error {
                regex::Error::CompiledTooBig(limit) => format!(
                    "it needs more than {limit} bytes; write repetitions with smaller numbers, \
                     or name the topics"
                ),
                // The library draws a picture of several lines; its last one says what is wrong.
                other => {
                    let drawn = other.to_string();
                    let last = drawn.lines().last().unwrap_or_default();
                    last.trim_start_matches("error: ").to_owned()
                }
            };
            GroupError::Config {
                reason: format!("`{text}` cannot be used as a regular expression: {what}"),
            }
        })?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// Whether it subscribes to a topic; the broker's own are named or not read at all.
    pub(crate) fn matches(&self, name: &str, topic: &TopicMetadata) -> bool {
        !topic.is_internal && self.regex.is_match(name.as_bytes())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) group: Arc<str>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) protocol: GroupProtocol,
    pub(crate) server_assignor: Option<String>,
    pub(crate) classic_assignor: ClassicAssignor,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) reset: OffsetReset,
    pub(crate) auto_commit: Option<Duration>,
    pub(crate) max_poll_interval: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
}

/// Sets a group consumer up.
#[must_use = "a builder does nothing until `build`"]
pub struct GroupConsumerBuilder {
    shared: Arc<Shared>,
    settings: Settings,
    pattern: Option<String>,
    consumer: ConsumerBuilder,
    listener: Box<dyn RebalanceListener>,
}

impl std::fmt::Debug for GroupConsumerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupConsumerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl GroupConsumerBuilder {
    pub(crate) fn new(client: &Client, group: &str) -> Self {
        Self {
            shared: Arc::clone(&client.shared),
            settings: Settings {
                group: Arc::from(group),
                topics: BTreeSet::new(),
                pattern: None,
                protocol: GroupProtocol::default(),
                server_assignor: None,
                classic_assignor: ClassicAssignor::default(),
                instance_id: None,
                rack: None,
                reset: OffsetReset::Latest,
                auto_commit: Some(Duration::from_millis(AUTO_COMMIT_INTERVAL_MS)),
                max_poll_interval: Duration::from_millis(MAX_POLL_INTERVAL_MS),
                session_timeout: Duration::from_millis(SESSION_TIMEOUT_MS),
                heartbeat_interval: Duration::from_millis(HEARTBEAT_INTERVAL_MS),
            },
            pattern: None,
            consumer: client.consumer(),
            listener: Box::new(Deaf),
        }
    }

    /// Subscribes to these topics, too.
    pub fn topics<S: AsRef<str>>(mut self, topics: impl IntoIterator<Item = S>) -> Self {
        let topics = topics.into_iter();
        self.settings
            .topics
            .extend(topics.map(|topic| Arc::from(topic.as_ref())));
        self
    }

    /// Subscribes to every topic whose whole name matches, also those made later. By the consumer
    /// protocol the coordinator matches (RE2 syntax, KIP-848); by the classic one the client does:
    /// the group's leader every 30 s, the others whenever they join and when their metadata is
    /// `metadata_max_age` old, where that is shorter also the leader. Instead of [`Self::topics`],
    /// not beside it.
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// By this protocol; the consumer protocol without a call.
    pub const fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.settings.protocol = protocol;
        self
    }

    /// The assignor wanted of the coordinator, `uniform` or `range`; without a call it chooses
    /// (consumer protocol; Kafka's `group.remote.assignor`).
    pub fn server_assignor(mut self, name: impl Into<String>) -> Self {
        self.settings.server_assignor = Some(name.into());
        self
    }

    /// How the members share partitions out (classic protocol).
    pub const fn classic_assignor(mut self, assignor: ClassicAssignor) -> Self {
        self.settings.classic_assignor = assignor;
        self
    }

    /// Makes it a static member, which keeps its partitions over restarts that are quicker than
    /// the session timeout (KIP-345; Kafka's `group.instance.id`).
    pub fn instance_id(mut self, name: impl Into<String>) -> Self {
        self.settings.instance_id = Some(name.into());
        self
    }

    /// Where the program runs (Kafka's `client.rack`, KIP-881).
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.settings.rack = Some(rack.into());
        self
    }

    /// Where to begin where the group keeps no offset, or one outside the log
    /// (Kafka's `auto.offset.reset`); [`OffsetReset::Latest`] without a call.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.settings.reset = reset;
        self
    }

    /// Commits by itself this often, at the next poll: what was handed out before that poll counts
    /// as done (Kafka's `auto.commit.interval.ms`). Every 5 s without a call.
    pub const fn auto_commit(mut self, every: Duration) -> Self {
        self.settings.auto_commit = Some(every);
        self
    }

    /// Commits only what the program says (Kafka's `enable.auto.commit=false`).
    pub const fn manual_commit(mut self) -> Self {
        self.settings.auto_commit = None;
        self
    }

    /// The longest time between two polls; after it the partitions go to others until the next
    /// poll. Also how long a rebalance waits (Kafka's `max.poll.interval.ms`).
    pub const fn max_poll_interval(mut self, limit: Duration) -> Self {
        self.settings.max_poll_interval = limit;
        self
    }

    /// After how long without a heartbeat the member counts as gone (classic protocol; by the
    /// consumer protocol the broker decides).
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// How often the member says that it lives (classic protocol; by the consumer protocol the
    /// broker decides).
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.settings.heartbeat_interval = interval;
        self
    }

    /// Who hears of partitions that come and go.
    pub fn listener(mut self, listener: impl RebalanceListener + 'static) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Changes how records are fetched: limits, waiting, checks.
    pub fn fetching(mut self, set: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder) -> Self {
        self.consumer = set(self.consumer);
        self
    }

    /// Makes the consumer, which joins its group at once. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`GroupError::Config`] where settings are missing or contradict each other.
    pub fn build(mut self) -> Result<GroupConsumer, GroupError> {
        if let Some(pattern) = &self.pattern {
            self.settings.pattern = Some(self.checked_pattern(pattern)?);
        }
        check(&self.settings)?;
        let consumer = self.consumer.offset_reset(self.settings.reset).build()?;
        let profile = profile(&self.settings);
        let member = match self.settings.protocol {
            GroupProtocol::Consumer => Member::Modern(ModernMember::new(profile)),
            GroupProtocol::Classic => Member::Classic(ClassicMember::new(profile)),
        };
        let desk = Arc::new(Desk::default());
        let (events, inbox) = mpsc::channel(crate::limits::MEMBER_EVENTS_MAX);
        let is_auto = self.settings.auto_commit.is_some();
        let desktop = Arc::new(Desktop {
            coordinator: Coordinator::new(Arc::clone(&self.shared), &self.settings.group),
            number: self.shared.next_member(),
            desk: Arc::clone(&desk),
            settings: self.settings,
            shared: self.shared,
        });
        tokio::spawn(Driver::new(desktop, member).run(inbox));
        Ok(GroupConsumer::new(
            consumer,
            desk,
            events,
            self.listener,
            is_auto,
        ))
    }

    /// The broker checks it again, but the reason is told sooner here.
    fn checked_pattern(&self, text: &str) -> Result<Pattern, GroupError> {
        if !self.settings.topics.is_empty() {
            return wrong("subscribe to topics or to a pattern, not to both");
        }
        if text.is_empty() {
            return wrong("the pattern is empty");
        }
        Pattern::new(text)
    }
}

fn wrong<T>(reason: &str) -> Result<T, GroupError> {
    Err(GroupError::Config {
        reason: reason.to_owned(),
    })
}

fn check(settings: &Settings) -> Result<(), GroupError> {
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    if settings.group.is_empty() {
        return wrong("a group needs a name");
    }
    if settings.topics.is_empty() && settings.pattern.is_none() {
        return wrong("subscribe to at least one topic, or to a pattern");
    }
    if is_empty(&settings.instance_id) || is_empty(&settings.server_assignor) {
        return wrong("instance_id and server_assignor must not be empty where they are set");
    }
    if settings.auto_commit.is_some_and(|every| every.is_zero()) {
        return wrong("auto_commit must be longer than nothing");
    }
    if settings.max_poll_interval < Duration::from_millis(1) {
        return wrong("max_poll_interval must be at least 1 ms");
    }
    if settings.heartbeat_interval.is_zero()
        || settings.heartbeat_interval >= settings.session_timeout
    {
        return wrong("heartbeat_interval must be shorter than session_timeout, and not nothing");
    }
    Ok(())
}

fn profile(settings: &Settings) -> Profile {
    let text = |value: &Option<String>| value.as_deref().map(Text::from);
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    Profile {
        group: Arc::clone(&settings.group),
        member_id: member_id(),
        instance_id: text(&settings.instance_id),
        rack: text(&settings.rack),
        topics: settings.topics.clone(),
        regex: settings
            .pattern
            .as_ref()
            .map(|p| Text::from(p.text.as_str())),
        server_assignor: text(&settings.server_assignor),
        classic_assignor: settings.classic_assignor,
        rebalance_timeout_ms: millis(settings.max_poll_interval),
        session_timeout_ms: millis(settings.session_timeout),
        heartbeat_ms: u64::try_from(settings.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
    }
}

/// An id of the member's own making, as long as a UUID (KIP-1082).
fn member_id() -> Text {
    // The topmost bit stays off: what begins with a hyphen would pass for an option of a command.
    id_of([random() & (u64::MAX >> 1), random()])
}

fn id_of(numbers: [u64; 2]) -> Text {
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&numbers[0].to_be_bytes());
    second.copy_from_slice(&numbers[1].to_be_bytes());
    Text::from(TopicId(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_begin_with_a_hyphen() {
        for first in 0..64_u64 {
            let number = (first << 58) & (u64::MAX >> 1);
            assert!(!id_of([number, u64::MAX]).as_str().starts_with('-'));
        }
        assert!(!member_id().as_str().starts_with('-'));
    }

    #[test]
    fn an_expression_means_what_it_means_to_a_broker() {
        let topic = |is_internal| TopicMetadata {
            id: TopicId::default(),
            error: weir_types::ErrorCode::None,
            is_internal,
            partitions: Vec::new(),
        };
        let pattern = Pattern::new("__.*|orders").expect("one");
        assert!(pattern.matches("__mine", &topic(false)));
        assert!(!pattern.matches("__consumer_offsets", &topic(true)));
        assert!(!pattern.matches("orders-eu", &topic(false)));
        for text in ["((a{1000}){1000}){1000}", &"(".repeat(1000), "a)(b"] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        assert!(Pattern::new(&deep).is_err());
    }
}
