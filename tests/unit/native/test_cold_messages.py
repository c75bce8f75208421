from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from cdc.errors import DecodeError
from cdc_source_postgres.wire import messages

UNIX_2000 = 946_684_800_000_000
RELATION = (
    b"R"
    + struct.pack(">I", 7)
    + b'o"dd\0t able\0f'
    + struct.pack(">h", 2)
    + b"\1id\0"
    + struct.pack(">Ii", 23, -1)
    + b"\0n\0"
    + struct.pack(">Ii", 1700, 655_366)
)
TRUNCATE = b"T" + struct.pack(">IBII", 2, 3, 5, 6)
TYPE = b"Y" + struct.pack(">I", 20_000) + b"public\0mood\0"
MESSAGE = b"M\1" + struct.pack(">Q", 9) + b"prefix\0" + struct.pack(">I", 3) + b"abc"
KEEPALIVE = b"k" + struct.pack(">QqB", 11, 5, 1)
PARSERS: list[tuple[Callable[[bytes], Any], bytes]] = [
    (messages.parse_relation, RELATION),
    (messages.parse_truncate, TRUNCATE),
    (messages.parse_type, TYPE),
    (messages.parse_message, MESSAGE),
    (messages.parse_keepalive, KEEPALIVE),
]


def test_relation_gives_names_identity_and_columns() -> None:
    relation = messages.parse_relation(RELATION)
    assert (relation.relid, relation.namespace, relation.name, relation.replident) == (
        7,
        'o"dd',
        "t able",
        "f",
    )
    assert [(c.flags, c.name, c.type_oid, c.typmod) for c in relation.columns] == [
        (1, "id", 23, -1),
        (0, "n", 1700, 655_366),
    ]


def test_empty_namespace_is_pg_catalog() -> None:
    assert messages.parse_type(b"Y" + struct.pack(">I", 1) + b"\0int4\0").namespace == "pg_catalog"


def test_other_messages_give_their_fields() -> None:
    assert messages.parse_truncate(TRUNCATE) == messages.Truncate((5, 6))
    assert messages.parse_type(TYPE) == messages.TypeInfo(20_000, "public", "mood")
    assert messages.parse_message(MESSAGE) == messages.LogicalMessage(True, 9, "prefix", b"abc")
    assert messages.parse_keepalive(KEEPALIVE) == messages.Keepalive(11, UNIX_2000 + 5, True)


@pytest.mark.parametrize(("parse", "message"), PARSERS)
def test_every_truncation_and_every_tail_is_an_error(parse: Callable[[bytes], Any], message: bytes) -> None:
    for damaged in (*(message[:i] for i in range(len(message))), message + b"\0", b"?" + message[1:]):
        with pytest.raises(DecodeError):
            parse(damaged)


def test_status_is_what_the_protocol_asks_for() -> None:
    status = messages.encode_status(3, 2, 1, UNIX_2000 + 7, True)
    assert status == b"r" + struct.pack(">QQQqB", 3, 2, 1, 7, 1)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0/0"), (0x16B374D848, "16/B374D848"), (2**64 - 1, "FFFFFFFF/FFFFFFFF")]
)
def test_lsn_goes_to_text_and_back(number: int, text: str) -> None:
    assert messages.lsn_text(number) == text
    assert messages.lsn_int(text) == number


@pytest.mark.parametrize(
    "text", ["", "16", "/", "16/", "/1", "x/1", "123456789/0", "1/2/3", "-1/0", "1/ 2", "1_0/0"]
)
def test_text_that_is_no_lsn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a log sequence number"):
        messages.lsn_int(text)
