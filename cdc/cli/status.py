"""`cdc status`: is it running, how far behind, what failed, what to do; from what the daemon wrote down."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from cdc.cli.configured import open_configuration
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.cli.status_text import lines_of
from cdc.control.status import Status, status_of

# As often as the daemon writes its status.
WATCH_SECONDS = 1.0
# Cursor to the top left, and everything behind it erased.
_CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"


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
        found = status_of(configuration)
        _show(found, clear=watch and sys.stdout.isatty(), as_json=as_json)
        if not watch:
            break
        time.sleep(WATCH_SECONDS)
    if found.needs_operator:
        raise typer.Exit(1)


def _show(found: Status, *, clear: bool, as_json: bool) -> None:
    if as_json:
        print_json(found.document())
        sys.stdout.flush()
        return
    if clear:
        sys.stdout.write(_CLEAR_SCREEN)
    for line in lines_of(found):
        say(line)
    # Whoever reads from a pipe sees each look at once.
    sys.stdout.flush()
