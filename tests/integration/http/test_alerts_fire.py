"""A Prometheus that scrapes a daemon in an outage: the alerts of `deploy/alerts.yaml` are pending, then
fire, and end with the outage. Only the times of their `for` are shortened.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from cdc.testing.ports import free_port
from tests.fault.test_sink_outage import held_by_another_process
from tests.integration.http.conftest import client_of, environment
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until
from tests.unit.http.test_metric_names import ROOT, RULES

PROMETHEUS = shutil.which("prometheus", path=f"{ROOT / '.servers'}:{os.environ['PATH']}")
# After so long in its state, an alert fires.
FOR = "5s"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus: scripts/bootstrap.sh servers unpacks it"),
]


class Prometheus:
    """A Prometheus on a port of its own; `states` has the alerts that are not inactive, with their states."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/alerts"

    def states(self) -> dict[str, str]:
        try:
            with urllib.request.urlopen(self._url, timeout=DEFAULT_TIMEOUT_SECONDS) as answer:
                found = json.load(answer)["data"]["alerts"]
        except urllib.error.URLError:
            return {"no answer": "yet"}
        return {one["labels"]["alertname"]: one["state"] for one in found}

    def wait_for(self, alert: str, state: str) -> None:
        wait_until(lambda: self.states().get(alert) == state, f"{alert} to be {state}")


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    folder.mkdir()
    rules = re.sub(r"\bfor: \d+m", f"for: {FOR}", RULES.read_text("utf-8"))
    (folder / "alerts.yaml").write_text(rules, "utf-8")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "cdc", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
    port = free_port("127.0.0.1")
    assert PROMETHEUS is not None
    command = [
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait()


def test_an_outage_is_pending_then_fires_and_ends(database15: Database, tmp_path: Path) -> None:
    database15.execute("create schema app", "create table app.items (id int primary key)")
    pipeline = Pipeline(database15, tmp_path)
    pipeline.catch_up()
    database15.execute("insert into app.items values (1)")
    with held_by_another_process(pipeline.mirror), pipeline.start(environment()) as daemon:
        target = client_of(daemon).url.removeprefix("http://")
        with scraping(target, tmp_path / "prometheus") as prometheus:
            prometheus.wait_for("CdcNotReady", "pending")
            prometheus.wait_for("CdcNotReady", "firing")
            assert "CdcDown" not in prometheus.states()
    with pipeline.start(environment()) as daemon:
        # Both daemons write into one log.
        wait_until(lambda: daemon.log_text.count("serving HTTP") == 2, "the second daemon to serve")
        client = client_of(daemon)
        client.wait_for_title("All is well")
        with scraping(client.url.removeprefix("http://"), tmp_path / "again") as prometheus:
            wait_until(lambda: prometheus.states() == {}, "no alert to be left")
