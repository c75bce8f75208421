"""Runs statements that the stream tells nothing of beside a pipeline that watches the catalog, with the
daemon running or stopped, and holds mirror and lake against the source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.migrations.verdict import assert_postgres_equal
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess
from tests.support.waiting import wait_until

AGAIN = "copying table again"


class Watched:
    """One pipeline over the schema `app`, and what it copied again."""

    def __init__(
        self, database: Database, folder: Path, tables: Sequence[str] = ("app.*",), **options: Any
    ) -> None:
        self.database = database
        self.pipeline = Pipeline(
            database, folder, tables=list(tables), source_options={"ddl": "watch", **options}
        )
        self.copied: dict[str, list[str]] = {}
        self.records: list[Mapping[str, Any]] = []

    def migrate(
        self, statements: Sequence[str], *, expected: Sequence[str], later: Sequence[str], running: bool
    ) -> None:
        """Copy everything, run the statements, have tables copied again, run the later statements: behind the
        copies when the daemon is stopped meanwhile, beside them when it runs. A statement may be several.
        """
        if running:
            with self.pipeline.start() as process:
                self._wait_until_live(process)
                self.database.execute(*statements)
                self._wait_for_copies(process, expected)
                self.database.execute(*later)
                process.terminate()
            self._note(process.log_records)
        else:
            self.catch_up()
            self.database.execute(*statements)
            self.catch_up()
            self.database.execute(*later)
        self.catch_up()

    def assert_equal(self, *, sends_generated: bool = False) -> None:
        """Mirror and lake hold what the source holds, value by value."""
        assert_postgres_equal(
            self.database,
            ["app"],
            self.pipeline.lake,
            self.pipeline.mirror,
            lambda name: False,
            sends_generated=sends_generated,
        )

    def _wait_for_copies(self, process: CdcProcess, expected: Sequence[str]) -> None:
        def asked() -> bool:
            process.assert_running()
            return set(expected) <= set(_reasons(process.log_records))

        wait_until(asked, f"{', '.join(expected)} to be copied again")

    def _wait_until_live(self, process: CdcProcess) -> None:
        self.pipeline.wait_until_streaming(process)
        self.pipeline.wait_until_delivered(process)

    def catch_up(self) -> None:
        result = self.pipeline.run_once()
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"[-6000:]
        self._note([json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")])

    def _note(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.records += records
        for table, reasons in _reasons(records).items():
            self.copied.setdefault(table, []).extend(reasons)


def _reasons(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in records:
        if record.get("event") == AGAIN:
            found.setdefault(record["table"], []).append(record["reason"])
    return found
