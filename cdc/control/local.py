"""Findings of `cdc check` on what is stored: the logs, the daemon's status, and whether sources and sinks
match them.

Reads only, and takes no lock: a daemon may be running. What such a daemon holds open is read from its status.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from cdc.control import storage
from cdc.control.status import STALE_SECONDS, DaemonView
from cdc.control.stored import has_log, open_log
from cdc.engine.capture import MEMORY_PREFIX
from cdc.engine.gaps import for_operator
from cdc.engine.identity import IDENTITY_KEY, verify_identity
from cdc.engine.ledger import TableBook
from cdc.engine.lineup import REMOVED
from cdc.engine.outdated import record_of
from cdc.engine.specs import effective_backfill
from cdc.errors import CdcError, SourceGap, SourceMismatch, StateError
from cdc.kit.report import counted
from cdc.merge import continuity
from cdc.readable import show_bytes, show_seconds
from cdc.spi import Cursor, Finding, LogReader, Severity, Sink, Source, SupportsPeek, VerifiesReach
from cdc.transform.record import difference
from cdc_config import Configuration

Result = tuple[str, Finding]

# Read and checksummed at each check: a second's work, and what is newest is what sinks still need.
NEWEST_LOG_BYTES = 256 * 1024 * 1024

# Of a source and of a sink; several of them have one cause.
FOREIGN_CODES = frozenset({"slot-owner", "sink-cursor"})


def state_findings(configuration: Configuration, daemon: DaemonView) -> Iterator[Finding]:
    """Yield findings on the place of the logs, and on the daemon that writes them."""
    retained = sum(source.settings.log.retain.size for source in configuration.sources.values())
    found = tuple(storage.logs(configuration).check(retained))
    yield from found
    if any(finding.severity is Severity.ERROR for finding in found):
        return
    if daemon.running and daemon.state_dir_full:
        message = f"the disk under {configuration.state_dir} is full: the daemon waits for space"
        yield Finding(
            Severity.ERROR, "disk-full", message, "Free space on this disk. Work resumes automatically."
        )
    if daemon.running:
        yield _daemon(daemon)


def _daemon(daemon: DaemonView) -> Finding:
    pid, age = daemon.pid, daemon.age_seconds or 0.0
    if age > STALE_SECONDS:
        message = f"the daemon (process {pid}) has written no status for {show_seconds(age)}"
        return Finding(Severity.WARNING, "daemon", message, f"If this persists, run: kill {pid}")
    return Finding(Severity.OK, "daemon", f"the daemon runs as process {pid}")


def log_findings(configuration: Configuration, source: str) -> Iterator[Finding]:
    """Yield findings on damage in the newest part of a source's log."""
    logs = storage.logs(configuration)
    if not logs.exists(source):
        return
    try:
        verified = logs.verify(source, NEWEST_LOG_BYTES, _needed_from(configuration, source))
    except CdcError as error:
        yield _finding("log", error)
        return
    for damage in verified.passed:
        message = f"{damage.where}: {damage.message}; every sink has these changes"
        yield Finding(Severity.WARNING, "log-damaged", message, REMOVED)
    for damage in verified.damage:
        yield _finding("log-damaged", damage)
    if not (verified.damage or verified.passed):
        size = show_bytes(verified.byte_count)
        yield Finding(Severity.OK, "log", f"the newest {size} of the log are intact")


def _needed_from(configuration: Configuration, source: str) -> int:
    """Return the offset that every sink of the source has passed; 0 if that is not known."""
    sinks = [sink.name for sink in configuration.sinks.values() if source in sink.sources]
    try:
        with closing(storage.state(configuration).reader()) as state:
            cursors = state.cursors(source)
    except CdcError:
        return 0
    return min((cursors[sink].next if sink in cursors else 0 for sink in sinks), default=0)


def reach_findings(configuration: Configuration, name: str, source: Source) -> Iterator[Finding]:
    """Check that the log was written from this source, which still has the later changes; if no daemon
    runs.
    """
    with _log_of(configuration, name) as log:
        end = log.end if log else None
        if log is None or end is None:
            return
        metadata = log.metadata
    memory = {k.removeprefix(MEMORY_PREFIX): v for k, v in metadata.items() if k.startswith(MEMORY_PREFIX)}
    found: Sequence[Finding] = ()
    try:
        verify_identity(source.identity(), metadata.get(IDENTITY_KEY), accept=False)
        if isinstance(source, VerifiesReach):
            found = source.verify_reach(end.position, memory)
    except SourceGap as error:
        if configuration.sources[name].settings.on_gap == "resnapshot":
            fix = "The daemon copies all tables again at its start."
            yield Finding(Severity.WARNING, "log-end", error.message, fix)
        else:
            copies = configuration.sources[name].settings.snapshot != "never"
            fix = for_operator(error, name, copies=copies).remedy
            yield Finding(Severity.ERROR, "log-end", error.message, fix)
    except SourceMismatch as error:
        yield Finding(Severity.ERROR, "log-end", error.message, error.remedy)
    except CdcError:
        return  # The check of the source itself names what keeps it from answering.
    else:
        yield Finding(Severity.OK, "log-end", f"the source has everything after {end.position}")
    yield from found


