"""How far a copy of a table is, told to sinks between the rows that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from cdc.model.moments import from_microseconds, to_microseconds


class CopyStep(StrEnum):
    """What a mark says of its table from here on.

    PENDING: a copy is due, and no further change of the table arrives before it begins. BEGIN: all rows and
    changes that follow belong to a copy from nothing; an earlier one that did not finish is void. FINISHED:
    the rows and changes since BEGIN are the table as of here. CANCELLED: the copy that was due or under way
    is not made (the table was dropped at the source), and what arrived since BEGIN is void.
    """

    PENDING = "pending"
    BEGIN = "begin"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CopyMark:
    """One step of a copy; `at` is the wall clock then.

    A mark takes an offset of its own, `seq`: an ordinal before the log, an offset after it.
    """

    step: CopyStep
    at: datetime
    seq: int = 0

    def shifted(self, base: int) -> CopyMark:
        return replace(self, seq=self.seq + base)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step.value, "at": to_microseconds(self.at), "seq": self.seq}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CopyMark:
        return cls(CopyStep(value["step"]), from_microseconds(value["at"]), value["seq"])
