"""Views as clients see them that know nothing of views: confluent-kafka, the official Java
consumer, kcat and our own get exactly what the scenario's own filter and mask make of what was
written, at the source's offsets.

One view lets nothing through for a long way. It is read in answers so small that whole ones are
empty, by a librdkafka that is told to take the second such answer for a message that is too large.
"""

import time
from pathlib import Path

from clients import ConfluentClient, JavaClient, WeirClient
from harness import SEVERAL_SHARDS, check, run as run_command

ABOUT = "views, and one of which little is left, read by four clients"
SECONDS_MAX = 240
ORACLE = False

PARTITIONS = 3
KEEP = "value.age >= 40 and headers.region == 'eu' or key == 'key-5'"
PREBUILT = Path(__file__).resolve().parents[3] / "plugins/prebuilt"
ANSWER_BYTES = 10_000
# Many empty answers, and a librdkafka that cannot ask for more than it asks for already.
SMALL_ANSWERS = {
    "fetch.max.bytes": ANSWER_BYTES,
    "message.max.bytes": ANSWER_BYTES,
    "fetch.message.max.bytes": 1_000_000_000,
}
JAVA_SMALL_ANSWERS = {
    "fetch.max.bytes": ANSWER_BYTES,
    "max.partition.fetch.bytes": ANSWER_BYTES,
}


def run(env):
    count, dropped = env.scale(50_000, 1_000_000), env.scale(20_000, 200_000)
    with env.broker(config=SEVERAL_SHARDS) as broker:
        for plugin in ("filter-by-expression", "mask-fields"):
            broker.cli("plugin", "deploy", PREBUILT / f"{plugin}.wasm")
        broker.create_topic("orders", PARTITIONS)
        broker.create_topic("gap", PARTITIONS)
        create(broker, "kept", "orders", f'filter-by-expression(keep="{KEEP}")')
        create(broker, "masked", "orders", 'mask-fields(fields="card,customer.email")')
        both = f'filter-by-expression(keep="{KEEP}")|mask-fields(fields="card,customer.email")'
        create(broker, "both", "orders", both)
        create(broker, "ends", "gap", "filter-by-expression(keep=\"value.end == true\")")
        client = ConfluentClient(broker.bootstrap)
        orders = [order(number) for number in range(count)]
        fill(client, "orders", orders, {"compression.type": "zstd", "linger.ms": 20})
        ends = [end(number, dropped) for number in range(dropped + 2 * PARTITIONS)]
        fill(client, "gap", ends, {"batch.num.messages": 50})
        wanted = {
            "kept": native(orders, keeps),
            "masked": native(orders, lambda _: True, masked),
            "both": native(orders, keeps, masked),
            "ends": native(ends, lambda record: b"true" in record[1]),
        }
        check(len(wanted["ends"]) == 2 * PARTITIONS, f"{len(wanted['ends'])} ends were written")
        figures = [compare(env, broker, client, view, wanted[view]) for view in wanted]
    return f"of {count} records, and of {dropped} dropped in a row: {'; '.join(figures)}"


def create(broker, name, source, chain):
    """A view, as people make one."""
    broker.cli("view", "create", name, "--from", source, "--with", chain)


def order(number):
    """Key, value and headers of an order; ages and regions go round at different paces."""
    email = f'"customer":{{"email":"c{number}@example.com","name":"c{number}"}}'
    value = f'{{"number":{number},"age":{number % 97},"card":"4000-{number}",{email}}}'
    region = b"eu" if number // 7 % 2 else b"us"
    return f"key-{number % 11}".encode(), value.encode(), [("region", region)]


def keeps(record):
    """What `KEEP` says."""
    key, value, headers = record
    age = int(value.split(b'"age":')[1].split(b",")[0])
    return age >= 40 and headers == [("region", b"eu")] or key == b"key-5"


def masked(value):
    """What is left of an order: its card and its customer's address are nobody's business."""
    head, rest = value.split(b'"card":"', 1)
    _, rest = rest.split(b'"', 1)
    middle, rest = rest.split(b'"email":"', 1)
    _, tail = rest.split(b'"', 1)
    return head + b'"card":"***"' + middle + b'"email":"***"' + tail


