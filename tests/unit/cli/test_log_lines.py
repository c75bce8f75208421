"""What a log line holds, and what it must never hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from cdc.cli.logging import LogLevel, configure, logger
from cdc.errors import SourceRefused


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the process's logging back as it was."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("handlers")
class TestLines:
    @staticmethod
    def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]

    def test_line_is_json_with_time_level_and_fields(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False)
        logger(source="shop")("caught up", rows=3)
        logger()("stopped", level="error")
        first, second = self.lines(capsys)
        assert {k: v for k, v in first.items() if k != "at"} == {
            "event": "caught up",
            "level": "info",
            "source": "shop",
            "rows": 3,
        }
        assert str(first["at"]).endswith("Z")
        assert second["level"] == "error"

    def test_debug_lines_show_only_when_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False)
        logger()("detail", level="debug")
        assert self.lines(capsys) == []

    def test_a_level_leaves_out_what_is_below_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False, level=LogLevel.WARNING)
        logger()("progress")
        logger()("the disk is full", level="warning")
        assert [line["event"] for line in self.lines(capsys)] == ["the disk is full"]

    def test_a_line_for_people_is_no_field(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False)
        logger()("progress", line="shop: 5 rows", rows=5)
        (line,) = self.lines(capsys)
        assert (line["rows"], "line" in line) == (5, False)

    def test_foreign_exception_is_named_without_its_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False)
        try:
            int("hunter2")
        except ValueError:
            logger()("broken", level="error", exc_info=True)
        (line,) = self.lines(capsys)
        assert line["error"] == "ValueError"
        assert str(line["raised_at"]).startswith("test_foreign_exception")
        assert "hunter2" not in str(line)

    def test_own_error_is_logged_with_its_remedy(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure(debug=False)
        logger()("refused", exc_info=SourceRefused("no login", where="role cdc", remedy="ALTER ROLE"))
        (line,) = self.lines(capsys)
        assert (line["error"], line["where"], line["message"], line["remedy"]) == (
            "SourceRefused",
            "role cdc",
            "no login",
            "ALTER ROLE",
        )

    def test_library_warning_becomes_a_line_without_its_values(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(debug=False)
        logging.getLogger("psycopg").warning("discarding %s", "hunter2")
        (line,) = self.lines(capsys)
        assert (line["event"], line["logger"], line["level"]) == ("discarding %s", "psycopg", "warning")
