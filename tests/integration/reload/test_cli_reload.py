"""A running daemon takes up a changed configuration: by signal, by command and by HTTP, or says why not."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cli.conftest import SINK, SOURCE, Project, minimal
from tests.integration.http.conftest import TOKEN, Client, client_of, environment, with_http
from tests.support.notify_socket import NotifySocket
from tests.support.processes import CdcProcess, cdc_command, child_environment
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

SECOND = {"type": SINK, "from": ["shop"], "path": "./second.bin", "flush": {"interval": "0s"}}


def states(project: Project) -> dict[str, str]:
    status = project.cdc("status", "--json").json
    found = {name: source["state"] for name, source in status["sources"].items()}
    return found | {name: pairs[0]["state"] for name, pairs in status["sinks"].items()}


def wait_until_well(project: Project) -> None:
    wait_until(
        lambda: set(states(project).values()) == {"streaming", "idle"}, "all sources and sinks to be well"
    )


@pytest.fixture
def daemon(project: Project) -> Iterator[CdcProcess]:
    """A daemon that streams and serves HTTP."""
    with_http(project)
    with CdcProcess("run", cwd=project.folder, environment=environment()) as started:
        started.wait_for_log("serving HTTP")
        wait_until_well(project)
        yield started


def test_sources_and_sinks_come_change_and_go_while_the_others_continue(
    project: Project, daemon: CdcProcess
) -> None:
    config = project.config
    config["sources"]["crm"] = {"type": SOURCE, "snapshot": "never", "name": "crm"}
    config["sinks"]["second"] = SECOND | {"from": ["crm"]}
    config["sinks"]["store"]["flush"] = {"interval": "1s"}
    project.write(config)
    # WHEN it is only asked what would change
    expected = [
        {"part": "sources.crm", "change": "added", "keys": []},
        {"part": "sinks.store", "change": "changed", "keys": ["flush"]},
        {"part": "sinks.second", "change": "added", "keys": []},
    ]
    assert project.cdc("reload", "--dry-run", "--json").json["changes"] == expected
    assert "the file has changed since" in project.cdc("status").out
    assert "cdc reload --dry-run" in project.cdc("status").out
    # THEN nothing changes until it is done
    answer = project.cdc("reload")
    assert answer.code == 0
    assert answer.out.splitlines()[1:] == [
        "  sources.crm added",
        "  sinks.store changed (flush)",
        "  sinks.second added",
    ]
    wait_until_well(project)
    assert set(states(project)) == {"shop", "crm", "store", "second"}
    assert "has changed since" not in project.cdc("status").out
    # WHEN they go, THEN the source that leaves may still have a slot
    project.write({**config, "sources": minimal()["sources"], "sinks": minimal()["sinks"]})
    daemon.hang_up()
    daemon.wait_for_log("the removed source may still keep changes")
    assert project.cdc("reload").out.endswith("has not changed.\n")
    wait_until_well(project)
    assert daemon.terminate() == 0
    assert not [one for one in daemon.log_records if one["level"] == "error"]


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        (
            {"sources": {"shop": {"type": SOURCE, "transactions": "many"}}},
            "sources.shop.transactions",
            "whole",
        ),
        ({"sources": {"shop": {"type": "nowhere:Source"}}}, "sources.shop.type", "nowhere"),
        ({"sinks": {"a": SECOND, "b": SECOND}}, "sinks.b.path", "also the path"),
        ({"umask": "022"}, "umask", "cannot change while"),
        (
            {"http": {"behind_proxy": True, "token": "${CDC_TOKEN:-}"}},
            "http.behind_proxy",
            "cannot change while",
        ),
        (
            {"sources": {"shop": {"type": "mysql", "url": "mysql://u:p@127.0.0.1:1/shop"}}},
            "sources.shop.type",
            "cannot change while",
        ),
        (
            {"sources": {"shop": {"type": SOURCE, "snapshot": "never", "name": "other"}}},
            "sources.shop",
            "not the database",
        ),
    ],
)
def test_what_cannot_be_taken_up_is_refused_and_the_old_one_stays_in_force(
    project: Project, daemon: CdcProcess, change: dict[str, Any], where: str, reason: str
) -> None:
    before = project.config
    project.write({**before, "sinks": {**before["sinks"], "second": SECOND}, **change})
    daemon.hang_up()
    daemon.wait_for_log("stays in force")
    (refused,) = [one for one in daemon.log_records if "stays in force" in one["event"]]
    assert refused["level"] == "error"
    assert where in refused["where"]
    assert reason in refused["error"]
    project.write(before)
    wait_until(lambda: "a later one was refused" in project.cdc("status").out, "the refusal in the status")
    assert where in project.cdc("status").out
    assert set(states(project).values()) == {"streaming", "idle"}
    # WHEN the file is mended, THEN it counts
    assert project.cdc("reload").code == 0
    wait_until(lambda: "refused" not in project.cdc("status").out, "no refusal in the status")


def test_the_command_names_everything_that_only_a_restart_takes_up(
    project: Project, daemon: CdcProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDC_TOKEN", TOKEN)
    project.write(
        {**project.config, "umask": "022", "http": {"behind_proxy": True, "token": "${CDC_TOKEN:-}"}}
    )
    for arguments in (["reload", "--dry-run"], ["reload"]):
        answer = project.cdc(*arguments)
        assert answer.code == 2
        assert answer.err.count("cannot change while the daemon runs") == 2
        assert "restart the daemon" in answer.err
    assert daemon.exit_code is None


def test_http_says_what_would_change_and_does_it(project: Project, daemon: CdcProcess) -> None:
    client: Client = client_of(daemon)
    config = project.config
    project.write({**config, "sinks": {**config["sinks"], "second": SECOND}})
    said = client.send("POST", "/api/v1/reload?dry_run=true", b"{}", {})
    assert (said.status, said.json["command"]) == (200, "cdc reload")
    assert "sinks.second added" in said.json["happens"]
    assert "second" not in client.get("/api/v1/status").json["sinks"]
    assert client.post("/api/v1/reload", {}, token=None).status == 401
    done = client.post("/api/v1/reload", {}).json
    assert done["changes"] == [{"part": "sinks.second", "change": "added", "keys": []}]
    assert "second" in client.get("/api/v1/status").json["sinks"]
    client.wait_for_title("All is well")
    project.write({**config, "umask": "022"})
    refused = client.post("/api/v1/reload", {})
    assert (refused.status, refused.error["where"]) == (409, "umask")


def test_without_a_daemon_there_is_nothing_to_reload(project: Project) -> None:
    answer = project.cdc("reload")
    assert answer.code == 1
    assert "no daemon is running" in answer.err


def test_the_service_manager_hears_of_a_reload(project: Project) -> None:
    name = f"@cdc-reload-{os.getpid()}"
    with NotifySocket(name) as heard:
        told = {"NOTIFY_SOCKET": name}
        with CdcProcess("run", cwd=project.folder, environment=told) as daemon:
            heard.wait_for("READY", "1")
            daemon.hang_up()
            assert int(heard.wait_for("RELOADING", "1")["MONOTONIC_USEC"]) > 0
            heard.wait_for("READY", "1")


def test_a_daemon_ends_with_its_terminal(project: Project) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *cdc_command("run", "--progress", "plain")],
        cwd=project.folder,
        env=child_environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        os.close(theirs)
        wait_until(lambda: project.cdc("status", "--json").json["running"], "the daemon to run")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: b"has not changed" in os.read(ours, 4096), "the reload")
        os.close(ours)
        assert process.wait(DEFAULT_TIMEOUT_SECONDS) == -signal.SIGHUP
    finally:
        process.kill()
        process.wait()


def test_many_signals_at_once_do_no_harm(project: Project, daemon: CdcProcess) -> None:
    config = project.config
    for _ in range(50):
        daemon.hang_up()
    project.write({**config, "sinks": {**config["sinks"], "second": SECOND}})
    assert project.cdc("reload").code == 0
    wait_until_well(project)
    assert daemon.terminate() == 0
