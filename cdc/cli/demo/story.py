"""The demo from empty folder to proof, with live progress on the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cdc.cli.demo.checksums import Checksum
from cdc.cli.demo.daemon import Daemon, poll
from cdc.cli.demo.lakes import DemoLake
from cdc.cli.demo.mirrors import DemoMirror
from cdc.cli.demo.proof import TableProof, prove
from cdc.cli.demo.server import DemoFailed, DemoServer
from cdc.cli.demo.shop import CONFIG, Shop
from cdc.cli.demo.workload import Workload

DRAW_SECONDS = 0.25
# Each step must get there in this time, on two slow cores; else the demo says what it waited for.
STEP_TIMEOUT_SECONDS = 90.0
MARKER = ".cdc-demo"


class Targets(NamedTuple):
    """The two copies of the demo."""

    mirror: DemoMirror
    lake: DemoLake


def run_demo(
    make_server: Callable[[], DemoServer], targets: Targets, folder: Path, console: Console, shop: Shop
) -> None:
    """Run the whole story in `folder`; raises DemoFailed when something is not equal."""
    began = time.monotonic()
    mirror, lake = targets
    _check_folder(folder)
    with make_server() as server, mirror, lake:
        # Only now: what is missing here must not cost an earlier demo's copies.
        _make_folder(folder)
        _fill(server, shop, console)
        variables = {"DEMO_URL": server.url, **mirror.environment, **lake.environment}
        daemon = Daemon(folder / "cdc.yaml", folder / "state", folder / "daemon.log", variables)
        config = CONFIG.format(
            source=server.connector,
            example_url=server.example_url,
            schema=server.schema,
            mirror=_lines(mirror.options),
            place=_lines(lake.options),
        )
        (folder / "cdc.yaml").write_text(config)
        workload = Workload(server, shop)
        _Story(console, daemon, workload, server, shop).play()
        lake.collect(folder / "lake")
        console.print(
            f"\n[bold]Proof[/]: source, {mirror.title} mirror, and the lake replayed in _cdc_seq order"
        )
        checked = prove(server, mirror, folder / "lake")
        _show(checked, console)
    if not checked or not all(verdict.is_equal for verdict in checked):
        raise DemoFailed(
            "the copies are not equal",
            where=str(folder),
            remedy="Please report this, with the folder's daemon.log",
        )
    console.print(f"\n[bold green]All equal[/], after {time.monotonic() - began:.0f} s and one kill -9.")
    _next_steps(server, mirror, folder, console)


class _Story:
    """The steps between a filled source and a stopped daemon."""

    def __init__(
        self, console: Console, daemon: Daemon, workload: Workload, server: DemoServer, shop: Shop
    ) -> None:
        self._console = console
        self._daemon = daemon
        self._workload = workload
        self._server = server
        self._shop = shop
        self._peak_mib = 0.0
        self._step = ""
        # The source's position when the current step first asked for it; 0 before that.
        self._target = 0

    def play(self) -> None:
        try:
            with Live(self._draw(), console=self._console, refresh_per_second=4, transient=True) as live:
                self._live = live
                code = self._run()
        finally:
            self._daemon.kill()
        if code != 0:
            raise DemoFailed(f"the daemon ended with exit code {code}", remedy=self._daemon.log_tail())
        self._console.print(
            f"peak memory of the daemon: {self._peak_mib:.0f} MiB; "
            f"{self._workload.transactions:,} small transactions"
        )

    def _run(self) -> int:
        self._daemon.start()
        self._workload.start()
        try:
            self._turns()
        finally:
            self._workload.stop()
        self._until(
            "the workload has stopped: waiting until both sinks have its last commit", self._caught_up
        )
        self._say("stopping the daemon with SIGTERM")
        return self._daemon.stop()

    def _turns(self) -> None:
        self._until("copying the tables while the shop is open", self._copied)
        self._for(self._shop.watch_seconds, "following the shop, live")
        self._workload.change_schema()
        self._for(self._shop.watch_seconds, "the shop added a column with a default, and a table")
        self._say(f"one transaction of {self._shop.bulk_rows:,} rows")
        self._workload.bulk()
        self._until("… and the daemon captures it", self._is_applying)
        self._say("kill -9")
        self._daemon.kill()
        self._for(1.0, "the daemon is dead, the shop keeps writing")
        self._daemon.start()
        self._until("started again: catching up", self._caught_up)
        self._for(self._shop.watch_seconds, "following the shop, live")

    def _copied(self) -> bool:
        source = self._source()
        return (
            source.get("state") == "streaming"
            and source.get("rows", 0) > self._shop.rows * 9 // 10
            and not source.get("snapshot")
            and self._near()
        )

    def _near(self) -> bool:
        sinks = self._sinks()
        return bool(sinks) and all(sink["behind_changes"] < 50_000 for sink in sinks)

    def _is_applying(self) -> bool:
        """A sink has much of it before itself, or (of a small one) all was too quick to be seen."""
        ahead = self._shop.bulk_rows // 4
        return any(sink["behind_changes"] > ahead for sink in self._sinks()) or self._caught_up()

    def _caught_up(self) -> bool:
        """Both sinks hold what the source had committed when we asked."""
        if not self._target:
            self._target = self._server.written()
        source = self._source()
        if not self._reached(source.get("position")) or source.get("waiting_tables"):
            return False
        sinks = self._sinks()
        return bool(sinks) and all(s["behind_changes"] == 0 or self._reached(s["position"]) for s in sinks)

    def _reached(self, position: str | None) -> bool:
        return bool(position) and self._server.order(str(position)) >= self._target

    def _until(self, step: str, condition: Callable[[], bool]) -> None:
        self._target = 0
        self._say(step)
        deadline = time.monotonic() + STEP_TIMEOUT_SECONDS
        while not condition():
            if not self._daemon.is_running():
                raise DemoFailed("the daemon exited unexpectedly", remedy=self._daemon.log_tail())
            if time.monotonic() > deadline:
                raise DemoFailed(f"timed out: {step}", remedy=self._daemon.log_tail())
            self._tick()

    def _for(self, seconds: float, step: str) -> None:
        self._say(step)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._tick()

    def _say(self, step: str) -> None:
        self._step = step
        self._live.console.print(f"[dim]·[/] {step}")

    def _tick(self) -> None:
        self._peak_mib = max(self._peak_mib, self._daemon.resident_mib())
        self._live.update(self._draw())
        poll(DRAW_SECONDS)

    def _source(self) -> dict[str, Any]:
        return dict(self._daemon.status().get("sources", {}).get("shop", {}))

    def _sinks(self) -> list[dict[str, Any]]:
        return [pair for pairs in self._daemon.status().get("sinks", {}).values() for pair in pairs]

    def _draw(self) -> Table:
        table = Table(box=None, pad_edge=False, title=f"[bold]{self._step}[/]", title_justify="left")
        for heading in ("", "state", "rows/s", "rows", "behind", "position"):
            table.add_column(
                heading, justify="left" if heading in ("", "state", "position") else "right", min_width=9
            )
        status = self._daemon.status()
        for name, source in status.get("sources", {}).items():
            behind = source["behind_bytes"]
            table.add_row(
                f"source {name}",
                _state(source),
                f"{source['rows_per_second']:,.0f}",
                f"{source['rows']:,}",
                f"{behind / 1024:,.0f} KiB" if behind is not None else "",
                _place(source["position"]),
            )
        for name, pairs in status.get("sinks", {}).items():
            for sink in pairs:
                seconds = sink["behind_seconds"]
                lag = f"{sink['behind_changes']:,}" + (f" ({seconds:.1f} s)" if seconds else "")
                rate, rows = f"{sink['rows_per_second']:,.0f}", f"{sink['rows']:,}"
                table.add_row(f"sink {name}", sink["state"], rate, rows, lag, _place(sink["position"]))
        return table


def _state(source: dict[str, Any]) -> str:
    snapshot = source.get("snapshot")
    if not snapshot:
        return str(source["state"])
    return f"snapshot {snapshot['tables_done']}/{snapshot['tables']} tables, {snapshot['rows']:,} rows"


def _place(position: str | None) -> str:
    """Without the set of GTIDs that MySQL and MariaDB add to it."""
    return (position or "").split(" ")[0]


def _check_folder(folder: Path) -> None:
    if folder.exists() and not (folder / MARKER).exists():
        raise DemoFailed(
            "no earlier demo created this folder",
            where=str(folder),
            remedy="Name another folder with --folder",
        )


def _make_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def _lines(options: Mapping[str, str]) -> str:
    return "\n".join(f"    {name}: {value}" for name, value in options.items())


def _fill(server: DemoServer, shop: Shop, console: Console) -> None:
    with console.status(f"filling a shop on an embedded {server.title}: {shop.rows:,} rows in 4 tables"):
        began = time.monotonic()
        server.fill(shop)
    console.print(
        f"[dim]·[/] a shop of {shop.rows:,} rows in 4 tables on an embedded {server.title}, "
        f"made in {time.monotonic() - began:.0f} s"
    )


def _show(verdicts: list[TableProof], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("table", "rows", "checksum", "mirror", "lake"):
        table.add_column(heading, justify="right" if heading == "rows" else "left", no_wrap=True)
    for v in verdicts:
        mirror, lake = (_compared(copy, v.source) for copy in (v.mirror, v.lake))
        table.add_row(v.table, f"{v.source.rows:,}", v.source.digits, mirror, lake)
    console.print(table)


def _compared(copy: Checksum, source: Checksum) -> str:
    return "[green]equal[/]" if copy == source else f"[red]{copy.rows:,} {copy.digits}[/]"


def _next_steps(server: DemoServer, mirror: DemoMirror, folder: Path, console: Console) -> None:
    scheme = server.example_url.partition(":")[0]
    command = f"{_own_name()} {{}} --config {folder}/cdc.yaml"
    console.print(
        f"""
  mirror  {mirror.place}
  lake    {folder}/lake/{server.schema}.orders/**/*.parquet
  config  {folder}/cdc.yaml, the daemon's log: {folder}/daemon.log

Three commands to try next:
  {command.format(f"tail --table {server.schema}.customers --limit 3")}
  {command.format("checkpoints")}
  {command.format("log list")}
and for your own database:
  {_own_name()} init {scheme}://user@host/database""",
        highlight=False,
        soft_wrap=True,
    )


def _own_name() -> str:
    """How this command was called, so that the lines can be pasted."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "cdc" else "cdc"
