"""`cdc status`: is it running, how far behind, what failed, what to do; from what the daemon wrote down."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from cdc.cli.daemon import AskedDaemon, DaemonOption, TokenFileOption, daemon_at
from cdc.cli.live_view import looked, watch_on
from cdc.cli.output import has_screen, print_json, say
from cdc.cli.screen import Screen
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.cli.status_text import lines_of
from cdc.control.status import Status

# As often as the daemon writes its status.
WATCH_SECONDS = 1.0


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")] = False,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show states, lags and errors.

    The exit code is 1 when something has failed or waits for an operator.
    """
    asked = daemon_at(daemon, token_file, config, as_json=as_json)
    if watch and not as_json and has_screen(sys.stdout):
        watch_on(asked.status, Screen(sys.stdout, alternate=True))
    elif watch:
        _follow(asked, as_json=as_json)
    found = asked.status()
    if as_json:
        print_json(found.document())
    else:
        for line in lines_of(found):
            say(line)
    if found.needs_operator:
        raise typer.Exit(1)


def _follow(daemon: AskedDaemon, *, as_json: bool) -> NoReturn:
    """For a pipe: the document each second, or a line whenever the verdict is another."""
    found: Status | None = None
    title = ""
    while True:
        found, verdict = looked(daemon.status, None if as_json else found)
        if as_json:
            print_json(found.document())
        elif verdict.title != title:
            title = verdict.title
            say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}  {verdict.title}. {verdict.text}")
        # Whoever reads from a pipe sees each look at once.
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)
