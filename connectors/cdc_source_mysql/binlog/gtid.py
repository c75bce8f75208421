"""Sets of transactions by their GTIDs: MySQL's `uuid:1-23:tag:5`, MariaDB's one number for each domain, and
those that an operator gives up (`accept_lost_gtids`).

A `GtidSet` keeps for every (uuid, tag) its numbers as sorted, disjoint, non-adjacent half-open runs, so
that equal sets are equal objects and have one text. Tags and uuids are lower case. `decode` takes nothing
that `encode` could not have made but for the order of entries; what breaks the shape is a DecodeError.
"""

from __future__ import annotations

import re
import struct
import uuid as uuids
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cdc.errors import DecodeError

# The server's own bounds: numbers are 1 … 2^63 - 2, a tag has at most 32 characters.
MAX_NUMBER = 2**63 - 2
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_TAG = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,31}")
_RUN = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?")
_MARIADB = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,20})")
_U64 = struct.Struct("<Q")
_RUN_FORM = struct.Struct("<QQ")
# The header of the tagged form: this byte at both ends, the count of entries between.
_TAGGED = 1

# (uuid of 16 bytes, tag): sorts as the server sorts.
Origin = tuple[bytes, str]
# Half-open: first number and the one after the last.
Run = tuple[int, int]
# `0-1-98`, or several of one server: `0-1-98..100`.
_ACCEPTED_RUN = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,19})(?:\.\.(\d{1,19}))?")


