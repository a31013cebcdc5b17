//! What causes a rebalance of a group: the same kinds in the log, on the wire and for programs.
//!
//! A code never changes its meaning: logs and clients keep it.

use core::fmt;

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $words:literal;)*) => {
        /// What causes a rebalance.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum CauseKind {
            $($(#[$meta])* $name,)*
        }

        impl CauseKind {
            /// Every kind, by its code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number that stands for it.
            #[must_use]
            pub const fn code(self) -> i8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The kind that a number stands for, if it is known here.
            #[must_use]
            pub const fn from_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// What people read.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

kinds! {
    /// A member joined.
    Joined = 0, "a member joined";
    /// A member left.
    Left = 1, "a member left";
    /// A member fell silent, or took too long to give partitions up or to come back.
    TimedOut = 2, "a member fell silent";
    /// A member changed its subscription or protocols.
    Subscription = 3, "a member changed its subscription";
    /// Topics it reads appeared, went, or got more partitions.
    PartitionsAdded = 4, "the topics changed";
    /// The coordinator came up anew and read the group from its log.
    CoordinatorMoved = 5, "the coordinator started anew";
    /// A person did it.
    ByHand = 6, "a person did it";
    /// The group changed between the classic and the consumer protocol.
    ProtocolChanged = 7, "the group changed its protocol";
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_places_and_lead_back() {
        for (place, kind) in CauseKind::ALL.iter().enumerate() {
            let place = i8::try_from(place).expect("few kinds");
            assert_eq!(kind.code(), place);
            assert_eq!(CauseKind::from_code(place), Some(*kind));
        }
        assert_eq!(CauseKind::from_code(-1), None);
        assert_eq!(CauseKind::from_code(8), None);
    }
}
