"""Options of a Parquet lake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from cdc.errors import ConfigError
from cdc.lake.layout import Partition
from cdc.lake.parquet import DEFAULT_COMPRESSION_LEVEL, DEFAULT_FILE_BYTES, DEFAULT_ROW_GROUP_ROWS
from cdc.lake.s3_options import OTHER_SCHEMES, SCHEME, S3Options
from cdc.units import Size


class ParquetOptions(S3Options):
    """Options of `type: parquet`."""

    url: str = Field(description="The place of the lake: a path, a file:// URL, or s3://BUCKET/PREFIX.")
    mode: Literal["append"] = Field(
        default="append", description="How changes are stored. append: every change."
    )
    partition: Partition = Field(
        default=Partition.DAY, description="The folders of a table, by commit time: none, month, day or hour."
    )
    compression: Literal["zstd", "snappy", "none"] = Field(
        default="zstd", description="The codec of the column data."
    )
    compression_level: int = Field(
        default=DEFAULT_COMPRESSION_LEVEL, ge=1, le=22, description="The level of zstd."
    )
    row_group_rows: int = Field(
        default=DEFAULT_ROW_GROUP_ROWS,
        ge=1024,
        le=1_048_576,
        description="The number of rows at which a row group is written.",
    )
    file_bytes: Size = Field(
        default=DEFAULT_FILE_BYTES,
        ge=1024**2,
        description="The size at which a file of one delivery is ended and the next one begun.",
    )

    def places(self) -> Mapping[str, str]:
        """See `OwnsPlaces.places`."""
        return {"url": self.url.rstrip("/") if self.is_bucket else self.url}

    @field_validator("url")
    @classmethod
    def _is_a_place(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == SCHEME:
            return url
        if parts.scheme in OTHER_SCHEMES:
            remedy = f"Write {SCHEME}://{parts.netloc}{parts.path}"
            raise ConfigError(
                f"{parts.scheme}:// is another tool's form of the URL", where="url", remedy=remedy
            )
        remedy = "Use a local path, a file:// URL, or s3://BUCKET/PREFIX."
        if parts.scheme not in {"", "file"} or (parts.scheme and parts.netloc not in {"", "localhost"}):
            message = "a lake must be a folder of this machine, or in a bucket"
            raise ConfigError(message, where="url", remedy=remedy)
        if not parts.path:
            raise ConfigError("the lake's path is empty", where="url", remedy=remedy)
        return url

    @property
    def root(self) -> Path:
        """The lake's folder, of a lake on this machine."""
        is_url = self.url.startswith("file:")
        return Path(unquote(urlsplit(self.url).path) if is_url else self.url).expanduser().absolute()
