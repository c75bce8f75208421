"""The cursor of one source in the lake, and the manifests of its commits.

`cursor.json` is replaced in one step and decides: once it names a commit, that commit happens, because its
files are already durable in the staging folder and whoever opens the lake next moves them to their names.
The manifest is written after that: a manifest that exists names only files that are in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.lake.completeness import Aside, Incomplete, from_json
from cdc.lake.files import StagedFile
from cdc.lake.layout import SOURCES, LakePaths, unescape
from cdc.lake.store import ABSENT, ObjectStore
from cdc.model import Position
from cdc.spi import Cursor

# Of cursor.json and of the manifests; a higher one is refused.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """One commit: number `number` of its generation, holding the offsets first ≤ offset < next.

    `incomplete` are the tables that lack rows or changes after it, `aside` those that the lake cannot store.
    """

    source: str
    generation: int
    number: int
    first: int
    next: int
    position: Position
    commit_at: datetime | None
    epoch: int
    files: tuple[StagedFile, ...]
    incomplete: tuple[Incomplete, ...] = ()
    aside: tuple[Aside, ...] = ()

    def path(self, paths: LakePaths) -> str:
        return paths.manifest(self.generation, self.number, self.first, self.next)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "source": self.source,
            "generation": self.generation,
            "number": self.number,
            "first": self.first,
            "next": self.next,
            "position": self.position.to_json(),
            "commit_at": _moment_text(self.commit_at),
            "epoch": self.epoch,
            "rows": sum(file.rows for file in self.files),
            "bytes": sum(file.byte_count for file in self.files),
            "files": [asdict(file) for file in self.files],
            "incomplete": [one.to_json() for one in self.incomplete],
            "set_aside": [one.to_json() for one in self.aside],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        return cls(
            source=value["source"],
            generation=value["generation"],
            number=value["number"],
            first=value["first"],
            next=value["next"],
            position=Position.from_json(value["position"]),
            commit_at=_moment(value["commit_at"]),
            epoch=value["epoch"],
            files=tuple(StagedFile(**file) for file in value["files"]),
            incomplete=from_json(value.get("incomplete", ())),
            aside=tuple(map(Aside.from_json, value.get("set_aside", ()))),
        )


@dataclass(frozen=True, slots=True)
class LakeState:
    """The contents of `cursor.json`.

    `live` is the generation that readers see, `generation` the one written to; they differ while a replay is
    under way. `commits` counts the manifests of `generation`. `last` is the newest commit, which the next one
    to open the lake completes; `before` is the position that the lake was at without it. `incomplete` are the
    tables that lack rows or changes in `generation`, `aside` those that the lake cannot store. `log_id` is
    the identity of the log that the offsets are of. `writer` is the process that wrote the cursor last, and
    `reserved` the highest number of a generation that a process has begun to write: no two write one.
    """

    source: str
    next: int
    position: Position
    commit_at: datetime | None
    epoch: int
    high: int
    generation: int = 1
    live: int = 1
    commits: int = 0
    last: Manifest | None = None
    before: Position | None = None
    incomplete: tuple[Incomplete, ...] = ()
    aside: tuple[Aside, ...] = ()
    log_id: str = ""
    writer: str = ""
    reserved: int = 0
    version: str = field(default=ABSENT, compare=False)
    """Of `cursor.json`, as it was read or written."""

    @property
    def is_replaying(self) -> bool:
        return self.generation != self.live

    @property
    def cursor(self) -> Cursor:
        return Cursor(
            self.source, self.next, self.position, self.commit_at, self.epoch, self.high, self.log_id
        )

    def is_settled(self, paths: LakePaths) -> bool:
        """Return whether all files of the newest commit are in place."""
        return self.last is None or paths.store.has(self.last.path(paths))


def load_state(paths: LakePaths) -> LakeState | None:
    """Return the lake's state of this source; None if the lake has no commit of it."""
    found, where = paths.store.get(paths.cursor), paths.store.path(paths.cursor)
    if found is None:
        return None
    try:
        content = orjson.loads(found.data)
    except orjson.JSONDecodeError as error:
        remedy = "Restore the file from a backup, or write to a new folder."
        raise SinkRefused("the cursor is not valid JSON", where=where, remedy=remedy) from error
    if content["format"] > FORMAT:
        message = f"the lake has format {content['format']}, this version writes {FORMAT}"
        raise SinkRefused(message, where=where, remedy="Use the newer version.")
    return LakeState(
        source=content["source"],
        next=content["next"],
        position=Position.from_json(content["position"]),
        commit_at=_moment(content["commit_at"]),
        epoch=content["epoch"],
        high=content["high"],
        generation=content["generation"],
        live=content["live"],
        commits=content["commits"],
        last=Manifest.from_json(content["last"]) if content["last"] else None,
        before=Position.from_json(content["before"]) if content["before"] else None,
        incomplete=from_json(content.get("incomplete", ())),
        aside=tuple(map(Aside.from_json, content.get("set_aside", ()))),
        log_id=content.get("log", ""),
        writer=content.get("writer", ""),
        reserved=content.get("reserved", max(content["generation"], content["live"])),
        version=found.version,
    )


