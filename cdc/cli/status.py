"""`cdc status`: is it running, how far behind, what failed, what to do; from what the daemon wrote down."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.cli.status_text import lines_of
from cdc.control.copies import copies_of, requests_of
from cdc.control.stored import last_status, log_folder, log_view
from cdc.engine.retry import waits_for_operator
from cdc.errors import CdcError
from cdc_config import Configuration

# As often as the daemon writes its status.
WATCH_SECONDS = 1.0
# Cursor to the top left, and everything behind it erased.
_CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"

_UNKNOWN_SOURCE: dict[str, Any] = {"state": "never run", "error": None}


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show states, lags and errors.

    The exit code is 1 when something has failed or waits for an operator.
    """
    configuration = open_configuration(config)
    while True:
        document = gather(configuration)
        _show(document, clear=watch and sys.stdout.isatty(), as_json=as_json)
        if not watch:
            break
        time.sleep(WATCH_SECONDS)
    if needs_operator(document):
        raise typer.Exit(1)


def _show(document: dict[str, Any], *, clear: bool, as_json: bool) -> None:
    if as_json:
        print_json(document)
        sys.stdout.flush()
        return
    if clear:
        sys.stdout.write(_CLEAR_SCREEN)
    for line in lines_of(document):
        say(line)
    # Whoever reads from a pipe sees each look at once.
    sys.stdout.flush()


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
        for part in _parts(document):
            _as_stopped(part)
    return document


def _as_stopped(part: dict[str, Any]) -> None:
    """Remove what holds only while the daemon runs: rates, waits and retries."""
    if part["state"] not in ("failed", "never run"):
        part["state"] = "stopped"
    if "rows_per_second" in part:
        part["rows_per_second"] = 0.0
    if "waits" in part:
        part["waits"] = []
    if part.get("snapshot"):
        part["snapshot"] |= {"rows_per_second": 0.0, "remaining_seconds": None}
    for error in (part["error"], *(part.get("refused") or ()), *(part.get("set_aside") or ())):
        if error:
            error["retry_seconds"] = None


def needs_operator(document: dict[str, Any]) -> bool:
    """Return whether something has failed, or waits for an operator."""
    if document.get("died") or document.get("state_dir_full"):
        return True
    for part in _parts(document):
        if (
            part["state"] == "failed"
            or part.get("refused")
            or part.get("set_aside")
            or "error" in (part.get("log") or ())
        ):
            return True
        if part["error"] and waits_for_operator(part["error"]["kind"]):
            return True
    return False


def _parts(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["sources"].values()
    for pairs in document["sinks"].values():
        yield from pairs


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
        "copies": copies_of(log.metadata),
        "written_at": end.written_at if end else None,
    }
