"""The object store of a bucket on S3, or on a server that speaks its protocol.

It has no locks: conditional writes (`If-Match`, `If-None-Match`) keep two writers apart, and `check` asks
whether the server honours them. Credentials come from boto3's usual chain and are no option.
"""

from __future__ import annotations

import importlib
import io
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from cdc.errors import CdcError, ConfigError
from cdc.installing import install_command
from cdc.lake.s3_errors import MISSING, PRECONDITION, TOO_LARGE, answered, code_of, failed
from cdc.lake.s3_objects import Ranges, S3Writer, Sender, abort
from cdc.lake.store import ABSENT, Kept, StoredObject, lost, nothing
from cdc.spi import Finding, Severity

MIB = 1024 * 1024
# S3's minimum for all parts but the last. Each open file holds less than one part in memory, and a lake has
# 32 files open. 10,000 parts are the most, so an object has at most 48 GiB.
PART_BYTES = 5 * MIB
# S3 copies up to 5 GiB in one request; a larger object is copied in pieces of this size.
COPY_BYTES = 5 * 1024 * MIB
COPY_PIECE_BYTES = 512 * MIB
# Readers of Parquet ask for many small ranges that lie side by side: one request serves them.
READ_AHEAD_BYTES = MIB
# The most keys that S3 lists or deletes in one request.
KEYS_AT_ONCE = 1000
# An outage of a second must not fail a delivery; the retry table handles longer ones. A server
# that swallows packets is given up after some 25 s: the daemon ends within 30 s of a SIGTERM.
ATTEMPTS = 4
CONNECT_SECONDS = 5
# An answer to 5 MiB that takes longer is considered lost.
ANSWER_SECONDS = 30

# Requests that one commit sends at the same time: on S3, one takes some 30 ms. boto3 keeps ten connections.
REQUESTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, or the part of it below a prefix (without a slash at its ends).

    `endpoint` (a URL) and `region` default to those of boto3's configuration. `addressing` is where requests
    name the bucket: in the path, in the host's name (`virtual`), or as boto3 chooses by endpoint and bucket.
    `encryption` is the server-side encryption of all objects, '' for the bucket's own; `encryption_key` is
    the id of a key of KMS, '' for the account's default.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    encryption: str = ""
    encryption_key: str = ""


@dataclass(frozen=True, slots=True)
class S3Limits:
    """The size of a part of an upload, and the keys of one request."""

    part_bytes: int = PART_BYTES
    keys: int = KEYS_AT_ONCE


DEFAULT_LIMITS = S3Limits()


