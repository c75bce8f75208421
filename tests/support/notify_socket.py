"""The service manager's end of sd_notify: a datagram socket that a process under test reports to."""

from __future__ import annotations

import socket
from typing import Self

from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS


class NotifySocket:
    """`name` is what NOTIFY_SOCKET says; `@` at its beginning makes the socket abstract."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.settimeout(DEFAULT_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def receive(self) -> dict[str, str]:
        """Wait for the next message, and return its fields."""
        lines = self._socket.recv(65536).decode().split("\n")
        message = dict(line.split("=", 1) for line in lines)
        self.received.append(message)
        return message

    def wait_for(self, key: str, text: str) -> dict[str, str]:
        """Return a message whose field `key` contains `text`, come already or next: two threads report."""
        come = iter(self.received[:])
        while True:
            message = next(come, None) or self.receive()
            if text in message.get(key, ""):
                return message
