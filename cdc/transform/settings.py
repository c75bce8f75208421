"""One entry of `transforms` in the configuration. Its table patterns and its `where` are parsed when the
file is loaded, so that what is wrong is named with file and key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from cdc.kit.selection import TableSelection
from cdc.transform.routing import Route

TruncateUnit = Literal["year", "month", "day", "hour"]
MaskName = Literal["hash", "redact", "drop", "tokenise"]

_MASKS = "hash, redact, drop, tokenise, {keep_last: 4}, {truncate: 3} or {truncate: month}"
_UNITS = ("year", "month", "day", "hour")
_NOTHING = re.compile(r"(?!)")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeepLast(_Section):
    """Replace all but the last characters by `***`."""

    keep_last: int = Field(
        ge=1, description="The number of characters that stay. A value that is not longer loses all of them."
    )


class TruncateMask(_Section):
    """Keep the beginning: of a text the first characters, of a date or timestamp all down to a unit."""

    truncate: int | TruncateUnit = Field(
        description="The number of characters to keep, or year, month, day or hour."
    )


def _known_mask(value: Any) -> Any:
    if isinstance(value, str) and value in ("hash", "redact", "drop", "tokenise"):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        name, argument = next(iter(value.items()))
        is_count = isinstance(argument, int) and not isinstance(argument, bool) and argument >= 1
        if name in ("keep_last", "truncate") and (is_count or (name == "truncate" and argument in _UNITS)):
            return value
    if isinstance(value, (KeepLast, TruncateMask)):
        return value
    message = f"must be one of {_MASKS}"
    raise ValueError(message)


Mask = Annotated[MaskName | KeepLast | TruncateMask, BeforeValidator(_known_mask)]


class ColumnSelection(_Section):
    """Which columns are captured: those of `include`, or all but those of `exclude`."""

    include: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None,
        description=(
            "The columns to capture. They must include the key. Columns that are added later "
            "are not captured."
        ),
    )
    exclude: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="The columns to leave out."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.include is None) == (self.exclude is None):
            message = "needs either include or exclude"
            raise ValueError(message)
        return self


class TransformSettings(_Section):
    """Entry of `transforms`: changes to the rows of some tables before they are stored."""

    table: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description=(
            "The tables, by their names in the source: `schema.table`, a glob, or a list of "
            "both; `!` excludes."
        )
    )
    where: str | None = Field(
        None, description="An SQL condition. Only rows for which it is true are captured."
    )
    where_fixed: bool = Field(
        default=False,
        description=("Whether the columns in `where` never change in a row. Old values are then not needed."),
    )
    python: str | None = Field(
        None,
        pattern=r"^[\w.]+:[\w.]+$",
        description=(
            "A function, `package.module:name`, that receives an Arrow record batch and returns one."
        ),
    )
    columns: ColumnSelection | None = Field(None, description="The columns to capture.")
    mask: dict[str, Mask] = Field(
        default_factory=dict,
        description=(
            "The mask of each column: hash, redact, drop, tokenise, {keep_last: n} or {truncate: n or unit}."
        ),
    )
    rename: dict[str, str] = Field(default_factory=dict, description="The new names of columns, by old name.")
    route: str | None = Field(
        None,
        description=(
            "The name of the tables in sinks: `schema.table`, with {schema} and {table} for "
            "the source's names."
        ),
    )

    @property
    def patterns(self) -> Sequence[str]:
        return (self.table,) if isinstance(self.table, str) else self.table

    @property
    def selection(self) -> TableSelection:
        """Names match whatever their case: a mask must not miss a table for a capital letter."""
        return TableSelection.parse(self.patterns, _NOTHING).ignoring_case()

    @property
    def needs_key(self) -> bool:
        """Whether values are kept from the disk, for which a key is needed."""
        return bool(self.mask) or self.columns is not None

    @field_validator("table")
    @classmethod
    def _is_selection(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        TableSelection.parse((value,) if isinstance(value, str) else value, _NOTHING)
        return value

    @field_validator("where")
    @classmethod
    def _is_condition(cls, value: str | None) -> str | None:
        if value is not None:
            # Parsing imports a SQL parser, which only those who filter wait for.
            from cdc.transform.expression import Expression  # noqa: PLC0415

            Expression.parse(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.where_fixed and self.where is None:
            message = "where_fixed says something about where, which is missing"
            raise ValueError(message)
        if self.route is not None:
            Route.parse(self.route, self.patterns)
        _refuse_duplicates("mask", self.mask)
        _refuse_duplicates("rename", self.rename)
        return self


class TransformList(BaseModel):
    """The key `transforms` of a source."""

    model_config = ConfigDict(frozen=True)

    transforms: tuple[TransformSettings, ...] = Field(
        (),
        description=("Filters, masks and new names, applied before anything is stored. Later entries win."),
    )


def _refuse_duplicates(key: str, names: Mapping[str, object]) -> None:
    if len({name.lower() for name in names}) < len(names):
        message = f"{key} names a column twice (case does not count)"
        raise ValueError(message)
