"""Preflight of a target that is one local file."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from cdc.spi import Finding, Severity


def check_folder(file: Path, code: str, docs: str) -> Finding:
    """Return whether the file's folder can be written."""
    folder = file.parent
    if not folder.is_dir():
        message = f"the folder {folder} does not exist"
        return Finding(Severity.ERROR, code, message, f"mkdir -p {folder}", docs)
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"the folder {folder} cannot be written"
        return Finding(Severity.ERROR, code, message, f"chown $USER {shlex.quote(str(folder))}", docs)
    return Finding(Severity.OK, code, f"the folder {folder} can be written")
