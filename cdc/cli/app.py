"""The command line's frame: commands, exit codes, and how an error is shown.

Exit codes: 0 fine, 1 failed, 2 a wrong command line or configuration. Tracebacks show with --debug only: the
text of a foreign exception may hold row values.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import cdc
from cdc.cli.ending import end_process
from cdc.cli.importing import uncollected, without
from cdc.cli.output import print_error
from cdc.cli.session import CommandSession, exit_code, session_of
from cdc.cli.variables import EPILOG, with_variables
from cdc.errors import CdcError, ConfigError

EXIT_INTERRUPTED = 130  # What a shell gives for SIGINT.
# In the order of `cdc --help`. A command is imported when it is invoked, so that none waits for imports of
# another: `cdc version` needs a tenth of what `cdc run` needs.
COMMANDS = {
    "init": "cdc.cli.init:init",
    "check": "cdc.cli.check:check",
    "doctor": "cdc.cli.doctor:doctor",
    "run": "cdc.cli.run:run",
    "status": "cdc.cli.status:status",
    "health": "cdc.cli.health:health",
    "checkpoints": "cdc.cli.checkpoints:checkpoints",
    "replay": "cdc.cli.replay:replay",
    "snapshot": "cdc.cli.snapshot:snapshot",
    "pause": "cdc.cli.pause:pause",
    "resume": "cdc.cli.pause:resume",
    "reload": "cdc.cli.reload:reload",
    "teardown": "cdc.cli.teardown:teardown",
    "tail": "cdc.cli.tail:tail",
    "log": "cdc.cli.log:app",
    "connectors": "cdc.cli.connectors:connectors",
    "docs": "cdc.cli.docs:docs",
    "schema": "cdc.cli.schema:schema",
    "version": "cdc.cli.version:version",
    "demo": "cdc.cli.demo.command:demo",
}


class Commands(TyperGroup):
    """Imports the invoked command, and turns our errors into a message and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        with_variables(self)
        self.commands: dict[str, Any] = {**dict.fromkeys(COMMANDS), **self.commands}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _imported(cmd_name)
        return super().get_command(ctx, cmd_name)

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
    epilog=EPILOG,
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


def _imported(name: str) -> Any:
    """The command of this name, as typer makes it of a function or of a group of commands."""
    module, _, attribute = COMMANDS[name].partition(":")
    # Arrow imports pandas for its first array, where it is installed: 300 modules that nothing here uses.
    # Code of others still has them (`cdc.deferred.use_pandas`).
    with uncollected(), without("pandas"):
        found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False, rich_markup_mode=None)
        found.command(name)(function)
    return with_variables(typer.main.get_command(found), name)


def run_command() -> None:
    """Run the command of the process's arguments, and exit."""
    with uncollected():
        command = typer.main.get_command(app)
    session = CommandSession()
    try:
        command(obj=session, prog_name="cdc")
    except BaseException as error:
        if session.has_workers:
            end_process(error)
        raise


def _show_unexpected(kind: type[BaseException], _: BaseException, trace: Any) -> None:
    """A defect of ours: where it happened, and nothing of its text."""
    frames = traceback.extract_tb(trace)
    place = (
        f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else "an unknown place"
    )
    print(f"error: unexpected {kind.__name__} at {place}", file=sys.stderr)
    print("  This is a defect: run again with `cdc --debug …` and report the traceback.", file=sys.stderr)
