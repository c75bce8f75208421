"""`cdc … --daemon URL`: the same commands, output and exit codes as beside the daemon, and what keeps out."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.cli.remote import TOKEN_VARIABLE
from tests.integration.cli.conftest import Answer, Project
from tests.integration.http.conftest import TOKEN, Client, client_of, environment, serving, with_http
from tests.support.certificates import Authority
from tests.support.processes import CdcProcess

# Each with what undoes it.
CONTROLS = (
    (["pause", "store"], ["resume", "store"]),
    (["pause", "shop", "public.items", "--json"], ["resume", "shop", "public.items"]),
    (["replay", "store", "--from", "earliest", "--wait", "--json"], None),
    (["snapshot", "public.items", "--sink", "store", "--json"], None),
    (["checkpoints"], None),
    (["checkpoints", "shop", "--json", "--limit", "1"], None),
    (["checkpoints", "shopp"], None),
    (["reload", "--dry-run"], None),
    (["reload", "--json"], None),
    (["pause", "stor"], None),
    (["pause", "shop", "public.item"], None),
    (["replay", "store", "--from", "c999"], None),
    (["replay", "stor", "--from", "earliest"], None),
    (["snapshot", "shop", "--sink", "stor"], None),
    (["snapshot", "items", "--json"], None),
)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A machine that has neither configuration nor state, but the token."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    return Project(folder)


def without_clock(document: Any) -> Any:
    """A status without what changes from second to second."""
    if isinstance(document, list):
        return [without_clock(one) for one in document]
    if not isinstance(document, dict):
        return document
    moving = {"at", "age_seconds", "complete_at", "freshness_seconds", "rows_per_second", "written_at"}
    return {key: without_clock(one) for key, one in document.items() if key not in moving}


def test_every_command_says_the_same_as_beside_the_daemon(
    elsewhere: Project, project: Project, own_client: Client
) -> None:
    def both(arguments: Sequence[str], undo: Sequence[str] | None = None) -> tuple[Answer, Answer]:
        found = []
        for option in (["--daemon", own_client.url], ["-c", str(project.folder / "cdc.yaml")]):
            found.append(elsewhere.cdc(*arguments, *option))
            if undo is not None:
                assert elsewhere.cdc(*undo, *option).code == 0
        return found[0], found[1]

    for arguments, undo in CONTROLS:
        far, near = both(arguments, undo)
        assert (far.code, far.err) == (near.code, near.err), arguments
        if far.out and arguments[0] == "snapshot":
            assert far.json | {"request": 0} == near.json | {"request": 0}
        else:
            assert far.out == near.out
    own_client.wait_for_title("All is well")
    elsewhere.cdc("pause", "store", "--daemon", own_client.url)
    project.write({**project.config, "umask": "0077"})
    far, near = both(["status", "--json"])
    assert without_clock(far.json) == without_clock(near.json)
    assert far.json["configuration"]["changed"] is True
    far, near = both(["status"])
    assert (far.code, far.out.splitlines()[0]) == (0, near.out.splitlines()[0])
    assert "the file has changed since" in far.out


@pytest.mark.parametrize(
    ("token", "words"), [("wrong-but-as-long-as-a-token", "the token is wrong"), ("", "a token is needed")]
)
def test_a_control_without_the_token_is_refused(
    elsewhere: Project, client: Client, monkeypatch: pytest.MonkeyPatch, token: str, words: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    answer = elsewhere.cdc("pause", "store", "--daemon", client.url)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert TOKEN_VARIABLE in answer.err
    # On loopback, reading needs none.
    assert elsewhere.cdc("status", "--daemon", client.url).code == 0


def test_the_token_comes_from_a_file_before_the_variable(
    elsewhere: Project, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "wrong-but-as-long-as-a-token")
    monkeypatch.setenv("CDC_DAEMON", client.url)
    file = elsewhere.folder / "token"
    file.write_text(f"{TOKEN}\n", "utf-8")
    assert elsewhere.cdc("resume", "store", "--token-file", str(file)).out == "sink store is not paused.\n"
    for text, words in (("two words", "holds no token"), (None, "cannot be read: No such file")):
        file.unlink() if text is None else file.write_text(text, "utf-8")
        answer = elsewhere.cdc("resume", "store", "--token-file", str(file))
        assert (answer.code, words in answer.err) == (2, True)


def test_a_daemon_without_a_token_is_only_read(elsewhere: Project, project: Project) -> None:
    with serving(project.folder, token="") as client:
        assert elsewhere.cdc("status", "--daemon", client.url).code == 0
        answer = elsewhere.cdc("pause", "store", "--daemon", client.url)
        assert answer.code == 1
        assert "without http.token, it changes nothing" in answer.err


def test_a_daemon_that_does_not_answer_is_named(elsewhere: Project) -> None:
    answer = elsewhere.cdc("status", "--daemon", "http://127.0.0.1:9", "--json")
    assert answer.code == 1
    error = orjson.loads(answer.err)["error"]
    assert error["where"] == "--daemon http://127.0.0.1:9"
    assert error["message"] == "the daemon cannot be reached: Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        "cdc.example.com:8765",
        "ftp://host",
        "https://",
        "https://ops:hunter22@host",
        "http://[::1",
        "http://h:0",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_unseen(elsewhere: Project, url: str) -> None:
    answer = elsewhere.cdc("status", "--daemon", url)
    assert answer.code == 2
    assert "--daemon: is not the URL of an HTTP service" in answer.err
    assert "hunter22" not in answer.err


def test_a_token_does_not_travel_in_the_clear(elsewhere: Project) -> None:
    answer = elsewhere.cdc("status", "--daemon", "http://cdc.example.com:8765")
    assert answer.code == 2
    assert "would send the token in the clear" in answer.err


def test_a_certificate_is_verified(
    elsewhere: Project, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make(project.folder)
    cert, key = authority.issue("localhost", "localhost")
    with_http(project, tls={"cert": str(cert), "key": str(key)})
    with CdcProcess("run", cwd=project.folder, environment=environment()) as daemon:
        port = client_of(daemon).url.rpartition(":")[2]
        named, numbered = f"https://localhost:{port}", f"https://127.0.0.1:{port}"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert elsewhere.cdc("resume", "store", "--daemon", named).out == "sink store is not paused.\n"
        answer = elsewhere.cdc("status", "--daemon", numbered)
        assert (answer.code, "its certificate is not trusted" in answer.err) == (1, True)
        monkeypatch.delenv("SSL_CERT_FILE")
        answer = elsewhere.cdc("status", "--daemon", named)
        assert (answer.code, "SSL_CERT_FILE" in answer.err) == (1, True)
        answer = elsewhere.cdc("status", "--daemon", f"http://localhost:{port}")
        assert (answer.code, "Write https://" in answer.err) == (1, True)
        assert daemon.terminate() == 0


class OtherVersion(http.server.BaseHTTPRequestHandler):
    """A daemon of a version that is still to come: it is known by its description only."""

    described: bytes = b'{"info": {"version": "99.0"}}'

    def do_GET(self) -> None:
        self._answer(self.described if self.path.endswith("/openapi.json") else b'{"running": true}')

    def do_POST(self) -> None:
        self._answer(b'{"done": true}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@contextmanager
def answering(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/behind/a/proxy/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_daemon_of_another_version_is_named_with_its_version(elsewhere: Project) -> None:
    with answering(OtherVersion) as url:
        for arguments in (["status"], ["pause", "store"]):
            answer = elsewhere.cdc(*arguments, "--daemon", url)
            assert answer.code == 1
            assert "the daemon has version 99.0, whose answer version" in answer.err
            assert ("It may have done" in answer.err) == (arguments[0] == "pause")


def test_what_is_no_daemon_is_not_taken_for_one(elsewhere: Project) -> None:
    with answering(type("Other", (OtherVersion,), {"described": b"<html>"})) as url:
        answer = elsewhere.cdc("status", "--daemon", url)
    assert (answer.code, "no daemon of cdc answers there" in answer.err) == (1, True)


def test_a_watch_outlives_the_daemon_that_it_shows(elsewhere: Project, project: Project) -> None:
    with CdcProcess("run", cwd=project.folder, environment=environment()) as daemon:
        url = client_of(daemon).url
        with CdcProcess("status", "--watch", "--daemon", url, cwd=elsewhere.folder) as watch:
            watch.wait_for_log("All is well")
            assert daemon.terminate() == 0
            watch.wait_for_log("No answer from the daemon. The daemon cannot be reached: Connection refused.")
