"""Records that every client writes and reads, in one neutral form, and the fixed set of them that
the clients are compared on.

A record is a tuple (key, value, headers, timestamp): bytes or None, headers as a tuple of (name,
bytes or None). As a line it is `partition TAB offset TAB timestamp TAB key TAB value TAB headers`,
bytes as hex and `-` for null. Nothing here talks to a broker.
"""

import random
from collections import namedtuple

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
FIRST_TIMESTAMP_MS = 1_700_000_000_000

Record = namedtuple("Record", "partition offset timestamp key value headers")


def _hex(data):
    return "-" if data is None else data.hex()


def _bytes(cell):
    return None if cell == "-" else bytes.fromhex(cell)


def to_line(record):
    """The neutral line of a record."""
    number = lambda value: "-" if value is None else str(value)
    headers = ",".join(f"{name.encode().hex()}:{_hex(value)}" for name, value in record.headers)
    cells = [number(record.partition), number(record.offset), number(record.timestamp)]
    return "\t".join([*cells, _hex(record.key), _hex(record.value), headers])


def from_line(line):
    """The record of a neutral line."""
    cells = line.rstrip("\n").split("\t")
    number = lambda cell: None if cell == "-" else int(cell)
    headers = tuple(
        (bytes.fromhex(header.split(":")[0]).decode(), _bytes(header.split(":")[1]))
        for header in cells[5].split(",")
        if header
    )
    partition, offset, timestamp = (number(cell) for cell in cells[:3])
    return Record(partition, offset, timestamp, _bytes(cells[3]), _bytes(cells[4]), headers)


def sample(count, partitions, every_null=True):
    """A fixed set of records with every oddity that the format allows: null and empty keys,
    values and headers, duplicate header names, binary, long and incompressible. Without
    `every_null` there are no null headers and no record of two nulls."""
    dice = random.Random(20240229)
    keys = [None, b"", b"key", "schlüssel".encode(), bytes(range(256)), b"k" * 3000]
    values = [
        b"value",
        b"",
        None,
        "wörter und 記録".encode(),
        bytes(range(256)) * 4,
        b"compressible " * 4000,
        dice.randbytes(20_000),
    ]
    headers = [
        (),
        (("trace", b"1"),),
        (("same", b"1"), ("same", b"2"), ("same", b"1")),
        (("empty", b""), ("näme", "wért".encode()), ("binary", bytes(range(256)))),
    ]
    if every_null:
        headers.append((("null", None), ("trace", b"2")))
    records = []
    for number in range(count):
        key = keys[number % len(keys)]
        value = values[number % len(values)]
        if key is None and value is None and not every_null:
            value = b""
        if value is not None and number >= len(keys) * len(values):
            value = value[:200] + f" {number}".encode()
        record = Record(
            number % partitions,
            None,
            FIRST_TIMESTAMP_MS + number,
            key,
            value,
            headers[number % len(headers)],
        )
        records.append(record)
    return records


def keyed(count):
    """Records whose partition is left to the client, by keys of many lengths."""
    dice = random.Random(7)
    records = []
    for number in range(count):
        key = dice.randbytes(number % 40) if number % 2 else f"customer-{number}".encode()
        value = f"v{number}".encode()
        timestamp = FIRST_TIMESTAMP_MS + number
        records.append(Record(None, None, timestamp, key, value, ()))
    return records


def differences(expected, read):
    """What a reader got that the writer did not send, in words, or nothing.

    Compared per partition and in order; offsets must count from 0 without a hole."""
    for partition in sorted({record.partition for record in [*expected, *read]}):
        wanted = [record for record in expected if record.partition == partition]
        got = [record for record in read if record.partition == partition]
        if len(wanted) != len(got):
            return f"partition {partition}: {len(got)} records instead of {len(wanted)}"
        for number, (want, have) in enumerate(zip(wanted, got)):
            if have.offset != number:
                return f"partition {partition}: offset {have.offset} where {number} is due"
            for field in ("key", "value", "headers", "timestamp"):
                if getattr(want, field) != getattr(have, field):
                    return (
                        f"partition {partition} offset {number}: {field} is "
                        f"{getattr(have, field)!r:.200}, not {getattr(want, field)!r:.200}"
                    )
    return None
