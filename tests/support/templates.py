"""Data folders fresh from initialisation, to be copied. Each is made once and kept among the temporary files
of the system, for all workers and later runs: initialising a MySQL server costs seconds of processor time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def kept(name: str, program: Path, code: tuple[ModuleType, ...], make: Callable[[Path], None]) -> Path:
    """The folder of this name that `make` has made, with the same program and the same code of ours."""
    program = program.resolve()
    found = program.stat()
    digest = hashlib.sha256(f"{program} {found.st_mtime_ns} {found.st_size}".encode())
    for module in code:
        digest.update(Path(str(module.__file__)).read_bytes())
    whole = Path(tempfile.gettempdir()) / f"cdc-test-{name}-{os.geteuid()}-{digest.hexdigest()[:16]}"
    if not whole.exists():
        with whole.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                _make(whole, make)
    return whole


def _make(whole: Path, make: Callable[[Path], None]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f"{whole.name}-"))
    try:
        make(draft)
        draft.rename(whole)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
