"""The Parquet sink: a lake of Parquet files on a local disk."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from cdc.lake.parquet import ParquetFormat
from cdc.lake.sink import LakeSink
from cdc.lake.store import LocalStore
from cdc.spi import SinkContext
from cdc_sink_parquet.options import ParquetOptions

DOCS = "docs/sinks/parquet.md"


class ParquetSink(LakeSink):
    """One (source, lake) pair."""

    Options: ClassVar[type[BaseModel]] = ParquetOptions

    def __init__(self, options: ParquetOptions, context: SinkContext) -> None:
        form = ParquetFormat(
            options.compression, options.compression_level, options.row_group_rows, options.file_bytes
        )
        super().__init__(LocalStore(options.root), form, context, docs=DOCS, partition=options.partition)
