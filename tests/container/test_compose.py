"""deploy/compose, and the compose.yaml of `cdc init --compose`, brought up by the engine's own tool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from cdc.testing.ports import free_port
from cdc.testing.servers.process import HOST
from tests.architecture.tree import ROOT
from tests.container import stand_ins
from tests.container.conftest import TAG
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PASSWORD = "compose-secret"
FOLDER = ROOT / "deploy/compose"
# What the documentation runs in the daemon's container to read the lake.
READ = re.findall(
    r"docker compose exec -T cdc python - <<'END'\n(.*?)^END$",
    (ROOT / "docs/deploying.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)[0]


class Project:
    """What one compose.yaml starts, under a name of its own."""

    def __init__(self, name: str, folder: Path, override: Path, environment: Mapping[str, str]) -> None:
        files = ["-f", str(folder / "compose.yaml"), "-f", str(override)]
        self._command = [*_program(), "-p", name, *files]
        self._environment = {**os.environ, **environment}

    def __call__(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def cdc(self, *arguments: str) -> str:
        return self("exec", "-T", "cdc", "cdc", *arguments, check=False)

    def follows(self) -> bool:
        """Whether the daemon streams, and its sinks have everything."""
        text = self.cdc("status", "--json")
        if not text.startswith("{"):
            return False
        status = orjson.loads(text)
        pairs = [pair for pairs in status["sinks"].values() for pair in pairs]
        states = [source["state"] for source in status["sources"].values()]
        return states == ["streaming"] and all(pair.get("behind_changes") == 0 for pair in pairs)


def _program() -> list[str]:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker compose here: apt-get install docker-compose")
    return ["docker-compose"]


@pytest.fixture
def override(tmp_path: Path) -> Path:
    """The image that the tests built, in place of the one that `up --build` would build."""
    file = tmp_path / "override.yaml"
    file.write_text(yaml.safe_dump({"services": {"cdc": {"image": TAG}}}), "utf-8")
    return file


@pytest.fixture
def trial(image: Any, docker_client: Any, tmp_path: Path, override: Path) -> Iterator[Project]:
    for number, name in enumerate((stand_ins.POSTGRES, stand_ins.SEAWEEDFS)):
        build = tmp_path / str(number)
        build.mkdir()
        stand_ins.official(docker_client, name, build)
    project = Project("cdc-compose-tests", FOLDER, override, {"CDC_PASSWORD": PASSWORD})
    yield project
    project("down", "--volumes", "--timeout", "0")


def psql(trial: Project, statement: str) -> None:
    server = ("exec", "-T", "-e", f"PGPASSWORD={PASSWORD}", "postgres")
    trial(*server, "psql", "-h", "127.0.0.1", "-U", "cdc", "-d", "shop", "-c", statement)


def test_trial_copies_postgres_into_a_bucket_and_survives_restarts_of_all(trial: Project) -> None:
    trial("up", "--detach", "--no-build")
    ready = ("exec", "-T", "postgres", "pg_isready", "-h", "127.0.0.1")
    wait_until(lambda: "accepting" in trial(*ready, check=False), "Postgres to accept connections")
    psql(trial, "create table orders (id int primary key); insert into orders select generate_series(1, 100)")
    wait_until(lambda: lake_rows(trial) == 100, "the lake to have the table")
    trial("restart", "cdc")
    psql(trial, "insert into orders select generate_series(101, 200)")
    trial("restart", "postgres")
    wait_until(lambda: lake_rows(trial) == 200, "the lake to have the later rows")
    trial("restart", "seaweedfs")
    psql(trial, "insert into orders select generate_series(201, 300)")
    wait_until(lambda: lake_rows(trial) == 300, "the lake to have the rows after its own restart")
    wait_until(trial.follows, "the daemon to follow")
    assert PASSWORD not in trial("logs", "cdc")


def lake_rows(trial: Project) -> int:
    """How many rows of public.orders the lake has. While it is down, or has no such table: 0."""
    return trial("exec", "-T", "cdc", "python", "-c", READ, check=False).count("'id'")


def test_compose_file_of_init_runs_its_configuration(
    image: Any, database18: Database, tmp_path: Path, override: Path
) -> None:
    database18.execute("create table orders (id int primary key)", "insert into orders values (1), (2)")
    folder = tmp_path / "init"
    folder.mkdir()
    written = run_cdc("init", "--compose", cwd=folder, environment={"CDC_SOURCE_URL": database18.url})
    assert written.returncode == 0, written.stderr
    document = yaml.safe_load(override.read_text("utf-8"))
    # The database server of the tests listens on loopback only.
    alone = {"network_mode": "host", "environment": {"CDC_HTTP": f"{HOST}:{free_port(HOST)}"}}
    document["services"]["cdc"] |= alone
    override.write_text(yaml.safe_dump(document), "utf-8")
    (variable,) = re.findall(r"export (\w+)", written.stdout)
    project = Project("cdc-init-tests", folder, override, {variable: database18.url})
    try:
        project("up", "--detach")
        wait_until(project.follows, "the daemon to follow")
    finally:
        project("down", "--volumes", "--timeout", "0")
