"""`cdc init URL`: writes a starter configuration from what is in the database, the URL itself left out."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cdc.cli.compose import compose_text
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, JsonOption
from cdc.control.urls import plugin_for
from cdc.errors import ConfigError
from cdc.files import write_atomically
from cdc.spi import WritesStarter

FileOption = Annotated[Path, typer.Option("--config", "-c", envvar="CDC_CONFIG", help="The file to write.")]

# Where the URL may come from, so that it is in no shell's history.
URL_VARIABLE = "CDC_SOURCE_URL"
# What `docker compose` reads in a folder.
COMPOSE_FILE = "compose.yaml"

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


def init(
    url: Annotated[
        str | None,
        typer.Argument(
            envvar=URL_VARIABLE,
            help="The database, such as postgresql://user:password@host/database. Default: ask for it.",
            show_envvar=True,
        ),
    ] = None,
    config: FileOption = DEFAULT_CONFIG,
    compose: Annotated[
        bool,
        typer.Option("--compose", help="Also write a compose.yaml, which runs the daemon in a container."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a starter configuration.

    Reads the tables of the database and writes a configuration that copies them. The URL is not stored in the
    file: the configuration reads it from an environment variable.
    """
    files = [config, *([config.with_name(COMPOSE_FILE)] if compose else [])]
    for file in () if force else files:
        if file.exists():
            remedy = "Add --force to overwrite it, or name another file with --config."
            raise ConfigError("exists already", where=str(file), remedy=remedy)
    url = url or _asked()
    _, source = plugin_for("cdc.sources", url, WritesStarter, "init URL")
    text = source.starter(url)
    variables = list(dict.fromkeys(_VARIABLE.findall(text)))
    for file, content in zip(files, (text, compose_text(config.name, variables)), strict=False):
        _write(file, content)
    if compose:
        # The account of the container is another one, and the file has no secret.
        config.chmod(0o644)
    if as_json:
        print_json({"file": str(config), "files": [str(file) for file in files], "variables": variables})
        return
    say(f"Wrote {' and '.join(map(str, files))}. Next:")
    flag = "" if config == DEFAULT_CONFIG else f" -c {config}"
    start = "docker compose up --detach" if compose else f"cdc run{flag}"
    for line in (*map(_set_variable, variables), f"cdc check{flag}", start):
        say(f"  {line}")


def _asked() -> str:
    """The URL from the terminal, where it is not shown: a command line stays in the shell's history."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "no URL was given, and there is no terminal to ask for it",
            where="init URL",
            remedy=f"Set {URL_VARIABLE} to the URL of the database.",
        )
    return getpass.getpass("URL of the database (not shown): ").strip()


def _set_variable(name: str) -> str:
    if os.environ.get(URL_VARIABLE):
        return f'export {name}="${URL_VARIABLE}"'
    return f"read -rs {name} && export {name}   # then paste the URL and press Enter: no history keeps it"


def _write(config: Path, text: str) -> None:
    try:
        write_atomically(config, [text.encode()])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "Check the folder and its permissions."
        raise ConfigError(f"writing the configuration: {reason}", where=str(config), remedy=remedy) from error
