"""Pause, resume, replay and snapshot by HTTP: who may, what is said beforehand, what happens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cli.conftest import Project
from tests.integration.http.conftest import TOKEN, Client, serving
from tests.support.waiting import wait_until

PAUSE = "/api/v1/pause"
REPLAY = "/api/v1/replay"


def word(client: Client, part: str, name: str) -> str:
    found = client.get("/api/v1/status").json[part][name]
    shown: str = (found if part == "sources" else found[0])["word"]
    return shown


@pytest.mark.parametrize("token", [None, "", "wrong", "not-a-secret-of-anyone-012345678", "é"])
def test_without_the_token_nothing_changes(client: Client, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = client.send("POST", PAUSE, b'{"name": "store"}', headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.error["kind"] == "Unauthorized"
    assert word(client, "sinks", "store") == "Up to date"


def test_a_daemon_without_a_token_says_how_to_set_one(project: Project) -> None:
    with serving(project.folder, token="") as client:
        answer = client.post(PAUSE, {"name": "store"})
        assert (answer.status, answer.error["kind"]) == (403, "ControlsOff")
        assert "http.token" in answer.error["remedy"]
        assert client.get("/api/v1/status").json["controls"] is False


@pytest.mark.parametrize(("name", "part"), [("store", "sinks"), ("shop", "sources")])
def test_a_sink_and_a_source_are_paused_and_resumed(own_client: Client, name: str, part: str) -> None:
    said = own_client.post(PAUSE, {"name": name}).json
    assert (said["changed"], said["taken"], said["command"]) == (True, True, f"cdc pause {name}")
    assert word(own_client, part, name) == "Paused"
    own_client.wait_for_title("is paused")
    ready = own_client.get("/readyz")
    assert (ready.status, f"cdc resume {name}" in ready.json["text"]) == (200, True)
    assert own_client.post(PAUSE, {"name": name}).json["changed"] is False
    assert own_client.post("/api/v1/resume", {"name": name}).json["taken"] is True
    own_client.wait_for_title("All is well")


def test_a_table_is_paused_alone(own_client: Client) -> None:
    body = {"name": "shop", "tables": ["public.items"]}
    assert own_client.post(PAUSE, body).json["taken"] is True
    assert own_client.get("/api/v1/tables").json["by_state"] == {"live": 1, "paused": 1}
    assert own_client.post("/api/v1/resume", body).json["taken"] is True
    assert own_client.get("/api/v1/tables").json["by_state"] == {"live": 2}


def test_a_replay_and_a_copy_are_made(own_client: Client) -> None:
    said = own_client.post(REPLAY, {"sink": "store", "from": "earliest"}).json
    assert (said["offset"], said["log_end"], said["taken"]) == (0, 10, True)
    own_client.wait_for_title("All is well")
    assert (
        own_client.post("/api/v1/snapshot", {"source": "shop", "tables": ["public.items"]}).json["taken"]
        is True
    )

    def events() -> list[str]:
        return [one["event"] for one in own_client.get("/api/v1/events").json["events"]]

    wait_until(lambda: {"replaying", "replay finished", "copy finished"} <= set(events()), "both to be done")


BODIES: dict[str, dict[str, Any]] = {
    PAUSE: {"name": "store"},
    "/api/v1/resume": {"name": "shop", "tables": ["public.items"]},
    REPLAY: {"sink": "store", "from": "earliest"},
    "/api/v1/snapshot": {"source": "shop", "sink": "store"},
}


def test_a_dry_run_says_what_would_happen_and_changes_nothing(client: Client) -> None:
    before = client.get("/api/v1/status").json["sinks"]
    for path, body in BODIES.items():
        answer = client.post(f"{path}?dry_run=true", body, token=None)
        assert answer.status == 200, answer.body
        said = answer.json
        assert said["command"].startswith(f"cdc {path.rpartition('/')[2]} ")
        assert said["dry_run"] is True
        assert said["title"]
        assert said["happens"]
        assert said["stays"]
    status = client.get("/api/v1/status").json
    assert (status["requests"], status["sources"]["shop"]["paused"]) == ([], None)
    assert [pair["next"] for pair in status["sinks"]["store"]] == [pair["next"] for pair in before["store"]]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (PAUSE, {"name": "stor"}, "no source or sink 'stor'"),
        (PAUSE, {"name": "shop", "tables": ["public.item"]}, "no selected table 'public.item'"),
        (REPLAY, {"sink": "store", "from": "c999"}, "no checkpoint c999"),
        (REPLAY, {"sink": "store", "from": "99999"}, "after the log's end"),
        ("/api/v1/snapshot", {"source": "shop", "sink": "stor"}, "no sink 'stor'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_as_it_is(
    client: Client, path: str, body: dict[str, Any], words: str
) -> None:
    answer = client.post(path, body)
    assert answer.status == 409
    assert words in answer.error["message"]
    assert answer.error["remedy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"name": 1}', 422),
        (b'{"name": "store", "more": 1}', 422),
        (b'{"name": ""}', 422),
    ],
)
def test_a_body_of_another_shape_is_refused(client: Client, body: bytes, status: int) -> None:
    answer = client.send("POST", PAUSE, body, {"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == status
    assert answer.error["kind"] == "ConfigError"
    # The names of our classes say nothing to who calls.
    assert "Body" not in answer.error["message"]
