"""`cdc version`: the versions that matter for a report, and which decoders run."""

from __future__ import annotations

import platform
from importlib import metadata

import cdc
from cdc.cli.output import print_json, say
from cdc.cli.session import JsonOption
from cdc.installing import packages
from cdc.native import implementation, unavailable_reason


def version(as_json: JsonOption = False) -> None:
    """Print the versions and the decoders in use."""
    found = versions()
    if as_json:
        print_json(found)
        return
    # Without rich, which took longer than all the rest of this command.
    width = max(map(len, found))
    for name, number in found.items():
        say(f"{name:<{width}}  {number}")
    if unavailable_reason():
        say(f"The compiled decoders are not in use: {unavailable_reason()}")


def versions() -> dict[str, str]:
    """Return the versions of the relevant packages, and which decoders are in use."""
    found = {
        "cdc": cdc.__version__,
        "python": platform.python_version(),
        "pyarrow": metadata.version("pyarrow"),
        "decoders": implementation(),
    }
    return found | {name: number for name in packages("all") if (number := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
