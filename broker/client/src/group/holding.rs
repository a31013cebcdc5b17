//! What a member owns, what it is to own, and what the reader does about it; the same for both
//! protocols.
//!
//! Pure. The reader is asked for one thing at a time, and nothing is taken in before everything
//! that others are to have was given up.

use std::collections::BTreeSet;

/// What the reader is doing for the member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Work<P> {
    #[default]
    Nothing,
    Releasing(BTreeSet<P>),
    Taking(BTreeSet<P>),
}

/// Where the member is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// It stays as it is.
    Stay,
    /// Its share, once it was told one.
    Share,
    /// Nothing: it gives everything up.
    Nothing,
}

/// The next step there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next<P> {
    /// None, or the reader is at work.
    Nothing,
    /// The reader is to give these up, and is taken to be at it.
    Release {
        partitions: BTreeSet<P>,
        is_lost: bool,
    },
    /// Everything was given up; these are still to be taken in.
    Missing(BTreeSet<P>),
}

/// The partitions of one member, as the protocol names them.
#[derive(Debug)]
pub(super) struct Holding<P> {
    owned: BTreeSet<P>,
    share: Option<BTreeSet<P>>,
    work: Work<P>,
    is_losing: bool,
    losses: u64,
    /// What does not exist any more.
    gone: BTreeSet<P>,
}

impl<P: Clone + Ord> Holding<P> {
    pub(super) const fn new() -> Self {
        Self {
            owned: BTreeSet::new(),
            share: None,
            work: Work::Nothing,
            is_losing: false,
            losses: 0,
            gone: BTreeSet::new(),
        }
    }

    pub(super) const fn owned(&self) -> &BTreeSet<P> {
        &self.owned
    }

    /// What is owned or being taken in.
    pub(super) fn owned_soon(&self) -> BTreeSet<P> {
        let mut all = self.owned.clone();
        if let Work::Taking(fresh) = &self.work {
            all.extend(fresh.iter().cloned());
        }
        all
    }

    /// Whether the reader is taking something in.
    pub(super) const fn is_taking(&self) -> bool {
        matches!(self.work, Work::Taking(_))
    }

    /// Whether others may own what is still here.
    pub(super) const fn is_losing(&self) -> bool {
        self.is_losing
    }

    /// How often everything was lost: what was read before counts for nothing afterwards.
    pub(super) const fn losses(&self) -> u64 {
        self.losses
    }

    /// Whether the reader is asked for nothing.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.work, Work::Nothing)
    }

    /// What the member is to own from now on.
    pub(super) fn follow(&mut self, share: BTreeSet<P>) {
        self.share = Some(share);
    }

    /// The member is out of the group: others may own the partitions by now, so that nothing of
    /// them may be committed.
    pub(super) fn lose(&mut self) {
        self.share = None;
        self.is_losing = true;
    }

    /// Some partitions do not exist any more, whatever bears their name now: nothing of them may be
    /// committed, and a share that was told before does not mean what is there now.
    pub(super) fn forsake(&mut self, is_gone: impl Fn(&P) -> bool) {
        if let Some(share) = &mut self.share {
            share.retain(|partition| !is_gone(partition));
        }
        let soon = self.owned_soon().into_iter();
        self.gone
            .extend(soon.filter(|partition| is_gone(partition)));
    }

    /// The reader has let go of everything by itself.
    pub(super) fn let_go(&mut self) {
        self.owned.clear();
        self.work = Work::Nothing;
        self.is_losing = false;
        self.gone.clear();
    }

    /// The reader gave up what it was asked to; answers whether it was asked.
    pub(super) fn released(&mut self) -> bool {
        let Work::Releasing(gone) = std::mem::take(&mut self.work) else {
            return false;
        };
        self.owned.retain(|partition| !gone.contains(partition));
        true
    }

    /// The reader took in what it was asked to; answers whether it was asked.
    pub(super) fn taken(&mut self) -> bool {
        let Work::Taking(fresh) = std::mem::take(&mut self.work) else {
            return false;
        };
        self.owned.extend(fresh);
        true
    }

    /// What was to be taken in was not; answers whether it was asked.
    pub(super) fn not_taken(&mut self) -> bool {
        let was_asked = self.is_taking();
        if was_asked {
            self.work = Work::Nothing;
        }
        was_asked
    }

    /// The reader is asked to take these in.
    pub(super) fn take(&mut self, fresh: BTreeSet<P>) {
        self.work = Work::Taking(fresh);
    }

    /// The next step towards `aim`; what was lost goes first.
    pub(super) fn next(&mut self, aim: Aim) -> Next<P> {
        if !self.is_idle() {
            return Next::Nothing;
        }
        if self.is_losing {
            if self.owned.is_empty() {
                self.is_losing = false;
                self.losses += 1;
                return Next::Nothing;
            }
            return self.release(self.owned.clone(), true);
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|partition| self.owned.contains(partition));
        if !gone.is_empty() {
            return self.release(gone, true);
        }
        let nothing = BTreeSet::new();
        let share = match aim {
            Aim::Stay => None,
            Aim::Share => self.share.as_ref(),
            Aim::Nothing => Some(&nothing),
        };
        let Some(share) = share else {
            return Next::Nothing;
        };
        let gone: BTreeSet<_> = self.owned.difference(share).cloned().collect();
        if gone.is_empty() {
            Next::Missing(share.difference(&self.owned).cloned().collect())
        } else {
            self.release(gone, false)
        }
    }

    fn release(&mut self, partitions: BTreeSet<P>, is_lost: bool) -> Next<P> {
        self.work = Work::Releasing(partitions.clone());
        Next::Release {
            partitions,
            is_lost,
        }
    }
}
