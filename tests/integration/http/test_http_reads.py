"""What is answered without changing anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.integration.http.conftest import READS, Client
from tests.support.waiting import wait_until


def test_every_path_answers_and_nobody_keeps_the_answer(client: Client) -> None:
    for path in READS:
        answer = client.get(path)
        assert (path, answer.status, answer.headers["cache-control"]) == (path, 200, "no-store")
        assert answer.headers["content-type"] == "application/json"


def test_the_status_has_what_the_command_shows_and_what_only_the_daemon_knows(client: Client) -> None:
    document = client.get("/api/v1/status").json
    assert document["running"] is True
    assert document["controls"] is True
    assert document["verdict"]["level"] == "ok"
    assert set(document["resources"]) == {
        "log_bytes",
        "log_limit_bytes",
        "log_full_in_seconds",
        "disk_free_bytes",
        "memory_bytes",
        "memory_limit_bytes",
    }
    source, (pair,) = document["sources"]["shop"], document["sinks"]["store"]
    assert (source["word"], source["state"], source["paused"]) == ("Streaming", "streaming", None)
    assert (pair["word"], pair["behind_changes"], pair["behind_bytes"]) == ("Up to date", 0, 0)
    assert pair["freshness_seconds"] is not None
    assert source["log"]["next"] == pair["next"] == 10


def test_health_and_readiness_are_judged_with_a_reason(client: Client) -> None:
    assert client.get("/healthz").json["alive"] is True
    ready = client.get("/readyz").json
    assert (ready["ready"], ready["title"], ready["remedy"]) == (True, "All is well", "")


def test_tables_are_searched_counted_and_paged(client: Client) -> None:
    first = client.get("/api/v1/tables?limit=1").json
    assert (first["total"], first["by_state"]) == (2, {"live": 2})
    assert [one["name"] for one in first["tables"]] == ["public.items"]
    second = client.get(f"/api/v1/tables?limit=1&cursor={quote(first['next'])}").json
    assert ([one["name"] for one in second["tables"]], second["next"]) == (["public.notes"], None)
    assert client.get("/api/v1/tables?search=NOT&order=state").json["total"] == 1
    assert client.get("/api/v1/tables?state=paused").json["tables"] == []
    assert client.get("/api/v1/tables?source=nowhere").json["total"] == 0


def test_definitions_name_columns_and_versions(client: Client) -> None:
    (items,) = client.get("/api/v1/schema-history?search=items").json["schemas"]
    (notes,) = client.get("/api/v1/schema-history?search=notes").json["schemas"]
    assert (items["name"], items["version"], items["key"]) == ("public.items", 1, ["id"])
    assert items["is_first"] is True
    assert [one["name"] for one in notes["columns"]] == ["id", "text"]


def test_checkpoints_are_places_to_replay_from(client: Client) -> None:
    def newest() -> dict[str, Any]:
        found: list[dict[str, Any]] = client.get("/api/v1/checkpoints").json["checkpoints"]
        return found[0] if found and found[0]["offset"] == 10 else {}

    # The first may be of the log on its way.
    one = wait_until(newest, "a checkpoint of the whole log")
    assert (one["source"], one["in_log"], one["id"][0]) == ("shop", True, "c")


def test_events_are_the_log_of_this_process_newest_first(client: Client) -> None:
    events = client.get("/api/v1/events").json["events"]
    assert "running" in [one["event"] for one in events]
    numbers = [one["number"] for one in events]
    assert numbers == sorted(numbers, reverse=True)


def test_history_has_a_series_for_every_pair(client: Client) -> None:
    history = client.get("/api/v1/history?window=5m").json
    assert {"shop.rows_per_second", "store.shop.behind_changes"} <= history["series"].keys()
    assert all(len(values) == len(history["at"]) for values in history["series"].values())


def test_the_stream_sends_status_events_and_points(client: Client) -> None:
    connection = client.connection()
    connection.request("GET", "/api/v1/stream")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    seen: set[str] = set()
    while seen != {"status", "event", "point"}:
        line = answer.readline().decode()
        if line.startswith("event: "):
            seen.add(line.removeprefix("event: ").strip())
        elif line.startswith("data: "):
            orjson.loads(line.removeprefix("data: "))
    connection.close()


@pytest.mark.parametrize(
    ("path", "status", "where"),
    [
        ("/api/v1/nothing", 404, ""),
        ("/api/v1/pause", 405, ""),
        ("/api/v1/tables?limit=0", 422, "limit"),
        ("/api/v1/tables?limit=1&limit=2", 422, "limit"),
        ("/api/v1/tables?colour=red", 422, "colour"),
        ("/api/v1/history?window=1", 422, "window"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    client: Client, path: str, status: int, where: str
) -> None:
    answer = client.get(path)
    assert (answer.status, answer.error["where"]) == (status, where)
    assert answer.error["remedy"]
