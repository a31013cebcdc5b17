"""The clients of the end-to-end runs behind one face: write these records to these topics, read
these topics to their end.

Each client is used the way its own documents say; nothing is retried or repaired here, because
what the client does with the broker's answers is what is tested. Settings come as a table with
`bootstrap` and, for TLS, what `weir certs show --for ...` printed.
"""

import base64
import json
import time

from harness import Failure, check, run
from records import Record, from_line, to_line

READ_SECONDS_MAX = 60


class ConfluentClient:
    """confluent-kafka: librdkafka under Python."""

    name = "confluent-kafka"
    writes_every_null = True

    def __init__(self, bootstrap, **security):
        self.settings = {"bootstrap.servers": bootstrap, **security}

    def write(self, records, topics):
        """Writes the records to each (topic, codec); gives back topic -> [(partition, offset)]."""
        from confluent_kafka import Producer

        acked = {}
        for topic, codec in topics:
            places = acked.setdefault(topic, [])
            producer = Producer(
                {
                    **self.settings,
                    "enable.idempotence": True,
                    "compression.type": codec,
                    "linger.ms": 20,
                    "partitioner": "murmur2_random",
                    # Never silently fall back to an uncompressed batch.
                    "message.max.bytes": 1_000_000,
                }
            )

            def acked_one(error, message, places=places):
                if error is not None:
                    places.append(error)
                else:
                    places.append((message.partition(), message.offset()))

            for record in records:
                where = {} if record.partition is None else {"partition": record.partition}
                producer.produce(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    timestamp=record.timestamp,
                    on_delivery=acked_one,
                    **where,
                )
                producer.poll(0)
            left = producer.flush(READ_SECONDS_MAX)
            check(left == 0, f"{self.name}: {left} records of {topic} were not acked")
            bad = [place for place in places if not isinstance(place, tuple)]
            check(not bad, f"{self.name}: {topic}: {bad[:1]}")
        return acked

    def read(self, topics):
        """Every record of the topics, as topic -> [Record]."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(
            {
                **self.settings,
                "group.id": "not-used",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        try:
            found = {topic: [] for topic in topics}
            left = {}
            for topic in topics:
                described = consumer.list_topics(topic, 10).topics[topic]
                check(described.error is None, f"{self.name}: {topic}: {described.error}")
                for partition in described.partitions:
                    low, high = consumer.get_watermark_offsets(
                        TopicPartition(topic, partition), 10
                    )
                    if low < high:
                        left[(topic, partition)] = (low, high)
            consumer.assign([TopicPartition(t, p, low) for (t, p), (low, _) in left.items()])
            end = time.monotonic() + READ_SECONDS_MAX
            while left:
                check(time.monotonic() < end, f"{self.name}: ends not reached: {left}")
                for message in consumer.consume(500, 0.2):
                    if message.error():
                        raise Failure(f"{self.name}: {message.error()}")
                    found[message.topic()].append(self._record(message))
                    place = (message.topic(), message.partition())
                    if place in left and message.offset() + 1 >= left[place][1]:
                        del left[place]
            return found
        finally:
            consumer.close()

    @staticmethod
    def _record(message):
        return Record(
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            tuple(message.headers() or ()),
        )

    def make_topics(self, names, partitions, config=None):
        """Makes topics by the admin API."""
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient(self.settings)
        topics = [NewTopic(n, partitions, 1, config=config or {}) for n in names]
        for future in admin.create_topics(topics, request_timeout=30).values():
            future.result(30)


class KafkaPythonClient:
    """kafka-python: a client written in Python alone."""

    name = "kafka-python"
    # It refuses to send null headers and records of two nulls; it does read them.
    writes_every_null = False

    def __init__(self, bootstrap, **security):
        self.settings = {"bootstrap_servers": bootstrap, **security}

    def write(self, records, topics):
        """Writes the records to each (topic, codec); gives back topic -> [(partition, offset)]."""
        from kafka import KafkaProducer

        acked = {}
        for topic, codec in topics:
            producer = KafkaProducer(
                **self.settings,
                enable_idempotence=True,
                acks="all",
                compression_type=None if codec == "none" else codec,
                linger_ms=20,
            )
            futures = [
                producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp,
                )
                for record in records
            ]
            producer.flush(READ_SECONDS_MAX)
            where = [future.get(timeout=READ_SECONDS_MAX) for future in futures]
            acked[topic] = [(place.partition, place.offset) for place in where]
            producer.close()
        return acked

    def read(self, topics):
        """Every record of the topics, as topic -> [Record]."""
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            **self.settings, auto_offset_reset="none", enable_auto_commit=False
        )
        try:
            found = {topic: [] for topic in topics}
            partitions = []
            for topic in topics:
                indices = consumer.partitions_for_topic(topic)
                check(indices, f"{self.name}: no partitions of {topic}")
                partitions += [TopicPartition(topic, index) for index in sorted(indices)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            end = time.monotonic() + READ_SECONDS_MAX
            while any(consumer.position(place) < ends[place] for place in partitions):
                check(time.monotonic() < end, f"{self.name}: ends not reached: {ends}")
                for place, messages in consumer.poll(200).items():
                    found[place.topic] += [self._record(message) for message in messages]
            return found
        finally:
            consumer.close()

    @staticmethod
    def _record(message):
        return Record(
            message.partition,
            message.offset,
            message.timestamp,
            message.key,
            message.value,
            tuple(message.headers),
        )


class JavaClient:
    """The official Java client, in a process of its own."""

    name = "java"
    writes_every_null = True

    def __init__(self, env, bootstrap, **security):
        self.env = env
        self.settings = {"bootstrap.servers": bootstrap, **security}

    def write(self, records, topics):
        """Writes the records to each (topic, codec); gives back topic -> [(partition, offset)]."""
        lines = self.env.folder / "java-writes.tsv"
        lines.write_text("".join(to_line(record) + "\n" for record in records))
        named = [f"{topic}:{codec}" for topic, codec in topics]
        printed = self.env.java("produce", self.settings, lines, *named).stdout.decode()
        acked = {topic: [] for topic, _ in topics}
        for line in printed.splitlines():
            topic, partition, offset = line.split("\t")
            acked[topic].append((int(partition), int(offset)))
        return acked

    def read(self, topics):
        """Every record of the topics, as topic -> [Record]."""
        out = self.env.folder / "java-reads.tsv"
        self.env.java("consume", self.settings, out, *topics)
        found = {topic: [] for topic in topics}
        for line in out.read_text().splitlines():
            topic, rest = line.split("\t", 1)
            found[topic].append(from_line(rest))
        return found


class WeirClient:
    """Our own command line, over QUIC, TLS or plain TCP, by `--json` in both directions."""

    writes_every_null = True

    def __init__(self, env, broker, transport):
        self.env = env
        self.broker = broker
        self.transport = transport
        self.name = f"weir-{transport}"

    def _cli(self, *args, stdin=None):
        if self.broker.is_weir:
            return self.broker.cli(*args, transport=self.transport, stdin=stdin).stdout
        plain = ["--transport", "tcp", "--bootstrap", self.broker.bootstrap]
        command = [self.env.weir_binary, *args, *plain]
        return run(command, stdin=stdin, cwd=self.env.folder).stdout

    def write(self, records, topics):
        """Writes the records to each (topic, codec); offsets are not given back."""
        lines = "".join(json.dumps(self._to_json(record)) + "\n" for record in records)
        for topic, codec in topics:
            self._cli("produce", topic, "--json", "--compression", codec, stdin=lines.encode())
        return {}

    def read(self, topics):
        """Every record of the topics, as topic -> [Record]."""
        found = {}
        for topic in topics:
            printed = self._cli("consume", topic, "--json", "--from-beginning", "--exit-at-end")
            found[topic] = [self._from_json(json.loads(line)) for line in printed.splitlines()]
        return found

    @staticmethod
    def _to_json(record):
        def data(value):
            if value is None:
                return None
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}

        line = {"timestamp": record.timestamp, "key": data(record.key), "value": data(record.value)}
        line["headers"] = [[name, data(value)] for name, value in record.headers]
        if record.partition is not None:
            line["partition"] = record.partition
        return line

    @staticmethod
    def _from_json(line):
        def data(value):
            if isinstance(value, dict):
                return base64.b64decode(value["base64"])
            return None if value is None else value.encode()

        headers = tuple((name, data(value)) for name, value in line["headers"])
        place = (line["partition"], line["offset"], line["timestamp"])
        return Record(*place, data(line["key"]), data(line["value"]), headers)
