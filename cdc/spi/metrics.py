"""The metrics of the daemon: each name once, with its unit, its labels and its help; and what counts them.

Workers count into a `Meter`: once a batch, a delivery or an error, never once a row. What exists at present
(lags, sizes, states) is not counted: a scrape reads it from the status.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]

# From a fast loopback to an outage: 5 ms to 10 min.
LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
ROW_BUCKETS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 500_000.0, 1_000_000.0)
# Time series of one metric of one source or sink: tables beyond count together, as `other`.
MAX_SERIES = 500
OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric, which a count looks up by identity.

    The unit is the end of its name; `buckets` are the upper bounds of a histogram.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SOURCE = ("source",)
_PAIR = ("sink", "source")

# Counted while the daemon works.
COMMIT_TO_LOG = Metric(
    "cdc_commit_to_log_seconds",
    "histogram",
    "Time from a commit at the source until it is durable in the log.",
    _SOURCE,
    LATENCY_BUCKETS,
)
LOG_TO_SINK = Metric(
    "cdc_log_to_sink_seconds",
    "histogram",
    "Time that the oldest change of a delivery has waited in the log until the sink had it.",
    _PAIR,
    LATENCY_BUCKETS,
)
COMMIT_TO_SINK = Metric(
    "cdc_commit_to_sink_seconds",
    "histogram",
    "Time from the newest commit of a delivery at the source until the sink had it.",
    _PAIR,
    LATENCY_BUCKETS,
)
LOG_COMMIT_ROWS = Metric(
    "cdc_log_commit_rows", "histogram", "Rows of one commit of the log.", _SOURCE, ROW_BUCKETS
)
DELIVERY_ROWS = Metric("cdc_delivery_rows", "histogram", "Rows of one delivery.", _PAIR, ROW_BUCKETS)
TABLE_ROWS = Metric(
    "cdc_table_rows_total",
    "counter",
    f"Changed rows by table. After {MAX_SERIES} tables the rest counts as {OTHER!r}.",
    (*_SOURCE, "table"),
)
SCHEMA_CHANGES = Metric("cdc_schema_changes_total", "counter", "Changed definitions of tables.", _SOURCE)
RECOPIES = Metric(
    "cdc_table_copies_again_total", "counter", "Copies of a table again, by reason.", (*_SOURCE, "reason")
)
ERRORS = Metric(
    "cdc_errors_total",
    "counter",
    "Errors of a source or a sink, by kind.",
    ("part", "name", "kind"),
)
RETRIES = Metric(
    "cdc_retries_total",
    "counter",
    "Attempts again after an error that needs no operator, by its kind.",
    ("part", "name", "kind"),
)

# Read from the status on request.
UP = Metric("cdc_up", "gauge", "1 while the daemon's main thread works.")
READY = Metric("cdc_ready", "gauge", "1 if /readyz answers 200.")
SOURCE_STATE = Metric(
    "cdc_source_state", "gauge", "1 for the state that the source is in.", (*_SOURCE, "state")
)
SINK_STATE = Metric("cdc_sink_state", "gauge", "1 for the state that the sink is in.", (*_PAIR, "state"))
NEEDS_OPERATOR = Metric(
    "cdc_needs_operator",
    "gauge",
    "1 if the source or sink has an error that needs an operator.",
    ("part", "name"),
)
TABLES_SKIPPED = Metric(
    "cdc_tables_skipped",
    "gauge",
    "Tables that a source or sink skips until an error is resolved.",
    ("part", "name"),
)
SOURCE_BEHIND = Metric(
    "cdc_source_behind_bytes", "gauge", "WAL or binlog that is not in the log yet.", _SOURCE
)
SOURCE_BEHIND_SECONDS = Metric(
    "cdc_source_behind_seconds",
    "gauge",
    "Age of what the log has: everything that was committed before is in it.",
    _SOURCE,
)
SOURCE_ROWS = Metric(
    "cdc_source_rows_total", "counter", "Rows appended to the log, copies included.", _SOURCE
)
SOURCE_BYTES = Metric(
    "cdc_source_bytes_total", "counter", "Bytes of the stream appended to the log.", _SOURCE
)
SOURCE_TRANSACTIONS = Metric(
    "cdc_source_transactions_total", "counter", "Source transactions in the log.", _SOURCE
)
RETAINED = Metric(
    "cdc_source_retained_bytes", "gauge", "WAL that the replication slot keeps at the source.", _SOURCE
)
FRESHNESS = Metric(
    "cdc_sink_freshness_seconds", "gauge", "Age of what the sink shows: everything older is in it.", _PAIR
)
FLUSH_INTERVAL = Metric(
    "cdc_sink_flush_interval_seconds", "gauge", "How long a change may wait for a flush.", _PAIR
)
SINK_BEHIND_ROWS = Metric(
    "cdc_sink_behind_changes", "gauge", "Changes in the log that the sink lacks.", _PAIR
)
SINK_BEHIND_BYTES = Metric("cdc_sink_behind_bytes", "gauge", "About what the sink lacks of the log.", _PAIR)
SINK_BEHIND_SECONDS = Metric(
    "cdc_sink_behind_seconds",
    "gauge",
    "Commit time of the log's newest change less that of the sink's.",
    _PAIR,
)
SINK_ROWS = Metric("cdc_sink_rows_total", "counter", "Rows applied by the sink.", _PAIR)
SINK_BYTES = Metric("cdc_sink_bytes_total", "counter", "Bytes of the log applied by the sink.", _PAIR)
SINK_STUCK = Metric("cdc_sink_stuck", "gauge", "1 if the sink applies nothing although changes wait.", _PAIR)
COPY_RATIO = Metric("cdc_copy_progress_ratio", "gauge", "Progress of the copy under way, 0 to 1.", _SOURCE)
COPY_TABLES = Metric(
    "cdc_copy_waiting_tables", "gauge", "Tables that wait for a copy or are copied.", _SOURCE
)
LOG_BYTES = Metric("cdc_log_bytes", "gauge", "Size of the log on disk.", _SOURCE)
LOG_LIMIT = Metric(
    "cdc_log_limit_bytes", "gauge", "Size that log.retain allows for applied changes.", _SOURCE
)
DISK_FREE = Metric("cdc_disk_free_bytes", "gauge", "Free space on the disk under state_dir.")
DISK_FULL = Metric("cdc_disk_full", "gauge", "1 if something found no room under state_dir.")
MEMORY = Metric("cdc_memory_bytes", "gauge", "Resident memory of the daemon.")
MEMORY_LIMIT = Metric("cdc_memory_limit_bytes", "gauge", "Memory that the daemon promises to stay under.")
PAUSED = Metric("cdc_paused", "gauge", "1 if an operator has paused the source or sink.", ("part", "name"))
SOURCE_COUNTERS = Metric(
    "cdc_source_events_total", "counter", "Counters of the connector, by name.", (*_SOURCE, "event")
)
SINK_COUNTERS = Metric(
    "cdc_sink_events_total", "counter", "Counters of the sink, by name.", (*_PAIR, "event")
)
SINK_GAUGES = Metric("cdc_sink_gauge", "gauge", "Gauges of the sink, by name.", (*_PAIR, "gauge"))

METRICS: tuple[Metric, ...] = tuple(one for one in list(globals().values()) if isinstance(one, Metric))


@dataclass(slots=True)
class Distribution:
    """The values of a histogram: counts by bucket (the last has no upper bound), and their sum."""

    counts: list[int]
    total: float = 0.0


Labels = tuple[str, ...]


class Meter:
    """Counts for one source or one sink of a source, whose `labels` each of its series has. Thread-safe."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self._lock = threading.Lock()
        self._counters: dict[Metric, dict[Labels, float]] = {}
        self._histograms: dict[Metric, Distribution] = {}

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter; `labels` are the values of those that the meter does not have."""
        with self._lock:
            series = self._counters.setdefault(metric, {})
            if labels not in series and len(series) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            series[labels] = series.get(labels, 0) + amount

    def observe(self, metric: Metric, value: float) -> None:
        """Add a value to a histogram."""
        with self._lock:
            found = self._histograms.get(metric)
            if found is None:
                found = self._histograms[metric] = Distribution([0] * (len(metric.buckets) + 1))
            found.counts[bisect.bisect_left(metric.buckets, value)] += 1
            found.total += value

    def counters(self) -> Iterator[tuple[Metric, Labels, float]]:
        """Yield every counter with its values for the labels that the meter does not have."""
        with self._lock:
            found = [
                (metric, labels, n)
                for metric, series in self._counters.items()
                for labels, n in series.items()
            ]
        yield from found

    def histograms(self) -> Iterator[tuple[Metric, Distribution]]:
        """Yield a copy of every histogram."""
        with self._lock:
            found = [
                (metric, Distribution(list(d.counts), d.total)) for metric, d in self._histograms.items()
            ]
        yield from found
