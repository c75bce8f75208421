"""The service in each state of a real pipeline: what it says, and that it never says a value or a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.fault.test_sink_outage import held_by_another_process
from tests.integration.http.conftest import READS, Client, client_of, environment
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.unit.http.test_metric_names import alerts, dashboard, names_in

# Those of the copies, which follow.
LATER = {"cdc_table_copies_again_total", "cdc_copy_progress_ratio"}
SERVING = "serving HTTP"
PLANTED = "planted-value-7f3a"
# What a load does not move: limits, states that stay as they are, and errors of which there are none.
STILL = {
    "cdc_up",
    "cdc_ready",
    "cdc_paused",
    "cdc_needs_operator",
    "cdc_tables_skipped",
    "cdc_sink_stuck",
    "cdc_disk_full",
    "cdc_log_limit_bytes",
    "cdc_memory_limit_bytes",
    "cdc_sink_flush_interval_seconds",
    "cdc_source_behind_bytes",
    "cdc_sink_behind_bytes",
    "cdc_sink_behind_changes",
    "cdc_source_state",
    "cdc_sink_state",
    "cdc_copy_waiting_tables",
}


@dataclass
class Served:
    """A pipeline behind a proxy, and the client of its daemon."""

    pipeline: Pipeline
    proxy: Proxy
    database: Database
    client: Client | None = None

    def start(self) -> CdcProcess:
        # All starts share one log file.
        earlier = (
            self.pipeline.log_path.read_text("utf-8").count(SERVING) if self.pipeline.log_path.exists() else 0
        )
        daemon = self.pipeline.start(environment())
        wait_until(lambda: daemon.log_text.count(SERVING) > earlier, "the daemon to serve")
        self.client = client_of(daemon)
        return daemon

    def get(self, path: str) -> Any:
        assert self.client is not None
        return self.client.get(path).json

    def wait_for(self, state: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The status once it is in that state, after every path was asked in it."""

        def reached() -> dict[str, Any]:
            found: dict[str, Any] = self.get("/api/v1/status")
            return found if state(found) else {}

        status = wait_until(reached, what)
        self.look_at_everything()
        return status

    def look_at_everything(self) -> None:
        """No answer has a row's value, or a part of the URL that is secret."""
        assert self.client is not None
        for path in (*READS, "/metrics"):
            answer = self.client.get(path)
            assert answer.status in (200, 503), (path, answer.body)
            assert PLANTED.encode() not in answer.body
            assert b"postgresql://" not in answer.body
            assert b"not-a-secret-of-anyone" not in answer.body


@pytest.fixture
def served(database15: Database, tmp_path: Path) -> Iterator[Served]:
    database15.execute(
        "create schema app",
        "create table app.items (id int primary key, note text)",
        f"insert into app.items select n, '{PLANTED}' from generate_series(1, 100) n",
    )
    with Proxy(database15.server.port) as proxy:
        pipeline = Pipeline(database15, tmp_path, url=database15.dsn(port=str(proxy.port), sslmode="disable"))
        config = yaml.safe_load((tmp_path / "cdc.yaml").read_text("utf-8"))
        pipeline._config = {**config, "http": {"token": "${CDC_TOKEN}"}}
        pipeline._write()
        yield Served(pipeline, proxy, database15)


def word(status: dict[str, Any], sink: str = "") -> str:
    found = status["sinks"][sink][0] if sink else status["sources"]["shop"]
    shown: str = found["word"]
    return shown


def is_well(status: dict[str, Any]) -> bool:
    return bool(status["verdict"]["title"] == "All is well")


def test_a_source_that_never_answered_then_streams_is_cut_off_and_returns(served: Served) -> None:
    served.proxy.pause()
    with served.start():
        status = served.wait_for(lambda s: word(s) == "Connecting", "the source to be connecting")
        assert status["sinks"]["lake"][0]["freshness_seconds"] is None
        served.proxy.resume()
        served.wait_for(is_well, "all to be well")
        assert served.get("/readyz")["ready"] is True
        assert served.get("/api/v1/tables")["by_state"] == {"live": 1}
        served.proxy.refuse()
        status = served.wait_for(lambda s: word(s) == "Retrying", "the source to be retried")
        assert status["verdict"]["title"] == "Source shop is retried"
        error = status["sources"]["shop"]["error"]
        assert (error["kind"], error["docs"]) == ("SourceUnavailable", "operations#sourceunavailable")
        assert error["next_try_at"] is not None
        assert word(status, "lake") in ("Waits", "Catching up")
        served.proxy.accept()
        served.wait_for(is_well, "all to be well again")


