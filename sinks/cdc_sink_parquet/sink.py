"""The Parquet sink: a lake of Parquet files on a local disk or in a bucket."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from cdc.lake.parquet import ParquetFormat
from cdc.lake.s3 import S3Store
from cdc.lake.sink import LakeSink
from cdc.lake.store import LocalStore, ObjectStore
from cdc.spi import SinkContext
from cdc_sink_parquet.options import ParquetOptions
from cdc_sink_parquet.starter import URL_SCHEMES, URL_SHAPE, entry, from_url

DOCS = "docs/sinks/parquet.md"


class ParquetSink(LakeSink):
    """One (source, lake) pair."""

    Options: ClassVar[type[BaseModel]] = ParquetOptions
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    starter = staticmethod(entry)
    from_url = staticmethod(from_url)

    def __init__(
        self, options: ParquetOptions, context: SinkContext, store: ObjectStore | None = None
    ) -> None:
        """`store` is by default the folder or bucket that the options name."""
        form = ParquetFormat(
            options.compression, options.compression_level, options.row_group_rows, options.file_bytes
        )
        store = store or (S3Store(options.place) if options.is_bucket else LocalStore(options.root))
        super().__init__(store, form, context, docs=DOCS, partition=options.partition)
