"""Options that mean the same in every source, and how a source's options are validated."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from cdc.defaults import MAX_SNAPSHOT_WORKERS

# Unknown keys are errors, and no error shows a value: a `url` holds a password.
STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
# Often enough that a dead connection is noticed within half a minute and that the lag shown for an idle
# database is honest, rare enough to cost nothing.
DEFAULT_HEARTBEAT = timedelta(seconds=10)

# What becomes of values that Arrow cannot hold. A bare `null` is YAML's null, and means the policy of that
# name here.
Unrepresentable = Annotated[
    Literal["error", "null", "string"],
    BeforeValidator(lambda value: "null" if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "string", "enum": ["error", "null", "string"]}, {"type": "null"}]}),
]
SnapshotWorkers = Annotated[
    int,
    Field(ge=1, le=MAX_SNAPSHOT_WORKERS, description="The number of connections that copy at the same time."),
]
