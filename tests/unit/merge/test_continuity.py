from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.log import LocalLogs
from cdc.merge import continuity
from cdc.spi import Cursor
from cdc.testing.events import append, position
from tests.support.logs import one


@pytest.mark.parametrize(
    ("change", "belongs"),
    [
        ({}, True),
        ({"log_id": ""}, True),
        ({"log_id": "another log"}, False),
        ({"next": 3}, False),
        ({"position": position(11)}, False),
        ({"position": position(99)}, False),
    ],
)
def test_a_cursor_belongs_to_the_log_and_the_commit_that_it_is_behind(
    tmp_path: Path, change: dict[str, object], belongs: bool
) -> None:
    with closing(LocalLogs(tmp_path).writer("shop")) as log:
        append(log, one(10, 1))
        append(log, one(20, 2))
        append(log, one(30, 3, 4))
        cursor = Cursor("shop", 2, position(21), None, 1, 2, log.identity)
        assert continuity.belongs(replace(cursor, **change), log) is belongs  # type: ignore[arg-type]
