"""Compare two configurations, and refuse the differences that a running daemon cannot apply. No values are
named: they may be secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from cdc.errors import ConfigError
from cdc.spi import FixesOptions
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

Configured = ConfiguredSource | ConfiguredSink
# A path in the file of what belongs to the process as a whole.
_OF_THE_PROCESS = ("state_dir", "umask")
# Each request is checked against the token in force.
_LIVE_HTTP = ("token",)
_RESTART = "Restore it, or restart the daemon: the new value counts from then on."


@dataclass(frozen=True, slots=True)
class Difference:
    """A source or sink (`sources.shop`) that was added, changed or removed, or `http`; `keys` are those that
    changed.
    """

    part: str
    change: Literal["added", "changed", "removed"]
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        keys = f" ({', '.join(self.keys)})" if self.keys else ""
        return f"{self.part} {self.change}{keys}"


def differences(old: Configuration, new: Configuration) -> list[Difference]:
    """Return the sources and sinks that differ, in the order of the files; first `http`."""
    keys = _changed_fields(old.http, new.http)
    return [
        *([Difference("http", "changed", tuple(keys))] if keys else []),
        *_between("sources", old.sources, new.sources),
        *_between("sinks", old.sinks, new.sinks),
    ]


def refusals(old: Configuration, new: Configuration) -> list[ConfigError]:
    """Return an error for each difference that only a restart can apply."""
    found = [key for key in _OF_THE_PROCESS if getattr(old, key) != getattr(new, key)]
    found += [f"http.{key}" for key in _changed_fields(old.http, new.http) if key not in _LIVE_HTTP]
    for difference in differences(old, new):
        kind, _, name = difference.part.partition(".")
        if kind == "sources" and difference.change == "changed":
            options = new.sources[name].options
            fixed = ("type", *(options.fixed if isinstance(options, FixesOptions) else ()))
            found += [f"{difference.part}.{key}" for key in difference.keys if key in fixed]
    message = "cannot change while the daemon runs"
    return [ConfigError(message, where=where, remedy=_RESTART) for where in found]


def _between(kind: str, old: Mapping[str, Configured], new: Mapping[str, Configured]) -> Iterator[Difference]:
    for name, one in new.items():
        if name not in old:
            yield Difference(f"{kind}.{name}", "added")
        elif keys := _changed_keys(old[name], one):
            yield Difference(f"{kind}.{name}", "changed", tuple(keys))
    yield from (Difference(f"{kind}.{name}", "removed") for name in old if name not in new)


def _changed_keys(old: Configured, new: Configured) -> list[str]:
    if old.plugin is not new.plugin:
        return ["type"]
    found = [*_changed_fields(old.settings, new.settings), *_changed_fields(old.options, new.options)]
    if isinstance(old, ConfiguredSink) and isinstance(new, ConfiguredSink):
        # Left out, `from` means all sources.
        found = [key for key in found if key != "from"]
        found += ["from"] if old.sources != new.sources else []
    return found


def _changed_fields(old: BaseModel, new: BaseModel) -> list[str]:
    """Return the keys, as in the file, whose values differ."""
    fields: Mapping[str, Any] = type(new).model_fields
    return [field.alias or name for name, field in fields.items() if getattr(old, name) != getattr(new, name)]
