"""The entry point of the command `cdc`. Signals come first: the imports of the command line take a while."""

from __future__ import annotations

import sys

from cdc.cli.signals import ending_cleanly


def main() -> None:
    """Run the command of the process's arguments."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command == "run":
        ending_cleanly()
    from cdc.cli.app import run_command

    run_command()
