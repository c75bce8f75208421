"""The status document as text for people, in 80 columns: one block a source and a sink, then what is wrong.

Lines to paste (remedies) are never broken, however long.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from cdc.cli.output import as_sentence
from cdc.control.readable import show_bytes, show_seconds
from cdc.engine.waits import NO_ACTION
from cdc.spi.finding import counted

# What a terminal shows without being widened.
COLUMNS = 80
# The longest label is `copy paused`.
LABEL_WIDTH = 14
# Longer lists are no longer read; --json has all.
MOST_TABLES = 20
# The daemon writes its status every second; older than this, it hangs or its disk does.
STALE_SECONDS = 10.0

_BAD_STATES = ("failed", "retrying", "refused")


def lines_of(document: dict[str, Any]) -> Iterator[Text]:
    """All lines, in order."""
    yield from _headline(document)
    for name, source in document["sources"].items():
        yield Text("")
        yield _title("source", name, source["state"])
        yield from _source_lines(source)
    for name, pairs in document["sinks"].items():
        for pair in pairs:
            yield Text("")
            yield _title("sink", name, pair["state"])
            yield from _sink_lines(pair)
    for line in _request_lines(document.get("requests", ())):
        yield Text("")
        yield from map(Text, textwrap.wrap(line, COLUMNS))
    for subject, error in errors_of(document):
        yield Text("")
        yield from _error_lines(subject, error)


def _headline(document: dict[str, Any]) -> Iterator[Text]:
    age = document.get("age_seconds")
    if document["running"]:
        line = Text.assemble(
            ("running", "bold green"), f" as process {document['pid']} since {document['started_at'][:19]}Z"
        )
    else:
        line = Text("not running", "bold yellow")
        if age is not None:
            line.append(f"; what follows is {show_seconds(age)} old", "none")
    yield line
    if document.get("died"):
        yield Text(f"process {document['pid']} was killed or crashed", "bold red")
    if document["running"] and age is not None and age > STALE_SECONDS:
        yield Text(f"no status for {show_seconds(age)}: the daemon or its disk does not respond", "bold red")
    if document.get("state_dir_full"):
        yield Text("the disk under state_dir is full: free space on it", "bold red")


def _title(kind: str, name: str, state: str) -> Text:
    return Text.assemble(
        (f"{kind:<7}", ""), (name, "bold"), "  ", (state, "bold red" if state in _BAD_STATES else "bold")
    )


def _source_lines(source: dict[str, Any]) -> Iterator[Text]:
    log = source["log"] or {}
    position = source.get("position") or log.get("position")
    if position:
        yield from _field("position", position)
    if source.get("behind_bytes") is not None:
        yield from _field("behind", show_bytes(source["behind_bytes"]))
    if "next" in log:
        span = f"offsets {log['start']:,} – {log['next']:,}, {show_bytes(log['bytes'])}"
        yield from _field("log", f"{span} in {counted(log['segments'], 'segment')}")
    if source.get("rows_per_second"):
        yield from _field("reading", _rate(source))
    yield from _copy_lines(source)


def _copy_lines(source: dict[str, Any]) -> Iterator[Text]:
    progress, waiting = source.get("snapshot"), source.get("waiting_tables", 0)
    if progress:
        parts = [f"{progress['tables_done']:,} of {counted(progress['tables'], 'table')}"]
        if progress["estimated_rows"]:
            done = min(99, 100 * progress["rows"] // progress["estimated_rows"])
            parts.append(f"{progress['rows']:,} of about {progress['estimated_rows']:,} rows ({done}%)")
        else:
            parts.append(f"{counted(progress['rows'], 'row')} ({progress.get('percent', 0)}%)")
        is_stopped = source["state"] in ("stopped", "failed")
        yield from _field("copy paused" if is_stopped else "copying", ", ".join(parts))
    elif waiting:
        yield from _field("waiting", f"{counted(waiting, 'table')} to be copied")
    yield from _waits(source)
    yield from _reasons(source)


def _reasons(source: dict[str, Any]) -> Iterator[Text]:
    """The tables that are copied again, each with why; a first copy needs no reason."""
    copies = [copy for copy in (source["log"] or {}).get("copies", ()) if copy["reason"]]
    for copy in copies[:MOST_TABLES]:
        target = f" for {', '.join(copy['sinks'])}" if copy["sinks"] else ""
        yield from _field("re-copied", f"{copy['table']}{target}: {copy['reason']}")
    if len(copies) > MOST_TABLES:
        yield from _field("", f"and {counted(len(copies) - MOST_TABLES, 'more table')}")


def _waits(part: dict[str, Any]) -> Iterator[Text]:
    for wait in part.get("waits") or ():
        since = f", since {wait['since'][:19]}Z" if wait.get("since") else ""
        subject = f"{wait['table']}: " if wait.get("table") else ""
        yield from _field("waits", f"{subject}{wait['reason']}{since}")
        if wait.get("remedy") and wait["remedy"] != NO_ACTION:
            yield Text(f"{'':<{LABEL_WIDTH}}{as_sentence(wait['remedy'])}", "green")


def _sink_lines(pair: dict[str, Any]) -> Iterator[Text]:
    if "next" not in pair:
        yield from _field("from", pair["source"])
        return
    behind = "caught up"
    if pair.get("behind_changes"):
        late = pair.get("behind_seconds")
        behind = f"{counted(pair['behind_changes'], 'change')} behind"
        behind += "" if late is None else f", {show_seconds(late)}"
    yield from _field("from", f"{pair['source']}, at offset {pair['next']:,}, {behind}")
    if pair.get("position"):
        yield from _field("position", pair["position"])
    if pair.get("rows_per_second"):
        yield from _field("writing", _rate(pair))
    yield from _waits(pair)


def _rate(part: dict[str, Any]) -> str:
    return f"{part['rows_per_second']:,.0f} rows/s"


def _field(label: str, value: str) -> Iterator[Text]:
    """`label   value`, folded into 80 columns."""
    lines = textwrap.wrap(value, COLUMNS - LABEL_WIDTH) or [""]
    for number, line in enumerate(lines):
        head = f"  {label:<{LABEL_WIDTH - 2}}" if number == 0 else " " * LABEL_WIDTH
        yield Text.assemble((head, "dim"), line)


def _request_lines(requests: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one line for each request, for people."""
    for request in requests:
        tables = "all tables" if request["tables"] is None else ", ".join(request["tables"])
        target = request["sink"] or "all sinks"
        yield (
            f"request {request['request']}, {request['state']}: copy {tables} of {request['source']} "
            f"into {target}"
        )


