"""What the operating system says becomes an error that the retry table knows, with place and remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cdc.errors import CdcError, SinkRefused, SinkUnavailable, UnsupportedSchema
from cdc.lake.store import LocalStore
from cdc.spi import Severity
from cdc.testing.events import sink_context
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (
            errno.ENOSPC,
            SinkUnavailable,
            "/l/x: writing: the disk is full. Free space on that disk. Delivery resumes automatically.",
        ),
        (
            errno.EDQUOT,
            SinkUnavailable,
            "/l/x: writing: the disk is full. Free space on that disk. Delivery resumes automatically.",
        ),
        (errno.EACCES, SinkRefused, "/l/x: writing: permission denied. Let the daemon's user write there."),
        (
            errno.EROFS,
            SinkRefused,
            "/l/x: writing: read-only file system. Let the daemon's user write there.",
        ),
        (
            errno.EXDEV,
            SinkRefused,
            "/l/x: writing: invalid cross-device link. The sink must be in one folder on one file system.",
        ),
        (
            errno.ENAMETOOLONG,
            UnsupportedSchema,
            "/l/x: writing: the escaped table name is too long for a folder name. "
            "Exclude the table, or rename it.",
        ),
        (
            errno.EIO,
            SinkUnavailable,
            "/l/x: writing: input/output error. Check the file system. Delivery is retried automatically.",
        ),
    ],
)
def test_an_error_of_the_system_says_what_to_do(number: int, kind: type[CdcError], message: str) -> None:
    with pytest.raises(kind) as caught, LocalStore(Path("/l")).guard("writing"):
        raise OSError(number, os.strerror(number), "/l/x")
    assert str(caught.value) == message


def test_a_lake_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = ParquetSink(ParquetOptions(url=str(tmp_path / "file" / "lake")), sink_context())
    [finding] = sink.check()
    assert (finding.severity, finding.code) == (Severity.ERROR, "lake-folder")
    with pytest.raises(SinkRefused, match="opening the lake: not a directory"):
        sink.prepare("shop")
