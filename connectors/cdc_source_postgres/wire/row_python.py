"""The values of one row as they lie in a message, in pure Python: the twin of `row.pyx`."""

from __future__ import annotations

from collections.abc import Container, Sequence

from cdc.errors import DecodeError
from cdc.native.cursor_python import Reader
from cdc_source_postgres.wire.fields_python import Field

_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"


class Row:
    """`column` is the one that is being decoded, for errors; -1 for none."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.column = -1
        self.values: list[tuple[int, bytes]] = []

    @property
    def has_unchanged(self) -> bool:
        return any(kind == _UNCHANGED for kind, _ in self.values)

    def split(self, reader: Reader) -> None:
        """The next tuple of pgoutput."""
        count = reader.u16()
        if count != self.width:
            message = f"a row of {count} columns where {self.width} are declared"
            raise DecodeError(message)
        self.values = []
        for _ in range(count):
            kind = reader.u8()
            if kind in {_TEXT, _BINARY}:
                self.values.append((kind, reader.take(reader.i32())))
            elif kind in {_NULL, _UNCHANGED}:
                self.values.append((kind, b""))
            else:
                message = f"an unknown kind of value ({kind})"
                raise DecodeError(message)

    def split_copy(self, reader: Reader, kinds: bytes) -> None:
        """The values of the next row of a COPY, after their number; all but nulls are of these kinds."""
        self.values = []
        for kind in kinds:
            size = reader.i32()
            self.values.append((_NULL, b"") if size == -1 else (kind, reader.take(size)))

    def differs(self, old: Row, key: Sequence[int]) -> bool:
        """Whether a column of the key that is here has another value in `old`."""
        return any(self.values[i][0] != _UNCHANGED and self.values[i] != old.values[i] for i in key)

    def fill(self, old: Row, key: Container[int] | None) -> None:
        """Take what is unchanged from `old`, which has no more than the key; None: it has all."""
        for i, (kind, _) in enumerate(self.values):
            if kind == _UNCHANGED and (key is None or i in key):
                self.values[i] = old.values[i]

    def forget_nulls(self, key: Container[int]) -> None:
        """Outside of the key, null means "not sent"."""
        for i, (kind, _) in enumerate(self.values):
            if kind == _NULL and i not in key:
                self.values[i] = (_UNCHANGED, b"")

    def unchanged(self) -> tuple[int, ...]:
        """The columns that are."""
        return tuple(i for i, (kind, _) in enumerate(self.values) if kind == _UNCHANGED)

    def append(self, columns: Sequence[Field]) -> None:
        """Decode the values into their columns."""
        for i, (column, (kind, data)) in enumerate(zip(columns, self.values, strict=True)):
            self.column = i
            if kind == _BINARY:
                column.binary(data)
            elif kind == _TEXT:
                column.text(data)
            else:
                column.null()
        self.column = -1


def append_nulls(columns: Sequence[Field]) -> None:
    """A row that has no values."""
    for column in columns:
        column.null()
