"""ClickHouse, as the engine that `chdb` brings behind its HTTP interface (`clickhouse_http`)."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any, ClassVar
from urllib.parse import urlencode

from cdc.testing.servers.process import HOST, ServerProcess

USER = "cdc"
PASSWORD = "cdc-secret"  # noqa: S105  (of a server that lives for one test)
ANSWER_SECONDS = 30.0


class ClickHouseServer(ServerProcess):
    """A ClickHouse with one account; its tables survive a kill."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    abandoned_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        super().__init__("ClickHouse", "cdc-clickhouse-")
        self.data.mkdir()

    def url(self, database: str = "default", port: int | None = None) -> str:
        """The URL of a sink; `port` may be that of a proxy."""
        return f"clickhouse://{USER}:{PASSWORD}@{HOST}:{port or self.port}/{database}"

    def query(self, statement: str, **settings: str) -> list[dict[str, Any]]:
        """The rows of a query, apart from the client that the sink uses."""
        parameters = urlencode({"default_format": "JSONEachRow", **settings})
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/?{parameters}",
            data=statement.encode(),
            headers={"Authorization": "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return [json.loads(line) for line in answer.read().splitlines()]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def _command(self) -> list[str]:
        program = [sys.executable, "-m", "cdc.testing.servers.clickhouse_http"]
        return [*program, str(self.port), str(self.data), f"{USER}:{PASSWORD}"]

    def _is_ready(self) -> bool:
        try:
            return self.query("select 1 as one") == [{"one": 1}]
        except (urllib.error.URLError, OSError, RuntimeError):
            return False
