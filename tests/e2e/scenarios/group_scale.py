"""Many members in one group, by both protocols, many groups on one broker, and a crowd that is
killed and comes back at once: how long until everybody has a share, what the broker takes for it,
and over how many epochs of the group.
"""

import time

import groups
from groups import Member
from harness import check, wait_until

ABOUT = "many members, many groups, a mass restart: time, memory, processor"
SECONDS_MAX = 120
ORACLE = False

# As a person would leave it, but sessions that end soon, so that the dead are noticed soon.
SESSION_MS = 8000
HEARTBEAT_MS = 2000
CONFIG = {
    "group.consumer.session.timeout.ms": SESSION_MS,
    "group.consumer.heartbeat.interval.ms": HEARTBEAT_MS,
    "group.min.session.timeout.ms": 1000,
    # A machine that is busy with a crowd on both sides is not dead.
    "quic.idle.timeout.ms": 15000,
}
# Assignments come at most one a second, and who died together is missed together, so a crowd that
# is killed and comes back costs a few epochs and no more.
RESTART_EPOCHS_MAX = 3
# Some share a connection, as in a program with several consumers.
GROUPS_A_CONNECTION = 20


def run(env):
    figures = []
    for scene in (one_group, restart, classic_group, many_groups):
        with env.broker(name=scene.__name__, config=CONFIG) as broker:
            figures.append(scene(env, broker))
            print(f"     {figures[-1]}", flush=True)
    return "; ".join(figures)


def crowd(env, broker, name, members, *options, kind="weir-quic", group=None):
    """So many members of ours in one process, each on a connection of its own; where there are
    hundreds, five share one."""
    clients = ["--clients", members // env.scale(1, 5)]
    options = ["--members", members, "--commit-ms", 5000, *(options or clients)]
    options += ["--session-ms", SESSION_MS, "--heartbeat-ms", HEARTBEAT_MS]
    return Member(env, broker, kind, group or name, "crowd", name, options)


class Cost:
    """What the broker took since then."""

    def __init__(self, broker):
        self.process = broker.process
        self.cpu = self.process.cpu_seconds()
        self.memory = self.process.memory_bytes()

    def told(self):
        cpu = self.process.cpu_seconds() - self.cpu
        memory = self.process.memory_bytes()
        return f"{cpu:.1f} CPU s, memory {self.memory / 1e6:.0f} -> {memory / 1e6:.0f} MB"

    @classmethod
    def idle(cls, env, broker):
        """The share of a core that it takes while nothing happens but heartbeats and polls."""
        cost = cls(broker)
        seconds = env.scale(1.5, 10)
        time.sleep(seconds)
        return f"then {(cost.process.cpu_seconds() - cost.cpu) / seconds:.0%} of a core"


def one_group(env, broker):
    """All members at once into one group of the consumer protocol."""
    return fill(env, broker, "weir-quic", "consumer")


def classic_group(env, broker):
    """The same by the classic protocol, where one member shares out for all."""
    return fill(env, broker, "weir-range", "classic")


def fill(env, broker, kind, protocol):
    count = env.scale(60, 500)
    broker.create_topic("crowd", count)
    cost = Cost(broker)
    began = time.monotonic()
    crowd(env, broker, f"one-{protocol}", count, kind=kind)
    seconds_max = env.scale(40, 240)
    stands = groups.settled(env, broker, f"one-{protocol}", count, count, seconds_max)
    took = time.monotonic() - began
    epoch = stands["epoch"]
    epochs = "" if epoch is None else f" in {epoch} epochs"
    told = cost.told()
    idle = Cost.idle(env, broker)
    return f"{count} {protocol} members settled after {took:.1f} s{epochs} ({told}, {idle})"


def restart(env, broker):
    """All members are killed and as many start at once."""
    count = env.scale(40, 200)
    broker.create_topic("crowd", count)
    first = crowd(env, broker, "first", count, group="restart")
    before = groups.settled(env, broker, "restart", count, count, env.scale(40, 120))["epoch"]
    first.kill9()
    began = time.monotonic()
    crowd(env, broker, "second", count, group="restart")
    seconds_max = env.scale(40, 120)
    stands = groups.settled(env, broker, "restart", count, count, seconds_max, "second")
    took = time.monotonic() - began
    epochs = stands["epoch"] - before
    causes = [
        f"epoch {change['epoch']}: {change['before']} -> {change['after']} members"
        for change in groups.history(env, broker, "restart")
        if change["epoch"] > before
    ]
    told = f"{count} members killed and started settled in {epochs} epochs after {took:.1f} s"
    check(epochs <= RESTART_EPOCHS_MAX, f"{told}: {causes}")
    return f"{told} ({SESSION_MS / 1000:g} s are the session timeout)"


def many_groups(env, broker):
    """A group for each member, all on the same topic."""
    count = env.scale(100, 2000)
    broker.create_topic("crowd", 4)
    cost = Cost(broker)
    began = time.monotonic()
    clients = max(1, count // GROUPS_A_CONNECTION)
    member = crowd(env, broker, "groups", count, "--groups", count, "--clients", clients)

    def joined():
        with_share = {event.member for event in member.events() if event.name == "assigned"}
        return len(with_share) == count

    wait_until(f"{count} groups to settle", joined, env.scale(40, 240), every=0.1)
    took = time.monotonic() - began
    lost = sum(event.name in ("lost", "error") for event in member.events())
    told = cost.told()
    idle = Cost.idle(env, broker)
    return (
        f"{count} groups on {clients} connections settled after {took:.1f} s ({told}, {idle}, "
        f"{lost} losses and errors)"
    )
