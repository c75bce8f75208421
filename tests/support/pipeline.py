"""A whole pipeline in a folder: a database into a Parquet lake and a DuckDB mirror, run as the daemon that
users run.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow.parquet as pq
import yaml

from cdc_source_postgres.wire.messages import lsn_int
from tests.support.mysql.server import MysqlServer
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

SOURCE = "shop"
# Short, so that a test sees many deliveries and a kill finds one under way.
FLUSH_INTERVAL = "200ms"


class Pipeline:
    """The configuration, its folders, and the daemon's processes, on Postgres. `url` may lead through a
    proxy.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        url: str | None = None,
        tables: str | Sequence[str] = "app.*",
        source_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.database = database
        patterns = [tables] if isinstance(tables, str) else list(tables)
        source = {"type": "postgres", "url": url or database.url, "tables": patterns}
        self._create(folder, {**source, **(source_options or {})})

    def _create(self, folder: Path, source: Mapping[str, Any]) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        self.mirror = folder / "warehouse.duckdb"
        self.target: Path | Database = self.mirror
        """What holds the mirror."""
        self.log_path = folder / "daemon.log"
        self._config: dict[str, Any] = {
            "state_dir": "./state",
            "sources": {SOURCE: dict(source)},
            "sinks": {
                "lake": {
                    "type": "parquet",
                    "from": [SOURCE],
                    "url": "./lake",
                    "flush": {"interval": FLUSH_INTERVAL},
                },
                "warehouse": {
                    "type": "duckdb",
                    "from": [SOURCE],
                    "path": "./warehouse.duckdb",
                    "flush": {"interval": FLUSH_INTERVAL},
                },
            },
        }
        self._write()

    def _write(self) -> None:
        (self.folder / "cdc.yaml").write_text(yaml.safe_dump(self._config), encoding="utf-8")

    def configure(self, **options: Any) -> None:
        """Change options of the source, for the next start."""
        self._config["sources"][SOURCE].update(options)
        self._write()

    def serve(self, **options: Any) -> None:
        """Set options of the HTTP service, for the next start."""
        self._config["http"] = options
        self._write()

    def configure_sink(self, name: str, **options: Any) -> None:
        """Change options of a sink, for the next start."""
        self._config["sinks"][name].update(options)
        self._write()

    def remove_sink(self, name: str) -> None:
        """Leave out a sink, for the next start."""
        del self._config["sinks"][name]
        self._write()

    def add_duckdb(self, name: str, **options: Any) -> Path:
        """One more DuckDB sink; the path of its file."""
        path = self.folder / f"{name}.duckdb"
        sink = {"type": "duckdb", "from": [SOURCE], "path": str(path), "flush": {"interval": FLUSH_INTERVAL}}
        self._config["sinks"][name] = sink | options
        self._write()
        return path

    def add_sink(self, name: str, **options: Any) -> None:
        """One more sink, for the next start."""
        self._config["sinks"][name] = {"from": [SOURCE], "flush": {"interval": FLUSH_INTERVAL}} | options
        self._write()

    def mirror_into(self, database: Database, **options: Any) -> None:
        """Keep the mirror in a Postgres database instead of a DuckDB file."""
        self.target = database
        self._config["sinks"]["warehouse"] = {
            "type": "postgres",
            "from": [SOURCE],
            "url": database.url,
            "flush": {"interval": FLUSH_INTERVAL},
        } | options
        self._write()

    @property
    def _status_path(self) -> Path:
        return self.folder / "state" / "status.json"

    @property
    def slot(self) -> str:
        return f"cdc_{SOURCE}"

    def run_once(self) -> subprocess.CompletedProcess[str]:
        """`cdc run --once`, however it ends."""
        return run_cdc("run", "--once", cwd=self.folder)

    def start(self, environment: Mapping[str, str] | None = None) -> CdcProcess:
        """`cdc run`; all starts share one log file."""
        # What an earlier process said would be taken for this one's word.
        self._status_path.unlink(missing_ok=True)
        return CdcProcess("run", cwd=self.folder, environment=environment, log=self.log_path)

    def stand_by(self, environment: Mapping[str, str] | None = None) -> CdcProcess:
        """`cdc run --standby`, with a log file of its own."""
        return CdcProcess("run", "--standby", cwd=self.folder, environment=environment)

    def catch_up(self) -> None:
        """`cdc run --once` to its end, which must be a good one."""
        result = run_cdc("run", "--once", cwd=self.folder)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"[-6000:]

    def status(self) -> dict[str, Any]:
        """What the daemon last said about itself; empty before its first word."""
        try:
            document: dict[str, Any] = orjson.loads(self._status_path.read_bytes())
        except FileNotFoundError:
            return {}
        return document

    def sink_status(self, name: str) -> dict[str, Any]:
        """The status of one sink; empty before the daemon's first word."""
        pairs = self.status().get("sinks", {}).get(name, [])
        found: dict[str, Any] = pairs[0] if pairs else {}
        return found

    def wait_until_streaming(
        self, process: CdcProcess, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS, *, copied: bool = True
    ) -> None:
        """Until changes flow and, unless told otherwise, all tables are copied (one must have rows)."""

        def streaming() -> bool:
            process.assert_running()
            source = self.status().get("sources", {}).get(SOURCE, {})
            is_copying = copied and (source.get("snapshot") or source.get("waiting_tables"))
            return source.get("state") == "streaming" and source.get("offset", 0) > 0 and not is_copying

        wait_until(streaming, "the daemon to stream", timeout_seconds)

    def wait_until_delivered(
        self, process: CdcProcess, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """Until everything committed up to now is in the log and every sink has it."""
        target = self.database.value("select pg_current_wal_flush_lsn()::text")
        wait_until(lambda: self.confirmed(target), "the log to have everything", timeout_seconds)

        def delivered() -> bool:
            process.assert_running()
            status = self.status()
            # A status from before the log had everything says nothing of the sinks.
            reached = status.get("sources", {}).get(SOURCE, {}).get("position")
            if reached is None or lsn_int(reached) < lsn_int(target):
                return False
            pairs = [status.get("sinks", {}).get(name) for name in self._config["sinks"]]
            return all(found and found[0].get("behind_changes") == 0 for found in pairs)

        wait_until(delivered, "every sink to have everything", timeout_seconds)

    def confirmed(self, lsn: str) -> bool:
        """Whether the slot has been told that everything before `lsn` is safe."""
        statement = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s"
        rows = self.database.query(statement, [lsn, self.slot])
        return bool(rows and rows[0][0])

    def wait_until_retrying(self, process: CdcProcess) -> None:
        """Until the source is reported to be unreachable."""

        def retrying() -> bool:
            process.assert_running()
            return self.status().get("sources", {}).get(SOURCE, {}).get("state") == "retrying"

        wait_until(retrying, "the source to be retried")

    def mirror_value(self, statement: str) -> Any:
        """One value from the mirror; no daemon may run."""
        with duckdb.connect(str(self.mirror), read_only=True) as connection:
            rows = connection.execute(statement).fetchall()
        return rows[0][0]

    def mirror_rows(self, table: str) -> int:
        return int(self.mirror_value(f"select count(*) from {table}"))

    def lake_rows(self, table: str) -> int:
        """Rows of a table's history in the lake."""
        files = (self.lake / table).rglob("*.parquet")
        return sum(pq.ParquetFile(path).metadata.num_rows for path in files)


class MysqlPipeline(Pipeline):
    """The same on MySQL or MariaDB; what asks a Postgres server (slots, LSNs) is not for it."""

    def __init__(
        self,
        server: MysqlServer,
        folder: Path,
        *,
        url: str | None = None,
        tables: Sequence[str] = ("app.*", "!app._*"),
        source_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.server = server
        source = {"type": "mysql", "url": url or server.url(), "tables": list(tables)}
        self._create(folder, {**source, **(source_options or {})})
