"""A program: ClickHouse's HTTP interface over the engine that `chdb` brings (`pip install chdb`).

It serves what `clickhouse-connect` and this project's sink use: queries and inserts of any format, settings,
sessions with temporary tables, one account, and errors with their codes. The engine runs in this process and
keeps its tables in a folder, so a kill of the process is a crash of the server.

Usage: python -m cdc.testing.servers.clickhouse_http PORT FOLDER [USER:PASSWORD]
"""

from __future__ import annotations

import base64
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# Parameters of the protocol; every other one is a setting of the query.
_PROTOCOL = frozenset(
    {
        *("query", "query_id", "database", "session_id", "session_timeout", "session_check", "role"),
        *("default_format", "compress", "decompress", "buffer_size", "wait_end_of_query", "quota_key"),
        *("client_protocol_version", "user", "password", "send_progress_in_http_headers"),
        *("http_headers_progress_interval_ms", "enable_http_compression"),
    }
)
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_AUTHENTICATION_FAILED = 516
_SESSION_IS_LOCKED = 373
_UNKNOWN_EXCEPTION = 1002
_FORMAT = re.compile(r"\bformat\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"(\s*insert\b.*?\bformat\s+\w+)[ \t]*\n", re.IGNORECASE | re.DOTALL)
_INPUT = re.compile(r"\binput\(\s*('(?:[^'\\]|\\.|'')*')\s*\)", re.IGNORECASE)


class Refused(Exception):
    """An error of the engine, or of this program: its text, as ClickHouse writes it, and its code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Handle:
    """A connection to the engine, with the settings of its last statement."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._settings: dict[str, str] = {}
        self.lock = threading.Lock()

    def run(self, statement: str, form: str, settings: Mapping[str, str]) -> bytes:
        """Run one statement with its settings; return the result in the format `form`."""
        try:
            for name in self._settings.keys() - settings.keys():
                self._connection.query(f"set {name} = default")
                del self._settings[name]
            for name, value in settings.items() - self._settings.items():
                self._connection.query(f"set {name} = {_quoted(value)}")
                self._settings[name] = value
            return bytes(self._connection.query(statement, form).bytes())
        except Exception as error:
            text = str(error)
            found = _CODE.search(text)
            code = int(found[1]) if found else _UNKNOWN_EXCEPTION
            raise Refused(text[found.start() :] if found else text, code) from error


class Handles:
    """The engine in this process: a handle for each session, and free ones for requests without."""

    def __init__(self, folder: Path) -> None:
        import chdb

        self._connect: Any = partial(chdb.connect, str(folder))
        self._keep = self._open()
        self._sessions: dict[str, Handle] = {}
        self._free: list[Handle] = []
        self._lock = threading.Lock()

    @contextmanager
    def handle(self, session: str | None) -> Iterator[Handle]:
        """A handle that no other request uses meanwhile; a busy session is an error, as in the server."""
        with self._lock:
            if session is None:
                one = self._free.pop() if self._free else self._open()
            else:
                one = self._sessions.setdefault(session, self._sessions.get(session) or self._open())
        if not one.lock.acquire(blocking=False):
            text = f"Code: {_SESSION_IS_LOCKED}. DB::Exception: Session {session} is locked"
            raise Refused(f"{text}. (SESSION_IS_LOCKED)", _SESSION_IS_LOCKED)
        try:
            yield one
        finally:
            one.lock.release()
            if session is None:
                with self._lock:
                    self._free.append(one)

    def _open(self) -> Handle:
        return Handle(self._connect())


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: Handles
    account: str | None
    server_name = "chdb"

    def do_GET(self) -> None:
        """Answer /ping, and queries in the URL."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a query, or take in its data."""
        self._answer(self._body())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Log nothing: statements contain values."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, body: bytes) -> None:
        try:
            if self.path.split("?")[0] == "/ping":
                self._send(200, b"Ok.\n")
                return
            self._authenticate()
            self._send(200, self._result(body))
        except Refused as error:
            status = 403 if error.code == _AUTHENTICATION_FAILED else 500
            self._send(status, str(error).encode(), {"X-ClickHouse-Exception-Code": str(error.code)})

    def _authenticate(self) -> None:
        given = self.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode((self.account or "").encode()).decode()
        if self.account is not None and given != wanted:
            user = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")[0]
            text = f"Code: {_AUTHENTICATION_FAILED}. DB::Exception: {user}: Authentication failed"
            raise Refused(f"{text}. (AUTHENTICATION_FAILED)", _AUTHENTICATION_FAILED)

    def _result(self, body: bytes) -> bytes:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        settings = {n: value for n, value in parameters.items() if n not in _PROTOCOL and n.isidentifier()}
        form = parameters.get("default_format", "TabSeparated")
        statement, data = parameters.get("query"), body
        if not statement:
            # Data may follow an insert, after the line that ends with its format.
            found = _INSERT.match(body)
            statement, data = (found[1].decode(), body[found.end() :]) if found else (body.decode(), b"")
        with self.engine.handle(parameters.get("session_id")) as handle:
            if not data:
                return handle.run(statement, form, settings)
            with tempfile.NamedTemporaryFile("wb", suffix=".data", prefix="cdc-") as file:
                file.write(data)
                file.flush()
                return handle.run(_reading(statement, file.name), form, settings)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        # Headers and content in one packet: a second one would wait for the first one's acknowledgement.
        self._headers_buffer: list[bytes]
        self._headers_buffer += [b"\r\n", content]
        self.flush_headers()


def _reading(statement: str, path: str) -> str:
    """The statement, reading its data from a file instead of the request's body."""
    found = _FORMAT.search(statement)
    form = found[1] if found else "TabSeparated"
    bare = statement[: found.start()] if found else statement
    if _INPUT.search(bare):
        return _INPUT.sub(lambda match: f"file({_quoted(path)}, {form}, {match[1]})", bare, count=1)
    return f"{bare} select * from file({_quoted(path)}, {form})"


def main(port: int, folder: Path, account: str | None) -> None:
    """Serve until the process is ended."""
    Handler.engine = Handles(folder)
    Handler.account = account
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
