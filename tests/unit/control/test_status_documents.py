"""The documents that programs read: status.json, and what `cdc status --json` makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.control.catalog import errors_of
from cdc.control.live import LiveStatus
from cdc.control.monitor import StatusMonitor
from cdc.control.status import (
    DaemonView,
    DeliveryView,
    OpenRequest,
    SourceView,
    Status,
    StoredLog,
    TableCopy,
    status_of,
)
from cdc.engine import waits
from cdc.engine.pacing import Pacing
from cdc.engine.status import LastError, SinkStatus, SnapshotProgress, SourceStatus
from cdc.errors import SourceUnavailable
from cdc.log.local import LocalLogs
from cdc.model import Position, TableId
from cdc.spi import Pause, registry
from cdc.spi.source import Absence
from cdc.spi.status import (
    ConfigurationReport,
    DaemonReport,
    ErrorReport,
    SinkReport,
    SourceReport,
    StandbyReport,
)
from cdc.state.status_file import write_status
from cdc_config import load

NOW = datetime(2026, 11, 30, tzinfo=UTC)
TIME = "2026-11-30T00:00:00+00:00"
# As they are written, key by key.
FAILURE = {
    "kind": "SourceUnavailable",
    "message": "sources.shop: no route",
    "remedy": "Wait.",
    "at": TIME,
    "since": TIME,
    "attempts": 1,
    "retry_seconds": 5.0,
    "needs_operator": True,
}
SOURCE: dict[str, Any] = {
    "state": "retrying",
    "position": "0/5",
    "source_position": "0/9",
    "behind_bytes": 4,
    "offset": 7,
    "commit_at": TIME,
    "rows_per_second": 0.0,
    "rows": 0,
    "bytes": 0,
    "complete_at": None,
    "retained_bytes": None,
    "transactions": 0,
    "snapshot": {
        "tables": 3,
        "tables_done": 1,
        "chunks": 40,
        "chunks_done": 2,
        "rows": 0,
        "estimated_rows": 3_000_000,
        "percent": 0,
        "rows_per_second": 0.0,
        "remaining_seconds": None,
    },
    "waiting_tables": 2,
    "refused": [{"table": "public.a", **FAILURE}, {"table": "public.b", **FAILURE}],
    "unfollowed": [
        {"table": "public.leaf", "within": "public.root", "reason": "a partition", "remedy": "Exclude it."}
    ],
    "counters": {"reconnects": 3},
    "waits": [
        {
            "what": "table public.big",
            "table": "public.big",
            "kind": "waiting",
            "reason": "locked",
            "remedy": waits.NO_ACTION,
            "since": TIME,
        },
        {"what": "copy", "kind": "LogFull", "reason": "full", "remedy": "Free space.", "since": TIME},
    ],
    "outdated": [],
    "log_is_open": True,
    "error": FAILURE,
}
SINK: dict[str, Any] = {
    "source": "shop",
    "state": "applying",
    "next": 5,
    "position": "0/4",
    "commit_at": TIME,
    "behind_changes": 4,
    "behind_bytes": 350,
    "behind_seconds": 0.0,
    "complete_at": TIME,
    "freshness_seconds": None,
    "flush_interval_seconds": 0.0,
    "replay_from": None,
    "replay_to": None,
    "rows_per_second": 0.0,
    "rows": 0,
    "bytes": 0,
    "set_aside": [{"table": "public.z", **FAILURE}],
    "counters": {"files": 1},
    "gauges": {"depth": 1.5},
    "error": None,
}
TABLES = ("public.a", "public.b", "public.z")
DAEMON: dict[str, Any] = {
    "running": False,
    "pid": 1,
    "holder": "machine 1 token",
    "started_at": TIME,
    "at": TIME,
    "state_dir_full": False,
    "configuration": None,
    "sources": {"shop": SOURCE},
    "sinks": {"lake": [SINK]},
}


def failure() -> LastError:
    error = LastError.of(
        SourceUnavailable("no route", where="sources.shop", remedy="Wait."), 5.0, needs_operator=True
    )
    error.at = error.since = NOW
    return error


def test_the_engine_writes_the_documents_that_programs_know() -> None:
    source = SourceStatus("shop", "retrying", Position(5, "0/5"), NOW, Position(9, "0/9"))
    source.waits = waits.Waits(Pacing(lasting_seconds=0.0))
    source.snapshot = SnapshotProgress(3, 1, 40, 2, 0, 3_000_000)
    source.waiting_tables, source.counters = 2, {"reconnects": 3}
    source.refused = {"public.b": failure(), "public.a": failure()}
    source.last_error = failure()
    source.unfollow(
        {TableId("public", "leaf"): Absence("a partition", "Exclude it.", TableId("public", "root"))}
    )
    source.waits.begin("table public.big", "locked")
    source.waits.begin("copy", "full", "Free space.", kind="LogFull")
    written = source.report(7).document()
    for wait in written["waits"]:
        wait["since"] = TIME
    assert orjson.dumps(written) == orjson.dumps(SOURCE)
    sink = SinkStatus("lake", "shop", "applying", 5, Position(4, "0/4"), NOW)
    sink.counters, sink.gauges, sink.set_aside = {"files": 1}, {"depth": 1.5}, {"public.z": failure()}
    written = sink.report(9, NOW, behind_bytes=350).document()
    # It grows with the clock.
    written["freshness_seconds"] = None
    assert orjson.dumps(written) == orjson.dumps(SINK)


def test_a_report_that_is_read_is_written_again_as_it_was() -> None:
    assert orjson.dumps(DaemonReport.parse(DAEMON).document()) == orjson.dumps(DAEMON)


def test_a_document_of_another_version_is_read_without_what_it_lacks_or_adds() -> None:
    found = DaemonReport.parse(
        {"running": True, "added": 1, "sources": {"shop": {"state": "streaming", "added": 1}}}
    )
    assert found == DaemonReport(running=True, sources={"shop": SourceReport(state="streaming")})


def test_the_daemon_of_this_process_adds_words_trends_and_what_each_error_means(tmp_path: Path) -> None:
    file = tmp_path / "cdc.yaml"
    file.write_text(
        f"state_dir: {tmp_path}/state\n"
        "sources: {shop: {type: postgres, url: postgresql://u@h/d}}\n"
        "sinks: {lake: {type: parquet, from: [shop], url: ./lake}}\n"
    )
    monitor = StatusMonitor()
    monitor.tick(DaemonReport.parse(DAEMON))
    configuration = load(file, registry.load)
    live = LiveStatus(configuration, monitor, LocalLogs(configuration.state_dir), list)
    shown = orjson.loads(orjson.dumps(live.document()))
    source, (sink,) = shown["sources"]["shop"], shown["sinks"]["lake"]
    known = {"next_try_at": "2026-11-30T00:00:05+00:00", "docs": "operations#sourceunavailable"}
    skipped = {
        name: {"table": name, **FAILURE, "title": f"Table {name} is skipped"} | known for name in TABLES
    }
    assert source == SOURCE | {
        "error": {**FAILURE, "title": "Source shop needs you", **known},
        "refused": [skipped["public.a"], skipped["public.b"]],
        "log": None,
        "paused": None,
        "type": "postgres",
        "word": source["word"],
        "bytes_per_second": 0.0,
        "kept_seconds": None,
    }
    assert sink == SINK | {
        "set_aside": [skipped["public.z"]],
        "paused": None,
        "type": "parquet",
        "mode": "append",
        "word": sink["word"],
        "trend": None,
        "trend_per_second": None,
        "caught_up_in_seconds": None,
        "waits_for": None,
    }
    # What a command elsewhere makes of it is what the command here shows.
    read, here = (one.document() | {"age_seconds": 0} for one in (Status.parse(shown), live.status()))
    assert orjson.loads(orjson.dumps(read)) == orjson.loads(orjson.dumps(here))
    own = {"name", "version", "verdict", "controls", "resources"}
    rest = own | {"died", "age_seconds", "requests", "standbys"}
    assert shown.keys() == DAEMON.keys() | rest
    assert shown["verdict"].keys() == {"level", "mark", "title", "text", "progress"}


def test_the_present_errors_name_their_source_sink_and_table() -> None:
    report = DaemonReport.parse(DAEMON)
    views = {"shop": SourceView(report.sources["shop"])}
    sinks = {"lake": [DeliveryView("shop", report.sinks["lake"][0])]}
    # The source's own error says no more than those of its tables.
    found = errors_of(Status(DaemonView(report, running=True), views, sinks))
    assert [error.document() for error in found] == [
        {"source": "shop", "table": "public.a", **FAILURE},
        {"source": "shop", "table": "public.b", **FAILURE},
        {"sink": "lake", "source": "shop", "table": "public.z", **FAILURE},
    ]


def test_what_has_never_run_and_a_daemon_that_has_stopped_are_shown_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "cdc.yaml"
    file.write_text(
        "sources: {shop: {type: postgres, url: postgresql://u@h/d}}\n"
        "sinks:\n"
        "  lake: {type: parquet, from: [shop], url: ./lake}\n"
        "  new: {type: parquet, from: [shop], url: ./new}\n"
    )
    configuration = load(file, registry.load)
    never = {"state": "never run", "error": None}
    assert status_of(configuration).document() == {
        "running": False,
        "sources": {"shop": never | {"log": None, "paused": None}},
        "sinks": {name: [{"source": "shop", "paused": None} | never] for name in ("lake", "new")},
        "died": False,
        "requests": [],
        "standbys": [],
    }
    configuration.state_dir.mkdir()
    write_status(configuration.state_dir, DAEMON)
    shown = status_of(configuration).document()
    assert list(shown) == [*DAEMON, "died", "age_seconds", "requests", "standbys"]
    calm = FAILURE | {"retry_seconds": None}
    assert shown["sources"]["shop"] == SOURCE | {
        "state": "stopped",
        "snapshot": SOURCE["snapshot"] | {"remaining_seconds": None},
        "refused": [{"table": "public.a", **calm}, {"table": "public.b", **calm}],
        "waits": [],
        "error": calm,
        "log": None,
        "paused": None,
    }
    assert shown["sinks"]["new"] == [{"source": "shop", "paused": None} | never]
    assert SinkReport.parse(shown["sinks"]["lake"][0]).state == "stopped"


def test_a_status_is_read_from_its_document_as_it_was() -> None:
    report = DaemonReport.parse(DAEMON)
    report.running, report.configuration = True, ConfigurationReport("/etc/cdc.yaml", TIME, "1-2-3")
    report.sources["torn"] = report.sources["shop"]
    broken = ErrorReport(kind="LogCorrupt", message="a frame", remedy="Restore it.")
    copies = [TableCopy("public.a", "copying", ["lake"], "its columns changed")]
    status = Status(
        daemon=DaemonView(report, running=True, died=False, age_seconds=0.5),
        sources={
            "shop": SourceView(report.sources["shop"], StoredLog(1, 9, "0/9", 100, 2, copies, NOW)),
            "empty": SourceView(None),
            "torn": SourceView(report.sources["shop"], log_error=broken),
        },
        sinks={"lake": [DeliveryView("shop", report.sinks["lake"][0])], "new": [DeliveryView("shop", None)]},
        requests=[OpenRequest(3, "shop", ["public.a"], None, "waiting", NOW)],
        pauses=[Pause("sink", "lake", NOW, "ops"), Pause("source", "shop", NOW, "ops")],
        standbys=[StandbyReport(7, "db2", TIME)],
        has_changed_file=True,
    )
    written = orjson.loads(orjson.dumps(status.document()))
    assert Status.parse(written) == status
    # A newer daemon may say more.
    assert Status.parse(written | {"added": 1}) == status
