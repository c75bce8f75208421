"""`cdc check` on what is local: the state folder, the log, the sinks' cursors, and a daemon that runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.log import SegmentedLog
from cdc.log.frame import FrameKind
from cdc.model import ChangeSet
from cdc.testing.events import append
from tests.integration.cli.conftest import Project
from tests.support.logs import flip_frame, flip_head, flip_rows
from tests.support.postgres.server import Database, PostgresServer
from tests.support.processes import CdcProcess, run_cdc
from tests.support.server_pool import ServerPool
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def copy_of_all(
    _servers: ServerPool[int, PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder of a project that has copied two tables into a mirror and a lake."""
    database = _servers.get(15).create_database()
    folder = tmp_path_factory.mktemp("copied")
    copy_into(Project(folder), database)
    yield folder
    database.drop()


@pytest.fixture
def copied(copy_of_all: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Such a project, to be spoilt."""
    folder = tmp_path / "project"
    shutil.copytree(copy_of_all, folder)
    monkeypatch.chdir(folder)
    return Project(folder)


def copy_into(project: Project, database: Database) -> None:
    database.execute(
        "create table public.orders (id int primary key, v int)",
        "create table public.items (id int primary key)",
        "insert into public.orders select g, g from generate_series(1, 100) g",
    )
    flush = {"interval": "0s"}
    project.write(
        {
            "state_dir": "./state",
            "sources": {"shop": {"type": "postgres", "url": database.url, "slot": slot(database)}},
            "sinks": {
                "mirror": {"type": "duckdb", "path": "./shop_mirror.duckdb", "flush": flush},
                "lake": {"type": "parquet", "url": "./lake", "flush": flush},
            },
        }
    )
    once(project)


def slot(database: Database) -> str:
    return f"slot_{database.name}"


def once(project: Project) -> None:
    result = run_cdc("run", "--once", cwd=project.folder)
    assert result.returncode == 0, result.stderr


def errors(project: Project) -> dict[str, list[str]]:
    """Codes of the errors, by subject."""
    return _codes(project, "error")


def _codes(project: Project, severity: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in findings(project):
        if finding["severity"] == severity:
            found.setdefault(finding["subject"], []).append(finding["code"])
    return found


def findings(project: Project) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = project.cdc("check", "--json").json
    return listed


def message(project: Project, code: str) -> str:
    return next(str(f["message"]) for f in findings(project) if f["code"] == code)


def is_steady(project: Project) -> bool:
    """The daemon streams, and its sinks are open."""
    document = project.cdc("status", "--json").json
    states = {pair["state"] for pairs in document["sinks"].values() for pair in pairs}
    return bool(
        document["running"] and document["sources"]["shop"]["state"] == "streaming" and states == {"idle"}
    )


def test_check_of_a_stopped_daemon_finds_its_state_whole(copied: Project) -> None:
    found = {(f["subject"], f["code"]): f["severity"] for f in findings(copied)}
    assert errors(copied) == {}
    assert found["sources.shop", "log"] == "ok"
    assert found["sources.shop", "log-end"] == "ok"
    assert found["sinks.mirror", "sink-cursor"] == "ok"
    assert found["sinks.lake", "sink-cursor"] == "ok"


def test_check_sees_that_another_process_holds_the_mirror(copied: Project) -> None:
    script = (
        "import duckdb, sys; c = duckdb.connect('shop_mirror.duckdb'); print(flush=True); sys.stdin.read()"
    )

    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=copied.folder, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        assert errors(copied) == {"sinks.mirror": ["duckdb-file"]}
        other.stdin.close()


def test_check_names_a_lost_state_dir_once(copied: Project) -> None:
    shutil.rmtree("state")
    assert errors(copied) == {"state_dir": ["state-dir-foreign"]}
    (found,) = [f for f in findings(copied) if f["code"] == "state-dir-foreign"]
    assert "is not the state_dir of sources.shop, sinks.mirror and sinks.lake: the repl" in found["message"]
    assert found["fix"].endswith("give each sink a new, empty location, then run: cdc run --adopt-slot shop")


def test_check_finds_a_sink_that_another_state_dir_filled(copied: Project) -> None:
    shutil.rmtree("state")
    config = copied.config
    del config["sinks"]["lake"]
    config["sources"]["shop"]["slot"] = "another"
    copied.write(config)
    assert errors(copied) == {"sinks.mirror": ["sink-cursor"]}
    assert "which is not in the log under" in message(copied, "sink-cursor")


def test_check_finds_a_slot_that_moved_past_the_log(project: Project, database15: Database) -> None:
    copy_into(project, database15)
    database15.execute("alter publication cdc_shop rename to away")
    assert errors(project) == {"sources.shop": ["log-end"]}
    assert "the publication 'cdc_shop' was dropped" in message(project, "log-end")
    database15.execute("alter publication away rename to cdc_shop")
    database15.execute("insert into public.orders values (101, 1)")
    database15.query("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", [slot(database15)])
    assert errors(project) == {"sources.shop": ["log-end"]}
    assert "past the end of our log" in message(project, "log-end")
    database15.query("select pg_drop_replication_slot(%s)", [slot(database15)])
    assert errors(project) == {"sources.shop": ["log-end"]}
    assert "no longer exists" in message(project, "log-end")
    config = project.config
    config["sources"]["shop"]["on_gap"] = "resnapshot"
    project.write(config)
    assert errors(project) == {}
    (found,) = [f for f in findings(project) if f["code"] == "log-end"]
    assert found["fix"] == "The daemon copies all tables again at its start."


@pytest.mark.parametrize(
    ("backfill", "severity", "fix"),
    [
        ("snapshot", "warning", "The daemon copies the tables into it at its start."),
        ("log", "warning", "The sink begins at offset {}, without earlier rows. To copy all rows: "),
        ("fail", "error", "Copy the tables into it: cdc snapshot shop --sink late"),
    ],
)
def test_check_says_what_a_new_sink_gets_from_a_log_that_was_trimmed(
    copied: Project, backfill: str, severity: str, fix: str
) -> None:
    with closing(SegmentedLog(Path("state/log/shop"), segment_bytes=1)) as log:
        assert log.end is not None
        append(log, ChangeSet((), log.end.position))
        append(log, ChangeSet((), log.end.position))
        start = log.trim(log.end.next, max_bytes=0).start
    config = copied.config
    config["sinks"]["late"] = {"type": "duckdb", "path": "./late.duckdb", "backfill": backfill}
    copied.write(config)
    (found,) = [f for f in findings(copied) if f["code"] == "sink-new"]
    assert (found["subject"], found["severity"]) == ("sinks.late", severity)
    assert fix.format(start) in found["fix"]


def test_check_finds_a_flipped_byte_in_the_log(copied: Project) -> None:
    (segment,) = Path("state/log/shop").glob("*.cdclog")
    whole = flip_head(segment)
    assert "log-damaged" in errors(copied)["sources.shop"]
    segment.write_bytes(whole)
    flip_rows(segment)
    assert errors(copied) == {}
    assert message(copied, "log-damaged").endswith(
        "does not match its checksum; every sink has these changes"
    )


@pytest.mark.parametrize("kind", [FrameKind.HEADER, FrameKind.SCHEMA, FrameKind.COMMIT])
def test_a_damaged_frame_that_the_log_needs_is_one_finding(copied: Project, kind: FrameKind) -> None:
    (segment,) = Path("state/log/shop").glob("*.cdclog")
    flip_frame(segment, kind)
    assert errors(copied) == {"sources.shop": ["log-damaged"]}
    assert copied.cdc("tail").code == 1
    shown = copied.cdc("status")
    assert shown.code == 1
    assert "shop, whose log cannot be read" in shown.out
    assert "caught up" not in shown.out


def test_a_run_and_the_status_name_a_flipped_byte_in_the_log_once(copied: Project) -> None:
    (segment,) = Path("state/log/shop").glob("*.cdclog")
    flip_head(segment)
    ended = run_cdc("run", "--once", cwd=copied.folder)
    assert ended.returncode == 1
    said = [orjson.loads(line) for line in ended.stderr.splitlines()]
    assert [record["kind"] for record in said if record["level"] == "error"] == ["LogCorrupt"]
    assert "its log could not be opened" in ended.stdout
    shown = copied.cdc("status")
    assert shown.code == 1
    assert shown.out.count("LogCorrupt") == 1
    assert "never run" not in shown.out


def test_check_counts_in_words_that_agree(copied: Project) -> None:
    shutil.rmtree("lake/_cdc")
    Path("shop_mirror.duckdb").write_bytes(b"no database")
    answer = copied.cdc("check")
    assert answer.code == 1
    assert "\n1 error, 1 warning.\n" in answer.out


def test_check_beside_a_running_daemon_complains_about_nothing_of_its_own(
    project: Project, database15: Database
) -> None:
    copy_into(project, database15)
    with CdcProcess("run", cwd=project.folder) as daemon:
        wait_until(lambda: is_steady(project), "the daemon to stream into open sinks")
        assert errors(project) == {}
        found = {f["code"]: f["message"] for f in findings(project)}
        assert found["daemon"] == f"the daemon runs as process {daemon.pid}"
        assert "is open in the running daemon" in found["duckdb-file"]
