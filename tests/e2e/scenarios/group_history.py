"""A script of joins, leaves, kills and restarts of the broker, one step after the other, in a
group of each protocol: the history that the broker keeps must tell that story, with its causes,
members, moved partitions and times, over all restarts.
"""

import random
import time

import groups
from groups import SESSION_MS
from harness import check

ABOUT = "the history of groups against the script of what happened"
SECONDS_MAX = 120
ORACLE = False

TOPIC = "story"
PARTITIONS = 6
MEMBERS_MAX = 5
SEED = 23
KINDS = {"told-consumer": "weir-quic", "told-classic": "weir-range"}
# The wall clock of the broker is ours; what is rounded to milliseconds may be a little off.
SLACK_MS = 5
CAUSES = {"join": "Joined", "leave": "Left", "kill": "TimedOut", "restart": "CoordinatorMoved"}


def run(env):
    dice = random.Random(SEED)
    with env.broker(config=groups.BROKER) as broker:
        broker.create_topic(TOPIC, PARTITIONS)
        stories = {name: Story(env, broker, name, kind) for name, kind in KINDS.items()}
        end = time.monotonic() + env.scale(25, 600)
        steps = 0
        restarts = 0
        while time.monotonic() < end:
            if steps and steps % 5 == 0:
                end_broker = broker.kill9 if restarts % 2 else broker.stop
                end_broker()
                broker.start()
                restarts += 1
                for story in stories.values():
                    story.restarted()
            for story in stories.values():
                story.step(dice)
            steps += 1
        figures = [story.finish() for story in stories.values()]
    return f"{steps} steps, {restarts} restarts: " + "; ".join(figures)


class Story:
    """One group: what was done to it, and what its history has told so far."""

    def __init__(self, env, broker, group, kind):
        self.env, self.broker, self.group, self.kind = env, broker, group, kind
        self.live = {}
        # Member id -> the name its process was started with, of all that ever were.
        self.names = {}
        self.count = 0
        self.told = {}
        self.owners = {}
        self.checked = 0

    def step(self, dice):
        """One change, and its telling."""
        what = dice.choice(["join", "join", "leave", "kill"])
        if len(self.live) < 2:
            what = "join"
        elif len(self.live) >= MEMBERS_MAX:
            what = dice.choice(["leave", "kill"])
        began = time.time() * 1000
        before = len(self.live)
        if what == "join":
            name = f"{self.group}-{self.count}"
            self.count += 1
            start = groups.start(self.env, self.broker, self.kind, self.group, TOPIC, name)
            self.live[name] = start
        else:
            name = dice.choice(sorted(self.live))
            member = self.live.pop(name)
            if what == "leave":
                member.leave()
            else:
                member.kill9()
        self.listen(f"{what} of {name}", CAUSES[what], name, before, began)

    def restarted(self):
        """The coordinator came up anew; nobody came or went."""
        self.listen("restart", CAUSES["restart"], None, len(self.live), time.time() * 1000 - 30_000)

    def listen(self, what, cause, name, before, began):
        """Waits until the group has settled and holds its news against what was done."""
        after = len(self.live)
        stands = groups.settled(self.env, self.broker, self.group, after, PARTITIONS, 40)
        ended = time.time() * 1000
        for member, row in stands["members"].items():
            self.names[member] = row["client"]
        news = []
        for change in groups.history(self.env, self.broker, self.group):
            known = self.told.setdefault(change["sequence"], change)
            check(known == change, f"{self.group}: the story changed: {known} became {change}")
            if known["sequence"] > self.checked:
                news.append(known)
        where = f"{self.group}, {what}: {news}"
        check(news, f"nothing is told of it: {where}")
        numbers = [change["sequence"] for change in news]
        wanted = list(range(self.checked + 1, self.checked + 1 + len(news)))
        check(numbers == wanted, f"numbers {numbers} instead of {wanted}: {where}")
        self.checked = numbers[-1]
        causes = [row for change in news for row in change["causes"]]
        named = [(told["kind"], told["client"]) for told in causes]
        for told in causes:
            # The names of clients outlive their members.
            known = self.names.get(told["member"], told["client"])
            check(told["client"] == known, f"{told['member']} is {known}'s: {where}")
        right = [told for told in named if told == (cause, name)]
        check(len(right) == 1, f"it is told {len(right)} times: {where}")
        others = {told["kind"] for told in causes} - {cause}
        check(not others, f"causes that nobody set: {others}: {where}")
        first, last = news[0], news[-1]
        check(first["before"] == before, f"there were {before} members before: {where}")
        check(last["after"] == after, f"there are {after} members after: {where}")
        for change in news:
            fits = began - SLACK_MS <= change["time_ms"] <= ended + SLACK_MS
            check(fits, f"its time is not between {began:.0f} and {ended:.0f}: {where}")
            took = change["duration_ms"]
            fits = took is not None and took <= ended - change["time_ms"] + SLACK_MS
            check(fits, f"it cannot have taken {took} ms: {where}")
            self.move(change, where)
        owners = {place: m for m, row in stands["members"].items() for place in row["owns"]}
        check(self.owners == owners, f"by the story {self.owners}, in truth {owners}: {where}")

    def move(self, change, where):
        """Partitions change hands as told."""
        count = 0
        kept = set(self.owners.items())
        for row in change["moves"]:
            for place in row["partitions"]:
                count += 1
                owner = self.owners.pop(place, None)
                kept.discard((place, owner))
                check(owner == row["from"], f"{place} was {owner}'s, not {row['from']}'s: {where}")
                if row["to"]:
                    self.owners[place] = row["to"]
        check(count == change["moved"], f"{count} moves told of {change['moved']}: {where}")
        if self.kind == "weir-quic":
            stood = {row["member"] for row in change["still"]} & {owner for _, owner in kept}
            check(not stood, f"who kept partitions stood still: {stood}: {where}")

    def finish(self):
        """Everybody leaves."""
        for member in self.live.values():
            member.leave()
        times = [change["duration_ms"] for change in self.told.values()]
        return (
            f"{self.group} told {len(self.told)} changes as they were, "
            f"the longest of {max(times)} ms (a kill is noticed after {SESSION_MS} ms)"
        )
