"""The default character sets of databases at the stream's position."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from cdc_source_mysql.schema.ddl.changes import DatabaseDefaults
from cdc_source_mysql.schema.history.edits import CharacterSet

MEMORY_PREFIX = "database:"
Memory = dict[str, str | None]


class Databases:
    """Kept by CREATE, ALTER and DROP DATABASE from what the catalog said where the history began. A database
    that is missing here has a default that is not known.
    """

    def __init__(self) -> None:
        self._known: dict[str, CharacterSet] = {}

    def get(self, name: str) -> CharacterSet | None:
        return self._known.get(name)

    def restore(self, memory: Mapping[str, str]) -> None:
        for key, text in memory.items():
            if key.startswith(MEMORY_PREFIX):
                self._known[key.removeprefix(MEMORY_PREFIX)] = CharacterSet(*orjson.loads(text))

    def begin(self, known: Mapping[str, CharacterSet]) -> Memory:
        memory = self.clear()
        for name, characters in known.items():
            memory |= self._put(name, characters)
        return memory

    def clear(self) -> Memory:
        """Nothing that is known is sure any more."""
        memory: Memory = {}
        for name in list(self._known):
            memory |= self.forget(name)
        return memory

    def apply(self, name: str, change: DatabaseDefaults, default_collations: Mapping[str, str]) -> Memory:
        if change.if_not_exists:
            # Where it is not known, nothing says whether it was there before.
            return {}
        if change.charset is None:
            return self.forget(name)
        collation = change.collation or default_collations.get(change.charset)
        return self._put(name, CharacterSet(change.charset, collation))

    def forget(self, name: str) -> Memory:
        return {} if self._known.pop(name, None) is None else {f"{MEMORY_PREFIX}{name}": None}

    def _put(self, name: str, characters: CharacterSet) -> Memory:
        self._known[name] = characters
        text = orjson.dumps([characters.charset, characters.collation]).decode()
        return {f"{MEMORY_PREFIX}{name}": text}
