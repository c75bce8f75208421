"""Options of every sink into SQL tables."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode = Literal["mirror", "append", "history"]
Deletes = Literal["hard", "soft"]
SchemaChanges = Literal["evolve", "freeze", "stop"]
Identifiers = Literal["suffix", "fail"]


class TableOptions(BaseModel):
    """How tables are stored; a target's options add the location."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(
        default="mirror",
        description="mirror: the source's rows; append: every change; history: every version of each row.",
    )
    deletes: Deletes = Field(
        default="hard",
        description="hard: delete the rows; soft: keep them, marked `_cdc_deleted` (mirror only).",
    )
    schema_changes: SchemaChanges = Field(
        default="evolve",
        description="evolve: alter the tables; freeze: leave them, ignore new columns; stop: refuse.",
    )
    identifiers: Identifiers = Field(
        default="suffix",
        description=(
            "If the target treats two names as equal: suffix: give one a suffix; fail: set its table aside."
        ),
    )

    @model_validator(mode="after")
    def _soft_only_in_mirrors(self) -> Self:
        if self.deletes == "soft" and self.mode != "mirror":
            raise ValueError(f"deletes: soft is for mode mirror; mode {self.mode} keeps deletes anyway")
        return self
