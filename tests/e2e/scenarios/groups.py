"""Consumer groups as everyone knows them: two groups of 2 and 4 members on a topic of 4
partitions, a fifth that idles, one that is killed and taken over from. Then rounds of members of
many kinds that join, leave and are killed at random in three groups at once, and a group that
changes to the consumer protocol and back while members run. Every record is read by each group, no
partition has two owners, committed offsets never go back.
"""

import random
import time

import groups
from groups import SESSION_MS, CommitWatch, Load
from harness import check, wait_until

ABOUT = "fair shares, take-over, random joins, leaves and kills, change of protocol"
SECONDS_MAX = 120
ORACLE = False

PARTITIONS = 4
SEED = 11
# What may be in each group of the rounds: by the consumer protocol, and by the classic one, where
# all give everything up at each rebalance or only what moves.
KINDS = {
    "modern": ["weir-quic", "weir-tcp", "confluent-consumer", "cli-consumer"],
    "range": ["weir-range", "weir-rangetcp", "confluent-range", "python-range"],
    "sticky": ["weir-cooperative", "confluent-cooperative", "python-cooperative"],
}
MEMBERS_MAX = 5
# A member that is gone is noticed within the session timeout; what follows takes a moment.
TAKE_OVER_SECONDS_MAX = SESSION_MS / 1000 + 2.0


def run(env):
    with env.broker(config=groups.BROKER) as broker:
        figures = [picture(env, broker), rounds(env, broker), upgrade(env, broker)]
    return "; ".join(figures)


class Crew:
    """One group of a run: who is in it, who ever was."""

    def __init__(self, env, broker, group, topic):
        self.env, self.broker, self.group, self.topic = env, broker, group, topic
        self.ever = []
        self.live = []

    def join(self, kind):
        name = f"{self.group}-{len(self.ever)}-{kind}"
        member = groups.start(self.env, self.broker, kind, self.group, self.topic, name)
        self.ever.append(member)
        self.live.append(member)
        return member

    def leave(self, member):
        self.live.remove(member)
        member.ask_to_leave()

    def kill(self, member):
        self.live.remove(member)
        member.kill9()

    def settled(self, seconds=30):
        """Waits until those who live share all partitions."""
        count = len(self.live)
        return groups.settled(self.env, self.broker, self.group, count, PARTITIONS, seconds)

    def finish(self, ids, seconds):
        """Everything is read, everybody leaves, and what must hold has held; gives back how many
        records came again, how often a partition changed hands, how often one was lost."""
        again = groups.wait_for_all(self.group, self.ever, ids, seconds)
        for member in self.ever:
            if member.killed_at is None:
                member.leave()
        self.live.clear()
        return again, *groups.check_owners(self.group, self.ever)


