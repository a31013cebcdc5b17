//! What one seed's world is like. Every seed draws its own (swarm testing): many worlds leave some
//! kind of trouble out, so that the others are seen alone.

use crate::random::Random;

/// The world of one seed. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Params {
    /// Shards of the broker.
    pub shards: u16,
    /// Lanes of the store.
    pub lanes: usize,
    /// A lane takes a new file beyond this.
    pub lane_file_bytes: u64,
    /// A lane takes a new file beyond this many batches.
    pub lane_entries_max: u64,
    /// Size of history files.
    pub history_file_bytes: u64,
    /// Memory of the rewriter.
    pub rewrite_memory_bytes: usize,
    /// Budget of all caches.
    pub cache_bytes: usize,
    /// How long the phase with faults lasts.
    pub faults_ms: u64,
    /// Idempotent producers.
    pub idempotent: u32,
    /// Producers without sequences, in order (one request in flight), acks 1 or all.
    pub plain: u32,
    /// Producers with acks=0.
    pub careless: u32,
    /// Consumers.
    pub consumers: u32,
    /// Whether an administrator changes things.
    pub admin: bool,
    /// Whether topics are deleted and made again under the same name; clients then speak only
    /// versions that name topics by id.
    pub reuse_names: bool,
    /// Topics at the beginning.
    pub topics: u32,
    /// The most partitions a topic begins with.
    pub partitions_max: u32,
    /// Requests in flight of an idempotent producer.
    pub in_flight_max: usize,
    /// The most records of a batch.
    pub batch_records_max: u64,
    /// The largest record.
    pub record_bytes_max: u64,
    /// Mean pause of a producer between two batches.
    pub produce_pause_ms: u64,
    /// The longest delay of the network in one direction.
    pub delay_ms_max: u64,
    /// Of a thousand frames, so many take their connection with them.
    pub cut_permille: u64,
    /// Whether frames of a broken connection may still arrive.
    pub late_frames: bool,
    /// The longest time a command waits in the store.
    pub store_ms_max: u64,
    /// The longest pause of the rewriter between two steps.
    pub rewrite_ms_max: u64,
    /// Mean time between crashes; 0: none.
    pub crash_every_ms: u64,
    /// Of a hundred crashes, so many keep torn parts of what was not synced.
    pub torn_percent: u64,
    /// Of a hundred crashes, so many only lose the process, not the power.
    pub process_percent: u64,
    /// Mean time between failing syncs and writes; 0: none.
    pub disk_fault_every_ms: u64,
    /// Whether the disk gets full at times.
    pub disk_full: bool,
    /// Mean time between jumps of the wall clock; 0: none.
    pub jump_every_ms: u64,
    /// Of a hundred topics, so many begin with a retention by time or by size.
    pub retention_percent: u64,
    /// Of a hundred proposals, so many are lost by the quorum.
    pub proposal_lost_percent: u64,
    /// The longest time the quorum takes.
    pub quorum_ms_max: u64,
    /// `producer.id.expiration.ms`; 0: as good as never.
    pub producer_expiration_ms: u64,
    /// Of a hundred topics, so many keep the broker's time.
    pub log_append_time_percent: u64,
    /// Consumer groups.
    pub groups: u32,
    /// The most members of a group.
    pub members_max: u32,
    /// Of a hundred times that a member starts, it speaks the consumer protocol so often.
    pub member_consumer_percent: u64,
    /// Of a hundred members, so many are static.
    pub member_static_percent: u64,
    /// Mean time between two things that happen to a member; 0: it only starts.
    pub member_every_ms: u64,
    /// The session timeout.
    pub member_session_ms: u64,
    /// How long members may take to give partitions up.
    pub member_rebalance_ms: u64,
    /// Of a hundred looks at what it fetched, a member processes something so often.
    pub member_process_percent: u64,
    /// The longest pause between two commits of a member.
    pub member_commit_ms_max: u64,
    /// Whether classic members keep their partitions while they join.
    pub cooperative: bool,
    /// `group.initial.rebalance.delay.ms`.
    pub group_delay_ms: u64,
    /// The least time between two target assignments.
    pub group_interval_ms: u64,
    /// Partitions of `__consumer_offsets`.
    pub group_partitions: i32,
    /// Records of groups that make another snapshot worth its while.
    pub group_snapshot_records: u64,
    /// A seeded fault: members commit what they fetched, processed or not.
    pub commit_unprocessed: bool,
    /// Router jobs.
    pub jobs: u32,
    /// A seeded fault: a job that begins again takes itself for another producer.
    pub job_forgets_producer: bool,
    /// The longest pause between two looks of a client at its clock.
    pub wake_ms_max: u64,
}

