"""Consumer groups for the end-to-end runs: members of every kind behind one face, each in a process
of its own; what they logged; and what must hold of a group, whoever its members are.

A member logs `seconds TAB member TAB event TAB epoch TAB details` with the events started, assigned,
revoked, lost, owns (all it has, in which epoch), record, error and closed. Nothing of the broker's
rules is known here but what every Kafka client may rely on.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict, namedtuple
from pathlib import Path

from harness import Failure, Process, check, run, wait_until

# Short, so that take-overs are; the broker must be told to allow it.
SESSION_MS = 3000
BROKER = {
    "group.consumer.session.timeout.ms": SESSION_MS,
    "group.consumer.heartbeat.interval.ms": 500,
    "group.min.session.timeout.ms": 1000,
    "group.initial.rebalance.delay.ms": 300,
}
MEMBER_CLIENT = Path(__file__).resolve().parent / "member_client.py"

Event = namedtuple("Event", "time member name epoch details")


class Member:
    """A process that is one member of a group, or a crowd of ours."""

    good_ends = (0,)

    def __init__(self, env, broker, kind, group, topic, name, options=(), work_ms=0):
        self.kind = kind
        self.work_ms = work_ms
        self.group = group
        self.name = name
        self.log = env.folder / f"member-{name}.tsv"
        self.killed_at = None
        self._events = []
        self._read_to = 0
        command = self._command(env, broker, topic, [str(word) for word in options])
        self.process = Process(command, env.log(name), stdin=subprocess.PIPE)

    def _command(self, env, broker, topic, options):
        library, _, way = self.kind.partition("-")
        if library == "weir":
            return own_client(env, broker, self.kind, "run", self.group) + [
                *("--topics", topic, "--log", self.log, "--name", self.name),
                # The first of two counts.
                *(*options, "--session-ms", SESSION_MS, "--heartbeat-ms", SESSION_MS // 6),
                *("--work-ms", self.work_ms),
            ]
        if library == "java":
            return env.java_command(
                "member", env.java_config(self._java(broker, way)), topic, self.log, self.name
            )
        own = [MEMBER_CLIENT, self.kind, broker.bootstrap, self.group, topic, self.log, self.name]
        return [sys.executable, *own, SESSION_MS, self.work_ms]

    def _java(self, broker, way):
        settings = {"bootstrap.servers": broker.bootstrap, "group.id": self.group}
        if way == "consumer":
            return {**settings, "group.protocol": "consumer"}
        strategy = {"range": "RangeAssignor", "cooperative": "CooperativeStickyAssignor"}[way]
        return {
            **settings,
            "partition.assignment.strategy": f"org.apache.kafka.clients.consumer.{strategy}",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 6,
        }

    def events(self):
        """Everything it has logged so far."""
        if self.log.exists():
            with open(self.log, "rb") as file:
                file.seek(self._read_to)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read_to += len(whole)
            self._events += map(self._event, whole.decode().splitlines())
        return self._events

    @staticmethod
    def _event(line):
        seconds, member, name, epoch, details = line.split("\t", 4)
        return Event(float(seconds), member, name, None if epoch == "-" else int(epoch), details)

    def running(self):
        return self.process.running()

    def kill9(self):
        """It dies without a word to the group."""
        self.killed_at = time.time()
        self.process.kill9()

    def ask_to_leave(self):
        """It commits, leaves its group and ends; does not wait for it."""
        if not self.process.child.stdin.closed:
            self.process.child.stdin.close()

    def leave(self, seconds=30):
        """It commits, leaves its group and ends."""
        self.ask_to_leave()
        code = self.process.wait(seconds)
        check(code in self.good_ends, f"member {self.name} ended with {code}: {self.process.output()[-1500:]}")


class Printing(Member):
    """A member that only prints the records that it reads: `kcat -G`, or `weir consume --group`."""

    # As a shell sees an end by SIGTERM.
    good_ends = (0, 143, -signal.SIGTERM)

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.log = self.process.log

    def _command(self, env, broker, topic, options):
        if self.kind == "kcat-range":
            settings = ["auto.offset.reset=earliest", f"session.timeout.ms={2 * SESSION_MS}"]
            settings += ["heartbeat.interval.ms=500", "topic.metadata.refresh.interval.ms=1000"]
            settings += ["partition.assignment.strategy=range", "auto.commit.interval.ms=200"]
            extra = [word for setting in settings for word in ("-X", setting)]
            command = [env.kcat, "-b", broker.bootstrap, *extra, "-u", "-q"]
            return [*command, "-f", "%t-%p %o %s\\n", "-G", self.group, topic]
        way = self.kind.removeprefix("cli-")
        command = ["consume", topic, "--group", self.group, "--from-beginning"]
        command += ["--format", "%t-%p %o %v", "--commit-interval", "200ms"]
        if way != "consumer":
            assignor = "range" if way == "range" else "cooperative-sticky"
            command += ["--group-protocol", "classic", "--assignor", assignor]
        return broker.cli_command(*command, *options)

    @staticmethod
    def _event(line):
        found = re.match(r"(\S+-\d+ \d+ \S+) x*$", line)
        name = "record" if found else "said"
        return Event(0.0, "", name, None, found.group(1) if found else line)

    def ask_to_leave(self):
        if self.running():
            self.process.child.send_signal(signal.SIGTERM)


def start(env, broker, kind, group, topic, name, work_ms=0):
    """A member of this kind, on its way into the group; ours and Python's may be slow."""
    of_kind = Printing if kind.startswith(("kcat", "cli")) else Member
    return of_kind(env, broker, kind, group, topic, name, work_ms=work_ms)


