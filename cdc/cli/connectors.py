"""`cdc connectors`: the sources and sinks that a configuration can name."""

from __future__ import annotations

from typing import Any

from cdc.cli.output import print_json, print_table, say
from cdc.cli.session import JsonOption
from cdc.errors import PluginError
from cdc.spi import registry


def connectors(as_json: JsonOption = False) -> None:
    """List the installed sources and sinks."""
    found = [
        _describe(group, plugin)
        for group in ("cdc.sources", "cdc.sinks")
        for plugin in registry.installed(group)
    ]
    if as_json:
        print_json(found)
        return
    rows = [
        (p["kind"], p["type"], "ready" if p["ready"] else p["problem"], p["package"], p["class"])
        for p in found
    ]
    print_table(("kind", "type", "state", "package", "class"), rows)
    for described in found:
        if described.get("capabilities"):
            say(f"\n{described['type']}")
            print_table((), list(described["capabilities"].items()))


def _describe(group: registry.Group, plugin: registry.Plugin) -> dict[str, Any]:
    capabilities: dict[str, str] = {}
    try:
        found = registry.load(group, plugin.name)
        problem = ""
    except PluginError as error:
        problem = f"{error.message}. {error.remedy}".strip()
    else:
        if group == "cdc.sinks":
            capabilities = dict(found.capabilities.facts())
    described: dict[str, Any] = {
        "kind": group.removeprefix("cdc.")[:-1],
        "type": plugin.name,
        "class": plugin.path,
        "package": plugin.distribution,
        "ready": not problem,
        "problem": problem,
    }
    return described | ({"capabilities": capabilities} if group == "cdc.sinks" else {})
