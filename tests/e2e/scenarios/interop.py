"""Every client writes with every codec, and every client reads what every other wrote, byte for
byte: keys, nulls, empties, headers, timestamps, order and offsets. Then keyed records must land
where kafka-python says that they belong. With Weir, all of it once in plain text and the foreign
clients once more over TLS with a client certificate.
"""

import security
from clients import ConfluentClient, JavaClient, KafkaPythonClient, WeirClient
from harness import SEVERAL_SHARDS, Failure, check
from records import CODECS, differences, keyed, sample

ABOUT = "each client reads what each other wrote; partitions of keys; TLS"
SECONDS_MAX = 240
ORACLE = True

PARTITIONS = 3


def run(env):
    with env.broker(tls=True, config=SEVERAL_SHARDS) as broker:
        clients = [
            ConfluentClient(broker.bootstrap),
            KafkaPythonClient(broker.bootstrap),
            JavaClient(env, broker.bootstrap),
        ]
        ways = ("quic", "tls", "plain") if broker.is_weir else ("plain",)
        clients += [WeirClient(env, broker, how) for how in ways]
        figures = [matrix(env, clients, CODECS), partitions_of_keys(env, clients)]
        if broker.is_weir:
            with_certificates = [
                ConfluentClient(broker.tls_bootstrap, **security.librdkafka(env, broker)),
                KafkaPythonClient(broker.tls_bootstrap, **security.kafka_python(env, broker)),
                JavaClient(env, broker.tls_bootstrap, **security.java(env, broker)),
            ]
            figures.append("TLS: " + matrix(env, with_certificates, ["zstd"], "tls-"))
    return "; ".join(figures)


def matrix(env, clients, codecs, prefix=""):
    """All writers times all codecs times all readers."""
    count = env.scale(210, 2100)
    topics = {}
    for writer in clients:
        records = sample(count, PARTITIONS, writer.writes_every_null)
        pairs = [(f"{prefix}by-{writer.name}-{codec}", codec) for codec in codecs]
        clients[0].make_topics([topic for topic, _ in pairs], PARTITIONS)
        acked = writer.write(records, pairs)
        for topic, places in acked.items():
            check_places(writer, topic, records, places)
        topics.update({topic: (writer, records) for topic, _ in pairs})
    wrong = []
    for reader in clients:
        found = reader.read(list(topics))
        for topic, (writer, records) in topics.items():
            difference = differences(records, found[topic])
            if difference:
                wrong.append(f"{reader.name} reads {topic} of {writer.name}: {difference}")
    if wrong:
        raise Failure(f"{len(wrong)} wrong: " + "; ".join(wrong[:5]))
    count = len(topics) * len(clients)
    return f"{len(clients)} clients, {len(codecs)} codecs: {count} of {count} readings identical"


def check_places(writer, topic, records, places):
    """The acks must name each record's partition and count offsets from 0."""
    for partition in range(PARTITIONS):
        count = sum(1 for record in records if record.partition == partition)
        offsets = sorted(offset for where, offset in places if where == partition)
        wanted = list(range(count))
        check(offsets == wanted, f"{writer.name}: {topic}-{partition}: acked {offsets[:20]}")


def partitions_of_keys(env, clients):
    """Where each client's own partitioner puts a key, against kafka-python's reading of Java's."""
    from kafka.partitioner.default import murmur2

    records = keyed(env.scale(400, 4000))
    count = 7
    expected = {record.value: (murmur2(record.key) & 0x7FFFFFFF) % count for record in records}
    for writer in clients:
        topic = f"keyed-by-{writer.name}"
        clients[0].make_topics([topic], count)
        writer.write(records, [(topic, "none")])
        read = clients[0].read([topic])[topic]
        check(len(read) == len(records), f"{topic}: {len(read)} records")
        for record in read:
            where = expected[record.value]
            check(
                record.partition == where,
                f"{writer.name} puts {record.key!r} into {record.partition}, not {where}",
            )
    return f"{len(records)} keys in the same one of {count} partitions by all"
