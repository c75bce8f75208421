"""OpenTelemetry traces of batches, where the environment names a collector (OTLP over HTTP).

Nothing of OpenTelemetry is imported unless it does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import cdc
from cdc.cli.logging import Log
from cdc.model import Commit
from cdc.model.position import to_microseconds
from cdc.spi.state import Plan
from cdc.spi.tracing import BatchTracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, SpanContext, Tracer

# The names that every OpenTelemetry program has.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
SERVICE_NAME = "cdc"
# A delivery links to the captures of its changes: to the newest of those that are remembered.
REMEMBERED_COMMITS = 1024
MOST_LINKS = 32
# A collector that is away must not hold up the end of the daemon.
STOP_SECONDS = 3.0
# The exporter repeats itself every few seconds.
QUIET_SECONDS = 600.0


@contextmanager
def tracing(environment: Mapping[str, str], log: Log) -> Iterator[BatchTracer | None]:
    """Yield what takes batches, None unless traces are wanted and can be sent; send the rest at the end."""
    provider = _provider(environment, log) if is_wanted(environment) else None
    if provider is None:
        yield None
        return
    try:
        yield OpenTelemetryTracer(provider.get_tracer("cdc", cdc.__version__))
    finally:
        ending = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a collector, and does not switch traces off."""
    is_off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    )
    return not is_off and any(environment.get(name) for name in ENDPOINTS)


class OpenTelemetryTracer:
    """Makes a span of each batch. Spans have names, sizes and positions, never a row's value."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._captures: dict[str, deque[tuple[int, SpanContext]]] = defaultdict(
            lambda: deque(maxlen=REMEMBERED_COMMITS)
        )

    def captured(self, source: str, commit: Commit, rows: int) -> None:
        now = time.time_ns()
        span = self._tracer.start_span(
            f"capture {source}",
            start_time=_start(commit.commit_at or commit.written_at, now),
            attributes={
                "cdc.source": source,
                "cdc.rows": rows,
                "cdc.bytes": commit.byte_count,
                "cdc.transactions": commit.transactions,
                "cdc.position": commit.position.text,
                "cdc.first_offset": commit.first,
                "cdc.next_offset": commit.next,
            },
        )
        span.end(now)
        context = span.get_span_context()
        if context.trace_flags.sampled:
            self._captures[source].append((commit.first, context))

    def delivered(self, sink: str, source: str, plan: Plan, *, is_replay: bool) -> None:
        now = time.time_ns()
        span = self._tracer.start_span(
            f"deliver {sink}",
            start_time=now if plan.written_at is None else _start(plan.written_at, now),
            links=self._links(source, plan),
            attributes={
                "cdc.sink": sink,
                "cdc.source": source,
                "cdc.rows": plan.row_count,
                "cdc.bytes": plan.byte_count,
                "cdc.position": plan.position.text,
                "cdc.first_offset": plan.first,
                "cdc.next_offset": plan.next,
                "cdc.replay": is_replay,
            },
        )
        span.end(now)

    def _links(self, source: str, plan: Plan) -> Sequence[Link]:
        from opentelemetry.trace import Link

        known = self._captures.get(source)
        contexts = [] if known is None else [c for first, c in [*known] if plan.first <= first < plan.next]
        return [Link(context) for context in contexts[-MOST_LINKS:]]


class _ExporterProblems(logging.Handler):
    """Says in the daemon's log that traces do not arrive, without the words of the exporter, which may name
    the collector with its credentials.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._said_at = float("-inf")

    def emit(self, _: logging.LogRecord) -> None:
        if time.monotonic() - self._said_at < QUIET_SECONDS:
            return
        self._said_at = time.monotonic()
        self._log(
            "traces do not arrive at the collector",
            level="warning",
            remedy=f"Start the collector, or correct {ENDPOINTS[1]}. Replication is not affected.",
        )


def _provider(environment: Mapping[str, str], log: Log) -> TracerProvider | None:
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        remedy = f"Set {_PROTOCOLS[1]} to {PROTOCOL}, and the endpoint to the collector's port for it (4318)."
        log("no traces: the protocol is not supported", level="warning", protocol=protocol, remedy=remedy)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        remedy = f"Run: pip install 'cdcd[otel]'; or unset {ENDPOINTS[1]}."
        log("no traces: OpenTelemetry is not installed", level="warning", remedy=remedy)
        return None
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(_ExporterProblems(log))
    logger.propagate = False
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": SERVICE_NAME}
    resource = Resource.create({"service.version": cdc.__version__, **named})
    # Sampling, headers, timeouts and the size of batches come from the variables of OpenTelemetry.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    log("sending traces", protocol=PROTOCOL)
    return provider


def _start(at: datetime, now: int) -> int:
    """In nanoseconds; the clock of another machine may be ahead."""
    return min(to_microseconds(at) * 1000, now)
