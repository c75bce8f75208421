"""Traces of batches, as a collector gets them: a server that decodes what the exporter sends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cdc.testing.ports import free_port
from tests.integration.cli.conftest import Project
from tests.support.processes import run_cdc

HOST = "127.0.0.1"


class Collector(ThreadingHTTPServer):
    """Takes traces; `spans` and `services` are those that came."""

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector = self.server
        assert isinstance(collector, Collector)
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        collector.paths.add(self.path)
        collector.tokens.add(self.headers.get("x-token"))
        for resource in request.resource_spans:
            collector.services.add(values(resource.resource)["service.name"])
            for scope in resource.scope_spans:
                collector.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is for the test."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def values(of: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def test_each_batch_has_a_span_into_the_log_and_one_into_the_sink(
    project: Project, collector: Collector
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-token=open"}
    result = run_cdc("run", "--once", cwd=project.folder, environment=variables)
    assert result.returncode == 0, result.stderr
    assert (collector.services, collector.paths, collector.tokens) == ({"cdc"}, {"/v1/traces"}, {"open"})
    assert {span.name for span in collector.spans} == {"capture shop", "deliver store"}
    captures = collector.named("capture shop")
    assert sum(values(span)["cdc.rows"] for span in captures) == 10
    last = values(captures[-1])
    assert (last["cdc.source"], last["cdc.next_offset"], last["cdc.transactions"]) == ("shop", 10, 1)
    deliveries = [values(span) for span in collector.named("deliver store")]
    assert sum(one["cdc.rows"] for one in deliveries) == 10
    assert {(one["cdc.sink"], one["cdc.source"], one["cdc.replay"]) for one in deliveries} == {
        ("store", "shop", False)
    }
    assert all(one["cdc.bytes"] > 0 and "/" in one["cdc.position"] for one in deliveries)
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in collector.spans)
    # A delivery names the captures of its changes.
    known = {span.span_id for span in captures}
    linked = {link.span_id for span in collector.named("deliver store") for link in span.links}
    assert linked == known


def test_a_collector_that_is_away_is_logged_once_and_changes_nothing(project: Project) -> None:
    url = f"http://user:hunter2@{HOST}:{free_port(HOST)}"
    result = run_cdc("run", "--once", cwd=project.folder, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("traces do not arrive") == 1
    assert "hunter2" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, ""),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "no traces: the protocol is not supported",
        ),
    ],
)
def test_where_no_traces_are_wanted_nothing_of_opentelemetry_is_imported(
    project: Project, variables: dict[str, str], said: str
) -> None:
    result = run_cdc(
        "run", "--once", cwd=project.folder, environment={**variables, "PYTHONPROFILEIMPORTTIME": "1"}
    )
    assert result.returncode == 0, result.stderr
    assert "| opentelemetry" not in result.stderr
    assert " cdc.cli.tracing" in result.stderr
    assert said in result.stderr
