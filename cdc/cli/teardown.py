"""`cdc teardown SOURCE`: removes what the daemon has made in a database."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cdc.cli.configured import open_configuration
from cdc.cli.output import print_error, print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.composition import pick_source
from cdc.control.teardown import leftovers_of, removals
from cdc.errors import CdcError, ConfigError
from cdc.spi import Leftover


def teardown(
    source: Annotated[str, typer.Argument(help="The source.")],
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the statements only, and change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what the daemon has made in a database.

    For Postgres: the replication slot, the publication and the event triggers. The log and the sinks stay.
    The daemon cannot continue the source afterwards.
    """
    configuration = open_configuration(config)
    chosen = pick_source(configuration, source, "teardown SOURCE")
    found = leftovers_of(configuration, chosen)
    if dry_run or not found:
        _show(chosen.name, found, dry_run=dry_run, as_json=as_json)
        return
    if not yes:
        _confirm(chosen.name, found, as_json=as_json)
    done: list[tuple[Leftover, CdcError | None]] = []
    for leftover, error in removals(configuration, chosen, found):
        done.append((leftover, error))
        if error is not None:
            print_error(error, as_json=as_json)
        elif not as_json:
            say(f"Removed the {leftover.what}.")
    if as_json:
        print_json({"source": chosen.name, "objects": [_document(one, error is None) for one, error in done]})
    if any(error is not None for _, error in done):
        raise typer.Exit(1)
    if not as_json:
        say(f"Next: remove sources.{chosen.name} from {config.name}.")


def _show(source: str, found: list[Leftover], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"source": source, "objects": [_document(one, removed=False) for one in found]})
    elif dry_run:
        for one in found:
            print(f"{one.statement};")
    else:
        say(f"The database of {source} has no objects of the daemon.")


def _document(leftover: Leftover, removed: bool) -> dict[str, object]:
    return {"what": leftover.what, "statement": leftover.statement, "removed": removed}


def _confirm(source: str, found: list[Leftover], *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        remedy = "Add --yes, or --dry-run to see the statements."
        raise ConfigError("removing needs a confirmation", where="teardown", remedy=remedy)
    say(f"In the database of {source}, this removes:")
    for one in found:
        say(f"  {one.what}\n      {one.statement};")
    say("Changes that no sink has yet, and that are not in the log, are lost to the daemon.")
    typer.confirm("Remove them?", abort=True)