def errors_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every error, each with what it concerns: a source, a sink, or a table that one of them refuses."""
    for name, source in document["sources"].items():
        yield from _errors_in(f"sources.{name}", source)
        if source["log"] and "error" in source["log"]:
            yield f"sources.{name}", source["log"]["error"]
    for name, pairs in document["sinks"].items():
        for pair in pairs:
            yield from _errors_in(f"sinks.{name}", pair)


def _errors_in(subject: str, part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    refused = [*(part.get("refused") or ()), *(part.get("set_aside") or ())]
    if part["error"] and part["error"]["message"] not in [each["message"] for each in refused]:
        yield subject, part["error"]
    for each in refused:
        yield f"{subject}, table {each['table']} is skipped", each


def _retry(error: dict[str, Any]) -> str:
    seconds = show_seconds(error["retry_seconds"])
    # What needs an operator is retried at one interval, everything else after waits that grow.
    return f"Retried every {seconds}." if error.get("needs_operator") else f"Next attempt after {seconds}."


def _error_lines(subject: str, error: dict[str, Any]) -> Iterator[Text]:
    head = f"{subject}: "
    message = error["message"].removeprefix(head)
    lines = textwrap.wrap(f"{head}{error['kind']}: {message}", COLUMNS, break_long_words=False)
    first, *rest = lines
    yield Text.assemble((first[: len(head)], "bold red"), first[len(head) :])
    yield from map(Text, rest)
    if error.get("retry_seconds") is not None:
        yield Text(f"  {_retry(error)}")
    if error["remedy"]:
        yield Text(f"  {as_sentence(error['remedy'])}", "green")
