"""A big file goes in by `weir produce` and comes out by `weir consume`: identical with one
partition; with three, in order and identical per partition, where kafka-python computes which
partition each key belongs to and reads the same bytes. Each codec, over both transports.
"""

import hashlib
import time

from harness import Weir, check

ABOUT = "a file in and out, each codec and transport, checked by kafka-python"
SECONDS_MAX = 300
ORACLE = False
# The file, its parts, what is read, and the log of codec `none` until the rewriter has passed.
DISK_BYTES_FULL = 9_000_000_000

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TRANSPORTS = ["quic", "tls"]
PARTITIONS = 3
CUSTOMERS = 20_000
# What the full size must at least be.
FULL_LINES_MIN = 1_000_000
FULL_BYTES_MIN = 500_000_000


def run(env):
    lines = env.scale(50_000, 1_300_000)
    file, parts, size = generate(env, lines)
    if env.full:
        large = lines >= FULL_LINES_MIN and size >= FULL_BYTES_MIN
        check(large, f"{lines} lines and {size} bytes are no full size")
    rates = []
    with Weir(env, tls=True) as broker:
        for codec in CODECS:
            for transport in TRANSPORTS:
                began = time.monotonic()
                one_partition(env, broker, file, codec, transport)
                rates.append(size / (time.monotonic() - began) / 1e6)
                three_partitions(env, broker, file, parts, codec, transport)
    runs = len(CODECS) * len(TRANSPORTS)
    return (
        f"{lines} lines, {size / 1e6:.0f} MB, {runs} times with one partition and with three, "
        f"identical; in and out at {min(rates):.0f} to {max(rates):.0f} MB/s"
    )


def generate(env, lines):
    """The file `KEY:JSON`, the same on every run, and what each partition must hold of it."""
    from kafka.partitioner.default import murmur2

    where = {}
    file = env.folder / "file.txt"
    parts = [env.folder / f"expected-{index}.txt" for index in range(PARTITIONS)]
    outs = [open(part, "wb", buffering=1 << 20) for part in parts]
    filling = [hashlib.sha256(str(n).encode()).hexdigest() * 6 for n in range(64)]
    with open(file, "wb", buffering=1 << 20) as whole:
        for number in range(lines):
            customer = (number * 7919) % CUSTOMERS
            key = b"customer-%d" % customer
            text = filling[number % 64]
            line = b'%s:{"order":%d,"customer":%d,"note":"%s"}\n' % (
                key, number, customer, text[: 300 + number % 84].encode(),
            )
            if key not in where:
                where[key] = (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
            whole.write(line)
            outs[where[key]].write(line)
    for out in outs:
        out.close()
    return file, parts, file.stat().st_size


def digest(path):
    """A hash of a file, read in pieces."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            total.update(piece)
    return total.hexdigest()


def consume_to_file(env, broker, topic, out, transport, *args):
    """`weir consume` into a file, as a shell's redirection does it."""
    from harness import Process

    command = broker.cli_command(
        "consume", topic, "--from-beginning", "--exit-at-end", *args, transport=transport
    )
    with open(out, "wb") as file:
        process = Process(command, env.log("consume"), stdout=file)
        code = process.wait(env.scale(60, 600))
    check(code == 0, f"weir consume ended with {code}: {process.output()[-1000:]}")


def one_partition(env, broker, file, codec, transport):
    """The whole file through one partition, byte for byte."""
    topic = f"one-{codec}-{transport}"
    seconds = env.scale(60, 600)
    broker.create_topic(topic, 1)
    broker.cli(
        "produce", topic, "--file", file, "--compression", codec,
        transport=transport, seconds=seconds,
    )
    out = env.folder / "out.txt"
    consume_to_file(env, broker, topic, out, transport)
    check(digest(out) == digest(file), f"{topic}: what came out differs: {out} and {file}")
    broker.cli("topic", "delete", topic, "--yes")


def three_partitions(env, broker, file, parts, codec, transport):
    """By key through three partitions: each holds exactly its lines, in their order."""
    topic = f"three-{codec}-{transport}"
    seconds = env.scale(60, 600)
    broker.create_topic(topic, PARTITIONS)
    broker.cli(
        "produce", topic, "--file", file, "--key-separator", ":", "--compression", codec,
        transport=transport, seconds=seconds,
    )
    for index, part in enumerate(parts):
        out = env.folder / f"out-{index}.txt"
        consume_to_file(
            env, broker, topic, out, transport, "--partition", index, "--format", "%k:%v\\n"
        )
        check(digest(out) == digest(part), f"{topic}-{index}: {out} differs from {part}")
    if transport == "quic":
        by_kafka_python(env, broker, topic, parts)
    broker.cli("topic", "delete", topic, "--yes")


def by_kafka_python(env, broker, topic, parts):
    """The same bytes, read by a client that we did not write."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap, auto_offset_reset="none", enable_auto_commit=False
    )
    places = [TopicPartition(topic, index) for index in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    hashes = [hashlib.sha256() for _ in places]
    end = time.monotonic() + env.scale(60, 900)
    while any(consumer.position(place) < ends[place] for place in places):
        check(time.monotonic() < end, f"kafka-python did not reach the ends {ends}")
        for place, messages in consumer.poll(200, max_records=10_000).items():
            for message in messages:
                hashes[place.partition].update(b"%s:%s\n" % (message.key, message.value))
    consumer.close()
    for index, part in enumerate(parts):
        check(hashes[index].hexdigest() == digest(part), f"kafka-python: {topic}-{index} differs")
