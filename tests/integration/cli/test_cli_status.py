"""`cdc status`: what it shows of what a daemon wrote down, in 80 columns, and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.files import FolderLock, holder_of
from cdc.spi import StateHolder
from tests.integration.cli.conftest import Project
from tests.support.processes import cdc_command, child_environment, interruptible
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

POSITION = "mysql-bin.000123:104857600;3e11fa47-71ca-11e1-9e33-c80aa9429562:1-1234567,5f11fa47-71ca-11e1:1-99"
REFUSED = {
    "table": 'public."odd\\nname"',
    "kind": "UnsupportedSchema",
    "message": 'public."odd\\nname": the table has no replica identity: publishing it would make its updates'
    " and deletes fail",
    "remedy": "Add a primary key",
    "at": "2026-11-30T00:00:00+00:00",
    "retry_seconds": 5.0,
}


def error(kind: str, retry_seconds: float | None = None) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": "sources.shop: connecting for replication: the server said so",
        "remedy": "alter role cdc replication",
        "at": "2026-11-30T00:00:00+00:00",
        "retry_seconds": retry_seconds,
    }


@pytest.fixture(autouse=True)
def held(project: Project) -> Iterator[None]:
    """This process holds the state, as a daemon does."""
    folder = project.folder / "state"
    folder.mkdir()
    lock = FolderLock(folder, "this state directory", StateHolder.here().text)
    yield
    lock.release()


def write(project: Project, source: dict[str, Any] | None = None, **top: Any) -> None:
    """A status as the daemon writes it; this process stands for the daemon."""
    shop = {
        "state": "streaming",
        "position": POSITION,
        "behind_bytes": 123456,
        "rows_per_second": 12345.0,
        "snapshot": {
            "tables": 3,
            "tables_done": 1,
            "chunks": 40,
            "chunks_done": 2,
            "rows": 1_200_000,
            "estimated_rows": 3_000_000,
        },
        "error": None,
        "refused": [],
        **(source or {}),
    }
    store = {
        "source": "shop",
        "state": "applying",
        "next": 81_234_567,
        "position": POSITION,
        "behind_changes": 1234,
        "behind_seconds": 12.5,
        "rows_per_second": 9999.0,
        "error": None,
    }
    document = {
        "running": True,
        "pid": os.getpid(),
        "holder": holder_of(Path("state")),
        "started_at": "2026-11-30T00:00:00.123456+00:00",
        "at": datetime.now(UTC).isoformat(),
        "state_dir_full": False,
        "sources": {"shop": shop},
        "sinks": {"store": [store]},
        **top,
    }
    Path("state/status.json").write_bytes(orjson.dumps(document))


def test_status_fits_80_columns(project: Project) -> None:
    waits = [
        {
            "table": "public.big",
            "reason": "the disk under state_dir is full",
            "since": "2026-11-30T00:00:00Z",
            "remedy": "Free space on this disk.",
        }
    ]
    write(project, {"refused": [REFUSED], "waits": waits, "error": REFUSED})
    answer = project.cdc("status")
    assert max(map(len, answer.out.splitlines())) <= 80
    for part in (
        f"running as process {os.getpid()} since 2026-11-30T00:00:00Z",
        "source shop  streaming",
        "copying     1 of 3 tables, 1,200,000 of about 3,000,000 rows (40%)",
        "waits       public.big: the disk under state_dir is full",
        "              Free space on this disk.\n",
        "from        shop, at offset 81,234,567, 1,234 changes behind, 12 s",
        'sources.shop, table public."odd\\nname" is skipped: UnsupportedSchema:',
        "  Add a primary key.",
    ):
        assert part in answer.out
    assert answer.out.count("UnsupportedSchema") == 1
    assert "".join(POSITION.split()) in "".join(answer.out.split())


@pytest.mark.parametrize(
    ("source", "top", "code"),
    [
        ({}, {}, 0),
        ({"state": "retrying", "error": error("SourceUnavailable", 4.0)}, {}, 0),
        ({"state": "failed", "error": error("SourceRefused")}, {}, 1),
        ({"state": "retrying", "error": error("SourceRefused", 60.0)}, {}, 1),
        ({"refused": [REFUSED]}, {}, 1),
        ({}, {"state_dir_full": True}, 1),
        ({}, {"running": False}, 0),
        ({}, {"holder": StateHolder.here().text}, 1),
    ],
    ids=["fine", "retried", "failed", "operator", "refused", "full", "stopped", "died"],
)
def test_status_exits_with_1_when_an_operator_must_act(
    project: Project, source: dict[str, Any], top: dict[str, Any], code: int
) -> None:
    write(project, source, **top)
    assert project.cdc("status").code == code
    assert project.cdc("status", "--json").code == code


HALF_EDITED = {
    "not valid YAML": "state_dir: ./state\nsources:\n  shop: {type: [\n",
    "is a duplicate key": "sources: {}\nstate_dir: state  # kept\nsources: {}\n",
    "is not a known key": "{state_dir: state, source: {}, sinks: {}}",
}


@pytest.mark.parametrize(("problem", "text"), HALF_EDITED.items(), ids=[*HALF_EDITED])
def test_an_error_in_the_file_is_a_warning_beside_the_state(
    project: Project, problem: str, text: str
) -> None:
    write(project)
    (project.folder / "cdc.yaml").write_text(text, "utf-8")
    shown = project.cdc("status")
    assert (shown.code, shown.out.splitlines()[0][:7]) == (0, "running")
    assert "source shop  streaming" in shown.out
    assert "from        shop, at offset 81,234,567" in shown.out
    assert shown.err.startswith("warning: cdc.yaml:")
    assert problem in shown.err
    assert f"  Used instead: the last report of the daemon in {project.folder / 'state'}\n" in shown.err
    as_json = project.cdc("status", "--json")
    assert as_json.json["sources"]["shop"]["state"] == "streaming"
    assert problem in orjson.loads(as_json.err)["warning"]["message"]


def test_the_default_state_dir_is_looked_at_where_the_file_names_none(project: Project) -> None:
    write(project)
    (project.folder / "cdc.yaml").write_text("sources: [\nstate", "utf-8")
    shown = project.cdc("status")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: cdc.yaml:")
    (project.folder / "state").rename(project.folder / "cdc-data")
    shown = project.cdc("status")
    assert "source shop  streaming" in shown.out
    assert shown.err.startswith("warning: cdc.yaml:")


def test_doctor_shows_the_state_under_a_file_with_an_error(project: Project) -> None:
    write(project)
    (project.folder / "cdc.yaml").write_text(HALF_EDITED["not valid YAML"], "utf-8")
    answer = project.cdc("doctor")
    assert answer.code == 2
    assert "source shop  streaming" in answer.out
    assert answer.err.startswith("error: cdc.yaml:")
    assert project.cdc("doctor", "--json").json["status"]["running"]


def test_check_reports_the_full_disk_that_a_running_daemon_waits_for(project: Project) -> None:
    write(project, state_dir_full=True)
    found = {finding["code"]: finding["severity"] for finding in project.cdc("check", "--json").json}
    assert found["disk-full"] == "error"


def test_status_of_a_stopped_daemon_shows_no_rates_waits_or_retries(project: Project) -> None:
    wait = {"reason": "the stream has not come to it", "remedy": "", "since": "2026-11-30T00:00:00Z"}
    retried = {"waits": [wait], "error": error("SourceUnavailable", 4.0)}
    write(project, retried, running=False)
    shown = project.cdc("status").out
    assert "copy paused 1 of 3 tables" in shown
    assert [word for word in ("rows/s", "waits", "attempt") if word in shown] == []
    source = project.cdc("status", "--json").json["sources"]["shop"]
    assert (source["rows_per_second"], source["waits"], source["error"]["retry_seconds"]) == (0.0, [], None)


def test_status_says_that_the_daemon_died(project: Project) -> None:
    write(project, holder=StateHolder.here().text)
    assert f"process {os.getpid()} was killed or crashed" in project.cdc("status").out


def test_status_never_writes_a_control_character(project: Project) -> None:
    write(project, {"error": error("SourceRefused") | {"message": "role \x1b[2J\x07 does not exist"}})
    shown = project.cdc("status").out
    assert "role \\x1b[2J" in shown
    assert not [character for character in shown if not character.isprintable() and character != "\n"]


def test_status_watches_until_it_is_interrupted(project: Project) -> None:
    write(project)
    output = project.folder / "watched"
    with output.open("wb") as file, interruptible():
        watching = subprocess.Popen(
            cdc_command("status", "--watch"),
            cwd=project.folder,
            env=child_environment(),
            stdout=file,
        )
        wait_until(lambda: ". " in output.read_text("utf-8"), "the verdict")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEFAULT_TIMEOUT_SECONDS) == 130
