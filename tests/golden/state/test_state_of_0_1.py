"""A state directory that version 0.1.0 wrote is read, and goes on.

It was recorded while a copy was under way: one table is live, the other one's copy has one of three chunks,
and buffered changes of which some are in the log and some are not; a plan was saved whose sink was down.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.errors import StateError
from cdc.log import LocalLogs
from cdc.state import LocalState
from cdc.testing.events import table
from tests.integration.engine.conftest import Bench

HERE = Path(__file__).parent
T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
OTHER = table("public.other", {"id": pa.int64(), "note": pa.string()}, relation=2)


def make_source(bench: Bench) -> None:
    """The database that it was recorded from."""
    database = bench.database
    database.create(T, [{"id": i, "note": "old"} for i in range(25)])
    database.create(OTHER, [{"id": i, "note": "old"} for i in range(5)], followed=True)
    database.followed.add(T.table)
    new = {"note": "new"}
    database.commit([("public.t", "u", {"id": 3, **new}), ("public.other", "c", {"id": 50, **new})])
    database.commit(
        [
            ("public.t", "d", {"id": 4}),
            ("public.t", "c", {"id": 40, **new}),
            ("public.other", "d", {"id": 1}),
        ]
    )
    database.commit([("public.t", "c", {"id": 41, **new}), ("public.t", "d", {"id": 7})])


def test_a_recorded_state_is_read_and_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "state", snapshot_chunks=1, snapshot_tables=1)
    shutil.copytree(HERE / "0.1.0", bench.folder)
    make_source(bench)
    with closing(LocalState(bench.folder).reader()) as reader:
        assert (reader.cursors("shop"), reader.unfinished_copies()) == ({}, [])
        assert reader.reload_requests() == []
    with closing(LocalState(bench.folder).open()) as state:
        plan = state.plan("lake", "shop")
        assert plan is not None
        assert (plan.first, plan.next) == (0, 1)
    with closing(LocalLogs(bench.folder).writer("shop")) as log:
        assert log.end is not None
        assert log.end.position == bench.database.now
        buffer = json.loads(log.metadata['table:["public", "t"]'])["held"]
        assert [commit.row_count for commit in log.buffered(buffer).commits(0)] == [1, 2, 2]
    bench.start()
    bench.wait_until_equal("public.t")
    bench.wait_until_equal("public.other")
    bench.database.commit([("public.t", "u", {"id": 41, "note": "later"})])
    bench.wait_until_equal("public.t")
    assert bench.running is not None
    bench.running.stop()
    seqs = [row["_cdc_seq"] for name in ("public.t", "public.other") for row in bench.store.rows(name)]
    assert len(seqs) == len(set(seqs))
    with closing(LocalLogs(bench.folder).writer("shop")) as log:
        assert not any(key.startswith("held:") for key in log.metadata)


def test_a_request_to_a_recorded_state_names_the_version_that_it_needs(tmp_path: Path) -> None:
    shutil.copytree(HERE / "0.1.0", tmp_path / "state")
    with closing(LocalState(tmp_path / "state").reader()) as reader:
        asks: tuple[Callable[[], object], ...] = (
            lambda: reader.add_pause("sink", "lake", "operator"),
            lambda: reader.request_table_pause("shop", T.table, pauses=True),
            lambda: reader.request_reload("operator", dry_run=True),
        )
        for ask in asks:
            with pytest.raises(
                StateError, match=r"the state has version \d+; this command needs version \d+"
            ) as e:
                ask()
            assert e.value.remedy is not None
            assert "Restart the daemon with this version" in e.value.remedy
