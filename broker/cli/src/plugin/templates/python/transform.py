"""weir-world: transform

Keeps the records whose values have a word in them: @NAME@(word=".."). Change it into what you
need. There is no clock, no randomness, no file and no network: the same batch must always give
the same answer.
"""

import wit_world
from componentize_py_types import Err
from wit_world.imports.description import Description, Parameter
from wit_world.imports.records import Batch, Output

word: bytes = b""


class WitWorld(wit_world.WitWorld):
    """The world `transform`."""

    def describe(self) -> Description:
        parameter = Parameter("word", "The word.", True, None)
        summary = "Keeps records that have a word in them."
        return Description("@NAME@", "0.1.0", summary, [parameter])

    def configure(self, parameters: list[tuple[str, str]]) -> None:
        global word
        word = dict(parameters).get("word", "").encode()
        if not word:
            raise Err("the parameter 'word' is empty")

    def transform(self, batch: Batch) -> Output:
        values = batch.values
        rows: list[int] = []
        start = 0
        for row, end in enumerate(values.ends):
            if word in values.data[start:end]:
                rows.append(row)
            start = end
        # What is not given stays as it is; columns that are given have one entry per row that
        # stays.
        return Output(rows, None, None, None, None, None, [])
