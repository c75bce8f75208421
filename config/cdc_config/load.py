"""Loads one file into validated settings and plug-in options, or says what is wrong, all of it at once.

Plug-ins are found by a function that the caller gives: this package imports none. Relative paths in the file
mean the file's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from cdc.errors import ConfigError, PluginError
from cdc.files import DEFAULT_UMASK
from cdc.spi.capabilities import OwnsPlaces
from cdc_config.document import Document, describe, read_document, read_section
from cdc_config.http import HOW_TO_MAKE_ONE, HttpSettings, problem_of
from cdc_config.problem import InvalidConfig, Path, did_you_mean, format_path
from cdc_config.settings import (
    DEFAULT_STATE_DIR,
    DEFAULT_UMASK_TEXT,
    MIN_MASK_KEY_LENGTH,
    NAME_PATTERN,
    UMASK_PATTERN,
    SinkSettings,
    SourceSettings,
)
from cdc_config.validation import known_keys, validate

Group = Literal["cdc.sources", "cdc.sinks", "cdc.transforms"]
# What a configuration is called where nobody names it.
DEFAULT_FILE = "cdc.yaml"
_TOP_KEYS = ("state_dir", "umask", "http", "sources", "sinks")
# Engine keys of a source that a command needs only if it reads rows.
_ONLY_FOR_ROWS = ("mask_key", "transforms")
# The model of `transforms`, found like the options of a plug-in: only who uses it imports it.
TRANSFORMS = "cdc.transform.settings:TransformList"
_NAME_RULE = "A name starts with a-z and has only a-z, 0-9 and _, at most 48 characters."


class PluginLoader(Protocol):
    """Gives the class for a `type:`; raises PluginError. `cdc.spi.registry.load` is one."""

    def __call__(self, group: Group, type_name: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """One source: what the engine reads, and the plug-in with its own validated options, or why there are
    none. The plug-in is None if its type is not known either.
    """

    name: str
    settings: SourceSettings
    plugin: Any
    given: BaseModel | InvalidConfig
    transforms: tuple[Any, ...] = ()

    @property
    def options(self) -> BaseModel:
        """The plug-in's options. Raises InvalidConfig if a value of this source could not be found."""
        return _known(self.given)


