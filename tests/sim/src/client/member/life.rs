//! What becomes of a member: drawn at random, or written in a script.

use super::{Member, Protocol, Step, committing::Then};
use crate::{client::Context, random::Random};
use std::collections::VecDeque;

/// Something that happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// It starts, by this protocol.
    Start(Protocol),
    /// It leaves as it should.
    Leave,
    /// It dies without a word.
    Kill,
    /// It does nothing for so many milliseconds.
    Freeze(u64),
    /// It reads these topics from now on.
    Subscribe(Vec<String>),
}

/// Where its orders come from.
#[derive(Clone, Debug)]
pub enum Life {
    /// From chance.
    Random {
        /// Of a hundred starts, so many are by the consumer protocol.
        consumer_percent: u64,
        /// The mean time between two, in milliseconds; 0: it starts and that is all.
        every_ms: u64,
        /// The longest it stands still, in milliseconds.
        freeze_ms_max: u64,
        /// When the next is drawn.
        at: u64,
    },
    /// From a script: what happens at which tick.
    Script(VecDeque<(u64, Order)>),
}

impl Life {
    /// Whether it is drawn, and heals in the end.
    #[must_use]
    pub const fn is_random(&self) -> bool {
        matches!(self, Self::Random { .. })
    }
}

fn draw_protocol(random: &mut Random, consumer_percent: u64) -> Protocol {
    if random.percent(consumer_percent) {
        Protocol::Consumer
    } else {
        Protocol::Classic
    }
}

impl Member {
    /// Looks whether something is to happen to it.
    pub(super) fn live(&mut self, context: &mut Context<'_>) {
        let now = context.now.tick.0;
        let order = match &mut self.life {
            Life::Script(orders) => {
                let due = orders.front().is_some_and(|(at, _)| *at <= now);
                due.then(|| orders.pop_front())
                    .flatten()
                    .map(|(_, order)| order)
            }
            Life::Random { .. } if context.healing => self.heal(context),
            Life::Random {
                consumer_percent,
                every_ms,
                freeze_ms_max,
                at,
            } => {
                if *at > now {
                    return;
                }
                *at = now.saturating_add(match *every_ms {
                    0 => u64::MAX / 2,
                    every => context.random.between(1, 2 * every),
                });
                let out = self.step == Step::Out;
                match context.random.below(100) {
                    _ if out => {
                        let protocol = draw_protocol(context.random, *consumer_percent);
                        Some(Order::Start(protocol))
                    }
                    0..25 => Some(Order::Leave),
                    25..50 => Some(Order::Kill),
                    50..80 => {
                        let ms = context.random.between(50, *freeze_ms_max);
                        Some(Order::Freeze(ms))
                    }
                    _ => {
                        let mut topics = self.plan.topics.clone();
                        topics.retain(|_| context.random.percent(60));
                        (!topics.is_empty()).then_some(Order::Subscribe(topics))
                    }
                }
            }
        };
        if let Some(order) = order {
            context.notes.push(format!("{}: {order:?}", self.name));
            self.obey(context, order);
        }
    }

    /// What it needs to be in the group and to read what the group reads in the end.
    fn heal(&mut self, context: &mut Context<'_>) -> Option<Order> {
        let Life::Random {
            consumer_percent, ..
        } = self.life
        else {
            return None;
        };
        if self.step == Step::Out {
            let protocol = draw_protocol(context.random, consumer_percent);
            return Some(Order::Start(protocol));
        }
        if self.topics != self.plan.topics {
            return Some(Order::Subscribe(self.plan.topics.clone()));
        }
        if !self.healed && self.step == Step::In {
            // A leader may have been told that it need not assign: now it does.
            self.healed = true;
            if self.protocol == Protocol::Classic {
                return Some(Order::Subscribe(self.plan.topics.clone()));
            }
        }
        None
    }

    fn obey(&mut self, context: &mut Context<'_>, order: Order) {
        match order {
            Order::Start(protocol) if self.step == Step::Out => {
                self.protocol = protocol;
                self.lost();
                self.begin(context.random);
            }
            Order::Leave if self.step == Step::In => {
                let keys = self.keys();
                self.give(keys, Then::Leave);
            }
            Order::Kill => {
                self.link.close(context);
                self.down();
                self.is_out();
            }
            Order::Freeze(ms) => self.frozen_until = context.now.tick.0 + ms,
            Order::Subscribe(topics) => {
                self.topics = topics;
                self.modern.tell_all = true;
                self.modern.beat_at = 0;
                if self.protocol == Protocol::Classic && self.step == Step::In {
                    self.rejoin();
                }
            }
            Order::Start(_) | Order::Leave => {}
        }
    }

    fn begin(&mut self, random: &mut Random) {
        // A script says all that is to happen.
        let drawn = self.life.is_random();
        self.modern.begin(random, drawn);
        if self.protocol == Protocol::Consumer && self.modern.version > 0 {
            self.id = format!("{}-{:016x}", self.name, random.draw());
        } else {
            self.id = String::new();
        }
        self.classic.begin(random, self.instance.is_some());
    }
}
