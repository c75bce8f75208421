"""The small JSON bodies of header, commit and index frames. Pure conversion.

Integers that may pass 64 bits (a position's order) are decimal text; times are microseconds since 1970 in
UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from cdc.model import Audience, Commit, Position
from cdc.model.position import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """The body of a commit frame.

    `group_at` is the byte where the first frame of this commit begins. `synced` is the byte up to which the
    segment was known durable when this record was written: damage below it cannot be a torn write.
    """

    commit: Commit
    group_at: int
    synced: int
    metadata: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Previous:
    """What a segment records of the previous one: enough to open the log from the newest segment alone."""

    number: int
    byte_count: int
    commit: Commit | None


@dataclass(frozen=True, slots=True)
class HeaderRecord:
    """The body of a segment's header frame; `schema_count` schema frames follow it."""

    first: int
    created_at: datetime
    metadata: Mapping[str, str]
    schema_count: int
    previous: Previous | None


def encode_commit(record: CommitRecord) -> bytes:
    body = {
        "commit": commit_to_json(record.commit),
        "group_at": record.group_at,
        "synced": record.synced,
        "facts": dict(record.metadata),
    }
    return orjson.dumps(body)


def decode_commit(body: bytes | memoryview) -> CommitRecord:
    value = orjson.loads(body)
    return CommitRecord(commit_from_json(value["commit"]), value["group_at"], value["synced"], value["facts"])


def encode_header(record: HeaderRecord) -> bytes:
    previous = record.previous
    body = {
        "first": record.first,
        "created_at": to_microseconds(record.created_at),
        "facts": dict(record.metadata),
        "schemas": record.schema_count,
        "previous": None
        if previous is None
        else {
            "number": previous.number,
            "bytes": previous.byte_count,
            "commit": optional_commit_to_json(previous.commit),
        },
    }
    return orjson.dumps(body)


def decode_header(body: bytes | memoryview) -> HeaderRecord:
    value = orjson.loads(body)
    last = value["previous"]
    previous = last and Previous(last["number"], last["bytes"], optional_commit_from_json(last["commit"]))
    return HeaderRecord(
        first=value["first"],
        created_at=from_microseconds(value["created_at"]),
        metadata=value["facts"],
        schema_count=value["schemas"],
        previous=previous,
    )


def commit_to_json(commit: Commit) -> dict[str, Any]:
    audience = commit.audience.to_json()
    return {
        "first": commit.first,
        "next": commit.next,
        "order": str(commit.position.order),
        "position": commit.position.text,
        "commit_at": None if commit.commit_at is None else to_microseconds(commit.commit_at),
        "written_at": to_microseconds(commit.written_at),
        "rows": commit.row_count,
        "bytes": commit.byte_count,
        "transactions": commit.transactions,
    } | ({"audience": audience} if audience else {})


def commit_from_json(value: Mapping[str, Any]) -> Commit:
    at = value["commit_at"]
    return Commit(
        first=value["first"],
        next=value["next"],
        position=Position(int(value["order"]), value["position"]),
        commit_at=None if at is None else from_microseconds(at),
        written_at=from_microseconds(value["written_at"]),
        row_count=value["rows"],
        byte_count=value["bytes"],
        transactions=value["transactions"],
        audience=Audience.from_json(value.get("audience")),
    )


def optional_commit_to_json(commit: Commit | None) -> dict[str, Any] | None:
    return None if commit is None else commit_to_json(commit)


def optional_commit_from_json(value: Mapping[str, Any] | None) -> Commit | None:
    return None if value is None else commit_from_json(value)
