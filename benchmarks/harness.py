"""What the benchmarks share: an engine in this process, and what work takes, as one line beside its limit.

Not a benchmark of its own.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cdc.control import storage
from cdc.control.composition import sink_spec, source_spec
from cdc.engine import Engine, Outcome
from cdc.spi import registry
from cdc.spi.tracing import BatchTracer
from cdc_config import Configuration, load

HEADER = f"{'':<44}{'rows/s':>12}{'ratio':>7}{'CPU s/M rows':>14}{'peak MiB':>10}"


@dataclass(frozen=True)
class Taken:
    """Seconds on the clock, processor seconds of this process and its children, and the most memory that this
    process had meanwhile.
    """

    wall: float
    processor: float
    peak_mib: float

    def less(self, other: Taken) -> Taken:
        """The same without what `other` took, such as a run with nothing to do."""
        return Taken(self.wall - other.wall, self.processor - other.processor, self.peak_mib)


def measured(work: Callable[[], object]) -> Taken:
    """Do the work, and say what it took."""
    Path("/proc/self/clear_refs").write_text("5")  # The peak counts from here.
    began, before = time.perf_counter(), _processor_seconds()
    work()
    return Taken(time.perf_counter() - began, _processor_seconds() - before, peak_mib())


def show(name: str, rows: int, taken: Taken, limit: Taken | None = None) -> None:
    """Print one line below `HEADER`: the limit itself, or what is to reach it."""
    ratio = 1.0 if limit is None else limit.wall / taken.wall
    processor = taken.processor / rows * 1e6
    # A limit's memory is another process's.
    peak = "" if limit is None else f"{taken.peak_mib:.0f}"
    print(f"{name:<44}{rows / taken.wall:>12,.0f}{ratio:>7.2f}{processor:>14.2f}{peak:>10}", flush=True)


def engine_of(configuration: Configuration, tracer: BatchTracer | None = None) -> Engine:
    """An engine that logs nothing."""
    sources = [source_spec(source, accept_identity=False) for source in configuration.sources.values()]
    sinks = [sink_spec(sink) for sink in configuration.sinks.values()]
    state, logs = storage.state(configuration).open(), storage.logs(configuration)
    return Engine(sources, sinks, state, logs, lambda event, **fields: None, tracer=tracer)


def run_once(config: Path) -> Taken:
    """Copy and catch up, as `cdc run --once` does after its imports."""
    engine = engine_of(load(config, registry.load))

    def run() -> None:
        result = engine.run(once=True)
        if result.outcome is not Outcome.DONE:
            raise SystemExit(f"the run ended with {result}")

    return measured(run)


def peak_mib() -> float:
    """The most that this process has had in memory since the last `measured` began."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _processor_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)
