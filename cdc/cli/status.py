"""`cdc status`: is it running, how far behind, what failed, what to do; from what the daemon wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from cdc.cli.copies import copies_of, request_lines, requests_of
from cdc.cli.output import (
    as_sentence,
    console,
    print_json,
    print_table,
    say,
    show_bytes,
    show_count,
    show_seconds,
)
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.cli.stored import last_status, log_folder, log_view
from cdc.errors import CdcError
from config import Configuration

# The daemon writes its status every second; older than this, it hangs or its disk does.
STALE_SECONDS = 10.0

_UNKNOWN_SOURCE: dict[str, Any] = {"state": "never run", "error": None}
_BAD_STATES = ("failed", "retrying")


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show states, lags and errors."""
    configuration = open_configuration(config)
    document = gather(configuration)
    if as_json:
        print_json(document)
        return
    say(_headline(document))
    print_table(*_source_table(document), right=("log", "size", "behind", "rows/s"))
    if document["sinks"]:
        say("")
        print_table(*_sink_table(document), right=("next", "behind", "late", "rows/s"))
    for line in request_lines(document["requests"]):
        say(line)
    _show_troubles(document)


def gather(configuration: Configuration) -> dict[str, Any]:
    """The daemon's last document, with all configured sources and sinks, and what the logs hold now."""
    document = last_status(configuration)
    known = document["sources"]
    document["sources"] = {
        name: known.get(name, _UNKNOWN_SOURCE) | {"log": _log_of(configuration, name)}
        for name in configuration.sources
    }
    delivered = document["sinks"]
    document["sinks"] = {
        name: delivered.get(name, [{"source": s, "state": "never run", "error": None} for s in sink.sources])
        for name, sink in configuration.sinks.items()
    }
    document["requests"] = requests_of(configuration)
    if not document["running"]:
        for part in (
            *document["sources"].values(),
            *(p for pairs in document["sinks"].values() for p in pairs),
        ):
            part["state"] = part["state"] if part["state"] in ("failed", "never run") else "stopped"
    return document


def _log_of(configuration: Configuration, source: str) -> dict[str, Any] | None:
    if not log_folder(configuration, source).is_dir():
        return None
    try:
        log = log_view(configuration, source)
    except CdcError as error:
        return {
            "error": {
                "kind": type(error).__name__,
                "message": f"{error.where}: {error.message}",
                "remedy": error.remedy,
            }
        }
    end = log.end
    return {
        "start": log.start,
        "next": end.next if end else log.start,
        "position": str(end.position) if end else None,
        "bytes": log.byte_count,
        "segments": len(log.segments),
        "copies": copies_of(log.facts),
        "written_at": end.written_at if end else None,
    }


def _headline(document: dict[str, Any]) -> Text:
    age = document.get("age_seconds")
    if not document["running"]:
        since = "" if age is None else f"; what follows is {show_seconds(age)} old"
        return Text.assemble(("not running", "bold yellow"), since)
    headline = Text.assemble(
        ("running", "bold green"), f" as process {document['pid']} since {document['started_at'][:19]}Z"
    )
    if age is not None and age > STALE_SECONDS:
        headline.append(f", silent for {show_seconds(age)}: it hangs, or its disk does", "bold red")
    if document.get("state_dir_full"):
        headline.append("; the disk under state_dir is full: make room on it", "bold red")
    return headline


def _source_table(document: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str | Text, ...]]]:
    columns = ("source", "state", "position", "log", "size", "behind", "rows/s", "snapshot")
    rows: list[tuple[str | Text, ...]] = []
    for name, source in document["sources"].items():
        log = source["log"] or {}
        span = f"{log['start']:,} – {log['next']:,}" if "next" in log else "–"
        rows.append(
            (
                name,
                _state(source["state"]),
                source.get("position") or log.get("position") or "–",
                span,
                show_bytes(log.get("bytes")),
                show_bytes(source.get("behind_bytes")),
                show_count(_whole(source.get("rows_per_second"))),
                _snapshot(source),
            )
        )
    return columns, rows


def _snapshot(source: dict[str, Any]) -> str:
    progress = source.get("snapshot")
    if not progress:
        waiting = source.get("waiting_tables", 0)
        return f"{waiting} tables wait" if waiting else "–"
    tables = f"{progress['tables_done']}/{progress['tables']} tables"
    chunks = f"{progress['chunks_done']}/{progress['chunks']} chunks"
    return f"{tables}, {chunks}, {progress['rows']:,} of about {progress['estimated_rows']:,} rows"


def _sink_table(document: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str | Text, ...]]]:
    columns = ("sink", "source", "state", "next", "behind", "late", "rows/s", "position")
    rows: list[tuple[str | Text, ...]] = [
        (
            name,
            pair["source"],
            _state(pair["state"]),
            show_count(pair.get("next")),
            show_count(pair.get("behind_changes")),
            show_seconds(pair.get("behind_seconds")),
            show_count(_whole(pair.get("rows_per_second"))),
            pair.get("position") or "–",
        )
        for name, pairs in document["sinks"].items()
        for pair in pairs
    ]
    return columns, rows


def _state(state: str) -> Text:
    return Text(state, "bold red" if state in _BAD_STATES else "")


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _show_troubles(document: dict[str, Any]) -> None:
    out = console()
    for subject, error in _troubles(document):
        out.print(
            Text.assemble((f"\n{subject}: ", "bold red"), f"{error['kind']}: {error['message']}"),
            soft_wrap=True,
        )
        if error.get("retry_seconds") is not None:
            out.print(f"  tries again after {error['retry_seconds']} s", soft_wrap=True)
        if error["remedy"]:
            out.print(Text(f"  {as_sentence(error['remedy'])}", "green"), soft_wrap=True)


def _troubles(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, source in document["sources"].items():
        if source["error"]:
            yield f"sources.{name}", source["error"]
        if source["log"] and "error" in source["log"]:
            yield f"sources.{name}", source["log"]["error"]
    for name, pairs in document["sinks"].items():
        for pair in pairs:
            if pair["error"]:
                yield f"sinks.{name}", pair["error"]
