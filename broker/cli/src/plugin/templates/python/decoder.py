"""weir-world: decoder

Shows bytes as hexadecimal digits, and reads them back. Change it into what you need.
"""

import json

import wit_world
from componentize_py_types import Err, Ok
from wit_world.imports.description import Description
from wit_world.imports.records import BytesColumn


class WitWorld(wit_world.WitWorld):
    """The world `decoder`."""

    def describe(self) -> Description:
        return Description("@NAME@", "0.1.0", "Shows bytes as hexadecimal digits.", [])

    def configure(self, parameters: list[tuple[str, str]]) -> None:
        pass

    def decode(self, part, data: BytesColumn) -> list:
        texts = []
        start = 0
        for end in data.ends:
            texts.append(Ok(json.dumps(data.data[start:end].hex())))
            start = end
        return texts

    def encode(self, part, texts: list[str]) -> list:
        def one(text: str):
            try:
                return Ok(bytes.fromhex(json.loads(text)))
            except ValueError as error:
                return Err(str(error))

        return [one(text) for text in texts]
