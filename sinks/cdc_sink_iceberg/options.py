"""Options of a `type: iceberg` sink."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cdc.units import Duration, Size

DEFAULT_FILE_BYTES = 128 * 1024**2
DEFAULT_KEEP = timedelta(days=1)
SQLITE = "sqlite:///"
_PARTITION = re.compile(
    r"(?:(?P<kind>year|month|day|hour|bucket|truncate)\((?:(?P<size>\d+), *)?(?P<of>.+)\)|(?P<same>[^()]+))"
)
_SIZED = {"bucket", "truncate"}


class PartitionField(NamedTuple):
    """One field of a partition: `identity`, `day`, `bucket` … of a column; `size` of bucket and truncate."""

    transform: str
    column: str
    size: int


class IcebergOptions(BaseModel):
    """The options of an Iceberg sink."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    catalog: Literal["sql", "rest", "glue"] = Field(
        default="sql",
        description="The kind of catalog. sql: a database (SQLite, Postgres, MySQL); rest: a REST catalog; "
        "glue: AWS Glue.",
    )
    catalog_name: str = Field(
        default="default",
        min_length=1,
        description="The name of the catalog. A SQL catalog has it beside each table: readers need the same.",
    )
    uri: SecretStr | None = Field(
        default=None,
        description="The address of the catalog: a URL of SQLAlchemy (sql), or of the server (rest). Default "
        "of sql: a SQLite file in the warehouse's folder.",
    )
    warehouse: str | None = Field(
        default=None,
        description="The place of the tables' files: a path, a file:// URL, or s3://BUCKET/PREFIX. For a "
        "REST catalog, the name of one of its warehouses.",
    )
    properties: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="Properties of the catalog and its files, as PyIceberg names them (s3.endpoint, token).",
    )
    mode: Literal["mirror", "append"] = Field(
        default="mirror",
        description="How changes are stored. mirror: the current rows; append: every change.",
    )
    partition: tuple[str, ...] = Field(
        default=(),
        description="The partition of new tables: COLUMN, day(COLUMN), month(COLUMN) or bucket(16, COLUMN). "
        "A table without one of the columns is not partitioned by it.",
    )
    file_bytes: Size = Field(
        default=DEFAULT_FILE_BYTES,
        ge=1024**2,
        description="The size of the files that compaction writes.",
    )
    keep: Duration = Field(
        default=DEFAULT_KEEP,
        description="How long old snapshots of a table stay readable.",
    )

    @field_validator("partition")
    @classmethod
    def _parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parse_partition(text)
        return value

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.catalog == "sql" and self.warehouse is None:
            raise ValueError("a SQL catalog needs warehouse: the place of the tables' files")
        if self.catalog == "sql" and self.uri is None and self.folder is None:
            raise ValueError("a SQL catalog with a warehouse in a bucket needs uri: the URL of its database")
        if self.catalog == "rest" and self.uri is None:
            raise ValueError("a REST catalog needs uri: the URL of its server")
        return self

    @property
    def folder(self) -> Path | None:
        """The warehouse's folder, if it is one of this machine."""
        parts = urlsplit(self.warehouse or "")
        if self.catalog == "rest" or not self.warehouse or parts.scheme not in {"", "file"}:
            return None
        return Path(unquote(parts.path) if parts.scheme else self.warehouse).expanduser().absolute()

    @property
    def database(self) -> str | None:
        """The URL of a SQL catalog's database."""
        if self.uri is not None:
            return self.uri.get_secret_value()
        return f"{SQLITE}{self.folder}/catalog.db" if self.folder is not None else None

    @property
    def sqlite_file(self) -> Path | None:
        """The file of a SQL catalog in SQLite."""
        url = self.database if self.catalog == "sql" else None
        return Path(url.removeprefix(SQLITE)).absolute() if url and url.startswith(SQLITE) else None

    @property
    def partition_fields(self) -> tuple[PartitionField, ...]:
        """The fields of `partition`."""
        return tuple(map(parse_partition, self.partition))

    def places(self) -> Mapping[str, str]:
        """See `OwnsPlaces.places`."""
        if self.catalog == "sql":
            return {"warehouse": str(self.warehouse)}
        return {"uri": f"{self.catalog}: {self.uri and self.uri.get_secret_value()} {self.warehouse}"}


def parse_partition(text: str) -> PartitionField:
    """Return the field that `day(COLUMN)`, `bucket(16, COLUMN)` or `COLUMN` names; ValueError otherwise."""
    found = _PARTITION.fullmatch(text.strip())
    kind = found and (found["kind"] or "identity")
    if not found or (kind in _SIZED) != bool(found["size"]):
        raise ValueError(f"{text!r} is no partition; write COLUMN, day(COLUMN) or bucket(16, COLUMN)")
    return PartitionField(str(kind), found["of"] or found["same"], int(found["size"] or 0))
