"""Large objects of S3: an upload in parts that appears when it is completed, and reading by ranges."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

# Parts in flight: the next rows are encoded while the last ones are sent.
PARTS_AT_ONCE = 2
P = ParamSpec("P")
T = TypeVar("T")


class Sender:
    """The threads that send requests for one store; they are started when they are needed."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._room = threading.Semaphore(PARTS_AT_ONCE)

    def start(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function on a thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="s3")
        return self._pool.submit(call, *args, **kwargs)

    def start_part(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `start`, when fewer than PARTS_AT_ONCE parts are in flight, of all objects together."""
        self._room.acquire()
        started = self.start(call, *args, **kwargs)
        started.add_done_callback(lambda _: self._room.release())
        return started

    def close(self) -> None:
        """End the threads; may be called twice, and the sender used again."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None


class S3Writer:
    """An `ObjectWriter`: parts are sent as they fill. `at` are bucket, key and encryption, as boto3 takes
    them.
    """

    def __init__(self, client: Any, at: Mapping[str, str], part_bytes: int, sender: Sender) -> None:
        self.file = _Parts(client, at, part_bytes, sender)

    def begin(self) -> None:
        """Begin the upload now, not with its first full part."""
        self.file.begin()

    @property
    def byte_count(self) -> int:
        return self.file.tell()

    def close(self) -> int:
        self.file.complete()
        return self.file.tell()

    def abandon(self) -> None:
        self.file.abort()


def abort(client: Any, at: Mapping[str, str], upload: str) -> None:
    """End an upload and remove its parts; no-op if it has ended."""
    with suppress(client.exceptions.NoSuchUpload):
        client.abort_multipart_upload(**at, UploadId=upload)


class _Parts(io.RawIOBase):
    """The open end of an upload. An object of less than one part is put in one request."""

    def __init__(self, client: Any, at: Mapping[str, str], part_bytes: int, sender: Sender) -> None:
        super().__init__()
        self._client = client
        self._at = at
        # The requests for parts take no encryption: they have that of their upload.
        self._place = {name: at[name] for name in ("Bucket", "Key")}
        self._part_bytes = part_bytes
        self._sender = sender
        self._part = bytearray()
        self._sent: list[Future[dict[str, Any]]] = []
        self._upload = ""
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        while len(rest):
            taken = rest[: self._part_bytes - len(self._part)]
            self._part += taken
            rest = rest[len(taken) :]
            if len(self._part) == self._part_bytes:
                self._send()
        self._written += length
        return length

    def begin(self) -> None:
        self._upload = str(self._client.create_multipart_upload(**self._at)["UploadId"])

    def complete(self) -> None:
        if not self._upload:
            self._client.put_object(**self._at, Body=self._taken())
            return
        if self._part:
            self._send()
        parts = {"Parts": [one.result() for one in self._sent]}
        self._client.complete_multipart_upload(**self._place, UploadId=self._upload, MultipartUpload=parts)
        self._upload = ""

    def abort(self) -> None:
        self._part.clear()
        # A part that arrives after the abort would stay.
        wait(self._sent)
        if self._upload:
            abort(self._client, self._place, self._upload)
        self._upload = ""

    def _send(self) -> None:
        if not self._upload:
            self.begin()
        for earlier in self._sent:
            # An error ends the upload here, not after all of its parts.
            if earlier.done():
                earlier.result()
        part = len(self._sent) + 1, self._taken()
        self._sent.append(self._sender.start_part(self._send_part, *part))

    def _taken(self) -> bytes:
        data = bytes(self._part)
        self._part.clear()
        return data

    def _send_part(self, number: int, data: bytes) -> dict[str, Any]:
        upload = {"UploadId": self._upload, "PartNumber": number}
        answer = self._client.upload_part(**self._place, **upload, Body=data)
        return {"PartNumber": number, "ETag": answer["ETag"]}


class Ranges(io.RawIOBase):
    """An object that is read in ranges, one request each."""

    def __init__(self, client: Any, at: Mapping[str, str], size: int) -> None:
        super().__init__()
        self._client = client
        self._at = at
        self._size = size
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = start + offset
        return self._offset

    def readinto(self, buffer: Any) -> int:
        end = min(self._offset + len(buffer), self._size)
        if end <= self._offset:
            return 0
        wanted = f"bytes={self._offset}-{end - 1}"
        data = self._client.get_object(**self._at, Range=wanted)["Body"].read()
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)
