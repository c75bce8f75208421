"""The live view of `cdc run` and `cdc status --watch` on a terminal, and what stands for it elsewhere."""

from __future__ import annotations

import itertools
import re

import orjson
import pytest

from tests.integration.cli.conftest import Project
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess, run_cdc
from tests.support.terminal import OnTerminal, normalised
from tests.support.waiting import wait_until

# As `normalised` leaves them.
NARROW = """\
● All is well # UTC
# sinks follow # source. The least fresh, SINK, is # s behind.

SINK FROM STATE FRESHNESS TREND ROWS BEHIND
warehouse shop ● up to date # s #
lake shop ● up to date # s #

SOURCE STATE NOT READ YET ROWS/S LOG
shop ● streaming # B # # B

log # B of # B · memory # of # B · Ctrl-C stops"""
WIDE = """\
● All is well cdcd # · up # s · # UTC
# sinks follow # source. The least fresh, SINK, is # s behind.

SINK FROM STATE FRESHNESS TREND ROWS BEHIND BYTES ROWS/S LAST # MIN
warehouse shop ● up to date # s # # B #
lake shop ● up to date # s # # B #

SOURCE STATE POSITION NOT READ YET ROWS/S LOG
shop ● streaming # # B # # B, # changes

log # B of # B · memory # of # B · Ctrl-C stops"""
NARROW_HEADINGS = [
    "  SINK       FROM  STATE            FRESHNESS  TREND          ROWS BEHIND",
    "  SOURCE  STATE          NOT READ YET    ROWS/S  LOG",
]


@pytest.fixture
def shop(database15: Database, project: Project) -> Project:
    """A database with a table, into two sinks."""
    database15.execute(
        "create table public.orders (id int primary key, note text)",
        "insert into public.orders select n, 'hunter2' from generate_series(1, 5) n",
    )
    source = {"type": "postgres", "url": database15.url, "slot": f"shop_{database15.name}", "ddl": "watch"}
    project.write(
        {
            "http": {"listen": "off"},
            "sources": {"shop": source},
            "sinks": {
                "warehouse": {"type": "duckdb", "path": "./warehouse.duckdb", "flush": {"interval": "0s"}},
                "lake": {"type": "parquet", "url": "./lake", "flush": {"interval": "1s"}},
            },
        }
    )
    return project


def headings(view: str) -> list[str]:
    """The headings of sinks and sources, as they stand."""
    return [line for line in view.splitlines() if line.lstrip().startswith(("SINK", "SOURCE"))]


@pytest.mark.parametrize(("columns", "expected"), [(80, NARROW), (120, WIDE)])
def test_run_on_a_terminal_draws_verdict_sinks_and_sources_below_its_log(
    shop: Project, columns: int, expected: str
) -> None:
    with OnTerminal("run", cwd=shop.folder, columns=columns) as daemon:
        screen = daemon.wait_for("All is well", "● streaming", "Ctrl-C stops")
        view = screen[screen.index("● All is well") :]
        assert normalised(re.sub("fresh, [a-z]+,", "fresh, SINK,", view)) == expected
        assert all(len(line) <= columns for line in view.splitlines())
        assert "hunter2" not in screen
        daemon.interrupt()
        assert daemon.wait() == 0
        ended = daemon.text
    assert "All is well" not in ended
    lines = [line.split() for line in ended.splitlines()]
    assert ["rows", "rows/s", "time"] in lines
    assert [line[0] for line in lines if "delivered," in line] == ["warehouse", "lake"]


def test_the_closing_table_counts_what_was_flushed_during_the_stop(shop: Project) -> None:
    config = shop.config
    config["sinks"]["lake"]["flush"] = {"interval": "1h"}
    shop.write(config)
    with OnTerminal("run", cwd=shop.folder) as daemon:
        # Five rows between the marks of their copy: they wait for the flush in an hour.
        daemon.wait_for(f"{7:>10}\n", "● up to date", "● streaming")
        daemon.interrupt()
        assert daemon.wait() == 0
        lines = [line.split() for line in daemon.text.splitlines() if "delivered," in line]
    assert [(line[0], line[1], line[-2]) for line in lines] == [("warehouse", "5", "0"), ("lake", "5", "0")]


