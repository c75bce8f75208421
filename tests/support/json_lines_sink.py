"""A sink of JSON Lines files: what it takes to write a file sink on `cdc.lake`. A line a change, no types."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from cdc.lake.layout import Partition
from cdc.lake.sink import LakeSink
from cdc.lake.store import LocalStore
from cdc.model import Envelope
from cdc.spi import SinkContext


class JsonLinesOptions(BaseModel):
    """Options of the sink."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    partition: Partition = Partition.DAY


class JsonLinesEncoder:
    """An `Encoder`."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, group: pa.Table) -> None:
        for batch in group.to_batches(max_chunksize=1024):
            self._file.write(b"".join(orjson.dumps(row, default=str) + b"\n" for row in batch.to_pylist()))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """There is no place for metadata."""

    def abandon(self) -> None:
        """Nothing is buffered."""


@dataclass(frozen=True)
class JsonLinesFormat:
    """A `FileFormat`."""

    name: str = "JSON Lines"
    suffix: str = "jsonl"
    row_group_rows: int = 10_000
    file_bytes: int = 64 * 1024**2

    def check(self, schema: pa.Schema) -> None:
        """Every value has a text."""

    def needs_own_file(self, batch: pa.RecordBatch) -> bool:
        return False

    def encoder(self, file: Any, schema: pa.Schema, sample: pa.Table) -> JsonLinesEncoder:
        return JsonLinesEncoder(file)

    def cut(self, source: pa.NativeFile, file: Any, offset: int) -> tuple[int, int]:
        rows, last = 0, -1
        for line in io.BufferedReader(source):
            seq = orjson.loads(line)[Envelope.SEQ]
            if seq >= offset:
                break
            file.write(line)
            rows, last = rows + 1, seq
        return rows, last


class JsonLinesSink(LakeSink):
    """One (source, folder) pair."""

    Options: ClassVar[type[BaseModel]] = JsonLinesOptions

    def __init__(self, options: JsonLinesOptions, context: SinkContext) -> None:
        super().__init__(
            LocalStore(options.path),
            JsonLinesFormat(),
            context,
            docs="docs/sinks/parquet.md",
            partition=options.partition,
        )