def picture(env, broker):
    """Two groups, their shares, one too many, one killed."""
    topic = "picture"
    broker.create_topic(topic, PARTITIONS)
    two, four = (Crew(env, broker, name, topic) for name in ("two", "four"))
    for kind in ("weir-quic", "confluent-consumer"):
        two.join(kind)
    for kind in ("weir-quic", "weir-quic", "weir-tcp", "confluent-consumer"):
        four.join(kind)
    for crew in (two, four):
        stands = crew.settled()
        shares = sorted(len(row["owns"]) for row in stands["members"].values())
        even = [PARTITIONS // len(crew.live)] * len(crew.live)
        check(shares == even, f"group {crew.group} shares {shares}")
    load = Load(env, broker, topic, PARTITIONS)
    wait_until("some records", lambda: len(groups.read_ids(four.ever)) > 500)
    for crew in (two, four):
        seen = groups.read_ids(crew.ever)
        again = [identity for identity, count in seen.items() if count > 1]
        check(not again, f"{crew.group}: several members got {again[:3]}")
    four.join("weir-quic")
    shares = [len(row["owns"]) for row in four.settled()["members"].values()]
    check(sorted(shares) == [0, 1, 1, 1, 1], f"five members share {shares}")
    seconds = kill_one(four)
    ids = load.stop()
    two_again = two.finish(ids, 30)[0]
    check(two_again == 0, f"group two read {two_again} records twice, and nobody died")
    again = four.finish(ids, 30)[0]
    return (
        f"{len(ids)} records to groups of 2 and 4, a 5th idles, a killed member's partition is "
        f"read by another after {seconds:.2f} s ({SESSION_MS / 1000:g} s are the session timeout; "
        f"{again} records again, none skipped)"
    )


def kill_one(crew):
    """Kills a member that reads; gives back how long nobody read its partition."""
    victim = next(m for m in crew.live if any(e.name == "record" for e in m.events()))
    owned = next(e.details.split()[0] for e in reversed(victim.events()) if e.name == "record")
    crew.kill(victim)
    others = [member for member in crew.ever if member is not victim]

    def taken_over():
        times = (
            event.time
            for member in others
            for event in member.events()
            if event.name == "record" and event.time > victim.killed_at
            if event.details.split()[0] == owned
        )
        return min(times, default=None)

    first = wait_until(f"{owned} of the killed member", taken_over, TAKE_OVER_SECONDS_MAX + 10)
    seconds = first - victim.killed_at
    check(seconds <= TAKE_OVER_SECONDS_MAX, f"{owned} was taken over after {seconds:.2f} s")
    return seconds


def rounds(env, broker):
    """Random changes in three groups, under load."""
    topic = "rounds"
    count = env.scale(10, 100)
    dice = random.Random(SEED)
    broker.create_topic(topic, PARTITIONS)
    crews = {name: Crew(env, broker, name, topic) for name in KINDS}
    load = Load(env, broker, topic, PARTITIONS)
    watch = CommitWatch(env, broker, crews)
    done = {"join": 0, "leave": 0, "kill": 0}
    for name, crew in crews.items():
        for kind in KINDS[name][:2]:
            crew.join(kind)
    for _ in range(count):
        for name, crew in crews.items():
            done[change(dice, crew, KINDS[name])] += 1
        time.sleep(dice.uniform(*env.scale((0.2, 0.8), (0.3, 2.5))))
    ids = load.stop()
    ends = {name: crew.finish(ids, env.scale(40, 120)) for name, crew in crews.items()}
    offsets = watch.stop()
    for name in crews:
        kept = sum(offset for (group, _), offset in offsets.items() if group == name)
        check(kept == len(ids), f"group {name} has {kept} of {len(ids)} records committed")
    told = ", ".join(
        f"{name} {again} again, {hands} changes of owner, {lost} times lost"
        for name, (again, hands, lost) in ends.items()
    )
    return (
        f"{count} rounds in 3 groups ({done['join']} joins, {done['leave']} leaves, "
        f"{done['kill']} kills): {len(ids)} records all read by each ({told})"
    )


def change(dice, crew, kinds):
    """One random change of a group; tells which."""
    what = dice.choice(["join", "join", "leave", "kill"])
    if len(crew.live) < 2:
        what = "join"
    elif len(crew.live) >= MEMBERS_MAX and what == "join":
        what = dice.choice(["leave", "kill"])
    if what == "join":
        crew.join(dice.choice(kinds))
    elif what == "leave":
        crew.leave(dice.choice(crew.live))
    else:
        crew.kill(dice.choice(crew.live))
    return what


def upgrade(env, broker):
    """From the classic protocol to the consumer protocol and back, one member after the other."""
    topic = "upgrade"
    broker.create_topic(topic, PARTITIONS)
    crew = Crew(env, broker, "upgrade", topic)
    load = Load(env, broker, topic, PARTITIONS)
    watch = CommitWatch(env, broker, [crew.group])
    classic = ["weir-cooperative", "confluent-cooperative", "python-cooperative"]
    modern = ["weir-quic", "confluent-consumer", "weir-tcp"]
    for kind in classic:
        crew.join(kind)
    check(not crew.settled()["is_consumer"], "the group does not begin by the classic protocol")
    for new_kinds, is_consumer in ((modern, True), (classic, False)):
        old = list(crew.live)
        for kind, member in zip(new_kinds, old):
            crew.join(kind)
            crew.settled()
            crew.leave(member)
            stands = crew.settled()
        wanted = "consumer" if is_consumer else "classic"
        check(stands["is_consumer"] == is_consumer, f"the group is not {wanted}: {stands}")
    ids = load.stop()
    again, hands, lost = crew.finish(ids, 40)
    watch.stop()
    return (
        f"to the consumer protocol and back with {len(classic)} members: {len(ids)} records all "
        f"read, {again} again, {hands} changes of owner, {lost} times lost"
    )
