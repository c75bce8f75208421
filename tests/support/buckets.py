"""A bucket on SeaweedFS that a worker's tests share, a lake of its own for each test, and requests that are
counted, held up or broken off.

Every new bucket makes the server open seven files of its own: tests share one.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3.session
import pyarrow.parquet as pq
import pytest

from cdc.lake.s3 import S3Limits, S3Store
from cdc.testing.events import sink_context
from cdc.testing.servers.s3 import REGION, SeaweedServer
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

BUCKET = "lakes"
SOURCE = "shop"
_numbers = itertools.count(1)


class Crash(BaseException):
    """Stands for the end of the process at this request."""


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedServer]:
    server = SeaweedServer()
    try:
        server.start()
        server.client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.destroy()


@dataclass
class BucketLake:
    """A lake below a prefix that no other test has."""

    server: SeaweedServer
    prefix: str
    endpoint: str

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    def fresh(self) -> BucketLake:
        """Another lake, that has nothing yet."""
        return BucketLake(self.server, f"t{next(_numbers)}", self.endpoint)

    def options(self, **more: Any) -> ParquetOptions:
        values = {"url": self.url, "endpoint": self.endpoint, "region": REGION, "addressing": "path", **more}
        return ParquetOptions(**values)

    def store(self, part_bytes: int = 0) -> S3Store:
        place = self.options().place
        return S3Store(place, S3Limits(part_bytes=part_bytes)) if part_bytes else S3Store(place)

    def sink(self, epoch: int, store: S3Store | None = None, **options: Any) -> ParquetSink:
        """A sink that is not opened."""
        return ParquetSink(self.options(**options), sink_context(epoch=epoch), store or self.store())

    def opened(self, epoch: int, store: S3Store | None = None, **options: Any) -> ParquetSink:
        sink = self.sink(epoch, store, **options)
        sink.prepare(SOURCE)
        return sink

    def download(self, folder: Path) -> None:
        """Copy all objects to files of the same names."""
        client = self.server.client()
        for key in self.keys():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, f"{self.prefix}/{key}", str(path))

    @functools.cached_property
    def _seen(self) -> S3Store:
        """What looks at the lake from outside. Making a client costs fifteen times what a request does."""
        return self.store()

    def keys(self, below: str = "") -> list[str]:
        return list(self._seen.keys(below))

    def uploads(self) -> list[str]:
        """The keys of unfinished uploads."""
        found = self.server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", ())]

    def files(self) -> list[pq.ParquetFile]:
        """The files that a reader of all tables' folders finds."""
        return [
            pq.ParquetFile(self._seen.read(key))
            for key in self._seen.keys("")
            if key.endswith(".parquet") and not key.startswith("_cdc/")
        ]

    def seqs(self) -> list[int]:
        """The offsets of all rows, sorted: with those that are there twice."""
        columns = [file.read(["_cdc_seq"]).column(0) for file in self.files()]
        return sorted(seq for column in columns for seq in column.to_pylist())


@functools.cache
def _session() -> Any:
    """One session for all stores, as for their account: the descriptions of S3 take long to read."""
    return boto3.session.Session()


@pytest.fixture
def bucket_lake(seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> BucketLake:
    monkeypatch.setattr("cdc.lake.s3.new_session", _session)
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return BucketLake(seaweed, f"t{next(_numbers)}", seaweed.endpoint)


class Requests:
    """The requests of one store: counted, and met by an event at one of them."""

    def __init__(self, store: S3Store) -> None:
        self.names: list[str] = []
        self._lock = threading.Lock()
        self._at = 0
        self._is_after = False
        self._event: Callable[[], object] = lambda: None
        self._is_dead = False
        events = store._client.meta.events
        events.register_first("before-send.s3", self._before)
        events.register_first("needs-retry.s3", self._after)

    def meet(self, event: Callable[[], object], number: int, *, after: bool = False) -> None:
        """Call `event` before (or after) the request of this number, from now on."""
        with self._lock:
            self.names.clear()
            self._at, self._is_after, self._event = number, after, event

    def die_at(self, number: int, *, after: bool = False) -> None:
        """Let this request be the last, sent or not: no later one reaches the server."""
        self.meet(self._die, number, after=after)

    def _die(self) -> None:
        self._is_dead = True
        raise Crash

    def _before(self, request: Any, **_: Any) -> None:
        if self._is_dead:
            raise Crash
        with self._lock:
            self.names.append(request.method)
            is_met = len(self.names) == self._at and not self._is_after
        if is_met:
            self._event()

    def _after(self, **_: Any) -> None:
        if self._is_after and len(self.names) >= self._at and not self._is_dead:
            self._at = 1 << 30
            self._event()
