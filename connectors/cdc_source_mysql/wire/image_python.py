"""The image of one row as a rows event has it, in pure Python: the twin of `image.pyx`."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor, Reader
from cdc_source_mysql.schema.type_plan import LIVE_ROW_ENDS, ColumnPlan
from cdc_source_mysql.wire.values_python import Field

# Diffs of a JSON column follow a length of four bytes, whatever the column's own.
_DIFFS_PREFIX = 4


class ValueKind(Enum):
    NULL = auto()
    PRESENT = auto()
    ABSENT = auto()
    DIFFS = auto()


@dataclass(frozen=True, slots=True)
class Value:
    """`whole` has the length prefix, `content` does not."""

    kind: ValueKind
    whole: bytes = b""
    content: bytes = b""


_NULL = Value(ValueKind.NULL)
_ABSENT = Value(ValueKind.ABSENT)


def _is_set(bits: bytes, index: int) -> bool:
    return bool(bits[index >> 3] >> (index & 7) & 1)


class Image:
    """`fields` say where values end. `column` is the current one, for errors; -1 for none."""

    def __init__(self, plans: Sequence[ColumnPlan], fields: list[Field], omitted: Container[int]) -> None:
        self.plans = plans
        self.fields = fields
        self.width = len(fields)
        self.omitted = omitted
        self.json_columns = [i for i, plan in enumerate(plans) if plan.kind == "json"]
        self.present: list[bool] = []
        self.values: list[Value] = []
        self.column = -1

    def read_present(self, reader: Reader) -> None:
        """The bitmap of the columns that an event's images have; bits after the last column mean nothing."""
        bits = reader.take((self.width + 7) >> 3)
        self.present = [_is_set(bits, i) for i in range(self.width)]

    def lacking(self) -> list[int]:
        """The columns that the event's images don't have."""
        return [i for i, is_there in enumerate(self.present) if not is_there]

    def is_whole(self) -> bool:
        """Whether they have every column that is delivered."""
        return all(is_there or i in self.omitted for i, is_there in enumerate(self.present))

    def identifies(self, key: Sequence[int]) -> bool:
        """Whether they say which row they are of."""
        return self.is_whole() or (bool(key) and all(self.present[i] for i in key))

    def read_diffs(self, reader: Reader) -> bytes:
        """The bitmap of the JSON columns that have diffs."""
        return reader.take((len(self.json_columns) + 7) >> 3)

    def read(self, reader: Reader, diffs: bytes | None) -> None:
        """Split the next image; `diffs` is the bitmap of the JSON columns that have diffs, None: none has."""
        nulls = reader.take((sum(self.present) + 7) >> 3)
        self.values = []
        bit = 0
        for i in range(self.width):
            if not self.present[i]:
                self.values.append(_NULL if i in self.omitted else _ABSENT)
                continue
            is_json = diffs is not None and i in self.json_columns
            has_diffs = is_json and _is_set(diffs or b"", self.json_columns.index(i))
            value = _NULL if _is_set(nulls, bit) else self._read_value(i, reader, has_diffs=has_diffs)
            self.values.append(_NULL if i in self.omitted else value)
            bit += 1
        self.column = -1

    def _read_value(self, column: int, reader: Reader, *, has_diffs: bool) -> Value:
        self.column = column
        if has_diffs:
            return Value(ValueKind.DIFFS, b"", reader.take(reader.little(_DIFFS_PREFIX)))
        field = self.fields[column]
        if field.size:
            data = reader.take(field.size)
            return Value(ValueKind.PRESENT, data, data)
        prefix = reader.take(self.plans[column].prefix_bytes)
        content = reader.take(int.from_bytes(prefix, "little"))
        return Value(ValueKind.PRESENT, prefix + content, content)

    def is_history(self, row_end: int | None) -> bool:
        """Whether the row's end, in a system-versioned table (None: it isn't one), has come."""
        if row_end is None:
            return False
        value = self.values[row_end]
        return value.kind is ValueKind.PRESENT and value.content not in LIVE_ROW_ENDS

    def differs(self, old: Image, key: Sequence[int]) -> bool:
        """Whether a column of the key that is here has another value in `old`."""
        return any(
            self.values[i].kind is not ValueKind.ABSENT
            and (
                old.values[i].kind is not self.values[i].kind
                or old.values[i].content != self.values[i].content
            )
            for i in key
        )

    @property
    def has_absent(self) -> bool:
        return _ABSENT in self.values

    def lacks_documents(self, old: Image) -> bool:
        """Whether there are diffs to documents that `old` doesn't have."""
        return any(
            b.kind is ValueKind.DIFFS and a.kind is not ValueKind.PRESENT
            for a, b in zip(old.values, self.values, strict=True)
        )

    def fill(self, old: Image) -> None:
        """Take what is lacking from `old`."""
        self.values = [
            b if b.kind is not ValueKind.ABSENT else a for a, b in zip(old.values, self.values, strict=True)
        ]

    def absent(self) -> tuple[int, ...]:
        """The columns that have no value here."""
        return tuple(i for i, value in enumerate(self.values) if value.kind is ValueKind.ABSENT)

    def append(self, columns: Sequence[Field], old: Image | None) -> None:
        """Decode the values into their columns; JSON columns may have diffs to the old image."""
        for i, (field, value) in enumerate(zip(columns, self.values, strict=True)):
            self.column = i
            if value.kind is ValueKind.PRESENT:
                cursor = BigEndianCursor(value.whole)
                field.value(cursor)
                cursor.finish()
            elif value.kind is ValueKind.DIFFS:
                if old is None or old.values[i].kind is not ValueKind.PRESENT:
                    message = "an update of a document in parts without the document"
                    raise DecodeError(message)
                field.partial(old.values[i].content, value.content)
            else:
                field.null()
        self.column = -1


def append_nulls(columns: Sequence[Field]) -> None:
    """A row that has no values."""
    for column in columns:
        column.null()
