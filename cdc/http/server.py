"""The HTTP service on its own thread: replication continues if the service fails."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from cdc.control.status import stamp_of
from cdc.errors import ConfigError
from cdc_config import HttpAddress, TlsSettings

if TYPE_CHECKING:
    import uvicorn

    from cdc.control.live import LiveStatus

# More wait in the queue of the socket; each costs a few kilobytes.
MAX_CONNECTIONS = 100
# Open streams end within a second; then the daemon does not wait for readers.
STOP_SECONDS = 2


class HttpService:
    """Serves one daemon. `start` once, `stop` at the end."""

    def __init__(self, live: LiveStatus, log: Callable[..., None]) -> None:
        self._live = live
        self._log = log
        self._settings = live.configuration.http
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._end: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and serve on a thread. An address in use is logged; the daemon continues without the
        service.
        """
        address = self._settings.address
        if address is None:
            return
        try:
            listening = _listen(address)
        except OSError as error:
            self._log(
                "not serving HTTP",
                level="warning",
                address=str(address),
                reason=os.strerror(error.errno) if error.errno else type(error).__name__,
                remedy="Stop what uses this address, or set http.listen to another one, and restart.",
            )
            return
        self._thread = threading.Thread(target=self._run, args=(listening, address), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; responses in progress have a moment to finish."""
        self._end()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self, listening: socket.socket, address: HttpAddress) -> None:
        # Imported here: the engine starts at the same time, and a daemon without the service never needs it.
        import uvicorn  # noqa: PLC0415

        from cdc.http.app import application  # noqa: PLC0415
        from cdc.http.controls import Controls  # noqa: PLC0415
        from cdc.http.guard import Access  # noqa: PLC0415
        from cdc.http.metrics import Metrics  # noqa: PLC0415
        from cdc.http.reads import Reads  # noqa: PLC0415

        reads = Reads(self._live)
        self._end = lambda: setattr(reads, "stopping", True)
        tls = self._settings.tls
        live = self._live
        access = Access(lambda: live.configuration.http.secret, is_local=address.is_loopback)
        config = uvicorn.Config(
            application(reads, Controls(self._live), Metrics(self._live), access),
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
            ssl_certfile=tls.cert if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ws="none",
            lifespan="off",
        )
        config.load()
        if tls and config.ssl:
            config.ssl.sni_callback = Certificate(tls, self._log).present
        self._server = uvicorn.Server(config)
        host, port = listening.getsockname()[:2]
        scheme = "https" if tls else "http"
        self._log("serving HTTP", url=f"{scheme}://{HttpAddress(host, port)}")
        with contextlib.closing(listening):
            self._server.run(sockets=[listening])


def check_tls(tls: TlsSettings | None) -> None:
    """Raise ConfigError if the certificate or its key cannot be used."""
    if tls is None:
        return
    _context(tls)


class Certificate:
    """The service's certificate, read again when its files have changed: it is renewed every few weeks."""

    def __init__(self, tls: TlsSettings, log: Callable[..., None]) -> None:
        self._tls = tls
        self._log = log
        self._stamps = self._read_stamps()
        self._renewed: ssl.SSLContext | None = None

    def present(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        """Have a connection that begins use the newest certificate. If it cannot be used, the one before
        serves on.
        """
        stamps = self._read_stamps()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._renewed = _context(self._tls)
                self._log("read the renewed certificate", file=str(self._tls.cert))
            except ConfigError as error:
                self._log(
                    "the renewed certificate is not used",
                    level="warning",
                    where=error.where,
                    error=error.message,
                    remedy=error.remedy,
                )
        if self._renewed is not None:
            connection.context = self._renewed

    def _read_stamps(self) -> tuple[str, str]:
        return stamp_of(self._tls.cert), stamp_of(self._tls.key)


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        remedy = "Write the paths of PEM files that the daemon may read, with the key of this certificate."
        raise ConfigError(
            f"the certificate cannot be used: {reason}", where="http.tls", remedy=remedy
        ) from error
    return context


def _listen(address: HttpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family)
