"""The object store of a bucket on S3, or on a server that speaks its protocol.

It has no locks: conditional writes (`If-Match`, `If-None-Match`) keep two writers apart, and `check` asks
whether the server honours them. Credentials come from boto3's usual chain and are no option.
"""

from __future__ import annotations

import importlib
import io
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from cdc.errors import CdcError, ConfigError, SinkRefused, SinkUnavailable, UnsupportedSchema
from cdc.installing import install_command
from cdc.lake.s3_objects import Ranges, S3Writer, abort
from cdc.lake.store import ABSENT, StoredObject
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
# A hiccup of a second is not worth a failed delivery; whatever lasts longer is the retry table's.
ATTEMPTS = 5

# 4xx answers that go away without us: a token that is renewed, a clock that is set, a slow upload, an upload
# that another process has ended.
_PASSING = frozenset({"ExpiredToken", "NoSuchUpload", "RequestTimeTooSkewed", "RequestTimeout"})
_PASSING_STATUS = frozenset({408, 409, 429})
# Also the answer for a single object of a request that succeeded, which has no status of its own.
_DENIED = "AccessDenied"
_MISSING = frozenset({"404", "NoSuchKey"})
_PRECONDITION = "PreconditionFailed"


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, or the part of it below a prefix (without a slash at its ends).

    `endpoint` (a URL) and `region` default to those of boto3's configuration. `addressing` is where requests
    name the bucket: in the path, in the host's name (`virtual`), or as boto3 chooses by endpoint and bucket.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"


@dataclass(frozen=True, slots=True)
class S3Limits:
    """The size of a part of an upload, and the keys of one request."""

    part_bytes: int = PART_BYTES
    keys: int = KEYS_AT_ONCE


DEFAULT_LIMITS = S3Limits()