class S3Store:
    """An `ObjectStore` in a bucket. Thread-safe. An object's version is its ETag."""

    has_locks = False

    def __init__(self, place: S3Place, limits: S3Limits = DEFAULT_LIMITS) -> None:
        """Raises ConfigError if boto3 is missing or refuses an option."""
        self._errors: Any = _module("botocore.exceptions")
        self._bucket = place.bucket
        self._base = f"{place.prefix}/" if place.prefix else ""
        self._limits = limits
        self._sealed = _encryption(place)
        self._sender = Sender(REQUESTS_AT_ONCE)
        self.open_bytes = limits.part_bytes
        self.root = f"s3://{place.bucket}/{place.prefix}".rstrip("/")
        self._client = self._connect(place)

    def _connect(self, place: S3Place) -> Any:
        config = _module("botocore.config").Config(
            s3={"addressing_style": place.addressing},
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
        )
        try:
            return new_session().client(
                "s3", endpoint_url=place.endpoint, region_name=place.region, config=config
            )
        except (self._errors.BotoCoreError, ValueError) as error:
            # Its text is about options (a profile, a region, a URL), never about credentials.
            message = f"the S3 client cannot be configured ({type(error).__name__})"
            remedy = "Check endpoint and region, and boto3's settings. Run: env | grep ^AWS_ | cut -d= -f1"
            raise ConfigError(message, where=self.root, remedy=remedy) from error

    @contextmanager
    def guard(self, operation: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except self._errors.ClientError as error:
            raise answered(error, operation, self.path(key), self.root) from error
        except self._errors.BotoCoreError as error:
            raise failed(error, self._errors, operation, self.path(key)) from error

    def check(self, docs: str) -> Finding:
        key = f"_cdc/check-{uuid.uuid4().hex}"
        try:
            with self.guard("checking the bucket"):
                ignored = self._tried(key)
        except CdcError as error:
            return Finding(Severity.ERROR, "lake-bucket", f"{self.root}: {error.message}", error.remedy, docs)
        if ignored:
            message = (
                f"the server of {self.root} ignores {' and '.join(ignored)}: two daemons could write the same"
                " lake at the same time"
            )
            fix = "Use a server that honours If-Match and If-None-Match, or a newer version of it."
            return Finding(Severity.ERROR, "lake-conditions", message, fix, docs)
        message = f"{self.root} can be written; commits are exactly once per table"
        return Finding(Severity.OK, "lake-writable", message, docs=docs)

    def _tried(self, key: str) -> list[str]:
        """Try the lake's operations on objects of its own; return the promises that the server breaks."""
        other = f"{key}-copy"
        try:
            self.put(key, b"1", over=ABSENT)
            conditions = {"If-None-Match": ABSENT, "If-Match": f'"{"0" * 32}"'}
            broken = [name for name, over in conditions.items() if self.put(key, b"2", over=over) is not None]
            self.get(key)
            self.copy(key, other)
            if list(self.keys(key)) != [key, other]:
                broken.append("the order of requests: an object that was written is not listed")
            with self._discarded(self.write(key)) as writer:
                writer.begin()
            self._abort_all(key)
        except (self._errors.ClientError, self._errors.BotoCoreError):
            with suppress(self._errors.ClientError, self._errors.BotoCoreError):
                self.delete([key, other])
            raise
        self.delete([key, other])
        return broken

    @contextmanager
    def _discarded(self, writer: S3Writer) -> Iterator[S3Writer]:
        try:
            yield writer
        finally:
            writer.abandon()

    def path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def get(self, key: str) -> StoredObject | None:
        try:
            found = self._client.get_object(**self._at(key))
        except self._errors.ClientError as error:
            if code_of(error) in MISSING:
                return None
            raise
        return StoredObject(found["Body"].read(), found["ETag"])

    def put(self, key: str, data: bytes, *, over: str | None = None) -> str | None:
        condition = {} if over is None else {"IfNoneMatch": "*"} if over == ABSENT else {"IfMatch": over}
        try:
            written = self._client.put_object(**self._at(key), **self._sealed, Body=data, **condition)
            return str(written["ETag"])
        except self._errors.ClientError as error:
            if over is None or code_of(error) not in {PRECONDITION, *MISSING}:
                raise
            return self._written_before(error, key, data)

    def _written_before(self, error: Any, key: str, data: bytes) -> str | None:
        """The object's version if an attempt whose answer was lost has written it: it fails the condition of
        the next attempt, which boto3 made by itself.
        """
        if not error.response["ResponseMetadata"].get("RetryAttempts"):
            return None
        found = self.get(key)
        return found.version if found is not None and found.data == data else None

    def has(self, key: str) -> bool:
        try:
            self._client.head_object(**self._at(key))
        except self._errors.ClientError as error:
            if code_of(error) in MISSING:
                return False
            raise
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        for page in self._pages("list_objects_v2", prefix):
            for found in page.get("Contents", ()):
                yield self._key(found)

    def children(self, prefix: str) -> list[str]:
        names = set()
        for page in self._pages("list_objects_v2", prefix, Delimiter="/"):
            names |= {self._key(found)[len(prefix) :] for found in page.get("Contents", ())}
            folders = (found["Prefix"] for found in page.get("CommonPrefixes", ()))
            names |= {folder[len(self._base + prefix) : -1] for folder in folders}
        return sorted(names)

    def delete(self, keys: Iterable[str]) -> None:
        objects = [{"Key": self._base + key} for key in keys]
        for first in range(0, len(objects), self._limits.keys):
            some = {"Objects": objects[first : first + self._limits.keys], "Quiet": True}
            answer = self._client.delete_objects(Bucket=self._bucket, Delete=some)
            for refused in answer.get("Errors", ()):
                # The request as a whole succeeded; a failure within it is an ordinary error.
                raise self._errors.ClientError({"Error": {"Code": refused["Code"]}}, "DeleteObjects")

    def delete_all(self, prefix: str, kept: Kept = nothing) -> None:
        """Unfinished objects are invisible, and cost storage until their upload is aborted."""

        def is_kept(key: str) -> bool:
            return kept(key[len(prefix) :].partition("/")[0])

        self.delete([key for key in self.keys(prefix) if not is_kept(key)])
        self._abort_all(prefix, is_kept)

    def _abort_all(self, prefix: str, is_kept: Kept = nothing) -> None:
        for page in self._pages("list_multipart_uploads", prefix):
            for upload in page.get("Uploads", ()):
                key = self._key(upload)
                if not is_kept(key):
                    abort(self._client, self._at(key), upload["UploadId"])

    def write(self, key: str) -> S3Writer:
        return S3Writer(
            self._client, {**self._at(key), **self._sealed}, self._limits.part_bytes, self._sender
        )

    def read(self, key: str) -> pa.NativeFile:
        found = self._client.head_object(**self._at(key))
        # An object that is replaced during the read is an error, not a mixture.
        ranges = Ranges(self._client, {**self._at(key), "IfMatch": found["ETag"]}, found["ContentLength"])
        return pa.PythonFile(io.BufferedReader(ranges, READ_AHEAD_BYTES), mode="r")

    def copy(self, source: str, target: str) -> None:
        origin, at = self._at(source), self._at(target)
        try:
            self._client.copy_object(**at, **self._sealed, CopySource=origin)
        except self._errors.ClientError as error:
            if code_of(error) not in TOO_LARGE:
                raise
            limits = _module("boto3.s3.transfer").TransferConfig(
                multipart_threshold=COPY_BYTES, multipart_chunksize=COPY_PIECE_BYTES, use_threads=False
            )
            self._client.copy(origin, **at, Config=limits, ExtraArgs=self._sealed)

    def _copy_all(self, moves: Iterable[tuple[str, str]]) -> None:
        """Copy many objects at once; the first error is raised when all requests have ended."""
        started = [self._sender.start(self.copy, source, target) for source, target in moves]
        wait(started)
        for one in started:
            one.result()

    def sync(self, prefix: str) -> None:
        """Do nothing: an object is durable when its request is answered."""

    def publish(self, moves: Mapping[str, str]) -> None:
        started = {key: self._sender.start(self.copy, key, target) for key, target in moves.items()}
        wait(started.values())
        for source, one in started.items():
            try:
                one.result()
            except self._errors.ClientError as error:
                if code_of(error) not in MISSING:
                    raise
                if not self.has(moves[source]):
                    raise lost(self.path(source), self.path(moves[source])) from None
        self.delete(moves)

    def swap(self, prefixes: Mapping[str, str], mark: str) -> None:
        """Object by object: readers see both generations until it returns. The mark comes last, so that
        what a crash interrupts is repeated as a whole, and is permanent: a process that was replaced
        meanwhile finds it when it wakes.
        """
        for live, fresh in prefixes.items():
            # Listed before the mark is looked for: without a mark, no later object is in the lists.
            new = {live + key[len(fresh) :]: key for key in self.keys(fresh)}
            old = [key for key in self.keys(live) if key not in new and not _is_hidden(key)]
            if self.has(live + mark):
                continue
            self._copy_all((source, target) for target, source in new.items())
            if old and not self.has(live + mark):
                self.delete(old)
            self.put(live + mark, b"")

    def close(self) -> None:
        self._sender.close()
        self._client.close()

    def lock(self, key: str) -> NoLock:  # noqa: ARG002  (the protocol's)
        return NoLock()

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._base + key}

    def _key(self, found: Mapping[str, Any]) -> str:
        return str(found["Key"])[len(self._base) :]

    def _pages(self, operation: str, prefix: str, **options: str) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator(operation)
        yield from pages.paginate(
            Bucket=self._bucket,
            Prefix=self._base + prefix,
            PaginationConfig={"PageSize": self._limits.keys},
            **options,
        )


def _is_hidden(key: str) -> bool:
    return key.rpartition("/")[2].startswith(".")


class NoLock:
    """A `StoreLock` that excludes no process."""

    def release(self) -> None:
        pass


def new_session() -> Any:
    """Return a session of boto3, which finds the credentials."""
    return _module("boto3.session").Session()


def _encryption(place: S3Place) -> dict[str, str]:
    """The arguments of every request that makes an object."""
    chosen = {"ServerSideEncryption": place.encryption, "SSEKMSKeyId": place.encryption_key}
    return {name: value for name, value in chosen.items() if value}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = "a lake on S3 needs the package boto3, which is not installed"
        raise ConfigError(message, remedy=f"Run: {install_command('s3', 'boto3')}") from error
