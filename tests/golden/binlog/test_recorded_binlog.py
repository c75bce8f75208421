from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cdc_source_mysql.schema.type_plan import TablePlan
from tests.support.mysql import frames
from tests.support.mysql.decoders import modules, start
from tests.support.plain_arrow import plain

RECORDINGS = sorted(Path(__file__).parent.glob("*.hex"))
NOON, MIDNIGHT = 1_582_977_600_125_000, 1_582_934_400_000_000
NAMES = ["t", "pile", "versioned"]
TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "t": {
        "mysql": ("int", "varchar(20)", "json", "int"),
        "mariadb": ("int", "varchar(20)", "longtext", "int"),
    },
    "pile": dict.fromkeys(("mysql", "mariadb"), ("int", "datetime(3)")),
    "versioned": {"mariadb": ("int", "int", "timestamp(6)", "timestamp(6)")},
}


class Tables(Mapping[bytes, TablePlan | None]):
    """Where the rows of a recorded table map go, by the name in it."""

    def __init__(self, flavour: str) -> None:
        self._flavour = flavour

    def __getitem__(self, body: bytes) -> TablePlan:
        rest = body[3 + body[2] + 1 :]
        name = rest[1 : 1 + rest[0]].decode()
        plans = frames.plans(*TYPES[name][self._flavour], flavour=self._flavour)
        key = () if name == "pile" else (0,)
        row_end = 3 if name == "versioned" else None
        return frames.table_plan(plans, key, NAMES.index(name), table=f"golden.{name}", row_end=row_end)

    def __iter__(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def decoded(wire: ModuleType, recording: Path) -> dict[str, list[dict[str, Any]]]:
    """Table → its changes, with only what every server sends alike."""
    flavour = recording.stem.rstrip("0123456789")
    running = start(wire, Tables(flavour), flavour=flavour)
    running.feed(*map(bytes.fromhex, recording.read_text().split()))
    rows: dict[str, list[dict[str, Any]]] = {}
    for handle, batch in running.decoder.take():
        hidden = {"_cdc_tx", "_cdc_position", "_cdc_commit_at", "_cdc_seq"}
        names = [name for name in batch.schema.names if name not in hidden]
        columns = [plain(batch.column(name)) for name in names]
        rows.setdefault(NAMES[handle], []).extend(
            {
                name.removeprefix("_cdc_"): value
                for name, value in zip(names, row, strict=True)
                if value is not None
            }
            for row in zip(*columns, strict=True)
        )
    return rows


@pytest.mark.parametrize("wire", modules(), ids=lambda module: module.__name__.rpartition("_")[2])
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_binlog_decodes_as_it_did(wire: ModuleType, recording: Path) -> None:
    rows = decoded(wire, recording)
    is_mysql = recording.stem.startswith("mysql")
    document = '{"a": "xxxxxxxxxxxxxxxxxxxx", "b": 1}'
    assert rows["t"] == [
        {"c0": 1, "c1": "é", "c2": document, "c3": 2, "op": "c"},
        {"c0": 2, "op": "c"},
        {"c0": 1, "c1": "zz", "c2": document, "c3": 2, "op": "u", "before": (1, "é", document, 2)},
        {"c0": 3, "c1": "zz", "c2": document, "c3": 2, "op": "u", "before": (1, "zz", document, 2)},
        {"c0": 2, "op": "d"},
        {"c0": 3, "c1": "minimal", "op": "u", "unchanged": ["c2", "c3"]},
        {"c0": 4, "op": "u", "before": (3, None, None, None), "unchanged": ["c1", "c2", "c3"]},
        *(
            [
                {
                    "c0": 4,
                    "c1": "minimal",
                    "c2": '{"a": "y", "b": 2}',
                    "c3": 2,
                    "op": "u",
                    "before": (4, "minimal", document, 2),
                }
            ]
            if is_mysql
            else []
        ),
    ]
    last = {} if is_mysql else {"c1": MIDNIGHT}
    assert rows["pile"] == [
        {"c0": 1, "c1": NOON, "op": "c"},
        {"c0": 1, "c1": NOON, "op": "c"},
        {"c0": 1, "c1": NOON, "op": "d"},
        {"c0": 2, "op": "c"},
        {"c0": 4, "op": "c"},
        *({"c0": value, **last, "op": "c"} for value in (5, 6, 7)),
    ]
    versioned = [(row["op"], row["c0"], row["c1"]) for row in rows.get("versioned", [])]
    assert versioned == ([] if is_mysql else [("c", 1, 1), ("u", 1, 2), ("d", 1, 2)])


@pytest.mark.parametrize("wire", modules(), ids=lambda module: module.__name__.rpartition("_")[2])
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_places_in_a_recorded_binlog_are_those_of_its_events(wire: ModuleType, recording: Path) -> None:
    """Every event that says where it ends says what we count."""
    running = start(wire, {}, flavour=recording.stem.rstrip("0123456789"))
    told = 0
    for packet in map(bytes.fromhex, recording.read_text().split()):
        running.feed(packet)
        log_pos, flags = (
            int.from_bytes(packet[18:22], "little"),
            int.from_bytes(packet[22:24], "little"),
        )
        # A rotation's own place is in the file that it ends.
        if len(packet) > 24 and packet[9] != 4 and log_pos and not flags & 0x20:
            assert running.decoder.offset == log_pos
            told += 1
    assert told > 20


def test_recordings_of_every_server_exist() -> None:
    assert [path.stem for path in RECORDINGS] == ["mariadb10", "mariadb11", "mysql9"]
