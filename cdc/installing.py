"""The command that installs what an extra needs, into the environment that runs this process.

It names the extra's own requirements: they are on the package index, wherever this distribution came from (a
checkout, a wheel, a tool's environment).
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "cdcd"
# The requirement of an extra on another extra of the same distribution.
_OWN_EXTRAS = re.compile(rf"{DISTRIBUTION}\[(?P<extras>[^\]]+)\]")
# What ends the name in a requirement.
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")
_EXTRA_MARKER = re.compile(r"extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


def install_command(extra: str, package: str = "") -> str:
    """Return the shell command that installs what `extra` needs, or `package` if there is no such extra."""
    wanted = _requirements(extra) or [package or f"{DISTRIBUTION}[{extra}]"]
    return shlex.join([*_installer(), *wanted])


def packages(extra: str) -> list[str]:
    """Return the names of the packages that `extra` needs."""
    return [_NO_NAME.split(requirement, maxsplit=1)[0] for requirement in _requirements(extra)]


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is None:
        # An environment that uv made.
        return ["uv", "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install"]


def _requirements(extra: str) -> list[str]:
    """Return the requirements of an extra, with nested extras of ours resolved."""
    found: list[str] = []
    for requirement in _extras().get(extra, ()):
        own = _OWN_EXTRAS.fullmatch(requirement)
        if own is None:
            found.append(requirement)
        else:
            found += [each for name in own["extras"].split(",") for each in _requirements(name.strip())]
    return list(dict.fromkeys(found))


def _extras() -> dict[str, list[str]]:
    try:
        listed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return _extras_of_checkout()
    extras: dict[str, list[str]] = {}
    for line in listed:
        requirement, _, marker = line.partition(";")
        if match := _EXTRA_MARKER.search(marker):
            extras.setdefault(match["extra"], []).append(requirement.strip())
    return extras


def _extras_of_checkout() -> dict[str, list[str]]:
    """From pyproject.toml, where the code runs from a checkout that was never installed."""
    file = Path(__file__).parents[1] / "pyproject.toml"
    if not file.is_file():
        return {}
    project = tomllib.loads(file.read_text("utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return extras