def end(number, dropped):
    """One of the two ends of the topic `gap`, or something between them."""
    is_end = number < PARTITIONS or number >= dropped + PARTITIONS
    value = f'{{"number":{number},"end":{"true" if is_end else "false"}}}'
    return b"end" if is_end else b"between", value.encode(), []


def fill(client, topic, records, settings):
    """Writes the records in turn to the partitions, so that each one's offset is known."""
    from confluent_kafka import Producer

    producer = Producer({**client.settings, "enable.idempotence": True, **settings})
    refused = []
    told = lambda error, _: refused.append(error) if error else None
    for number, (key, value, headers) in enumerate(records):
        place = {"partition": number % PARTITIONS, "on_delivery": told}
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, **place)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(120)
    check(left == 0 and not refused, f"'{topic}': {left} not acked, refused: {refused[:1]}")


def native(records, keep, change=lambda value: value):
    """What a view must show: partition, offset, key and value of each record that stays."""
    places = ((number % PARTITIONS, number // PARTITIONS) for number in range(len(records)))
    kept = (pair for pair in zip(places, records) if keep(pair[1]))
    return sorted((*place, record[0], change(record[1])) for place, record in kept)


def compare(env, broker, client, view, wanted):
    """Reads the view by each client and gives back how many records that were and how long it
    took each."""
    took = []
    for name, read in readers(env, broker, client, view):
        began = time.monotonic()
        found = read()
        took.append(f"{name} {time.monotonic() - began:.1f} s")
        unlike = [pair for pair in zip(found, wanted) if pair[0] != pair[1]][:1]
        text = f"{name} reads {len(found)} of '{view}', not {len(wanted)}; the first unlike: "
        check(found == wanted, text + str(unlike))
    return f"{len(wanted)} of '{view}' ({', '.join(took)})"


def readers(env, broker, client, view):
    """The clients, and how each reads a view to its end."""
    seconds = env.scale(60, 900)
    small = view == "ends"
    settings = SMALL_ANSWERS if small else {}
    java = JavaClient(env, broker.bootstrap, **(JAVA_SMALL_ANSWERS if small else {}))
    return [
        ("confluent-kafka", lambda: confluent(client, view, settings, seconds)),
        ("Java", lambda: places(java.read([view])[view])),
        ("kcat", lambda: kcat(env, broker, view, settings, seconds)),
        ("weir", lambda: places(WeirClient(env, broker, "quic").read([view])[view])),
    ]


def places(records):
    """Records as `native` gives them."""
    return sorted((one.partition, one.offset, one.key, one.value) for one in records)


def confluent(client, view, settings, seconds):
    """Everything up to the ends of the partitions; an error is a failure."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    own = {"group.id": "not-used", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**client.settings, **own, **settings, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(view, index, 0) for index in range(PARTITIONS)])
    found, at_end = [], set()
    late = time.monotonic() + seconds
    while len(at_end) < PARTITIONS:
        check(time.monotonic() < late, f"'{view}' was not read within {seconds} s: {at_end}")
        for message in consumer.consume(2000, 0.2):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
                continue
            check(error is None, f"reading '{view}' after {len(found)} records: {error}")
            found.append((message.partition(), message.offset(), message.key(), message.value()))
    consumer.close()
    return sorted(found)


def kcat(env, broker, view, settings, seconds):
    """What kcat prints up to the ends."""
    command = [env.kcat, "-b", broker.bootstrap, "-C", "-t", view, "-o", "beginning", "-e", "-q"]
    options = [word for pair in settings.items() for word in ("-X", "{}={}".format(*pair))]
    printed = run_command([*command, *options, "-f", "%p\\t%o\\t%k\\t%s\\n"], seconds=seconds).stdout
    rows = (line.split(b"\t", 3) for line in printed.splitlines())
    return sorted((int(index), int(offset), key, value) for index, offset, key, value in rows)
