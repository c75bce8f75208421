"""The requests that change something: each can say beforehand what it would do (`?dry_run=true`)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdc.control.composition import pick_sink
from cdc.control.live import LiveStatus
from cdc.control.pause import PauseTarget, pause, pause_target, resume
from cdc.control.places import HELP
from cdc.control.reload import reload
from cdc.control.replay import plan_replay, send_back, source_of
from cdc.control.snapshot import CopyParameters, ask_for_copy, requested_copy
from cdc.kit.report import counted

# Shown with a pause; the token has no name of its own.
BY = "the HTTP API"
Name = Annotated[str, Field(min_length=1, max_length=500)]
Names = Annotated[list[Name], Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PauseBody(_Body):
    """A source, a sink or tables to pause or resume."""

    name: Name = Field(description="The source or sink.")
    kind: Literal["source", "sink"] | None = Field(None, description="Which one, if both have that name.")
    tables: Names = Field([], description="Tables of the source, instead of all of it.")


class ReplayBody(_Body):
    """The sink to rewind, and the place to rewind it to."""

    sink: Name = Field(description="The sink to rewind.")
    place: Name = Field(alias="from", description=f"Where to start: {HELP}.")
    source: Name | None = Field(None, description="The source, if the sink has several.")


class SnapshotBody(_Body):
    """Which tables are copied again."""

    source: Name | None = Field(None, description="The source. Optional if there is only one.")
    tables: Names = Field([], description="Its tables; all of them if there are none here.")
    sink: Name | None = Field(None, description="Into this sink only.")


class ReloadBody(_Body):
    """Nothing: the daemon knows its file."""


class ControlQuery(_Body):
    """Mode of the request."""

    dry_run: Annotated[bool, Field(description="Only say what would happen.")] = False


Action = tuple[dict[str, Any], Callable[[], dict[str, Any]]]


class Controls:
    """Each method returns what would happen, and a function that does it. Errors are of `cdc.errors`."""

    def __init__(self, live: LiveStatus) -> None:
        self._live = live

    def pause(self, body: PauseBody) -> Action:
        """Pause a source, a sink or tables until they are resumed."""
        target = self._target(body)
        happens, stays = _PAUSES["table" if target.tables else target.kind]
        said = preview(f"Pause {target}", happens, stays, _command("pause", target))

        def act() -> dict[str, Any]:
            return pause(self._live.configuration, target, BY).document()

        return said, act

    def resume(self, body: PauseBody) -> Action:
        """Resume what was paused."""
        target = self._target(body)
        happens = f"{target} continues where it stopped, and catches up."
        said = preview(f"Resume {target}", happens, "Everything else continues.", _command("resume", target))

        def act() -> dict[str, Any]:
            return resume(self._live.configuration, target).document()

        return said, act

    def replay(self, body: ReplayBody) -> Action:
        """Rewind a sink to an earlier place in the log."""
        configuration = self._live.configuration
        sink = pick_sink(configuration, body.sink, "sink")
        source = source_of(sink, body.source, "source")
        task = plan_replay(configuration, sink, source, body.place, "from")
        count = counted(task.end - task.offset, "change")
        said = preview(
            f"Replay {sink.name} from {body.place}",
            f"{sink.name} applies {count} of {source} again, from offset {task.offset:,}.",
            "At the end it equals a sink that was never rewound. Sources and other sinks are not affected.",
            [
                "cdc",
                "replay",
                sink.name,
                "--from",
                body.place,
                *([] if len(sink.sources) == 1 else ["--source", source]),
            ],
            f"Replay {count}",
        )

        def act() -> dict[str, Any]:
            return send_back(task, running=True).document()

        return said, act

    def snapshot(self, body: SnapshotBody) -> Action:
        """Copy tables again while the source is followed."""
        names = [*([] if body.source is None else [body.source]), *body.tables]
        parameters = CopyParameters("source", "tables", "sink")
        requested = requested_copy(self._live.configuration, names, body.sink, parameters)
        tables = "all tables" if requested.tables is None else ", ".join(map(str, requested.tables))
        into = "all sinks" if requested.sink is None else requested.sink
        said = preview(
            f"Copy {tables} of {requested.source} into {into}",
            "The rows are read again from the source, and replace the old ones when the copy is complete.",
            "The stream continues. Readers see the old rows until then. Other tables are not affected.",
            ["cdc", "snapshot", *names, *([] if body.sink is None else ["--sink", body.sink])],
            f"Copy {counted(len(requested.tables), 'table')}" if requested.tables else "Copy all tables",
        )

        def act() -> dict[str, Any]:
            return ask_for_copy(self._live.configuration, requested).document()

        return said, act

    def reload(self, _: ReloadBody) -> Action:
        """Load the configuration file again."""
        expected = reload(self._live.configuration, BY, dry_run=True)
        changes = "; ".join(map(str, expected.changes))
        happens = f"In {expected.file}: {changes}." if changes else f"Nothing: {expected.file} has no change."
        said = preview(
            "Reload the configuration",
            happens,
            "Everything else continues. If something fails, the present configuration stays in force.",
            ["cdc", "reload"],
        )

        def act() -> dict[str, Any]:
            return reload(self._live.configuration, BY).document()

        return said | expected.document(), act

    def _target(self, body: PauseBody) -> PauseTarget:
        return pause_target(self._live.configuration, body.name, body.tables, body.kind, "name")


def preview(
    title: str, happens: str, stays: str, command: list[str], button: str | None = None
) -> dict[str, Any]:
    """Return what a control does, what it leaves as it is, and the command that does the same.

    `button` names verb and amount.
    """
    said = {"title": title, "happens": happens, "stays": stays, "command": shlex.join(command)}
    return said | {"button": button or title}


_PAUSES = {
    "source": (
        "The source is not read any more. Its database keeps the changes: WAL or binlogs grow.",
        "The sinks apply the changes in the log. The pause lasts until it is resumed, even after a restart.",
    ),
    "sink": (
        "Nothing is delivered to the sink any more. Its changes wait in the log.",
        "Sources and other sinks continue. The pause lasts until it is resumed, even after a restart.",
    ),
    "table": (
        "The changes of the tables wait in the log, and reach no sink.",
        "All other tables continue. The pause lasts until it is resumed, even after a restart.",
    ),
}


def _command(verb: str, target: PauseTarget) -> list[str]:
    return ["cdc", verb, target.name, *map(str, target.tables)]