class GtidSet:
    """MySQL's set of executed transactions. Grows by `add` and `add_run` only; the rest makes new sets."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[Origin, list[Run]] = {}

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """`uuid:[tag:]1-5[:7][:tag:1-2], …`; ValueError when it is none. Empty text is the empty set."""
        found = cls()
        for part in "".join(text.split()).split(","):
            if part:
                found._parse_source(part)
        return found

    def _parse_source(self, part: str) -> None:
        name, *items = part.split(":")
        if not _UUID.fullmatch(name) or not items:
            raise _not_a_set()
        source, tag = uuids.UUID(name).bytes, ""
        for item in items:
            if run := _RUN.fullmatch(item):
                first = int(run[1])
                last = int(run[2] or run[1])
                if first < 1 or last > MAX_NUMBER:
                    raise _not_a_set()
                if first <= last:  # The server takes an empty run for nothing, and so do we.
                    self._insert((source, tag), first, last + 1)
            elif _TAG.fullmatch(item):
                tag = item.lower()
            else:
                raise _not_a_set()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> GtidSet:
        """The binary form, as COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS carry it."""
        view = memoryview(data)
        if len(view) < _U64.size:
            raise _torn()
        (head,) = _U64.unpack_from(view)
        tagged = head >> 56 == _TAGGED
        entries = (head >> 8) & 0xFFFFFFFFFFFF if tagged else head
        found, at = cls(), _U64.size
        for _ in range(entries):
            at = found._decode_entry(view, at, tagged=tagged)
        if at != len(view):
            raise DecodeError("a GTID set has bytes after its end")
        return found

    def _decode_entry(self, view: memoryview, at: int, *, tagged: bool) -> int:
        source, at = bytes(view[at : at + 16]), at + 16
        tag = ""
        if tagged and at < len(view):
            length = view[at] >> 1
            tag, at = bytes(view[at + 1 : at + 1 + length]).decode("ascii", "replace"), at + 1 + length
            if tag and not _TAG.fullmatch(tag):
                raise DecodeError("a GTID set has an invalid tag")
        if at + _U64.size > len(view):
            raise _torn()
        (count,) = _U64.unpack_from(view, at)
        at += _U64.size
        if count > (len(view) - at) // _RUN_FORM.size:
            raise _torn()
        for start, end in _RUN_FORM.iter_unpack(view[at : at + count * _RUN_FORM.size]):
            if not 1 <= start < end <= MAX_NUMBER + 1:
                raise DecodeError("a GTID set has an invalid range")
            self._insert((source, tag), start, end)
        return at + count * _RUN_FORM.size

    def encode(self) -> bytes:
        """The binary form; the tagged one only where there is a tag, for older servers know no tags."""
        entries = sorted(self._runs.items())
        tagged = any(tag for (_, tag), _ in entries)
        head = (_TAGGED << 56) | (len(entries) << 8) | _TAGGED if tagged else len(entries)
        parts = [_U64.pack(head)]
        for (source, tag), runs in entries:
            parts.append(source)
            if tagged:
                parts.append(bytes([len(tag) << 1]) + tag.encode())
            parts.append(_U64.pack(len(runs)))
            parts.extend(_RUN_FORM.pack(*run) for run in runs)
        return b"".join(parts)

    def add(self, uuid: str | bytes, tag: str, number: int) -> None:
        self._insert(_origin(uuid, tag), number, number + 1)

    def add_run(self, uuid: str | bytes, tag: str, first: int, last: int) -> None:
        """Add the numbers from `first` to `last`, both included."""
        if last < first:
            raise ValueError(f"a range ends before it begins: {first}-{last}")
        self._insert(_origin(uuid, tag), first, last + 1)

    def contains(self, uuid: str | bytes, tag: str, number: int) -> bool:
        runs = self._runs.get(_origin(uuid, tag), [])
        at = bisect_right(runs, number, key=_start) - 1
        return at >= 0 and number < runs[at][1]

    def issubset(self, other: GtidSet) -> bool:
        return not self.subtract(other)

    def union(self, other: GtidSet) -> GtidSet:
        both = self.copy()
        for (source, tag), start, end in other._each():
            both.add_run(source, tag, start, end - 1)
        return both

    def subtract(self, other: GtidSet) -> GtidSet:
        """Return the GTIDs of this set that the other set lacks."""
        rest = GtidSet()
        for origin, runs in self._runs.items():
            left = list(_without(runs, other._runs.get(origin, [])))
            if left:
                rest._runs[origin] = left
        return rest

    def copy(self) -> GtidSet:
        twin = GtidSet()
        twin._runs = {origin: list(runs) for origin, runs in self._runs.items()}
        return twin

    def count(self) -> int:
        """How many transactions are in it."""
        return sum(end - start for _, start, end in self._each())

    def sources(self) -> frozenset[str]:
        """The uuids of the servers that these transactions come from."""
        return frozenset(str(uuids.UUID(bytes=source)) for source, _ in self._runs)

    def _each(self) -> Iterator[tuple[Origin, int, int]]:
        for origin, runs in self._runs.items():
            for start, end in runs:
                yield origin, start, end

    def _insert(self, origin: Origin, start: int, end: int) -> None:
        if start < 1 or end > MAX_NUMBER + 1:
            raise ValueError(f"a GTID's number is between 1 and {MAX_NUMBER}")
        runs = self._runs.setdefault(origin, [])
        if runs and runs[-1][1] == start:  # The next transaction: what a stream adds.
            runs[-1] = (runs[-1][0], end)
            return
        # All runs that touch the new one melt into it.
        low = bisect_left(runs, start, key=_end)
        high = bisect_right(runs, end, key=_start)
        if low < high:
            start, end = min(start, runs[low][0]), max(end, runs[high - 1][1])
        runs[low:high] = [(start, end)]

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._runs == other._runs

    __hash__ = None  # type: ignore[assignment]  # It changes.

    def __str__(self) -> str:
        """Canonical, as the server writes it, in one line without spaces."""
        texts: dict[bytes, list[str]] = {}
        for (source, tag), runs in sorted(self._runs.items()):
            items = texts.setdefault(source, [str(uuids.UUID(bytes=source))])
            items.extend([tag] if tag else [])
            items.extend(f"{start}-{end - 1}" if end - start > 1 else str(start) for start, end in runs)
        return ",".join(":".join(items) for items in texts.values())

    def __repr__(self) -> str:
        return f"GtidSet({str(self)!r})"


class MariadbGtid(NamedTuple):
    """The last transaction of one domain."""

    domain: int
    server_id: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server_id}-{self.sequence}"


@dataclass(slots=True)
class MariadbGtids:
    """MariaDB's place in every domain: the last (server id, sequence number) seen there."""

    last: dict[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> MariadbGtids:
        """`0-1-5,1-1-7`; ValueError when it is none. Empty text is the place before everything."""
        found = cls()
        for part in "".join(text.split()).split(","):
            if part:
                gtid = parse_mariadb_gtid(part)
                if gtid.domain in found.last:
                    raise _not_a_place()
                found.add(*gtid)
        return found

    def add(self, domain: int, server_id: int, sequence: int) -> None:
        """The next transaction of a domain takes the place of the one before."""
        self.last[domain] = (server_id, sequence)

    def covers(self, other: MariadbGtids) -> bool:
        """Return whether this place is at or after the other in each of its domains."""
        return all(self.last.get(domain, (0, -1))[1] >= seq for domain, (_, seq) in other.last.items())

    def within(self, domains: Iterable[int]) -> MariadbGtids:
        """This place in these domains only."""
        return MariadbGtids({domain: self.last[domain] for domain in domains if domain in self.last})

    def copy(self) -> MariadbGtids:
        return MariadbGtids(dict(self.last))

    def __bool__(self) -> bool:
        return bool(self.last)

    def __str__(self) -> str:
        gtids = (MariadbGtid(domain, *self.last[domain]) for domain in sorted(self.last))
        return ",".join(str(gtid) for gtid in gtids)


Gtids = GtidSet | MariadbGtids


def parse_mariadb_gtid(text: str) -> MariadbGtid:
    """`0-1-5`; ValueError when it is none."""
    found = _MARIADB.fullmatch(text)
    if found is None:
        raise _not_a_place()
    gtid = MariadbGtid(int(found[1]), int(found[2]), int(found[3]))
    if max(gtid[:2]) >= 2**32 or gtid.sequence >= 2**64:
        raise _not_a_place()
    return gtid


def _origin(uuid: str | bytes, tag: str) -> Origin:
    return (uuids.UUID(uuid).bytes if isinstance(uuid, str) else bytes(uuid), tag.lower())


def _start(run: Run) -> int:
    return run[0]


def _end(run: Run) -> int:
    return run[1]


def _without(runs: list[Run], holes: list[Run]) -> Iterator[Run]:
    """The parts of the runs that lie in no hole; both are sorted and disjoint."""
    at = 0
    for begin, end in runs:
        start = begin
        while at < len(holes) and holes[at][1] <= start:
            at += 1
        ahead = at
        while ahead < len(holes) and holes[ahead][0] < end:
            if start < holes[ahead][0]:
                yield start, holes[ahead][0]
            start = holes[ahead][1]
            ahead += 1
        if start < end:
            yield start, end


def _not_a_set() -> ValueError:
    return ValueError("expected a GTID set, uuid:1-5 or uuid:tag:1-5, several joined by commas")


def _not_a_place() -> ValueError:
    return ValueError("expected MariaDB GTIDs, domain-server-number, one for each domain, joined by commas")


def _torn() -> DecodeError:
    return DecodeError("a GTID set ends early")


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """Transactions of one MariaDB server in one domain, by their numbers."""

    domain: int
    server_id: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AcceptedLoss:
    """Value of `accept_lost_gtids`: MySQL's set, or MariaDB's runs."""

    gtids: GtidSet
    runs: tuple[AcceptedRun, ...]

    @classmethod
    def parse(cls, text: str) -> AcceptedLoss:
        """ValueError when it is neither."""
        plain = "".join(text.split())
        if ":" in plain or not plain:
            return cls(GtidSet.parse(plain), ())
        return cls(GtidSet(), tuple(_accepted_run(part) for part in plain.split(",")))

    def first(self, last: MariadbGtid) -> int | None:
        """The lowest number that is given up in the domain of our last transaction; None when that isn't."""
        runs = [run for run in self.runs if run.domain == last.domain]
        if not any(r.server_id == last.server_id and r.first <= last.sequence == r.last for r in runs):
            return None
        return min(run.first for run in runs)


def _accepted_run(text: str) -> AcceptedRun:
    found = _ACCEPTED_RUN.fullmatch(text)
    if found is None or int(found[4] or found[3]) < int(found[3]):
        raise ValueError(
            "expected GTIDs: uuid:5-7 of MySQL, 0-1-98 or 0-1-98..100 of MariaDB, joined by commas"
        )
    return AcceptedRun(int(found[1]), int(found[2]), int(found[3]), int(found[4] or found[3]))
