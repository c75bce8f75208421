"""deploy/cdc@.service under a real systemd, process 1 of a container, installed as docs/deploying.md says."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.architecture.tree import ROOT
from tests.container import stand_ins
from tests.container.conftest import TAG
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

UNIT = "cdc@shop"
CONFIG = "/etc/cdc/shop/cdc.yaml"
# What a systemd needs beyond a container's own, and some engines cannot give all of --privileged.
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "AUDIT_WRITE", "SETFCAP", "DAC_READ_SEARCH"]
UNCONFINED = ["seccomp=unconfined", "apparmor=unconfined"]
LATER_SINK = "\n  lake:\n    type: parquet\n    url: ${STATE_DIRECTORY:-/var/lib/cdc/shop}/lake\n"
SOON = "[Service]\nWatchdogSec=6s\nRestartSec=1s\n"


class Machine:
    """A container whose process 1 is systemd."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def run(self, command: str, *, check: bool = True) -> str:
        code, output = self._container.exec_run(["sh", "-c", command])
        text: str = output.decode()
        assert code == 0 or not check, text
        return text.strip()

    def fails(self, command: str) -> str:
        code, output = self._container.exec_run(["sh", "-c", command])
        assert code != 0
        text: str = output.decode()
        return text

    def show(self, name: str) -> str:
        return self.run(f"systemctl show {UNIT} --property {name} --value")

    def journal(self) -> str:
        return self.run(f"journalctl --no-pager --output cat --unit {UNIT}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), mode
            tar.addfile(entry, io.BytesIO(text.encode()))
        assert self._container.put_archive("/", archive.getvalue())


@pytest.fixture(scope="module")
def machine(image: Any, docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    name = stand_ins.systemd(docker_client, TAG, tmp_path_factory.mktemp("systemd"))
    container = docker_client.api.create_container(
        name,
        host_config=docker_client.api.create_host_config(
            network_mode="host",
            cap_add=CAPABILITIES,
            security_opt=UNCONFINED,
            binds=["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
            tmpfs={"/run": "exec", "/run/lock": "", "/tmp": ""},
        )
        | {"CgroupnsMode": "host", "MaskedPaths": [], "ReadonlyPaths": []},
    )
    started = docker_client.containers.get(container["Id"])
    started.start()
    try:
        machine = Machine(started)
        wait_until(
            lambda: machine.run("systemctl is-system-running", check=False) in ("running", "degraded"),
            "systemd to have started",
        )
        yield machine
    finally:
        started.remove(force=True, v=True)


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Machine:
    """The machine after the steps of docs/deploying.md."""
    machine.run("useradd --system --home-dir /var/lib/cdc --shell /usr/sbin/nologin cdc")
    machine.write("/etc/systemd/system/cdc@.service", (ROOT / "deploy/cdc@.service").read_text("utf-8"))
    machine.run("install -d -m 755 /etc/cdc/shop && systemctl daemon-reload")
    return machine


@pytest.fixture
def service(installed: Machine, database18: Database) -> Iterator[Machine]:
    """The service, started on a database with 100 orders, with the configuration of config/examples."""
    rows = "insert into orders select generate_series(1, 100)"
    database18.execute("create table orders (id int primary key)", rows)
    installed.write("/etc/cdc/shop/source_url", f"{database18.url}\n", 0o600)
    installed.write(CONFIG, (ROOT / "config/examples/systemd.yaml").read_text("utf-8"))
    installed.run(f"systemctl enable --now {UNIT}")
    yield installed
    installed.run(f"systemctl stop {UNIT}; rm -rf /var/lib/cdc/shop /etc/systemd/system/{UNIT}.service.d")
    installed.run(f"systemctl daemon-reload; systemctl reset-failed {UNIT}", check=False)


def wait_for_status(machine: Machine, words: str) -> None:
    wait_until(lambda: words in machine.show("StatusText"), f"{words!r} in the unit's status")


def test_service_reports_reloads_and_ends_in_order(service: Machine) -> None:
    assert service.show("ActiveState") == "active"
    wait_for_status(service, "All is well")
    # No secret is needed to look, nor in any environment.
    assert "running as process" in service.run(f"/opt/cdc/bin/cdc status --config {CONFIG}")
    process = service.show("MainPID")
    assert "postgres" not in service.run(f"tr '\\0' '\\n' </proc/{process}/environ")

    good = (ROOT / "config/examples/systemd.yaml").read_text("utf-8") + LATER_SINK
    service.write(CONFIG, good)
    service.run(f"systemctl reload {UNIT}")
    assert "sinks.lake added" in service.journal()
    service.write(CONFIG, good.replace("parquet", "parkay"))
    service.fails(f"systemctl reload {UNIT}")
    assert "there is no sink type 'parkay'" in service.journal()
    assert (service.show("ActiveState"), service.show("MainPID")) == ("active", process)

    service.run(f"systemctl stop {UNIT}")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")


def test_service_that_was_killed_or_hangs_is_started_again(service: Machine) -> None:
    service.write(f"/etc/systemd/system/{UNIT}.service.d/soon.conf", SOON)
    service.run(f"systemctl daemon-reload && systemctl restart {UNIT}")
    wait_for_status(service, "All is well")
    service.run(f"systemctl kill --signal KILL {UNIT}")
    wait_until(lambda: service.show("NRestarts") == "1", "the service to be started again")
    wait_for_status(service, "All is well")
    service.run(f"kill -STOP {service.show('MainPID')}")
    wait_until(lambda: service.show("NRestarts") == "2", "the watchdog to have the service started again")
    assert "Watchdog timeout" in service.journal()
    wait_for_status(service, "All is well")


def test_invalid_configuration_is_not_started_again_and_again(service: Machine) -> None:
    service.write(CONFIG, "sources: {}\n")
    service.fails(f"systemctl restart {UNIT}")
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "2")
    assert service.show("NRestarts") == "0"


def test_service_exposes_little_where_it_runs(service: Machine) -> None:
    text = service.run(f"systemd-analyze security --no-pager {UNIT}")
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", text)
    assert float(level) <= 2.0
