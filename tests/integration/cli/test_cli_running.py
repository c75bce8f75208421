"""`cdc run` as users start it, and the commands that talk to it while it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from cdc.control.status import daemon_of
from cdc.errors import StateError
from cdc.spi import registry
from cdc.state import LocalState
from cdc.testing.memory import load_store
from cdc_config import load
from tests.integration.cli.conftest import Project, minimal
from tests.support.processes import ROOT, CdcProcess, cdc_command, child_environment, run_cdc
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

# A daemon that waits for no delivery when it stops.
IMPATIENT = """
from cdc.cli.main import main
from cdc.engine import engine
engine.STOP_WRITING_SECONDS = 0.0
main()
"""


@pytest.fixture
def daemon(project: Project) -> Iterator[CdcProcess]:
    """The daemon, with everything delivered."""
    with CdcProcess("run", cwd=project.folder) as running:
        wait_until(lambda: delivered(project) == 10, "ten changes in the sink")
        wait_until(lambda: pair(project).get("next") == 10, "the status to say so")
        yield running


def delivered(project: Project) -> int:
    cursor = load_store(project.folder / "store.bin").cursors.get("shop")
    return cursor.next if cursor else 0


def pair(project: Project) -> dict[str, object]:
    pairs = project.cdc("status", "--json").json["sinks"]["store"]
    found: dict[str, object] = pairs[0]
    return found


@pytest.mark.parametrize("module", ["typer", "pyarrow"])
def test_sigterm_among_the_imports_ends_the_daemon_cleanly(project: Project, module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "cdc", "run"]
    environment = child_environment()
    with subprocess.Popen(
        command, cwd=project.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.split("|")[-1].strip() == module)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0


def test_run_once_delivers_everything_and_ends(project: Project) -> None:
    result = run_cdc("run", "--once", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    head, source, sink = [line.split() for line in result.stdout.splitlines()]
    assert head == ["rows", "rows/s", "time"]
    assert (source[:2], source[5:]) == (["shop", "10"], ["captured,", "log", "at", "offset", "10"])
    assert (sink[:2], sink[5:]) == (["store", "10"], ["of", "shop", "delivered,", "0", "waiting"])
    assert delivered(project) == 10
    assert all(orjson.loads(line)["level"] for line in result.stderr.splitlines())


def test_run_once_again_has_nothing_to_do(finished: Project) -> None:
    result = run_cdc("run", "--once", "--json", cwd=finished.folder)
    assert result.returncode == 0, result.stderr
    document = orjson.loads(result.stdout)
    assert document["outcome"] == "done"
    assert document["sources"]["shop"]["rows"] == 0
    assert document["sinks"]["store"][0]["next"] == 10


def test_run_once_ends_with_exit_code_1_when_its_timeout_is_over(project: Project) -> None:
    project.write(
        {
            **minimal(),
            "sources": {
                "shop": {"type": "postgres", "url": "postgresql://cdc@127.0.0.1:1/shop?connect_timeout=1"}
            },
            "sinks": {},
        }
    )
    # Long enough for the first attempt to fail on a loaded machine.
    result = run_cdc("run", "--once", "--timeout", "10s", cwd=project.folder)
    assert result.returncode == 1
    said = [orjson.loads(line) for line in result.stderr.splitlines()]
    first, last = [record for record in said if record["event"] == "not finished"]
    assert (first["where"], first["kind"]) == ("sources.shop", "SourceUnavailable")
    assert first["error"].startswith("connecting for replication")
    assert (last["where"], last["level"]) == ("--timeout", "error")
    assert last["error"] == "the run did not end within 10s: shop is retrying"
    assert last["remedy"] == "Run the command again: it continues where this run ended."


def test_timeout_needs_once(project: Project) -> None:
    answer = project.cdc("run", "--timeout", "1s")
    assert answer.code == 2
    assert "needs --once" in answer.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_daemon_with_exit_code_0(daemon: CdcProcess, number: int) -> None:
    daemon._process.send_signal(number)
    assert daemon.wait() == 0
    assert daemon.log_records[-1]["outcome"] == "stopped"


def test_a_delivery_that_does_not_stop_in_time_does_not_change_the_exit_code(project: Project) -> None:
    config = minimal()
    config["sinks"]["store"]["type"] = "tests.integration.cli.scripted:EndlessSink"
    project.write(config)
    with CdcProcess("run", cwd=project.folder, program=IMPATIENT) as running:
        running.wait_for_log("endless delivery")
        assert running.terminate() == 0
        events = [record["event"] for record in running.log_records]
    assert events[-2:] == ["stopping now: unfinished work continues at the next start", "stopped"]


def test_status_of_a_running_daemon_says_so(daemon: CdcProcess, project: Project) -> None:
    document = project.cdc("status", "--json").json
    assert (document["running"], document["pid"]) == (True, daemon.pid)
    assert document["sources"]["shop"]["state"] == "streaming"
    assert project.cdc("status").out.startswith(f"running as process {daemon.pid} since ")


def test_killed_daemon_is_not_shown_as_running(daemon: CdcProcess, project: Project) -> None:
    daemon.kill9()
    assert project.cdc("status", "--json").json["running"] is False


def test_second_daemon_is_refused_and_names_the_first(daemon: CdcProcess, project: Project) -> None:
    result = run_cdc("run", cwd=project.folder)
    assert result.returncode == 1
    assert f"process {daemon.pid} holds this state directory" in result.stderr


@pytest.mark.usefixtures("daemon")
def test_replay_is_taken_up_by_the_running_daemon(project: Project) -> None:
    answer = project.cdc("replay", "store", "--from", "5", "--wait", "--json")
    assert answer.code == 0, answer.err
    assert answer.json == {
        "sink": "store",
        "source": "shop",
        "offset": 4,
        "log_end": 10,
        "taken": True,
        "daemon": True,
    }
    assert delivered(project) == 10
    rows = load_store(project.folder / "store.bin").rows("public.items")
    assert [row["_cdc_seq"] for row in rows] == [0, 2, 4, 6, 8]
    state = LocalState(project.folder / "state").reader()
    assert state.pending_replays() == []
    state.close()


@pytest.mark.usefixtures("daemon")
def test_a_request_for_a_copy_is_taken_up_by_the_running_daemon(project: Project) -> None:
    answer = project.cdc("snapshot", "public.items", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert (answer.json["taken"], answer.json["daemon"]) == (True, True)

    def ops() -> list[str]:
        return [row["_cdc_op"] for row in load_store(project.folder / "store.bin").rows("public.items")]

    wait_until(lambda: ops() == ["c"] * 5 + ["t"] + ["r"] * 5, "the copy")
    wait_until(lambda: project.cdc("status", "--json").json["requests"] == [], "the end of the request")


def test_replay_without_a_daemon_rewinds_the_sink(finished: Project) -> None:
    answer = finished.cdc("replay", "store", "--from", "earliest")
    assert answer.code == 0, answer.err
    assert answer.out == (
        "store is rewound to offset 0 of shop: 10 changes to apply again.\n"
        "`cdc run` applies them when it starts.\n"
    )
    assert delivered(finished) == 0
    (shown,) = finished.cdc("status", "--json").json["sinks"]["store"]
    assert (shown["next"], shown["behind_changes"]) == (0, 10)
    assert run_cdc("run", "--once", cwd=finished.folder).returncode == 0
    assert delivered(finished) == 10


def test_replay_refuses_to_wait_for_nobody(finished: Project) -> None:
    answer = finished.cdc("replay", "store", "--from", "0", "--wait")
    assert answer.code == 1
    assert answer.err == (
        "error: --wait: no daemon is running to apply the changes again\n"
        "  Omit --wait. The sink catches up when `cdc run` starts.\n"
    )


def test_replay_of_an_empty_sink_is_refused(finished: Project) -> None:
    (finished.folder / "store.bin").unlink()
    answer = finished.cdc("replay", "store", "--from", "0")
    assert answer.code == 1
    assert answer.err.startswith("error: sinks.store: the sink has no changes of 'shop' yet\n")


def test_replay_forward_is_refused(finished: Project) -> None:
    assert finished.cdc("replay", "store", "--from", "2").code == 0
    answer = finished.cdc("replay", "store", "--from", "8")
    assert answer.code == 2
    assert answer.err == (
        "error: sinks.store: the sink is at offset 2, before 8\n"
        "  A replay starts at an earlier offset. To catch up, start `cdc run`.\n"
    )


def test_replay_of_an_unknown_sink_names_the_nearest(finished: Project) -> None:
    answer = finished.cdc("replay", "stor", "--from", "0")
    assert answer.err == "error: replay SINK: there is no sink 'stor'\n  Did you mean 'store'?\n"


@pytest.mark.usefixtures("daemon")
def test_tail_follows_until_its_limit(project: Project) -> None:
    result = run_cdc("tail", "--follow", "--from", "earliest", "-n", "10", cwd=project.folder)
    assert [orjson.loads(line)["_cdc_seq"] for line in result.stdout.splitlines()] == list(range(10))


def test_tail_follow_shows_what_comes_later(finished: Project) -> None:
    follower = subprocess.Popen(
        cdc_command("tail", "--follow", "--from", "10", "-n", "2"),
        cwd=finished.folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    config = minimal(transactions=6)
    finished.write(config)
    assert run_cdc("run", "--once", cwd=finished.folder).returncode == 0
    output, _ = follower.communicate(timeout=DEFAULT_TIMEOUT_SECONDS)
    assert [orjson.loads(line)["_cdc_seq"] for line in output.splitlines()] == [10, 11]


def test_changed_source_is_refused_until_accepted(finished: Project) -> None:
    finished.write(minimal(name="another"))
    refused = run_cdc("run", "--once", cwd=finished.folder)
    assert refused.returncode == 1
    assert "this is not the database that the log was written from: database was" in refused.stderr
    assert "--accept-source" in refused.stderr
    accepted = run_cdc("run", "--once", "--accept-source", "shop", cwd=finished.folder)
    assert accepted.returncode == 0, accepted.stderr


def test_accepting_an_unknown_source_is_a_usage_error(finished: Project) -> None:
    answer = finished.cdc("run", "--accept-source", "shp")
    assert answer.code == 2
    assert answer.err == "error: --accept-source: there is no source 'shp'\n  Did you mean 'shop'?\n"


def test_state_before_the_first_run_is_named(project: Project) -> None:
    with pytest.raises(StateError, match="there is no state here"):
        LocalState(project.folder / "state").reader()
    assert project.cdc("checkpoints").code == 1
    configuration = load(Path("cdc.yaml"), registry.load)
    assert daemon_of(configuration).running is False


def test_a_daemon_that_does_not_start_says_so_in_the_form_of_its_logs(
    daemon: CdcProcess, project: Project
) -> None:
    refused = run_cdc("run", cwd=project.folder)
    assert refused.returncode == 1
    (line,) = map(orjson.loads, refused.stderr.splitlines())
    assert (line["event"], line["level"], line["kind"]) == ("not started", "error", "StateHeld")
    (project.folder / "broken.yaml").write_text("sources: {shop: {type: nonsense}}\numask: 7\n")
    broken = run_cdc("run", "-c", "broken.yaml", cwd=project.folder)
    assert broken.returncode == 2
    lines = [orjson.loads(line) for line in broken.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"not started"}
    assert len(lines) == 2


def test_quiet_runs_log_warnings_only_and_print_no_summary(project: Project) -> None:
    result = run_cdc("run", "--once", "--quiet", cwd=project.folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert delivered(project) == 10
    result = run_cdc("run", "--once", "--log-level", "error", cwd=project.folder)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_replay_is_logged_when_it_ends(finished: Project) -> None:
    finished.cdc("replay", "store", "--from", "earliest")
    result = run_cdc("run", "--once", cwd=finished.folder)
    assert result.returncode == 0
    assert result.stderr.count("replay finished") == 1
