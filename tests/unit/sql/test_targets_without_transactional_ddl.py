"""A target's declaration and its connection must agree on when schema changes become visible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cdc.testing.events import sink_context
from tests.support.sqlite_sink import SQLiteOptions, SQLiteSink


class Small(SQLiteSink):
    capabilities = replace(SQLiteSink.capabilities, transactional_ddl=False)


def test_a_declaration_that_its_connection_does_not_keep_is_refused_before_a_row(tmp_path: Path) -> None:
    sink = Small(SQLiteOptions(path=tmp_path / "small.sqlite"), sink_context(epoch=1))
    with pytest.raises(TypeError, match=r"Small declares transactional_ddl=False, SQLiteConnection has"):
        sink.prepare("shop")
