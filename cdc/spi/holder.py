"""Identity of the process that holds a deployment's state, on whatever machine it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class StateHolder:
    """One opening of a state: the machine's name, the process there, and a token of this opening."""

    host: str
    pid: int
    token: str

    @classmethod
    def here(cls) -> Self:
        """Return a new identity for this process."""
        return cls(os.uname().nodename, os.getpid(), os.urandom(16).hex())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the holder that `text` wrote; None for any other text, such as that of an older version."""
        parts = text.split(" ")
        return cls(parts[0], int(parts[1]), parts[2]) if len(parts) == 3 and parts[1].isdecimal() else None

    @property
    def text(self) -> str:
        return f"{self.host} {self.pid} {self.token}"

    @property
    def local_pid(self) -> int:
        """The process on this machine; 0 if the holder runs on another one."""
        return self.pid if self.host == os.uname().nodename else 0
