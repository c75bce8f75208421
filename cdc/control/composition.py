"""Create from the configuration: specs for the engine, single plug-ins for the other commands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from cdc.defaults import DEFAULT_SNAPSHOT_WORKERS
from cdc.engine import Retention, SinkSpec, SourceSpec
from cdc.errors import ConfigError
from cdc.spi import (
    Capabilities,
    CopiesInParallel,
    LogIdentity,
    Sink,
    SinkContext,
    Source,
    SourceContext,
    StateHolder,
)
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

Log = Callable[..., None]

# A command that only looks opens sinks with an epoch that no daemon ever has, so that it fences nobody.
LOOKING_EPOCH = 0


def source_spec(
    source: ConfiguredSource, *, accept_identity: bool = False, takes_over: bool = False
) -> SourceSpec:
    """Return the engine's spec of this source."""
    settings, options = source.settings, source.options
    return SourceSpec(
        name=source.name,
        make=lambda context: _made(source, context),
        snapshot=settings.snapshot,
        acknowledge=settings.acknowledge,
        on_gap=settings.on_gap,
        retention=Retention(settings.log.retain.age, settings.log.retain.size),
        snapshot_workers=options.snapshot_workers
        if isinstance(options, CopiesInParallel)
        else DEFAULT_SNAPSHOT_WORKERS,
        accept_identity=accept_identity,
        takes_over=takes_over,
    )


def sink_spec(sink: ConfiguredSink) -> SinkSpec:
    """Return the engine's spec of this sink."""
    capabilities: Capabilities = sink.plugin.capabilities
    return SinkSpec(
        name=sink.name,
        make=lambda context: sink.plugin(sink.options, context),
        sources=sink.sources,
        flush=capabilities.obeyed(sink.settings.flush.policy(capabilities.flush)),
        backfill=sink.settings.backfill,
        part_bytes=capabilities.part_bytes,
    )


def open_source(source: ConfiguredSource, log: Log, owner: LogIdentity | None = None) -> Source:
    """Open the source for a command; the caller closes it."""
    return _made(source, SourceContext(source.name, log, _count_nothing, owner))


def open_database(source: ConfiguredSource, owner: LogIdentity | None) -> Source:
    """Open the source without its transforms, for a command that reads no row; the caller closes it."""
    made: Source = source.plugin(source.options, SourceContext(source.name, silent, _count_nothing, owner))
    return made


def _made(source: ConfiguredSource, context: SourceContext) -> Source:
    """The source with its transforms."""
    made: Source = source.plugin(source.options, context)
    if not source.transforms and source.settings.mask_key is None:
        return made
    # Only who transforms waits for its imports. A key alone reads what was kept while columns were masked.
    from cdc.transform.source import TransformedSource, Transforms  # noqa: PLC0415

    key = source.settings.mask_key
    secret = key.get_secret_value().encode() if key is not None else None
    return TransformedSource(made, Transforms(source.name, source.transforms, secret), context)


def open_sink(
    sink: ConfiguredSink,
    log: Log,
    epoch: int = LOOKING_EPOCH,
    log_id: str = "",
    *,
    daemon: StateHolder | None = None,
) -> Sink:
    """Open the sink for a command; the caller closes it."""
    context = SinkContext(sink.name, epoch, log, _count_nothing, log_id, daemon)
    made: Sink = sink.plugin(sink.options, context)
    return made


def pick_source(configuration: Configuration, name: str | None, option: str) -> ConfiguredSource:
    """Return the source of that name, or the only one."""
    if name is None:
        if len(configuration.sources) == 1:
            return next(iter(configuration.sources.values()))
        remedy = f"Name one of {', '.join(configuration.sources)}."
        raise ConfigError("there are several sources", where=option, remedy=remedy)
    return pick(configuration.sources, name, "source", option)


def pick_sink(configuration: Configuration, name: str, option: str) -> ConfiguredSink:
    """Return the sink of that name."""
    return pick(configuration.sinks, name, "sink", option)


def pick(known: Any, name: str, kind: str, option: str) -> Any:
    """Return what has that name; ConfigError with the nearest one if nothing has it."""
    if name in known:
        return known[name]
    names: Sequence[str] = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean {near[0]!r}?" if near else f"The configuration has: {', '.join(names) or 'none'}."
    raise ConfigError(f"there is no {kind} {name!r}", where=option, remedy=remedy)


def _count_nothing(_name: str, _amount: int) -> None:
    """Discard a count of a plug-in that serves a single command."""


def silent(_event: str, **_fields: object) -> None:
    """Discard log lines of a plug-in that serves a single command: only its findings are reported."""
