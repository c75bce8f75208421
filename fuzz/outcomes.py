"""What a decoder makes of frames, in a form that compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdc.errors import CdcError
from cdc_source_postgres.schema.type_catalog import BASE, OID_OF
from tests.support.plain_arrow import plain_batch
from tests.support.postgres import frames
from tests.support.postgres.decoders import Wire

ARRAY_OF = {name: array_oid for name, _, array_oid in BASE}
# One column of each way of decoding.
TYPES: list[tuple[int, int, int] | int] = [
    *(
        OID_OF[n]
        for n in ("int4", "text", "bool", "date", "timestamptz", "numeric", "jsonb", "uuid", "interval")
    ),
    (OID_OF["numeric"], (30 << 16 | 4) + 4, 0),
    (OID_OF["numeric"], (70 << 16 | 20) + 4, 0),
    (ARRAY_OF["int4"], -1, 2),
    (ARRAY_OF["text"], -1, 1),
    *(OID_OF[n] for n in ("tsquery", "int4range", "inet", "char", "bytea", "time", "money")),
]
PLANS = frames.plans(*TYPES, policy="null")
REFUSED = "refused"


def _ignore(name: str, amount: int) -> None:
    """Counters are compared by the property tests."""


def pgoutput(wire: Wire) -> Callable[[list[bytes]], Any]:
    def decode(messages: list[bytes]) -> Any:
        decoder = wire.PgoutputDecoder("null", _ignore)
        decoder.set_relation(1, "s", "t", PLANS, (0,), "d")
        try:
            tags = [decoder.feed(message) for message in messages]
            return tags, [plain_batch(batch) for _, batch in decoder.take()]
        except CdcError:
            return REFUSED

    return decode


def copy(wire: Wire) -> Callable[[list[bytes]], Any]:
    def decode(chunks: list[bytes]) -> Any:
        decoder = wire.CopyDecoder("s.t", PLANS, "null", _ignore)
        try:
            for chunk in chunks:
                decoder.feed(chunk)
            batch = decoder.take()
        except CdcError:
            return REFUSED
        return decoder.finished, None if batch is None else plain_batch(batch)

    return decode
