"""State and error of a worker, as a report that is made meanwhile shows them."""

from __future__ import annotations

import threading

import pytest

from cdc.engine.status import LastError, SinkStatus, SourceStatus
from cdc.errors import SourceUnavailable, UnsupportedSchema
from cdc.spi.status import SinkReport, SourceReport


def report_of(status: SourceStatus | SinkStatus) -> SourceReport | SinkReport:
    return status.report(0, None) if isinstance(status, SinkStatus) else status.report()


@pytest.mark.parametrize("status", [SourceStatus("shop"), SinkStatus("lake", "shop")])
def test_no_report_has_a_state_without_its_error(status: SourceStatus | SinkStatus) -> None:
    error = LastError.of(SourceUnavailable("no route"), 1.0)
    ended = threading.Event()

    def fail_and_recover() -> None:
        while not ended.is_set():
            status.became("retrying", error)
            status.became("streaming", None)

    worker = threading.Thread(target=fail_and_recover)
    worker.start()
    reports = [report_of(status) for _ in range(2000)]
    ended.set()
    worker.join()
    assert not [one for one in reports if (one.state == "retrying") != (one.error is not None)]


def test_a_skipped_table_is_no_error_of_its_source() -> None:
    source = SourceStatus("shop")
    source.streaming()
    source.refuse("public.t", UnsupportedSchema("no key"), 5.0)
    report = source.report()
    assert ([one.table for one in report.refused], report.error) == (["public.t"], None)
    source.refuse("public.t", UnsupportedSchema("no key"), 5.0)
    (first,), (second,) = report.refused, source.report().refused
    assert (second.since, second.attempts) == (first.since, 2)
    assert second.at is not None
    assert second.since is not None
    assert second.at > second.since
