"""A librdkafka producer in a process of its own: numbered records until standard input closes,
each ack as a line `partition TAB offset TAB NAME-NUMBER` of the log, in the order of the acks.

It repairs nothing: what librdkafka does with a broker that dies is what is tested.

    python load_client.py BOOTSTRAP TOPIC PARTITIONS LOG NAME

Records go round the partitions; with `keys=N` for PARTITIONS each has one of so many keys, and
librdkafka chooses.
"""

import sys
import threading
import time

from confluent_kafka import Producer

FILLING = "x" * 200
FLUSH_SECONDS_MAX = 120


def main():
    """Produces until told to stop, then waits for the last ack."""
    bootstrap, topic, partitions, log_path, name = sys.argv[1:]
    keys = int(partitions[5:]) if partitions.startswith("keys=") else 0
    partitions = 0 if keys else int(partitions)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 2,
            "message.timeout.ms": 120_000,
            "socket.timeout.ms": 5_000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "retry.backoff.ms": 20,
            # A dead broker is the point of the exercise and not worth a line each time.
            "log_level": 2,
        }
    )
    with open(log_path, "a", encoding="utf-8") as log:

        def acked(error, message):
            identity = message.value().split(b" ", 1)[0].decode()
            if error is not None:
                log.write(f"error\t{error}\t{identity}\n")
            else:
                log.write(f"{message.partition()}\t{message.offset()}\t{identity}\n")
            log.flush()

        number = 0
        while not stop.is_set():
            value = f"{name}-{number} {FILLING}"
            place = {"partition": number % partitions} if partitions else {}
            if keys:
                place["key"] = f"{name}-key-{number % keys}"
            try:
                producer.produce(topic, value, on_delivery=acked, **place)
            except BufferError:
                producer.poll(0.05)
                continue
            producer.poll(0)
            number += 1
            if number % 50 == 0:
                # A steady load that leaves the machine room for the others.
                producer.poll(0.01)
                time.sleep(0.005)
        left = producer.flush(FLUSH_SECONDS_MAX)
    print(f"stopped after {number} records, {left} not acked")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
