//! The disk in memory and what goes wrong with it: power that fails, syncs and writes that fail,
//! no room. What was not synced is forgotten, kept or torn, as the seed says.

use super::{Stage, Todo, World};
use crate::{trace::digest, violation::Checked};
use weir_store::{Crash, Disk};

/// Room that is left on a full disk, in bytes.
const FULL_MARGIN_BYTES: u64 = 64 * 1024;

/// The furthest the wall clock jumps at once, in milliseconds: less than what the broker allows
/// between its clock and a record's timestamp, so that batches sent again are not refused for it.
const JUMP_MS_MAX: u64 = 60 * 1000;

impl World {
    /// The power goes, or only the process, and the broker with it.
    pub(super) fn crash(&mut self) {
        let crash = if self.random.percent(self.params.process_percent) && !self.disk.is_off() {
            Crash::Keep
        } else if self.random.percent(self.params.torn_percent) {
            Crash::Torn(self.random.draw())
        } else {
            Crash::Forget
        };
        self.trace.line(format_args!("the broker dies ({crash:?})"));
        self.figures.crashes += 1;
        self.stop(crash);
        let pause = self.random.between(1, 500);
        self.clock.after(pause, Todo::Start);
    }

    pub(super) fn scheduled_crash(&mut self) -> Checked {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        let next = self.random.between(1, 2 * self.params.crash_every_ms);
        self.clock.after(next, Todo::Crash);
        if self.broker.is_some() {
            if self.random.percent(50) {
                // Later, in the middle of what the disk is asked to do.
                let syncs = self.random.between(1, 12);
                self.trace
                    .line(format_args!("the power will go at sync {syncs}"));
                self.disk.power_off_at_sync(syncs);
            } else {
                self.crash();
            }
        }
        Ok(())
    }

    pub(super) fn disk_fault(&mut self) -> Checked {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        let next = self.random.between(1, 2 * self.params.disk_fault_every_ms);
        self.clock.after(next, Todo::DiskFault);
        self.log.disk_faulty = true;
        let nth = self.random.between(1, 6);
        if self.random.percent(60) {
            self.trace.line(format_args!("sync {nth} will fail"));
            self.disk.fail_sync(nth);
        } else {
            self.trace.line(format_args!("write {nth} will fail"));
            self.disk.fail_write(nth);
        }
        Ok(())
    }

    pub(super) fn disk_full(&mut self, full: bool) -> Checked {
        if full && self.stage == Stage::Faults {
            self.log.disk_faulty = true;
            let room = self.random.below(FULL_MARGIN_BYTES);
            self.disk.set_capacity(self.disk.used_bytes() + room);
            self.trace
                .line(format_args!("the disk has {room} bytes left"));
            let pause = self.random.between(100, 2_000);
            self.clock.after(pause, Todo::DiskFull(false));
        } else {
            self.disk.set_capacity(u64::MAX);
            self.trace.line(format_args!("the disk has room"));
            if self.stage == Stage::Faults {
                let pause = self.random.between(500, 5_000);
                self.clock.after(pause, Todo::DiskFull(true));
            }
        }
        Ok(())
    }

    pub(super) fn jump(&mut self) -> Checked {
        if self.stage != Stage::Faults {
            return Ok(());
        }
        let next = self.random.between(1, 2 * self.params.jump_every_ms);
        self.clock.after(next, Todo::Jump);
        let by = self.random.magnitude(10, JUMP_MS_MAX).cast_signed();
        let by = if self.random.percent(50) { by } else { -by };
        self.trace
            .line(format_args!("the wall clock jumps by {by} ms"));
        self.clock.jump(by);
        Ok(())
    }

    /// A digest over every file, names and bytes.
    pub(super) fn disk_digest(&self) -> u64 {
        let mut hash = 0;
        for name in self.disk.list().unwrap_or_default() {
            hash = digest(hash, name.as_bytes());
            hash = digest(hash, &self.disk.contents(&name).unwrap_or_default());
        }
        hash
    }
}
