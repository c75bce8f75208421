"""The rows of one table gathered in pure Python: the twin of `table.pyx`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.cursor_python import Cursor
from cdc.native.gathered import Gathered, TableShape
from cdc.native.gathering import TableRows
from cdc_source_mysql.wire.defaults import with_defaults
from cdc_source_mysql.wire.target import LIVE_ROW_ENDS, Target, diffs_without_document
from cdc_source_mysql.wire.values_python import Field, make_field

# Diffs of a JSON column stand behind a length of four bytes, whatever the column's own.
_DIFFS_PREFIX = 4


class Kind(Enum):
    NULL = auto()
    PRESENT = auto()
    ABSENT = auto()
    DIFFS = auto()


@dataclass(frozen=True, slots=True)
class Value:
    """`whole` has the length prefix, `content` does not."""

    kind: Kind
    whole: bytes = b""
    content: bytes = b""


_NULL = Value(Kind.NULL)
_ABSENT = Value(Kind.ABSENT)
Image = list[Value]


@dataclass(slots=True)
class Moment:
    """Of a transaction, or what was attributed: a new number is a new code."""

    number: int = 0
    commit_at: int = 0


def is_set(bits: bytes, index: int) -> bool:
    return bool(bits[index >> 3] >> (index & 7) & 1)


def read_present(cursor: Cursor, columns: int) -> list[bool]:
    """The columns that an event's images have; the bits behind the last column mean nothing."""
    bits = cursor.take((columns + 7) >> 3)
    return [is_set(bits, i) for i in range(columns)]


class Table(TableRows):
    """The rows of one table since the last take. `column` is the one at hand, for errors; -1 for none."""

    def __init__(self, target: Target, unrepresentable: str) -> None:
        super().__init__(
            TableShape(target.handle, target.table, target.plans, target.key, "f", unrepresentable)
        )
        self.target = target
        self.is_active = True
        self.json_columns = [i for i, plan in enumerate(target.plans) if plan.kind == "json"]
        self.column = -1

    def make_fields(self) -> list[Field]:
        return [make_field(p, r) for p, r in zip(self.shape.plans, self.shape.refusals, strict=True)]

    def read_image(self, cursor: Cursor, present: Sequence[bool], diffs: bytes = b"") -> Image:
        """Split the next image; `diffs` is the bitmap of the JSON columns that have diffs."""
        nulls = cursor.take((sum(present) + 7) >> 3)
        image = []
        bit = 0
        for i in range(self.width):
            if not present[i]:
                image.append(_NULL if i in self.target.left_out else _ABSENT)
                continue
            has_diffs = i in self.json_columns and diffs and is_set(diffs, self.json_columns.index(i))
            is_null = is_set(nulls, bit)
            value = _NULL if is_null else self._read_value(i, cursor, has_diffs=bool(has_diffs))
            image.append(_NULL if i in self.target.left_out else value)
            bit += 1
        self.column = -1
        return image

    def _read_value(self, column: int, cursor: Cursor, *, has_diffs: bool) -> Value:
        self.column = column
        if has_diffs:
            size = int.from_bytes(cursor.take(_DIFFS_PREFIX), "little")
            return Value(Kind.DIFFS, b"", cursor.take(size))
        field = self.columns[column]
        if field.size:
            data = cursor.take(field.size)
            return Value(Kind.PRESENT, data, data)
        prefix = cursor.take(self.target.plans[column].prefix_bytes)
        content = cursor.take(int.from_bytes(prefix, "little"))
        return Value(Kind.PRESENT, prefix + content, content)

    def append_nulls(self) -> None:
        for field in self.columns:
            field.null()

    def is_history(self, image: Image) -> bool:
        """Whether the row's end, in a system-versioned table, has come."""
        if self.target.row_end is None:
            return False
        value = image[self.target.row_end]
        return value.kind is Kind.PRESENT and value.content not in LIVE_ROW_ENDS

    def key_changed(self, old: Image, new: Image) -> bool:
        return any(
            new[i].kind is not Kind.ABSENT
            and (old[i].kind is not new[i].kind or old[i].content != new[i].content)
            for i in self.target.key
        )

    def is_whole(self, present: Sequence[bool]) -> bool:
        """Whether an image has every column that is delivered."""
        return all(is_there or i in self.target.left_out for i, is_there in enumerate(present))

    def has_key(self, present: Sequence[bool]) -> bool:
        """Whether an old image says which row it is of."""
        return self.is_whole(present) or (bool(self.target.key) and all(present[i] for i in self.target.key))

    def append_row(self, image: Image, old: Image | None = None) -> None:
        """The values of the newest row; those that it lacks are named as unchanged. JSON columns may have
        diffs to the old image.
        """
        absent = tuple(i for i, value in enumerate(image) if value.kind is Kind.ABSENT)
        if absent:
            self.mark_unchanged(absent)
        self._append_values(self.columns, image, old)

    def append_before(self, old: Image) -> None:
        """The old image of the row that is appended next."""
        self.begin_before()
        self._append_values(self.old_columns, old, None)

    def _append_values(self, columns: list[Field], image: Image, old: Image | None) -> None:
        for i, (field, value) in enumerate(zip(columns, image, strict=True)):
            self.column = i
            if value.kind is Kind.PRESENT:
                cursor = Cursor(value.whole)
                field.value(cursor)
                cursor.finish()
            elif value.kind is Kind.DIFFS:
                if old is None or old[i].kind is not Kind.PRESENT:
                    raise diffs_without_document(self.target)
                field.partial(old[i].content, value.content)
            else:
                field.null()
        self.column = -1

    def completed(self, gathered: Gathered, columns: list[pa.Array]) -> list[pa.Array]:
        if self.unchanged is None:
            return columns
        return with_defaults(gathered, columns, self.target.defaults)


def unexpected_options(options: int) -> DecodeError:
    return DecodeError(f"an update with options {options}, which this version does not understand")
