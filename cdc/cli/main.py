"""The command line's frame: commands, exit codes, and how an error is shown.

Exit codes: 0 fine, 1 failed, 2 a wrong command line or configuration. Tracebacks show with --debug only: the
text of a foreign exception may hold row values.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import cdc
from cdc.cli import (
    check,
    checkpoints,
    connectors,
    docs,
    init,
    log,
    pause,
    replay,
    run,
    schema,
    snapshot,
    status,
    tail,
    version,
)
from cdc.cli.demo import command as demo
from cdc.cli.output import console, print_error
from cdc.cli.session import CommandSession, exit_code, session_of
from cdc.errors import CdcError, ConfigError

EXIT_INTERRUPTED = 130  # What a shell gives for SIGINT.


class Commands(TyperGroup):
    """Turns our errors into a message and an exit code, for every command alike."""

    def invoke(self, ctx: Any) -> Any:
        session = session_of(ctx)
        try:
            return super().invoke(ctx)
        except CdcError as error:
            if session.debug:
                raise
            print_error(error, as_json=session.as_json)
            raise typer.Exit(exit_code(error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(EXIT_INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader (head, less) has seen enough; writing to stdout again at exit would complain.
            sys.stdout = None
            raise typer.Exit(0) from error


app = typer.Typer(
    name="cdc",
    cls=Commands,
    help="Copies every committed change of a database into warehouses and files, in order and exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"cdc {cdc.__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; they may contain row values.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    del show_version  # Its callback has ended the command.
    session_of(context).debug = debug
    if not debug:
        sys.excepthook = _show_unexpected


app.command("init")(init.init)
app.command("check")(check.check)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("checkpoints")(checkpoints.checkpoints)
app.command("replay")(replay.replay)
app.command("snapshot")(snapshot.snapshot)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("tail")(tail.tail)
app.add_typer(log.app, name="log")
app.command("connectors")(connectors.connectors)
app.command("docs")(docs.docs)
app.command("schema")(schema.schema)
app.command("version")(version.version)
app.command("demo")(demo.demo)


@app.command("help")
def show_help(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(help="The command, such as run or log verify.")
    ] = None,
) -> None:
    """Show the help of a command."""
    root = context.find_root()
    found: Any = root.command
    inner = root
    for name in command or ():
        known = found.list_commands(inner) if isinstance(found, TyperGroup) else []
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else "Run: cdc help"
            raise ConfigError(f"there is no command {' '.join(command or ())!r}", where="help", remedy=remedy)
        found = found.get_command(inner, name)
        inner = typer.Context(found, info_name=name, parent=inner)
    print(found.get_help(inner))


def main() -> None:
    """The entry point of the command `cdc`."""
    app(obj=CommandSession(), prog_name="cdc")


def _show_unexpected(kind: type[BaseException], _: BaseException, trace: Any) -> None:
    """A defect of ours: where it happened, and nothing of its text."""
    frames = traceback.extract_tb(trace)
    place = (
        f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else "an unknown place"
    )
    out = console(sys.stderr)
    out.print(f"error: unexpected {kind.__name__} at {place}", soft_wrap=True)
    out.print("  This is a defect: run again with `cdc --debug …` and report the traceback.", soft_wrap=True)
