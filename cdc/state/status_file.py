"""The file that holds the daemon's status document, for any program to read at any time.

On a full disk, when an operator needs it most, the document is written over the old one, which takes no room.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from cdc.files import write_all, write_atomically

STATUS_NAME = "status.json"
# The file is a multiple of this, and has at least this much to spare for a longer document.
BLOCK_BYTES = 4096
# A reader that meets a document while it is written over looks again: a write takes microseconds.
READS = 5
READ_AGAIN_SECONDS = 0.05


def write_status(state_dir: Path, document: Any) -> None:
    """Replace the document; OSError when the disk is full, though the document may be there then too."""
    path, content = state_dir / STATUS_NAME, orjson.dumps(document)
    padded = content.ljust((len(content) // BLOCK_BYTES + 2) * BLOCK_BYTES)
    try:
        write_atomically(path, [padded], durable=False)
    except OSError:
        with suppress(OSError):
            _write_over(path, content)
        raise


def read_status(state_dir: Path) -> Any | None:
    """The document under this state directory; None when there is none."""
    for _ in range(READS - 1):
        with suppress(orjson.JSONDecodeError):
            return _read(state_dir / STATUS_NAME)
        time.sleep(READ_AGAIN_SECONDS)
    return _read(state_dir / STATUS_NAME)


def _read(path: Path) -> Any | None:
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _write_over(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if len(content) <= size:
            write_all(file.fileno(), content.ljust(size), 0)
