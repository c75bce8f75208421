"""The compiled and the pure-Python decoders are two programs for one contract: whatever comes, they agree.

Frames are well formed, then sometimes damaged; both give equal batches, or both raise
(of several errors in one batch, each may meet another one first).
"""

from __future__ import annotations

import struct
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import DecodeError, UnrepresentableValue
from cdc.native import implementation
from cdc_source_postgres.schema.codec import Codec
from cdc_source_postgres.schema.type_catalog import BASE, OID_OF
from cdc_source_postgres.schema.type_plan import ColumnPlan
from tests.support.plain_arrow import plain_batch
from tests.support.postgres import frames
from tests.support.postgres.decoders import PYTHON, Wire, compiled
from tests.support.postgres.frames import UNCHANGED, Text

pytestmark = pytest.mark.skipif(implementation() != "c", reason="there is only one decoder here")

# Enough for every kind of damage to every kind of value; the fuzzer under fuzz/ goes on for longer.
EXAMPLES = 250
REFUSED = "refused"
ARRAY_OF = {name: array_oid for name, _, array_oid in BASE}
OWN_DECODING = (
    *("bool", "int2", "int4", "int8", "oid", "xid8", "float4", "float8", "money", "numeric", "date", "time"),
    *("timestamp", "timestamptz", "uuid", "bytea", "char", "json", "jsonb", "text", "bpchar"),
)
TYPES: list[tuple[int, int, int]] = [
    *((OID_OF[name], -1, 0) for name in OWN_DECODING),
    # Their renderers serve both decoders.
    *((OID_OF[name], -1, 0) for name in ("interval", "point", "int4range", "regclass", "aclitem")),
    (OID_OF["numeric"], (10 << 16 | 2) + 4, 0),
    (OID_OF["numeric"], (76 << 16 | 38) + 4, 0),
    (OID_OF["numeric"], (5 << 16 | (-2 & 0x7FF)) + 4, 0),
    *(
        (ARRAY_OF[name], -1, 1)
        for name in ("int4", "text", "bool", "numeric", "timestamptz", "interval", "uuid")
    ),
    (ARRAY_OF["int2"], -1, 2),
    (ARRAY_OF["numeric"], (10 << 16 | 2) + 4, 3),
]
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**63 - 1, -(2**63), 86_400_000_000])
NUMERICS = st.from_regex(r"-?[0-9]{1,8}(\.[0-9]{1,2})?", fullmatch=True).map(
    frames.numeric
) | st.sampled_from(
    [
        frames.numeric("-1" + "0" * 80 + ".5"),
        *(struct.pack(">HhHH", 0, 0, sign, 0) for sign in (0xC000, 0xF000)),
    ]
)
WORDS = st.text(max_size=12).map(str.encode)
CLOCKS = st.integers(0, 86_400_000_000).map(lambda v: struct.pack(">q", v))
EIGHT = WHOLE.map(lambda v: struct.pack(">q", v))
FOUR = EIGHT.map(lambda v: v[4:]) | st.integers(-800_000, 3_000_000).map(lambda v: struct.pack(">i", v))
SIXTEEN = st.binary(min_size=16, max_size=16)
BINARY: dict[str, st.SearchStrategy[bytes]] = {
    "bool": st.sampled_from([b"\0", b"\1"]),
    "int2": EIGHT.map(lambda v: v[6:]),
    **dict.fromkeys(("int4", "uint4", "float4", "date"), FOUR),
    **dict.fromkeys(("int8", "uint8", "float8", "timestamp", "money"), EIGHT),
    "time": CLOCKS,
    **dict.fromkeys(("numeric", "numtext"), NUMERICS),
    "text": WORDS,
    "bytes": st.binary(max_size=20),
    "jsonb": WORDS.map(lambda word: b"\1" + word),
    "char": st.binary(min_size=1, max_size=1),
    "uuid": SIXTEEN,
    "render": SIXTEEN | EIGHT | st.binary(max_size=24),
}
TEXT: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "int2": ["0", "-7", "32767"],
    "int4": ["0", "-7"],
    "int8": ["9223372036854775807"],
    "uint4": ["7", "-", "pg_class"],
    "uint8": ["18446744073709551615"],
    "float4": ["1.5", "-1e+30", "NaN"],
    "float8": ["1.5", "1e-300", "-Infinity"],
    "numeric": ["1.50", "-12345678", "NaN", "0"],
    "numtext": ["1.50", "NaN"],
    "money": ["$1,234.50", "-$0.01"],
    "date": ["2020-02-29", "0044-03-15 BC", "infinity", "12020-01-01"],
    "time": ["01:02:03.4", "24:00:00"],
    "timestamp": ["2020-01-02 03:04:05.6", "2020-01-02 03:04:05+00", "-infinity", "294276-12-31 23:59:59"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "bytes": ["\\x00ff", "\\x"],
    "list": [
        "{}",
        "{1,NULL}",
        '{"a b",c}',
        "{{1,2},{3,4}}",
        "[2:3]={1,2}",
        "{{{1.25}}}",
        '{"2020-01-01 00:00:00+00"}',
    ],
}


