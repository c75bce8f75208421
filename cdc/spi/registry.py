"""Find connectors and sinks by entry point name, or by a dotted path `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from cdc.deferred import use_pandas
from cdc.errors import PluginError
from cdc.installing import install_command

Group = Literal["cdc.sources", "cdc.sinks", "cdc.transforms"]
DISTRIBUTION = "cdcd"
# Where the page for authors of such a class is.
_PAGES = {"cdc.sources": "docs/writing-a-source.md", "cdc.sinks": "docs/writing-a-sink.md"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed connector or sink: its name, the dotted path, and the distribution that brings it."""

    name: str
    path: str
    distribution: str


def installed(group: Group) -> list[Plugin]:
    """Return all plug-ins of a group by name; import nothing."""
    found = {
        entry.name: Plugin(entry.name, entry.value, entry.dist.name if entry.dist else "")
        for entry in metadata.entry_points(group=group)
    }
    return [found[name] for name in sorted(found)]


def load(group: Group, type_name: str) -> Any:
    """Return the class for a `type:` of the config.

    Raises:
        PluginError: no such name (the nearest is suggested), a missing extra (the pip line is given), a bad
            path, a module that raises, or a class that lacks what its contract demands.
    """
    path = type_name if ":" in type_name else _path_of(group, type_name)
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(type_name, module_name, error) from error
    except Exception as error:
        message = f"importing the module {module_name} raised {type(error).__name__}"
        remedy = f'Run: python -c "import {module_name}"'
        raise PluginError(message, where=f"type: {type_name}", remedy=remedy) from error
    if path == type_name:
        use_pandas()
    found = getattr(module, attribute, None)
    if found is None:
        near = difflib.get_close_matches(attribute, dir(module), n=1)
        message = f"the module {module_name} has no {attribute!r}"
        remedy = f"Did you mean '{module_name}:{near[0]}'?" if near else "Name a class of this module."
        raise PluginError(message, where=f"type: {type_name}", remedy=remedy)
    lacking = _lacking(group, found)
    if lacking:
        message = f"{attribute} is no {group.removeprefix('cdc.')[:-1]}: it lacks {', '.join(lacking)}"
        remedy = f"Add what {_PAGES[group]} describes."
        raise PluginError(message, where=f"type: {type_name}", remedy=remedy)
    return found


def _lacking(group: Group, found: Any) -> list[str]:
    """The members of the group's contract that the class does not have."""
    # Whoever lists plug-ins need not wait for these imports.
    if group == "cdc.sources":
        from cdc.spi.source import Source as Contract  # noqa: PLC0415
    elif group == "cdc.sinks":
        from cdc.spi.sink import Sink as Contract  # type: ignore[assignment]  # noqa: PLC0415
    else:
        return []
    members = {**vars(Contract), **Contract.__annotations__}
    return [name for name in members if not name.startswith("_") and not hasattr(found, name)]


def _path_of(group: Group, name: str) -> str:
    own = _own(group)
    if name in own:
        return own[name]
    plugins = {plugin.name: plugin.path for plugin in installed(group)}
    if name in plugins:
        return plugins[name]
    near = difflib.get_close_matches(name, plugins, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(plugins) or 'none'}."
    raise PluginError(f"there is no {group.removeprefix('cdc.')[:-1]} type {name!r}", remedy=hint)


def _own(group: Group) -> dict[str, str]:
    """The plug-ins that come with the daemon, by name: found without a look at all installed distributions,
    which takes 5 to 10 ms for 145 of them.
    """
    try:
        entries = metadata.distribution(DISTRIBUTION).entry_points
    except metadata.PackageNotFoundError:
        return {}
    return {entry.name: entry.value for entry in entries.select(group=group)}


def _missing(type_name: str, module_name: str, error: ModuleNotFoundError) -> PluginError:
    wanted = error.name or ""
    if module_name == wanted or module_name.startswith(f"{wanted}."):
        remedy = "Install its package, or add its folder to PYTHONPATH."
        message = f"the module {module_name} is not installed"
        return PluginError(message, where=f"type: {type_name}", remedy=remedy)
    return PluginError(
        f"{type_name} needs the package {wanted!r}, which is not installed",
        remedy=f"Run: {install_command(type_name.partition(':')[0], wanted)}",
    )
