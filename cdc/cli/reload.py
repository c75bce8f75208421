"""`cdc reload`: apply a changed configuration in the running daemon."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cdc.cli.daemon import DaemonOption, TokenFileOption, reloading_daemon_at
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption


def reload(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reload the configuration file in the running daemon.

    Unchanged sources and sinks continue. If the file is refused, the present configuration stays in force.
    """
    result = reloading_daemon_at(daemon, token_file, config).reload(dry_run=dry_run)
    if as_json:
        print_json(result.document())
        return
    if not result.changes:
        say(f"{result.file} has not changed.")
        # An engine mounts the file that was there, not the one that an editor puts in its place.
        if daemon is None and os.path.ismount(result.file):
            say("Only this file is mounted. If it was replaced outside: restart the container.")
        return
    say("Would change:" if dry_run else "Reloaded:")
    for change in result.changes:
        say(f"  {change}")
