"""The tracked files that the architecture tests look at."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Never part of the project, where git can't be asked.
_SKIPPED = {".venv", ".git", ".servers", "build", "dist"}


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked or about to be; in an unpacked archive, every file that is not built."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [p for p in ROOT.rglob("*") if not _SKIPPED & set(p.relative_to(ROOT).parts)]
    return tuple(sorted(p for p in paths if p.is_file()))


def matching(*patterns: str) -> list[Path]:
    return [path for path in files() if any(path.match(pattern) for pattern in patterns)]


def python_files(*patterns: str) -> list[Path]:
    """Source files by pattern."""
    return matching(*(patterns or ("*.py",)))


def product_files(*patterns: str) -> list[Path]:
    """Source files that are installed."""
    tops = {"cdc", "connectors", "sinks", "config"}
    return [path for path in python_files(*patterns) if path.relative_to(ROOT).parts[0] in tops]
