"""`/metrics`: what was counted and what the status says, in Prometheus' text format or OpenMetrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from cdc.control.live import LiveStatus
from cdc.control.status import STALE_SECONDS, Status
from cdc.control.verdict import delivery_word, source_word
from cdc.spi import metrics
from cdc.spi.metrics import METRICS, Labels, Meter, Metric
from cdc.spi.status import SinkReport, SourceReport

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily
Sample = tuple[Metric, Labels, float]


class Metrics(Collector):
    """Collects for one daemon at each request."""

    def __init__(self, live: LiveStatus) -> None:
        self._live = live
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def answer(self, request: Request) -> Response:
        encode, kind = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=kind)

    def collect(self) -> Iterable[Family]:
        # A sink of several sources has one series of errors.
        samples: dict[Metric, dict[Labels, float]] = defaultdict(dict)
        for metric, labels, value in self._samples():
            samples[metric][labels] = samples[metric].get(labels, 0) + value
        meters = self._live.meters()
        for metric in METRICS:
            if metric.kind == "histogram":
                yield _histogram(metric, meters)
                continue
            family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for labels, value in samples[metric].items():
                family.add_metric(labels, value)
            yield family

    def _samples(self) -> Iterator[Sample]:
        configuration = self._live.configuration
        status = self._live.status(configuration)
        for meter in self._live.meters():
            for metric, labels, value in meter.counters():
                yield metric, _labels(metric, meter, labels), value
        yield from self._of_daemon(status)
        for name, view in status.sources.items():
            limit = configuration.sources[name].settings.log.retain.size
            yield metrics.LOG_BYTES, (name,), view.log.bytes if view.log else 0
            yield metrics.LOG_LIMIT, (name,), limit
            yield metrics.PAUSED, ("source", name), float(status.paused("source", name) is not None)
            if view.report is not None:
                yield from _of_source(name, view.report)
        for name, pairs in status.sinks.items():
            yield metrics.PAUSED, ("sink", name), float(status.paused("sink", name) is not None)
            reports = [pair.report for pair in pairs if pair.report is not None]
            yield from _problems("sink", name, reports)
            for report in reports:
                feeding = status.sources.get(report.source)
                yield from _of_sink(name, report, feeding.report if feeding else None)

    def _of_daemon(self, status: Status) -> Iterator[Sample]:
        live = self._live
        resources = live.resources(status)
        is_alive = live.monitor.age_seconds <= STALE_SECONDS
        yield metrics.UP, (), float(is_alive)
        yield metrics.READY, (), float(is_alive and live.verdict(status).is_ready)
        yield metrics.DISK_FREE, (), resources.disk_free_bytes
        yield metrics.DISK_FULL, (), float(status.daemon.state_dir_full)
        yield metrics.MEMORY, (), resources.memory_bytes
        yield metrics.MEMORY_LIMIT, (), resources.memory_limit_bytes
        stuck = {(sink, source) for sink, source, _ in live.monitor.stuck()}
        for name, pairs in status.sinks.items():
            for pair in pairs:
                yield metrics.SINK_STUCK, (name, pair.source), float((name, pair.source) in stuck)


def _of_source(name: str, report: SourceReport) -> Iterator[Sample]:
    yield metrics.SOURCE_STATE, (name, source_word(report)), 1
    yield from _problems("source", name, [report])
    yield metrics.SOURCE_ROWS, (name,), report.rows
    yield metrics.SOURCE_BYTES, (name,), report.bytes
    yield metrics.SOURCE_TRANSACTIONS, (name,), report.transactions
    yield metrics.COPY_TABLES, (name,), report.waiting_tables
    if report.behind_bytes is not None:
        yield metrics.SOURCE_BEHIND, (name,), report.behind_bytes
    if report.complete_at is not None:
        age = datetime.now(UTC) - datetime.fromisoformat(report.complete_at)
        yield metrics.SOURCE_BEHIND_SECONDS, (name,), max(0.0, age.total_seconds())
    if report.retained_bytes is not None:
        yield metrics.RETAINED, (name,), report.retained_bytes
    if report.snapshot is not None:
        yield metrics.COPY_RATIO, (name,), report.snapshot.percent / 100
    for event, count in report.counters.items():
        yield metrics.SOURCE_COUNTERS, (name, event), count


def _of_sink(name: str, report: SinkReport, source: SourceReport | None) -> Iterator[Sample]:
    pair = (name, report.source)
    yield metrics.SINK_STATE, (*pair, delivery_word(report, source)), 1
    yield metrics.SINK_ROWS, pair, report.rows
    yield metrics.SINK_BYTES, pair, report.bytes
    yield metrics.FLUSH_INTERVAL, pair, report.flush_interval_seconds
    yield metrics.SINK_BEHIND_ROWS, pair, report.behind_changes
    if report.behind_bytes is not None:
        yield metrics.SINK_BEHIND_BYTES, pair, report.behind_bytes
    if report.behind_seconds is not None:
        yield metrics.SINK_BEHIND_SECONDS, pair, report.behind_seconds
    if report.freshness_seconds is not None:
        yield metrics.FRESHNESS, pair, report.freshness_seconds
    for event, count in report.counters.items():
        yield metrics.SINK_COUNTERS, (*pair, event), count
    for gauge, value in report.gauges.items():
        yield metrics.SINK_GAUGES, (*pair, gauge), value


def _problems(part: str, name: str, reports: Sequence[SourceReport | SinkReport]) -> Iterator[Sample]:
    needs = any(one.error is not None and one.error.needs_operator for one in reports)
    yield metrics.NEEDS_OPERATOR, (part, name), float(needs)
    yield metrics.TABLES_SKIPPED, (part, name), sum(len(one.skipped) for one in reports)


_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


def _labels(metric: Metric, meter: Meter, own: Labels) -> Labels:
    """The values in the order of the metric's labels: the meter's, then those of the series."""
    rest = iter(own)
    return tuple(meter.labels[label] if label in meter.labels else next(rest) for label in metric.labels)


def _histogram(metric: Metric, meters: Sequence[Meter]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for meter in meters:
        for known, found in meter.histograms():
            if known is not metric:
                continue
            running, buckets = 0, []
            for bound, count in zip((*map(str, metric.buckets), "+Inf"), found.counts, strict=True):
                running += count
                buckets.append((bound, running))
            family.add_metric(_labels(metric, meter, ()), buckets, sum_value=found.total)
    return family