def binary(codec: Codec) -> st.SearchStrategy[bytes]:
    """Mostly what fits the type, sometimes anything."""
    fitting = arrays(codec) if codec.kind == "list" else BINARY[codec.kind]
    return st.one_of([*[fitting] * 12, st.binary(max_size=24)])


@st.composite
def arrays(draw: st.DrawFn, codec: Codec) -> bytes:
    element = codec.element
    assert element is not None
    dims = draw(st.sampled_from([0, codec.dims, codec.dims, codec.dims, codec.dims % 3 + 1]))
    shape = [(draw(st.integers(1, 3)), draw(st.sampled_from([1] * 8 + [2]))) for _ in range(dims)]
    count = prod(length for length, _ in shape) if dims else 0
    fitting = st.none() | BINARY[element.kind]
    return frames.array(codec.element_oid, shape, [draw(fitting) for _ in range(count)])


def value(plan: ColumnPlan) -> st.SearchStrategy[Any]:
    codec = plan.codec
    fitting = TEXT.get(codec.kind)
    words = st.text(max_size=12) if fitting is None else st.sampled_from(fitting)
    text = words.map(lambda word: Text(word.encode()))
    return st.one_of([st.none(), st.just(UNCHANGED), text, *[binary(codec)] * 4])


def row(columns: list[ColumnPlan]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(*map(value, columns)).map(list)


@st.composite
def changes(draw: st.DrawFn, columns: list[ColumnPlan]) -> bytes:
    rows = row(columns)
    kind = draw(st.sampled_from("IIUUD"))
    identity = draw(st.sampled_from([b"K", b"O"]))
    if kind == "I":
        message = frames.insert(1, draw(rows))
    elif kind == "U":
        message = frames.update(1, draw(rows), draw(st.none() | rows), identity)
    else:
        message = frames.delete(1, draw(rows), identity)
    return draw(st.one_of([*[st.just(message)] * 20, damaged(message)]))


def damaged(message: bytes) -> st.SearchStrategy[bytes]:
    at = st.integers(0, len(message) - 1)
    return st.one_of(
        at.map(lambda i: message[:i]),
        st.binary(min_size=1, max_size=4).map(lambda tail: message + tail),
        st.tuples(at, st.integers(0, 255)).map(
            lambda change: message[: change[0]] + bytes([change[1]]) + message[change[0] + 1 :]
        ),
    )


def outcome(wire: Wire, columns: list[Any], policy: str, key: list[int], messages: list[bytes]) -> Any:
    counted: list[tuple[str, int]] = []
    decoder = wire.PgoutputDecoder(policy, lambda name, amount: counted.append((name, amount)))
    try:
        decoder.set_relation(1, "s", "t", columns, key, "d")
        decoder.feed(frames.begin())
        consumed = [decoder.feed(message) for message in messages]
        gathered = (decoder.changes, decoder.byte_count)
        return consumed, gathered, [(i, plain_batch(b)) for i, b in decoder.take()], counted
    except (DecodeError, UnrepresentableValue):
        return REFUSED


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_decoders_agree_on_every_stream(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(["error", "null", "null", "string"]))
    types = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3))
    columns = frames.plans(*types, policy=policy)
    key = data.draw(st.sampled_from([[], [0]]))
    messages = data.draw(st.lists(changes(columns), min_size=1, max_size=4))
    assert outcome(compiled(), columns, policy, key, messages) == outcome(
        PYTHON, columns, policy, key, messages
    )


def copy_outcome(wire: Wire, columns: list[Any], policy: str, chunks: list[bytes]) -> Any:
    counted: list[tuple[str, int]] = []
    decoder = wire.CopyDecoder("s.t", columns, policy, lambda name, amount: counted.append((name, amount)))
    try:
        for chunk in chunks:
            decoder.feed(chunk)
        batch = decoder.take()
    except (DecodeError, UnrepresentableValue):
        return REFUSED
    return None if batch is None else (batch.num_rows, plain_batch(batch)), counted, decoder.finished


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_decoders_agree_on_every_copy(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(["error", "null", "string"]))
    types = data.draw(st.lists(st.sampled_from(TYPES), max_size=3))
    columns = frames.plans(*types, policy=policy)
    cells = st.tuples(*(st.none() | binary(plan.codec) for plan in columns)).map(list)
    rows = [frames.copy_row(data.draw(cells)) for _ in range(data.draw(st.integers(0, 4)))]
    chunks = [*rows, frames.COPY_TRAILER]
    chunks[0] = frames.copy_header(data.draw(st.binary(max_size=3))) + chunks[0]
    if data.draw(st.integers(0, 4)) == 0:
        index = data.draw(st.integers(0, len(chunks) - 1))
        chunks[index] = data.draw(damaged(chunks[index]))
    assert copy_outcome(compiled(), columns, policy, chunks) == copy_outcome(PYTHON, columns, policy, chunks)
