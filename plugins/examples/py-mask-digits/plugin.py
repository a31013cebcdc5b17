"""Masks the digits of values, in Python.

Built by componentize-py; it has no clock, no randomness and no files but what the host grants,
and must give the same output for the same batch.
"""

import wit_world
from componentize_py_types import Err
from wit_world.imports import host
from wit_world.imports.description import Description, Parameter
from wit_world.imports.records import Batch, BytesColumn, Output

SUMMARY = "Masks the digits of values."
PARAMETER = "One ASCII character that stands in a digit's place."

table: bytes = b""


class WitWorld(wit_world.WitWorld):
    """The world `transform`."""

    def describe(self) -> Description:
        parameter = Parameter("with", PARAMETER, False, "*")
        return Description("py-mask-digits", "1.0.0", SUMMARY, [parameter])

    def configure(self, parameters: list[tuple[str, str]]) -> None:
        global table
        mask = "*"
        for name, text in parameters:
            if name != "with":
                raise Err(f"there is no parameter '{name}'; this plugin takes with")
            mask = text
        if len(mask) != 1 or not mask.isascii():
            raise Err("the parameter 'with' is one ASCII character")
        table = bytes.maketrans(b"0123456789", mask.encode() * 10)
        host.log(host.Level.DEBUG, f"digits become {mask}")

    def transform(self, batch: Batch) -> Output:
        values = batch.values
        masked = bytearray()
        start = 0
        # Row by row, as most plugins do; this one could do the whole column at once.
        for end in values.ends:
            masked += values.data[start:end].translate(table)
            start = end
        column = BytesColumn(values.ends, bytes(masked), values.nulls)
        return Output(None, None, None, column, None, None, [])
