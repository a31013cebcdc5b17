"""weir-world: partitioner

Chooses the partition by the bytes of the key. Change it into what you need; the same key and
count must always give the same partition.
"""

import zlib

import wit_world
from wit_world.imports.description import Description
from wit_world.imports.records import BytesColumn


class WitWorld(wit_world.WitWorld):
    """The world `partitioner`."""

    def describe(self) -> Description:
        return Description("@NAME@", "0.1.0", "Chooses partitions by the bytes of keys.", [])

    def configure(self, parameters: list[tuple[str, str]]) -> None:
        pass

    def partition(self, keys: BytesColumn, partitions: int) -> list[int]:
        chosen: list[int] = []
        start = 0
        for end in keys.ends:
            chosen.append(zlib.crc32(keys.data[start:end]) % partitions)
            start = end
        return chosen
