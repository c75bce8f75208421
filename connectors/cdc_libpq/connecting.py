"""Opens a connection with libpq's own steps, so that a failure has its SQLSTATE and its step.

psycopg connects with libpq's default messages, which hold no SQLSTATE: a failed login then shows only as text
in the server's language. Here libpq is asked for verbose messages before the server answers, and the steps
that it reports (reaching the server, TLS, login) classify what fails on this side. No text decides.
"""

from __future__ import annotations

import ctypes
import functools
import re
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# What libpq uses when the url sets no connect_timeout; ours always does.
DEFAULT_TIMEOUT_SECONDS = 10.0
# A server that listens answers whether it has TLS within one round trip.
PROBE_SECONDS = 5.0
# PQERRORS_DEFAULT and PQERRORS_VERBOSE of libpq-fe.h.
_DEFAULT, _VERBOSE = 1, 2
# `FATAL:  28P01: …`: libpq writes two spaces after the severity, in every language.
_STATED = re.compile(r":  (?P<state>[0-9A-Z]{5}): ")
# `LOCATION:  auth_failed, auth.c:326`: the function in the server's source, in every language.
_FUNCTION = re.compile(r":  (?P<function>\w+), \w+\.c(?:pp)?:\d+\s*$")
# SSLRequest of the protocol, which every server answers with one byte before any login.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_DEMANDING = ("require", "verify-ca", "verify-full")


class ConnectionStep(StrEnum):
    """The step at which a connection failed without an answer of the server that has a SQLSTATE."""

    REACH = "reach"
    TLS = "tls"
    PASSWORD = "password"  # noqa: S105  (a step's name)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no connection: the SQLSTATE and function if the server answered, else the step."""

    message: str
    state: str = ""
    function: str = ""
    step: ConnectionStep = ConnectionStep.REACH


class ConnectionRefused(psycopg.OperationalError):
    """Raised by `connect`; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def connect(conninfo: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Return an autocommit connection to the first host of `conninfo` that takes it.

    Raises:
        ConnectionRefused: none did. Of several hosts, one that answered with a SQLSTATE says why.
    """
    refusals: list[Refusal] = []
    for attempt in _attempts(conninfo):
        try:
            pgconn = _open(attempt)
        except ConnectionRefused as error:
            refusals.append(error.refusal)
            continue
        pgconn.nonblocking = 1
        connection = psycopg.Connection(pgconn)
        connection.autocommit = True
        connection.prepare_threshold = None
        return connection
    raise ConnectionRefused(next((each for each in refusals if each.state), refusals[-1]))


def _attempts(conninfo: str) -> Iterator[str]:
    """One connection string for each host and address, in the order in which they are tried.

    libpq's steps have no time limit of their own, so that a dead host would keep it from the next one.
    """
    settings = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    if settings.get("target_session_attrs") == "prefer-standby":
        for wanted in ("standby", "any"):
            yield from _attempts(make_conninfo(conninfo, target_session_attrs=wanted))
        return
    hosts = settings.get("host", "").split(",")
    addresses = settings.get("hostaddr", "").split(",")
    ports = settings.get("port", "").split(",")
    for index in range(max(len(hosts), len(addresses))):
        one = {"host": _item(hosts, index), "port": _item(ports, index), "hostaddr": _item(addresses, index)}
        changed = {name: value or None for name, value in one.items()}
        for address in _resolved(one):
            yield make_conninfo("", **{**settings, **changed, **address})


def _item(values: list[str], index: int) -> str:
    """The value for that host; one value applies to all hosts."""
    return values[index] if index < len(values) else values[0] if len(values) == 1 else ""


