"""The entry point of the command `cdc`. Signals come first: the imports of the command line take a while."""

from __future__ import annotations

import sys
from contextlib import suppress

from cdc.cli.signals import ending_cleanly
from cdc.errors import CdcError


def main() -> None:
    """Run the command of the process's arguments."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command == "run":
        ending_cleanly()
    if sys.argv[1:] == ["version"]:
        # typer imports pydantic for its first option: half of what this command took.
        from cdc.cli.version import version

        with suppress(CdcError):  # The frame below says it.
            version()
            return
    from cdc.cli.app import run_command

    run_command()
