"""What a binlog decoder makes of bytes, in a form that compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from cdc.errors import CdcError
from cdc.native import implementation
from cdc_source_mysql.schema.type_plan import TablePlan
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire import stream as wire_python
from tests.support.plain_arrow import plain_batch

# More than a test ever gathers.
NO_BOUND = 1 << 40
REFUSED = "refused"


def modules() -> list[ModuleType]:
    """Each implementation that can be used here."""
    if implementation() != "c":
        return [wire_python]
    from cdc_source_mysql.wire import stream_native as wire_native

    return [wire_native, wire_python]


@dataclass
class Decoding:
    """Drives a decoder; `tables` says by the body of a table map (without its id) where its rows go."""

    decoder: Any
    tables: Mapping[bytes, TablePlan | None]
    soft_bytes: int = NO_BOUND
    hard_bytes: int = NO_BOUND
    events: list[bytes] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    batches: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)

    def feed(self, *pieces: bytes) -> Decoding:
        """Feed, and consume everything that is there."""
        for piece in pieces:
            self.decoder.feed(piece)
            while self.step() not in (codes.NEED, codes.ENDED, codes.REFUSED):
                pass
        return self

    def step(self) -> int:
        code, payload = self.decoder.next(self.soft_bytes, self.hard_bytes)
        self.codes.append(code)
        if code == codes.TABLE:
            self.asked.append(payload)
            self.decoder.set_table(payload, self.tables.get(payload[6:]))
        elif code in (codes.EVENT, codes.REFUSED):
            self.events.append(payload)
        elif code in (codes.FULL, codes.PART):
            self.batches += self.decoder.take()
        return int(code)

    def rows(self) -> list[dict[str, Any]]:
        """All rows, of all tables in the order of their batches."""
        self.batches += self.decoder.take()
        batches, self.batches = self.batches, []
        return [row for _, batch in batches for row in batch.to_pylist()]


def start(
    wire: ModuleType,
    tables: Mapping[bytes, TablePlan | None],
    *,
    flavour: str = "mysql",
    policy: str = "error",
    epoch: int = 0,
    count: Any = lambda name, amount: None,
    **bounds: Any,
) -> Decoding:
    return Decoding(wire.BinlogDecoder(policy, count, flavour, epoch), tables, **bounds)


def outcome(
    wire: ModuleType,
    tables: Mapping[bytes, TablePlan | None],
    pieces: Iterable[bytes],
    **options: Any,
) -> Any:
    """Everything that can be seen of a decoder that is given these bytes; REFUSED when it raises."""
    counted: list[tuple[str, int]] = []
    decoding = start(wire, tables, count=lambda name, amount: counted.append((name, amount)), **options)
    decoder = decoding.decoder
    try:
        decoding.feed(*pieces)
        counts = (decoder.changes, decoder.byte_count, decoder.transactions, decoder.transaction_changes)
        seen = (*counts, decoder.hides_cascades)
        decoding.batches += decoder.take()
    except CdcError as error:
        return (REFUSED, type(error)) if error.where else f"an error without a place: {error.message}"
    place = (decoder.file, decoder.offset, decoder.end_file, decoder.end_offset, decoder.in_transaction)
    names = (decoder.tx, decoder.position_text, decoder.commit_ts_us, decoder.gtid_flags, decoder.gtid_runs())
    batches = [(handle, plain_batch(batch)) for handle, batch in decoding.batches]
    return decoding.codes, decoding.events, decoding.asked, seen, place, names, batches, counted


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The data in pieces of these sizes, the rest as one."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]