impl Params {
    /// A world in which nothing goes wrong by itself.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            shards: 2,
            faults_ms: u64::MAX / 4,
            cut_permille: 0,
            late_frames: false,
            crash_every_ms: 0,
            process_percent: 0,
            torn_percent: 0,
            disk_fault_every_ms: 0,
            disk_full: false,
            jobs: 0,
            jump_every_ms: 0,
            proposal_lost_percent: 0,
            reuse_names: false,
            delay_ms_max: 5,
            store_ms_max: 5,
            rewrite_ms_max: 2_000,
            lane_file_bytes: 2 * 1024 * 1024,
            lane_entries_max: 2_000,
            ..Self::draw(&mut Random::new(0))
        }
    }

    /// Draws a world.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let sometimes = |random: &mut Random, percent: u64, low: u64, high: u64| {
            let value = random.magnitude(low, high);
            if random.percent(percent) { value } else { 0 }
        };
        let large_records = random.percent(15);
        let mut params = Self {
            shards: *random.pick(&[1, 1, 2, 3, 4]),
            lanes: random.between(1, 3) as usize,
            lane_file_bytes: random.magnitude(64 * 1024, 2 * 1024 * 1024),
            lane_entries_max: random.magnitude(10, 2000),
            history_file_bytes: random.magnitude(128 * 1024, 2 * 1024 * 1024),
            rewrite_memory_bytes: random.magnitude(64 * 1024, 2 * 1024 * 1024) as usize,
            cache_bytes: random.magnitude(4 << 20, 64 << 20) as usize,
            faults_ms: random.between(4_000, 20_000),
            idempotent: random.between(1, 4) as u32,
            plain: random.below(3) as u32,
            careless: u32::from(random.percent(30)),
            consumers: random.between(1, 3) as u32,
            admin: random.percent(75),
            reuse_names: random.percent(30),
            topics: random.between(1, 4) as u32,
            partitions_max: random.magnitude(1, 8) as u32,
            in_flight_max: random.between(1, 5) as usize,
            batch_records_max: random.magnitude(1, 40),
            record_bytes_max: if large_records {
                random.magnitude(50_000, 400_000)
            } else {
                random.magnitude(32, 2_000)
            },
            produce_pause_ms: random.magnitude(5, 200),
            delay_ms_max: random.magnitude(1, 50),
            cut_permille: sometimes(random, 60, 1, 30),
            late_frames: random.percent(50),
            store_ms_max: random.magnitude(1, 40),
            rewrite_ms_max: random.magnitude(5, 2_000),
            crash_every_ms: sometimes(random, 75, 500, 6_000),
            torn_percent: *random.pick(&[0, 30, 100]),
            process_percent: *random.pick(&[0, 20, 100]),
            disk_fault_every_ms: sometimes(random, 30, 500, 8_000),
            disk_full: random.percent(10),
            jump_every_ms: sometimes(random, 25, 500, 6_000),
            retention_percent: *random.pick(&[0, 0, 30, 80]),
            proposal_lost_percent: sometimes(random, 30, 1, 30),
            quorum_ms_max: random.magnitude(1, 100),
            producer_expiration_ms: sometimes(random, 15, 500, 4_000),
            log_append_time_percent: *random.pick(&[0, 30, 100]),
            groups: 0,
            members_max: random.between(1, 5) as u32,
            member_consumer_percent: *random.pick(&[0, 50, 100]),
            member_static_percent: *random.pick(&[0, 0, 50]),
            member_every_ms: sometimes(random, 90, 300, 6_000),
            member_session_ms: random.magnitude(300, 2_000),
            member_rebalance_ms: random.magnitude(200, 2_000),
            member_process_percent: random.between(20, 100),
            member_commit_ms_max: random.magnitude(20, 1_000),
            cooperative: random.percent(50),
            group_delay_ms: *random.pick(&[0, 100, 500]),
            group_interval_ms: *random.pick(&[0, 50, 500]),
            group_partitions: random.between(1, 3) as i32,
            group_snapshot_records: random.magnitude(20, 2_000),
            commit_unprocessed: false,
            jobs: 0,
            job_forgets_producer: false,
            wake_ms_max: 15,
        };
        params.fit(random);
        params
    }

    /// Lets what depends on other things fit to them.
    fn fit(&mut self, random: &mut Random) {
        // A rebalance must last longer than a heartbeat, or nobody hears of it in time.
        self.member_rebalance_ms += self.member_session_ms;
        if !self.reuse_names {
            // Members by the classic protocol know topics by their names only.
            self.groups = *random.pick(&[0, 1, 1, 1, 2]);
        }
        // What a job has written is told by the producers that its outputs remember.
        if self.producer_expiration_ms == 0 {
            self.jobs = u32::from(random.percent(60));
        }
    }
}
