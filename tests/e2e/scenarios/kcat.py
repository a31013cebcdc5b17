"""kcat lists, writes and reads: `-L`, `-P` with each codec and with headers, `-C` by offset and
from the end, as a person would type it.
"""

import json

from harness import check, run as run_command
from security import shown

ABOUT = "kcat -L, -P, -C with all codecs and headers"
SECONDS_MAX = 90
ORACLE = True

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
LINES = 2000


def run(env):
    with env.broker(tls=True) as broker:
        from clients import ConfluentClient

        names = [f"kcat-{codec}" for codec in CODECS]
        ConfluentClient(broker.bootstrap).make_topics(names, 3)
        kcat = [env.kcat, "-b", broker.bootstrap]
        for codec, topic in zip(CODECS, names):
            round_trip(kcat, codec, topic)
        headers(kcat, names[0])
        listing(kcat, names)
        if broker.is_weir:
            as_printed(env, broker, names)
    return f"{len(CODECS)} codecs, {LINES} lines each, headers, listing"


def round_trip(kcat, codec, topic):
    """Lines with a key go in by -P and come out by -C as they were."""
    lines = [f"key-{n % 97}:value {n} {'x' * (n % 300)}" for n in range(LINES)]
    text = ("\n".join(lines) + "\n").encode()
    produce = ["-P", "-t", topic, "-p", "1", "-K", ":", "-z", codec]
    produce += ["-X", "enable.idempotence=true"]
    run_command([*kcat, *produce], stdin=text)
    consume = ["-C", "-t", topic, "-p", "1", "-e", "-q"]
    out = run_command([*kcat, *consume, "-o", "beginning", "-K", ":"])
    check(out.stdout == text, f"{codec}: {len(out.stdout)} bytes back of {len(text)}")
    tail = run_command([*kcat, *consume, "-o", "-3", "-K", ":"])
    check(tail.stdout.decode().splitlines() == lines[-3:], f"{codec}: the last three differ")
    offset = ["-o", str(LINES // 2), "-c", "1", "-f", "%o %k %s\\n"]
    one = run_command([*kcat, *consume, *offset])
    key, value = lines[LINES // 2].split(":", 1)
    check(one.stdout.decode() == f"{LINES // 2} {key} {value}\n", f"{codec}: {one.stdout!r}")


def headers(kcat, topic):
    """Headers go in by -H and come out by %h."""
    run_command(
        [*kcat, "-P", "-t", topic, "-p", "2", "-H", "a=1", "-H", "b=two", "-H", "a=3"],
        stdin=b"with headers\n",
    )
    out = run_command([*kcat, "-C", "-t", topic, "-p", "2", "-e", "-q", "-f", "%h|%s\\n"])
    check(out.stdout == b"a=1,b=two,a=3|with headers\n", f"headers came as {out.stdout!r}")


def listing(kcat, names):
    """-L names the broker, every topic and its partitions."""
    described = json.loads(run_command([*kcat, "-L", "-J"]).stdout)
    check(len(described["brokers"]) == 1, f"brokers: {described['brokers']}")
    topics = {topic["topic"]: topic for topic in described["topics"]}
    for name in names:
        check(name in topics, f"-L does not name {name}: {sorted(topics)}")
        check(len(topics[name]["partitions"]) == 3, f"{name}: {topics[name]}")


def as_printed(env, broker, names):
    """The command that `weir certs show --for kcat` prints, pasted into a shell: over TLS."""
    lines = [line for line in shown(broker, "kcat").splitlines() if line.startswith("kcat ")]
    check(len(lines) == 1, f"it prints no kcat command: {lines}")
    pasted = str(env.kcat) + lines[0].removeprefix("kcat")
    said = run_command(["sh", "-c", pasted]).stdout.decode()
    for name in names:
        check(name in said, f"over TLS, -L does not name {name}:\n{said}")
