"""A TCP proxy between the daemon and its server that cuts, pauses, refuses and slows connections on command.

One thread a direction and connection. Nothing sleeps: pauses wait for `resume`, delays for the deadline or
the proxy's end.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Literal, Self

Direction = Literal["to_server", "to_client", "both"]
HOST = "127.0.0.1"
# One read of the proxy: small enough that a cut lands inside a large message, large enough to keep up with a
# stream.
CHUNK_BYTES = 64 * 1024
BACKLOG = 64
# With linger on and no time to linger, closing sends RST: the peer sees "connection reset", not an orderly
# end.
RESET_LINGER = struct.pack("ii", 1, 0)


class _Valve:
    """The state of one direction, shared by all connections."""

    def __init__(self) -> None:
        self.flowing = threading.Event()
        self.flowing.set()
        self.delay_seconds = 0.0
        self.delay_after_bytes = 0
        self.cut_after_bytes: int | None = None
        self.passed_bytes = 0
        self.lock = threading.Lock()

    def admit(self, size: int) -> int:
        """How many of `size` bytes may pass before a planned cut."""
        with self.lock:
            allowed = size if self.cut_after_bytes is None else min(size, self.cut_after_bytes)
            if self.cut_after_bytes is not None:
                self.cut_after_bytes -= allowed
            self.passed_bytes += allowed
            return allowed


class Proxy:
    """Listens on a port of its own and passes everything on to `port`. Close it, or use it as a context
    manager.
    """

    def __init__(self, port: int, host: str = HOST) -> None:
        self._target = (host, port)
        self._valves = {"to_server": _Valve(), "to_client": _Valve()}
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._refusing = False
        self._closed = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._pairs)

    def passed_bytes(self, direction: Literal["to_server", "to_client"]) -> int:
        """Bytes passed on in a direction since the start."""
        return self._valves[direction].passed_bytes

    def cut(self) -> int:
        """Reset every open connection now; new ones are accepted. Gives their number."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._reset(pair)
        return len(pairs)

    def cut_after(self, byte_count: int, direction: Literal["to_server", "to_client"] = "to_client") -> None:
        """Reset the connection that carries the byte after the next `byte_count` of a direction; once."""
        self._valves[direction].cut_after_bytes = byte_count

    def pause(self, direction: Direction = "both") -> None:
        """Hold all bytes of a direction; connections stay open (a network that swallows packets)."""
        for valve in self._chosen(direction):
            valve.flowing.clear()

    def resume(self, direction: Direction = "both") -> None:
        for valve in self._chosen(direction):
            valve.flowing.set()

    def delay(self, seconds: float, direction: Direction = "both", *, after_bytes: int = 0) -> None:
        """Hold each chunk for a time, on connections that have carried so many bytes; 0 seconds end it."""
        for valve in self._chosen(direction):
            valve.delay_seconds, valve.delay_after_bytes = seconds, after_bytes

    def refuse(self, *, cut: bool = True) -> None:
        """Reset new connections at once (a server that is down), and the open ones too unless told not to."""
        self._refusing = True
        if cut:
            self.cut()

    def accept(self) -> None:
        """Accept connections again after `refuse`."""
        self._refusing = False

    def close(self) -> None:
        """Stop listening and reset everything. May be called twice."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.resume()
        self.cut()

    def _chosen(self, direction: Direction) -> list[_Valve]:
        return list(self._valves.values()) if direction == "both" else [self._valves[direction]]

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        if self._refusing:
            _reset_socket(client)
            return
        try:
            server = socket.create_connection(self._target)
        except OSError:
            _reset_socket(client)
            return
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        for name, source, target in (("to_server", client, server), ("to_client", server, client)):
            arguments = (source, target, self._valves[name], pair)
            threading.Thread(target=self._pump, args=arguments, name=f"proxy-{name}", daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        valve: _Valve,
        pair: tuple[socket.socket, socket.socket],
    ) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            for chunk in _chunks(source):
                if valve.delay_seconds and carried >= valve.delay_after_bytes:
                    self._closed.wait(valve.delay_seconds)
                carried += len(chunk)
                valve.flowing.wait()
                allowed = valve.admit(len(chunk))
                target.sendall(chunk[:allowed])
                if allowed < len(chunk):
                    valve.cut_after_bytes = None
                    break
        self._reset(pair)

    def _reset(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.discard(pair)
        for end in pair:
            _reset_socket(end)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    while chunk := source.recv(CHUNK_BYTES):
        yield chunk


def _reset_socket(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # Wakes the other direction's thread, which blocks in recv.
    end.close()