def test_a_source_that_is_down_is_shown_with_its_remedy(
    postgres_factory: PostgresFactory, project: Project
) -> None:
    server = postgres_factory()
    with server.connect() as connection:
        connection.execute("create table public.orders (id int primary key)")
    project.write(
        {
            "http": {"listen": "off"},
            "sources": {"shop": {"type": "postgres", "url": server.dsn(), "ddl": "watch"}},
            "sinks": {"lake": {"type": "parquet", "url": "./lake", "flush": {"interval": "1s"}}},
        }
    )
    with OnTerminal("run", cwd=project.folder) as daemon:
        daemon.wait_for("All is well")
        server.stop("immediate")
        daemon.wait_for("▲ Source shop is retried", "▲ sources.shop  SourceUnavailable", "next in")
        server.restart()
        daemon.wait_for("All is well", "● streaming")
        retried = [screen for screen in daemon.screens if "▲ retrying" in screen]
    assert retried
    assert not [screen for screen in retried if "● up to date" in screen or "All is well" in screen]


def test_watch_draws_the_same_view_on_the_other_screen_and_leaves_none(shop: Project) -> None:
    with CdcProcess("run", cwd=shop.folder) as daemon:
        daemon.wait_for_log("streaming")
        with OnTerminal("status", "--watch", cwd=shop.folder) as watching:
            # The verdict can be ahead of the source's own word, whose length moves the columns.
            view = watching.wait_for("● All is well", "● streaming", "Ctrl-C ends this view, not the daemon")
            assert headings(view) == NARROW_HEADINGS
            watching.interrupt()
            assert watching.wait() == 130
            assert watching.text == ""


def test_watch_on_a_pipe_says_each_verdict_once(shop: Project) -> None:
    output = shop.folder / "watched"
    with CdcProcess("status", "--watch", cwd=shop.folder, log=output):
        wait_until(lambda: "Never run. " in output.read_text("utf-8"), "the first verdict")
        assert run_cdc("run", "--once", cwd=shop.folder).returncode == 0
        wait_until(lambda: "Stopped. " in output.read_text("utf-8"), "the verdict after the run")
    titles = [line.split("  ")[1].partition(".")[0] for line in output.read_text("utf-8").splitlines()]
    assert all(one != other for one, other in itertools.pairwise(titles))


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CDC_RUN_PROGRESS": "plain"}])
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(shop: Project, environment: dict[str, str]) -> None:
    with OnTerminal("run", "--once", cwd=shop.folder, environment=environment) as run:
        assert run.wait() == 0
        assert "] streaming" in run.text.replace("\n", "")
        assert "All is well" not in run.text


@pytest.mark.parametrize("form", ["plain", "json", None])
def test_a_pipe_gets_lines_in_the_form_that_is_asked_for(shop: Project, form: str | None) -> None:
    result = run_cdc("run", "--once", *([] if form is None else ["--progress", form]), cwd=shop.folder)
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    if form == "plain":
        assert "[info     ] stopped outcome=done" in lines[-1]
        assert "\x1b" not in result.stderr
    else:
        assert orjson.loads(lines[-1])["event"] == "stopped"


def test_a_view_needs_a_terminal(shop: Project) -> None:
    result = run_cdc("run", "--progress", "live", cwd=shop.folder)
    assert (result.returncode, result.stderr) == (
        2,
        "error: --progress: live needs a terminal on stderr\n  Use --progress plain, or json.\n",
    )


def test_once_ends_with_a_table_of_rows_rate_and_time(shop: Project) -> None:
    result = run_cdc("run", "--once", cwd=shop.folder)
    head, *lines = [line.split() for line in result.stdout.splitlines()]
    assert head == ["rows", "rows/s", "time"]
    assert [(line[0], line[1]) for line in lines] == [("shop", "5"), ("warehouse", "5"), ("lake", "5")]
    assert [line[5:] for line in lines[1:]] == [["of", "shop", "delivered,", "0", "waiting"]] * 2


def test_no_colour_is_written_where_the_environment_forbids_it(shop: Project) -> None:
    with OnTerminal("status", "--watch", cwd=shop.folder, environment={"NO_COLOR": "1"}) as watching:
        assert "○ Never run" in watching.wait_for("Ctrl-C ends this view")
        assert not watching.terminal.colours
