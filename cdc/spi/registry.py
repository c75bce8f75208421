"""Find connectors and sinks by entry point name, or by a dotted path `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from cdc.errors import PluginError
from cdc.installing import install_command

Group = Literal["cdc.sources", "cdc.sinks"]


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
        PluginError: no such name (the nearest is suggested), a missing extra (the pip line is given), or a
            bad path.
    """
    path = type_name if ":" in type_name else _path_of(group, type_name)
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(type_name, module_name, error) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        message = f"the module {module_name} has no {attribute!r}"
        raise PluginError(message, where=f"type: {type_name}") from error


def _path_of(group: Group, name: str) -> str:
    plugins = {plugin.name: plugin.path for plugin in installed(group)}
    if name in plugins:
        return plugins[name]
    near = difflib.get_close_matches(name, plugins, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(plugins) or 'none'}."
    raise PluginError(f"there is no {group.removeprefix('cdc.')[:-1]} type {name!r}", remedy=hint)


def _missing(type_name: str, module_name: str, error: ModuleNotFoundError) -> PluginError:
    wanted = error.name or ""
    if module_name == wanted or module_name.startswith(f"{wanted}."):
        return PluginError(f"the module {module_name} is not installed", where=f"type: {type_name}")
    return PluginError(
        f"{type_name} needs the package {wanted!r}, which is not installed",
        remedy=f"Run: {install_command(type_name.partition(':')[0], wanted)}",
    )
