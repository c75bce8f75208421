"""Large objects of S3: an upload in parts that appears when it is completed, and reading by ranges."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class S3Writer:
    """An `ObjectWriter`: parts are sent as they fill. `at` names bucket and key, as boto3 takes them."""

    def __init__(self, client: Any, at: Mapping[str, str], part_bytes: int) -> None:
        self.file = _Parts(client, at, part_bytes)

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

    def __init__(self, client: Any, at: Mapping[str, str], part_bytes: int) -> None:
        super().__init__()
        self._client = client
        self._at = at
        self._part_bytes = part_bytes
        self._part = bytearray()
        self._sent: list[dict[str, Any]] = []
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

    def complete(self) -> None:
        if not self._upload:
            self._client.put_object(**self._at, Body=bytes(self._part))
            return
        if self._part:
            self._send()
        parts = {"Parts": self._sent}
        self._client.complete_multipart_upload(**self._at, UploadId=self._upload, MultipartUpload=parts)
        self._upload = ""

    def abort(self) -> None:
        self._part.clear()
        if self._upload:
            abort(self._client, self._at, self._upload)
        self._upload = ""

    def _send(self) -> None:
        if not self._upload:
            self._upload = str(self._client.create_multipart_upload(**self._at)["UploadId"])
        number, data = len(self._sent) + 1, bytes(self._part)
        answer = self._client.upload_part(**self._at, UploadId=self._upload, PartNumber=number, Body=data)
        self._sent.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._part.clear()


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
