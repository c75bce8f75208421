"""Find the plug-in that a URL means; make a configuration from URLs alone, and its file without secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from cdc.errors import ConfigError, PluginError
from cdc.kit.starter import unusable_url
from cdc.kit.urls import nearest_scheme
from cdc.spi import ReadsUrl, registry
from cdc.spi.capabilities import OwnsPlaces
from cdc.spi.registry import Group
from cdc_config import Configuration, load_value
from cdc_config.http import DEFAULT_LISTEN, OFF

_HEAD = """\
# Written by `cdc run SOURCE_URL --to SINK_URL` for the other commands, and replaced by the next such run.
# For a file of your own: cdc init
"""


def plugin_for(group: Group, url: str, ability: type[Any], where: str) -> tuple[str, Any]:
    """Return the type and class of the installed plug-in that has this ability and reads the URL's scheme.

    A plug-in whose extra is not installed is passed over: another one may be meant.

    Raises:
        ConfigError: no plug-in reads it, or the scheme is another tool's; `where` names the place of the URL.
        PluginError: the plug-in that reads it is not usable.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    able: list[str] = []
    unusable: dict[str, PluginError] = {}
    # Whose name begins the scheme first: the imports of the others cost time.
    for plugin in sorted(registry.installed(group), key=lambda one: not scheme.startswith(one.name)):
        try:
            found = registry.load(group, plugin.name)
        except PluginError as error:
            unusable[plugin.name] = error
            continue
        if isinstance(found, ability):
            able += found.url_schemes
            if scheme in found.url_schemes:
                return plugin.name, found
    raise _not_understood(url, scheme, able, unusable, where)


def configuration_of(
    source: str, sinks: Sequence[str], tables: Sequence[str], folder: Path, where: tuple[str, str]
) -> Configuration:
    """Return the configuration of one source and its sinks, each given by its URL.

    Empty `tables` select what the source's type selects by default. `where` names the places of the source's
    URL and of the sinks' URLs in messages, which show no URL.

    Raises:
        ConfigError, PluginError: a URL cannot be read, or gives options that are not valid.
    """
    type_name, name, options = _entry("cdc.sources", source, where[0])
    chosen = {"tables": list(tables)} if tables else {}
    entries: dict[str, Any] = {}
    for url in sinks:
        sink_type, sink, of_sink = _entry("cdc.sinks", url, where[1])
        entries[_free(sink, entries)] = {"type": sink_type, **of_sink}
    value = {"sources": {name: {"type": type_name, **options, **chosen}}, "sinks": entries}
    return load_value(value, [source, *sinks], folder, registry.load)


def text_of(configuration: Configuration, variables: Mapping[str, str]) -> str:
    """Return a configuration of `configuration_of` as a file in its `state_dir`.

    A secret becomes a reference to its variable: `variables` has the names of those that are known by their
    value.
    """
    value: dict[str, Any] = {"state_dir": "."}
    if configuration.http.listen not in (DEFAULT_LISTEN, OFF):
        value["http"] = {"listen": configuration.http.listen}
    for kind in ("sources", "sinks"):
        value[kind] = {
            name: {
                "type": one.settings.type,
                **_written(one.options, name, configuration.state_dir, variables),
            }
            for name, one in getattr(configuration, kind).items()
        }
    return _HEAD + yaml.safe_dump(value, sort_keys=False)


def _written(options: BaseModel, name: str, folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The options that were set; local places are relative to `folder`."""
    places = options.places() if isinstance(options, OwnsPlaces) else {}
    found: dict[str, Any] = {}
    for key in options.model_fields_set:
        value = getattr(options, key)
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            found[key] = f"${{{variables.get(secret, f'CDC_{name}_{key}'.upper())}}}"
        elif key in places and "://" not in str(value):
            found[key] = _literal(relpath(value, folder))
        else:
            found[key] = [_literal(one) for one in value] if isinstance(value, tuple) else _literal(value)
    return found


def _literal(value: object) -> str:
    return str(value).replace("${", "$${")


def _entry(group: Group, url: str, where: str) -> tuple[str, str, Mapping[str, str]]:
    type_name, found = plugin_for(group, url, ReadsUrl, where)
    try:
        entry = found.from_url(url)
    except ValueError as error:
        raise unusable_url(error, found.url_shape, where) from error
    return type_name, entry.name, entry.options


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number if it is taken."""
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)


def _not_understood(
    url: str, scheme: str, able: list[str], unusable: Mapping[str, PluginError], where: str
) -> ConfigError | PluginError:
    near = nearest_scheme(url, able)
    if near:
        return ConfigError(
            f"the URL begins with {scheme}://, which is another tool's form",
            where=where,
            remedy=f"Write {near}://USER:PASSWORD@HOST:PORT/DATABASE",
        )
    for name, error in unusable.items():
        if scheme.startswith(name) or len(unusable) == 1:
            return error
    forms = f"Start it with {' or '.join(f'{name}://' for name in able)}." if able else "Install a connector."
    return ConfigError("no installed connector accepts this URL", where=where, remedy=forms)