def outdated_findings(configuration: Configuration, name: str, source: Source) -> Iterator[Finding]:
    """Tables whose delivered rows were captured under other transforms than those of the file."""
    with _log_of(configuration, name) as log:
        book = TableBook.from_metadata(log.metadata) if log else TableBook()
    record = record_of(source)
    for table, state in book.items():
        is_due = state.is_copied and state.audience.is_everyone
        if not table.schema or is_due or state.transforms == record(table):
            continue
        changed = ", ".join(difference(state.transforms, record(table)))
        message = f"{table}: its delivered rows were captured under other transforms (changed: {changed})"
        fix = f"To replace them: {shlex.join(['cdc', 'snapshot', name, str(table)])}"
        yield Finding(
            Severity.WARNING, "transforms-changed", message, fix, "transforms.md#when-transforms-change"
        )


def cursor_findings(
    configuration: Configuration, name: str, sink: Sink, daemon: DaemonView
) -> Iterator[Finding]:
    """Check that the sink's cursor is in the log of each of its sources."""
    if daemon.running or not isinstance(sink, SupportsPeek):
        return  # The daemon compares them when it opens the sink, and its status names what it found.
    for source in configuration.sinks[name].sources:
        try:
            cursor = sink.peek(source)
        except CdcError:
            return  # The sink's own check names what keeps it from being read.
        with _log_of(configuration, source) as log:
            if log is None and has_log(configuration, source):
                continue  # The source's own findings name what is wrong with its log.
            start = log.start if log else 0
            is_ours = cursor is None or (log is not None and continuity.belongs(cursor, log))
            if is_ours and (cursor.next if cursor else 0) < start:
                yield _backfill(configuration, name, source, cursor, start)
            elif cursor is not None:
                yield _compare(cursor, log, source, configuration.state_dir)


def _backfill(
    configuration: Configuration, name: str, source: str, cursor: Cursor | None, start: int
) -> Finding:
    """Return what the daemon does about changes that the log no longer has."""
    if cursor is None:
        code = "sink-new"
        message = (
            f"the sink has no changes of {source}, and the log was trimmed: it starts at offset {start:,}"
        )
    else:
        code = "sink-behind"
        message = (
            f"the sink needs changes of {source} from offset {cursor.next:,}, and the log starts at {start:,}"
        )
    mode = effective_backfill(
        configuration.sources[source].settings.snapshot, configuration.sinks[name].settings.backfill
    )
    request = f"cdc snapshot {source} --sink {name}"
    if mode == "fail":
        return Finding(Severity.ERROR, code, message, f"Copy the tables into it: {request}")
    fix = (
        "The daemon copies the tables into it at its start."
        if mode == "snapshot"
        else f"The sink begins at offset {start:,}, without earlier rows. To copy all rows: {request}"
    )
    return Finding(Severity.WARNING, code, message, fix)


def _compare(cursor: Cursor, log: LogReader | None, source: str, state_dir: object) -> Finding:
    end = log.end if log else None
    if log is None or not continuity.belongs(cursor, log):
        ends = f"ends at offset {end.next:,}" if end else "is empty"
        message = (
            f"the sink holds changes of {source} up to offset {cursor.next:,} ({cursor.position}), which is"
            f" not in the log under {state_dir}: that log {ends}"
        )
        fix = (
            "Mount the state_dir that filled this sink. If it is lost, give the sink a new, empty location:"
            " its tables are then copied again."
        )
        return Finding(Severity.ERROR, "sink-cursor", message, fix)
    waiting = end.next - cursor.next if end else 0
    return Finding(
        Severity.OK,
        "sink-cursor",
        f"the sink belongs to the log of {source}, {counted(waiting, 'change')} behind",
    )


def is_of_another_log(finding: Finding) -> bool:
    """Return whether the finding says that a source or a sink belongs to another log."""
    return finding.severity is Severity.ERROR and finding.code in FOREIGN_CODES


def one_fault(configuration: Configuration, found: Sequence[Result]) -> Sequence[Result]:
    """Return findings of which `is_of_another_log` holds: one in place of those of several subjects."""
    subjects = list(dict.fromkeys(subject for subject, _ in found))
    if len(subjects) <= 1:
        return found
    others = f"{', '.join(subjects[:-1])} and {subjects[-1]}"
    message = f"{configuration.state_dir} is not the state_dir of {others}: {found[0][1].message}"
    claimed = [s.removeprefix("sources.") for s in subjects if s.startswith("sources.")]
    adopt = shlex.join(["cdc", "run", *(word for name in claimed for word in ("--adopt-slot", name))])
    fix = "Mount the state_dir that filled them. If it is lost, give each sink a new, empty location" + (
        f", then run: {adopt}" if claimed else ": its tables are then copied again."
    )
    link = "operations.md#the-slot-belongs-to-another-log"
    return [("state_dir", Finding(Severity.ERROR, "state-dir-foreign", message, fix, link))]


@contextmanager
def _log_of(configuration: Configuration, source: str) -> Iterator[LogReader | None]:
    """The source's log during the block; None where there is none that can be read."""
    log = None
    if has_log(configuration, source):
        with suppress(CdcError):
            log = open_log(configuration, source)
    try:
        yield log
    finally:
        if log is not None:
            log.close()


def _finding(code: str, error: CdcError) -> Finding:
    where = f"{error.where}: " if error.where else ""
    severity = Severity.OK if isinstance(error, StateError) else Severity.ERROR
    return Finding(severity, code, where + error.message, error.remedy)