def _resolved(one: Mapping[str, str]) -> list[dict[str, str]]:
    """The addresses of a host name, all of which are tried; libpq resolves what cannot be resolved here."""
    host = one["host"]
    if not host or one["hostaddr"] or host.startswith(("/", "@")):
        return [{}]
    try:
        found = socket.getaddrinfo(host, one["port"] or 5432, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [{}]
    return [{"hostaddr": address} for address in dict.fromkeys(str(each[4][0]) for each in found)]


def _open(conninfo: str) -> pq.abc.PGconn:
    settings = conninfo_to_dict(conninfo)
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    _set_verbosity(pgconn, _VERBOSE)
    timeout = float(str(settings.get("connect_timeout") or DEFAULT_TIMEOUT_SECONDS))
    deadline = time.monotonic() + timeout if timeout > 0 else None
    reached = pgconn.status
    while pgconn.status != pq.ConnStatus.BAD:
        reached = pq.ConnStatus(pgconn.status)
        polled = pgconn.connect_poll()
        if polled == pq.PollingStatus.OK:
            _set_verbosity(pgconn, _DEFAULT)
            return pgconn
        if polled == pq.PollingStatus.FAILED:
            break
        if not _wait(pgconn, polled, deadline):
            pgconn.finish()
            raise ConnectionRefused(Refusal(f"no answer within {timeout:.0f} s"))
    refusal = _refusal(pgconn, reached, settings)
    pgconn.finish()
    raise ConnectionRefused(refusal)


def _wait(pgconn: pq.abc.PGconn, polled: int, deadline: float | None) -> bool:
    """Wait for the socket; return False after the time limit."""
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN if polled == pq.PollingStatus.READING else select.POLLOUT)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        if poll.poll(1000 if left is None else min(left, 1) * 1000):
            return True


def _refusal(pgconn: pq.abc.PGconn, reached: int, settings: Mapping[str, Any]) -> Refusal:
    message = pgconn.error_message.decode("utf-8", "replace").strip()
    stated = list(_STATED.finditer(message))
    if stated:
        # The last: with sslmode=prefer libpq has tried with TLS before, then without.
        last = stated[-1]
        said = message[last.end() :]
        function = _FUNCTION.search(said)
        return Refusal(_first_line(said), last["state"], function["function"] if function else "")
    text = _first_line(message)
    if pgconn.needs_password:
        return Refusal(text, step=ConnectionStep.PASSWORD)
    if reached == pq.ConnStatus.SSL_STARTUP and settings.get("sslmode") in _DEMANDING:
        return Refusal(text, step=ConnectionStep.TLS if _answers_tls(settings) else ConnectionStep.REACH)
    return Refusal(text)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _answers_tls(settings: Mapping[str, Any]) -> bool:
    """Return whether a server answers at all when asked for TLS: if so, TLS itself failed, else the
    connection.
    """
    host = str(settings.get("hostaddr") or settings.get("host") or "")
    if not host or host.startswith(("/", "@")):
        return True
    try:
        with socket.create_connection((host, int(settings.get("port") or 5432)), PROBE_SECONDS) as probe:
            probe.sendall(_SSL_REQUEST)
            return probe.recv(1) in (b"S", b"N")
    except OSError:
        return False


def _set_verbosity(pgconn: pq.abc.PGconn, verbosity: int) -> None:
    """Have libpq write SQLSTATE and function into its messages, or leave them out."""
    setter = _verbosity_setter()
    pointer = getattr(pgconn, "pgconn_ptr", None)
    if setter is not None and pointer is not None:
        setter(pointer, verbosity)


@functools.cache
def _verbosity_setter() -> Any:
    """The function `PQsetErrorVerbosity` of libpq, which psycopg does not pass on; None if not found."""
    for name in ("psycopg_binary.pq", "psycopg_c.pq", "psycopg_binary._psycopg"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            # A symbol is looked up in the library and in those that it is linked with: libpq is one of them.
            return _prototype(ctypes.CDLL(file))
    library = getattr(sys.modules.get("psycopg.pq._pq_ctypes"), "pq", None)
    return _prototype(library)


def _prototype(library: Any) -> Any:
    function = getattr(library, "PQsetErrorVerbosity", None)
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
        function.restype = ctypes.c_int
    return function