def own_client(env, broker, kind, command, group):
    """Our own client: `weir-quic`, `weir-tcp` by the consumer protocol; `weir-range` and
    `weir-cooperative` by the classic one, over QUIC; `weir-rangetcp` over TCP."""
    words = [env.weir_member, command, "--bootstrap", broker.bootstrap, "--group", group]
    way = kind.removeprefix("weir-")
    if way.endswith("tcp"):
        words += ["--transport", "tcp"]
    else:
        words += ["--transport", "quic", "--profile", broker.profile()]
    if way.startswith(("range", "cooperative")):
        assignor = "range" if way.startswith("range") else "cooperative-sticky"
        words += ["--protocol", "classic", "--assignor", assignor]
    return words


def settled(env, broker, group, members, partitions, seconds=30, clients=""):
    """Waits until so many members share all partitions, and gives back how the group stands; their
    clients' names must begin so."""
    words = own_client(env, broker, "weir-quic", "settle", group)
    words += ["--members", members, "--partitions", partitions, "--seconds", seconds]
    if clients:
        words += ["--clients", clients]
    try:
        return json.loads(run(words, seconds=seconds + 30, env={"RUST_BACKTRACE": "0"}).stdout)
    except Failure as failure:
        raise Failure(f"{failure}{Process.ended_badly()}") from None


def history(env, broker, group):
    """The changes of a group that the broker keeps, oldest first."""
    printed = run(own_client(env, broker, "weir-quic", "history", group)).stdout.decode()
    return [json.loads(line) for line in printed.splitlines()]


class Load:
    """Numbered records to all partitions of a topic, until stopped."""

    def __init__(self, env, broker, topic, partitions, burst=10, pause_ms=20):
        self.log = env.folder / f"acks-{topic}.tsv"
        words = [env.weir_load, "--bootstrap", broker.bootstrap, "--transport", "quic"]
        words += ["--profile", broker.profile(), "--topic", topic, "--partitions", partitions]
        words += ["--log", self.log, "--name", topic, "--burst", burst, "--pause-ms", pause_ms]
        self.process = Process(words, env.log(f"load-{topic}"), stdin=subprocess.PIPE)

    def ids(self):
        """The ids of all records that were acked so far."""
        found = set()
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            partition, offset, identity = line.split("\t")
            check(partition != "error", f"a record was refused: {offset} {identity}")
            found.add(identity)
        return found

    def stop(self):
        """No more records; gives back the ids of all."""
        self.process.child.stdin.close()
        code = self.process.wait(60)
        check(code == 0, f"the producer ended with {code}: {self.process.output()[-1500:]}")
        return self.ids()


class CommitWatch:
    """Looks at the offsets of groups all the time; they must never go back."""

    def __init__(self, env, broker, groups):
        words = own_client(env, broker, "weir-quic", "offsets", "-")
        words += ["--groups", ",".join(groups), "--every-ms", 50]
        self.process = Process(words, env.log("offsets"), stdin=subprocess.PIPE)

    def stop(self):
        """Fails if one has gone back; gives back the last offset of each (group, partition)."""
        self.process.child.stdin.close()
        code = self.process.wait(30)
        check(code == 0, f"the look at offsets ended with {code}: {self.process.output()[-1500:]}")
        last = {}
        for line in self.process.output().splitlines():
            group, place, offset = line.split("\t")
            before = last.get((group, place), -1)
            check(int(offset) >= before, f"{group}: {place} went from {before} back to {offset}")
            last[group, place] = int(offset)
        return last


def read_ids(members):
    """How often each record was read by these members."""
    seen = Counter()
    for member in members:
        for event in member.events():
            if event.name == "record":
                seen[event.details.rsplit(" ", 1)[1]] += 1
    return seen


def wait_for_all(group, members, ids, seconds):
    """Waits until the members have read every record, and counts how many came twice or more."""
    missing = lambda: ids - read_ids(members).keys()
    try:
        wait_until("all records", lambda: not missing(), seconds, every=0.2)
    except Failure:
        left = sorted(missing())
        raise Failure(f"{group}: {len(left)} of {len(ids)} never read: {left[:5]}") from None
    return sum(count - 1 for count in read_ids(members).values())


def check_owners(group, members):
    """No partition has two owners, by the clock and by the epochs that the members know; gives
    back how often one changed hands and how often one was lost."""
    by_epoch = defaultdict(set)
    spans = defaultdict(list)
    lost = 0
    for process in members:
        open_since = {}

        def close(places, at, how, open_since=open_since):
            for place in places:
                since = open_since.pop(place, None)
                if since is not None:
                    spans[place[1]].append((since, at, place[0], how))

        for event in process.events():
            words = event.details.split()
            places = [(event.member, word) for word in words]
            if event.name == "assigned":
                open_since.update((place, event.time) for place in places)
            elif event.name in ("revoked", "lost"):
                lost += event.name == "lost"
                close(places, event.time, event.name)
            elif event.name == "closed":
                left = [place for place in open_since if place[0] == event.member]
                close(left, event.time, "closed")
            if event.epoch is not None and event.name in ("owns", "record"):
                for word in words if event.name == "owns" else words[:1]:
                    by_epoch[word, event.epoch].add(event.member)
        close(list(open_since), process.killed_at or float("inf"), "killed")
    for (place, epoch), names in by_epoch.items():
        check(len(names) == 1, f"{group}: in epoch {epoch} {place} belongs to {sorted(names)}")
    for place, rows in spans.items():
        rows.sort()
        for (_, until, first, how), (since, _, second, _) in zip(rows, rows[1:]):
            # Who lost a partition learns of it only after the fact.
            fine = until <= since or how == "lost"
            text = f"{first} until {until:.6f} ({how}) and {second} since {since:.6f}"
            check(fine, f"{group}: {place} has two owners: {text}")
    return sum(len(rows) for rows in spans.values()), lost
