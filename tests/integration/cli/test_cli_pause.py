"""`cdc pause` and `cdc resume`: what has the name, what the state keeps, what a running daemon does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cli.conftest import Project
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import wait_until


def test_without_a_daemon_a_pause_is_kept_for_its_next_start(finished: Project) -> None:
    answer = finished.cdc("pause", "store")
    assert answer.code == 0
    assert "sink store is paused.\nNo daemon is running" in answer.out
    assert "sink store is already paused" in finished.cdc("pause", "store").out
    assert "until: cdc resume store" in " ".join(finished.cdc("status").out.split())
    paused = finished.cdc("status", "--json").json["sinks"]["store"][0]["paused"]
    assert set(paused) == {"at", "by"}
    assert run_cdc("run", "--once", cwd=finished.folder).returncode == 0
    expected = {
        "sink": "store",
        "tables": None,
        "resumed": True,
        "changed": True,
        "daemon": False,
        "taken": False,
    }
    assert finished.cdc("resume", "store", "--json").json == expected
    assert "sink store is not paused" in finished.cdc("resume", "store").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stor"], ["no source or sink 'stor'", "Name one of shop, store"]),
        (["shop", "public.item"], ["no selected table 'public.item'", "Did you mean public.items?"]),
        (["store", "public.items"], ["no source 'store'"]),
        (["store", "--kind", "sources"], ["neither source nor sink"]),
    ],
)
def test_what_does_not_exist_cannot_be_paused(
    finished: Project, arguments: list[str], words: list[str]
) -> None:
    answer = finished.cdc("pause", *arguments)
    assert answer.code == 2
    assert [word for word in words if word not in answer.err] == []


def test_a_running_daemon_pauses_and_resumes(finished: Project) -> None:
    def states() -> dict[str, Any]:
        status = finished.cdc("status", "--json").json
        return {"source": status["sources"]["shop"]["state"], "sink": status["sinks"]["store"][0]["state"]}

    with CdcProcess("run", cwd=finished.folder) as daemon:
        daemon.wait_for_log("running")
        wait_until(lambda: states() == {"source": "streaming", "sink": "idle"}, "the daemon to stream")
        for name, kind in (("shop", "source"), ("store", "sink")):
            assert finished.cdc("pause", name, "--json").json["taken"] is True
            assert states()[kind] == "paused"
        assert finished.cdc("resume", "shop").out == "source shop is resumed.\n"
        wait_until(
            lambda: states() == {"source": "streaming", "sink": "paused"}, "the source to stream again"
        )
        assert finished.cdc("pause", "shop", "public.items").out == "public.items of shop is paused.\n"
        (copy,) = finished.cdc("status", "--json").json["sources"]["shop"]["log"]["copies"]
        assert (copy["table"], copy["state"]) == ("public.items", "paused")
        assert finished.cdc("resume", "shop", "public.items").code == 0
