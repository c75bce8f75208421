"""`cdc run`: the daemon, until a signal stops it or, with `--once`, until it has caught up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from cdc.cli.allocators import bound_resident_memory
from cdc.cli.configured import load_configuration, prepare_process
from cdc.cli.display import Display, ProgressForm, RunView
from cdc.cli.importing import keep_imported
from cdc.cli.logging import Log, LogLevel, errors_in_the_log, logger
from cdc.cli.once import Deadline, timeout_seconds
from cdc.cli.output import print_error, print_json, say
from cdc.cli.progress import Progress
from cdc.cli.service import NotifySender, ServiceManager
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, session_of
from cdc.cli.signals import obeying_signals
from cdc.cli.standby import Standby
from cdc.cli.tracing import tracing
from cdc.cli.without_file import GivenUrls, SourceUrlArgument, TablesOption, ToOption
from cdc.control import storage
from cdc.control.composition import pick_source, sink_spec, source_spec
from cdc.control.live import LiveStatus
from cdc.control.monitor import StatusMonitor
from cdc.control.points import DayOfPoints
from cdc.control.problems import log_problems
from cdc.control.reloader import Reloader
from cdc.control.volume import make_state_dir, require_volume
from cdc.engine import Engine, Outcome, RunResult
from cdc.errors import CdcError, ConfigError
from cdc.http.server import HttpService, check_tls
from cdc.spi import LogStore, State
from cdc.spi.status import DaemonReport
from cdc.spi.tracing import BatchTracer
from cdc_config import Configuration
from cdc_config.http import OFF, problem_of

Given = ParamSpec("Given")

OnceOption = Annotated[
    bool,
    typer.Option("--once", help="Copy, catch up to the sources' positions at the start, flush, and exit."),
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="With --once: exit with code 1 after this time, such as 10m."),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Accept a different database behind this source (after a planned failover)."
    ),
]
AdoptOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Let this state_dir take over the source's replication slot from another one."
    ),
]
StandbyOption = Annotated[
    bool,
    typer.Option(
        "--standby", help="If another process runs with this state_dir, wait, and take over when it ends."
    ),
]
LevelOption = Annotated[
    LogLevel, typer.Option(help="Write log lines of this level and above.", case_sensitive=False)
]
HttpOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS:PORT",
        envvar="CDC_HTTP",
        help="Serve HTTP here, or off. Default: http.listen of the configuration.",
    ),
]
ProgressOption = Annotated[
    ProgressForm | None,
    typer.Option(
        help="Show progress as a live view, as lines of text or as lines of JSON. Default: live on a"
        " terminal, json elsewhere.",
        case_sensitive=False,
        show_default=False,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Log warnings and errors only, and print no summary.")
]


def run(  # noqa: PLR0917  (each is an option of the command)
    context: typer.Context,
    source_url: SourceUrlArgument = None,
    to: ToOption = None,
    tables: TablesOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    once: OnceOption = False,
    timeout: TimeoutOption = None,
    accept_source: AcceptOption = None,
    adopt_slot: AdoptOption = None,
    standby: StandbyOption = False,
    http: HttpOption = None,
    log_level: LevelOption = LogLevel.INFO,
    progress: ProgressOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Without a configuration file: cdc run SOURCE_URL --to SINK_URL, with the state in ./cdc-data.
    """
    seconds = timeout_seconds(timeout, once=once)
    session = session_of(context)
    display = Display(progress, debug=session.debug, level=log_level, quiet=quiet, as_json=as_json)
    log = logger()
    as_they_are = session.debug or as_json or display.form is not ProgressForm.JSON
    with errors_in_the_log(log, as_they_are=as_they_are):
        given = GivenUrls(source_url, to or (), tables or ())
        configuration = _loaded(given, config, http, once=once)
        load = partial(_loaded, given, configuration.file, http, once=once)
        if not given:
            prepare_process(configuration)
    picked = _picked(configuration, accept_source or (), adopt_slot or ())
    newest = Progress(log, quiet=quiet or display.is_live)
    bound_resident_memory()
    with errors_in_the_log(log, as_they_are=as_they_are):
        configuration, state = _claimed(configuration, load, log, standby=standby, once=once)
        given.remember(configuration)
        logs = storage.logs(configuration)
        monitor, tracer = _observed(context, configuration, log, once=once)
        engine = _build(configuration, *picked, state, logs, monitor.recording(log), tracer)
    keep_imported()
    session.has_workers = True
    live = LiveStatus(configuration, monitor, logs, engine.meters)
    deadline = Deadline(seconds, engine.stop)
    on_tick = deadline.after(_each(monitor.tick, newest.tick))
    with display.view(live) as view:
        result = _run(engine, live, view, load, log, on_tick, once=once)
    _show(result, display.closing(result.report, once=once), as_json=as_json)
    _end(result, deadline.errors(newest.report), None if as_they_are else log, as_json=as_json)


