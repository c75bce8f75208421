"""File systems of a few MiB, for tests that fill a disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(folder: Path, byte_count: int) -> Iterator[Path]:
    """`folder` as a file system of its own of that size; skips the test where mounting is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={byte_count}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield folder
    finally:
        # What a test leaves open must not fail the test that passed.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
