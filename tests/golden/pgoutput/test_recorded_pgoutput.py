from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cdc_source_postgres.schema.type_catalog import TypeCatalog
from cdc_source_postgres.schema.type_plan import plan_column
from cdc_source_postgres.wire.messages import parse_relation, parse_truncate
from tests.support.plain_arrow import plain
from tests.support.postgres.decoders import Wire, wires

RECORDINGS = sorted(Path(__file__).parent.glob("*.hex"))
NOON = 1_582_977_600_500_000


def decoded(wire: Wire, recording: Path) -> dict[str, list[dict[str, Any]]]:
    """Table → its changes, with only what every server sends alike."""
    decoder = wire.PgoutputDecoder("error", lambda name, amount: None)
    tables: dict[int, str] = {}
    for line in recording.read_text().splitlines():
        message = bytes.fromhex(line)
        tag = chr(decoder.feed(message))
        if tag == "R":
            relation = parse_relation(message)
            tables[relation.relid] = relation.name
            plans = [
                plan_column(c.name, c.type_oid, c.typmod, 0, TypeCatalog(), "error") for c in relation.columns
            ]
            key = [i for i, c in enumerate(relation.columns) if c.flags]
            decoder.set_relation(relation.relid, "public", relation.name, plans, key, relation.replident)
        elif tag == "T":
            decoder.truncate(parse_truncate(message).relids)
        else:
            assert tag == "\0"
    rows: dict[str, list[dict[str, Any]]] = {}
    for relid, batch in decoder.take():
        names = [n for n in batch.schema.names if n not in {"_cdc_tx", "_cdc_position", "_cdc_commit_at"}]
        columns = [plain(batch.column(name)) for name in names]
        found = [
            {n: v for n, v in zip(names, row, strict=True) if v is not None}
            for row in zip(*columns, strict=True)
        ]
        rows.setdefault(tables[relid], []).extend(found)
    return rows


@pytest.mark.parametrize("wire", wires(), ids=lambda wire: wire.name)
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_stream_decodes_as_it_did(wire: Wire, recording: Path) -> None:
    rows = decoded(wire, recording)
    big = "0123456789" * 1000
    price, tags = Decimal("12.50"), ["x", None, "y z"]
    first = {"id": 1, "note": 'a "quoted" é', "price": price, "tags": tags, "big": big}
    old_key = (1, None, None, None, None)
    assert rows["orders"] == [
        {**first, "_cdc_op": "c", "_cdc_seq": 0},
        {"id": 2, "tags": [], "big": "short", "_cdc_op": "c", "_cdc_seq": 1},
        {
            "id": 1,
            "note": "b",
            "price": price,
            "tags": tags,
            "_cdc_op": "u",
            "_cdc_seq": 2,
            "_cdc_unchanged": ["big"],
        },
        {
            "id": 3,
            "note": "b",
            "price": price,
            "tags": tags,
            "big": "gone",
            "_cdc_op": "u",
            "_cdc_seq": 3,
            "_cdc_before": old_key,
        },
        {"id": 2, "_cdc_op": "d", "_cdc_seq": 4, "_cdc_unchanged": ["note", "price", "tags", "big"]},
        {"_cdc_op": "t", "_cdc_seq": 8},
    ]
    assert rows["pile"] == [
        {"a": 1, "b": NOON, "_cdc_op": "c", "_cdc_seq": 5},
        {"a": 5, "b": NOON, "_cdc_op": "u", "_cdc_seq": 6, "_cdc_before": (1, NOON)},
        {"a": 5, "b": NOON, "_cdc_op": "d", "_cdc_seq": 7},
        {"_cdc_op": "t", "_cdc_seq": 9},
    ]


def test_recordings_of_two_server_versions_exist() -> None:
    assert [path.stem for path in RECORDINGS] == ["pg15_binary", "pg18_binary"]
