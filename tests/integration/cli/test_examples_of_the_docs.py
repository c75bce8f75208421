"""The sink and source of docs/writing-a-*.md: loaded by dotted path, run by `cdc`, held to their suites."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import orjson
import pytest

from tests.support.processes import ROOT, child_environment, run_cdc

PAGES = ("writing-a-sink", "writing-a-source")
# A block of code whose first line names its file.
FILE = re.compile(r"^```\w+\n# ([\w.]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
JOURNAL = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of both pages; each page's configuration under the page's name."""
    for page in PAGES:
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        for name, body in FILE.findall(text):
            (tmp_path / (f"{page}.yaml" if name == "cdc.yaml" else name)).write_text(body, "utf-8")
        for lines in JOURNAL.findall(text):
            (tmp_path / "journal.jsonl").write_text(lines, "utf-8")
    return tmp_path


def cdc(folder: Path, page: str, *arguments: str) -> str:
    result = run_cdc(*arguments, cwd=folder, environment={"CDC_CONFIG": f"{page}.yaml"})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def append(folder: Path, *changes: dict[str, object]) -> None:
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(orjson.dumps({"at": "2026-11-23T12:05:00+00:00", "changes": changes}) + b"\n")


def test_the_sink_of_the_page_receives_copies_and_changes(folder: Path) -> None:
    def stored() -> list[tuple[object, ...]]:
        with sqlite3.connect(folder / "changes.sqlite") as db:
            rows = db.execute("select table_name, change from changes order by seq").fetchall()
        changes = [(table, orjson.loads(change)) for table, change in rows]
        return [(table, c["_cdc_op"], c["id"], c["note"]) for table, c in changes if c["_cdc_op"] != "t"]

    assert "exists" in cdc(folder, "writing-a-sink", "check")
    cdc(folder, "writing-a-sink", "run", "--once")
    assert stored() == [("public.notes", "r", 1, "uno")]
    append(folder, {"op": "c", "id": 3, "note": "three"}, {"op": "d", "id": 1})
    cdc(folder, "writing-a-sink", "run", "--once")
    assert stored()[1:] == [("public.notes", "c", 3, "three"), ("public.notes", "d", 1, None)]


def test_the_source_of_the_page_is_copied_into_a_mirror(folder: Path) -> None:
    assert "exists" in cdc(folder, "writing-a-source", "check")
    cdc(folder, "writing-a-source", "run", "--once")
    with duckdb.connect(folder / "warehouse.duckdb", read_only=True) as db:
        assert db.execute("select id, note from public.notes").fetchall() == [(1, "uno")]


def test_the_suites_of_the_pages_pass(folder: Path) -> None:
    suites = ("test_sqlite_changes.py", "test_journal_source.py")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", *suites],
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert re.search(r"\d\d passed", result.stdout)