def _run(
    engine: Engine,
    live: LiveStatus,
    view: RunView,
    load: Callable[[], Configuration],
    log: Log,
    on_tick: Callable[[DaemonReport], None],
    *,
    once: bool,
) -> RunResult:
    """Run the engine with its signals, HTTP service, service manager and reloads."""
    manager = ServiceManager(live)
    reloader = Reloader(live, engine, load, manager.reloading, live.monitor.recording(log))
    end = _each(view.stopping, manager.stopping, engine.stop)
    with obeying_signals(end, None if once else reloader.ask):
        with HttpService(live, log), manager, reloader:
            result = engine.run(once=once, on_tick=_each(on_tick, manager.tick))
        log("stopped", outcome=result.outcome.value)
    return result


def _loaded(given: GivenUrls, file: Path, listen: str | None, *, once: bool) -> Configuration:
    """Load the configuration, with what the command line says of the HTTP service; a run that ends by itself
    has none.
    """
    configuration = given.configuration() if given else load_configuration(file)
    address = OFF if once else listen
    if address is None:
        return configuration
    settings = configuration.http.model_copy(update={"listen": address})
    problem = problem_of(settings)
    if problem is not None:
        where = "--http" if problem.key == "listen" else f"http.{problem.key}"
        raise ConfigError(problem.message, where=where, remedy=problem.remedy)
    return replace(configuration, http=settings)


def _claimed(
    configuration: Configuration, load: Callable[[], Configuration], log: Log, *, standby: bool, once: bool
) -> tuple[Configuration, State]:
    """Lock the state; return it with the configuration to run. The command ends if a standby is stopped."""
    check_tls(configuration.http.tls)
    require_volume(configuration.state_dir)
    make_state_dir(configuration.state_dir)
    if not standby:
        return configuration, storage.state(configuration).open()
    if once:
        message = "cannot be combined with --once"
        raise ConfigError(message, where="--standby", remedy="Leave out one of them.")
    waiting = Standby(configuration, load, log, NotifySender())
    with obeying_signals(waiting.stop, waiting.reload):
        taken = waiting.wait()
    if taken is None:
        raise typer.Exit
    return taken


def _picked(
    configuration: Configuration, accepted: Iterable[str], adopting: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return the names of the sources that `--accept-source` and `--adopt-slot` are given for."""
    return (
        {pick_source(configuration, name, "--accept-source").name for name in accepted},
        {pick_source(configuration, name, "--adopt-slot").name for name in adopting},
    )


def _observed(
    context: typer.Context, configuration: Configuration, log: Log, *, once: bool
) -> tuple[StatusMonitor, BatchTracer | None]:
    """Return what takes reports, with its points on disk, and what takes batches until the command ends."""
    monitor = StatusMonitor()
    if not once:
        monitor.keep(DayOfPoints(configuration.state_dir, monitor.recording(log)))
    return monitor, context.with_resource(tracing(os.environ, log))


def _each(*functions: Callable[Given, None]) -> Callable[Given, None]:
    def call(*arguments: Given.args, **named: Given.kwargs) -> None:
        for one in functions:
            one(*arguments, **named)

    return call


def _build(
    configuration: Configuration,
    accepted: set[str],
    adopting: set[str],
    state: State,
    logs: LogStore,
    log: Log,
    tracer: BatchTracer | None,
) -> Engine:
    sources = [
        source_spec(s, accept_identity=s.name in accepted, takes_over=s.name in adopting)
        for s in configuration.sources.values()
    ]
    sinks = [sink_spec(sink) for sink in configuration.sinks.values()]
    return Engine(sources, sinks, state, logs, log, configuration.state_dir / "scratch", tracer=tracer)


def _end(result: RunResult, reasons: Iterable[CdcError], log: Log | None, *, as_json: bool) -> None:
    """Print the errors of a run; with a log, write them there, which has those of the workers already. Exit
    with code 1 if something failed, or there are `reasons` why it did not finish.
    """
    late = [] if result.outcome is Outcome.DONE else [*reasons]
    if log is not None:
        log_problems(log, "not finished", late)
    else:
        for error in [*(_as_ours(*one) for one in result.errors.items()), *late]:
            print_error(error, as_json=as_json)
    if late or result.outcome is Outcome.FAILED:
        raise typer.Exit(1)


def _show(result: RunResult, summary: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        document = result.report.document()
        shown = {"sources": document["sources"], "sinks": document["sinks"]}
        print_json({"outcome": result.outcome.value, **shown})
    for line in () if as_json else summary:
        say(line)


def _as_ours(worker: str, error: BaseException) -> CdcError:
    if isinstance(error, CdcError):
        return error
    # The text of a foreign exception may hold row values; its place is in the log.
    message = f"unexpected {type(error).__name__} in {worker}"
    return CdcError(message, remedy="This is a defect: please report it with the log lines of this worker.")
