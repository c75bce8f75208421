"""Decoding of pgoutput and COPY BINARY into Arrow: the contract, and the choice of its implementation.

Both implementations give equal batches for equal input, or both raise (DecodeError, UnrepresentableValue).
After an error a decoder is good for nothing more. No error carries a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from cdc.native import implementation
from cdc_source_postgres.schema.type_plan import ColumnPlan
from cdc_source_postgres.wire.codes import ENDED, FULL, KEEPALIVE, MESSAGE, PART, WOULD_BLOCK

__all__ = [
    "ENDED",
    "FULL",
    "KEEPALIVE",
    "MESSAGE",
    "PART",
    "WOULD_BLOCK",
    "Copy",
    "CopyData",
    "CopyDecoder",
    "Frames",
    "Pgoutput",
    "PgoutputDecoder",
]


class CopyData(Protocol):
    """The CopyData frames that a connection has received, for one decoder of the same implementation."""

    def __init__(self, pgconn: Any) -> None:
        """`pgconn` is a nonblocking PGconn, or whatever has its `get_copy_data`."""


class Pgoutput(Protocol):
    """Rows of a replication stream (proto_version 1, text or binary), gathered by table.

    `changes` is the number of ordinals used since the last take, `byte_count` about what the rows gathered
    take, `transactions` the Commits seen since the last take. `end_lsn` and `commit_ts_us` (since 1970) are
    of the last Commit; `received_lsn` is the highest LSN that a frame or a Commit named. `xid` and
    `commit_lsn` are of the last Begin.
    """

    changes: int
    byte_count: int
    transactions: int
    in_transaction: bool
    end_lsn: int
    commit_ts_us: int | None
    received_lsn: int

    @property
    def xid(self) -> int: ...

    @property
    def commit_lsn(self) -> int: ...

    def __init__(self, unrepresentable: str, count: Callable[[str, int], None]) -> None: ...

    def set_relation(
        self,
        relid: int,
        schema_name: str,
        table_name: str,
        plans: Sequence[ColumnPlan] | None,
        key: Sequence[int],
        identity: str,
    ) -> None:
        """Decode this relation's rows by these plans from now on; None leaves them out.

        `key` are the indices of its key columns, `identity` its replica identity (d, i, f, n). Rows gathered
        under former plans come out of `take` on their own, before.
        """
        ...

    def knows(self, relid: int) -> bool:
        """Whether `set_relation` was called for it."""
        ...

    def drain(self, frames: Any, soft_bytes: int, hard_bytes: int) -> tuple[int, bytes | None]:
        """Consume `frames` (CopyData) until one of the codes applies.

        WOULD_BLOCK and ENDED: no frame now, and none ever. MESSAGE: a pgoutput message that is not a row,
        Begin or Commit (payload: the message). KEEPALIVE (payload: the whole frame). FULL: at least
        `soft_bytes` gathered, and a transaction has just ended. PART: at least `hard_bytes` gathered inside
        of one.
        """
        ...

    def feed(self, payload: bytes | memoryview) -> int:
        """Consume one pgoutput message; 0, or its tag when it is for the caller and nothing was consumed."""
        ...

    def truncate(self, relids: Sequence[int]) -> None:
        """Append a truncate of each of these relations that isn't left out."""
        ...

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        """Everything gathered, as (relid, batch), ordered by first ordinal; ordinals start at 0 again."""
        ...


class Copy(Protocol):
    """Rows of one COPY … (format binary). Columns that are `text_only` must have been selected cast to text.

    `finished` says that the trailer came: the copy is whole.
    """

    finished: bool

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Callable[[str, int], None],
    ) -> None: ...

    def drain(self, frames: Any, limit_bytes: int) -> int:
        """Consume rows until WOULD_BLOCK, ENDED, or FULL: at least `limit_bytes` gathered."""
        ...

    def feed(self, data: bytes | memoryview) -> None:
        """Consume one CopyData: the header with the first, whole rows, the trailer."""
        ...

    def take(self) -> pa.RecordBatch | None:
        """The rows gathered, without any envelope; None when there are none."""
        ...


PgoutputDecoder: type[Pgoutput]
CopyDecoder: type[Copy]
Frames: type[CopyData]
if implementation() == "c":
    from cdc_source_postgres.wire import copy_native, frames, stream_native

    Frames = frames.Frames
    PgoutputDecoder, CopyDecoder = stream_native.PgoutputDecoder, copy_native.CopyDecoder
else:
    from cdc_source_postgres.wire import copy, frames_python, stream

    Frames = frames_python.Frames
    PgoutputDecoder, CopyDecoder = stream.PgoutputDecoder, copy.CopyDecoder
