"""Decoding of the binlog and of binary result sets into Arrow: the contracts, and the choice of their
implementation.

Both implementations give equal batches for equal input, or both raise (DecodeError, PoorImage, UnknownEvent,
UnrepresentableValue). After an error a decoder is good for nothing more, but for PoorImage: `skip_rows` takes
it past the event. No error carries a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from cdc.native import implementation
from cdc_source_mysql.schema.type_plan import ColumnPlan, TablePlan
from cdc_source_mysql.wire.codes import ENDED, EVENT, FULL, NEED, PART, REFUSED, TABLE, Flavour

__all__ = [
    "ENDED",
    "EVENT",
    "FULL",
    "NEED",
    "PART",
    "REFUSED",
    "TABLE",
    "Binlog",
    "BinlogDecoder",
    "ResultDecoder",
    "Results",
    "TablePlan",
    "comes_as_text",
    "result_plans",
]

# MySQL: (uuid, tag or '', first, last); MariaDB: (domain, server, sequence), the last of each run.
GtidRun = tuple[str, str, int, int] | tuple[int, int, int]


class Binlog(Protocol):
    """The events of one connection after its dump command, rows gathered by table.

    One decoder serves one connection. Since the last `take`: `changes` is the number of ordinals used,
    `byte_count` about what the rows gathered take, `transactions` the transactions ended. `file` and `offset`
    are the end of the last event consumed (outside of a transaction a point to continue from), `end_file` and
    `end_offset` the end of the last whole transaction ('' and 0 before one). `in_transaction` holds from the
    GTID event to the event that ends the transaction.

    Of the current transaction, or else of the last one: `tx` (GTID, or file:offset), `position_text` (what
    its rows carry as `_cdc_position`), `commit_ts_us` (since 1970, None before the first), `gtid_flags` (the
    flags of its GTID event; MariaDB: with flags_extra shifted by 8), `transaction_changes` (its rows,
    rolled-back ones included).

    A transaction ends with its XID, COMMIT, XA PREPARE, or with the statement that follows a GTID event
    without BEGIN. `ROLLBACK` ends it too, and is given as an EVENT if it had rows: the caller says what is to
    happen with them. A binlog file that ends inside a transaction (a server died) ends it as ROLLBACK does:
    the ROTATE or format description behind it is an EVENT then, and `is_torn` holds. So is the
    format description of a file after another one, or where the server started: it contains the time.
    """

    @property
    def changes(self) -> int: ...

    @property
    def byte_count(self) -> int: ...

    @property
    def transactions(self) -> int: ...

    @property
    def in_transaction(self) -> bool: ...

    @property
    def is_torn(self) -> bool: ...

    @property
    def file(self) -> str: ...

    @property
    def offset(self) -> int: ...

    @property
    def end_file(self) -> str: ...

    @property
    def end_offset(self) -> int: ...

    @property
    def tx(self) -> str: ...

    @property
    def position_text(self) -> str: ...

    @property
    def commit_ts_us(self) -> int | None: ...

    @property
    def gtid_flags(self) -> int: ...

    @property
    def hides_cascades(self) -> bool:
        """Whether, since the last take, an event came without those of what foreign keys changed with it."""
        ...

    @property
    def transaction_changes(self) -> int: ...

    def __init__(
        self,
        unrepresentable: str,
        count: Callable[[str, int], None],
        flavour: Flavour,
        epoch: int = 0,
    ) -> None: ...

    def feed(self, data: bytes | memoryview) -> None:
        """Append bytes of the connection: MySQL packets as they come, cut anywhere. They are copied."""
        ...

    def next(self, soft_bytes: int, hard_bytes: int) -> tuple[int, bytes | None]:
        """Consume events until one of the codes applies.

        NEED: no whole event is left. EVENT (payload: header of 19 bytes and body, without checksum): an event
        for the caller, already counted in `offset`; if it ended its transaction, `in_transaction` is false.
        These are statements other than BEGIN and COMMIT (MariaDB's compressed ones come as plain QUERY
        events), XA PREPARE, MariaDB's GTID event of a prepared XA transaction (the transaction is open then),
        a format description of a server that started, INTVAR, RAND, USER_VAR, loads, INCIDENT, and Group
        Replication's. TABLE (payload: the body of a TABLE_MAP event): rows of a table not known by this map
        follow; answer with `set_table`, then continue. FULL: `soft_bytes` or more gathered, a transaction has
        just ended. PART: at least `hard_bytes` gathered inside of one. ENDED: the server has no more (a dump
        that doesn't wait). REFUSED (payload: the ERR packet).
        """
        ...

    def set_table(self, body: bytes | memoryview, plan: TablePlan | None) -> None:
        """Decode the rows of this table map, whatever its table id, so from now on; None leaves them out.

        Rows gathered for the same table under another plan come out of `take` on their own, before.
        """
        ...

    def forget(self) -> None:
        """Ask again, by TABLE, for every table map: definitions have changed."""
        ...

    def truncate(self, plan: TablePlan) -> None:
        """Append a truncate of the table, in the current transaction (or the one that has just ended)."""
        ...

    def skip_transaction(self) -> None:
        """Leave out what follows of the rows of the current transaction; its end is seen as ever."""
        ...

    def skip_rows(self) -> None:
        """Leave out the rows event that `next` has just refused by a PoorImage, or what is left of it."""
        ...

    def drop_transaction(self, kept: int = 0, end: int | None = None) -> bool:
        """Remove the rows of the current transaction, or of the one that has just ended, but for its first
        `kept` and those from number `end` on (both are values of `transaction_changes`, which continues from
        where it is). Gives whether there are some that `take` has given out: those are not touched.
        """
        ...

    def attribute(self, tx: str, position_text: str, commit_ts_us: int) -> None:
        """Rows from now on carry these, whatever their transaction says (XA: those of its COMMIT)."""
        ...

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        """Everything gathered, as (handle, batch), ordered by first ordinal; ordinals start at 0 again."""
        ...

    def gtid_runs(self) -> list[GtidRun]:
        """The GTIDs of the transactions ended since the last call, in their order, runs joined."""
        ...


BinlogDecoder: type[Binlog]
if implementation() == "c":
    from cdc_source_mysql.wire.stream_native import BinlogDecoder as _NativeDecoder

    BinlogDecoder = _NativeDecoder
else:
    from cdc_source_mysql.wire.stream import BinlogDecoder as _PythonDecoder

    BinlogDecoder = _PythonDecoder


class Results(Protocol):
    """Rows of one response to COM_STMT_EXECUTE (without CLIENT_DEPRECATE_EOF, no compression), from the
    column count to the EOF after the last row.

    `byte_count` is about what the rows gathered take. `finished` says that the last EOF came: the result is
    whole. `error` is the payload of the ERR packet that ended it instead.
    """

    byte_count: int
    finished: bool
    error: bytes | None

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Callable[[str, int], None],
    ) -> None:
        """`plans` are those of `result_plans`; enum and set must have been selected as unsigned numbers, but
        for those of `comes_as_text`.
        """
        ...

    def feed(self, data: bytes | memoryview) -> None:
        """Consume bytes as the connection gives them, packets cut anywhere; nothing of `data` is kept."""
        ...

    def take(self) -> pa.RecordBatch | None:
        """The rows gathered, without any envelope; None when there are none."""
        ...


# BLOB with 4 bytes of length.
_LONG_TEXT_CODE, _LONG_PREFIX_BYTES = 252, 4


def result_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The same columns as a result set has them: JSON (and some labels) as text, nothing compressed."""
    return tuple(_result_plan(plan) for plan in plans)


def comes_as_text(plan: ColumnPlan) -> bool:
    """Whether an enum or set is read as the server's text and not as its number: information_schema shows `?`
    for each character beyond the basic plane in its labels, so a label with a `?` may be another one.
    """
    return plan.kind in {"enum", "set"} and any("?" in label for label in plan.labels)


def _result_plan(plan: ColumnPlan) -> ColumnPlan:
    if plan.kind == "json" or comes_as_text(plan):
        return replace(
            plan,
            kind="string",
            charset="utf8",
            size=0,
            type_code=_LONG_TEXT_CODE,
            meta=_LONG_PREFIX_BYTES,
            prefix_bytes=_LONG_PREFIX_BYTES,
        )
    return replace(plan, compressed=False) if plan.compressed else plan


ResultDecoder: type[Results]
if implementation() == "c":
    from cdc_source_mysql.wire import result_stream_native

    ResultDecoder = result_stream_native.ResultDecoder
else:
    from cdc_source_mysql.wire import result_stream

    ResultDecoder = result_stream.ResultDecoder
