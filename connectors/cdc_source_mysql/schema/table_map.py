"""TABLE_MAP events: their bytes, bounds-checked; what they mean for a table is in `event_definitions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

from cdc.errors import DecodeError
from cdc.model import TableId
from cdc.native.cursor_python import Reader
from cdc_source_mysql.schema import column_types as types
from cdc_source_mysql.wire.events import read_lenenc

# Bytes of metadata by type; the others have none.
_ONE_BYTE = frozenset(
    {
        *(types.FLOAT, types.DOUBLE, types.BLOB, types.GEOMETRY, types.JSON, types.VECTOR),
        *(types.TIME2, types.DATETIME2, types.TIMESTAMP2, types.BLOB_COMPRESSED),
    }
)
_TWO_BYTES = frozenset(
    {
        *(types.VARCHAR, types.VAR_STRING, types.VARCHAR_COMPRESSED),
        *(types.BIT, types.NEWDECIMAL, types.STRING),
    }
)
_BIG_ENDIAN = frozenset({types.NEWDECIMAL})
_NO_BYTES = frozenset(
    {
        *(types.TINY, types.SHORT, types.INT24, types.LONG, types.LONGLONG, types.YEAR),
        *(types.DATE, types.NEWDATE, types.TIME, types.DATETIME, types.TIMESTAMP),
    }
)
_NUMERIC = frozenset(
    {
        *(types.TINY, types.SHORT, types.INT24, types.LONG, types.LONGLONG),
        *(types.NEWDECIMAL, types.FLOAT, types.DOUBLE, types.YEAR),
    }
)
_CHARACTER = frozenset({types.STRING, types.VAR_STRING, types.VARCHAR, types.BLOB})
# What counts as a character column beside those.
_ALSO_CHARACTER = {
    "mysql": frozenset({types.VECTOR}),
    "mariadb": frozenset({types.GEOMETRY, types.BLOB_COMPRESSED, types.VARCHAR_COMPRESSED}),
}
_LABELLED = frozenset({types.ENUM, types.SET})
# Bits of the length that a STRING hides in its type byte.
_LENGTH_BITS = 0x30
_MAX_COLUMNS = 4096
_ID_AND_FLAGS_BYTES = 8

# Kinds of optional metadata.
_SIGNEDNESS, _DEFAULT_CHARSET, _COLUMN_CHARSET, _NAMES, _SET_LABELS, _ENUM_LABELS = 1, 2, 3, 4, 5, 6
_GEOMETRY_TYPE, _KEY, _KEY_WITH_PREFIX, _LABEL_DEFAULT_CHARSET, _LABEL_CHARSET = 7, 8, 9, 10, 11
_VISIBILITY, _DIMENSIONS = 12, 13

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TableMap:
    """One TABLE_MAP event.

    Everything per column has one item a column. `types` are the column types with CHAR, ENUM and SET told
    apart (254, 247, 248) and `metas` their 16 bits of metadata: of 254/247/248 the length in bytes, of 246
    precision<<8 | scale, of BIT (16) bytes<<8 | bits%8, else the event's own number (little endian).
    Without the metadata in question: `unsigned`, `collation_ids` (of character columns; 0 elsewhere; enum and
    set too), `names`, `labels` (bytes in the column's character set; () elsewhere), `key` (indexes of the
    primary key's columns), `visible`, `dimensions` (of vectors; 0 elsewhere), `geometries` (0 elsewhere) are
    None.
    """

    table_id: int
    table: TableId
    flags: int
    types: tuple[int, ...]
    metas: tuple[int, ...]
    nullable: tuple[bool, ...]
    unsigned: tuple[bool, ...] | None = None
    collation_ids: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    labels: tuple[tuple[bytes, ...], ...] | None = None
    key: tuple[int, ...] | None = None
    visible: tuple[bool, ...] | None = None
    dimensions: tuple[int, ...] | None = None
    geometries: tuple[int, ...] | None = None


def parse_table_map(body: bytes | memoryview, flavour: str) -> TableMap:
    """Parse the body of a TABLE_MAP event (no 19-byte header, no checksum).

    `flavour` ('mysql' or 'mariadb') says which columns count as character columns. Unknown metadata fields
    are skipped.

    Raises:
        DecodeError: the bytes aren't a TABLE_MAP's.
    """
    cursor = Reader.of(body)
    table_id, flags = cursor.little(6), cursor.little(2)
    table = TableId(_name(cursor), _name(cursor))
    count = read_lenenc(cursor)
    if count > _MAX_COLUMNS:
        message = f"a table of {count} columns"
        raise DecodeError(message)
    codes = cursor.take(count)
    forms = _forms(codes, cursor.clamp(read_lenenc(cursor)))
    nullable = _bits(cursor.take(-(-count // 8)), count)
    fields = _fields(cursor)
    column_types = tuple(code for code, _ in forms)
    metadata = _Metadata(column_types, flavour, fields)
    return TableMap(
        table_id=table_id,
        table=table,
        flags=flags,
        types=column_types,
        metas=tuple(meta for _, meta in forms),
        nullable=nullable,
        unsigned=metadata.unsigned(),
        collation_ids=metadata.collation_ids(),
        names=metadata.names(),
        labels=metadata.labels(),
        key=metadata.key(),
        visible=metadata.visible(),
        dimensions=metadata.numbers(_DIMENSIONS, types.VECTOR),
        geometries=metadata.numbers(_GEOMETRY_TYPE, types.GEOMETRY),
    )


def named_in(body: bytes | memoryview) -> TableId:
    """The table of a TABLE_MAP event, whatever follows its name.

    Raises:
        DecodeError: there is no whole name.
    """
    cursor = Reader.of(body)
    cursor.skip(_ID_AND_FLAGS_BYTES)
    return TableId(_name(cursor), _name(cursor))


def _name(cursor: Reader) -> str:
    name = cursor.text(cursor.u8())
    if cursor.u8():
        message = "a table name without its terminating NUL"
        raise DecodeError(message)
    return name


def _forms(codes: bytes, metadata: Reader) -> list[tuple[int, int]]:
    """The type and metadata of every column."""
    forms = [_form(code, metadata) for code in codes]
    metadata.finish()
    return forms


def _form(code: int, metadata: Reader) -> tuple[int, int]:
    if code in _NO_BYTES:
        return code, 0
    if code in _ONE_BYTE:
        return code, metadata.u8()
    if code not in _TWO_BYTES:
        message = f"a column of the unknown type {code}"
        raise DecodeError(message)
    low, high = metadata.u8(), metadata.u8()
    if code == types.STRING:
        return _string_form(low, high)
    return code, (low << 8 | high) if code in _BIG_ENDIAN else (low | high << 8)


def _string_form(real_type: int, length: int) -> tuple[int, int]:
    """CHAR, BINARY, ENUM and SET: of long CHARs two bits of the length are in the type, inverted."""
    if real_type & _LENGTH_BITS != _LENGTH_BITS:
        length |= (real_type & _LENGTH_BITS ^ _LENGTH_BITS) << 4
        real_type |= _LENGTH_BITS
    if real_type not in (types.STRING, types.ENUM, types.SET, types.VAR_STRING):
        message = f"a column of the unknown type {real_type} in a string's place"
        raise DecodeError(message)
    return real_type, length


def _bits(data: bytes, count: int) -> tuple[bool, ...]:
    """The least significant bit first."""
    return tuple(bool(data[at // 8] >> at % 8 & 1) for at in range(count))


def _bits_from_the_top(field: Reader, count: int) -> list[bool]:
    data = field.take(-(-count // 8))
    field.finish()
    return [bool(data[at // 8] >> (7 - at % 8) & 1) for at in range(count)]


def _label_list(field: Reader) -> tuple[bytes, ...]:
    return tuple(field.take(read_lenenc(field)) for _ in range(read_lenenc(field)))


def _fields(cursor: Reader) -> dict[int, bytes]:
    """The optional metadata, by kind."""
    fields: dict[int, bytes] = {}
    while cursor.left:
        kind = cursor.u8()
        fields[kind] = cursor.take(read_lenenc(cursor))
    return fields


class _Metadata:
    """Reads the optional metadata of a TABLE_MAP: each result has one item a column, or is None."""

    def __init__(self, column_types: Sequence[int], flavour: str, fields: dict[int, bytes]) -> None:
        self._types = column_types
        self._flavour = flavour
        self._fields = fields

    def unsigned(self) -> tuple[bool, ...] | None:
        numeric = self._where(_NUMERIC)
        field = self._field(_SIGNEDNESS)
        if field is None:
            return None if numeric else self._spread(numeric, [], empty=False)
        return self._spread(numeric, _bits_from_the_top(field, len(numeric)), empty=False)

    def collation_ids(self) -> tuple[int, ...] | None:
        characters = self._where(_CHARACTER | _ALSO_CHARACTER[self._flavour])
        labelled = self._where(_LABELLED)
        found = self._collations(characters, _DEFAULT_CHARSET, _COLUMN_CHARSET)
        if found is None:
            return None
        of_labels = self._collations(labelled, _LABEL_DEFAULT_CHARSET, _LABEL_CHARSET) or [0] * len(labelled)
        return self._spread([*characters, *labelled], [*found, *of_labels], 0)

    def _collations(self, columns: list[int], default_kind: int, each_kind: int) -> list[int] | None:
        each = self._field(each_kind)
        if each is not None:
            found = [read_lenenc(each) for _ in columns]
            each.finish()
            return found
        default = self._field(default_kind)
        if default is None:
            return None if columns else []
        found = [read_lenenc(default)] * len(columns)
        while default.left:
            at, collation = read_lenenc(default), read_lenenc(default)
            if at >= len(found):
                message = "a character set of a column that does not exist"
                raise DecodeError(message)
            found[at] = collation
        return found

    def names(self) -> tuple[str, ...] | None:
        field = self._field(_NAMES)
        if field is None:
            return None
        found = tuple(field.text(read_lenenc(field)) for _ in self._types)
        field.finish()
        return found

    def labels(self) -> tuple[tuple[bytes, ...], ...] | None:
        """None when the event leaves out those of some column."""
        found: list[tuple[bytes, ...]] = [()] * len(self._types)
        for kind, code in ((_ENUM_LABELS, types.ENUM), (_SET_LABELS, types.SET)):
            columns = self._where({code})
            field = self._field(kind)
            if field is None:
                if columns:
                    return None
                continue
            for at in columns:
                found[at] = _label_list(field)
            field.finish()
        return tuple(found)

    def key(self) -> tuple[int, ...] | None:
        """() under full metadata without a primary key."""
        field = self._field(_KEY)
        if field is not None:
            return self._indexes(field, lambda: read_lenenc(field))
        prefixed = self._field(_KEY_WITH_PREFIX)
        if prefixed is not None:
            return self._indexes(prefixed, lambda: (read_lenenc(prefixed), read_lenenc(prefixed))[0])
        return () if _NAMES in self._fields else None

    def _indexes(self, field: Reader, read: Callable[[], int]) -> tuple[int, ...]:
        found = []
        while field.left:
            found.append(read())
        if any(at >= len(self._types) for at in found):
            message = "a key column that does not exist"
            raise DecodeError(message)
        return tuple(found)

    def visible(self) -> tuple[bool, ...] | None:
        field = self._field(_VISIBILITY)
        return None if field is None else tuple(_bits_from_the_top(field, len(self._types)))

    def numbers(self, kind: int, code: int) -> tuple[int, ...] | None:
        """One number for each column of a type."""
        columns = self._where({code})
        field = self._field(kind)
        if field is None:
            return None if columns else self._spread(columns, [], 0)
        found = [read_lenenc(field) for _ in columns]
        field.finish()
        return self._spread(columns, found, 0)

    def _field(self, kind: int) -> Reader | None:
        return Reader.of(self._fields[kind]) if kind in self._fields else None

    def _where(self, codes: AbstractSet[int]) -> list[int]:
        return [at for at, code in enumerate(self._types) if code in codes]

    def _spread(self, columns: list[int], found: Sequence[_T], empty: _T) -> tuple[_T, ...]:
        """Items of some columns, in the places of these."""
        spread = [empty] * len(self._types)
        for at, item in zip(columns, found, strict=True):
            spread[at] = item
        return tuple(spread)
