"""Every client that people use joins the same topic: each in a group of its own, all that speak the
classic protocol together in one group, all that speak the consumer protocol together in another.
Each group gets every record once.
"""

import groups
from groups import Load
from harness import check, wait_until

ABOUT = "kafka-python, confluent-kafka, kcat, Java and weir as members, alone and together"
SECONDS_MAX = 120
ORACLE = False

PARTITIONS = 8
CLASSIC = ["python-range", "confluent-range", "kcat-range", "java-range", "cli-range"]
CONSUMER = ["confluent-consumer", "java-consumer", "cli-consumer", "weir-tcp"]
ALONE = ["python-cooperative", "confluent-cooperative", "java-cooperative", "cli-cooperative"]
TOPIC = "shared"


def run(env):
    with env.broker(config=groups.BROKER) as broker:
        broker.create_topic(TOPIC, PARTITIONS)
        crews = {}
        for name, kinds in (("all-classic", CLASSIC), ("all-consumer", CONSUMER)):
            crews[name] = [join(env, broker, kind, name) for kind in kinds]
        for kind in ALONE + (CLASSIC + CONSUMER if env.full else ["kcat-range"]):
            name = f"alone-{kind}"
            crews[name] = [join(env, broker, kind, name)]
        for name, members in crews.items():
            stands = groups.settled(env, broker, name, len(members), PARTITIONS, 60)
            is_consumer = stands["is_consumer"]
            check(is_consumer == (members[0].kind in CONSUMER), f"{name}: {stands}")
            idle = [m for m, row in stands["members"].items() if not row["owns"]]
            check(not idle, f"{name}: {idle} have nothing: {stands}")
        load = Load(env, broker, TOPIC, PARTITIONS)
        enough = env.scale(1000, 20_000)
        wait_until("records", lambda: len(load.ids()) > enough, 120, every=0.2)
        ids = load.stop()
        for name, members in crews.items():
            again = groups.wait_for_all(name, members, ids, 30)
            check(again == 0, f"{name}: {again} records came twice, and nobody came or went")
            for member in members:
                check(groups.read_ids([member]), f"{name}: {member.name} got no record")
        for members in crews.values():
            for member in members:
                member.leave()
    return (
        f"{len(ids)} records once to each of {len(crews)} groups: {len(CLASSIC)} kinds of members "
        f"together by the classic protocol ({', '.join(CLASSIC)}), {len(CONSUMER)} by the "
        f"consumer protocol ({', '.join(CONSUMER)}), {len(crews) - 2} alone"
    )


def join(env, broker, kind, group):
    """A member of that kind."""
    return groups.start(env, broker, kind, group, TOPIC, f"{group}-{kind}")
