"""A member reads on while another joins a group in which a third is slow: the longest time without
a record of a partition that it keeps, by the consumer protocol, and by the classic one where only
what moves is given up or everything is. Beside it the longest such time while nothing happens.
"""

import statistics
import time

import groups
from groups import Load
from harness import check

ABOUT = "the longest gap of a member that keeps its partitions, by each protocol"
SECONDS_MAX = 120
ORACLE = False

PARTITIONS = 6
# What the slow member does with each record: a rebalance in which everybody gives everything up
# waits for it.
WORK_MS = 400
OURS = ["weir-quic", "weir-cooperative", "weir-range"]
THEIRS = ["confluent-consumer", "confluent-cooperative", "confluent-range"]
# How much longer than without a join a gap may be where nothing stops; a busy machine makes some.
NOISE_SECONDS = 0.1


def run(env):
    figures = []
    with env.broker(config=groups.BROKER) as broker:
        topic = "gap"
        broker.create_topic(topic, PARTITIONS)
        load = Load(env, broker, topic, PARTITIONS, burst=6, pause_ms=5)
        for kind in OURS + (THEIRS if env.full else []):
            quiet, joins = gaps(env, broker, kind, topic)
            told = f"{kind} {shown(joins)} (without a join {shown(quiet)})"
            if kind == "weir-quic":
                limit = statistics.median(quiet) + NOISE_SECONDS
                check(statistics.median(joins) <= limit, f"a member that keeps stops: {told}")
            figures.append(told)
        load.stop()
    return "longest gap of partitions that are kept in ms, median/worst: " + "; ".join(figures)


def shown(gaps_seen):
    """Milliseconds."""
    return f"{statistics.median(gaps_seen) * 1000:.0f}/{max(gaps_seen) * 1000:.0f}"


def gaps(env, broker, kind, topic):
    """The longest gap of each quiet time, and of each time in which a second member joins."""
    stays = groups.start(env, broker, kind, kind, topic, f"{kind}-stays")
    slow = groups.start(env, broker, kind, kind, topic, f"{kind}-slow", WORK_MS)
    groups.settled(env, broker, kind, 2, PARTITIONS)
    time.sleep(1.0)
    quiet, joins = [], []
    for number in range(env.scale(2, 20)):
        began = time.time()
        time.sleep(env.scale(0.8, 2.0))
        quiet.append(longest(stays, began, time.time()))
        began = time.time()
        guest = groups.start(env, broker, kind, kind, topic, f"{kind}-guest-{number}")
        groups.settled(env, broker, kind, 3, PARTITIONS)
        time.sleep(0.5)
        joins.append(longest(stays, began, time.time()))
        guest.leave()
        groups.settled(env, broker, kind, 2, PARTITIONS)
        time.sleep(0.3)
    stays.leave()
    slow.leave()
    return quiet, joins


def longest(member, began, ended):
    """The longest time without a record of a partition that the member has before and after."""
    times = {}
    for event in member.events():
        if event.name == "record" and began <= event.time <= ended:
            times.setdefault(event.details.split()[0], []).append(event.time)
    kept = owned(member, began) & owned(member, ended)
    check(kept, f"{member.name} kept nothing")
    rows = [[began, *times.get(place, []), ended] for place in kept]
    return max(after - before for seen in rows for before, after in zip(seen, seen[1:]))


def owned(member, at):
    """What the member had then."""
    places = set()
    for event in member.events():
        if event.time > at:
            break
        if event.name == "assigned":
            places.update(event.details.split())
        elif event.name in ("revoked", "lost"):
            places.difference_update(event.details.split())
    return places
