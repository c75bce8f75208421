"""Decides for every column its Arrow type and how it is decoded: once, the same for snapshot and stream.

Lossless first; what Arrow can't hold follows the policy `unrepresentable`. docs/types/mysql.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from cdc.model import TableSchema
from cdc.model.schema import Identity
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.table_map import TableMap


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One column's decoding, decided.

    `kind` is one of:
      int8 int16 int24 int32 int64 (see `unsigned`)    float32 float64
      decimal (`precision`, `scale`)                   year
      bool (bit(1)), bit (uint64; `size` bytes, BE)    date
      datetime, timestamp, time (`fsp`)                datetime_old, timestamp_old, time_old (pre-5.6, fsp 0)
      enum (`size` 1|2 bytes, `labels`)                set (`size` bytes, `labels`)
      string (char, varchar, text: `charset`)          bytes (varbinary, blob)
      binary (fixed: right-pad with zeros to `size`)   uuid (16 bytes, padded; pa.uuid())
      inet4, inet6 (4/16 bytes, padded; rendered)      json (MySQL's binary JSON)
      geometry (u32 SRID + WKB)                        vector (float32s, little endian)
    `prefix_bytes` is the width of the length in front of a value in the binlog: 1 to 4 for string, bytes,
    binary, uuid, inet4, inet6, json, geometry, vector; 0 for the others. `type_code` and `meta` are those of
    TableMap (made from the definition where no event is given). `size` of string and bytes is the declared
    number of bytes (0: unlimited). `charset` is 'utf8', 'ascii', 'latin1', 'binary', or the server's name of
    a set that `charsets.decode_text` reads; '' for types without characters. `arrow` of kind string is
    pa.json_() for MariaDB's JSON. `compressed`: MariaDB's COMPRESSED column (kinds string and bytes).
    `as_text`: kinds date, datetime, timestamp under policy `string`: `arrow` is string, the value as the
    server renders it (timestamp in UTC).
    """

    name: str
    arrow: pa.DataType
    source_type: str
    kind: str
    type_code: int
    meta: int
    unsigned: bool = False
    charset: str = ""
    labels: tuple[str, ...] = ()
    precision: int = 0
    scale: int = 0
    fsp: int = 0
    size: int = 0
    prefix_bytes: int = 0
    compressed: bool = False
    as_text: bool = False


def plan_table(
    definition: TableDefinition,
    table_map: TableMap | None,
    flavour: str,
    unrepresentable: str,
) -> tuple[ColumnPlan, ...]:
    """Plan every column, in the order of the row images; `table_map` None: for a snapshot.

    `table_map` must fit the definition (`fits`). `unrepresentable` is the policy.

    Raises:
        UnsupportedSchema: a column's type or character set can't be delivered, or its name is one of ours.
    """
    raise NotImplementedError


def schema_of(
    definition: TableDefinition, plans: Sequence[ColumnPlan], identity: Identity = "full"
) -> TableSchema:
    """The engine's schema of the planned table."""
    raise NotImplementedError
