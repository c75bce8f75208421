"""`cdc init URL`: writes a starter configuration from what is in the database, the URL itself left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, JsonOption
from cdc.errors import ConfigError
from cdc.files import write_atomically
from cdc.spi import registry
from cdc.spi.urls import nearest_scheme

FileOption = Annotated[Path, typer.Option("--config", "-c", envvar="CDC_CONFIG", help="The file to write.")]

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


def init(
    url: Annotated[
        str, typer.Argument(help="The database, such as postgresql://user:password@host/database.")
    ],
    config: FileOption = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a starter configuration.

    Looks into the database and writes down what it finds. The URL goes into no file: the configuration reads
    it from an environment variable.
    """
    if config.exists() and not force:
        remedy = "Add --force to overwrite it, or name another file with --config."
        raise ConfigError("exists already", where=str(config), remedy=remedy)
    text = _starter_of(url).starter(url)
    _write(config, text)
    variables = list(dict.fromkeys(_VARIABLE.findall(text)))
    if as_json:
        print_json({"file": str(config), "variables": variables})
        return
    say(f"Wrote {config}. Next:")
    flag = "" if config == DEFAULT_CONFIG else f" -c {config}"
    for line in (
        *(f"export {name}='…'   # the URL you gave" for name in variables),
        f"cdc check{flag}",
        f"cdc run{flag}",
    ):
        say(f"  {line}")


def _starter_of(url: str) -> Any:
    """The connector that understands the URL's scheme and can describe its database."""
    scheme = url.partition("://")[0] if "://" in url else ""
    able: list[str] = []
    for plugin in registry.installed("cdc.sources"):
        source = registry.load("cdc.sources", plugin.name)
        schemes = getattr(source, "url_schemes", (plugin.name,))
        if hasattr(source, "starter"):
            able += schemes
            if scheme in schemes:
                return source
    near = nearest_scheme(url, able)
    if near:
        raise ConfigError(
            f"the URL begins with {scheme}://, which is another tool's form",
            where="init URL",
            remedy=f"Write {near}://USER:PASSWORD@HOST:PORT/DATABASE.",
        )
    raise ConfigError(
        "no installed connector understands this URL",
        where="init URL",
        remedy=f"Start it with {' or '.join(f'{name}://' for name in able)}."
        if able
        else "Install a connector first.",
    )


def _write(config: Path, text: str) -> None:
    try:
        write_atomically(config, [text.encode()])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "Check the folder and its permissions."
        raise ConfigError(f"writing the configuration: {reason}", where=str(config), remedy=remedy) from error
