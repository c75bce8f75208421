"""Names in the lake: folders of tables and partitions, files, and the daemon's own folder `_cdc`.

Names are escaped reversibly, so that every table name the source allows has exactly one folder, and none can
leave the lake, hide from readers or be taken for a pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import unquote

from cdc.errors import UnsupportedSchema
from cdc.lake.store import ObjectStore
from cdc.model import TableId, TableSchema

CONTROL_FOLDER = "_cdc"
SOURCES = f"{CONTROL_FOLDER}/sources/"
# What Hive, Spark and DuckDB read as NULL in a partition folder's name.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# An int64 has at most 19 digits; padded names sort as their numbers do.
OFFSET_DIGITS = 19
# What Linux' file systems take for one name.
NAME_BYTES = 255
# Manifests of one folder; a folder of 1,000 lists in a millisecond.
BUCKET_COMMITS = 1000


class Partition(StrEnum):
    """How a table's files are distributed over folders, by the commit time (UTC) of their rows."""

    NONE = "none"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


_PLAIN = frozenset("_-$")
_PARTITION_KEYS = {
    Partition.NONE: (),
    Partition.MONTH: ("month",),
    Partition.DAY: ("dt",),
    Partition.HOUR: ("dt", "hour"),
}
_KEY_FORMATS = {"month": "%Y-%m", "dt": "%Y-%m-%d", "hour": "%H"}


def escape(name: str) -> str:
    """Percent-encode all but letters, digits, `-`, `$` and inner `_`; `unescape` gives the name back."""
    kept = (
        c if c.isalnum() or (c in _PLAIN and not (c == "_" and i == 0)) else _percent(c)
        for i, c in enumerate(name)
    )
    return "".join(kept)


def unescape(text: str) -> str:
    """Return the name that was passed to `escape`."""
    return unquote(text, errors="surrogatepass")


def table_folder(table: TableId) -> str:
    """`public.orders`; the only plain dot separates schema and table."""
    return f"{escape(table.schema)}.{escape(table.name)}"


def check_folder_name(table: TableId) -> None:
    """Raise UnsupportedSchema if the name of the folder, or of the longest file in it, is too long."""
    length = len(f".{table_folder(table)}.json.tmp".encode("utf-8", "surrogatepass"))
    if length > NAME_BYTES:
        message = f"its name, escaped for a folder, is {length - NAME_BYTES} bytes too long"
        remedy = "Exclude the table in the source's `tables`, or rename it."
        raise UnsupportedSchema(message, where=str(table), remedy=remedy)


def table_of(folder: str) -> TableId:
    """Return the table of a folder name."""
    schema, _, name = folder.partition(".")
    return TableId(unescape(schema), unescape(name))


def partition_prefix(schema: TableSchema) -> str:
    """The prefix of `dt` and the like in a table's folders: `cdc_` where it has a column of such a name.

    Readers that understand Hive folders replace a column of the same name by the folder's value.
    """
    taken = {column.name.lower() for column in schema.columns}
    return "cdc_" if taken & set(_KEY_FORMATS) else ""


def partition_keys(partition: Partition, prefix: str) -> tuple[str, ...]:
    """Return the keys in the names of partition folders, outermost first."""
    return tuple(prefix + key for key in _PARTITION_KEYS[partition])


def partition_folder(keys: tuple[str, ...], commit_at: datetime | None) -> str:
    """`dt=2026-11-23`; empty without partitions."""
    values = []
    for key in keys:
        form = _KEY_FORMATS[key.removeprefix("cdc_")]
        values.append(f"{key}={NULL_PARTITION if commit_at is None else _format(commit_at, form)}")
    return "/".join(values)


def range_name(first: int, last: int) -> str:
    """`<first>-<last>`, padded so that names sort."""
    return f"{first:0{OFFSET_DIGITS}d}-{last:0{OFFSET_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class LakePaths:
    """The keys of one source's objects in a lake. Prefixes end with `/`."""

    store: ObjectStore
    source: str

    @property
    def tables(self) -> str:
        """One object per table, which names the source that owns it."""
        return f"{CONTROL_FOLDER}/tables/"

    @property
    def home(self) -> str:
        return f"{SOURCES}{escape(self.source)}/"

    @property
    def cursor(self) -> str:
        return self.home + "cursor.json"

    @property
    def owner(self) -> str:
        return self.home + "owner.json"

    @property
    def lock(self) -> str:
        return self.home + "lock"

    @property
    def staging(self) -> str:
        return self.home + "staging/"

    @property
    def generations(self) -> str:
        return f"{CONTROL_FOLDER}/generations/{escape(self.source)}/"

    def tables_root(self, generation: int, live: int) -> str:
        """The prefix of a generation's table folders."""
        return "" if generation == live else f"{self.generations}{generation}/"

    @property
    def commits(self) -> str:
        return f"{CONTROL_FOLDER}/commits/{escape(self.source)}/"

    def manifests(self, generation: int) -> str:
        return f"{self.commits}{generation_name(generation)}/"

    def manifest(self, generation: int, number: int, first: int, after: int) -> str:
        """The manifest of the generation's commit `number`, which holds first ≤ offset < after."""
        bucket = f"{number // BUCKET_COMMITS:06d}"
        return f"{self.manifests(generation)}{bucket}/{range_name(first, after)}.json"


def generation_name(generation: int) -> str:
    """The name of a generation's manifests."""
    return f"{generation:04d}"


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _format(moment: datetime, form: str) -> str:
    # strftime does not pad years below 1000.
    moment = moment.astimezone(UTC)
    return moment.strftime(form.replace("%Y", f"{moment.year:04d}"))