@dataclass(frozen=True, slots=True)
class ConfiguredSink:
    """One sink, as `ConfiguredSource`; `sources` are the names it takes changes from."""

    name: str
    settings: SinkSettings
    plugin: Any
    given: BaseModel | InvalidConfig
    sources: tuple[str, ...]

    @property
    def options(self) -> BaseModel:
        """See `ConfiguredSource.options`."""
        return _known(self.given)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file. `state_dir` is absolute; `umask` takes rights from all files that the daemon makes.

    `keys` are those at the file's top. `secret_files` are those that its values refer to.
    """

    file: FilePath
    state_dir: FilePath
    sources: Mapping[str, ConfiguredSource]
    sinks: Mapping[str, ConfiguredSink]
    umask: int
    http: HttpSettings
    keys: tuple[str, ...] = ()
    secret_files: tuple[FilePath, ...] = ()


def load(
    file: FilePath,
    plugin: PluginLoader,
    environment: Mapping[str, str] | None = None,
    *,
    complete: bool = True,
) -> Configuration:
    """The configuration in `file`, its references replaced from `environment` (the process's own by default).

    If it need not be `complete`, sources, sinks and `http` may refer to variables, files and credentials that
    this process does not have: the options of such a source or sink raise an error when they are read.

    Raises:
        ConfigError: the file can't be read or parsed.
        InvalidConfig: with every problem that could be found in one go.
    """
    environment = os.environ if environment is None else environment
    document = read_document(file, environment, complete=complete)
    return _Loading(document, plugin).configuration(file)


def load_http(file: FilePath, environment: Mapping[str, str] | None = None) -> HttpSettings:
    """The settings of the HTTP service in `file`, as `load` if it need not be complete. No plug-in is loaded.

    Raises:
        ConfigError, InvalidConfig: as `load`, of the file itself and of `http`.
    """
    environment = os.environ if environment is None else environment
    return _Loading(read_document(file, environment, complete=False), _no_plugin).http()


def salvage_http(file: FilePath, environment: Mapping[str, str] | None = None) -> HttpSettings:
    """The settings in the section `http` of a file that `load_http` refuses; the defaults if it has none.

    Raises:
        ConfigError, InvalidConfig: the section has an error itself.
    """
    environment = os.environ if environment is None else environment
    return _Loading(read_section(file, environment, "http"), _no_plugin).http()


def salvage_state_dir(file: FilePath, environment: Mapping[str, str] | None = None) -> FilePath:
    """The `state_dir` of a file that `load` refuses; the default if it cannot be read."""
    environment = os.environ if environment is None else environment
    value: object = None
    with suppress(ConfigError):
        value = _salvaged(file, environment, "state_dir").value.get("state_dir")
    return file.absolute().parent / (value if isinstance(value, str) and value else DEFAULT_STATE_DIR)


def _salvaged(file: FilePath, environment: Mapping[str, str], key: str) -> Document:
    with suppress(ConfigError):
        return read_document(file, environment, complete=False)
    return read_section(file, environment, key)


def load_value(
    value: dict[str, Any], secrets: Iterable[str], folder: FilePath, plugin: PluginLoader
) -> Configuration:
    """The configuration of a value that is in no file; relative paths mean `folder`. No message shows the
    `secrets`.

    Raises:
        InvalidConfig: as `load`.
    """
    document = Document("the command line", value, inserted=set(secrets))
    return _Loading(document, plugin).configuration(folder / DEFAULT_FILE)


class _Loading:
    """One pass over a document; collects problems instead of stopping at the first."""

    def __init__(self, document: Document, plugin: PluginLoader) -> None:
        self._document = document
        self._plugin = plugin
        self._problems: list[ConfigError] = []

    def configuration(self, file: FilePath) -> Configuration:
        folder = file.absolute().parent
        self._top_level()
        names = self._names("sources")
        found = [self._source(name, body) for name, body in self._sections("sources")]
        taken = [self._sink(name, body, names) for name, body in self._sections("sinks")]
        sources = {source.name: source for source in found if source}
        sinks = {sink.name: sink for sink in taken if sink}
        http = self._http()
        self._refuse_shared_targets(sinks.values(), folder)
        self._refuse_waiting_for_nobody(sources, sinks)
        if self._problems:
            raise InvalidConfig(self._problems)
        keys = tuple(self._document.value)
        state_dir, umask = folder / self._state_dir(), self._umask()
        secret_files = tuple(sorted(self._document.secret_files))
        return Configuration(file.absolute(), state_dir, sources, sinks, umask, http, keys, secret_files)

    def http(self) -> HttpSettings:
        settings = self._http()
        if self._problems:
            raise InvalidConfig(self._problems)
        return settings

    def _add(self, path: Path, message: str, remedy: str = "") -> None:
        unresolved = self._document.unresolved.get(path)
        self._problems.append(unresolved or self._document.problem(path, message, remedy))

    def _found(self, path: Path, body: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of the section at `path` whose values are known."""
        return {
            key: value for key, value in body.items() if not self._document.unresolved_below((*path, key))
        }

    def _top_level(self) -> None:
        for key in self._document.value:
            if key not in _TOP_KEYS:
                self._add((key,), "is not a known key", did_you_mean(key, _TOP_KEYS))
        self._state_dir()
        self._umask()
        if not self._document.value.get("sources"):
            remedy = "`cdc init URL` writes one to begin with."
            self._add(("sources",), "must name at least one source", remedy)

    def _state_dir(self) -> str:
        value = self._document.value.get("state_dir", DEFAULT_STATE_DIR)
        if isinstance(value, str) and value:
            return value
        got = "an empty text" if value == "" else describe(value)
        self._add(("state_dir",), f"must be a folder (got {got})")
        return DEFAULT_STATE_DIR

    def _umask(self) -> int:
        value = self._document.value.get("umask", DEFAULT_UMASK_TEXT)
        if isinstance(value, str) and re.fullmatch(UMASK_PATTERN, value):
            return int(value, 8)
        shown = repr(value) if isinstance(value, str) else describe(value)
        remedy = 'Write umask: "027" (nothing for others), or "022" for files that everyone may read.'
        self._add(
            ("umask",), f"must be three octal digits that leave the owner's rights (got {shown})", remedy
        )
        return DEFAULT_UMASK

    def _http(self) -> HttpSettings:
        body = self._document.value.get("http")
        if body is None:
            return HttpSettings()
        if not isinstance(body, dict):
            self._add(("http",), f"must be a mapping (got {describe(body)})", "Write http: {listen: off}.")
            return HttpSettings()
        found = self._found(("http",), body)
        settings, problems = validate(HttpSettings, found, self._document, ("http",))
        self._problems += problems
        if settings is None:
            return HttpSettings()
        if len(found) < len(body):
            return settings  # Nothing can be said of the service without its token or certificate.
        problem = problem_of(settings)
        if problem is not None:
            self._add(("http", problem.key), problem.message, problem.remedy)
        elif settings.secret is not None and not self._document.is_outside(("http", "token")):
            self._add(("http", "token"), "must not be written into the file", HOW_TO_MAKE_ONE)
        return settings

    def _names(self, key: str) -> tuple[str, ...]:
        value = self._document.value.get(key)
        return tuple(value) if isinstance(value, dict) else ()

    def _sections(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        value = self._document.value.get(key)
        if value is None or value == {}:
            return []
        if not isinstance(value, dict):
            self._add((key,), f"must be a mapping of names to settings (got {describe(value)})")
            return []
        return [(name, body) for name, body in value.items() if self._is_section((key, name), body)]

    def _is_section(self, path: tuple[str, str], body: object) -> bool:
        if not re.fullmatch(NAME_PATTERN, path[1]):
            self._add(path, "is not a valid name", _NAME_RULE)
        if isinstance(body, dict):
            return True
        self._add(path, f"must be a mapping (got {describe(body)})", "It needs at least 'type'.")
        return False

    def _source(self, name: str, body: dict[str, Any]) -> ConfiguredSource | None:
        path = ("sources", name)
        settings, plugin, options = self._section("cdc.sources", SourceSettings, path, body)
        if settings is not None and (settings.snapshot, settings.on_gap) == ("never", "resnapshot"):
            message = "cannot be resnapshot if snapshot is never: a gap would require a copy of all tables"
            self._add((*path, "on_gap"), message, "Write on_gap: fail, or snapshot: initial.")
        is_known = not self._document.unresolved_below(path)
        entries = self._transforms(path, settings) if settings is not None and is_known else ()
        if settings is None or options is None:
            return None
        return ConfiguredSource(name, settings, plugin, options, entries)

    def _transforms(self, path: Path, settings: SourceSettings) -> tuple[Any, ...]:
        entries: tuple[Any, ...] = ()
        if settings.transforms:
            model = self._load_plugin("cdc.transforms", TRANSFORMS, path)
            value = {"transforms": list(settings.transforms)}
            found, problems = validate(model, value, self._document, path)
            self._problems += problems
            entries = found.transforms if found is not None else ()
        self._check_mask_key(path, settings, entries)
        return entries

    def _check_mask_key(self, path: Path, settings: SourceSettings, entries: tuple[Any, ...]) -> None:
        """Whoever reads the file must not be able to try which value gives a hash."""
        key = settings.mask_key
        place = (*path, "mask_key")
        how = "Make one with `openssl rand -hex 32`, and write mask_key: ${CDC_MASK_KEY} or ${file:PATH}."
        if key is None:
            masked = [i for i, entry in enumerate(entries) if entry.needs_key]
            if masked:
                where = format_path((*path, "transforms", masked[0]))
                self._add(place, f"is required where columns are masked or left out ({where})", how)
        elif not self._document.is_outside(place):
            self._add(place, "must not be written into the file", how)
        elif len(key.get_secret_value()) < MIN_MASK_KEY_LENGTH:
            self._add(place, f"is shorter than {MIN_MASK_KEY_LENGTH} characters", how)

    def _sink(self, name: str, body: dict[str, Any], known: tuple[str, ...]) -> ConfiguredSink | None:
        path = ("sinks", name)
        settings, plugin, options = self._section("cdc.sinks", SinkSettings, path, body)
        if settings is None:
            return None
        sources = self._from(path, settings, known)
        if options is None:
            return None
        return ConfiguredSink(name, settings, plugin, options, sources)

    def _section(
        self, group: Group, model: Any, path: tuple[str, str], body: dict[str, Any]
    ) -> tuple[Any, Any, BaseModel | InvalidConfig | None]:
        """The engine's keys to `model`, all others to the plug-in's options."""
        engine_keys = known_keys(model)
        needed = [key for key in engine_keys if key not in _ONLY_FOR_ROWS]
        missing = [problem for key in needed for problem in self._document.unresolved_below((*path, key))]
        if missing:
            self._problems += missing
            return None, None, None
        own = {k: v for k, v in self._found(path, body).items() if k in engine_keys}
        settings, problems = validate(model, own, self._document, path)
        self._problems += problems
        type_name = body.get("type")
        if not isinstance(type_name, str) or not type_name:
            return settings, None, None
        plugin = self._load_plugin(group, type_name, path)
        if plugin is None:
            return settings, None, None
        if unresolved := self._document.unresolved_below(path):
            return settings, plugin, InvalidConfig(unresolved)
        rest = {k: v for k, v in body.items() if k not in engine_keys}
        options, problems = validate(plugin.Options, rest, self._document, path, engine_keys)
        self._problems += problems
        return settings, plugin, options

    def _load_plugin(self, group: Group, type_name: str, path: Path) -> Any:
        try:
            return self._plugin(group, type_name)
        except PluginError as error:
            self._add((*path, "type"), error.message, error.remedy)
            return None

    def _from(self, path: Path, settings: SinkSettings, known: tuple[str, ...]) -> tuple[str, ...]:
        wanted = settings.sources
        if wanted is None:
            if len(known) > 1:
                remedy = f"Write from: [{', '.join(known)}]."
                self._add((*path, "from"), "is required if there are several sources", remedy)
            return known
        for index, name in enumerate(wanted):
            if name not in known:
                self._add((*path, "from", index), f"there is no source {name!r}", did_you_mean(name, known))
            elif name in wanted[:index]:
                self._add((*path, "from", index), f"the source {name!r} is listed twice", "Keep one of them.")
        return wanted

    def _refuse_shared_targets(self, sinks: Any, folder: FilePath) -> None:
        """Two sinks that write to one place would fight over it: the later one is named."""
        owners: dict[tuple[str, str], str] = {}
        for sink in sinks:
            places = sink.given.places() if isinstance(sink.given, OwnsPlaces) else {}
            for key, target in places.items():
                place = (sink.settings.type, _place(target, folder))
                owner = owners.setdefault(place, sink.name)
                if owner != sink.name:
                    message = f"is also the {key} of the sink {owner!r}"
                    self._add(("sinks", sink.name, key), message, "Give each sink its own location.")

    def _refuse_waiting_for_nobody(
        self, sources: Mapping[str, ConfiguredSource], sinks: Mapping[str, ConfiguredSink]
    ) -> None:
        wanted = {name for sink in sinks.values() for name in sink.sources}
        for name, source in sources.items():
            if source.settings.acknowledge == "sinks" and name not in wanted and not self._problems:
                message = "waits for sinks, but no sink takes changes from this source"
                remedy = "Add a sink with this source in its 'from', or write acknowledge: log."
                self._add(("sources", name, "acknowledge"), message, remedy)


def _no_plugin(group: Group, type_name: str, /) -> Any:
    raise PluginError(f"{type_name} of {group} is not loaded here")


def _known(given: BaseModel | InvalidConfig) -> BaseModel:
    if isinstance(given, InvalidConfig):
        raise given
    return given


def _place(text: str, folder: FilePath) -> str:
    """A form in which two spellings of one target are equal."""
    if "://" in text and not text.startswith("file://"):
        return text.rstrip("/")
    return os.path.realpath(folder / text.removeprefix("file://"))