def test_a_copy_that_waits_is_copying(served: Served) -> None:
    with served.database.connect() as open_transaction:
        open_transaction.execute("begin")
        open_transaction.execute("select pg_current_xact_id()")
        with served.start():
            wait_until(
                lambda: word(served.get("/api/v1/status")) in ("Connecting", "Copying"), "the copy to wait"
            )
            served.look_at_everything()
            open_transaction.execute("rollback")
            served.wait_for(is_well, "the copy to be made")


def test_a_sink_that_is_down_leaves_the_other_alone(served: Served) -> None:
    with held_by_another_process(served.pipeline.mirror), served.start():
        status = served.wait_for(lambda s: word(s, "warehouse") == "Retrying", "the sink to be retried")
        assert "shop" not in status["verdict"]["title"]

        def held() -> bool:
            errors = served.get("/api/v1/errors")["errors"]
            found = [one for one in errors if one.get("sink") == "warehouse"]
            return [(one["kind"], "another process" in one["message"]) for one in found] == [
                ("SinkUnavailable", True)
            ]

        # An attempt that lasts is none that failed.
        wait_until(held, "the sink's error alone")
        served.wait_for(lambda s: s["sinks"]["lake"][0]["next"] > 0, "the lake to have the rows")


def test_a_source_that_needs_an_operator_is_not_ready_and_says_what_to_do(served: Served) -> None:
    with served.start() as daemon:
        served.wait_for(is_well, "all to be well")
        known = wait_until(lambda: versions(served, least=1), "the table's definition")
        daemon.kill9()
    served.database.execute(f"select pg_drop_replication_slot('{served.pipeline.slot}')")
    with served.start():
        status = served.wait_for(lambda s: word(s) == "Needs you", "the source to need an operator")
        assert (status["verdict"]["level"], status["verdict"]["mark"]) == ("bad", "bad")
        assert served.client is not None
        ready = served.client.get("/readyz")
        assert (ready.status, ready.json["title"]) == (503, "Source shop needs you")
        assert ready.json["remedy"]
        assert served.client.get("/healthz").status == 200
        assert versions(served, least=1) == known


def samples(text: str) -> dict[str, dict[str, float]]:
    """The values by metric and series."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = re.sub("_(bucket|sum|count|created)$", "", sample.name)
            found.setdefault(name, {})[f"{sample.name}{sorted(sample.labels.items())}"] = sample.value
    return found


def versions(served: Served, least: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.get("/api/v1/schema-history?search=APP.items")["schemas"]
    return found if len(found) >= least else []


def test_every_metric_of_dashboard_and_alerts_moves_under_load(served: Served) -> None:
    with served.start():
        served.wait_for(is_well, "all to be well")
        assert served.client is not None
        client, changed = served.client, set[str]()
        shown = names_in(dashboard()) | names_in([rule["expr"] for rule in alerts()])
        before = samples(client.get("/metrics").body.decode())
        served.database.execute("alter table app.items add column more int")
        served.proxy.cut()

        def moved() -> bool:
            served.database.execute(f"update app.items set note = '{PLANTED}' || random()")
            after = samples(client.get("/metrics").body.decode())
            changed.update(name for name in after if after[name] != before.get(name))
            return shown - STILL - changed <= LATER

        wait_until(moved, "the metrics to move", poll_seconds=0.2)
        assert client.post("/api/v1/snapshot", {"source": "shop"}).status == 200
        wait_until(
            lambda: "cdc_table_copies_again_total" in samples(client.get("/metrics").body.decode()), "a copy"
        )
        assert {name for name in shown & STILL if name not in before} == set()
        altered, first = wait_until(lambda: versions(served, least=2), "the altered table")
        assert (altered["version"], altered["changes"]) == (2, ["more added (integer)"])
        assert None not in (altered["at"], altered["position"])
        assert (first["version"], first["is_first"], first["changes"]) == (1, True, [])
        page = served.get("/api/v1/schema-history?limit=1")
        assert page["schemas"] == [altered]
        assert served.get(f"/api/v1/schema-history?cursor={page['next']}") == {
            "next": None,
            "schemas": [first],
        }
        assert served.get("/api/v1/schema-history?source=other")["schemas"] == []
