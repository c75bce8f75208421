"""The lake's cursor and manifests as files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from cdc.errors import SinkFenced
from cdc.lake.journal import (
    LakeState,
    Manifest,
    load_manifest,
    load_state,
    save_state,
    write_manifest,
)
from cdc.lake.layout import LakePaths
from cdc.lake.store import LocalStore
from cdc.model import Position

AT = datetime(2026, 11, 24, tzinfo=UTC)
# MySQL's positions pass 64 bits once a failover began a new epoch.
POSITIONS = (Position(0x16B374D848, "16/B374D848"), Position((1 << 72) + 1765, "1/binlog.000001:1765"))


@pytest.fixture
def paths(tmp_path: Path) -> LakePaths:
    return LakePaths(LocalStore(tmp_path), "shop")


def state_at(position: Position) -> LakeState:
    manifest = Manifest("shop", 1, 1, 0, 5, position, AT, 3, ())
    return LakeState("shop", 5, position, AT, 3, 5, commits=1, last=manifest, before=position)


@pytest.mark.parametrize("position", POSITIONS, ids=str)
def test_lake_state_is_read_as_it_was_written(paths: LakePaths, position: Position) -> None:
    state = state_at(position)
    save_state(paths, state)
    assert load_state(paths) == state


@pytest.mark.parametrize("position", POSITIONS, ids=str)
def test_manifest_is_read_as_it_was_written(paths: LakePaths, position: Position) -> None:
    manifest = state_at(position).last
    assert manifest is not None
    write_manifest(paths, manifest)
    assert load_manifest(paths, manifest.path(paths)) == manifest


def test_lake_state_with_an_order_as_a_number_is_read(paths: LakePaths, tmp_path: Path) -> None:
    state = state_at(POSITIONS[0])
    save_state(paths, state)
    cursor = tmp_path / paths.cursor
    content = orjson.loads(cursor.read_bytes())
    for holder in (content["position"], content["before"], content["last"]["position"]):
        holder["order"] = int(holder["order"])
    cursor.write_bytes(orjson.dumps(content))
    assert load_state(paths) == state


def test_a_cursor_that_another_process_replaced_is_not_written_over(paths: LakePaths) -> None:
    ours = save_state(paths, state_at(POSITIONS[0]))
    theirs = save_state(paths, replace(ours, next=9))
    with pytest.raises(SinkFenced, match="another process has changed the lake's cursor"):
        save_state(paths, replace(ours, next=7))
    assert load_state(paths) == theirs
