"""The daemon that a command is about: that of this machine's `state_dir`, or one elsewhere (`--daemon`)."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from cdc.cli.configured import open_for_control, open_for_state
from cdc.control.composition import pick_sink, pick_source
from cdc.control.pause import PauseResult, pause, pause_target, resume
from cdc.control.reload import ReloadResult, reload
from cdc.control.replay import ReplayResult, plan_replay, send_back, source_of, wait_until_applied
from cdc.control.snapshot import CopyParameters, CopyResult, ask_for_copy, requested_copy
from cdc.control.status import Status, daemon_of, status_of
from cdc.control.stored import checkpoint_document, kept_checkpoints
from cdc.errors import StateError
from cdc_config import Configuration

DaemonOption = Annotated[
    str | None,
    typer.Option(
        "--daemon",
        metavar="URL",
        envvar="CDC_DAEMON",
        help="A daemon elsewhere, by the URL of its HTTP service, with the token in CDC_HTTP_TOKEN.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="CDC_HTTP_TOKEN_FILE",
        help="With --daemon: a file with the token.",
        readable=False,
    ),
]
_COPY = CopyParameters("snapshot SOURCE", "snapshot TABLE", "--sink")


class AskedDaemon(Protocol):
    """The daemon that a command asks. Each method raises the errors of `cdc.control`."""

    def status(self) -> Status:
        """Return the present status."""

    def checkpoints(self, source: str | None, limit: int) -> list[dict[str, Any]]:
        """Return the documents of the newest checkpoints, of that source or of all."""

    def pause(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        """Pause a source, a sink or tables of a source."""

    def resume(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        """Resume what was paused."""

    def replay(self, sink: str, place: str, source: str | None, *, wait: bool) -> ReplayResult:
        """Rewind a sink, and with `wait` return when it has caught up."""

    def snapshot(self, names: Sequence[str], sink: str | None) -> CopyResult:
        """Copy tables again; `names` are the source and its tables."""

    def reload(self, *, dry_run: bool) -> ReloadResult:
        """Load the configuration file again, or say what would change."""


class LocalDaemon:
    """The daemon of this configuration: commands and daemon meet in the state, also while none runs."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def status(self) -> Status:
        return status_of(self._configuration)

    def checkpoints(self, source: str | None, limit: int) -> list[dict[str, Any]]:
        configuration = self._configuration
        name = None if source is None else pick_source(configuration, source, "checkpoints SOURCE").name
        found = kept_checkpoints(configuration, name, limit)
        return [checkpoint_document(point, in_log=is_in_log) for point, is_in_log in found]

    def pause(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        target = pause_target(self._configuration, name, tables, kind, "pause NAME")
        return pause(self._configuration, target, operator())

    def resume(self, name: str, tables: Sequence[str], kind: str | None) -> PauseResult:
        target = pause_target(self._configuration, name, tables, kind, "resume NAME")
        return resume(self._configuration, target)

    def replay(self, sink: str, place: str, source: str | None, *, wait: bool) -> ReplayResult:
        configuration = self._configuration
        chosen = pick_sink(configuration, sink, "replay SINK")
        task = plan_replay(configuration, chosen, source_of(chosen, source, "--source"), place, "--from")
        running = daemon_of(configuration).running
        if wait and not running:
            remedy = "Omit --wait. The sink catches up when `cdc run` starts."
            raise StateError("no daemon is running to apply the changes again", where="--wait", remedy=remedy)
        result = send_back(task, running=running)
        if wait and result.taken:
            wait_until_applied(result, partial(daemon_of, configuration), "--wait")
        return result

    def snapshot(self, names: Sequence[str], sink: str | None) -> CopyResult:
        return ask_for_copy(self._configuration, requested_copy(self._configuration, names, sink, _COPY))

    def reload(self, *, dry_run: bool) -> ReloadResult:
        return reload(self._configuration, operator(), dry_run=dry_run)


def daemon_at(url: str | None, token_file: Path | None, config: Path, *, as_json: bool) -> AskedDaemon:
    """Return the daemon of that URL, or without one that of the configuration file.

    Raises:
        ConfigError: the URL or the token cannot be used, or the file cannot be loaded.
    """
    if url is None:
        return LocalDaemon(open_for_state(config, as_json=as_json))
    return _remote(url, token_file)


def reloading_daemon_at(url: str | None, token_file: Path | None, config: Path) -> AskedDaemon:
    """Return the daemon as `daemon_at`, for a command that needs the whole file here to be right."""
    return LocalDaemon(open_for_control(config)) if url is None else _remote(url, token_file)


def operator() -> str:
    """Return who runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return "the command line"


def _remote(url: str, token_file: Path | None) -> AskedDaemon:
    # Only this waits for HTTP and TLS.
    from cdc.cli.remote import RemoteDaemon, read_token

    return RemoteDaemon(url, read_token(token_file))