class S3Store:
    """An `ObjectStore` in a bucket. Thread-safe. An object's version is its ETag."""

    def __init__(self, place: S3Place, limits: S3Limits = DEFAULT_LIMITS) -> None:
        """Raises ConfigError if boto3 is missing or refuses an option."""
        self._errors: Any = _module("botocore.exceptions")
        self._bucket = place.bucket
        self._base = f"{place.prefix}/" if place.prefix else ""
        self._limits = limits
        self.root = f"s3://{place.bucket}/{place.prefix}".rstrip("/")
        self._client = self._connect(place)

    def _connect(self, place: S3Place) -> Any:
        session = _module("boto3.session").Session
        config = _module("botocore.config").Config(
            s3={"addressing_style": place.addressing},
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            return session().client(
                "s3", endpoint_url=place.endpoint, region_name=place.region, config=config
            )
        except (self._errors.BotoCoreError, ValueError) as error:
            # What it says is about options (a profile, a region, a URL), never about credentials.
            message = f"the S3 client cannot be configured ({type(error).__name__})"
            remedy = "Check endpoint and region, and boto3's settings. Run: env | grep ^AWS_ | cut -d= -f1"
            raise ConfigError(message, where=self.root, remedy=remedy) from error

    @contextmanager
    def guard(self, operation: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except self._errors.ClientError as error:
            raise _answered(error, operation, self.path(key)) from error
        except self._errors.BotoCoreError as error:
            raise self._failed(error, operation, self.path(key)) from error

    def check(self, docs: str) -> Finding:
        key = f"_cdc/check-{uuid.uuid4().hex}"
        try:
            with self.guard("checking the bucket"):
                # Where conditions are honoured, nothing is written: no object has this version.
                written = self.put(key, b"", over=f'"{"0" * 32}"')
                if written is not None:
                    self.delete([key])
        except CdcError as error:
            return Finding(Severity.ERROR, "lake-bucket", f"{self.root}: {error.message}", error.remedy, docs)
        if written is not None:
            message = f"the server of {self.root} ignores conditions: two daemons could write the same lake"
            fix = "Use a server that honours If-Match and If-None-Match, or a newer version of it."
            return Finding(Severity.ERROR, "lake-conditions", message, fix, docs)
        message = f"{self.root} can be written; commits are exactly once per table"
        return Finding(Severity.OK, "lake-writable", message, docs=docs)

    def path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def get(self, key: str) -> StoredObject | None:
        try:
            found = self._client.get_object(**self._at(key))
        except self._errors.ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return StoredObject(found["Body"].read(), found["ETag"])

    def put(self, key: str, data: bytes, *, over: str | None = None) -> str | None:
        condition = {} if over is None else {"IfNoneMatch": "*"} if over == ABSENT else {"IfMatch": over}
        try:
            return str(self._client.put_object(**self._at(key), Body=data, **condition)["ETag"])
        except self._errors.ClientError as error:
            if over is None or _code(error) not in {_PRECONDITION, *_MISSING}:
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
            if _code(error) in _MISSING:
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
            for failed in answer.get("Errors", ()):
                # The request as a whole succeeded: what failed in it is an error like any other.
                raise self._errors.ClientError({"Error": {"Code": failed["Code"]}}, "DeleteObjects")

    def delete_all(self, prefix: str) -> None:
        """Unfinished objects too, which are invisible and cost storage until their upload is aborted."""
        self.delete(list(self.keys(prefix)))
        for page in self._pages("list_multipart_uploads", prefix):
            for upload in page.get("Uploads", ()):
                abort(self._client, self._at(self._key(upload)), upload["UploadId"])

    def write(self, key: str) -> S3Writer:
        return S3Writer(self._client, self._at(key), self._limits.part_bytes)

    def read(self, key: str) -> pa.NativeFile:
        found = self._client.head_object(**self._at(key))
        # An object that is replaced meanwhile is an error, not a mixture.
        ranges = Ranges(self._client, {**self._at(key), "IfMatch": found["ETag"]}, found["ContentLength"])
        return pa.PythonFile(io.BufferedReader(ranges, READ_AHEAD_BYTES), mode="r")

    def copy(self, source: str, target: str) -> None:
        limits = _module("boto3.s3.transfer").TransferConfig(
            multipart_threshold=COPY_BYTES, multipart_chunksize=COPY_PIECE_BYTES, use_threads=False
        )
        at = self._at(target)
        self._client.copy(self._at(source), at["Bucket"], at["Key"], Config=limits)

    def sync(self, prefix: str) -> None:
        """Nothing: an object is durable when its request is answered."""

    def publish(self, moves: Mapping[str, str]) -> None:
        for source, target in moves.items():
            try:
                self.copy(source, target)
            except self._errors.ClientError as error:
                if _code(error) not in _MISSING:
                    raise
        self.delete(moves)

    def swap(self, prefixes: Mapping[str, str], mark: str) -> None:
        """Object by object: readers see both generations until it returns. The mark comes last, so that
        what a crash interrupts is repeated as a whole.
        """
        for live, fresh in prefixes.items():
            if self.has(live + mark):
                continue
            new = {live + key[len(fresh) :]: key for key in self.keys(fresh)}
            for target, source in new.items():
                self.copy(source, target)
            self.delete([key for key in self.keys(live) if key not in new])
            if new:
                self.put(live + mark, b"")

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

    def _failed(self, error: Any, operation: str, where: str) -> CdcError:
        """Return the error of a request that got no complete answer."""
        message = f"{operation}: the request to S3 failed ({type(error).__name__})"
        known = self._errors
        passing = (
            known.ConnectionError, known.HTTPClientError, known.IncompleteReadError,
            known.FlexibleChecksumError, known.MetadataRetrievalError, known.CredentialRetrievalError,
        )  # fmt: skip
        if isinstance(error, passing):
            remedy = "Check endpoint and network. Delivery is retried automatically."
            return SinkUnavailable(message, where=where, remedy=remedy)
        remedy = "Check credentials, endpoint and region. Run: aws sts get-caller-identity"
        return SinkRefused(message, where=where, remedy=remedy)


class NoLock:
    """A `StoreLock` that keeps nobody away."""

    def release(self) -> None:
        pass


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = "a lake on S3 needs the package boto3, which is not installed"
        raise ConfigError(message, remedy=f"Run: {install_command('s3', 'boto3')}") from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _answered(error: Any, operation: str, where: str) -> CdcError:
    """Return the error of an answer, without the answer's text, which can hold an access key's id."""
    code = _code(error)
    if code == "KeyTooLongError":
        message = f"{operation}: the escaped table name is too long for an object's key"
        return UnsupportedSchema(message, where=where, remedy="Exclude the table, or rename it.")
    message = f"{operation}: S3 answered {code or 'an error'}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    is_final = code == _DENIED or (300 <= status < 500 and status not in _PASSING_STATUS)
    if code in _PASSING or not is_final:
        return SinkUnavailable(message, where=where, remedy="Delivery is retried automatically.")
    remedy = "Check bucket, region and the rights to get, put, list and delete objects there."
    return SinkRefused(message, where=where, remedy=remedy)
