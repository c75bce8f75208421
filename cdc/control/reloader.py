"""Applies a changed configuration to the running daemon: all of it or nothing, on its own thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, Self

from cdc.control import storage
from cdc.control.composition import open_source, silent, sink_spec, source_spec
from cdc.control.differences import Difference, differences, refusals
from cdc.control.live import LiveStatus
from cdc.control.problems import REFUSED, log_problems
from cdc.control.reload import ReloadResult
from cdc.control.secrets import SecretWatch, with_new_secrets
from cdc.control.status import stamp_of
from cdc.control.stored import has_log, open_log
from cdc.engine import Engine, SourceSpec
from cdc.engine.identity import IDENTITY_KEY, verify_identity
from cdc.engine.retry import waits_for_operator
from cdc.errors import CdcError, SourceMismatch
from cdc.kit.errors import WAIT
from cdc.spi import StateReader
from cdc.spi.status import ConfigurationReport, ErrorReport
from cdc_config import Configuration, ConfiguredSource, InvalidConfig

Log = Callable[..., None]

# Operators reload: half a second is not felt, and one look is a single read of the state.
POLL_SECONDS = 0.5
BY_SIGNAL = "SIGHUP"
_RELOAD_AGAIN = "Correct the options of the source, or reload again once it can be reached."


class Reloader:
    """Reloads one daemon, while its engine runs. `load` loads the file as at the start; the context of
    `reloading` is entered while the configuration is loaded again.
    """

    def __init__(
        self,
        live: LiveStatus,
        engine: Engine,
        load: Callable[[], Configuration],
        reloading: Callable[[], AbstractContextManager[None]],
        log: Log,
    ) -> None:
        self._live = live
        self._engine = engine
        self._load = load
        self._reloading = reloading
        self._log = log
        # A signal handler that interrupts another one may add to it.
        self._signals: queue.SimpleQueue[Literal["reload", "end"]] = queue.SimpleQueue()
        self._secrets = SecretWatch()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._report = _report(live.configuration)
        engine.describe(self._report)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._signals.put("end")
        self._thread.join()

    def ask(self) -> None:
        """Reload soon; safe in a signal handler."""
        self._signals.put("reload")

    def reload(self, by: str, *, dry_run: bool = False) -> ReloadResult:
        """Load the file and apply it, unless `dry_run`. The result has the problems."""
        file = str(self._live.configuration.file)
        if dry_run:
            return self._attempt(file, dry_run=True)
        self._log("reloading the configuration", file=file, by=by)
        with self._reloading():
            result = self._attempt(file, dry_run=False)
        self._engine.describe(self._report)
        self._say(result)
        return result

    def _run(self) -> None:
        with closing(storage.state(self._live.configuration).reader()) as state:
            while True:
                with suppress(queue.Empty):
                    if self._signals.get(timeout=POLL_SECONDS) == "end":
                        return
                    self.reload(BY_SIGNAL)
                # The next look retries a state that cannot be read or written now.
                with suppress(CdcError):
                    self._serve(state)
                # A file that cannot be read now is tried again when it has changed.
                with suppress(CdcError):
                    self._take_up_secrets()

    def _serve(self, state: StateReader) -> None:
        for request in state.reload_requests():
            result = self.reload(request.by, dry_run=request.dry_run)
            state.finish_reload(request.id, result.document())

    def _take_up_secrets(self) -> None:
        """Run a failing source or sink with what the files of its secrets hold now."""
        old = self._live.configuration
        failing = self._secrets.due(old, self._live.monitor.report)
        if not failing or stamp_of(old.file) != self._report.stamp:
            return  # An edited file is loaded on request.
        new = with_new_secrets(old, self._load(), failing)
        changes = differences(old, new)
        if changes and not refusals(old, new):
            self._reconfigure(new, {one.part for one in changes})
            self._live.configuration = new
            self._log("read the changed secrets again", changes=[str(one) for one in changes])

    def _attempt(self, file: str, *, dry_run: bool) -> ReloadResult:
        try:
            return ReloadResult(file, dry_run, self._change(dry_run=dry_run))
        except CdcError as error:
            problems = error.problems
        except Exception as error:  # noqa: BLE001  (a plug-in's; its text may hold a value)
            remedy = "This is a defect: please report it with the type of the source or sink."
            problems = (CdcError(f"unexpected {type(error).__name__}", where=file, remedy=remedy),)
        if not dry_run:
            first = problems[0]
            message = f"{first.where}: {first.message}" if first.where else first.message
            now = datetime.now(UTC).isoformat()
            refused = ErrorReport(kind=type(first).__name__, message=message, remedy=first.remedy, at=now)
            self._report = replace(self._report, refused=refused)
        return ReloadResult(file, dry_run, (), problems)

    def _change(self, *, dry_run: bool) -> tuple[Difference, ...]:
        old = self._live.configuration
        # Before the file is read: a write during the read then counts as a later change.
        stamp = stamp_of(old.file)
        new = self._load()
        refused = refusals(old, new)
        if refused:
            raise InvalidConfig(refused)
        changes = tuple(differences(old, new))
        changed = {one.part: one.change for one in changes}
        for name, source in new.sources.items():
            if f"sources.{name}" in changed:
                self._probe(new, source, is_new=changed[f"sources.{name}"] == "added")
        if dry_run:
            return changes
        if changes:
            self._reconfigure(new, set(changed))
            self._live.configuration = new
        self._report = _report(new, stamp)
        return changes

    def _reconfigure(self, new: Configuration, changed: set[str]) -> None:
        sources = {spec.name: spec for spec in self._engine.sources}
        sinks = {spec.name: spec for spec in self._engine.sinks}
        self._engine.reconfigure(
            [
                self._source_spec(one, sources.get(name)) if f"sources.{name}" in changed else sources[name]
                for name, one in new.sources.items()
            ],
            [
                sink_spec(one) if f"sinks.{name}" in changed else sinks[name]
                for name, one in new.sinks.items()
            ],
        )

    def _source_spec(self, source: ConfiguredSource, before: SourceSpec | None) -> SourceSpec:
        """Return the spec; until the source has been opened, it allows what the command line allowed."""
        capture = self._engine.pipelines.captures.get(source.name)
        waits = capture is None or not capture.capture.opened.is_set()
        return source_spec(
            source,
            accept_identity=waits and before is not None and before.accept_identity,
            takes_over=waits and before is not None and before.takes_over,
        )

    def _probe(self, configuration: Configuration, source: ConfiguredSource, *, is_new: bool) -> None:
        """Refuse what would stop the source: another database, a login that fails. One that is down is
        retried anyway, unless the source works as it was.
        """
        report = self._live.monitor.report
        now = report.sources.get(source.name) if report is not None else None
        works = now is not None and (now.error is None or now.state == "streaming")
        try:
            with closing(open_source(source, silent)) as opened:
                identity = opened.identity()
        except CdcError as error:
            if is_new or works or waits_for_operator(type(error).__name__):
                raise _at(source, error) from error
            return
        if has_log(configuration, source.name):
            with closing(open_log(configuration, source.name)) as log:
                stored = log.metadata.get(IDENTITY_KEY)
            try:
                verify_identity(identity, stored, accept=False)
            except SourceMismatch as error:
                raise _at(source, error) from error

    def _say(self, result: ReloadResult) -> None:
        log_problems(self._log, REFUSED, result.problems)
        if not result.problems:
            event = "configuration reloaded" if result.changes else "the configuration has not changed"
            self._log(event, changes=[str(one) for one in result.changes] or None)
        for change in result.changes:
            if change.change == "removed" and change.part.startswith("sources."):
                self._log(
                    "the removed source may still keep changes for this daemon",
                    level="warning",
                    source=change.part.partition(".")[2],
                    remedy="If it does not return: cdc docs operations#remove-a-source",
                )


def _at(source: ConfiguredSource, error: CdcError) -> CdcError:
    """The same error with the place in the file; nothing retries a configuration that is refused."""
    place = f"sources.{source.name}"
    where = error.where if error.where.startswith(place) else f"{place}: {error.where}".removesuffix(": ")
    remedy = _RELOAD_AGAIN if error.remedy in ("", WAIT.remedy) else error.remedy
    return type(error)(error.message, where=where, remedy=remedy)


def _report(configuration: Configuration, stamp: str | None = None) -> ConfigurationReport:
    return ConfigurationReport(
        file=str(configuration.file),
        loaded_at=datetime.now(UTC).isoformat(),
        stamp=stamp_of(configuration.file) if stamp is None else stamp,
    )
