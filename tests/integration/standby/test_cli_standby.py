"""`cdc run --standby`: waits for the lock, says so, takes over with the newest good configuration."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from tests.integration.cli.conftest import SINK, Project
from tests.support.notify_socket import NotifySocket
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import wait_until

SECOND = {"type": SINK, "from": ["shop"], "path": "./second.bin", "flush": {"interval": "0s"}}


def daemon(project: Project, *arguments: str, **environment: str) -> CdcProcess:
    return CdcProcess("run", *arguments, cwd=project.folder, environment=environment)


@contextmanager
def active_and(project: Project, *options: str) -> Iterator[list[CdcProcess]]:
    """A daemon that runs, and then so many standbys."""
    with ExitStack() as stack:
        found = [stack.enter_context(daemon(project))]
        found[0].wait_for_log('"running"')
        for option in options:
            found.append(stack.enter_context(daemon(project, option)))
            found[-1].wait_for_log("standing by")
        yield found


def standbys(project: Project) -> list[int]:
    return [one["pid"] for one in project.cdc("status", "--json").json["standbys"]]


def test_a_standby_says_that_it_waits_and_takes_over_a_killed_daemon(project: Project) -> None:
    with active_and(project, "--standby") as (active, standby):
        standby.wait_for_log(f"process {active.pid} holds this state directory")
        wait_until(lambda: standbys(project) == [standby.pid], "the standby in the status")
        assert f"standby: process {standby.pid} on " in project.cdc("status").out
        active.kill9()
        standby.wait_for_log('"running"')
        assert standbys(project) == []
        assert f"running as process {standby.pid}" in project.cdc("status").out
        assert standby.terminate() == 0
    assert list((project.folder / "state" / "standbys").iterdir()) == []


def test_a_standby_without_an_active_daemon_runs_at_once(project: Project) -> None:
    with daemon(project, "--standby") as only:
        only.wait_for_log('"running"')
        assert "standing by" not in only.log_text
        assert only.terminate() == 0


def test_a_standby_that_is_stopped_or_killed_leaves_no_trace(project: Project) -> None:
    with active_and(project, "--standby", "--standby") as (active, one, other):
        wait_until(lambda: len(standbys(project)) == 2, "both standbys in the status")
        assert one.terminate() == 0
        other.kill9()
        assert standbys(project) == []
        assert active.terminate() == 0


def test_a_standby_takes_over_with_the_newest_good_configuration(project: Project) -> None:
    config = project.config
    with active_and(project, "--standby") as (active, standby):
        project.write({**config, "sinks": {**config["sinks"], "second": SECOND}})
        assert project.cdc("reload").code == 0
        standby.hang_up()
        project.write({**config, "sinks": {"broken": {}}})
        standby.hang_up()
        standby.wait_for_log("stays in force")
        project.write(
            {**config, "sinks": {**config["sinks"], "second": SECOND, "third": {**SECOND, "path": "3.bin"}}}
        )
        active.kill9()
        standby.wait_for_log('"running"')
        status: dict[str, Any] = project.cdc("status", "--json").json
        assert {name for name, pairs in status["sinks"].items() if pairs[0]["state"] != "never run"} == {
            "store",
            "second",
            "third",
        }
        assert standby.terminate() == 0


@pytest.mark.parametrize(
    ("arguments", "config", "words"),
    [
        (["--once"], {}, "cannot be combined with --once"),
        ([], {"sources": {}}, "must name at least one source"),
    ],
)
def test_what_could_never_take_over_is_refused_at_its_start(
    project: Project, arguments: list[str], config: dict[str, Any], words: str
) -> None:
    project.write({**project.config, **config})
    result = run_cdc("run", "--standby", *arguments, cwd=project.folder)
    assert result.returncode == 2
    assert words in result.stderr


def test_a_standby_older_than_the_state_is_refused_at_its_start(finished: Project) -> None:
    with closing(sqlite3.connect(finished.folder / "state" / "state.sqlite")) as connection:
        connection.execute("pragma user_version = 1000")
    result = run_cdc("run", "--standby", cwd=finished.folder)
    assert result.returncode == 1
    assert "the state has version 1000" in result.stderr
    assert "Run the newer version that wrote it" in result.stderr


def test_the_service_manager_hears_that_a_standby_is_ready_and_waits(project: Project) -> None:
    name = f"@cdc-standby-{os.getpid()}"
    with NotifySocket(name) as heard, daemon(project) as active:
        active.wait_for_log('"running"')
        with daemon(project, "--standby", NOTIFY_SOCKET=name) as standby:
            ready = heard.wait_for("READY", "1")
            assert ready["STATUS"] == f"Standing by: process {active.pid} holds this state directory."
            heard.wait_for("WATCHDOG", "1")
            active.kill9()
            heard.wait_for("STATUS", "All is well")
            assert standby.terminate() == 0