def states(store: ObjectStore) -> list[LakeState]:
    """Return the states of all sources of a lake."""
    found = (load_state(LakePaths(store, unescape(home))) for home in store.children(SOURCES))
    return [state for state in found if state is not None]


def save_state(paths: LakePaths, state: LakeState) -> LakeState:
    """Replace the state that this one was derived from; return it with its version.

    Raises:
        SinkFenced: another process has written the cursor since.
    """
    content = {
        "format": FORMAT,
        "source": state.source,
        "next": state.next,
        "position": state.position.to_json(),
        "commit_at": _moment_text(state.commit_at),
        "epoch": state.epoch,
        "log": state.log_id,
        "writer": state.writer,
        "high": state.high,
        "generation": state.generation,
        "live": state.live,
        "reserved": state.reserved,
        "commits": state.commits,
        "last": state.last.to_json() if state.last else None,
        "before": state.before.to_json() if state.before else None,
        "incomplete": [one.to_json() for one in state.incomplete],
        "set_aside": [one.to_json() for one in state.aside],
    }
    version = paths.store.put(paths.cursor, encode(content), over=state.version)
    if version is None:
        message = "another process has changed the lake's cursor since this one read it"
        remedy = "Stop the other daemon."
        raise SinkFenced(message, where=paths.store.path(paths.cursor), remedy=remedy)
    return replace(state, version=version)


def claim(paths: LakePaths, writer: str) -> LakeState | None:
    """Write this process into the cursor, so that no earlier one can replace it any more; return the state,
    None if the lake has no commit.

    Raises:
        SinkUnavailable: another process has written the cursor since.
    """
    state = load_state(paths)
    if state is None or state.writer == writer:
        return state
    try:
        return save_state(paths, replace(state, writer=writer))
    except SinkFenced as error:
        message = "another process has changed the lake's cursor while this one opened the lake"
        raise SinkUnavailable(message, where=error.where) from error


def complete(paths: LakePaths, state: LakeState, *, is_new: bool = False) -> None:
    """Rename the files of the newest commit to their final names and write its manifest; may be repeated.

    A commit that `is_new` has no manifest yet, so none is looked up.
    """
    manifest = state.last
    if manifest is None or (not is_new and paths.store.has(manifest.path(paths))):
        return
    root = paths.tables_root(manifest.generation, state.live)
    paths.store.publish({paths.staging + file.staged: root + file.path for file in manifest.files})
    write_manifest(paths, manifest)


def write_manifest(paths: LakePaths, manifest: Manifest) -> None:
    """Write a manifest; an existing one has the same content."""
    paths.store.put(manifest.path(paths), encode(manifest.to_json()), over=ABSENT)


def load_manifest(paths: LakePaths, key: str) -> Manifest:
    """Read a manifest that exists."""
    found = paths.store.get(key)
    if found is None:
        raise SinkRefused("a manifest was removed while it was read", where=paths.store.path(key))
    return Manifest.from_json(orjson.loads(found.data))


def encode(content: Mapping[str, Any]) -> bytes:
    """Return JSON in the lake's form: indented, for people."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _moment_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
