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
        description=(
            "How changes are stored. mirror: the current rows; append: every change; history: "
            "every version of each row."
        ),
    )
    deletes: Deletes = Field(
        default="hard",
        description=(
            "What a mirror does with deleted rows. hard: delete them; soft: keep them, marked `_cdc_deleted`."
        ),
    )
    schema_changes: SchemaChanges = Field(
        default="evolve",
        description=(
            "How changes of a table's columns are applied. evolve: alter the table; freeze: "
            "ignore new columns; stop: refuse."
        ),
    )
    identifiers: Identifiers = Field(
        default="suffix",
        description=(
            "What to do if the target treats two names as equal. suffix: give one a suffix; "
            "fail: set its table aside."
        ),
    )

    @model_validator(mode="after")
    def _soft_only_in_mirrors(self) -> Self:
        if self.deletes == "soft" and self.mode != "mirror":
            raise ValueError(f"deletes: soft is for mode mirror; mode {self.mode} keeps deletes anyway")
        return self
