"""The threads of the campaign: writers that follow whatever the schema is, and the one that migrates."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

MOST_OPERATIONS = 5
ROLLBACK_EVERY = 20
WRITER_PAUSE_SECONDS = 0.01
MIGRATOR_PAUSE_SECONDS = 0.4
# Between two statements of a migration that is not one transaction.
STATEMENT_PAUSES = (0, 0, 0.05, 0.3)
# One migration in so many is one transaction, where its statements allow it.
TOGETHER_EVERY = 2
# Names that the migrator gives to columns, tables, labels and constraints.
PREFIX = "m"
# A step of a recipe that is no statement: rows of the migration's own.
WRITE = "write"


class Refused(Exception):
    """The server refused a statement: the table changed since the look at it, or another was in the way."""


class Session(Protocol):
    """One connection. Whatever the server refuses is raised as `Refused`, and the transaction is undone."""

    def operate(self, rng: random.Random) -> None:
        """One random change of a random table, in the open transaction."""

    def run(self, statement: str) -> None:
        """Run one statement of a migration."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Following(threading.Thread, ABC):
    """A thread on a connection of its own until stopped; `error` holds what must not happen."""

    def __init__(self, name: str, seed: int, pause_seconds: float) -> None:
        super().__init__(name=f"{name}-{seed}", daemon=True)
        self.rng = random.Random(seed)
        self.stopping = threading.Event()
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._pause_seconds = pause_seconds

    @abstractmethod
    def connect(self) -> Session: ...

    @abstractmethod
    def step(self, session: Session) -> None: ...

    def finish(self) -> None:
        """Called once at the end."""

    def stop(self) -> None:
        self.stopping.set()

    def run(self) -> None:
        try:
            session = self.connect()
            while not self.stopping.wait(self._pause_seconds):
                self.step(session)
            session.close()
            self.finish()
        except BaseException as error:
            self.error = error
            raise


class FollowingWriter(Following):
    """One application: transactions of a few random changes."""

    def __init__(self, seed: int) -> None:
        super().__init__("writer", seed, WRITER_PAUSE_SECONDS)

    def step(self, session: Session) -> None:
        try:
            for _ in range(self.rng.randint(1, MOST_OPERATIONS)):
                session.operate(self.rng)
            if self.rng.randrange(ROLLBACK_EVERY) == 0:
                session.rollback()
                return
            session.commit()
            self.done["transaction"] += 1
        except Refused:
            session.rollback()


class Migrator(Following):
    """Draws recipes by weight; `done` counts those that were run to their end, by their first statement."""

    weights: Mapping[str, int]
    recipes: Mapping[str, Sequence[Sequence[str]]]

    def __init__(self, seed: int) -> None:
        super().__init__("migrator", seed, MIGRATOR_PAUSE_SECONDS)
        self._serial = 0

    @abstractmethod
    def names(self, session: Session, kind: str) -> dict[str, Any] | None:
        """What the placeholders of a recipe stand for; None when there is nothing to do it to."""

    @abstractmethod
    def is_transactional(self, statements: Sequence[str]) -> bool:
        """Whether the statements may be one transaction."""

    def ran(self, statement: str) -> None:
        """Called for each statement that the server took."""

    def step(self, session: Session) -> None:
        kind = self.rng.choices(list(self.weights), weights=list(self.weights.values()))[0]
        recipe = self.rng.choice(self.recipes[kind])
        names = self.names(session, kind)
        if names is None:
            return
        statements = [statement.format(**names) for statement in recipe]
        together = self.rng.randrange(TOGETHER_EVERY) == 0 and self.is_transactional(statements)
        try:
            self._run(session, statements, together=together)
            self.done[recipe[0]] += 1
        except Refused:
            # What fails half way stays half done, as in real life.
            session.rollback()

    def _run(self, session: Session, statements: Sequence[str], *, together: bool) -> None:
        for statement in statements:
            if statement == WRITE or (together and self.rng.randrange(3) == 0):
                session.operate(self.rng)
            if statement != WRITE:
                session.run(statement)
                self.ran(statement)
            if not together:
                session.commit()
                self.stopping.wait(self.rng.choice(STATEMENT_PAUSES))
        session.commit()

    def fresh(self) -> str:
        self._serial += 1
        return f"{PREFIX}{self._serial}"
