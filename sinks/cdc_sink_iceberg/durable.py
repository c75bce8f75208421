"""Files that survive a power failure: on a local disk, an object of the table is synced before it is used."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from cdc import failpoints

_BUFFER_BYTES = 1024**2


class _DurableStream(io.BufferedWriter):
    """A local file that is synced when it is closed, with its folder."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(io.FileIO(path, mode), _BUFFER_BYTES)
        self._folder = path.parent

    def close(self) -> None:
        if self.closed:
            return
        self.flush()
        os.fsync(self.fileno())
        super().close()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class DurableFile(PyArrowFile):
    """A file of a table."""

    def create(self, overwrite: bool = False) -> Any:  # noqa: FBT001, FBT002  (as inherited)
        """See `OutputFile.create`."""
        failpoints.hit("target.before-insert")
        if self._filesystem.type_name != "local":
            return super().create(overwrite)
        path = Path(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return _DurableStream(path, "w" if overwrite else "x")


class DurableFileIO(PyArrowFileIO):
    """PyIceberg's file IO; a catalog finds it by its name (`py-io-impl`)."""

    def new_output(self, location: str) -> DurableFile:
        """See `FileIO.new_output`."""
        made = super().new_output(location)
        return DurableFile(made.location, made._path, made._filesystem, made._buffer_size)
