"""The entry point of the command `cdc`. Signals come first: the imports of the command line take a while."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from cdc.cli.signals import ending_cleanly
from cdc.errors import CdcError

# Libraries read these when they are imported. pydantic searches every installed distribution for plug-ins of
# its own; numpy's BLAS, which nothing here calls, starts a thread for each processor.
QUIET_LIBRARIES = {"PYDANTIC_DISABLE_PLUGINS": "__all__", "OPENBLAS_NUM_THREADS": "1"}


def main() -> None:
    """Run the command of the process's arguments."""
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
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
