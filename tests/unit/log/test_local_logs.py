from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from cdc.log import LocalLogs
from cdc.log.view import LogView
from cdc.testing.events import append
from tests.support.logs import one
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS


def test_a_reader_in_another_process_waits_for_what_is_written(tmp_path: Path) -> None:
    with closing(LocalLogs(tmp_path).writer("shop")) as log:
        append(log, one(10, 1))
        reader = LocalLogs(tmp_path).reader("shop")
        assert reader.identity == log.identity
        assert not reader.wait(1, 0.0)
        woken: list[bool] = []
        waiter = threading.Thread(target=lambda: woken.append(reader.wait(1, DEFAULT_TIMEOUT_SECONDS)))
        waiter.start()
        append(log, one(20, 2))
        waiter.join(DEFAULT_TIMEOUT_SECONDS)
        assert woken == [True]
        assert [row["id"] for batch in reader.read(1, 2) for row in batch.rows()] == [2]


def test_a_reader_beside_the_writer_sees_a_commit_at_once(tmp_path: Path) -> None:
    logs = LocalLogs(tmp_path)
    with closing(logs.writer("shop")) as log:
        reader, outside = logs.reader("shop"), LocalLogs(tmp_path).reader("shop")
        end = append(log, one(10, 1))
        assert reader.end is end  # Without a `wait`, which looks for what another process wrote.
        assert outside.end is None
        assert logs.retention("shop") is log
    assert isinstance(logs.reader("shop"), LogView)
