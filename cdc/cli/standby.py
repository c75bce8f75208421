"""`cdc run --standby`: waits for the lock of `state_dir`, and takes over when its holder ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cdc.cli.logging import Log
from cdc.cli.service import NotifySender
from cdc.control import storage
from cdc.control.differences import refusals
from cdc.control.problems import REFUSED, log_problems
from cdc.errors import CdcError, StateHeld
from cdc.spi import State
from cdc_config import Configuration, InvalidConfig

# A takeover within 5 s has to open the logs and connect too. One look is two system calls.
POLL_SECONDS = 0.5


class Standby:
    """One process that waits. `load` loads its file as at the start."""

    def __init__(
        self, configuration: Configuration, load: Callable[[], Configuration], log: Log, sender: NotifySender
    ) -> None:
        self._configuration = configuration
        self._load = load
        self._log = log
        self._sender = sender
        self._store = storage.state(configuration)
        self._stop = threading.Event()
        self._is_asked_to_reload = False
        self._holder = ""

    def stop(self) -> None:
        """End the wait; safe in a signal handler."""
        self._stop.set()

    def reload(self) -> None:
        """Reread the file soon; safe in a signal handler."""
        self._is_asked_to_reload = True

    def wait(self) -> tuple[Configuration, State] | None:
        """Return the state, locked, and the configuration to run; None if stopped before.

        Raises:
            StateError: the state cannot be used, or is of a newer version.
        """
        if self._store.status() is not None:
            # A state of a newer version is refused now, not when it is needed.
            self._store.reader().close()
        state = self._try()
        if state is not None:
            return self._configuration, state
        with self._store.standing_by():
            while state is None and not self._stop.wait(POLL_SECONDS):
                if self._is_asked_to_reload:
                    self._is_asked_to_reload = False
                    self._refresh()
                # Without a service manager, no process listens.
                self._sender.send("WATCHDOG=1")
                state = self._try()
        if state is None:
            self._log("stopped while waiting")
            return None
        self._log("taking over", after=self._holder)
        self._refresh()
        return self._configuration, state

    def _try(self) -> State | None:
        try:
            return self._store.open()
        except StateHeld as error:
            if error.message != self._holder:
                self._holder = error.message
                self._log("standing by", reason=error.message, state_dir=str(self._configuration.state_dir))
                self._sender.send("READY=1", f"STATUS=Standing by: {error.message}.")
            return None

    def _refresh(self) -> None:
        """Use the file as it is now, if it can be used."""
        try:
            new = self._load()
            refused = refusals(self._configuration, new)
            if refused:
                raise InvalidConfig(refused)
        except CdcError as error:
            log_problems(self._log, REFUSED, error.problems)
            return
        self._configuration = new
