"""Ask the running daemon to load its configuration again, or what would change if it did."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from cdc.control import storage
from cdc.control.differences import Difference
from cdc.control.problems import parse_problem, together
from cdc.control.status import daemon_of
from cdc.errors import CdcError, StateError
from cdc_config import Configuration

# Workers end their current batches first (27 s at most), after changed sources were asked who they are.
RELOAD_SECONDS = 60.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """The changes of a reload that was made, or would be made (`dry_run`): none if there are `problems`."""

    file: str
    dry_run: bool
    changes: tuple[Difference, ...] = ()
    problems: tuple[CdcError, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON document for programs."""
        changes = [{"part": one.part, "change": one.change, "keys": list(one.keys)} for one in self.changes]
        problems = [one.document() for one in self.problems]
        return {"file": self.file, "dry_run": self.dry_run, "changes": changes, "problems": problems}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> ReloadResult:
        """The result of a document."""
        changes = (Difference(one["part"], one["change"], tuple(one["keys"])) for one in document["changes"])
        problems = map(parse_problem, document["problems"])
        return cls(document["file"], document["dry_run"], tuple(changes), tuple(problems))

    def raise_problems(self) -> None:
        """Raise the errors of a refused reload, each with its place in the file."""
        if self.problems:
            raise together(self.problems)


def reload(configuration: Configuration, by: str, *, dry_run: bool = False) -> ReloadResult:
    """Reload in the daemon, and return the result. `by` names the operator.

    Raises:
        StateError: no daemon runs, or it has not finished in time.
        CdcError: it refuses; the configuration that it has stays in force.
    """
    daemon = daemon_of(configuration)
    if not daemon.running:
        raise StateError(
            "no daemon is running here",
            where=f"state_dir {configuration.state_dir}",
            remedy="`cdc run` loads the configuration when it starts. If state_dir has changed, restart the "
            "daemon, which still uses the old one.",
        )
    deadline = time.monotonic() + RELOAD_SECONDS
    with closing(storage.state(configuration).reader()) as state:
        number = state.request_reload(by, dry_run=dry_run)
        while time.monotonic() < deadline:
            request = state.reload_request(number)
            if request is not None and request.result is not None:
                result = ReloadResult.parse(request.result)
                result.raise_problems()
                return result
            time.sleep(POLL_SECONDS)
    raise StateError(
        f"the daemon (process {daemon.pid}) has not answered within {RELOAD_SECONDS:.0f} s",
        where=f"state_dir {configuration.state_dir}",
        remedy="cdc status",
    )
