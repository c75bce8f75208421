"""`cdc snapshot`: a request is checked, kept, taken by the daemon or its next start, and shown in status."""

from __future__ import annotations

from contextlib import closing

import pytest

from cdc.state import LocalState
from cdc.testing.memory import load_store
from tests.integration.cli.conftest import Project
from tests.support.processes import run_cdc


def reads(project: Project, table: str = "public.items") -> int:
    rows = load_store(project.folder / "store.bin").rows(table)
    return [row["_cdc_op"] for row in rows].count("r")


def test_without_a_daemon_the_request_waits_for_its_next_start(finished: Project) -> None:
    answer = finished.cdc("snapshot", "shop", "public.items")
    assert answer.code == 0
    assert "Request 1: copy public.items of shop into all sinks" in answer.out
    assert "makes the copy when it starts" in answer.out
    assert "request 1, waiting: copy public.items of shop into all sinks" in finished.cdc("status").out
    result = run_cdc("run", "--once", cwd=finished.folder)
    assert result.returncode == 0, result.stderr
    assert (reads(finished), reads(finished, "public.notes")) == (5, 0)
    assert finished.cdc("status", "--json").json["requests"] == []


def test_all_tables_into_one_sink_as_json_and_not_asked_for_twice(finished: Project) -> None:
    said = [finished.cdc("snapshot", "--sink", "store", "--json").json for _ in range(2)]
    expected = {"request": 1, "source": "shop", "tables": None, "sink": "store"}
    assert said == [expected | {"daemon": False, "taken": False}] * 2
    assert run_cdc("run", "--once", cwd=finished.folder).returncode == 0
    assert (reads(finished), reads(finished, "public.notes")) == (5, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop", "public.item"], ["no selected table 'public.item'", "Did you mean public.items?"]),
        (["public.unlike"], ["no selected table 'public.unlike'", "`tables` of sources.shop"]),
        (["items"], ["a table needs its schema", "Did you mean: cdc snapshot shop public.items\n"]),
        (["shop", "items"], ["no selected table 'items'", "Did you mean public.items?"]),
        (["shup", "public.items"], ["no source 'shup'", "Did you mean 'shop'?"]),
        (["shop", "--sink", "stor"], ["no sink 'stor'", "Did you mean 'store'?"]),
    ],
)
def test_what_does_not_exist_is_refused_with_near_names(
    finished: Project, arguments: list[str], words: list[str]
) -> None:
    answer = finished.cdc("snapshot", *arguments)
    assert answer.code == 2
    assert [word for word in words if word not in answer.err] == []
    with closing(LocalState(finished.folder / "state").reader()) as state:
        assert state.unfinished_copies() == []


def test_before_the_first_run_there_is_nothing_to_ask(project: Project) -> None:
    answer = project.cdc("snapshot", "shop", "public.items")
    assert answer.code == 1
    assert "`cdc run`" in answer.err
